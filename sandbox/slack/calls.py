"""One call of the Web API: its arguments from wherever the client put them, who calls, and the errors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NoReturn
from urllib.parse import parse_qsl

from aiohttp import web

from sandbox.slack.changes import Changes
from sandbox.slack.model import Channel, Install, Json, Message, Team, User
from sandbox.slack.state import State

ENCODED: Final = frozenset({"blocks", "attachments", "metadata", "view", "users", "unfurls", "files"})
"""Arguments that are JSON themselves when they come in a query or a form."""


class ApiError(Exception):
    """A call that Slack answers with `ok: false`. `more` goes into the answer beside `error`."""

    def __init__(self, code: str, **more: object) -> None:
        super().__init__(code)
        self.code = code
        self.more = more

    def as_json(self) -> Json:
        return {"ok": False, "error": self.code, **self.more}


@dataclass(frozen=True)
class Args:
    """Arguments by name; values are strings (query, form) or JSON values."""

    values: Mapping[str, Any]

    def text(self, name: str) -> str | None:
        value = self.values.get(name)
        return None if value is None else str(value)

    def need(self, name: str, error: str = "invalid_arguments") -> str:
        value = self.text(name)
        if not value:
            missing = f"[ERROR] missing required field: {name}"
            raise ApiError(error, response_metadata={"messages": [missing]})
        return value

    def flag(self, name: str, default: bool = False) -> bool:
        value = self.values.get(name)
        if value is None:
            return default
        return value is True or str(value).lower() in ("1", "true")

    def number(self, name: str, default: int, *, most: int) -> int:
        value = self.values.get(name)
        if value in (None, ""):
            return default
        try:
            number = int(str(value))
        except ValueError:
            raise ApiError("invalid_arguments") from None
        if number < 1:
            raise ApiError("invalid_limit")
        return min(number, most)

    def json(self, name: str, error: str) -> Any:
        """A JSON argument, decoded if it came as a string; None if absent or empty."""
        value = self.values.get(name)
        if not isinstance(value, str):
            return value
        if not value.strip():
            return None
        try:
            return json.loads(value)
        except ValueError:
            raise ApiError(error) from None


def read_args(request: web.Request, body: bytes) -> Args:
    """Take arguments from the query, a form or a JSON body. ApiError if the body is not what it claims to
    be."""
    values: dict[str, Any] = dict(request.query)
    if request.content_type == "application/json" and body:
        try:
            decoded = json.loads(body)
        except ValueError:
            raise ApiError("invalid_json") from None
        if not isinstance(decoded, dict):
            raise ApiError("json_not_object")
        values |= {name: value for name, value in decoded.items() if value is not None}
    elif request.content_type == "application/x-www-form-urlencoded" and body:
        values |= dict(parse_qsl(body.decode("utf-8", errors="replace"), keep_blank_values=True))
    return Args(values)


@dataclass(frozen=True)
class ApiCall:
    """Who calls which method with what, and the world to act on."""

    method: str
    args: Args
    state: State
    changes: Changes
    team: Team
    hidden_s: float = 0.0
    """For how many real seconds what this call makes stays out of lists (a fault)."""
    reads_are_restricted: bool = False

    @property
    def install(self) -> Install:
        return self.team.install

    @property
    def bot(self) -> User:
        return self.team.bot

    def need_scope(self, *alternatives: str) -> None:
        """Fail unless one of the scopes was granted."""
        if not self.install.scopes.intersection(alternatives):
            provided = ",".join(sorted(self.install.scopes))
            raise ApiError("missing_scope", needed=",".join(alternatives), provided=provided)

    def channel(self, *, by_name: bool = False) -> Channel:
        """The channel that the call names and the bot can see. Private ones show themselves to members
        only."""
        named = self.args.need("channel", "channel_not_found")
        found = self.team.channels.get(named)
        if found is None and by_name:
            found = self.team.channel_named(named)
        if found is None or found.is_deleted:
            self.no_channel()
        if (found.is_private or found.is_im) and self.bot.id not in found.members:
            self.no_channel()
        return found

    def no_channel(self) -> NoReturn:
        raise ApiError("channel_not_found")

    def need_membership(self, channel: Channel) -> None:
        if self.bot.id not in channel.members:
            raise ApiError("not_in_channel")

    def message(self, channel: Channel, name: str = "ts", error: str = "message_not_found") -> Message:
        """The message that the argument names; a tombstone is none."""
        found = channel.messages.get(self.args.text(name) or "")
        if found is None or found.is_tombstone:
            raise ApiError(error)
        return found
