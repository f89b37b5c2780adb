"""Socket Mode against the simulated Slack: storing, failing, losing and replacing connections, stopping."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from random import Random

import pytest

from bridge.events import CommandGiven
from sandbox.clock import SandboxClock
from sandbox.faults import Fault, FaultKind
from sandbox.slack import Channel, Limits, SimulatedSlack, User
from sandbox.wire import Direction, End, WireEntry
from slack_app.app import build_app
from slack_app.clients import Clients, OneToken
from slack_app.socket import SocketMode
from tests.slack_stage import FakeInbox, eventually, now


@dataclass
class Scene:
    slack: SimulatedSlack
    inbox: FakeInbox
    mode: SocketMode
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
async def scene(*, app_token: str | None = None, timeout_s: float = 5) -> AsyncIterator[Scene]:
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
            )
            async with mode:
                yield Scene(slack, inbox, mode, anna, support)
    finally:
        await slack.stop()


def opened(slack: SimulatedSlack) -> int:
    return len(slack.wire.entries(direction=Direction.IN, operation="apps.connections.open"))


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
