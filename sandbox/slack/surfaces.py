"""What people look at besides channels: modals and Home tabs; and the tickets that let an app answer them.

A trigger opens one modal within three seconds; a response address takes five answers within thirty minutes.
Source: docs.slack.dev, interactivity/handling-user-interaction.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Final

from sandbox.clock import SandboxClock
from sandbox.slack.model import Ids, Json

MAX_MODALS: Final = 3
RESPONSE_USES: Final = 5
RESPONSE_LIFETIME_S: Final = 30 * 60.0


@dataclass
class View:
    """A modal or Home tab of one person. `values` is what stands in its fields."""

    id: str
    user: str
    team: str
    json: Json
    hash: str
    root_id: str
    previous_id: str | None = None
    values: dict[str, dict[str, Json]] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)

    @property
    def blocks(self) -> list[Json]:
        blocks: list[Json] = self.json.get("blocks", [])
        return blocks

    def as_json(self, app_id: str, bot_id: str) -> Json:
        """The view object of answers and payloads."""
        defaults: Json = {"private_metadata": "", "callback_id": "", "submit": None, "close": None}
        own = {
            "id": self.id,
            "team_id": self.team,
            "app_id": app_id,
            "app_installed_team_id": self.team,
            "bot_id": bot_id,
            "hash": self.hash,
            "root_view_id": self.root_id,
            "previous_view_id": self.previous_id,
            "state": {"values": self.values},
            "external_id": self.json.get("external_id", ""),
        }
        return defaults | self.json | own


@dataclass
class Trigger:
    """The right to open a modal for `user`, once and soon."""

    id: str
    user: str
    team: str
    expires_at: float
    is_used: bool = False


@dataclass
class ResponseUrl:
    """An address at which the app may answer what a person did. `message_ts` is what the person acted on."""

    path: str
    team: str
    user: str
    channel: str
    expires_at: float
    message_ts: str | None = None
    thread_ts: str | None = None
    is_ephemeral: bool = False
    uses: int = 0


@dataclass
class Surfaces:
    """Modals, Home tabs, triggers and response addresses of all people."""

    clock: SandboxClock
    ids: Ids
    modals: dict[str, list[View]] = field(default_factory=dict)
    homes: dict[str, View] = field(default_factory=dict)
    triggers: dict[str, Trigger] = field(default_factory=dict)
    response_urls: dict[str, ResponseUrl] = field(default_factory=dict)

    def trigger(self, user: str, team: str, lifetime_s: float) -> str:
        """A new trigger id; `lifetime_s` in real seconds."""
        made = f"{self.ids.hex(12)}.{self.ids.hex(12)}.{self.ids.hex(32)}"
        self.triggers[made] = Trigger(made, user, team, time.monotonic() + lifetime_s)
        return made

    def response_url(
        self,
        kind: str,
        *,
        team: str,
        user: str,
        channel: str,
        message_ts: str | None = None,
        thread_ts: str | None = None,
        is_ephemeral: bool = False,
    ) -> str:
        """The path of a new response address; `kind` is `commands` or `actions`."""
        path = f"/{kind}/{team}/{self.ids.hex(12)}/{self.ids.hex(24)}"
        expires_at = time.monotonic() + self.clock.seconds(RESPONSE_LIFETIME_S)
        self.response_urls[path] = ResponseUrl(
            path, team, user, channel, expires_at, message_ts, thread_ts, is_ephemeral
        )
        return path

    def modal(self, user: str) -> View | None:
        """The modal that the person sees, if one is open."""
        stack = self.modals.get(user)
        return stack[-1] if stack else None

    def view(self, view_id: str) -> View | None:
        everything = [view for stack in self.modals.values() for view in stack] + list(self.homes.values())
        return next((view for view in everything if view.id == view_id), None)

    def push(self, user: str, team: str, view: Json) -> View:
        """Put a modal on top of what the person sees."""
        stack = self.modals.setdefault(user, [])
        view_id = self.ids.new("V")
        made = View(view_id, user, team, view, self.new_hash(), stack[0].id if stack else view_id)
        made.previous_id = stack[-1].id if stack else None
        made.values = initial_values(view)
        stack.append(made)
        return made

    def replace(self, view: View, new: Json) -> None:
        """Show `new` in the place of `view`; what people typed into fields that are still there stays."""
        view.json, view.hash, view.errors = new, self.new_hash(), {}
        values = initial_values(new)
        for block_id, fields in view.values.items():
            for action_id, value in fields.items():
                if action_id in values.get(block_id, {}):
                    values[block_id][action_id] = value
        view.values = values

    def publish(self, user: str, team: str, view: Json) -> View:
        """Show `view` as the person's Home tab."""
        home = self.homes.get(user)
        if home is None:
            view_id = self.ids.new("V")
            home = self.homes[user] = View(view_id, user, team, view, self.new_hash(), view_id)
        self.replace(home, view)
        return home

    def new_hash(self) -> str:
        return f"{int(time.time())}.{self.ids.hex(8)}"


INITIAL: Final = {
    "plain_text_input": ("value", "initial_value"),
    "number_input": ("value", "initial_value"),
    "email_text_input": ("value", "initial_value"),
    "url_text_input": ("value", "initial_value"),
    "rich_text_input": ("rich_text_value", "initial_value"),
    "static_select": ("selected_option", "initial_option"),
    "external_select": ("selected_option", "initial_option"),
    "radio_buttons": ("selected_option", "initial_option"),
    "checkboxes": ("selected_options", "initial_options"),
    "multi_static_select": ("selected_options", "initial_options"),
    "multi_external_select": ("selected_options", "initial_options"),
    "users_select": ("selected_user", "initial_user"),
    "multi_users_select": ("selected_users", "initial_users"),
    "conversations_select": ("selected_conversation", "initial_conversation"),
    "multi_conversations_select": ("selected_conversations", "initial_conversations"),
    "channels_select": ("selected_channel", "initial_channel"),
    "multi_channels_select": ("selected_channels", "initial_channels"),
    "datepicker": ("selected_date", "initial_date"),
    "timepicker": ("selected_time", "initial_time"),
    "datetimepicker": ("selected_date_time", "initial_date_time"),
}
"""Element type -> names of its value in `state.values` and of what it starts with."""


def initial_values(holder: Json) -> dict[str, dict[str, Json]]:
    """What `state.values` holds before anybody touched a field."""
    values: dict[str, dict[str, Json]] = {}
    for block_id, element in elements(holder.get("blocks", [])):
        names = INITIAL.get(element.get("type", ""))
        if names is not None:
            empty: object = [] if names[0].endswith("s") else None
            value = {"type": element["type"], names[0]: element.get(names[1], empty)}
            values.setdefault(block_id, {})[element["action_id"]] = value
    return values


def elements(blocks: list[Json]) -> list[tuple[str, Json]]:
    """Every interactive element with the id of its block."""
    found: list[tuple[str, Json]] = []
    for block in blocks:
        inside = block.get("elements", []) if block["type"] in ("actions", "context_actions") else []
        here = (*inside, block.get("accessory"), block.get("element"))
        found += [(block["block_id"], e) for e in here if e is not None and "action_id" in e]
    return found
