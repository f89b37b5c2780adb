"""What could not be read from Jollor: a line where people look says so, and what to do."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, func, select, update

from bridge.content import Notice
from bridge.deliveries import put_channel_post, put_notice
from bridge.events import ConversationChanged, MessageHinted, MessageMissing, PostChanged
from bridge.ids import ConversationId, ProjectId
from bridge.links import links_of
from bridge.mapping import insert_new, threads_of
from bridge.model import LinkKind, Target, TargetKind, Thread
from bridge.relay.cards import Cards
from bridge.routing import choose
from bridge.store.engine import Store
from bridge.store.tables import messages, told_unread

Unreadable = ConversationChanged | MessageHinted | MessageMissing


class Unread:
    """Says what was given up. The lanes go on."""

    def __init__(self, store: Store, cards: Cards) -> None:
        self._store = store
        self._cards = cards

    async def message_not_read(self, event: Unreadable, reason: str) -> None:
        """Say in the conversation's thread, or in the channel if it has none yet, that something is missing.

        A conversation that cannot be read at all is told of once, until something of it was shown again.
        """

        def say(conn: Connection) -> None:
            now = self._store.now(conn)
            if not isinstance(event, ConversationChanged) or _is_news(conn, now, event):
                self._say(conn, now, event, reason)

        await self._store.write(say)

    def _say(self, conn: Connection, now: datetime, event: Unreadable, reason: str) -> None:
        project = ProjectId(event.project_id)
        notice = self._notice("message", project, reason)
        threads: dict[tuple[str, str], Thread] = {}
        if not isinstance(event, MessageHinted):
            target = Target(project, TargetKind.CONVERSATION, event.conversation_id)
            threads = {(t.team, t.channel): t for t in threads_of(conn, target)}
        for link in choose(links_of(conn, project), LinkKind.MESSAGE):
            thread = threads.get((link.team, link.channel))
            if thread is not None:
                put_notice(conn, now, thread, notice)
            else:
                put_channel_post(conn, now, link.team, link.channel, "notice", notice)

    async def post_not_read(self, event: PostChanged, reason: str) -> None:
        """Say in the channel that a post is missing there."""
        project = ProjectId(event.project_id)

        def say(conn: Connection) -> None:
            now = self._store.now(conn)
            notice = self._notice("post", project, reason)
            for link in choose(links_of(conn, project), LinkKind.POST):
                put_channel_post(conn, now, link.team, link.channel, "notice", notice)

        await self._store.write(say)

    def _notice(self, what: str, project: ProjectId, reason: str) -> Notice:
        return Notice(
            text=f"A {what} could not be read – open in Jollor. {reason}",
            buttons=(self._cards.button(project),),
        )


def _is_news(conn: Connection, now: datetime, event: ConversationChanged) -> bool:
    """Whether people do not know yet that this conversation cannot be read; from now on they do."""
    project, id_ = ProjectId(event.project_id), ConversationId(event.conversation_id)
    if insert_new(conn, told_unread, project_id=project, conversation_id=id_, told_at=now):
        return True
    told = told_unread.c.project_id == project, told_unread.c.conversation_id == id_
    shown = select(func.max(messages.c.seen_at)).where(
        messages.c.project_id == project, messages.c.conversation_id == id_
    )
    told_at = conn.execute(select(told_unread.c.told_at).where(*told)).scalar_one()
    shown_at = conn.execute(shown).scalar()
    if shown_at is None or shown_at <= told_at:
        return False
    conn.execute(update(told_unread).where(*told).values(told_at=now))
    return True
