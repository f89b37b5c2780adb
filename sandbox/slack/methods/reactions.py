"""Reactions of the bot: `reactions.add`, `remove`, `get`."""

from __future__ import annotations

import re

import emoji

from sandbox.slack.calls import ApiCall, ApiError
from sandbox.slack.model import Channel, Json, Message

_NAME = re.compile(r"[a-z0-9_+'-]+(::skin-tone-[2-6])?")
_SLACK_ONLY = frozenset({"+1", "-1", "lock", "hourglass_flowing_sand", "white_check_mark", "warning", "x"})


def add(call: ApiCall) -> Json:
    channel, message, name = _target(call)
    if not is_emoji(name):
        raise ApiError("invalid_name")
    if call.bot.id in message.reactions.get(name, ()):
        raise ApiError("already_reacted")
    if len(message.reactions) >= 23 and name not in message.reactions:
        raise ApiError("too_many_emoji")
    call.changes.react(call.team, channel, message, call.bot.id, name, added=True)
    return {}


def remove(call: ApiCall) -> Json:
    channel, message, name = _target(call)
    if call.bot.id not in message.reactions.get(name, ()):
        raise ApiError("no_reaction")
    call.changes.react(call.team, channel, message, call.bot.id, name, added=False)
    return {}


def get(call: ApiCall) -> Json:
    channel = call.channel()
    message = call.message(channel, "timestamp")
    return {"type": "message", "channel": channel.id, "message": channel.shown(message)}


def is_emoji(name: str) -> bool:
    """Whether Slack knows an emoji of that name; the workspace has no custom ones."""
    base = name.split("::")[0]
    known = base in _SLACK_ONLY or not emoji.emojize(f":{base}:", language="alias").startswith(":")
    return _NAME.fullmatch(name) is not None and known


def _target(call: ApiCall) -> tuple[Channel, Message, str]:
    name = call.args.need("name", "invalid_name").strip(":")
    if not call.args.text("timestamp"):
        raise ApiError("no_item_specified")
    channel = call.channel()
    message = call.message(channel, "timestamp")
    if channel.is_archived:
        raise ApiError("is_archived")
    call.need_membership(channel)
    return channel, message, name
