"""When threads are read back, how much within Slack's limits, and what happens if Slack does not let us."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from sqlalchemy import Update, insert, select

from bridge.errors import BridgeError, PermanentError, Snooze, StoreUnavailable, TargetDown
from bridge.events import LineTyped, ReadBackAll
from bridge.ids import ConversationId, MessageTs
from bridge.model import Mark, Reading
from bridge.ports import READS_LIMITED
from bridge.queue.jobs import NewJob, put_in
from bridge.relay import limits, looked
from bridge.relay.catchup import came_back
from bridge.relay.readback import look_after_silence
from bridge.store.engine import Store
from bridge.store.tables import channels_read, deliveries, threads, workers
from tests.outbox import TestClock
from tests.readback_support import HOUR, looks, reading, reads
from tests.relay_stage import SUPPORT, TEAM, Relay

A_MINUTE = Snooze(READS_LIMITED, delay=timedelta(seconds=60), user_message="Slack asked me to slow down.")
NOT_IN_IT = TargetDown("not_in_channel", target=f"channel:{TEAM}:{SUPPORT}", user_message="I am not in it.")
NO_SCOPE = PermanentError("missing_scope", user_message="The app needs channels:history.")
A_MOMENT = Snooze(READS_LIMITED, delay=timedelta(seconds=3), user_message="Slack asked me to slow down.")


@pytest.fixture
async def relay(migrated_url: str) -> AsyncIterator[Relay]:
    clock = TestClock()
    async with Store(migrated_url, clock=clock) as store:
        yield Relay(store, clock)


# --- when --------------------------------------------------------------------------------------------


async def test_each_start_looks_back_to_where_the_last_look_ended(relay: Relay) -> None:
    await relay.link()
    root = await relay.thread()
    await looks(relay)
    relay.clock.pass_(60)
    await relay.store.write(
        lambda conn: (
            conn.execute(insert(workers).values(id="w", started_at=relay.clock(), seen_at=relay.clock()))
            and None
        )
    )
    relay.a_line("Yes.", root)
    relay.clock.pass_(30 * HOUR)
    await came_back(relay.store, scale=1)
    await relay.pass_(60)
    assert relay.said(root) == ["This was typed 30 hours ago while I was away. Send it now?"]


@pytest.mark.parametrize(("seconds", "marks"), [(50, set()), (2 * HOUR, {Mark.WAITING})])
async def test_after_slack_could_not_reach_us_for_long_all_is_looked_through(
    relay: Relay, seconds: float, marks: set[Mark]
) -> None:
    await relay.link()
    root = await relay.thread()
    line = relay.a_line("Yes.", root)
    relay.clock.pass_(2 * HOUR)
    await look_after_silence(relay.store, timedelta(seconds=seconds), scale=1)
    await relay.pass_(30)
    assert relay.marks(line) == marks


async def test_a_database_that_is_away_when_slack_comes_back_ends_nothing(
    relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(function: object) -> None:
        raise StoreUnavailable("disk_full")

    monkeypatch.setattr(relay.store, "write", away)
    await look_after_silence(relay.store, timedelta(hours=1), scale=1)


async def test_a_look_can_be_put_from_any_transaction(relay: Relay) -> None:
    await relay.link()
    root = await relay.thread()
    relay.a_line("Yes.", root)
    since = relay.clock() - timedelta(hours=1)
    await relay.store.write(
        lambda conn: put_in(conn, [NewJob(ReadBackAll(since=since))], relay.store.now(conn))
    )
    await relay.pass_(30)
    assert relay.robin.received == ["Yes."]


async def test_a_backfill_reads_again_what_was_looked_through(relay: Relay) -> None:
    await relay.link()
    root = await relay.thread()
    line = relay.a_line("Yes.", root)
    await relay.store.write(
        lambda conn: looked.looked_through(conn, TEAM, SUPPORT, relay.clock() + timedelta(hours=1))
    )
    relay.clock.pass_(2 * HOUR)
    await looks(relay)
    assert relay.marks(line) == set()
    await looks(relay, ReadBackAll(since=relay.clock() - timedelta(hours=3)))
    assert relay.marks(line) == {Mark.WAITING}


async def test_a_look_does_not_pass_over_a_thread_whose_root_is_not_known_yet(relay: Relay) -> None:
    await relay.link()
    await relay.thread()
    await looks(relay)
    mark = await looked_to(relay)
    relay.clock.pass_(HOUR)
    await relay.store.write(
        lambda conn: (
            conn.execute(threads.update().values(root_ts=None))
            and conn.execute(deliveries_in_doubt())
            and None
        )
    )
    await looks(relay, for_s=1)
    assert await looked_to(relay) == mark


async def looked_to(relay: Relay) -> object:
    return await relay.store.read(lambda conn: conn.execute(select(channels_read.c.read_to)).scalar())


def deliveries_in_doubt() -> Update:
    later = TestClock().at + timedelta(days=1)
    return deliveries.update().where(deliveries.c.is_root).values(state="uncertain", scheduled_at=later)


# --- within Slack's limits ---------------------------------------------------------------------------


async def many_threads(relay: Relay, count: int) -> list[LineTyped]:
    """So many threads, in each a line that no event told of; return the lines, oldest first."""
    for number in range(count):
        await relay.customer_writes(f"Hello {number}?", conversation=ConversationId(f"c{number}"))
    await relay.settle(within_s=600)
    return [relay.a_line(f"to {post.ts}", post.ts) for post in relay.chat.roots(SUPPORT)]


async def test_a_thread_that_slack_does_not_let_us_read_now_holds_nothing_up(relay: Relay) -> None:
    await relay.link()
    root = await relay.thread()
    lost = relay.a_line("lost", root)
    relay.chat.fail_next(A_MINUTE, method="lines")
    await relay.jobs.put(ReadBackAll())
    await relay.pass_(1)
    await relay.types("told of", root)
    await relay.pass_(10)
    assert relay.robin.received == ["told of"]
    await relay.pass_(60)
    assert relay.marks(lost) == {Mark.WAITING}
    assert "went out before it" in relay.said(root)[0]


async def test_many_threads_are_read_no_faster_than_slack_allows_the_newest_first(relay: Relay) -> None:
    await relay.link()
    lines = await many_threads(relay, 22)
    await relay.jobs.put(ReadBackAll())
    await relay.pass_(1)
    assert (await reads(relay)).count("lines") == 20
    await relay.pass_(60)
    assert (await reads(relay)).count("lines") == 22
    assert sorted(len(relay.marks(line)) for line in lines) == [1] * 22


async def test_where_there_is_one_read_a_minute_ten_threads_are_read_one_by_one(relay: Relay) -> None:
    await relay.link()
    lines = await many_threads(relay, 17)
    relay.chat.reads = Reading.RESTRICTED
    await relay.jobs.put(ReadBackAll())
    await relay.pass_(1)
    assert await reading(relay) is Reading.RESTRICTED
    assert (await reads(relay)).count("lines") == 1
    await relay.pass_(11 * 60)
    assert (await reads(relay)).count("lines") == 10
    assert [len(relay.marks(line)) for line in lines] == [0] * 7 + [1] * 10
    (said,) = [post.text for post in relay.chat.posts if "Slack may not have told me" in post.text]
    assert "only 10 of 17 threads" in said


async def test_a_routine_look_of_such_an_install_reads_only_threads_whose_newest_reply_is_unknown(
    relay: Relay,
) -> None:
    await relay.link()
    root = await relay.thread()
    await relay.store.write(lambda conn: limits.note_reading(conn, relay.clock(), TEAM, Reading.RESTRICTED))
    await relay.types("told of", root)
    await relay.pass_(30)
    await looks(relay, ReadBackAll(is_routine=True))
    assert await reads(relay) == ["threads"]
    relay.a_line("lost", root)
    await looks(relay, ReadBackAll(is_routine=True))
    assert relay.robin.received == ["told of", "lost"]


async def test_a_long_thread_of_such_an_install_is_read_page_by_page(relay: Relay) -> None:
    await relay.link()
    root = await relay.thread()
    lines = [relay.a_line(f"// {number}", root) for number in range(20)]
    relay.chat.reads = Reading.RESTRICTED
    await looks(relay, for_s=59)
    assert [len(relay.marks(line)) for line in (lines[0], *lines[15:])] == [1] + [0] * 5
    await relay.pass_(120)
    assert [relay.marks(line) for line in lines] == [{Mark.INTERNAL}] * 20


@pytest.mark.parametrize("method", ["threads", "lines"])
@pytest.mark.parametrize(("error", "shows"), [(A_MINUTE, Reading.RESTRICTED), (A_MOMENT, None)])
async def test_a_long_wait_for_one_of_the_first_reads_shows_that_there_is_one_a_minute(
    relay: Relay, method: str, error: BridgeError, shows: Reading | None
) -> None:
    await relay.link()
    root = await relay.thread()
    line = relay.a_line("Yes.", root)
    relay.chat.fail_next(error, method=method)
    await looks(relay, for_s=120)
    assert await reading(relay) is shows
    assert relay.marks(line) == {Mark.ACCEPTED}


async def test_what_a_page_has_shown_counts_more_than_a_long_wait(relay: Relay) -> None:
    await relay.link()
    root = await relay.thread()
    relay.a_line("Yes.", root)
    await relay.store.write(lambda conn: limits.note_reading(conn, relay.clock(), TEAM, Reading.FULL))
    relay.chat.fail_next(A_MINUTE, method="threads")
    await looks(relay, for_s=120)
    assert await reading(relay) is Reading.FULL


async def test_a_thread_beyond_what_the_history_shows_is_read_if_it_was_active_lately(
    relay: Relay,
) -> None:
    await relay.link()
    told_of = await many_threads(relay, 17)
    for line in told_of:
        await relay.jobs.put(line)
    await looks(relay, for_s=60)
    relay.clock.pass_(HOUR)
    relay.chat.reads = Reading.RESTRICTED
    oldest = relay.a_line("lost", MessageTs(str(told_of[0].thread_ts)))
    await looks(relay, for_s=5 * 60)
    assert relay.marks(oldest) == {Mark.ACCEPTED}


# --- what goes wrong ---------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["threads", "lines"])
async def test_while_slack_is_away_a_look_waits(relay: Relay, method: str) -> None:
    await relay.link()
    root = await relay.thread()
    line = relay.a_line("Yes.", root)
    away = TargetDown("slack_unreachable", target=f"team:{TEAM}", user_message="Slack cannot be reached.")
    relay.chat.fail_next(away, method=method, times=3)
    await looks(relay, for_s=120)
    assert relay.marks(line) == {Mark.ACCEPTED}
    assert set(await relay.jobs_of("read_thread")) == {"completed"}


@pytest.mark.parametrize(
    ("method", "error"), [("threads", NOT_IN_IT), ("threads", NO_SCOPE), ("lines", NO_SCOPE)]
)
async def test_where_we_are_not_let_in_a_look_gives_up_and_leaves_no_dead_letter(
    relay: Relay, method: str, error: BridgeError
) -> None:
    await relay.link()
    root = await relay.thread()
    relay.a_line("Yes.", root)
    relay.chat.fail_next(error, method=method)
    await looks(relay)
    assert relay.robin.received == []
    for kind in ("read_back_all", "read_channel", "read_thread"):
        assert set(await relay.jobs_of(kind)) <= {"completed"}


async def test_a_channel_that_lets_us_in_again_is_looked_through_from_where_it_was(relay: Relay) -> None:
    await relay.link()
    root = await relay.thread()
    line = relay.a_line("Yes.", root)
    relay.chat.fail_next(NOT_IN_IT, method="threads")
    await looks(relay)
    relay.clock.pass_(2 * HOUR)
    await looks(relay)
    assert relay.marks(line) == {Mark.WAITING}


async def test_a_thread_whose_channel_closes_before_it_is_read_is_read_when_it_opens(relay: Relay) -> None:
    await relay.link()
    root = await relay.thread()
    line = relay.a_line("Yes.", root)
    relay.chat.fail_next(NOT_IN_IT, method="lines", times=3)
    await looks(relay, for_s=120)
    assert relay.marks(line) == {Mark.ACCEPTED}


async def test_a_thread_that_is_gone_is_nothing_to_read(relay: Relay) -> None:
    await relay.link(undo_window_s=300)
    root = await relay.thread()
    await relay.types("Yes.", root)
    await relay.pass_(90)
    relay.chat.posts.clear()
    await looks(relay, for_s=400)
    assert relay.robin.received == ["Yes."]
