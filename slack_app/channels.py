"""Slack's description of a channel as the bridge's `Channel`, and the search by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from slack_sdk.web.async_slack_response import AsyncSlackResponse

from bridge.errors import PermanentError
from bridge.ids import ChannelId, TeamId
from bridge.model import Channel
from slack_app.clients import Clients

JOIN_SENTENCES: Mapping[str, str] = {
    "method_not_supported_for_channel_type": "I cannot join that channel. Invite me there with /invite.",
    "channel_not_found": "I cannot see that channel. If it is private, invite me there with /invite.",
    "missing_scope": "I may not join channels by myself. Invite me there with /invite.",
    "is_archived": "That channel is archived. Unarchive it first, or choose another one.",
    "restricted_action": "This workspace does not let me join that channel. Invite me there with /invite.",
}
_PER_PAGE = 1_000
_MAX_PAGES = 20


def to_channel(described: Mapping[str, Any], channel: ChannelId) -> Channel:
    """Return the `channel` of `conversations.info` or of a list."""
    return Channel(
        id=ChannelId(str(described.get("id") or channel)),
        name=str(described.get("name") or described.get("name_normalized") or "channel"),
        is_archived=described.get("is_archived") is True,
        is_member=described.get("is_member") is True,
        is_private=described.get("is_private") is True,
    )


async def find_channel(clients: Clients, team: TeamId, name: str) -> Channel | None:
    """Return the channel called `name`, without regard to "#" and case; None if the bot can see none.

    Raises `PermanentError` if there are more channels than we read.
    """
    wanted = name.strip().removeprefix("#").lower()
    try:
        return await _search(clients, team, wanted, types="public_channel,private_channel")
    except PermanentError as error:
        if error.code != "missing_scope":
            raise
    return await _search(clients, team, wanted, types="public_channel")


async def _search(clients: Clients, team: TeamId, wanted: str, *, types: str) -> Channel | None:
    cursor: str | None = None
    for _ in range(_MAX_PAGES):
        page = await _page(clients, team, types, cursor)
        for described in _channels(page):
            if wanted in (described.get("name"), described.get("name_normalized")):
                return to_channel(described, ChannelId(str(described.get("id"))))
        cursor = _next_cursor(page)
        if cursor is None:
            return None
    raise PermanentError(
        "too_many_channels",
        user_message="There are too many channels to search by name. Pick yours from Slack's list after #.",
    )


async def _page(clients: Clients, team: TeamId, types: str, cursor: str | None) -> AsyncSlackResponse | None:
    return await clients.call(
        lambda client: client.conversations_list(
            types=types, exclude_archived=True, limit=_PER_PAGE, cursor=cursor
        ),
        team=team,
    )


def _channels(page: AsyncSlackResponse | None) -> list[Mapping[str, Any]]:
    channels = None if page is None else page.get("channels")
    return [c for c in channels if isinstance(c, Mapping)] if isinstance(channels, list) else []


def _next_cursor(page: AsyncSlackResponse | None) -> str | None:
    metadata = None if page is None else page.get("response_metadata")
    cursor = metadata.get("next_cursor") if isinstance(metadata, Mapping) else None
    return cursor if isinstance(cursor, str) and cursor else None
