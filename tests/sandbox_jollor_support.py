"""A plain caller of the simulated Jollor and a receiver of its webhooks, for tests of the sandbox itself."""

import asyncio
import json
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import quote

import aiohttp
from aiohttp import web
from pydantic import JsonValue
from yarl import URL

from sandbox.jollor import CLIENT_ID, CLIENT_SECRET, PASSWORD, USERNAME, SimulatedJollor
from sandbox.jollor.model import Conversation, Project

HEADERS = {"Content-Type": "application/json", "Accept": "application/json"}


@dataclass(frozen=True)
class Answer:
    """What came back. `json` is None if the body is no JSON."""

    status: int
    text: str
    content_type: str
    headers: dict[str, str]

    @property
    def json(self) -> JsonValue:
        decoded: JsonValue = json.loads(self.text)
        return decoded

    @property
    def member(self) -> dict[str, JsonValue]:
        decoded = self.json
        assert isinstance(decoded, dict)
        return decoded

    @property
    def items(self) -> list[dict[str, JsonValue]]:
        decoded = self.json
        assert isinstance(decoded, list)
        return [item for item in decoded if isinstance(item, dict)]


@dataclass
class Caller:
    """Calls with a bearer token, once signed in."""

    jollor: SimulatedJollor
    session: aiohttp.ClientSession
    bearer: str | None = None

    async def call(
        self,
        method: str,
        path: str,
        body: JsonValue = None,
        *,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        """Call a path below /public/v1 of the app server."""
        sent = dict(HEADERS if headers is None else headers)
        if self.bearer is not None:
            sent["Authorization"] = f"Bearer {self.bearer}"
        data = None if body is None else json.dumps(body)
        return await self._request(method, f"{self.jollor.app_url}/public/v1{path}", data, sent)

    async def grant(self, grant_type: str, body: dict[str, JsonValue], *, basic: str | None = None) -> Answer:
        """Ask the auth server for a token; the client's credentials are added to `body`."""
        sent = dict(HEADERS)
        if basic is not None:
            sent["Authorization"] = "Basic " + b64encode(basic.encode()).decode()
        full = {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET} | body
        url = f"{self.jollor.auth_url}/oauth2/token?grant_type={grant_type}"
        return await self._request("POST", url, json.dumps(full), sent)

    async def sign_in(self, project: Project | None = None) -> Answer:
        """Get a user token, exchange it if a project is given, and use it from now on."""
        answer = await self.grant("password", {"scope": "profile agency"}, basic=f"{USERNAME}:{PASSWORD}")
        if project is not None:
            answer = await self.grant(
                "token_exchange",
                {
                    "scope": "profile project",
                    "project_id": project.id,
                    "access_token": answer.member["access_token"],
                },
            )
        self.bearer = str(answer.member["access_token"])
        return answer

    async def reply(self, conversation: Conversation, text: str, *, provider: str | None = None) -> Answer:
        path = (
            f"/projects/{conversation.project.id}/{provider or conversation.provider}"
            f"/conversations/{quote(conversation.id, safe='')}/messages"
        )
        return await self.call("POST", path, {"text": text})

    async def messages(self, conversation: Conversation, limit: str = "?limit=1000") -> Answer:
        path = f"/projects/{conversation.project.id}/conversations/{quote(conversation.id, safe='')}/messages"
        return await self.call("GET", path + limit)

    async def _request(self, method: str, url: str, data: str | None, headers: dict[str, str]) -> Answer:
        async with self.session.request(
            method, URL(url, encoded=True), data=data, headers=headers
        ) as response:
            return Answer(
                response.status, await response.text(), response.content_type, dict(response.headers)
            )


@dataclass
class Delivered:
    """One call that reached the receiver."""

    method: str
    challenge: str
    body: JsonValue


@dataclass
class Receiver:
    """An address for webhooks. `status`, `echo` and `silent` decide its answers."""

    url: str = ""
    status: int = 200
    echo: bool = True
    silent: bool = False
    calls: list[Delivered] = field(default_factory=list)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    @property
    def bodies(self) -> list[JsonValue]:
        return [call.body for call in self.calls if call.method == "POST"]

    @property
    def types(self) -> list[str]:
        """Event types of the flat deliveries, in order of arrival."""
        return [str(body["event_type"]) for body in self.bodies if isinstance(body, dict)]

    async def until(self, posts: int, *, timeout_s: float = 5.0) -> list[JsonValue]:
        """The bodies, as soon as there are at least that many."""
        async with asyncio.timeout(timeout_s), self.changed:
            await self.changed.wait_for(lambda: len(self.bodies) >= posts)
        return self.bodies

    async def handle(self, request: web.Request) -> web.Response:
        text = await request.text()
        challenge = request.query.get("challenge", "")
        async with self.changed:
            self.calls.append(Delivered(request.method, challenge, json.loads(text) if text else None))
            self.changed.notify_all()
        if self.silent:
            await asyncio.Event().wait()
        return web.Response(status=self.status, text=challenge if self.echo else "{}")


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    """A receiver that listens."""
    receiver = Receiver()
    app = web.Application()
    app.router.add_route("*", "/hook", receiver.handle)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    receiver.url = f"http://{host}:{port}/hook"
    try:
        yield receiver
    finally:
        await runner.cleanup()


@asynccontextmanager
async def calling(jollor: SimulatedJollor, *, timeout_s: float = 5.0) -> AsyncIterator[Caller]:
    """A caller, not yet signed in."""
    timeout = aiohttp.ClientTimeout(total=timeout_s)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        yield Caller(jollor, session)


async def hooked(caller: Caller, project: Project, receiver: Receiver, *types: str) -> None:
    """Sign in, set up the project's webhook at `receiver` and subscribe to `types`."""
    await caller.sign_in(project)
    assert (await caller.call("POST", f"/projects/{project.id}/webhook")).status == 200
    updated = await caller.call("PUT", f"/projects/{project.id}/webhook", {"callback_url": receiver.url})
    assert updated.status == 200, updated.text
    for kind in types:
        path = f"/projects/{project.id}/webhook/subscriptions?object_type={kind}"
        assert (await caller.call("POST", path)).status == 200
