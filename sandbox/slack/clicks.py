"""People who click in messages: buttons, menus, and the app's entries in menus (shortcuts)."""

from __future__ import annotations

import time

from sandbox.slack.acting import Acting, Reply, error_of, find, remember
from sandbox.slack.courier import Parcel
from sandbox.slack.model import Channel, Json, Team
from sandbox.slack.people import NotPossible


class Clicks(Acting):
    """Presses and chooses. An `action_id` that is not there fails loudly."""

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
        remember(values, found_in, action)
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

    async def message_shortcut(self, user: str, channel: str, ts: str, callback_id: str) -> Reply:
        """Choose one of the app's entries in a message's menu."""
        if callback_id not in dict(self.state.app.message_shortcuts):
            raise NotPossible(f"a message's menu has no entry {callback_id} of the app's")
        team, place = self._place(channel)
        message = self.state.message(channel, ts)
        trigger = self.trigger(user, team)
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
        return Reply(outcome, error_of(outcome), response_path=path, trigger_id=trigger)

    async def global_shortcut(self, user: str, callback_id: str) -> Reply:
        """Choose one of the app's entries in the shortcuts menu."""
        team = next(team for team in self.state.teams.values() if user in team.users)
        trigger = self.trigger(user, team)
        chosen = {"callback_id": callback_id, "trigger_id": trigger, "action_ts": f"{time.time():.6f}"}
        payload = self._frame("shortcut", user, team) | chosen
        outcome = await self.courier.send_once(Parcel("interactive", "shortcut", payload))
        return Reply(outcome, error_of(outcome), trigger_id=trigger)
