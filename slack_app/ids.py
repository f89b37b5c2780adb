"""Names by which the app and Slack know each other, and the shapes of Slack's ids."""

from __future__ import annotations

import re
from dataclasses import dataclass

from bridge.ids import TeamId, UserId

COMMAND = "/jollor"
HOLD_BACK = "hold_back"
"""`callback_id` of our entry in a message's menu (`shortcuts` in the manifests)."""
METADATA_TYPE = "jollor_bridge"
"""`event_type` of the metadata on each of our posts (CONTRACT, "In Slack")."""

_USER = re.compile(r"[UW][A-Z0-9]{2,30}")
_CHANNEL = re.compile(r"[CGD][A-Z0-9]{2,30}")


@dataclass(frozen=True, slots=True)
class Bot:
    """Who we are in one workspace, as `auth.test` told. `url` is the workspace's address."""

    team: TeamId
    team_name: str
    user: UserId
    bot_id: str | None
    url: str
    enterprise: str | None = None
    """The organisation (Enterprise Grid) that the workspace belongs to."""


def is_user_id(text: str) -> bool:
    """`text` has the shape of a Slack user id."""
    return _USER.fullmatch(text) is not None


def is_channel_id(text: str) -> bool:
    """`text` has the shape of a Slack channel id."""
    return _CHANNEL.fullmatch(text) is not None
