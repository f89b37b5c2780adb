"""The Web API as HTTP: who calls, may they, are they too fast; then the method, then Slack's kind of
answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from aiohttp import web

from sandbox.faults import Call, Faults
from sandbox.slack.calls import ApiCall, ApiError, Args, read_args
from sandbox.slack.changes import Changes
from sandbox.slack.methods import METHODS
from sandbox.slack.model import Json, Team
from sandbox.slack.pacing import Pacing
from sandbox.slack.state import State
from sandbox.wire import Direction, End

APP_METHODS: Final = frozenset({"apps.connections.open"})
"""Called with the app-level token, not with a bot token."""


def describe(request: web.Request, body: bytes) -> Call:
    """Name a received call for faults and wire; never fails, whatever the body is."""
    try:
        args = read_args(request, body)
    except ApiError:
        args = Args({})
    return _call_of(request, args)


def _call_of(request: web.Request, args: Args) -> Call:
    known = ("channel", "text", "thread_ts", "ts", "timestamp", "name", "user", "username")
    facts = {name: str(args.values[name]) for name in known if name in args.values}
    return Call(End.SLACK, _operation(request.path), request.path, Direction.IN, facts)


@dataclass
class WebApi:
    """Answers `POST` and `GET` on `/api/{method}`."""

    state: State
    changes: Changes
    pacing: Pacing
    faults: Faults
    app_methods: dict[str, Callable[[], Json]] = field(default_factory=dict)
    calls: list[tuple[str, Args]] = field(default_factory=list)
    """Every call that got past the token, in order: for tests that count."""

    async def answer(self, request: web.Request) -> web.Response:
        """Answer one call. 200 with `ok` true or false, 429 when it came too fast."""
        method = request.match_info["method"]
        team: Team | None = None
        try:
            args = read_args(request, await request.read())
            token = _token(request, args)
            if method in APP_METHODS:
                return self._ok(self._app_method(method, token), None)
            team = self._team(token)
            return self._ok(self._call(method, team, args, _call_of(request, args)), team)
        except _TooFast as error:
            headers = {"Retry-After": str(error.wait_s)}
            return web.json_response({"ok": False, "error": "ratelimited"}, status=429, headers=headers)
        except ApiError as error:
            return self._shown(error.as_json(), team)

    def _call(self, method: str, team: Team, args: Args, named: Call) -> Json:
        known = METHODS.get(method)
        if known is None:
            raise ApiError("unknown_method", req_method=method)
        self.calls.append((method, args))
        channel = args.text("channel")
        wait_s = self.pacing.wait_for(team.id, method, known.tier, channel)
        if wait_s:
            raise _TooFast(wait_s)
        call = ApiCall(
            method,
            args,
            self.state,
            self.changes,
            team,
            hidden_s=self.faults.hidden_for_s(named),
            reads_are_restricted=self.pacing.limits.reads_are_restricted,
        )
        if known.scopes:
            call.need_scope(*known.scopes)
        try:
            return known.act(call)
        finally:
            self.state.has_changed()

    def _app_method(self, method: str, token: str | None) -> Json:
        if token is None:
            raise ApiError("not_authed")
        if token != self.state.app.app_token:
            raise ApiError("not_allowed_token_type" if token.startswith("xoxb-") else "invalid_auth")
        return self.app_methods[method]()

    def _team(self, token: str | None) -> Team:
        if not token:
            raise ApiError("not_authed")
        team = self.state.team_by_token(token)
        if team is None:
            raise ApiError("not_allowed_token_type" if token.startswith("xapp-") else "invalid_auth")
        if team.install.revoked_because is not None:
            raise ApiError(team.install.revoked_because)
        return team

    def _ok(self, answer: Json, team: Team | None) -> web.Response:
        return self._shown({"ok": True} | answer, team)

    def _shown(self, answer: Json, team: Team | None) -> web.Response:
        headers = {"X-Slack-Req-Id": self.state.ids.hex(32)}
        if team is not None:
            headers["X-OAuth-Scopes"] = ",".join(sorted(team.install.scopes))
        return web.json_response(answer, headers=headers)


class _TooFast(Exception):
    def __init__(self, wait_s: int) -> None:
        super().__init__(f"wait {wait_s} s")
        self.wait_s = wait_s


def _operation(path: str) -> str:
    """The method, `response_url`, or the first part of any other path."""
    first, _, rest = path.lstrip("/").partition("/")
    return rest if first == "api" else "response_url" if first in ("commands", "actions") else first


def _token(request: web.Request, args: Args) -> str | None:
    header = request.headers.get("Authorization", "")
    if header.startswith("Bearer "):
        return header.removeprefix("Bearer ").strip()
    return args.text("token")
