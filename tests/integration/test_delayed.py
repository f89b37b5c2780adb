"""A channel that is behind says so once, and the notice disappears with the backlog."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
from sqlalchemy import update

from bridge.deliveries import State
from bridge.errors import PermanentError, TargetDown, UnconfirmedError
from bridge.events import LookForDelays
from bridge.ids import ChannelId, JobId
from bridge.queue.jobs import Job
from bridge.relay.delayed import KIND, Delayed
from bridge.store.engine import Store
from bridge.store.tables import deliveries
from tests.fakes.chat import FakePost, When
from tests.outbox import SUPPORT, TEAM, Outbox, TestClock

SCALE = 5.0
"""Of the waiting before people are told; Slack's pace is the real one."""
LOOK_S = 10.0 / SCALE


@dataclass
class Busy:
    """An outbox at which somebody looks every two seconds."""

    outbox: Outbox
    delayed: Delayed = field(init=False)
    threads: int = 0

    def __post_init__(self) -> None:
        self.delayed = Delayed(self.outbox.store, scale=SCALE)

    async def fill(self, threads: int, channel: ChannelId = SUPPORT) -> None:
        """Owe more than the channel takes in that time: a root and a message in each thread."""
        for number in range(self.threads, self.threads + threads):
            thread = await self.outbox.thread(f"{channel} {number}", channel)
            await self.outbox.reply(thread, f"message {number}")
        self.threads += threads

    async def look(self) -> None:
        event = LookForDelays()
        job = Job(JobId(1), event, event.lane, 1, 8, self.outbox.clock(), "w1")
        await self.delayed.look(event, job)

    async def pass_(self, seconds: float) -> None:
        for _ in range(int(seconds / LOOK_S)):
            await self.outbox.pass_(LOOK_S)
            await self.look()

    async def drop_messages(self) -> None:
        """Whatever waits for its turn in the channel is not owed any more."""
        owed = (deliveries.c.state == State.READY, deliveries.c.kind != KIND)
        gone = update(deliveries).where(*owed).values(state=State.DONE)
        await self.outbox.store.write(lambda conn: conn.execute(gone) and None)

    @property
    def notices(self) -> list[FakePost]:
        return [post for post in self.outbox.chat.posts if post.outgoing.kind == KIND]


@pytest.fixture
async def busy(migrated_url: str) -> AsyncIterator[Busy]:
    clock = TestClock()
    async with Store(migrated_url, clock=clock) as store:
        yield Busy(Outbox(store, clock))


async def test_a_channel_that_is_behind_says_so_once_and_takes_it_back(busy: Busy) -> None:
    await busy.fill(8)
    await busy.pass_(6)
    assert busy.notices == []
    await busy.pass_(4)
    (notice,) = busy.notices
    assert "delayed, not lost" in notice.text
    assert "messages are" in notice.text
    assert notice.thread_ts is None
    await busy.pass_(12)
    assert busy.notices == []
    assert busy.outbox.chat.calls.count("delete") == 1
    assert len(busy.outbox.posts()) == 16


async def test_the_number_is_drawn_again_once_a_minute_and_nothing_else(busy: Busy) -> None:
    await busy.fill(20)
    await busy.pass_(10)
    first = busy.notices[0].text
    await busy.pass_(10)
    assert busy.notices[0].text == first
    await busy.pass_(4)
    assert busy.notices[0].text != first
    assert busy.outbox.chat.calls.count("update") == 1
    await busy.pass_(24)
    assert busy.notices == []
    assert busy.outbox.chat.calls.count("post") == 41


async def test_a_quiet_channel_beside_it_hears_nothing(busy: Busy) -> None:
    quiet = busy.outbox.add_channel(ChannelId("C2"))
    await busy.fill(8)
    await busy.fill(2, quiet)
    await busy.pass_(10)
    assert [notice.outgoing.channel for notice in busy.notices] == [SUPPORT]


async def test_a_restart_or_a_second_process_does_not_tell_twice(busy: Busy) -> None:
    await busy.fill(12)
    await busy.pass_(8)
    another = Busy(busy.outbox)
    await another.look()
    await another.pass_(4)
    assert len(busy.notices) == 1
    await another.pass_(24)
    assert busy.notices == []


async def test_a_notice_that_was_not_posted_yet_is_not_posted_any_more(busy: Busy) -> None:
    await busy.fill(4)
    busy.outbox.clock.pass_(6.2)
    await busy.look()
    (waiting,) = await busy.outbox.rows(state=State.READY, kind=KIND)
    await busy.drop_messages()
    await busy.look()
    assert (await busy.outbox.row(waiting["id"]))["reason"] == "not needed any more"
    await busy.outbox.settle()
    assert busy.outbox.posts() == []


async def test_a_notice_whose_answer_was_lost_is_found_and_deleted(busy: Busy) -> None:
    await busy.fill(4)
    busy.outbox.clock.pass_(6.2)
    await busy.look()
    lost = UnconfirmedError("slack_timeout", user_message="Slack did not say.")
    busy.outbox.chat.fail_next(lost, method="post", when=When.AFTER)
    await busy.outbox.sender.run_until_idle()
    assert len(busy.notices) == 1
    await busy.drop_messages()
    await busy.look()
    assert len(busy.notices) == 1  # nobody knows yet where it stands
    await busy.pass_(10)
    assert busy.notices == []


async def test_a_notice_that_slack_refuses_is_let_go(busy: Busy) -> None:
    await busy.fill(4)
    busy.outbox.clock.pass_(6.2)
    await busy.look()
    refused = PermanentError("msg_too_long", user_message="Too long.")
    busy.outbox.chat.fail_next(refused, method="post")
    await busy.pass_(24)
    assert busy.notices == []
    await busy.fill(8)
    await busy.pass_(10)
    assert len(busy.notices) == 1


async def test_a_channel_that_is_closed_is_no_backlog(busy: Busy) -> None:
    closed = TargetDown("is_archived", target=f"channel:{TEAM}:{SUPPORT}", user_message="It is archived.")
    busy.outbox.chat.fail_next(closed, method="post", times=20)
    await busy.fill(3)
    await busy.pass_(24)
    assert await busy.outbox.rows(kind=KIND) == []
