"""What the page can do, under `/demo/api/`: play customers and colleagues, break things, watch."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable
from typing import Literal, TypeVar

import emoji
from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from sandbox.demo.live import Live
from sandbox.demo.snapshot import conversation_key, post_key, sections
from sandbox.demo.stage import Stage
from sandbox.demo.troubles import Mishap, Trouble
from sandbox.ledger import Cause
from sandbox.slack import NotPossible

MAX_TEXT = 20_000
API = "/demo/api"


class Wanted(BaseModel):
    """What a request asks for; unknown members are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Text(Wanted):
    text: str = Field(min_length=1, max_length=MAX_TEXT)


class CustomerMessage(Text):
    """A private message: to the project, or, `via` the dashboard or the automatic agent, to the customer."""

    project: str
    provider: str = Field(min_length=1, max_length=40)
    name: str = Field(min_length=1, max_length=200)
    conversation: str | None = None
    via: Literal[Cause.NETWORK, Cause.DASHBOARD, Cause.AUTOMATIC] = Cause.NETWORK


class Comment(Text):
    """A public comment, under a post if there is a `parent`."""

    project: str
    provider: str = Field(min_length=1, max_length=40)
    name: str = Field(min_length=1, max_length=200)
    parent: str | None = None


class Line(Text):
    """A line that a person types in a channel or a thread."""

    user: str
    channel: str
    thread_ts: str | None = None
    broadcast: bool = False


class Edit(Text):
    user: str
    channel: str
    ts: str


class Delete(Wanted):
    user: str
    channel: str
    ts: str


class Command(Wanted):
    """`/jollor` and what stands after it."""

    user: str
    channel: str
    command: str
    text: str = Field(default="", max_length=MAX_TEXT)


class Press(Wanted):
    """A button, or, with `value`, a choice in a menu."""

    user: str
    channel: str
    ts: str
    action_id: str
    block_id: str | None = None
    value: str | None = None


class Shortcut(Wanted):
    """One of the app's entries in a message's menu."""

    user: str
    channel: str
    ts: str
    callback_id: str


class Switch(Wanted):
    trouble: Trouble
    on: bool


class Happening(Wanted):
    mishap: Mishap
    project: str | None = None


class BridgeAct(Wanted):
    act: Literal["kill", "start"]


W = TypeVar("W", bound=Wanted)
Answer = dict[str, JsonValue]


class Refused(Exception):
    """Why something cannot be done, as a sentence for the page."""


