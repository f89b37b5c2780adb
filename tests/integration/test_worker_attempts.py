"""What a worker does with a job, whatever its handler does."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from bridge.errors import BridgeError, PermanentError, Snooze, StoreUnavailable, TargetDown
from bridge.queue import attempt as attempt_module
from bridge.queue.jobs import Job, Jobs
from bridge.queue.worker import Handlers, Worker
from bridge.store import pauses
from bridge.store.engine import Store
from tests.queue_support import (
    LEASE,
    HandClock,
    claim,
    in_lane,
    name_of,
    outcomes_of,
    put,
    running,
    state_of,
    until,
    without_lane,
)

Act = Callable[[Job], Awaitable[None]]


class Recorder:
    """A handler that remembers what it was given and does what it was told to."""

    def __init__(self, *acts: Exception | Act | None) -> None:
        self.acts = list(acts)
        self.seen: list[tuple[str, int]] = []
        self.farewells: list[tuple[str, str]] = []

    async def handle(self, event: Any, job: Job) -> None:
        self.seen.append((name_of(event), job.attempt))
        act = self.acts.pop(0) if self.acts else None
        if isinstance(act, Exception):
            raise act
        if act is not None:
            await act(job)

    async def farewell(self, event: Any, sentence: str) -> None:
        self.farewells.append((name_of(event), sentence))

    @property
    def handlers(self) -> Handlers:
        kinds = ("conversation_changed", "profile_expired")
        return Handlers(
            by_kind=dict.fromkeys(kinds, self.handle), farewells=dict.fromkeys(kinds, self.farewell)
        )


def worker_of(store: Store, jobs: Jobs, recorder: Recorder, id_: str = "w1") -> Worker:
    return Worker(store, jobs, recorder.handlers, id_=id_, lease_s=LEASE.total_seconds())


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Recording is tried again at once."""
    monkeypatch.setattr(attempt_module, "RECORD_AGAIN_S", 0.01)


async def test_a_lane_is_worked_off_in_order(jobs: Jobs, clocked: Store) -> None:
    recorder = Recorder()
    await put(jobs, "a", "b", "c")
    await worker_of(clocked, jobs, recorder).run_until_idle()
    assert [name for name, _ in recorder.seen] == ["a", "b", "c"]
    assert await jobs.counts() == {"completed": 3}


async def test_a_snooze_is_waited_for_and_no_attempt(jobs: Jobs, clocked: Store, clock: HandClock) -> None:
    recorder = Recorder(Snooze("ratelimited", delay=timedelta(seconds=30)))
    await put(jobs, "a")
    worker = worker_of(clocked, jobs, recorder)
    await worker.run_until_idle()
    clock.moves(30)
    await worker.run_until_idle()
    assert recorder.seen == [("a", 1), ("a", 1)]


async def test_a_failure_is_tried_again_later_and_counts(
    jobs: Jobs, clocked: Store, clock: HandClock
) -> None:
    recorder = Recorder(BridgeError("bad_answer"), KeyError("text"))
    await put(jobs, "a")
    worker = worker_of(clocked, jobs, recorder)
    for _ in range(3):
        await worker.run_until_idle()
        clock.moves(60)
    assert recorder.seen == [("a", 1), ("a", 2), ("a", 3)]
    assert await jobs.counts() == {"completed": 1}


async def test_what_broke_is_named_without_the_values_that_were_in_it(jobs: Jobs, clocked: Store) -> None:
    await put(jobs, "a")
    await worker_of(clocked, jobs, Recorder(ValueError("what a customer wrote"))).run_until_idle()
    [waiting] = await jobs.listed(["available"])
    assert (waiting.reason or "").startswith("ValueError in handle, line ")


async def test_what_stays_wrong_is_a_dead_letter_and_people_are_told_first(
    jobs: Jobs, clocked: Store
) -> None:
    recorder = Recorder(PermanentError("not_found", user_message="It is gone."))
    await put(jobs, "poison", "next")
    await worker_of(clocked, jobs, recorder).run_until_idle()
    assert recorder.farewells == [("poison", "It is gone.")]
    [dead] = await jobs.listed(["discarded"])
    assert dead.reason == "not_found: It is gone."
    assert [name for name, _ in recorder.seen] == ["poison", "next"]


