"""How Slack's calls reach the app: signed requests over HTTP, three retries for events, or Socket Mode.

Only events are repeated. A slash command or a click is tried once, and the person sees what became of it.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import time
from collections import deque
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any, Final, Protocol
from urllib.parse import urlencode

import aiohttp
from yarl import URL

from sandbox.faults import ABANDONING_KINDS, Call, Faults
from sandbox.slack.events import Event
from sandbox.slack.model import Json
from sandbox.slack.state import State
from sandbox.wire import Direction, End, Wire

RETRY_DELAYS_S: Final = (1.0, 60.0, 300.0)
"""Seconds of the sandbox between one attempt and the next: nearly at once, a minute, five minutes."""
DELAYED_EVERY_S: Final = 3600.0
DELAYED_TIMES: Final = 24
MAX_REDIRECTS: Final = 2


@dataclass(frozen=True)
class Outcome:
    """What came of one attempt: acknowledged, or why not in Slack's words, and what was answered."""

    ok: bool
    reason: str | None = None
    status: int | None = None
    body: str = ""
    content_type: str = ""
    no_retry: bool = False
    lost_socket: bool = False

    def json(self) -> Json | None:
        """The answer as a JSON object, None if it is none."""
        try:
            decoded = json.loads(self.body)
        except ValueError:
            return None
        return decoded if isinstance(decoded, dict) else None


class Line(Protocol):
    """A way to the app for one kind of delivery."""

    async def send(self, parcel: Parcel, retry: int, reason: str | None) -> Outcome: ...


@dataclass(frozen=True)
class Parcel:
    """One thing to deliver. `kind` is Socket Mode's word: `events_api`, `slash_commands`, `interactive`."""

    kind: str
    name: str
    payload: Json

    def body(self) -> tuple[bytes, str]:
        """The body and content type of the request over HTTP."""
        if self.kind == "events_api":
            return json.dumps(self.payload).encode(), "application/json"
        fields = self.payload if self.kind == "slash_commands" else {"payload": json.dumps(self.payload)}
        return urlencode(fields).encode(), "application/x-www-form-urlencoded"

    def facts(self) -> dict[str, str]:
        """What fault rules may ask for."""
        inner = self.payload.get("event", self.payload)
        known = ("channel", "ts", "thread_ts", "user", "text", "client_msg_id", "command", "bot_id")
        found = {name: str(inner[name]) for name in known if isinstance(inner.get(name), str)}
        return found | {"event_id": str(self.payload.get("event_id", ""))}


@dataclass(frozen=True)
class Lost:
    """An event that the app never acknowledged and Slack no longer repeats."""

    event: Event
    attempts: int
    reason: str | None


