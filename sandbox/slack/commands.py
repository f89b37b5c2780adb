"""Slash commands, and the response addresses through which the app answers later."""

from __future__ import annotations

import re
import time
from typing import Final, Literal

from aiohttp import web

from sandbox.slack.acting import Acting, Reply, error_of
from sandbox.slack.calls import ApiError
from sandbox.slack.courier import Outcome, Parcel
from sandbox.slack.methods.chat import checked_blocks
from sandbox.slack.model import Channel, Json, Message, Team
from sandbox.slack.people import NotPossible
from sandbox.slack.state import Ephemeral
from sandbox.slack.surfaces import RESPONSE_USES, ResponseUrl

INVALID: Final = "invalid_command_response"


class Commands(Acting):
    """Types slash commands and takes what the app sends to response addresses, of clicks as well."""

    async def slash_command(self, user: str, channel: str, command: str, text: str = "") -> Reply:
        """Type a slash command in a channel (threads have none) and wait for the immediate answer."""
        if command not in self.state.app.commands:
            raise NotPossible(f"{command} is not a valid command")
        team, place = self._place(channel)
        trigger = self.trigger(user, team)
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
        error = error_of(outcome)
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

    def _address(self, path: str) -> ResponseUrl:
        return self.state.surfaces.response_urls[path]

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


def _thread(address: ResponseUrl, answer: Json) -> str | None:
    given = answer.get("thread_ts")
    return str(given) if given else address.thread_ts