async def test_the_last_failure_makes_a_dead_letter(jobs: Jobs, clocked: Store, clock: HandClock) -> None:
    recorder = Recorder(*[ValueError("no") for _ in range(8)])
    await put(jobs, "poison")
    worker = worker_of(clocked, jobs, recorder)
    for _ in range(10):
        await worker.run_until_idle()
        clock.moves(80)
    assert [attempt for _, attempt in recorder.seen] == list(range(1, 9))
    assert recorder.farewells == [("poison", "Something broke on our side.")]
    assert await jobs.counts() == {"discarded": 1}


async def test_a_farewell_that_breaks_does_not_keep_the_job(
    jobs: Jobs, clocked: Store, caplog: pytest.LogCaptureFixture
) -> None:
    async def farewell(event: Any, sentence: str) -> None:
        raise KeyError("farewell")

    recorder = Recorder(PermanentError("not_found"))
    handlers = Handlers(
        {"conversation_changed": recorder.handle}, farewells={"conversation_changed": farewell}
    )
    await put(jobs, "a")
    await Worker(clocked, jobs, handlers).run_until_idle()
    assert await jobs.counts() == {"discarded": 1}
    assert "job.farewell_broke" in caplog.text


async def test_a_farewell_that_the_database_refuses_is_said_again(
    jobs: Jobs, clocked: Store, quick: None
) -> None:
    said: list[str] = []

    async def farewell(event: Any, sentence: str) -> None:
        said.append(sentence)
        if len(said) == 1:
            raise StoreUnavailable("locked")

    recorder = Recorder(PermanentError("not_found", user_message="It is gone."))
    handlers = Handlers(
        {"conversation_changed": recorder.handle}, farewells={"conversation_changed": farewell}
    )
    await put(jobs, "a")
    await Worker(clocked, jobs, handlers).run_until_idle()
    assert said == ["It is gone.", "It is gone."]
    assert await jobs.counts() == {"discarded": 1}


async def test_nobody_is_told_of_a_job_that_somebody_else_has_taken_over(
    jobs: Jobs, clocked: Store, clock: HandClock
) -> None:
    async def stall(job: Job) -> None:
        clock.moves(LEASE.total_seconds() + 1)
        await jobs.rescue()
        await claim(jobs, "other")
        raise PermanentError("not_found")

    recorder = Recorder(stall)
    await put(jobs, "a")
    await worker_of(clocked, jobs, recorder).run_until_idle()
    assert recorder.farewells == []
    assert await jobs.counts() == {"running": 1}


async def test_a_kind_that_nothing_handles_is_a_dead_letter(jobs: Jobs, clocked: Store) -> None:
    await put(jobs, "a")
    await Worker(clocked, jobs, Handlers({})).run_until_idle()
    [dead] = await jobs.listed(["discarded"])
    assert "Nothing handles conversation_changed" in (dead.reason or "")


async def test_a_target_that_is_down_pauses_and_one_probe_finds_it_up_again(
    jobs: Jobs, clocked: Store, clock: HandClock
) -> None:
    recorder = Recorder(*[TargetDown("no_connection", target="project:p1") for _ in range(3)])
    for number in range(5):
        await jobs.put(in_lane(str(number), f"lane{number}"))
    worker = Worker(clocked, jobs, recorder.handlers, concurrency=2)
    await worker.run_until_idle()
    assert len(recorder.seen) == 2
    clock.moves(pauses.FIRST_PROBE_S)
    await worker.run_until_idle()
    assert len(recorder.seen) == 3
    clock.moves(pauses.FIRST_PROBE_S * 2 - 0.1)
    await worker.run_until_idle()
    assert len(recorder.seen) == 3
    clock.moves(0.1)
    await worker.run_until_idle()
    assert len(recorder.seen) == 3 + 5
    assert all(attempt == 1 for _, attempt in recorder.seen)
    assert await jobs.counts() == {"completed": 5}


async def test_a_cancellation_inside_a_handler_is_a_failure_of_the_job_only(
    jobs: Jobs, clocked: Store
) -> None:
    async def wait_for_something_cancelled(job: Job) -> None:
        gone = asyncio.get_running_loop().create_future()
        gone.cancel()
        await gone

    await put(jobs, "a")
    await worker_of(clocked, jobs, Recorder(wait_for_something_cancelled)).run_until_idle()
    [waiting] = await jobs.listed(["available"])
    assert await outcomes_of(jobs, waiting.id) == ["failed"]


