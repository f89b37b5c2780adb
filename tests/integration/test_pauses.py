"""Targets that are down: nobody's tries are consumed, one probe at a time finds out when they are back."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from sqlalchemy import Connection

from bridge.queue.jobs import Jobs, NewJob
from bridge.queue.retry import Discard, Pause, RunAgain
from bridge.store import pauses
from bridge.store.engine import Store
from tests.queue_support import LEASE, HandClock, claim, names_of, outcomes_of, put, without_lane

DOWN = Pause("project:p1")


async def put_in_lanes(jobs: Jobs, count: int, *, project: str = "p1") -> None:
    for number in range(count):
        await put(jobs, f"{project}-{number}", lane=f"lane{number}", project=project)


async def current(store: Store) -> list[pauses.Pause]:
    return await store.read(pauses.current)


async def take_down(jobs: Jobs, clock: HandClock, count: int = 4) -> None:
    """Put jobs, pause their target by the first one, and move to when the first probe is due."""
    await put_in_lanes(jobs, count)
    [job] = await claim(jobs, limit=1)
    assert await jobs.fail(job, DOWN, "no_connection")
    clock.moves(pauses.FIRST_PROBE_S)


async def test_a_paused_target_holds_up_its_jobs_and_no_others(jobs: Jobs, clocked: Store) -> None:
    await put_in_lanes(jobs, 3)
    await put_in_lanes(jobs, 2, project="p2")
    await jobs.put(without_lane("free"))
    [job] = await claim(jobs, limit=1)
    await jobs.fail(job, DOWN, "no_connection: Jollor is away.")
    assert sorted(names_of(await claim(jobs))) == ["free", "p2-0", "p2-1"]
    [pause] = await current(clocked)
    assert (pause.target, pause.reason) == ("project:p1", "no_connection: Jollor is away.")


async def test_a_pause_consumes_no_attempt(jobs: Jobs, clock: HandClock) -> None:
    await put(jobs, "a")
    for _ in range(30):
        [job] = await claim(jobs)
        assert job.attempt == 1
        await jobs.fail(job, DOWN, "no_connection")
        clock.moves(pauses.LAST_PROBE_S)
    [waiting] = await jobs.listed(["available"])
    assert await outcomes_of(jobs, waiting.id) == ["paused"] * 30


async def test_exactly_one_probe_goes_even_with_two_claimers(jobs: Jobs, clock: HandClock) -> None:
    await take_down(jobs, clock)
    first, second = await asyncio.gather(claim(jobs, "w1"), claim(jobs, "w2"))
    assert len([*first, *second]) == 1
    assert await claim(jobs, "w3") == []


async def test_a_probe_that_succeeds_lets_everybody_go(jobs: Jobs, clock: HandClock, clocked: Store) -> None:
    await take_down(jobs, clock)
    [probe] = await claim(jobs)
    clock.moves(0.1)
    await jobs.complete(probe)
    assert await current(clocked) == []
    assert len(await claim(jobs)) == 3


async def test_probes_are_further_apart_the_longer_it_lasts_up_to_a_minute(
    jobs: Jobs, clock: HandClock, clocked: Store
) -> None:
    await put_in_lanes(jobs, 2)
    gaps = []
    for _ in range(8):
        [probe] = await claim(jobs, limit=1)
        clock.moves(0.5)
        await jobs.fail(probe, DOWN, "no_connection")
        [pause] = await current(clocked)
        gaps.append((pause.probe_at - clock()).total_seconds())
        clock.now = pause.probe_at
    assert gaps == [2, 4, 8, 16, 32, 60, 60, 60]


async def test_what_was_under_way_when_the_target_went_down_does_not_put_off_the_probe(
    jobs: Jobs, clock: HandClock, clocked: Store
) -> None:
    await put_in_lanes(jobs, 16)
    for job in await claim(jobs):
        clock.moves(0.05)
        await jobs.fail(job, DOWN, "no_connection")
    [pause] = await current(clocked)
    assert (pause.probe_at - pause.since).total_seconds() == pauses.FIRST_PROBE_S


async def test_what_began_before_the_pause_does_not_lift_it(
    jobs: Jobs, clock: HandClock, clocked: Store
) -> None:
    await put_in_lanes(jobs, 2)
    slow, failing = await claim(jobs)
    clock.moves(1)
    await jobs.fail(failing, DOWN, "no_connection")
    clock.moves(1)
    assert await jobs.complete(slow)
    assert len(await current(clocked)) == 1


async def test_what_was_claimed_at_the_moment_of_the_pause_is_no_probe(
    jobs: Jobs, clock: HandClock, clocked: Store
) -> None:
    await put_in_lanes(jobs, 3)
    failing, broken, done = await claim(jobs)
    await jobs.fail(failing, DOWN, "no_connection")
    await jobs.fail(broken, Discard("gone"), "gone")
    await jobs.complete(done)
    [pause] = await current(clocked)
    assert (pause.probe_at - pause.since).total_seconds() == pauses.FIRST_PROBE_S


async def test_a_probe_that_fails_by_its_own_fault_makes_way_for_the_next_one(
    jobs: Jobs, clock: HandClock
) -> None:
    await take_down(jobs, clock)
    [probe] = await claim(jobs)
    clock.moves(0.1)
    await jobs.fail(probe, Discard("gone"), "gone")
    [next_probe] = await claim(jobs)
    assert next_probe.id != probe.id


async def test_a_probe_that_was_told_to_wait_has_the_next_one_wait_as_long(
    jobs: Jobs, clock: HandClock
) -> None:
    await take_down(jobs, clock)
    [probe] = await claim(jobs)
    await jobs.fail(probe, RunAgain(clock() + timedelta(seconds=5), is_attempt=False), "ratelimited")
    assert await claim(jobs) == []
    clock.moves(5)
    assert len(await claim(jobs)) == 1


async def test_a_probe_whose_worker_was_lost_makes_way_for_the_next_one(jobs: Jobs, clock: HandClock) -> None:
    await take_down(jobs, clock)
    await claim(jobs)
    clock.moves(LEASE.total_seconds() + 1)
    await jobs.rescue()
    assert len(await claim(jobs, "w2")) == 1


async def test_a_probe_that_was_handed_back_makes_way_for_the_next_one(jobs: Jobs, clock: HandClock) -> None:
    await take_down(jobs, clock)
    await jobs.hand_back(await claim(jobs))
    assert len(await claim(jobs, "w2")) == 1


async def test_a_job_can_be_held_up_by_a_target_that_its_event_does_not_name(
    jobs: Jobs, clock: HandClock, clocked: Store
) -> None:
    for name in ("a", "b", "c"):
        await jobs.put(without_lane(name))
    for job in await claim(jobs):
        await jobs.fail(job, Pause("team:T1"), "token_revoked")
    clock.moves(pauses.FIRST_PROBE_S)
    [probe] = await claim(jobs)
    assert probe.target == "team:T1"
    clock.moves(0.1)
    await jobs.complete(probe)
    assert await current(clocked) == []
    assert len(await claim(jobs)) == 2


async def test_the_next_probe_counts_as_next_due(jobs: Jobs, clock: HandClock) -> None:
    await put(jobs, "a")
    [job] = await claim(jobs)
    await jobs.fail(job, DOWN, "no_connection")
    assert await jobs.due_in() == timedelta(seconds=pauses.FIRST_PROBE_S)


async def test_many_jobs_of_a_paused_target_hide_nobody(jobs: Jobs, clock: HandClock) -> None:
    await jobs.receive([NewJob(without_lane(f"down{number}")) for number in range(200)])
    for job in await claim(jobs, limit=200):
        await jobs.fail(job, Pause("team:T1"), "token_revoked")
    await put(jobs, "up", project="p2")
    assert names_of(await claim(jobs)) == ["up"]
    clock.moves(pauses.FIRST_PROBE_S)
    await put(jobs, "up too", lane="x", project="p2")
    claimed = [*await claim(jobs, limit=4), *await claim(jobs, limit=4)]
    assert len(claimed) == 2
    assert "up too" in names_of(claimed)


async def test_the_time_scale_divides_the_pause(clocked: Store, clock: HandClock) -> None:
    jobs = Jobs(clocked, scale=10)
    await put(jobs, "a")
    [job] = await claim(jobs)
    await jobs.fail(job, DOWN, "no_connection")
    assert await jobs.due_in() == timedelta(seconds=pauses.FIRST_PROBE_S / 10)


async def test_without_the_time_of_the_attempt_a_probe_is_told_by_the_one_that_is_out(
    jobs: Jobs, clock: HandClock, clocked: Store
) -> None:
    def pause(conn: Connection) -> float:
        return (pauses.pause(conn, "team:T1", "away", clock(), 1.0) - clock()).total_seconds()

    assert await clocked.write(pause) == 2
    assert await clocked.write(pause) == 2  # was under way, too
    clock.moves(2)
    assert await clocked.write(lambda conn: pauses.take_probes(conn, ["team:T1"], clock(), 1.0)) == {
        "team:T1"
    }
    clock.moves(10)
    assert await clocked.write(pause) == 4  # the probe
    assert await clocked.write(lambda conn: pauses.resume(conn, "team:T1"))
    assert not await clocked.write(lambda conn: pauses.resume(conn, "team:T1"))


async def test_targets_that_go_down_in_two_places_at_once_are_paused_once(
    clocked: Store, clock: HandClock
) -> None:
    def pause(conn: Connection) -> None:
        pauses.pause(conn, "team:T1", "away", clock(), 1.0)

    await asyncio.gather(*(clocked.write(pause) for _ in range(8)))
    [paused] = await current(clocked)
    assert (paused.probe_at - paused.since).total_seconds() == pauses.FIRST_PROBE_S
