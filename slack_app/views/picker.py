"""Asks where a project should go, or which channel to take back."""

from __future__ import annotations

from bridge.content import ActionId, ChannelPicker
from slack_app import blocks as b
from slack_app.blocks import Block, RenderedMessage
from slack_app.ids import COMMAND, is_channel_id
from slack_app.markup import escaped
from slack_app.views.card import project_label
from slack_app.views.values import menu_block_id, press_value

_MAX_CHANNELS = 20


def channel_picker(picker: ChannelPicker) -> RenderedMessage:
    """A menu of channels, or a button for each linked channel."""
    if picker.unlink_channels is None:
        return _where_to(picker)
    return _which_to_take_back(picker, picker.unlink_channels)


def _where_to(picker: ChannelPicker) -> RenderedMessage:
    question = f"Which channel should {project_label(picker.project_name)} go to?"
    hint = f"A private channel is missing? Invite me there, then use {COMMAND} link PROJECT #channel."
    block_id = menu_block_id(press_value(picker.project_id, kind=picker.kind))
    menu = b.channel_select("Choose a channel", ActionId.PICK_CHANNEL)
    return b.message(
        escaped(f"{question} {hint}"),
        [b.section(b.plain(question), menu, block_id=block_id), b.context(b.plain(hint))],
    )


def _which_to_take_back(picker: ChannelPicker, channels: tuple[str, ...]) -> RenderedMessage:
    project = project_label(picker.project_name)
    known = [channel for channel in channels if is_channel_id(channel)][:_MAX_CHANNELS]
    if not known:
        words = f"{project} is not linked to a channel, so there is nothing to take back."
        return b.message(escaped(words), [b.section(b.plain(words))])
    question = f"Which channel should {project} leave?"
    return b.message(
        escaped(question) + " " + " ".join(f"<#{channel}>" for channel in known),
        [b.section(b.plain(question)), *(_leave(picker.project_id, channel) for channel in known)],
    )


def _leave(project_id: str, channel: str) -> Block:
    value = press_value(project_id, channel_id=channel)
    return b.section(
        b.mrkdwn(f"<#{channel}>"), b.button("Unlink", ActionId.UNLINK_CHANNEL, value=value, style="danger")
    )
