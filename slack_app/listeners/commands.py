"""`/jollor …`: what can be said at once is said, the rest is stored and answered through `response_url`."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from slack_bolt.async_app import AsyncApp
from slack_bolt.context.ack.async_ack import AsyncAck

from bridge.errors import StoreUnavailable
from bridge.events import CommandGiven
from bridge.ports import Inbox
from slack_app.blocks import RenderedMessage
from slack_app.commands import Wanted, parse
from slack_app.ids import COMMAND
from slack_app.inbox import store
from slack_app.views.help import sentence

log = logging.getLogger(__name__)

_ON_IT: Mapping[str, str] = {
    "projects": "Looking up the projects…",
    "link": "Linking…",
    "unlink": "Taking that back…",
    "status": "Having a look…",
    "admins": "One moment…",
    "trace": "Looking up what happened to it…",
}
_NOT_STORED = "I could not note that down just now. Please try again in a minute."


def add_commands(app: AsyncApp, *, inbox: Inbox) -> None:
    """Listen to our slash command."""

    async def command_given(ack: AsyncAck, body: dict[str, Any]) -> None:
        await _show(ack, await answer_to(inbox, body))

    app.command(COMMAND)(command_given)


async def answer_to(inbox: Inbox, body: Mapping[str, Any]) -> RenderedMessage:
    """Return what the person reads at once; what takes longer is stored by then."""
    wanted = parse(str(body.get("text") or ""))
    if not isinstance(wanted, Wanted):
        return wanted
    try:
        await store(inbox, _event(body, wanted), unique_key=_key(body))
    except StoreUnavailable as error:
        log.error("slack.command_not_stored", extra={"error": str(error)})
        return sentence(_NOT_STORED)
    return sentence(_ON_IT[wanted.word])


def _event(body: Mapping[str, Any], wanted: Wanted) -> CommandGiven:
    return CommandGiven(
        team_id=str(body.get("team_id") or ""),
        channel_id=str(body.get("channel_id") or ""),
        user_id=str(body.get("user_id") or ""),
        word=wanted.word,
        rest=wanted.rest,
        response_url=str(body.get("response_url") or ""),
    )


def _key(body: Mapping[str, Any]) -> str | None:
    trigger = body.get("trigger_id")
    return f"slack-command:{trigger}" if isinstance(trigger, str) and trigger else None


async def _show(ack: AsyncAck, message: RenderedMessage) -> None:
    await ack(text=message.text, blocks=list(message.blocks), response_type="ephemeral")
