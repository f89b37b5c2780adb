"""Which job is claimed when: lanes, orders, priorities, followers."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from random import Random

import pytest
from sqlalchemy import Connection

from bridge.errors import BridgeError
from bridge.queue import claim as claim_module
from bridge.queue import turn
from bridge.queue.jobs import CLAIM_TRIES, Jobs, NewJob
from bridge.queue.retry import Discard, RunAgain, after_failure
from bridge.store.engine import Store
from tests.queue_support import (
    LEASE,
    HandClock,
    claim,
    in_lane,
    names_of,
    outcomes_of,
    overwrite,
    put,
    put_ordered,
    state_of,
    without_lane,
)


async def test_a_lane_runs_one_job_at_a_time_in_the_order_of_putting(jobs: Jobs) -> None:
    await put(jobs, "a", "b", "c")
    seen = []
    while claimed := await claim(jobs):
        seen.append(names_of(claimed))
        assert await claim(jobs) == []
        await jobs.complete(claimed[0])
    assert seen == [["a"], ["b"], ["c"]]


async def test_what_is_put_together_keeps_its_order_in_the_lane(jobs: Jobs) -> None:
    await jobs.receive([NewJob(in_lane(str(number))) for number in range(5)])
    for number in range(5):
        [job] = await claim(jobs)
        assert names_of([job]) == [str(number)]
        await jobs.complete(job)


async def test_lanes_do_not_wait_for_each_other_and_what_has_no_lane_waits_for_nobody(jobs: Jobs) -> None:
    await put(jobs, "a1", "a2", lane="a")
    await put(jobs, "b1", lane="b")
    await jobs.receive([NewJob(without_lane("n1")), NewJob(without_lane("n2"))])
    assert sorted(names_of(await claim(jobs))) == ["a1", "b1", "n1", "n2"]


async def test_an_earlier_order_that_comes_late_goes_first(jobs: Jobs) -> None:
    await put_ordered(jobs, 30, 10, 20)
    [job] = await claim(jobs)
    assert names_of([job]) == ["10"]


async def test_an_earlier_order_that_comes_while_one_runs_waits_for_it_and_goes_next(jobs: Jobs) -> None:
    await put_ordered(jobs, 20, 30)
    [running] = await claim(jobs)
    await put_ordered(jobs, 10)
    assert await claim(jobs) == []
    await jobs.complete(running)
    [job] = await claim(jobs)
    assert names_of([job]) == ["10"]


async def test_what_waits_behind_a_running_job_keeps_no_other_lane_from_being_claimed(jobs: Jobs) -> None:
    await put_ordered(jobs, 20)
    await claim(jobs)
    await put_ordered(jobs, 10)
    await put(jobs, "other", lane="elsewhere")
    assert names_of(await claim(jobs)) == ["other"]


async def test_a_first_job_that_is_not_due_holds_up_its_lane(jobs: Jobs, clock: HandClock) -> None:
    await jobs.receive(
        [NewJob(in_lane("later"), run_at=clock() + timedelta(seconds=5)), NewJob(in_lane("b"))]
    )
    assert await claim(jobs) == []
    clock.moves(5)
    [job] = await claim(jobs)
    assert names_of([job]) == ["later"]


async def test_a_first_job_that_failed_holds_up_its_lane_and_no_other(jobs: Jobs, clock: HandClock) -> None:
    await put(jobs, "a1", "a2", lane="a")
    [job] = await claim(jobs)
    await jobs.fail(job, RunAgain(clock() + timedelta(seconds=10), is_attempt=True), "bad_answer")
    await put(jobs, "b1", lane="b")
    assert names_of(await claim(jobs)) == ["b1"]
    clock.moves(10)
    assert names_of(await claim(jobs)) == ["a1"]


async def test_a_dead_letter_lets_its_lane_go_on(jobs: Jobs) -> None:
    await put(jobs, "a", "b")
    [job] = await claim(jobs)
    await jobs.fail(job, Discard("gone"), "gone")
    assert names_of(await claim(jobs)) == ["b"]


async def test_better_priority_goes_first_between_lanes(jobs: Jobs) -> None:
    await jobs.receive(
        [
            NewJob(in_lane("late", "a"), priority=5),
            NewJob(without_lane("first"), priority=-1),
            NewJob(in_lane("b", "b")),
        ]
    )
    assert names_of(await claim(jobs, limit=2)) == ["first", "b"]


async def test_no_more_than_the_limit_is_claimed(jobs: Jobs) -> None:
    await jobs.receive([NewJob(without_lane(str(number))) for number in range(7)])
    sizes = [len(await claim(jobs, limit=3)) for _ in range(4)]
    assert sizes == [3, 3, 1, 0]


async def test_a_busy_lane_with_a_long_queue_hides_nobody(jobs: Jobs) -> None:
    await jobs.receive([NewJob(in_lane(f"hot{number}", "hot")) for number in range(300)])
    assert names_of(await claim(jobs)) == ["hot0"]
    await put(jobs, "cold1", "cold2", lane="cold")
    await jobs.put(without_lane("alone"))
    assert sorted(names_of(await claim(jobs))) == ["alone", "cold1"]
    assert await claim(jobs) == []


async def test_several_claimers_at_once_never_share_a_job_or_a_lane(jobs: Jobs) -> None:
    for lane in range(12):
        await jobs.receive([NewJob(in_lane(f"{lane}-{number}", str(lane))) for number in range(3)])
    claims = await asyncio.gather(*(claim(jobs, f"w{number}", limit=4) for number in range(6)))
    lanes = [job.lane for claimed in claims for job in claimed]
    assert len(lanes) == len(set(lanes))
    rest = await claim(jobs)
    assert len(lanes) + len(rest) == 12
    assert {name.partition("-")[2] for claimed in [*claims, rest] for name in names_of(claimed)} == {"0"}


@pytest.mark.parametrize("conflicts", [1, CLAIM_TRIES])
async def test_a_claim_that_another_process_foiled_is_made_again(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch, conflicts: int
) -> None:
    """What is looked at here is older than what is written: the other one's job runs by then."""
    await put(jobs, "running", "behind")
    await claim(jobs, "other")
    await put(jobs, "free", lane="elsewhere")
    [behind] = [view.id for view in await jobs.listed(["available"]) if '"behind"' in view.args]
    stale = [[behind]] * conflicts

    def may_start(conn: Connection, now: datetime, limit: int) -> list[int]:
        return list(stale.pop()) if stale else turn.may_start(conn, now, limit)

    monkeypatch.setattr(claim_module, "may_start", may_start)
    jobs.woken.clear()
    claimed = names_of(await claim(jobs))
    assert claimed == ([] if conflicts == CLAIM_TRIES else ["free"])
    assert jobs.woken.is_set() is (conflicts == CLAIM_TRIES)
    assert names_of(await claim(jobs, "later")) == (["free"] if conflicts == CLAIM_TRIES else [])