async def test_a_job_over_which_workers_are_lost_again_and_again_is_not_tried_for_ever(
    jobs: Jobs, clocked: Store, clock: HandClock
) -> None:
    recorder = Recorder()
    await put(jobs, "deadly")
    for _ in range(attempt_module.MAX_LOST):
        assert await claim(jobs, "doomed")
        clock.moves(LEASE.total_seconds() + 1)
        await jobs.rescue()
    await worker_of(clocked, jobs, recorder).run_until_idle()
    assert recorder.seen == []
    assert recorder.farewells == [("deadly", "The bridge stopped 20 times while it worked on this.")]
    [dead] = await jobs.listed(["discarded"])
    await jobs.retry([dead.id])
    await worker_of(clocked, jobs, recorder).run_until_idle()
    assert recorder.seen == [("deadly", 1)]


async def test_a_handler_that_the_database_refuses_is_run_again_and_nothing_is_counted(
    jobs: Jobs, clocked: Store, clock: HandClock
) -> None:
    recorder = Recorder(StoreUnavailable("locked"))
    await put(jobs, "a")
    worker = worker_of(clocked, jobs, recorder)
    await worker.run_until_idle()
    clock.moves(1)
    await worker.run_until_idle()
    assert recorder.seen == [("a", 1), ("a", 1)]


class Interrupted:
    """A queue whose next calls of one kind fail."""

    def __init__(self, jobs: Jobs, name: str, *errors: Exception) -> None:
        self.errors = list(errors)
        self._call = getattr(jobs, name)
        setattr(jobs, name, self)

    async def __call__(self, *arguments: Any, **more: Any) -> Any:
        if self.errors:
            raise self.errors.pop(0)
        return await self._call(*arguments, **more)


@pytest.mark.parametrize("name", ["complete", "fail", "hand_back", "keep"])
async def test_what_was_done_is_recorded_when_the_database_answers_again(
    jobs: Jobs, clocked: Store, quick: None, name: str
) -> None:
    acts = {
        "complete": None,
        "fail": BridgeError("bad_answer"),
        "hand_back": StoreUnavailable("x"),
        "keep": PermanentError("x"),
    }
    recorder = Recorder(acts[name])
    interrupted = Interrupted(jobs, name, StoreUnavailable("away"), StoreUnavailable("away"))
    await put(jobs, "a")
    await worker_of(clocked, jobs, recorder).run_until_idle()
    assert interrupted.errors == []
    assert len(recorder.seen) == 1
    assert len(recorder.farewells) == (1 if name == "keep" else 0)
    states = {"complete": "completed", "fail": "available", "hand_back": "available", "keep": "discarded"}
    assert await jobs.counts() == {states[name]: 1}


async def test_what_cannot_be_recorded_at_all_is_left_to_the_lease(
    jobs: Jobs, clocked: Store, clock: HandClock, caplog: pytest.LogCaptureFixture
) -> None:
    Interrupted(jobs, "complete", KeyError("a mistake of ours"))
    recorder = Recorder()
    await put(jobs, "a")
    worker = worker_of(clocked, jobs, recorder)
    await worker.run_until_idle()
    assert "job.record_broke" in caplog.text
    clock.moves(LEASE.total_seconds() + 1)
    await jobs.rescue()
    await worker.run_until_idle()
    assert recorder.seen == [("a", 1), ("a", 1)]
    assert await jobs.counts() == {"completed": 1}


async def test_a_job_that_was_taken_over_is_stopped_here(
    jobs: Jobs, clocked: Store, clock: HandClock
) -> None:
    stopped = asyncio.Event()

    async def take_long(job: Job) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            stopped.set()

    await put(jobs, "a")
    recorder = Recorder(take_long)
    worker = Worker(clocked, jobs, recorder.handlers, id_="stalled", lease_s=0.2, concurrency=1)
    async with running(worker):
        await until(lambda: bool(recorder.seen))
        clock.moves(1)
        await jobs.rescue()
        [job] = await claim(jobs, "other")
        async with asyncio.timeout(5):
            await stopped.wait()
        assert await state_of(jobs, job.id) == "running"
        assert await jobs.complete(job)


async def test_one_wide_line_is_logged_per_attempt(
    jobs: Jobs, clocked: Store, caplog: pytest.LogCaptureFixture
) -> None:
    await jobs.put(without_lane("a"))
    with caplog.at_level(logging.INFO):
        await worker_of(clocked, jobs, Recorder()).run_until_idle()
    [line] = [record for record in caplog.records if record.getMessage() == "job.attempted"]
    assert (vars(line)["kind"], vars(line)["outcome"], vars(line)["attempt"]) == (
        "profile_expired",
        "completed",
        1,
    )
