"""Socket Mode against the simulated Slack: storing, failing, losing and replacing connections, stopping."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from random import Random

import pytest
from aiohttp import web

from bridge.content import ActionId, Button, Notice
from bridge.events import ButtonPressed, CommandGiven
from bridge.ids import ChannelId, DeliveryId, TeamId
from bridge.ports import Outgoing
from sandbox.clock import SandboxClock
from sandbox.faults import Fault, FaultKind
from sandbox.slack import Channel, Limits, SimulatedSlack, User
from sandbox.wire import Direction, End, WireEntry
from slack_app.app import build_app
from slack_app.chat import SlackChat
from slack_app.clients import Clients, OneToken
from slack_app.socket import OnReturn, SocketMode
from tests.slack_stage import FakeInbox, eventually, now


@dataclass
class Scene:
    slack: SimulatedSlack
    inbox: FakeInbox
    mode: SocketMode
    clients: Clients
    anna: User
    support: Channel

    def say(self, text: str = "hello") -> str:
        return self.slack.say(self.anna.id, self.support.id, text)

    async def stored(self, count: int) -> None:
        """Wait until so many events are stored."""
        await eventually(lambda: len(self.inbox.envelopes()) >= count)

    async def connected(self) -> None:
        async with asyncio.timeout(10):
            await self.slack.sockets.has_socket.wait()
            await self.mode.connected.wait()


@asynccontextmanager
async def scene(
    *, app_token: str | None = None, timeout_s: float = 5, on_return: OnReturn | None = None
) -> AsyncIterator[Scene]:
    slack = await SimulatedSlack.start(limits=Limits(enabled=False), clock=SandboxClock(scale=50))
    slack.switches.socket_mode = True
    anna = slack.add_user("Anna", is_admin=True)
    support = slack.add_channel("support", members=[anna])
    inbox = FakeInbox()
    try:
        async with Clients(OneToken(slack.bot_token), api_url=slack.api_url, timeout_s=timeout_s) as clients:
            app = build_app(inbox=inbox, clients=clients, now=now)
            mode = SocketMode(
                app,
                clients,
                app_token=app_token or slack.app_token,
                heartbeat_s=0.5,
                first_pause_s=0.02,
                jitter=Random(1),
                on_return=on_return,
            )
            async with mode:
                yield Scene(slack, inbox, mode, clients, anna, support)
    finally:
        await slack.stop()


def opened(slack: SimulatedSlack) -> int:
    return len(slack.wire.entries(direction=Direction.IN, operation="apps.connections.open"))


async def test_each_return_says_how_long_there_was_no_connection() -> None:
    silences: list[float] = []

    async def returned(silent_for: timedelta) -> None:
        silences.append(silent_for.total_seconds())

    async with scene(on_return=returned) as here:
        await here.connected()
        assert len(silences) == 1  # the first connection
        await here.slack.sockets.disconnect("warning", close=False)
        await eventually(lambda: opened(here.slack) == 2)
        await here.connected()
        began = asyncio.get_running_loop().time()
        await here.slack.down()
        await eventually(lambda: not here.mode.connected.is_set())
        await eventually(lambda: here.mode.problem)
        await here.slack.up()
        await eventually(here.mode.connected.is_set)
        took = asyncio.get_running_loop().time() - began
    assert len(silences) == 2, "a connection that is replaced in time leaves no gap"
    assert 0 < silences[1] <= took


async def test_an_event_is_stored_and_then_acknowledged() -> None:
    async with scene() as here:
        await here.connected()
        ts = here.say()
        await here.slack.courier.idle()
        (stored,) = here.inbox.envelopes()
        assert stored.body == here.slack.events.of_message(here.support.id, ts).body


async def test_an_event_that_cannot_be_stored_is_not_acknowledged_and_comes_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with scene() as here:
        await here.connected()
        here.slack.switches.ack_limit_s = 0.2
        here.inbox.is_failing = True
        here.say()
        first = await here.slack.wire.wait_for(_is_envelope)
        assert first.status is None
        here.inbox.is_failing = False
        await here.slack.courier.idle()
        assert len(here.inbox.envelopes()) == 1


async def test_an_event_sent_again_is_stored_once() -> None:
    async with scene() as here:
        await here.connected()
        ts = here.say()
        here.slack.repeat_event(here.support.id, ts, times=2)
        await here.slack.courier.idle()
        assert len(here.inbox.envelopes()) == 1


async def test_a_command_is_answered_in_its_acknowledgement() -> None:
    async with scene() as here:
        await here.connected()
        reply = await here.slack.slash_command(here.anna.id, here.support.id, "/jollor", "projects")
        assert reply.error is None
        assert reply.text == "Looking up the projects…"
        (given,) = here.inbox.events
        assert isinstance(given, CommandGiven)


async def test_a_lost_connection_is_replaced_and_the_event_arrives() -> None:
    async with scene() as here:
        await here.connected()
        await here.slack.sockets.cut()
        here.say()
        await here.stored(1)
        await here.slack.courier.idle()
        assert opened(here.slack) == 2


async def test_an_announced_end_overlaps_with_the_next_connection() -> None:
    async with scene() as here:
        await here.connected()
        await here.slack.sockets.disconnect("warning", close=False)
        await eventually(lambda: [socket.number for socket in here.slack.sockets.open] == [2])
        assert here.mode.connected.is_set()
        here.say()
        await here.stored(1)


async def test_a_connection_lives_longer_than_a_single_call_may() -> None:
    async with scene(timeout_s=0.3) as here:
        await here.connected()
        await asyncio.sleep(0.8)
        assert opened(here.slack) == 1
        here.say()
        await here.stored(1)


async def test_slack_being_away_is_waited_out(caplog: pytest.LogCaptureFixture) -> None:
    async with scene() as here:
        await here.connected()
        rule = here.slack.faults.add(End.SLACK, Fault(FaultKind.STATUS, status=503), "apps.connections.open")
        await here.slack.sockets.cut()
        await eventually(lambda: rule.applied >= 3)
        assert not here.mode.connected.is_set()
        assert here.mode.problem == "Slack does not answer at the moment."
        here.slack.faults.clear()
        await here.connected()
        assert here.mode.problem is None


async def test_stopping_does_not_wait_for_a_slack_that_hangs() -> None:
    async with asyncio.timeout(10), scene(timeout_s=30) as here:
        await here.connected()
        rule = here.slack.faults.add(End.SLACK, FaultKind.HANG, "apps.connections.open")
        await here.slack.sockets.cut()
        await eventually(lambda: rule.applied)


async def test_socket_mode_switched_off_is_said_and_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    async with scene() as here:
        await here.connected()
        here.slack.switches.socket_mode = False
        await here.slack.sockets.disconnect("link_disabled")
        await eventually(lambda: here.mode.problem is not None)
        assert "switched off" in (here.mode.problem or "")
        here.slack.switches.socket_mode = True
        await here.connected()


async def test_a_wrong_app_token_is_said_and_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async with scene(app_token="xapp-wrong") as here:
        await eventually(lambda: here.mode.problem is not None)
        assert "does not accept" in (here.mode.problem or "")


async def test_an_acknowledgement_that_comes_too_late_is_let_go(caplog: pytest.LogCaptureFixture) -> None:
    async with scene() as here:
        await here.connected()
        here.inbox.gate.clear()
        here.say()
        await here.inbox.is_waiting.wait()
        await here.slack.sockets.cut()
        here.inbox.gate.set()
        await here.slack.courier.idle()
        await eventually(lambda: here.slack.sockets.open)
        assert len(here.inbox.envelopes()) == 1  # Slack sent it again, and it was known


async def test_a_press_is_acknowledged_without_a_payload() -> None:
    async with scene() as here:
        await here.connected()
        button = Button(action=ActionId.SETTLE_DROP, label="Drop", value="i1")
        chat = SlackChat(here.clients, now=now)
        team, channel = TeamId(here.slack.team.id), ChannelId(here.support.id)
        notice = Notice(text="?", buttons=(button,))
        posted = await chat.post(Outgoing(DeliveryId("d1"), "notice", team, channel, None, notice))
        reply = await here.slack.press(here.anna.id, channel, posted.ts, ActionId.SETTLE_DROP)
        assert (reply.error, reply.outcome.body) == (None, "")
        assert any(isinstance(event, ButtonPressed) for event in here.inbox.events)


# --- what a connection may say -----------------------------------------------------------------------


class OddServer:
    """A Slack whose WebSocket says whatever a test wants, one script for each connection."""

    def __init__(self, *scripts: list[str]) -> None:
        self.scripts = list(scripts)
        self.heard: list[object] = []

    async def open(self, request: web.Request) -> web.Response:
        return web.json_response({"ok": True, "url": f"ws://{request.host}/link"})

    async def link(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        for text in self.scripts.pop(0) if self.scripts else []:
            await socket.send_str(text)
        async for message in socket:
            self.heard.append(json.loads(message.data))
        return socket


HELLO = json.dumps({"type": "hello"})


@asynccontextmanager
async def odd_scene(*scripts: list[str]) -> AsyncIterator[tuple[OddServer, SocketMode, FakeInbox]]:
    server, inbox = OddServer(*scripts), FakeInbox()
    app = web.Application()
    app.router.add_post("/api/apps.connections.open", server.open)
    app.router.add_get("/link", server.link)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/api/"
    try:
        async with Clients(OneToken("xoxb-1"), api_url=url, timeout_s=5) as clients:
            bolt = build_app(inbox=inbox, clients=clients, now=now)
            mode = SocketMode(bolt, clients, app_token="xapp-1", first_pause_s=0.02, jitter=Random(1))
            async with mode:
                yield server, mode, inbox
    finally:
        await runner.cleanup()


def event(envelope_id: str, payload: object) -> str:
    return json.dumps(
        {"type": "events_api", "envelope_id": envelope_id, "payload": payload, "retry_attempt": 1}
    )


async def test_strange_messages_end_nothing(caplog: pytest.LogCaptureFixture) -> None:
    good = {"type": "event_callback", "event_id": "Ev1", "event": {"type": "message"}}
    strange = [
        "{",
        "[]",
        "3",
        json.dumps({"type": "confetti"}),
        event("e1", None),
        event("e2", {"event": 3, "type": "event_callback"}),
    ]
    async with odd_scene([HELLO, *strange, event("e3", good)]) as (server, mode, inbox):
        await eventually(lambda: {"envelope_id": "e3"} in server.heard)
        assert mode.connected.is_set()
        assert {"envelope_id": "e2"} not in server.heard
        assert len(inbox.envelopes()) == 1
    assert "slack.socket_unreadable" in caplog.text


@pytest.mark.parametrize(
    "greeting", [[json.dumps({"type": "disconnect", "reason": "too_many_websockets"})], ["?"]]
)
async def test_a_connection_that_is_not_greeted_is_not_used(
    greeting: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    async with odd_scene(greeting, [HELLO]) as (_, mode, _inbox):
        await eventually(lambda: mode.problem is not None)
        await mode.connected.wait()
        assert mode.problem is None


async def test_a_connection_that_stays_silent_is_given_up(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slack_app.connection.HELLO_WITHIN_S", 0.1)
    async with odd_scene([], [HELLO]) as (_, mode, _inbox):
        await eventually(lambda: mode.problem is not None)
        await mode.connected.wait()


async def test_stopping_acknowledges_what_was_taken_before() -> None:
    async with scene() as here:
        await here.connected()
        here.inbox.gate.clear()
        here.say()
        async with asyncio.timeout(10):
            await here.inbox.is_waiting.wait()
        asyncio.get_running_loop().call_later(0.1, here.inbox.gate.set)
    (envelope,) = [entry for entry in here.slack.wire.entries() if _is_envelope(entry)]
    assert envelope.status == 200
    assert len(here.inbox.envelopes()) == 1


def _is_envelope(entry: WireEntry) -> bool:
    return entry.direction is Direction.OUT and entry.operation.startswith("message")
