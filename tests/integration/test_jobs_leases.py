"""Who holds a job: leases, takeover, handing back; and what counts as an attempt."""

from __future__ import annotations

from datetime import timedelta

import pytest

from bridge.events import ConversationChanged
from bridge.ids import JobId
from bridge.queue.jobs import Job, Jobs, NewJob
from bridge.queue.retry import Discard, Pause, RunAgain
from bridge.store.engine import Store
from tests.queue_support import (
    LEASE,
    HandClock,
    claim,
    in_lane,
    names_of,
    outcomes_of,
    put,
    put_ordered,
    state_of,
    without_lane,
)

LEASE_S = LEASE.total_seconds()


async def claimed_one(jobs: Jobs, worker: str = "w1") -> Job:
    [job] = await claim(jobs, worker)
    return job


async def test_a_lease_that_is_kept_is_not_taken_over(jobs: Jobs, clock: HandClock) -> None:
    await put(jobs, "a")
    job = await claimed_one(jobs)
    for _ in range(4):
        clock.moves(LEASE_S * 0.9)
        assert await jobs.keep([job], LEASE) == [job]
        assert await jobs.rescue() == 0
    assert await jobs.complete(job)


async def test_a_lease_that_ran_out_is_taken_over_and_the_late_worker_changes_nothing(
    jobs: Jobs, clock: HandClock
) -> None:
    await put(jobs, "a")
    stalled = await claimed_one(jobs, "stalled")
    clock.moves(LEASE_S + 1)
    assert await jobs.rescue() == 1
    assert await outcomes_of(jobs, stalled.id) == ["lost"]
    again = await claimed_one(jobs, "other")
    assert await jobs.keep([stalled], LEASE) == []
    assert not await jobs.complete(stalled)
    assert not await jobs.fail(stalled, Discard("gone"), "gone")
    assert await jobs.hand_back([stalled]) == 0
    assert await state_of(jobs, stalled.id) == "running"
    assert await jobs.complete(again)


async def test_a_worker_that_took_over_from_itself_is_not_its_former_self(
    jobs: Jobs, clock: HandClock
) -> None:
    await put(jobs, "a")
    before = await claimed_one(jobs, "same")
    clock.moves(LEASE_S + 1)
    await jobs.rescue()
    now = await claimed_one(jobs, "same")
    assert now.attempt == before.attempt
    assert await jobs.keep([before, now], LEASE) == [now]
    assert await jobs.hand_back([before]) == 0
    assert not await jobs.fail(before, Discard("gone"), "gone")
    assert not await jobs.complete(before)
    assert await jobs.complete(now)


async def test_a_lease_that_ran_out_unnoticed_still_counts(jobs: Jobs, clock: HandClock) -> None:
    await put(jobs, "a")
    job = await claimed_one(jobs)
    clock.moves(LEASE_S + 1)
    assert await jobs.complete(job)


async def test_a_lost_worker_is_no_attempt_but_is_counted(jobs: Jobs, clock: HandClock) -> None:
    await put(jobs, "a")
    for losses in range(12):
        job = await claimed_one(jobs, f"w{losses}")
        assert (job.attempt, job.lost) == (1, losses)
        clock.moves(LEASE_S + 1)
        await jobs.rescue()


async def test_losses_before_an_ordinary_failure_are_not_held_against_the_job(
    jobs: Jobs, clock: HandClock
) -> None:
    await put(jobs, "a")
    await claimed_one(jobs, "w1")
    clock.moves(LEASE_S + 1)
    await jobs.rescue()
    await jobs.fail(await claimed_one(jobs), RunAgain(clock(), is_attempt=True), "bad_answer")
    assert (await claimed_one(jobs)).lost == 0


async def test_whoever_is_alone_takes_back_at_once_what_others_ran(jobs: Jobs) -> None:
    await jobs.receive([NewJob(without_lane("mine")), NewJob(without_lane("theirs"))])
    [mine] = await claim(jobs, "me", limit=1)
    [theirs] = await claim(jobs, "dead", limit=1)
    assert await jobs.rescue(of_other_processes="me") == 1
    assert await state_of(jobs, mine.id) == "running"
    assert await state_of(jobs, theirs.id) == "available"


async def test_what_is_handed_back_may_start_at_once_as_if_never_claimed(jobs: Jobs) -> None:
    await put(jobs, "a", "b")
    job = await claimed_one(jobs)
    assert await jobs.hand_back([job]) == 1
    again = await claimed_one(jobs, "w2")
    assert (again.id, again.attempt) == (job.id, 1)
    assert await outcomes_of(jobs, job.id) == []


async def test_what_is_handed_back_for_later_waits(jobs: Jobs, clock: HandClock) -> None:
    await put(jobs, "a")
    await jobs.hand_back([await claimed_one(jobs)], delay=timedelta(seconds=1))
    assert await claim(jobs) == []
    clock.moves(1)
    assert await claim(jobs)


async def test_nothing_to_keep_or_hand_back_is_no_trouble(jobs: Jobs) -> None:
    assert await jobs.keep([], LEASE) == []
    assert await jobs.hand_back([]) == 0


async def test_a_snooze_consumes_no_attempt_however_often(jobs: Jobs, clock: HandClock) -> None:
    await put(jobs, "a")
    for _ in range(20):
        job = await claimed_one(jobs)
        assert job.attempt == 1
        await jobs.fail(job, RunAgain(clock() + timedelta(seconds=30), is_attempt=False), "ratelimited")
        assert await claim(jobs) == []
        clock.moves(30)
    [waiting] = await jobs.listed(["available"])
    assert await outcomes_of(jobs, waiting.id) == ["snoozed"] * 20


