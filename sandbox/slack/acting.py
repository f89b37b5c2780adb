"""What everything has in common that people do with the app: payloads, triggers, elements, what comes back.

Each act goes out as a signed request (or an envelope of Socket Mode) and has to be answered within three
seconds; what the person sees then is in the `Reply` and in the list of ephemeral messages.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from sandbox.slack.changes import Changes
from sandbox.slack.courier import Courier, Outcome, Parcel
from sandbox.slack.model import Channel, Json, Team, User
from sandbox.slack.people import NotPossible
from sandbox.slack.state import Ephemeral, State
from sandbox.slack.surfaces import INITIAL, elements

TIMED_OUT: Final = "operation_timeout"
FAILED: Final = "dispatch_failed"


@dataclass(frozen=True)
class Reply:
    """What came back within three seconds. `error` is what Slack tells the person: None if all went well."""

    outcome: Outcome
    error: str | None
    seen: Ephemeral | None = None
    """The immediate answer, if there was one that only this person saw."""
    posted_ts: str | None = None
    """The immediate answer, if it was one for the channel."""
    response_path: str | None = None
    trigger_id: str | None = None

    @property
    def text(self) -> str:
        """The text of the immediate answer, empty if there was none."""
        return self.seen.text if self.seen else ""


@dataclass
class Acting:
    """Acts as people who use the app. Users and channels are named by their ids."""

    state: State
    changes: Changes
    courier: Courier
    base_url: Callable[[], str]

    async def _send_actions(self, user: str, team: Team, members: Json, path: str | None) -> Reply:
        trigger = self.trigger(user, team)
        payload = self._frame("block_actions", user, team) | members | {"trigger_id": trigger}
        if path is not None:
            payload["response_url"] = self.base_url() + path
        outcome = await self.courier.send_once(Parcel("interactive", "block_actions", payload))
        return Reply(outcome, error_of(outcome), response_path=path, trigger_id=trigger)

    def _action(self, element: Json, block_id: str, value: object) -> Json:
        """What the payload says of the element and of what was chosen in it."""
        action: Json = {
            name: element[name]
            for name in ("type", "action_id", "text", "value", "style", "url", "placeholder")
            if name in element
        }
        action |= {"block_id": block_id, "action_ts": f"{time.time():.6f}"}
        if element["type"] == "button":
            return action
        action[value_name(element)] = chosen(element, value)
        return action

    def _place(self, channel: str) -> tuple[Team, Channel]:
        team = self.state.team_of(channel)
        return team, team.channels[channel]

    def trigger(self, user: str, team: Team) -> str:
        """A new right to open a modal for the person, as each act gives one."""
        return self.state.surfaces.trigger(user, team.id, self.state.switches.trigger_lifetime_s)

    def _frame(self, kind: str, user: str, team: Team) -> Json:
        """What every interactivity payload has."""
        person: User = self.state.user(user)
        return {
            "type": kind,
            "user": {"id": user, "username": person.name, "name": person.name, "team_id": person.team_id},
            "api_app_id": self.state.app.id,
            "token": self.state.app.verification_token,
            "team": {"id": team.id, "domain": team.domain},
            "enterprise": None,
            "is_enterprise_install": False,
        }


def find(blocks: list[Json], action_id: str, block_id: str | None) -> tuple[str, Json]:
    """The element with that id, and its block's; NotPossible, naming what there is, if it is not there."""
    all_of_them = elements(blocks)
    found = [(b, e) for b, e in all_of_them if e["action_id"] == action_id and block_id in (None, b)]
    if not found:
        there = [(b, e["action_id"]) for b, e in all_of_them]
        raise NotPossible(
            f"nothing here has the action_id {action_id!r} (block {block_id}); there are {there}"
        )
    return found[0]


def value_name(element: Json) -> str:
    return "selected_option" if element["type"] == "overflow" else INITIAL[element["type"]][0]


def chosen(element: Json, value: object) -> object:
    """What was chosen, as payloads say it; NotPossible for an option that the menu does not have."""
    name = value_name(element)
    if name == "selected_option":
        return None if value is None else _option(element, value)
    if name == "selected_options":
        assert isinstance(value, list), "several options are a list"
        return [_option(element, each) for each in value]
    return value


def _option(element: Json, value: object) -> Json:
    if element["type"].endswith("external_select"):
        return {"text": {"type": "plain_text", "text": str(value), "emoji": True}, "value": str(value)}
    groups = element.get("option_groups", [])
    options = [*element.get("options", []), *(o for group in groups for o in group["options"])]
    for option in options:
        if option["value"] == value:
            chosen: Json = option
            return chosen
    raise NotPossible(f"there is no option {value!r}, only {[o['value'] for o in options]}")


def remember(values: dict[str, dict[str, Json]], block_id: str, action: Json) -> None:
    """Keep what was chosen in `state.values`; a button has no value there."""
    names = INITIAL.get(action["type"])
    if names is not None:
        kept = {"type": action["type"], names[0]: action[names[0]]}
        values.setdefault(block_id, {})[action["action_id"]] = kept


def error_of(outcome: Outcome) -> str | None:
    if outcome.ok:
        return None
    return TIMED_OUT if outcome.reason == "http_timeout" else FAILED
