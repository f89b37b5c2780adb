"""Lines that stand in no thread of ours: they stay in Slack, and who may expect otherwise is told once."""

from __future__ import annotations

import logging

from sqlalchemy import Connection

from bridge.content import Notice
from bridge.errors import BridgeError
from bridge.events import LineTyped
from bridge.ids import ChannelId, MessageTs, TeamId, UserId
from bridge.links import links_of
from bridge.mapping import insert_new
from bridge.policy import is_internal
from bridge.ports import Chat
from bridge.store.engine import Store
from bridge.store.tables import told

log = logging.getLogger(__name__)

IN_CHANNEL = (
    "Only replies in a conversation's thread reach the customer. What is written here, outside of a thread, "
    "stays in Slack."
)
UNDER_OURS = "This thread belongs to no conversation: what is written here stays in Slack."


class Outside:
    """Explains, privately and once per person and place, that a line reaches nobody."""

    def __init__(self, store: Store, chat: Chat) -> None:
        self._store = store
        self._chat = chat

    async def explain(self, line: LineTyped) -> None:
        """Tell the writer of `line`, unless it is talk among people: a note, or another person's thread."""
        is_talk = line.thread_ts is not None and not line.is_under_ours
        if is_talk or is_internal(line.text, line.mentions_people):
            return
        here = (line.team_id, line.channel_id)
        is_linked = await self._store.read(
            lambda conn: any((link.team, link.channel) == here for link in links_of(conn, None))
        )
        if is_linked and await self._store.write(lambda conn: self._is_first_time(conn, line)):
            await self._whisper(line)

    def _is_first_time(self, conn: Connection, line: LineTyped) -> bool:
        topic = f"outside:{line.channel_id}:{line.thread_ts or ''}"
        now = self._store.now(conn)
        return insert_new(conn, told, team=line.team_id, user_id=line.user_id, topic=topic, at=now)

    async def _whisper(self, line: LineTyped) -> None:
        thread = None if line.thread_ts is None else MessageTs(line.thread_ts)
        notice = Notice(text=IN_CHANNEL if thread is None else UNDER_OURS)
        team, channel, user = TeamId(line.team_id), ChannelId(line.channel_id), UserId(line.user_id)
        try:
            await self._chat.whisper(team, channel, user, notice, thread_ts=thread)
        except BridgeError as error:
            # Only advice, and Slack does not promise to show it: not worth a second try.
            log.info("outside.not_explained", extra={"error": str(error)})
