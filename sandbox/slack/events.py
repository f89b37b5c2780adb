"""What Slack tells an app of what happened: builds the `event_callback` and decides whether the app may know.

An event is sent if the app subscribed to it, has the scope for it, and its bot is where it happened. How it
is delivered is the courier's matter.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass, replace

from sandbox.slack.model import Channel, Json, Team
from sandbox.slack.state import State

SCOPES_OF_EVENTS = {
    "message.channels": "channels:history",
    "message.groups": "groups:history",
    "message.im": "im:history",
    "reaction_added": "reactions:read",
    "reaction_removed": "reactions:read",
    "user_change": "users:read",
    "app_mention": "app_mentions:read",
    "member_joined_channel": "channels:read",
    "member_left_channel": "channels:read",
    "channel_archive": "channels:read",
    "channel_unarchive": "channels:read",
    "channel_left": "channels:read",
    "channel_rename": "channels:read",
    "channel_deleted": "channels:read",
    "group_archive": "groups:read",
    "group_unarchive": "groups:read",
    "group_left": "groups:read",
    "group_rename": "groups:read",
    "group_deleted": "groups:read",
}
WITHOUT_TOKEN = frozenset({"tokens_revoked", "app_uninstalled"})


@dataclass(frozen=True)
class Event:
    """One `event_callback` as it will be sent. `name` is `message`, `message.message_changed`,
    `reaction_added` …"""

    id: str
    name: str
    team: str
    body: Json

    @property
    def inner(self) -> Json:
        inner: Json = self.body["event"]
        return inner


class Events:
    """Turns what happened into events and passes those on that the app may see."""

    def __init__(self, state: State, send: Callable[[Event], None]) -> None:
        self._state = state
        self._send = send
        self.sent: list[Event] = []

    def tell(self, team: Team, subscription: str, inner: Json, channel: Channel | None = None) -> None:
        """Send `inner` if the app subscribed to `subscription`, has its scope and its bot is in `channel`."""
        self._state.has_changed()
        if self._may_know(team, subscription, channel):
            self._emit(self._event(team, inner, channel))

    def again(self, event: Event, *, new_id: bool) -> None:
        """Send an event once more, as a retry would be (same id) or as an event of its own."""
        if new_id:
            fresh = self._new_id()
            event = replace(event, id=fresh, body=event.body | {"event_id": fresh})
        self._emit(event)

    def of_message(self, channel: str, ts: str) -> Event:
        """The event that announced the message as new; KeyError if none was sent."""
        for event in reversed(self.sent):
            inner = event.inner
            is_new = inner.get("subtype") not in ("message_changed", "message_deleted")
            if inner["type"] == "message" and is_new and (inner["channel"], inner["ts"]) == (channel, ts):
                return event
        raise KeyError(f"no event told of the message {ts} in {channel}")

    def _emit(self, event: Event) -> None:
        self.sent.append(event)
        self._send(event)

    def _may_know(self, team: Team, subscription: str, channel: Channel | None) -> bool:
        install = team.install
        scope = SCOPES_OF_EVENTS.get(subscription)
        return (
            subscription in self._state.app.subscriptions
            and (install.revoked_because is None or subscription in WITHOUT_TOKEN)
            and (scope is None or scope in install.scopes)
            and (channel is None or install.bot_user in channel.members)
        )

    def _event(self, team: Team, inner: Json, channel: Channel | None) -> Event:
        event_id = self._new_id()
        context = {
            "et": inner["type"],
            "tid": team.id,
            "aid": self._state.app.id,
            "cid": channel.id if channel else "",
        }
        body: Json = {
            "token": self._state.app.verification_token,
            "team_id": team.id,
            "context_team_id": team.id,
            "context_enterprise_id": None,
            "api_app_id": self._state.app.id,
            "event": inner,
            "type": "event_callback",
            "event_id": event_id,
            "event_time": int(float(inner.get("event_ts", self._state.now_s()))),
            "authorizations": [
                {
                    "enterprise_id": None,
                    "team_id": team.id,
                    "user_id": team.install.bot_user,
                    "is_bot": True,
                    "is_enterprise_install": False,
                }
            ],
            "is_ext_shared_channel": channel.is_ext_shared if channel else False,
            "event_context": "4-" + base64.b64encode(json.dumps(context).encode()).decode(),
        }
        subtype = inner.get("subtype")
        return Event(event_id, inner["type"] + (f".{subtype}" if subtype else ""), team.id, body)

    def _new_id(self) -> str:
        return self._state.ids.new("Ev")
