"""Puts what Slack delivers where nothing loses it, within the three seconds that Slack waits."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from bridge.errors import StoreUnavailable
from bridge.events import Event, SlackEventReceived
from bridge.model import Clock
from bridge.ports import Inbox
from slack_app.translate import thread_of

log = logging.getLogger(__name__)

STORE_WITHIN_S = 2.0
"""Slack waits 3 s for an answer (docs.slack.dev apis/events-api); the rest is for the way there and back."""


async def store(inbox: Inbox, event: Event, *, unique_key: str | None) -> None:
    """Return once `event` is committed. Raises `StoreUnavailable`, also if that takes too long.

    What was stored too late is not stored twice: Slack repeats it with the same key.
    """
    try:
        async with asyncio.timeout(STORE_WITHIN_S):
            await inbox.put(event, unique_key=unique_key)
    except TimeoutError as error:
        raise StoreUnavailable("store_too_slow") from error


async def store_event(inbox: Inbox, body: Mapping[str, Any], *, now: Clock) -> None:
    """Store an `event_callback` as it came; those of one thread are read in the order of their arrival.

    Raises `StoreUnavailable`.
    """
    event = SlackEventReceived(body=dict(body), received_at=now(), thread_key=thread_of(body))
    await store(inbox, event, unique_key=_key(body))


def _key(body: Mapping[str, Any]) -> str | None:
    """The event's id is the same on each repetition and unique across workspaces (apis/events-api)."""
    event_id = body.get("event_id")
    return f"slack:{event_id}" if isinstance(event_id, str) and event_id else None
