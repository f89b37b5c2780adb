"""What buttons and menus carry, so that a press can be understood a week later."""

from __future__ import annotations

import json

from bridge.ids import ChannelId, ProjectId


def press_value(project_id: str, *, kind: str | None = None, channel_id: str | None = None) -> str:
    """Return the value of a button: a JSON object with `project_id` and what else is known."""
    members = {
        "project_id": ProjectId(project_id),
        "kind": kind,
        "channel_id": channel_id and ChannelId(channel_id),
    }
    return json.dumps({name: value for name, value in members.items() if value is not None})


def channel_in(value: str) -> str | None:
    """Return the `channel_id` that `press_value` put there, None if there is none; never raises."""
    try:
        members = json.loads(value)
    except (ValueError, RecursionError):
        return None
    channel = members.get("channel_id") if isinstance(members, dict) else None
    return channel if isinstance(channel, str) else None


# A menu has no value of its own; its block's id comes back with the choice.
_MENU = "menu:"


def menu_block_id(value: str) -> str:
    """Return the id of the block whose menu stands for `value`."""
    return _MENU + value


def value_of_menu(block_id: str) -> str:
    """Return the value that `menu_block_id` put there, "" if the block is none of ours."""
    return block_id.removeprefix(_MENU) if block_id.startswith(_MENU) else ""
