"""One stage for the fake and the real `Chat`: the same things can be done and seen on both."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from aiohttp import web
from slack_bolt.async_app import AsyncApp

from bridge.content import Line, Notice, Origin
from bridge.errors import StoreUnavailable, UnconfirmedError
from bridge.events import Event, SlackEventReceived
from bridge.ids import ChannelId, DeliveryId, MessageTs, TeamId, UserId
from bridge.model import Channel, Person, Reading
from bridge.ports import Chat, Outgoing
from sandbox.clock import SandboxClock
from sandbox.faults import FaultKind
from sandbox.slack import Limits, SimulatedSlack
from sandbox.wire import End
from slack_app.app import build_app
from slack_app.chat import SlackChat
from slack_app.clients import Clients, OneToken
from slack_app.http import PATH, SlackRoute
from tests.fakes.chat import FakeChat, When


def now() -> datetime:
    return datetime.now(UTC)


async def eventually(condition: Callable[[], object], *, timeout_s: float = 10.0) -> None:
    """Return as soon as `condition` holds. Raises TimeoutError."""
    async with asyncio.timeout(timeout_s):
        for pause_s in itertools.chain([0.0], itertools.repeat(0.01)):
            await asyncio.sleep(pause_s)
            if condition():
                return


class Stage(Protocol):
    """A workspace with the channel `support`, in which the bot and one person, an admin, are."""

    chat: Chat
    team: TeamId
    support: ChannelId
    anna: UserId

    def add_channel(self, name: str, *, is_private: bool = False, is_member: bool = True) -> ChannelId: ...
    def archive(self, channel: ChannelId) -> None: ...
    def kick(self, channel: ChannelId) -> None: ...
    def add_guest(self, name: str) -> UserId: ...
    def add_outsider(self, name: str) -> UserId: ...
    def line(self) -> MessageTs: ...
    def remove(self, ts: MessageTs) -> None: ...
    def marks(self, ts: MessageTs) -> set[str]: ...
    def posted(self, channel: ChannelId | None = None) -> list[tuple[MessageTs, MessageTs | None]]: ...
    def lose_next_answer(self) -> None: ...
    def says(self, text: str, thread: MessageTs, *, by: UserId | None = None) -> MessageTs: ...
    def edits(self, ts: MessageTs, text: str) -> None: ...
    def restrict_reads(self) -> None: ...


class FakeStage:
    def __init__(self) -> None:
        self.fake = FakeChat()
        self.chat: Chat = self.fake
        self.team = TeamId("T1")
        self.support = self.add_channel("support")
        self.anna = self.fake.add_person(Person(UserId("U1"), "Anna", is_admin=True)).id

    def add_channel(self, name: str, *, is_private: bool = False, is_member: bool = True) -> ChannelId:
        channel = Channel(ChannelId(f"C{name.upper()}"), name, is_member=is_member, is_private=is_private)
        return self.fake.add_channel(channel).id

    def archive(self, channel: ChannelId) -> None:
        self.fake.change_channel(channel, is_archived=True)

    def kick(self, channel: ChannelId) -> None:
        self.fake.change_channel(channel, is_member=False)

    def add_guest(self, name: str) -> UserId:
        return self.fake.add_person(Person(UserId(f"U{name.upper()}"), name, is_guest=True)).id

    def add_outsider(self, name: str) -> UserId:
        return self.fake.add_person(Person(UserId(f"U{name.upper()}"), name, is_outsider=True)).id

    def line(self) -> MessageTs:
        return self.fake.add_line(self.support)

    def remove(self, ts: MessageTs) -> None:
        self.fake.remove(self.support, ts)

    def marks(self, ts: MessageTs) -> set[str]:
        return {mark.value for mark in self.fake.marks_of(self.support, ts)}

    def posted(self, channel: ChannelId | None = None) -> list[tuple[MessageTs, MessageTs | None]]:
        wanted = channel or self.support
        return [(post.ts, post.thread_ts) for post in self.fake.posts if post.outgoing.channel == wanted]

    def lose_next_answer(self) -> None:
        self.fake.fail_next(UnconfirmedError("slack_connection_lost"), method="post", when=When.AFTER)

    def says(self, text: str, thread: MessageTs, *, by: UserId | None = None) -> MessageTs:
        line = self.fake.say(self.team, self.support, by or self.anna, text, thread_ts=thread)
        return MessageTs(line.ts)

    def edits(self, ts: MessageTs, text: str) -> None:
        self.fake.edit(self.support, ts, text)

    def restrict_reads(self) -> None:
        self.fake.reads = Reading.RESTRICTED


class SlackStage:
    def __init__(self, slack: SimulatedSlack, clients: Clients) -> None:
        self.slack = slack
        self.clients = clients
        self.chat: Chat = SlackChat(clients, now=now)
        self.team = TeamId(slack.team.id)
        self.anna = UserId(slack.add_user("Anna", is_admin=True).id)
        self.support = self.add_channel("support")

    def add_channel(self, name: str, *, is_private: bool = False, is_member: bool = True) -> ChannelId:
        added = self.slack.add_channel(name, members=[self.anna], is_private=is_private, with_bot=is_member)
        return ChannelId(added.id)

    def archive(self, channel: ChannelId) -> None:
        self.slack.archive(channel)

    def kick(self, channel: ChannelId) -> None:
        self.slack.kick_bot(channel)

    def add_guest(self, name: str) -> UserId:
        return UserId(self.slack.add_user(name, is_restricted=True).id)

    def add_outsider(self, name: str) -> UserId:
        return UserId(self.slack.add_user(name, home_team_id="T0ELSEWHERE").id)

    def line(self) -> MessageTs:
        return MessageTs(self.slack.say(self.anna, self.support, "hello"))

    def remove(self, ts: MessageTs) -> None:
        self.slack.delete(self.support, ts)

    def marks(self, ts: MessageTs) -> set[str]:
        return set(self.slack.marks(self.support, ts))

    def posted(self, channel: ChannelId | None = None) -> list[tuple[MessageTs, MessageTs | None]]:
        messages = self.slack.messages(channel or self.support)
        return [
            (MessageTs(m.ts), MessageTs(m.thread_ts) if m.is_reply and m.thread_ts else None)
            for m in messages
            if m.bot_id is not None and m.subtype != "tombstone"
        ]

    def lose_next_answer(self) -> None:
        self.slack.faults.add(End.SLACK, FaultKind.CUT_AFTER, "chat.postMessage", times=1)

    def says(self, text: str, thread: MessageTs, *, by: UserId | None = None) -> MessageTs:
        return MessageTs(self.slack.say(by or self.anna, self.support, text, thread_ts=thread))

    def edits(self, ts: MessageTs, text: str) -> None:
        self.slack.edit(self.support, ts, text)

    def restrict_reads(self) -> None:
        self.slack.limits.enabled = self.slack.limits.reads_are_restricted = True


@asynccontextmanager
async def slack_stage() -> AsyncIterator[SlackStage]:
    """The real adapter against the simulated Slack, over HTTP, without Slack's limits on rates."""
    slack = await SimulatedSlack.start(limits=Limits(enabled=False))
    try:
        async with Clients(OneToken(slack.bot_token), api_url=slack.api_url, timeout_s=5) as clients:
            yield SlackStage(slack, clients)
    finally:
        await slack.stop()