class Http:
    """Signed requests to the app's URL."""

    def __init__(self, state: State, wire: Wire, faults: Faults) -> None:
        self._state = state
        self._wire = wire
        self._faults = faults
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        # Slack's own time limit is set per request; cookies would be shared between installs
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=64), cookie_jar=aiohttp.DummyCookieJar()
        )

    async def stop(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def send(self, parcel: Parcel, retry: int, reason: str | None) -> Outcome:
        url = self._state.app.url
        if url is None:
            return Outcome(False, "connection_failed")
        body, content_type = parcel.body()
        headers = signed(body, self._state.app.signing_secret) | {"Content-Type": content_type}
        if retry:
            headers |= {"X-Slack-Retry-Num": str(retry), "X-Slack-Retry-Reason": reason or "unknown_error"}
        path = URL(url).raw_path
        number = self._wire.begin(
            End.SLACK, Direction.OUT, "POST", path, parcel.name, request=body.decode(errors="replace")
        )
        outcome = Outcome(False, "unknown_error")
        rule = self._faults.take(call_of(parcel), ABANDONING_KINDS)
        limit_s = self._state.switches.ack_limit_s
        if rule is not None:
            limit_s = min(limit_s, self._state.clock.seconds(rule.fault.seconds))
        try:
            outcome = await self._post(url, body, headers, limit_s)
        finally:
            fault = None if rule is None else rule.fault.kind.value
            self._wire.finish(
                number, status=outcome.status, response=outcome.body or outcome.reason or "", fault=fault
            )
        return outcome

    async def _post(self, url: str, body: bytes, headers: dict[str, str], limit_s: float) -> Outcome:
        assert self._session is not None, "start() comes first"
        try:
            async with asyncio.timeout(limit_s):
                async with self._session.post(
                    url, data=body, headers=headers, max_redirects=MAX_REDIRECTS + 1
                ) as answer:
                    text = await answer.text(errors="replace")
        except TimeoutError:
            return Outcome(False, "http_timeout")
        except aiohttp.TooManyRedirects:
            return Outcome(False, "too_many_redirects")
        except aiohttp.ClientSSLError:
            return Outcome(False, "ssl_error")
        except (aiohttp.ClientError, OSError):
            return Outcome(False, "connection_failed")
        ok = 200 <= answer.status < 300
        return Outcome(
            ok,
            None if ok else "http_error",
            answer.status,
            text,
            answer.content_type,
            no_retry=answer.headers.get("X-Slack-No-Retry") == "1",
        )


@dataclass
class Courier:
    """Delivers events with retries and single parcels without, over the line that is switched on."""

    state: State
    faults: Faults
    http: Http
    sockets: Line
    on_new_socket: asyncio.Event
    lost: list[Lost] = field(default_factory=list)
    acknowledged: list[str] = field(default_factory=list)
    is_disabled: bool = False
    rate_limited_minutes: list[int] = field(default_factory=list)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _recent: deque[tuple[float, bool]] = field(default_factory=deque)
    _hour: deque[float] = field(default_factory=deque)

    @property
    def line(self) -> Line:
        return self.sockets if self.state.switches.socket_mode else self.http

    @property
    def under_way(self) -> int:
        """How many events are being delivered or wait for their next attempt."""
        return len(self._tasks)

    def send_event(self, event: Event) -> None:
        """Deliver an event, as the fault script wants it; returns at once."""
        if self.is_disabled or self._is_over_the_limit():
            return
        parcel = Parcel("events_api", event.name, event.body)
        for delay_s in self.faults.plan(call_of(parcel)).delays_s:
            self._start(self._deliver(event, parcel, delay_s))

    async def send_once(self, parcel: Parcel) -> Outcome:
        """Deliver a command or an interaction; one attempt."""
        return await self.line.send(parcel, 0, None)

    async def stop(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def idle(self, *, timeout_s: float = 10.0) -> None:
        """Wait until no delivery is under way; TimeoutError if it takes longer (real seconds)."""
        async with asyncio.timeout(timeout_s):
            while self._tasks:
                await asyncio.wait(set(self._tasks), return_when=asyncio.FIRST_COMPLETED)

    async def _deliver(self, event: Event, parcel: Parcel, delay_s: float) -> None:
        if delay_s:
            await asyncio.sleep(delay_s)
        outcome = Outcome(False, None)
        delays = RETRY_DELAYS_S + (
            (DELAYED_EVERY_S,) * DELAYED_TIMES if self.state.switches.delayed_events else ()
        )
        for retry in range(len(delays) + 1):
            if retry:
                await self._pause(delays[retry - 1], outcome)
            outcome = await self.line.send(parcel, retry, outcome.reason)
            self._count(outcome.ok)
            if outcome.ok:
                self.acknowledged.append(event.id)
            self.state.has_changed()
            if outcome.ok:
                return
            if outcome.no_retry:
                break
        self.lost.append(Lost(event, retry + 1, outcome.reason))
        self.state.has_changed()

    async def _pause(self, delay_s: float, outcome: Outcome) -> None:
        """Wait for the next attempt; what a closed socket left unacknowledged goes out with the next
        socket."""
        if not outcome.lost_socket:
            await self.state.clock.sleep(delay_s)
            return
        try:
            async with asyncio.timeout(self.state.clock.seconds(delay_s)):
                await self.on_new_socket.wait()
        except TimeoutError:
            pass  # nobody connected: the ordinary schedule goes on

    def _count(self, ok: bool) -> None:
        now = time.monotonic() * self.state.clock.scale
        self._recent.append((now, ok))
        while self._recent and self._recent[0][0] < now - 3600:
            self._recent.popleft()
        failed = sum(not each for _, each in self._recent) if self.state.switches.auto_disable else 0
        if len(self._recent) >= 1000 and failed > 0.95 * len(self._recent):
            self.is_disabled = True

    def _is_over_the_limit(self) -> bool:
        now = time.monotonic() * self.state.clock.scale
        while self._hour and self._hour[0] < now - 3600:
            self._hour.popleft()
        if len(self._hour) < self.state.switches.events_per_hour:
            self._hour.append(now)
            return False
        self._announce_limit(int(now // 60))
        return True

    def _announce_limit(self, minute: int) -> None:
        if minute in self.rate_limited_minutes[-1:]:
            return
        self.rate_limited_minutes.append(minute)
        for team in self.state.teams.values():
            body: Json = {
                "token": self.state.app.verification_token,
                "type": "app_rate_limited",
                "team_id": team.id,
                "minute_rate_limited": self.state.now_s() // 60 * 60,
                "api_app_id": self.state.app.id,
            }
            self._start(self._announce(Parcel("events_api", "app_rate_limited", body)))

    async def _announce(self, parcel: Parcel) -> None:
        await self.line.send(parcel, 0, None)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def signed(body: bytes, secret: str, *, timestamp: int | None = None) -> dict[str, str]:
    """The headers by which the app knows that the request is Slack's.

    Source: docs.slack.dev, authentication/verifying-requests-from-slack.
    """
    at = str(int(time.time()) if timestamp is None else timestamp)
    digest = hmac.new(secret.encode(), b"v0:" + at.encode() + b":" + body, hashlib.sha256).hexdigest()
    return {"X-Slack-Request-Timestamp": at, "X-Slack-Signature": f"v0={digest}"}


def call_of(parcel: Parcel) -> Call:
    return Call(End.SLACK, parcel.name, "", Direction.OUT, parcel.facts())
