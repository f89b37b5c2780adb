"""Finds out whether a post whose answer was lost is there, by its metadata.

Source: slack-facts 2 and 3: no idempotency key; metadata is read with the history scope and
`include_all_metadata`; apps that are sold outside the Marketplace read 15 messages once a minute.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.web.async_slack_response import AsyncSlackResponse

from bridge.errors import CannotTell, PermanentError, Snooze
from bridge.ids import MessageTs, to_ts
from bridge.ports import Outgoing, Posted
from slack_app.clients import Clients
from slack_app.ids import METADATA_TYPE
from slack_app.pages import PER_PAGE, RESTRICTED_PAGE, THREAD_GONE, messages_of, next_cursor

_CLOCKS_DIFFER_BY = timedelta(minutes=5)
_MAX_PAGES = 10


async def find(clients: Clients, outgoing: Outgoing, *, since: datetime) -> Posted | None:
    """Return where the delivery `outgoing.id` landed at or after `since`, None if nowhere.

    Raises `CannotTell` where Slack does not let us read back, or not far enough.
    """
    oldest = to_ts(since - _CLOCKS_DIFFER_BY)
    try:
        if outgoing.thread_ts is not None:
            replies = _Reading(clients, outgoing, thread_ts=outgoing.thread_ts, oldest=oldest)
            if (found := await replies.find()) is not None or not replies.root_is_gone:
                return found
            # Slack makes a reply to a deleted root a root of its own.
        return await _Reading(clients, outgoing, thread_ts=None, oldest=oldest).find()
    except PermanentError as error:
        raise CannotTell(error.code, user_message=error.user_message) from error


class _Reading:
    """Reads a thread or a channel, page by page, until the delivery turns up."""

    def __init__(
        self, clients: Clients, outgoing: Outgoing, *, thread_ts: MessageTs | None, oldest: MessageTs
    ) -> None:
        self._clients = clients
        self._outgoing = outgoing
        self._thread_ts = thread_ts
        self._oldest = oldest
        self.root_is_gone = False

    async def find(self) -> Posted | None:
        cursor: str | None = None
        shortest = PER_PAGE
        bot = await self._clients.bot(self._outgoing.team)
        for _ in range(_MAX_PAGES):
            try:
                page = await self._page(cursor)
            except Snooze as error:
                if cursor is not None and shortest <= RESTRICTED_PAGE:
                    # One read of 15 a minute: the second page would never come before the first is stale.
                    raise CannotTell("restricted_history") from error
                raise
            if page is None:
                self.root_is_gone = True
                return None
            messages = messages_of(page)
            if any(message.get("subtype") == "tombstone" for message in messages):
                self.root_is_gone = True
            for message in messages:
                if _names_delivery(message, self._outgoing.id):
                    return _posted(message)
            if any(message.get("bot_id") == bot.bot_id and "metadata" not in message for message in messages):
                raise CannotTell("metadata_unreadable")  # each of our posts has some
            shortest = min(shortest, len(messages))
            cursor = next_cursor(page)
            if cursor is None:
                return None
        raise CannotTell("history_too_long")

    async def _page(self, cursor: str | None) -> AsyncSlackResponse | None:
        return await self._clients.call(
            lambda client: self._read(client, cursor),
            team=self._outgoing.team,
            channel=self._outgoing.channel,
            benign=THREAD_GONE if self._thread_ts is not None else frozenset(),
        )

    async def _read(self, client: AsyncWebClient, cursor: str | None) -> AsyncSlackResponse:
        channel = self._outgoing.channel
        if self._thread_ts is None:
            return await client.conversations_history(
                channel=channel,
                oldest=self._oldest,
                cursor=cursor,
                limit=PER_PAGE,
                include_all_metadata=True,
            )
        return await client.conversations_replies(
            channel=channel,
            ts=self._thread_ts,
            oldest=self._oldest,
            cursor=cursor,
            limit=PER_PAGE,
            include_all_metadata=True,
        )


def _names_delivery(message: Mapping[str, Any], delivery: str) -> bool:
    metadata = message.get("metadata")
    if not isinstance(metadata, Mapping) or metadata.get("event_type") != METADATA_TYPE:
        return False
    payload = metadata.get("event_payload")
    # Anybody may write metadata, but a person cannot; another app that copies ours would have to know the id.
    return isinstance(payload, Mapping) and payload.get("id") == delivery


def _posted(message: Mapping[str, Any]) -> Posted:
    ts, thread = str(message.get("ts")), message.get("thread_ts")
    is_reply = isinstance(thread, str) and thread != ts
    return Posted(ts=MessageTs(ts), thread_ts=MessageTs(str(thread)) if is_reply else None)
