"""Modals and Home tabs: `views.open`, `push`, `update`, `publish`."""

from __future__ import annotations

import json
import time
from typing import Final

from sandbox.slack import blocks as block_kit
from sandbox.slack.calls import ApiCall, ApiError
from sandbox.slack.model import Ids, Json
from sandbox.slack.surfaces import MAX_MODALS, View

MAX_VIEW_BYTES: Final = 250_000


def open_modal(call: ApiCall) -> Json:
    view = _view(call)
    user = _exchange_trigger(call)
    call.state.surfaces.modals.pop(user, None)
    return _shown(call, call.state.surfaces.push(user, call.team.id, view))


def push(call: ApiCall) -> Json:
    view = _view(call)
    user = _exchange_trigger(call)
    if len(call.state.surfaces.modals.get(user, ())) >= MAX_MODALS:
        raise ApiError("push_limit_reached")
    return _shown(call, call.state.surfaces.push(user, call.team.id, view))


def update(call: ApiCall) -> Json:
    new = _view(call)
    view = _find(call)
    if call.args.text("hash") not in (None, view.hash):
        raise ApiError("hash_conflict")
    call.state.surfaces.replace(view, new)
    return _shown(call, view)


def publish(call: ApiCall) -> Json:
    user = call.args.need("user_id", "user_not_found")
    if user not in call.team.users:
        raise ApiError("user_not_found")
    new = _view(call)
    home = call.state.surfaces.homes.get(user)
    if home is not None and call.args.text("hash") not in (None, home.hash):
        raise ApiError("hash_conflict")
    return _shown(call, call.state.surfaces.publish(user, call.team.id, new))


def checked_view(given: object, ids: Ids) -> tuple[Json, list[str]]:
    """The view with ids filled in, and what is wrong with it in Slack's words."""
    if not isinstance(given, dict) or given.get("type") not in ("modal", "home"):
        return {}, ["[ERROR] must be a modal or home view [json-pointer:/view/type]"]
    checked = block_kit.check(
        given.get("blocks"),
        limit=block_kit.MAX_VIEW_BLOCKS,
        pointer="/view/blocks",
        new_id=lambda: ids.hex(5),
    )
    problems = [*checked.problems, *_frame_problems(given)]
    return given | {"blocks": checked.blocks}, problems


def _frame_problems(view: Json) -> list[str]:
    problems: list[str] = []
    limits = {"private_metadata": 3000, "callback_id": 255, "external_id": 255}
    for name, limit in limits.items():
        if len(str(view.get(name) or "")) > limit:
            problems.append(f"[ERROR] must be less than {limit + 1} characters [json-pointer:/view/{name}]")
    for name in ("title", "submit", "close"):
        text = view.get(name)
        required = view["type"] == "modal" and name == "title"
        if text is None and not required:
            continue
        if not isinstance(text, dict) or text.get("type") != "plain_text":
            problems.append(f"[ERROR] missing required field: {name} [json-pointer:/view]")
        elif not 0 < len(str(text.get("text", ""))) <= 24:
            problems.append(f"[ERROR] must be less than 25 characters [json-pointer:/view/{name}/text]")
    blocks = view.get("blocks")
    has_input = isinstance(blocks, list) and any(
        isinstance(block, dict) and block.get("type") == "input" for block in blocks
    )
    if view["type"] == "modal" and has_input and view.get("submit") is None:
        problems.append("[ERROR] missing required field: submit [json-pointer:/view]")
    return problems


def _view(call: ApiCall) -> Json:
    given = call.args.json("view", "invalid_arguments")
    if len(json.dumps(given)) > MAX_VIEW_BYTES:
        raise ApiError("view_too_large")
    view, problems = checked_view(given, call.state.ids)
    if problems:
        raise ApiError("invalid_arguments", response_metadata={"messages": problems})
    return view


def _exchange_trigger(call: ApiCall) -> str:
    """The person whose trigger this is; a trigger works once and for three seconds."""
    trigger = call.state.surfaces.triggers.get(call.args.need("trigger_id"))
    if trigger is None or trigger.team != call.team.id:
        raise ApiError("invalid_trigger_id")
    if trigger.is_used:
        raise ApiError("exchanged_trigger_id")
    if time.monotonic() > trigger.expires_at:
        raise ApiError("expired_trigger_id")
    trigger.is_used = True
    return trigger.user


def _find(call: ApiCall) -> View:
    surfaces = call.state.surfaces
    external = call.args.text("external_id")
    if external:
        everything = [view for stack in surfaces.modals.values() for view in stack]
        found = next((view for view in everything if view.json.get("external_id") == external), None)
    else:
        found = surfaces.view(call.args.need("view_id"))
    if found is None:
        raise ApiError("not_found")
    return found


def _shown(call: ApiCall, view: View) -> Json:
    return {"view": view.as_json(call.state.app.id, call.install.bot_id)}
