"""People who use the app: slash commands, buttons, menus, modals, shortcuts; and how it answers them.

Each goes out as a signed request (or an envelope of Socket Mode) and has to be answered within three seconds;
what the person sees then is in what is returned here and in the list of ephemeral messages.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from aiohttp import web

from sandbox.slack.calls import ApiError
from sandbox.slack.changes import Changes
from sandbox.slack.courier import Courier, Outcome, Parcel
from sandbox.slack.methods.chat import checked_blocks
from sandbox.slack.methods.views import checked_view
from sandbox.slack.model import Channel, Json, Message, Team, User
from sandbox.slack.people import NotPossible
from sandbox.slack.state import Ephemeral, State
from sandbox.slack.surfaces import INITIAL, RESPONSE_USES, ResponseUrl, View, elements

TIMED_OUT: Final = "operation_timeout"
FAILED: Final = "dispatch_failed"
INVALID: Final = "invalid_command_response"


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
class Interactivity:
    """Acts as people who use the app. Users and channels are named by their ids."""

    state: State
    changes: Changes
    courier: Courier
    base_url: Callable[[], str]

    # slash commands

    async def slash_command(self, user: str, channel: str, command: str, text: str = "") -> Reply:
        """Type a slash command in a channel (threads have none) and wait for the immediate answer."""
        if command not in self.state.app.commands:
            raise NotPossible(f"{command} is not a valid command")
        team, place = self._place(channel)
        trigger = self._trigger(user, team)
        path = self.state.surfaces.response_url("commands", team=team.id, user=user, channel=channel)
        fields: Json = {
            "token": self.state.app.verification_token,
            "team_id": team.id,
            "team_domain": team.domain,
            "channel_id": channel,
            "channel_name": {"im": "directmessage", "group": "privategroup"}.get(place.kind, place.name),
            "user_id": user,
            "user_name": self.state.user(user).name,
            "command": command,
            "text": self._escaped(team, text) if self.state.switches.should_escape_commands else text,
            "api_app_id": self.state.app.id,
            "is_enterprise_install": "false",
            "response_url": self.base_url() + path,
            "trigger_id": trigger,
        }
        outcome = await self.courier.send_once(Parcel("slash_commands", command, fields))
        return self._command_answered(user, team, place, command, outcome, path, trigger)

    def _command_answered(
        self, user: str, team: Team, place: Channel, command: str, outcome: Outcome, path: str, trigger: str
    ) -> Reply:
        error = _error(outcome)
        if error is not None:
            words = f'{command} failed with the error "{error}"'
            seen = self._show(user, place.id, words, [], "slack")
            return Reply(outcome, error, seen, response_path=path, trigger_id=trigger)
        answer = outcome.json() if outcome.content_type == "application/json" else {"text": outcome.body}
        if not answer or not (answer.get("text") or answer.get("blocks")):
            return Reply(outcome, None, response_path=path, trigger_id=trigger)
        text = str(answer.get("text") or "")
        try:
            blocks = self._kept_blocks(answer)
        except ApiError:
            words = f'{command} failed with the error "{INVALID}"'
            seen = self._show(user, place.id, words, [], "slack")
            return Reply(outcome, INVALID, seen, response_path=path, trigger_id=trigger)
        if answer.get("response_type") == "in_channel":
            posted = self._post(team, place, text, blocks, None)
            return Reply(outcome, None, posted_ts=posted.ts, response_path=path, trigger_id=trigger)
        seen = self._show(user, place.id, text, blocks, "command")
        self._address(path).message_ts = seen.ts
        return Reply(outcome, None, seen, response_path=path, trigger_id=trigger)

    def _escaped(self, team: Team, text: str) -> str:
        """Name channels and people by id, as the app setting "escape channels, users and links" does."""
        names = {user.name: user for user in team.users.values()}

        def channel_code(match: re.Match[str]) -> str:
            found = team.channel_named(match[1])
            return match[0] if found is None else f"<#{found.id}|{'' if found.is_private else found.name}>"

        def user_code(match: re.Match[str]) -> str:
            found = names.get(match[1])
            return match[0] if found is None else f"<@{found.id}|{found.name}>"

        text = re.sub(r"(?<![\w<])#([\w-]+)", channel_code, text)
        return re.sub(r"(?<![\w<])@([\w.-]+)", user_code, text)

    # buttons and menus

    async def press(
        self, user: str, channel: str, ts: str, action_id: str, block_id: str | None = None
    ) -> Reply:
        """Press a button of a message, or of an ephemeral one that this person sees."""
        return await self._act_on_message(user, channel, ts, action_id, block_id, None)

    async def select(
        self, user: str, channel: str, ts: str, action_id: str, value: object, block_id: str | None = None
    ) -> Reply:
        """Choose in a menu: an option's value, or the id of a user or channel (a list for multi-selects)."""
        return await self._act_on_message(user, channel, ts, action_id, block_id, value)

    async def press_in_view(self, user: str, action_id: str, value: object = None) -> Reply:
        """Press a button or choose in a menu of the person's modal, or of the Home tab if none is open."""
        view = self._open_view(user)
        block_id, element = find(view.blocks, action_id, None)
        action = self._action(element, block_id, value)
        _remember(view.values, block_id, action)
        team = self.state.teams[view.team]
        container = {"type": "view", "view_id": view.id}
        shown = {"view": view.as_json(self.state.app.id, team.install.bot_id), "container": container}
        return await self._send_actions(user, team, shown | {"actions": [action]}, None)

    async def suggest(
        self, user: str, channel: str, ts: str, action_id: str, query: str, block_id: str | None = None
    ) -> list[Json]:
        """Type into an external select of a message; returns the options that the app offers."""
        team, place = self._place(channel)
        blocks, shown = self._seen(user, team, place, ts)
        found_in, element = find(blocks, action_id, block_id)
        if element["type"] not in ("external_select", "multi_external_select"):
            raise NotPossible(f"{action_id} is a {element['type']} and asks nobody for options")
        asked: Json = {"action_id": action_id, "block_id": found_in, "value": query}
        payload = self._frame("block_suggestion", user, team) | shown | asked
        outcome = await self.courier.send_once(Parcel("interactive", "block_suggestion", payload))
        options: list[Json] = (outcome.json() or {}).get("options", [])
        return options

    async def _act_on_message(
        self, user: str, channel: str, ts: str, action_id: str, block_id: str | None, value: object
    ) -> Reply:
        team, place = self._place(channel)
        blocks, shown = self._seen(user, team, place, ts)
        found_in, element = find(blocks, action_id, block_id)
        action = self._action(element, found_in, value)
        values = self.state.message_values.setdefault((channel, ts), {})
        _remember(values, found_in, action)
        container = shown["container"]
        path = self.state.surfaces.response_url(
            "actions",
            team=team.id,
            user=user,
            channel=channel,
            message_ts=ts,
            thread_ts=container.get("thread_ts"),
            is_ephemeral=container["is_ephemeral"],
        )
        return await self._send_actions(
            user, team, shown | {"state": {"values": values}, "actions": [action]}, path
        )

    async def _send_actions(self, user: str, team: Team, members: Json, path: str | None) -> Reply:
        trigger = self._trigger(user, team)
        payload = self._frame("block_actions", user, team) | members | {"trigger_id": trigger}
        if path is not None:
            payload["response_url"] = self.base_url() + path
        outcome = await self.courier.send_once(Parcel("interactive", "block_actions", payload))
        return Reply(outcome, _error(outcome), response_path=path, trigger_id=trigger)

    def _seen(self, user: str, team: Team, place: Channel, ts: str) -> tuple[list[Json], Json]:
        """The blocks of what the person acts on, and how the payload describes it."""
        channel = {"id": place.id, "name": place.name or "directmessage"}
        container: Json = {"type": "message", "message_ts": ts, "channel_id": place.id}
        message = place.messages.get(ts)
        if message is not None:
            if user not in place.members:
                raise NotPossible(f"{user} is not in {place.name}")
            if message.is_reply:
                container["thread_ts"] = message.thread_ts
            shown = place.shown(message, with_metadata=True)
            container |= {"is_ephemeral": False}
            return message.blocks, {"channel": channel, "container": container, "message": shown}
        for seen in self.state.ephemerals:
            if (seen.user, seen.channel, seen.ts) == (user, place.id, ts):
                return seen.blocks, {"channel": channel, "container": container | {"is_ephemeral": True}}
        raise NotPossible(f"{user} sees no message {ts} in {place.name}")

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
        action[_value_name(element)] = _chosen(element, value)
        return action

    # modals and Home

    async def submit_view(self, user: str, values: Mapping[str, object] | None = None) -> Reply:
        """Fill the fields of the person's modal (by `action_id`) and submit it; does what the app answers.

        NotPossible if a required field is empty, as Slack does not even send that.
        """
        view = self._modal(user)
        self._fill(view, values or {})
        team = self.state.teams[view.team]
        trigger = self._trigger(user, team)
        payload = self._frame("view_submission", user, team) | {
            "trigger_id": trigger,
            "view": view.as_json(self.state.app.id, team.install.bot_id),
            "response_urls": [],
        }
        outcome = await self.courier.send_once(Parcel("interactive", "view_submission", payload))
        error = _error(outcome)
        if error is None:
            self._apply(view, outcome.json() or {})
        return Reply(outcome, error, trigger_id=trigger)

    async def close_view(self, user: str) -> Reply | None:
        """Close the person's modal; the app hears of it only if the view asked for that."""
        view = self._modal(user)
        self.state.surfaces.modals[user].pop()
        if not view.json.get("notify_on_close"):
            return None
        team = self.state.teams[view.team]
        shown = {"view": view.as_json(self.state.app.id, team.install.bot_id), "is_cleared": False}
        payload = self._frame("view_closed", user, team) | shown
        outcome = await self.courier.send_once(Parcel("interactive", "view_closed", payload))
        return Reply(outcome, _error(outcome))

    def _apply(self, view: View, answer: Json) -> None:
        """Do what `response_action` says; without one the modal closes."""
        stack = self.state.surfaces.modals[view.user]
        action = answer.get("response_action")
        if action == "errors":
            view.errors = dict(answer.get("errors", {}))
            unknown = view.errors.keys() - {block["block_id"] for block in view.blocks}
            if unknown or not view.errors:
                raise NotPossible(f"the app found fault with fields that are not there: {sorted(unknown)}")
        elif action in ("update", "push"):
            new, problems = checked_view(answer.get("view"), self.state.ids)
            if problems:
                raise NotPossible(f"the app answered with a broken view: {problems}")
            if action == "update":
                self.state.surfaces.replace(view, new)
            else:
                self.state.surfaces.push(view.user, view.team, new)
        elif action == "clear":
            stack.clear()
        elif action is None:
            stack.remove(view)
        else:
            raise NotPossible(f"the app answered with an unknown response_action {action}")

    def _fill(self, view: View, values: Mapping[str, object]) -> None:
        for action_id, value in values.items():
            block_id, element = find(view.blocks, action_id, None)
            filled = {"type": element["type"], _value_name(element): _chosen(element, value)}
            view.values.setdefault(block_id, {})[action_id] = filled
        for block in view.blocks:
            if block["type"] == "input" and not block.get("optional"):
                element = block["element"]
                value = view.values[block["block_id"]][element["action_id"]][_value_name(element)]
                if value in (None, "", []):
                    raise NotPossible(f"{element['action_id']} is empty and required")

    def _modal(self, user: str) -> View:
        view = self.state.surfaces.modal(user)
        if view is None:
            raise NotPossible(f"{user} has no modal open")
        return view

    def _open_view(self, user: str) -> View:
        view = self.state.surfaces.modal(user) or self.state.surfaces.homes.get(user)
        if view is None:
            raise NotPossible(f"{user} has neither a modal open nor a Home tab")
        return view

    # shortcuts

    async def message_shortcut(self, user: str, channel: str, ts: str, callback_id: str) -> Reply:
        """Choose one of the app's entries in a message's menu."""
        team, place = self._place(channel)
        message = self.state.message(channel, ts)
        trigger = self._trigger(user, team)
        path = self.state.surfaces.response_url(
            "actions",
            team=team.id,
            user=user,
            channel=channel,
            thread_ts=message.thread_ts if message.is_reply else None,
        )
        payload = self._frame("message_action", user, team) | {
            "callback_id": callback_id,
            "trigger_id": trigger,
            "response_url": self.base_url() + path,
            "action_ts": f"{time.time():.6f}",
            "message_ts": ts,
            "message": place.shown(message, with_metadata=True),
            "channel": {"id": place.id, "name": place.name},
        }
        outcome = await self.courier.send_once(Parcel("interactive", "message_action", payload))
        return Reply(outcome, _error(outcome), response_path=path, trigger_id=trigger)

    async def global_shortcut(self, user: str, callback_id: str) -> Reply:
        """Choose one of the app's entries in the shortcuts menu."""
        team = next(team for team in self.state.teams.values() if user in team.users)
        trigger = self._trigger(user, team)
        chosen = {"callback_id": callback_id, "trigger_id": trigger, "action_ts": f"{time.time():.6f}"}
        payload = self._frame("shortcut", user, team) | chosen
        outcome = await self.courier.send_once(Parcel("interactive", "shortcut", payload))
        return Reply(outcome, _error(outcome), trigger_id=trigger)

    # answers through response_url

    async def take_response(self, request: web.Request) -> web.Response:
        """Take what the app sends to a response address."""
        address = self.state.surfaces.response_urls.get(request.path)
        if address is None or time.monotonic() > address.expires_at:
            return web.json_response({"ok": False, "error": "expired_url"}, status=404)
        if address.uses >= RESPONSE_USES:
            return web.json_response({"ok": False, "error": "used_url"}, status=404)
        try:
            answer = await request.json()
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            return web.json_response({"ok": False, "error": "invalid_payload"}, status=400)
        try:
            self._respond(address, answer)
        except ApiError as error:
            return web.json_response(error.as_json(), status=400)
        address.uses += 1
        return web.Response(text="ok")

    def _respond(self, address: ResponseUrl, answer: Json) -> None:
        team, place = self._place(address.channel)
        if answer.get("delete_original"):
            self._delete_original(address, team, place)
            return
        text, blocks = str(answer.get("text") or ""), self._kept_blocks(answer)
        if not text.strip() and not blocks:
            raise ApiError("no_text")
        if answer.get("replace_original") and address.message_ts is not None:
            self._replace_original(address, team, place, text, blocks)
        elif answer.get("response_type") == "in_channel":
            self._post(team, place, text, blocks, _thread(address, answer))
        else:
            self._show(address.user, place.id, text, blocks, "response_url", _thread(address, answer))

    def _replace_original(
        self, address: ResponseUrl, team: Team, place: Channel, text: str, blocks: list[Json]
    ) -> None:
        message = place.messages.get(address.message_ts or "")
        if message is not None:
            self.changes.change(team, place, message, text=text, blocks=blocks)
            return
        self._delete_original(address, team, place)
        seen = self._show(address.user, place.id, text, blocks, "response_url", address.thread_ts)
        address.message_ts = seen.ts

    def _delete_original(self, address: ResponseUrl, team: Team, place: Channel) -> None:
        message = place.messages.get(address.message_ts or "")
        if message is not None:
            self.changes.delete(team, place, message)
        kept = [
            seen
            for seen in self.state.ephemerals
            if (seen.user, seen.ts) != (address.user, address.message_ts)
        ]
        self.state.ephemerals[:] = kept

    # small things

    def _place(self, channel: str) -> tuple[Team, Channel]:
        team = self.state.team_of(channel)
        return team, team.channels[channel]

    def _address(self, path: str) -> ResponseUrl:
        return self.state.surfaces.response_urls[path]

    def _trigger(self, user: str, team: Team) -> str:
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

    def _kept_blocks(self, answer: Json) -> list[Json]:
        return checked_blocks(answer.get("blocks"), self.state.ids)

    def _post(
        self, team: Team, place: Channel, text: str, blocks: list[Json], thread_ts: str | None
    ) -> Message:
        message = Message(
            place.next_ts(self.state.now_us()),
            place.id,
            text=text,
            blocks=blocks,
            bot_id=team.install.bot_id,
            user=team.bot.id,
            app_id=self.state.app.id,
            team=team.id,
            thread_ts=thread_ts,
        )
        return self.changes.post(team, place, message)

    def _show(
        self,
        user: str,
        channel: str,
        text: str,
        blocks: list[Json],
        via: Literal["command", "response_url", "slack"],
        thread_ts: str | None = None,
    ) -> Ephemeral:
        ts = self.state.channel(channel).next_ts(self.state.now_us())
        seen = Ephemeral(ts, user, channel, text, blocks, via, thread_ts)
        self.state.show(seen)
        return seen


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


def _value_name(element: Json) -> str:
    return "selected_option" if element["type"] == "overflow" else INITIAL[element["type"]][0]


def _chosen(element: Json, value: object) -> object:
    """What was chosen, as payloads say it; NotPossible for an option that the menu does not have."""
    name = _value_name(element)
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


def _remember(values: dict[str, dict[str, Json]], block_id: str, action: Json) -> None:
    """Keep what was chosen in `state.values`; a button has no value there."""
    names = INITIAL.get(action["type"])
    if names is not None:
        kept = {"type": action["type"], names[0]: action[names[0]]}
        values.setdefault(block_id, {})[action["action_id"]] = kept


def _error(outcome: Outcome) -> str | None:
    if outcome.ok:
        return None
    return TIMED_OUT if outcome.reason == "http_timeout" else FAILED


def _thread(address: ResponseUrl, answer: Json) -> str | None:
    given = answer.get("thread_ts")
    return str(given) if given else address.thread_ts