def a_line(text: str = "Is my parcel on its way?", **more: object) -> Line:
    """A message of a customer's, sent just now."""
    fields = {
        "author": "Maria",
        "provider": "instagram",
        "origin": Origin.CUSTOMER,
        "text": text,
        "sent_at": now(),
    }
    return Line.model_validate(fields | more)


def outgoing(
    stage: Stage,
    text: str = "Hello",
    *,
    id: str = "d1",
    thread_ts: MessageTs | None = None,
    channel: ChannelId | None = None,
    also_to_channel: bool = False,
) -> Outgoing:
    """A delivery into the stage's channel."""
    return Outgoing(
        id=DeliveryId(id),
        kind="notice",
        team=stage.team,
        channel=channel or stage.support,
        thread_ts=thread_ts,
        content=Notice(text=text),
        also_to_channel=also_to_channel,
    )


class FakeInbox:
    """An inbox that keeps what it was given, drops what it knows, and fails on request."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.keys: list[str | None] = []
        self.is_failing = False
        self.gate = asyncio.Event()
        """Cleared: puts wait."""
        self.gate.set()
        self.is_waiting = asyncio.Event()

    async def put(self, event: Event, *, unique_key: str | None = None) -> None:
        if not self.gate.is_set():
            self.is_waiting.set()
        await self.gate.wait()
        if self.is_failing:
            raise StoreUnavailable("disk_full")
        self.keys.append(unique_key)
        if unique_key is None or self.keys.count(unique_key) == 1:
            self.events.append(event)

    def envelopes(self) -> list[SlackEventReceived]:
        return [event for event in self.events if isinstance(event, SlackEventReceived)]


@dataclass
class Bridge:
    """The Slack edge behind a real HTTP server, connected with the simulated Slack."""

    slack: SimulatedSlack
    inbox: FakeInbox
    clients: Clients
    app: AsyncApp
    url: str


@asynccontextmanager
async def bridge_over_http() -> AsyncIterator[Bridge]:
    """Serve the app as `serve` does, and let the simulated Slack call it."""
    slack = await SimulatedSlack.start(limits=Limits(enabled=False), clock=SandboxClock(scale=50))
    inbox = FakeInbox()
    try:
        async with Clients(OneToken(slack.bot_token), api_url=slack.api_url, timeout_s=5) as clients:
            app = build_app(inbox=inbox, clients=clients, now=now, signing_secret=slack.signing_secret)
            web_app = web.Application()
            SlackRoute(app, signing_secret=slack.signing_secret, now=now).add_to(web_app)
            runner = web.AppRunner(web_app, access_log=None)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            url = f"http://127.0.0.1:{runner.addresses[0][1]}{PATH}"
            slack.events_url = url
            yield Bridge(slack, inbox, clients, app, url)
            await slack.courier.idle()
            await runner.cleanup()
    finally:
        await slack.stop()
