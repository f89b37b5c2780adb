"""People who use the app's modals and its Home tab."""

from __future__ import annotations

from collections.abc import Mapping

from sandbox.slack.acting import Acting, Reply, chosen, error_of, find, remember, value_name
from sandbox.slack.courier import Parcel
from sandbox.slack.methods.views import checked_view
from sandbox.slack.model import Json
from sandbox.slack.people import NotPossible
from sandbox.slack.surfaces import View


class Modals(Acting):
    """Fills, submits and closes the modal that a person has open; presses what is in it or in Home."""

    async def press_in_view(self, user: str, action_id: str, value: object = None) -> Reply:
        """Press a button or choose in a menu of the person's modal, or of the Home tab if none is open."""
        view = self._open_view(user)
        block_id, element = find(view.blocks, action_id, None)
        action = self._action(element, block_id, value)
        remember(view.values, block_id, action)
        team = self.state.teams[view.team]
        container = {"type": "view", "view_id": view.id}
        shown = {"view": view.as_json(self.state.app.id, team.install.bot_id), "container": container}
        return await self._send_actions(user, team, shown | {"actions": [action]}, None)

    async def submit_view(self, user: str, values: Mapping[str, object] | None = None) -> Reply:
        """Fill the fields of the person's modal (by `action_id`) and submit it; does what the app answers.

        NotPossible if a required field is empty, as Slack does not even send that.
        """
        view = self._modal(user)
        self._fill(view, values or {})
        team = self.state.teams[view.team]
        trigger = self.trigger(user, team)
        payload = self._frame("view_submission", user, team) | {
            "trigger_id": trigger,
            "view": view.as_json(self.state.app.id, team.install.bot_id),
            "response_urls": [],
        }
        outcome = await self.courier.send_once(Parcel("interactive", "view_submission", payload))
        error = error_of(outcome)
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
        return Reply(outcome, error_of(outcome))

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
            filled = {"type": element["type"], value_name(element): chosen(element, value)}
            view.values.setdefault(block_id, {})[action_id] = filled
        for block in view.blocks:
            if block["type"] == "input" and not block.get("optional"):
                element = block["element"]
                value = view.values[block["block_id"]][element["action_id"]][value_name(element)]
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