class Api:
    """The handlers. Each answers an object or `{"error": sentence}`; what came of it is seen in
    the live stream."""

    def __init__(self, stage: Stage, live: Live) -> None:
        self._stage = stage
        self._live = live

    def add_to(self, app: web.Application) -> None:
        """Add the routes."""
        app.router.add_get(f"{API}/events", self._events)
        app.router.add_get(f"{API}/state", self._state)
        app.router.add_get(f"{API}/emoji", _emoji)
        app.add_routes(
            [
                self._post("customers/message", CustomerMessage, self._customer_message),
                self._post("customers/comment", Comment, self._comment),
                self._post("slack/say", Line, self._say),
                self._post("slack/edit", Edit, self._edit),
                self._post("slack/delete", Delete, self._delete),
                self._post("slack/command", Command, self._command),
                self._post("slack/press", Press, self._press),
                self._post("slack/shortcut", Shortcut, self._shortcut),
                self._post("troubles/switch", Switch, self._switch),
                self._post("troubles/happen", Happening, self._happen),
                self._post("bridge", BridgeAct, self._bridge),
            ]
        )

    def _post(self, path: str, wanted: type[W], act: Callable[[W], Awaitable[Answer | None]]) -> web.RouteDef:
        async def handler(request: web.Request) -> web.Response:
            try:
                asked = wanted.model_validate_json(await request.read())
            except ValidationError as error:
                return web.json_response({"error": _what_is_wrong(error)}, status=400)
            try:
                answer = await act(asked)
            except (Refused, NotPossible) as error:
                return web.json_response({"error": str(error)}, status=409)
            except KeyError:
                return web.json_response({"error": "That is not there (any more)."}, status=404)
            finally:
                self._live.touch()
            return web.json_response(answer or {})

        return web.post(f"{API}/{path}", handler)

    # --- watching

    async def _events(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
        await response.prepare(request)
        async for event in self._live.stream():
            await response.write(event.encode())
        return response

    async def _state(self, request: web.Request) -> web.Response:
        return web.json_response(sections(self._stage))

    # --- customers

    async def _customer_message(self, asked: CustomerMessage) -> Answer:
        jollor = self._stage.jollor
        project = jollor.project(asked.project)
        if asked.via is Cause.NETWORK:
            message = jollor.customer_writes(
                project, asked.provider, asked.name, asked.text, asked.conversation
            )
        else:
            conversation = jollor.conversation(project, asked.conversation or "")
            reply = jollor.dashboard_replies if asked.via is Cause.DASHBOARD else jollor.agent_replies
            message = reply(conversation, asked.text)
        return {"key": conversation_key(message.conversation)}

    async def _comment(self, asked: Comment) -> Answer:
        jollor = self._stage.jollor
        parent = None if asked.parent is None else jollor.store.posts[asked.parent]
        post = jollor.comment(
            jollor.project(asked.project), asked.provider, asked.name, asked.text, parent=parent
        )
        return {"key": post_key(post)}

    # --- Slack

    async def _say(self, asked: Line) -> None:
        text = self._as_picked(asked.text)
        self._stage.slack.say(asked.user, asked.channel, text, asked.thread_ts, broadcast=asked.broadcast)

    async def _edit(self, asked: Edit) -> None:
        self._stage.slack.people.edit(asked.channel, asked.ts, self._as_picked(asked.text), by=asked.user)

    async def _delete(self, asked: Delete) -> None:
        self._stage.slack.people.delete(asked.channel, asked.ts, by=asked.user)

    async def _command(self, asked: Command) -> None:
        slack = self._stage.slack
        if asked.command not in slack.app.commands:
            known = " · ".join(sorted(slack.app.commands))
            raise Refused(f"{asked.command} is not a command of this workspace. There is: {known}")
        await slack.slash_command(asked.user, asked.channel, asked.command, asked.text)

    async def _press(self, asked: Press) -> None:
        slack = self._stage.slack
        where = (asked.user, asked.channel, asked.ts, asked.action_id)
        if asked.value is None:
            reply = await slack.press(*where, asked.block_id)
        else:
            reply = await slack.select(*where, asked.value, asked.block_id)
        _check(reply.error)

    async def _shortcut(self, asked: Shortcut) -> None:
        reply = await self._stage.slack.message_shortcut(
            asked.user, asked.channel, asked.ts, asked.callback_id
        )
        _check(reply.error)

    def _as_picked(self, text: str) -> str:
        """`text` with typed @names and #channels as if they had been picked from Slack's menu."""
        team = self._stage.slack.team
        codes: dict[str, str] = {}
        for user in team.users.values():
            codes |= {
                f"@{name.lower()}": f"<@{user.id}>" for name in (user.shown_name, user.real_name, user.name)
            }
        codes |= {f"#{channel.name}": f"<#{channel.id}>" for channel in team.channels.values()}
        known = "|".join(re.escape(code) for code in sorted(codes, key=len, reverse=True))
        pattern = re.compile(rf"(?<![\w<@#])({known})(?!\w)", re.IGNORECASE)
        return pattern.sub(lambda match: codes[match[1].lower()], text)

    # --- trouble

    async def _switch(self, asked: Switch) -> None:
        await self._stage.troubles.switch(asked.trouble, asked.on)

    async def _happen(self, asked: Happening) -> None:
        self._stage.troubles.happen(asked.mishap, asked.project)

    async def _bridge(self, asked: BridgeAct) -> None:
        if asked.act == "kill":
            await self._stage.bridge.kill()
        else:
            await self._stage.bridge.start()


async def _emoji(request: web.Request) -> web.Response:
    """Slack's names of emoji, and the characters that they stand for."""
    names: dict[str, JsonValue] = {}
    for character, data in emoji.EMOJI_DATA.items():
        for name in (data["en"], *data.get("alias", ())):
            names.setdefault(name.strip(":"), character)
    return web.Response(
        text=json.dumps(names, ensure_ascii=False),
        content_type="application/json",
        headers={"Cache-Control": "max-age=3600"},
    )


def _check(error: str | None) -> None:
    if error is not None:
        raise Refused(f"Slack shows a warning sign: the app did not take the click ({error}).")


def _what_is_wrong(error: ValidationError) -> str:
    problems = error.errors(include_url=False, include_input=False, include_context=False)
    return "; ".join(f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}" for problem in problems)
