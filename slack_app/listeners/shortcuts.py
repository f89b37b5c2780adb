"""Our entry in a message's menu, *Hold back*: stored, then acknowledged, as presses are."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from slack_bolt.async_app import AsyncApp
from slack_bolt.context.ack.async_ack import AsyncAck

from bridge.errors import StoreUnavailable
from bridge.events import HoldBackChosen
from bridge.ports import Inbox
from slack_app.answers import apologise
from slack_app.clients import Clients
from slack_app.ids import HOLD_BACK
from slack_app.inbox import store
from slack_app.translate import is_typed

log = logging.getLogger(__name__)

_NOT_STORED = "I could not note that down just now. Delete the line instead, or choose it again in a minute."


def add_shortcuts(app: AsyncApp, *, inbox: Inbox, clients: Clients) -> None:
    """Listen to our entry in a message's menu."""

    async def hold_back(ack: AsyncAck, body: dict[str, Any]) -> None:
        is_stored = await store_choice(inbox, body)
        await ack()
        if not is_stored:
            await apologise(clients, body.get("response_url"), _NOT_STORED)

    app.message_shortcut(HOLD_BACK)(hold_back)


async def store_choice(inbox: Inbox, body: Mapping[str, Any]) -> bool:
    """Store what was chosen; False if the database did not take it."""
    chosen = choice(body)
    if chosen is None:
        log.warning("slack.unreadable_shortcut")
        return True
    try:
        await store(inbox, chosen, unique_key=_key(body))
    except StoreUnavailable as error:
        log.error("slack.shortcut_not_stored", extra={"error": str(error)})
        return False
    return True


def choice(body: Mapping[str, Any]) -> HoldBackChosen | None:
    """Return what was chosen, None if the message or the person is not named; never raises."""
    message, user = _dict(body.get("message")), _dict(body.get("user"))
    team = _str(_dict(body.get("team")).get("id")) or _str(user.get("team_id"))
    channel = _str(_dict(body.get("channel")).get("id"))
    ts = _str(message.get("ts")) or _str(body.get("message_ts"))
    if not (team and channel and ts and _str(user.get("id"))):
        return None
    writer = _str(message.get("user"))
    thread = _str(message.get("thread_ts"))
    return HoldBackChosen(
        team_id=team,
        channel_id=channel,
        ts=ts,
        thread_ts=thread if thread and thread != ts else None,
        user_id=_str(user.get("id")),
        writer_id=writer,
        is_typed=bool(writer) and is_typed(message),
        response_url=_str(body.get("response_url")) or None,
    )


def _key(body: Mapping[str, Any]) -> str | None:
    """A repetition has the same time and person; choosing it again has another time."""
    action_ts = _str(body.get("action_ts"))
    return f"slack-shortcut:{_str(_dict(body.get('user')).get('id'))}:{action_ts}" if action_ts else None


def _dict(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _str(value: object) -> str:
    return value if isinstance(value, str) else ""
