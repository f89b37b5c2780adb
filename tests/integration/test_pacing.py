"""Under a backlog a channel's allowance is used, and after a first 429 there is none: judged by the limits
of the simulated Slack, on a clock that moves when told, with looks and calls that take a moment."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random

import pytest

from bridge.deliveries.claim import CREDIT, INTERVAL_S
from bridge.deliveries.row import Act
from bridge.errors import Snooze
from bridge.ids import ChannelId
from bridge.ports import Outgoing, Posted
from bridge.store.engine import Store
from sandbox.clock import SandboxClock
from sandbox.slack.pacing import Limits, Pacing
from tests.outbox import SUPPORT, TEAM, Outbox, SlowChat, TestClock

POSTS = 60
LOOK_S = 0.15
"""By how much a sender looks late, at most."""
CALL_S = 0.25
"""How long a call is under way before it counts, at most."""


class HandPacing(Pacing):
    """Slack's limits on the test's clock."""

    def __init__(self, clock: TestClock) -> None:
        super().__init__(SandboxClock(), Limits())
        self.hand = clock
        self.under_way_s = 0.0

    def clock_s(self) -> float:
        return self.hand().timestamp() + self.under_way_s


@dataclass
class LimitedChat(SlowChat):
    """Turns away what comes too fast, as Slack does."""

    pacing: HandPacing = field(kw_only=True)
    random: Random = field(default_factory=lambda: Random(7))
    arrived: list[float] = field(default_factory=list)

    async def post(self, outgoing: Outgoing) -> Posted:
        self.pacing.under_way_s = self.random.uniform(0, CALL_S)
        wait = self.pacing.wait_for(outgoing.team, "chat.postMessage", None, outgoing.channel)
        if wait:
            raise Snooze("ratelimited", delay=timedelta(seconds=wait))
        self.arrived.append(self.pacing.clock_s())
        return await super().post(outgoing)


@dataclass
class Backlog:
    """A channel with many threads and far more to show than it takes."""

    outbox: Outbox
    chat: LimitedChat
    random: Random = field(default_factory=lambda: Random(11))

    async def fill(self, channel: ChannelId = SUPPORT) -> None:
        threads = [await self.outbox.thread(f"{channel} {number}", channel) for number in range(POSTS // 6)]
        for number in range(5):
            for thread in threads:
                await self.outbox.reply(thread, f"{number}")

    async def drain(self) -> None:
        """Send everything, each look a little late."""
        while True:
            await self.outbox.sender.run_until_idle()
            due = await self.outbox.book.next_due()
            if due is None:
                return
            late = timedelta(seconds=self.random.uniform(0, LOOK_S))
            self.outbox.clock.at = max(due, self.outbox.clock.at) + late

    @property
    def refused(self) -> int:
        return sum(self.chat.pacing.refused.values())

    @property
    def used(self) -> float:
        """How much of one post a second was used, from the first post to the last."""
        arrived = self.chat.arrived
        return (len(arrived) - 1) / (arrived[-1] - arrived[0])


@pytest.fixture
async def backlog(migrated_url: str) -> AsyncIterator[Backlog]:
    clock = TestClock()
    async with Store(migrated_url, clock=clock) as store:
        outbox = Outbox(store, clock)
        chat = LimitedChat(now=clock, pacing=HandPacing(clock))
        outbox.chat = chat
        outbox.sender = outbox.a_sender("w1")
        outbox.add_channel(SUPPORT)
        yield Backlog(outbox, chat)


async def test_under_a_backlog_the_allowance_of_a_channel_is_used_and_never_exceeded(
    backlog: Backlog,
) -> None:
    await backlog.fill()
    await backlog.drain()
    assert len(backlog.chat.arrived) == POSTS
    assert backlog.refused == 0
    assert 0.98 <= backlog.used <= 1.0


async def test_after_a_first_429_there_is_none(backlog: Backlog) -> None:
    """Another sender of the same app has used up what Slack lets pass at once."""
    await backlog.fill()
    while not backlog.chat.pacing.wait_for(TEAM, "chat.postMessage", None, SUPPORT):
        pass
    backlog.chat.pacing.refused.clear()
    await backlog.drain()
    assert len(backlog.chat.arrived) == POSTS
    assert backlog.refused == 1
    assert 0.98 <= backlog.used <= 1.0


async def test_idle_time_is_not_saved_up_for_a_burst(backlog: Backlog) -> None:
    thread = await backlog.outbox.rooted_thread()
    backlog.outbox.clock.pass_(3_600)
    began = backlog.outbox.clock()
    for number in range(4):
        await backlog.outbox.reply(thread, f"{number}")
    await backlog.outbox.settle()
    moments = [round(float(post.ts) - began.timestamp(), 3) for post in backlog.outbox.posts()[1:]]
    interval = INTERVAL_S[Act.POST]
    assert moments == pytest.approx([0, interval, 2 * interval, 3 * interval], abs=0.01)


async def test_a_look_that_comes_very_late_is_followed_by_a_whole_interval(backlog: Backlog) -> None:
    thread = await backlog.outbox.rooted_thread()
    for number in range(3):
        await backlog.outbox.reply(thread, f"{number}")
    interval = INTERVAL_S[Act.POST]
    backlog.outbox.clock.pass_(interval * (1 + CREDIT) + 0.1)
    began = backlog.outbox.clock()
    await backlog.outbox.settle()
    moments = [round(float(post.ts) - began.timestamp(), 3) for post in backlog.outbox.posts()[1:]]
    assert moments == pytest.approx([0, interval, 2 * interval], abs=0.01)