async def test_followers_are_the_later_ones_of_the_same_kind_in_order(jobs: Jobs) -> None:
    await put_ordered(jobs, 1, 3, 2)
    await put(jobs, "other", lane="elsewhere")
    leader, _other = await claim(jobs, coalesced="conversation_changed")
    assert names_of([leader]) == ["1"]
    assert [event.message_id for _, event in leader.followers if event.kind == "conversation_changed"] == [
        "2",
        "3",
    ]


async def test_kinds_that_are_not_coalesced_have_no_followers(jobs: Jobs) -> None:
    await put(jobs, "a", "b")
    [job] = await claim(jobs, coalesced="something_else")
    assert job.followers == ()


async def test_followers_are_done_with_their_leader_and_later_arrivals_are_not(jobs: Jobs) -> None:
    await put(jobs, "a", "b", "c")
    [leader] = await claim(jobs, coalesced="conversation_changed")
    await put(jobs, "d")
    await jobs.complete(leader)
    assert await jobs.counts() == {"completed": 3, "available": 1}
    assert names_of(await claim(jobs)) == ["d"]


async def test_followers_are_not_lost_if_their_leader_fails(jobs: Jobs, clock: HandClock) -> None:
    await put(jobs, "a", "b", "c")
    [leader] = await claim(jobs, coalesced="conversation_changed")
    await jobs.fail(leader, Discard("gone"), "gone")
    [next_leader] = await claim(jobs, coalesced="conversation_changed")
    assert names_of([next_leader]) == ["b"]
    assert len(next_leader.followers) == 1