async def test_attempts_count_failures_only(jobs: Jobs, clock: HandClock) -> None:
    await put(jobs, "a")
    attempts = []
    for verdict in (
        RunAgain(clock(), is_attempt=True),
        RunAgain(clock(), is_attempt=False),
        Pause("project:p1"),
        RunAgain(clock(), is_attempt=True),
    ):
        job = await claimed_one(jobs)
        attempts.append(job.attempt)
        await jobs.fail(job, verdict, "why")
        clock.moves(2)
    assert [*attempts, (await claimed_one(jobs)).attempt] == [1, 2, 2, 2, 3]


async def dead_letters(jobs: Jobs, *orders: int) -> list[JobId]:
    await put_ordered(jobs, *orders)
    ids = []
    for _ in orders:
        job = await claimed_one(jobs)
        await jobs.fail(job, Discard("gone"), "gone")
        ids.append(job.id)
    return ids


async def test_retried_dead_letters_run_next_in_their_lane_the_oldest_first(jobs: Jobs) -> None:
    ids = await dead_letters(jobs, 1, 2, 3)
    await put_ordered(jobs, 10, 11)
    running = await claimed_one(jobs)
    assert await jobs.retry([ids[2], ids[0]]) == 2
    assert await claim(jobs) == []
    await jobs.complete(running)
    seen = []
    while claimed := await claim(jobs):
        assert claimed[0].attempt == 1
        seen += names_of(claimed)
        await jobs.complete(claimed[0])
    assert seen == ["1", "3", "11"]


async def test_retried_dead_letters_take_the_later_ones_of_their_lane_along(jobs: Jobs) -> None:
    ids = await dead_letters(jobs, 1, 2)
    await put_ordered(jobs, 10)
    assert await jobs.retry(ids) == 2
    [job] = await claim(jobs, coalesced="conversation_changed")
    assert names_of([job]) == ["1"]
    assert [event.message_id for _, event in job.followers if isinstance(event, ConversationChanged)] == [
        "2",
        "10",
    ]
    await jobs.complete(job)
    assert await jobs.counts() == {"completed": 3}


async def test_dead_letters_of_several_lanes_run_at_once_the_oldest_first(jobs: Jobs) -> None:
    await put(jobs, "b", lane="b")
    await put(jobs, "a", lane="a")
    for job in await claim(jobs):
        await jobs.fail(job, Discard("gone"), "gone")
    await put(jobs, "a2", lane="a")
    await put(jobs, "b2", lane="b")
    dead = [view.id for view in await jobs.listed(["discarded"])]
    assert await jobs.retry(dead[::-1]) == 2
    assert names_of(await claim(jobs)) == ["b", "a"]


async def test_a_dead_letter_that_is_retried_while_its_lane_runs_goes_next(jobs: Jobs) -> None:
    [id_] = await dead_letters(jobs, 1)
    await put_ordered(jobs, 10, 11)
    running = await claimed_one(jobs)
    assert await jobs.retry([id_]) == 1
    assert await claim(jobs) == []
    await jobs.complete(running)
    assert names_of(await claim(jobs)) == ["1"]


async def test_only_what_is_dead_can_be_retried(jobs: Jobs) -> None:
    await put(jobs, "running", lane="a")
    await put(jobs, "done", lane="b")
    running, done = await claim(jobs)
    await jobs.complete(done)
    await put(jobs, "waiting", lane="a")
    assert (
        await jobs.retry([view.id for view in await jobs.listed(["running", "completed", "available"])]) == 0
    )
    assert await jobs.counts() == {"running": 1, "completed": 1, "available": 1}
    assert running.attempt == 1


async def test_a_retried_job_has_all_its_attempts_again(jobs: Jobs, clock: HandClock) -> None:
    [id_] = await dead_letters(jobs, 1)
    await jobs.retry([id_])
    job = await claimed_one(jobs)
    await jobs.fail(job, RunAgain(clock(), is_attempt=True), "bad_answer")
    assert (await claimed_one(jobs)).attempt == 2


async def test_cancelling_frees_the_lane_and_leaves_what_runs(jobs: Jobs, clock: HandClock) -> None:
    await jobs.receive([NewJob(in_lane("blocked"), run_at=clock() + timedelta(days=1))])
    await put(jobs, "behind")
    [blocked, behind] = await jobs.listed(["available"])
    jobs.woken.clear()
    assert await jobs.cancel([blocked.id]) == 1
    assert jobs.woken.is_set()
    job = await claimed_one(jobs)
    assert names_of([job]) == ["behind"]
    assert await jobs.cancel([behind.id]) == 0
    assert await jobs.complete(job)


async def test_a_cancelled_job_can_be_retried_and_a_dead_letter_cancelled(jobs: Jobs) -> None:
    [id_] = await dead_letters(jobs, 1)
    assert await jobs.cancel([id_]) == 1
    assert await state_of(jobs, id_) == "cancelled"
    assert await jobs.retry([id_]) == 1
    assert await jobs.complete(await claimed_one(jobs))


async def test_a_job_that_does_not_exist_is_shown_as_none(jobs: Jobs) -> None:
    assert await jobs.shown(JobId(99)) is None


@pytest.mark.parametrize("delay_s", [0, 1])
async def test_a_loss_is_seen_only_after_the_lease(jobs: Jobs, clock: HandClock, delay_s: float) -> None:
    await put(jobs, "a")
    await claimed_one(jobs)
    clock.moves(LEASE_S + delay_s)
    assert await jobs.rescue() == (1 if delay_s else 0)


async def test_completing_twice_is_completing_once(jobs: Jobs, clocked: Store) -> None:
    await put(jobs, "a")
    job = await claimed_one(jobs)
    assert await jobs.complete(job)
    assert not await jobs.complete(job)
    assert await jobs.counts() == {"completed": 1}
