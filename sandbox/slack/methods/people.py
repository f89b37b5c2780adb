"""Who am I, who are they, what is this: `auth.test`, `users.*`, `bots.info`, `team.info`, `files.info`."""

from __future__ import annotations

from sandbox.slack.calls import ApiCall, ApiError
from sandbox.slack.methods.paging import page
from sandbox.slack.model import Json


def auth_test(call: ApiCall) -> Json:
    return {
        "url": f"https://{call.team.domain}.slack.com/",
        "team": call.team.name,
        "user": call.bot.name,
        "team_id": call.team.id,
        "user_id": call.bot.id,
        "bot_id": call.install.bot_id,
        "is_enterprise_install": False,
    }


def users_info(call: ApiCall) -> Json:
    user = call.team.users.get(call.args.need("user", "user_not_found"))
    if user is None:
        raise ApiError("user_not_found")
    return {"user": user.as_json()}


def users_list(call: ApiCall) -> Json:
    users, metadata = page(call, list(call.team.users.values()), default=1000, most=1000)
    shown = [user.as_json() for user in users]
    return {"members": shown, "cache_ts": call.state.now_s(), "response_metadata": metadata}


def bots_info(call: ApiCall) -> Json:
    if call.args.text("bot") not in (None, call.install.bot_id):
        raise ApiError("bot_not_found")
    profile = {"id": call.install.bot_id, "deleted": False, "name": call.state.app.name, "updated": 0}
    return {"bot": profile | {"app_id": call.state.app.id, "user_id": call.bot.id, "icons": {}}}


def team_info(call: ApiCall) -> Json:
    return {
        "team": {"id": call.team.id, "name": call.team.name, "domain": call.team.domain, "email_domain": ""}
    }


def files_info(call: ApiCall) -> Json:
    file = call.state.files.get(call.args.need("file", "file_not_found"))
    if file is None:
        raise ApiError("file_not_found")
    return {"file": file}