async def test_what_was_tried_along_to_the_end_is_given_up_along(jobs: Jobs, clock: HandClock) -> None:
    await put(jobs, "a", "b")
    [leader] = await claim(jobs, coalesced="conversation_changed")
    await jobs.fail(leader, RunAgain(clock(), is_attempt=True), "bad_answer")
    clock.moves(1)
    await put(jobs, "c")
    [leader] = await claim(jobs, coalesced="conversation_changed")
    assert len(leader.followers) == 2
    await jobs.fail(leader, Discard("gone"), "gone")
    assert await jobs.counts() == {"discarded": 2, "available": 1}
    assert await outcomes_of(jobs, leader.followers[0][0]) == ["discarded"]
    [tried_less_often] = await claim(jobs, coalesced="conversation_changed")
    assert names_of([tried_less_often]) == ["c"]


async def test_followers_are_not_done_by_a_leader_that_lost_its_lease(jobs: Jobs, clock: HandClock) -> None:
    await put(jobs, "a", "b")
    [stalled] = await claim(jobs, "w1", coalesced="conversation_changed")
    clock.moves(LEASE.total_seconds() + 1)
    await jobs.rescue()
    [taken_over] = await claim(jobs, "w2")
    assert not await jobs.complete(stalled)
    assert await state_of(jobs, stalled.followers[0][0]) == "available"
    assert names_of([taken_over]) == ["a"]


async def test_a_follower_that_was_cancelled_stays_cancelled(jobs: Jobs) -> None:
    await put(jobs, "a", "b")
    [leader] = await claim(jobs, coalesced="conversation_changed")
    follower = leader.followers[0][0]
    await jobs.cancel([follower])
    await jobs.complete(leader)
    assert await state_of(jobs, follower) == "cancelled"


async def test_a_job_that_cannot_be_read_is_a_dead_letter_and_stops_nobody(
    jobs: Jobs, clocked: Store
) -> None:
    await put(jobs, "from a newer version", "next")
    first = (await jobs.listed(["available"]))[0]

    await overwrite(clocked, first.id, args='{"kind": "of tomorrow"}')
    assert names_of(await claim(jobs)) == ["next"]
    shown = await jobs.shown(first.id)
    assert shown is not None
    assert shown[0].state == "discarded"
    assert "cannot read" in (shown[0].reason or "")
    assert await outcomes_of(jobs, first.id) == ["discarded"]


async def test_a_follower_that_cannot_be_read_is_left_for_later(jobs: Jobs, clocked: Store) -> None:
    await put(jobs, "a", "spoilt", "c")
    spoilt = (await jobs.listed(["available"]))[1]

    await overwrite(clocked, spoilt.id, args="{}")
    [leader] = await claim(jobs, coalesced="conversation_changed")
    assert len(leader.followers) == 1
    await jobs.complete(leader)
    assert await state_of(jobs, spoilt.id) == "available"


async def test_next_due_is_the_first_that_is_not_due_yet(jobs: Jobs, clock: HandClock) -> None:
    assert await jobs.next_due() is None
    assert await jobs.due_in() is None
    await put(jobs, "now")
    assert await jobs.next_due() is None
    soon, later = clock() + timedelta(seconds=3), clock() + timedelta(seconds=9)
    await jobs.receive(
        [NewJob(without_lane("x"), run_at=later), NewJob(without_lane("y"), run_at=soon, priority=9)]
    )
    assert await jobs.next_due() == soon
    assert await jobs.due_in() == timedelta(seconds=3)
    clock.moves(3)
    assert await jobs.next_due() == later


async def test_a_dead_letter_tells_its_reason_and_each_attempt(jobs: Jobs, clock: HandClock) -> None:
    await put(jobs, "poison")
    attempts = 0
    while claimed := await claim(jobs):
        attempts += 1
        error = BridgeError("bad_answer", user_message="Jollor's answer made no sense.")
        verdict = after_failure(
            error,
            attempt=claimed[0].attempt,
            max_attempts=claimed[0].max_attempts,
            now=clock(),
            jitter=Random(1),
        )
        await jobs.fail(claimed[0], verdict, f"{error.code}: {error.user_message}")
        clock.moves(80)
    [dead] = await jobs.listed(["discarded"])
    assert attempts == 8
    assert dead.attempt == 8
    assert dead.reason == "bad_answer: Jollor's answer made no sense."
    assert await outcomes_of(jobs, dead.id) == ["failed"] * 7 + ["discarded"]
