"""Buttons and menus: each press is stored and acknowledged; what it means is decided by the bridge."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import Any

from slack_bolt.async_app import AsyncApp
from slack_bolt.context.ack.async_ack import AsyncAck

from bridge.content import ActionId
from bridge.errors import StoreUnavailable
from bridge.events import ButtonPressed
from bridge.ports import Inbox
from slack_app.answers import apologise
from slack_app.clients import Clients
from slack_app.inbox import store
from slack_app.views.values import channel_in, value_of_menu

log = logging.getLogger(__name__)

_KNOWN = frozenset(ActionId) - {
    ActionId.OPEN_DASHBOARD
}  # a link: Slack reports the press, nothing is to be done
_NOT_STORED = "I could not note that down just now. Please press again in a minute."


def add_buttons(app: AsyncApp, *, inbox: Inbox, clients: Clients) -> None:
    """Listen to every button and menu there is: one without a listener would show people an error."""

    async def button_pressed(ack: AsyncAck, body: dict[str, Any]) -> None:
        is_stored = await store_presses(inbox, body)
        await ack()
        if not is_stored:
            await apologise(clients, body.get("response_url"), _NOT_STORED)

    app.action(re.compile(".*", re.DOTALL))(button_pressed)


async def store_presses(inbox: Inbox, body: Mapping[str, Any]) -> bool:
    """Store what was pressed; False if the database did not take it."""
    try:
        for press, key in presses(body):
            await store(inbox, press, unique_key=key)
    except StoreUnavailable as error:
        log.error("slack.press_not_stored", extra={"error": str(error)})
        return False
    return True


def presses(body: Mapping[str, Any]) -> list[tuple[ButtonPressed, str | None]]:
    """Return what was pressed, each with the key by which a repetition is known; never raises."""
    actions = body.get("actions")
    found = []
    for action in actions if isinstance(actions, list) else []:
        if not isinstance(action, Mapping):
            continue
        action_id = _str(action.get("action_id"))
        if action_id in _KNOWN:
            found.append((_press(body, action), _key(body, action)))
        elif action_id != ActionId.OPEN_DASHBOARD:
            log.warning("slack.unknown_action", extra={"action": action_id[:100]})
    return found


def _press(body: Mapping[str, Any], action: Mapping[str, Any]) -> ButtonPressed:
    container, message = _dict(body.get("container")), _dict(body.get("message"))
    return ButtonPressed(
        team_id=_str(_dict(body.get("team")).get("id")) or _str(_dict(body.get("user")).get("team_id")),
        channel_id=_str(_dict(body.get("channel")).get("id")) or _str(container.get("channel_id")),
        user_id=_str(_dict(body.get("user")).get("id")),
        action_id=_str(action.get("action_id")),
        value=_str(action.get("value")) or value_of_menu(_str(action.get("block_id"))),
        selected=_selected(action),
        message_ts=_str(message.get("ts")) or _str(container.get("message_ts")) or None,
        thread_ts=_str(message.get("thread_ts")) or _str(container.get("thread_ts")) or None,
        response_url=_str(body.get("response_url")) or None,
    )


def _selected(action: Mapping[str, Any]) -> str | None:
    """Return a menu's choice (channel, person, option's value), or the channel that a button stands for."""
    for name in ("selected_conversation", "selected_channel", "selected_user"):
        if chosen := _str(action.get(name)):
            return chosen
    return _str(_dict(action.get("selected_option")).get("value")) or channel_in(_str(action.get("value")))


def _key(body: Mapping[str, Any], action: Mapping[str, Any]) -> str | None:
    """A repetition has the same time, person and button; a second press has another time."""
    action_ts = _str(action.get("action_ts"))
    if not action_ts:
        return None
    user, action_id = _str(_dict(body.get("user")).get("id")), _str(action.get("action_id"))
    return f"slack-action:{user}:{action_id}:{action_ts}"


def _dict(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _str(value: object) -> str:
    return value if isinstance(value, str) else ""
