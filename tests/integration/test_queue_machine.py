"""The queue against a simple model: order per lane, nothing lost or twice at a time, attempts counted."""

from __future__ import annotations

import asyncio
import itertools
import shutil
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import text

from bridge.ids import JobId
from bridge.queue.job import order_of
from bridge.queue.jobs import Job, Jobs, NewJob
from bridge.queue.retry import Discard, Pause, RunAgain, Verdict
from bridge.store.engine import Store
from bridge.store.tables import UtcDateTime
from tests.queue_support import HandClock, in_lane, name_of, without_lane

T = TypeVar("T")

LEASE_S = 15.0
LANES = st.sampled_from(["a", "a", "b", "c", None])
PROJECTS = st.sampled_from(["p1", "p2"])
WORKERS = st.sampled_from(["w1", "w2", "w3"])
MANY_S = 3600.0


@dataclass
class Known:
    """What the model knows of a job."""

    name: str
    lane: str | None
    target: str | None
    order: int
    seq: int
    due: datetime
    created_at: datetime
    state: str = "available"
    attempt: int = 0
    claim: int = 0
    lease_until: datetime | None = None
    failing_since: datetime | None = None

    @property
    def place(self) -> tuple[int, int]:
        return self.order, self.seq

    @property
    def is_active(self) -> bool:
        return self.state in ("available", "running")


@dataclass
class Held:
    """A claim as the process remembers it that made it."""

    job: Job
    name: str
    claim: int
    followers: list[str] = field(default_factory=list)


class Model:
    """The queue as it ought to be, with a dictionary for a database."""

    def __init__(self, clock: HandClock) -> None:
        self.clock = clock
        self.jobs: dict[str, Known] = {}
        self.paused: dict[str, datetime] = {}
        self.claims = itertools.count(1)

    def lane_of(self, job: Known) -> list[Known]:
        return [other for other in self.jobs.values() if other.is_active and other.lane == job.lane]

    def may_start(self, job: Known) -> bool:
        if job.state != "available" or job.due > self.clock():
            return False
        if job.lane is None:
            return True
        lane = self.lane_of(job)
        return min(lane, key=lambda other: other.place) is job and all(one.state != "running" for one in lane)

    def startable(self) -> list[Known]:
        """Return what may start, whatever is paused, in the order in which it is to be claimed."""
        return sorted(filter(self.may_start, self.jobs.values()), key=lambda job: (job.due, job.seq))

    def holds(self, held: Held) -> bool:
        job = self.jobs[held.name]
        return job.state == "running" and job.claim == held.claim

    def counts(self) -> dict[str, int]:
        return dict(Counter(job.state for job in self.jobs.values()))


class QueueMachine(RuleBasedStateMachine):
    """Drives the real queue and the model side by side."""

    held = Bundle("held")

    url = ""

    def __init__(self) -> None:
        super().__init__()
        self.empty_database()
        self.runner = asyncio.Runner()
        self.clock = HandClock()
        self.store = Store(self.url, clock=self.clock)
        self.run(self.store.__aenter__())
        self.queue = Jobs(self.store)
        self.model = Model(self.clock)
        self.numbers = itertools.count(1)

    def empty_database(self) -> None:
        raise NotImplementedError

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    # --- putting -------------------------------------------------------------------------------------

    @rule(
        lanes=st.lists(LANES, min_size=1, max_size=4),
        project=PROJECTS,
        earlier_s=st.sampled_from([0, 0, 0, 5, 60]),
        later_s=st.sampled_from([0, 0, 0, 10]),
        has_bad_row=st.booleans(),
    )
    def put(
        self, lanes: list[str | None], project: str, earlier_s: int, later_s: int, has_bad_row: bool
    ) -> None:
        """Several receipts at once; a bad one among them fails alone."""
        new, known = [], []
        for lane in lanes:
            name = f"j{next(self.numbers)}"
            event = without_lane(name) if lane is None else in_lane(name, lane, project=project)
            order = order_of(self.clock()) - earlier_s * 1_000_000
            due = self.clock() + timedelta(seconds=later_s)
            new.append(NewJob(event, unique_key=name, order=order, run_at=due))
            known.append(Known(name, event.lane, event.target, order, int(name[1:]), due, self.clock()))
        bad = [NewJob(without_lane("bad"), order=2**80)] if has_bad_row else []

        async def put() -> list[BaseException | None]:
            receipts = [self.queue.receive([job]) for job in (*new, *bad)]
            return await asyncio.gather(*receipts, return_exceptions=True)

        answers = self.run(put())
        assert answers[: len(new)] == [None] * len(new)
        assert all(isinstance(answer, Exception) for answer in answers[len(new) :])
        self.model.jobs |= {job.name: job for job in known}

    @precondition(lambda self: self.model.jobs)
    @rule(data=st.data())
    def put_again(self, data: st.DataObject) -> None:
        """A redelivery changes nothing."""
        name = data.draw(st.sampled_from(sorted(self.model.jobs)))
        self.run(self.queue.put(without_lane(name), unique_key=name))

    # --- running -------------------------------------------------------------------------------------

    @rule(target=held, worker=WORKERS, limit=st.integers(1, 4), coalesced=st.booleans())
    def claim(self, worker: str, limit: int, coalesced: bool) -> Any:
        self.clock.moves(0.001)  # no two claims are made in the same microsecond
        wanted = self.model.startable()
        kinds = frozenset({"conversation_changed"} if coalesced else ())
        lease = timedelta(seconds=LEASE_S)
        claimed = self.run(self.queue.claim(worker, limit=limit, lease=lease, coalesced=kinds))
        self._check_claim([name_of(job.event) for job in claimed], wanted, limit)
        return multiple(*(self._claimed(job, worker, coalesced) for job in claimed))

    def _check_claim(self, names: list[str], wanted: list[Known], limit: int) -> None:
        if not self.model.paused:
            assert names == [job.name for job in wanted[:limit]]
            return
        up = [job.name for job in wanted if job.target not in self.model.paused]
        assert set(names) <= {job.name for job in wanted}
        assert [name for name in names if name in up] == up[: len([name for name in names if name in up])]
        probes = [self.model.jobs[name].target for name in names if name not in up]
        assert len(probes) == len(set(probes)), "two probes of one target"
        assert all(self.model.paused[probe or ""] <= self.clock() for probe in probes)
        assert names or not up
        for probe in probes:
            self.model.paused[probe or ""] = self.clock() + timedelta(seconds=60)

    def _claimed(self, job: Job, worker: str, coalesced: bool) -> Held:
        known = self.model.jobs[name_of(job.event)]
        known.state, known.attempt, known.claim = "running", known.attempt + 1, next(self.model.claims)
        known.lease_until = self.clock() + timedelta(seconds=LEASE_S)
        assert (job.attempt, job.worker, job.lane) == (known.attempt, worker, known.lane)
        followers = [name_of(event) for _, event in job.followers]
        later = sorted(
            (one for one in self.model.lane_of(known) if one is not known), key=lambda one: one.place
        )
        assert followers == ([one.name for one in later] if coalesced and known.lane is not None else [])
        return Held(job, known.name, known.claim, followers)

    @rule(held=held)
    def complete(self, held: Held) -> None:
        is_ours = self.model.holds(held)
        assert self.run(self.queue.complete(held.job)) is is_ours
        if not is_ours:
            return
        self.model.jobs[held.name].state = "completed"
        for name in held.followers:
            if self.model.jobs[name].state == "available":
                self.model.jobs[name].state = "completed"
        self._learn_pauses()

    @rule(held=held, how=st.sampled_from(["again", "again", "snooze", "pause", "discard"]))
    def fail(self, held: Held, how: str) -> None:
        later = self.clock() + timedelta(seconds=4)
        target = held.job.target or "team:T1"
        verdicts: dict[str, Verdict] = {
            "again": RunAgain(later, is_attempt=True),
            "snooze": RunAgain(later, is_attempt=False),
            "pause": Pause(target),
            "discard": Discard("gone"),
        }
        is_ours = self.model.holds(held)
        assert self.run(self.queue.fail(held.job, verdicts[how], how)) is is_ours
        if not is_ours:
            return
        known = self.model.jobs[held.name]
        known.state = "discarded" if how == "discard" else "available"
        if how == "again":
            known.failing_since = known.failing_since or self.clock()
        if how == "discard" and known.failing_since is not None:
            for name in held.followers:
                other = self.model.jobs[name]
                if other.state == "available" and other.created_at <= known.failing_since:
                    other.state = "discarded"
        known.attempt -= how in ("snooze", "pause")
        known.due = later if how in ("again", "snooze") else self.clock()
        known.target = target if how == "pause" else known.target
        self._learn_pauses()

    @rule(held=held)
    def hand_back(self, held: Held) -> None:
        is_ours = self.model.holds(held)
        assert self.run(self.queue.hand_back([held.job])) == is_ours
        if is_ours:
            self._make_available(self.model.jobs[held.name])
            self._learn_pauses()

    @rule(held=held)
    def keep(self, held: Held) -> None:
        is_ours = self.model.holds(held)
        kept = self.run(self.queue.keep([held.job], timedelta(seconds=LEASE_S)))
        assert kept == ([held.job] if is_ours else [])
        if is_ours:
            self.model.jobs[held.name].lease_until = self.clock() + timedelta(seconds=LEASE_S)

    # --- crashes and people --------------------------------------------------------------------------

    @rule()
    def rescue(self) -> None:
        """Who crashed, stalled or just never came back is relieved once the lease is over."""
        lost = [
            job
            for job in self.model.jobs.values()
            if job.state == "running" and job.lease_until is not None and job.lease_until < self.clock()
        ]
        assert self.run(self.queue.rescue()) == len(lost)
        for job in lost:
            self._make_available(job)
        self._learn_pauses()

    @rule(worker=WORKERS)
    def start_alone(self, worker: str) -> None:
        """All other processes are dead: what they ran is taken back at once."""
        running = self.run(self.queue.listed(["running"], limit=1000))
        others = self.run(self._held_by_others(worker))
        assert self.run(self.queue.rescue(of_other_processes=worker)) == len(others)
        assert len(others) <= len(running)
        for job in self.model.jobs.values():
            if job.name in others:
                self._make_available(job)
        self._learn_pauses()

    async def _held_by_others(self, worker: str) -> set[str]:
        query = text("select unique_key from jobs where state = 'running' and worker != :worker")
        return await self.store.read(lambda conn: set(conn.execute(query, {"worker": worker}).scalars()))

    @rule(seconds=st.sampled_from([0.5, 2, 4, 10, 16, 61]))
    def time_passes(self, seconds: float) -> None:
        self.clock.moves(seconds)

    @precondition(lambda self: self.model.jobs)
    @rule(data=st.data())
    def retry(self, data: st.DataObject) -> None:
        names = data.draw(st.lists(st.sampled_from(sorted(self.model.jobs)), unique=True, max_size=3))
        dead = [name for name in names if self.model.jobs[name].state in ("discarded", "cancelled")]
        assert self.run(self._of_people(self.queue.retry, names)) == len(dead)
        for name in dead:
            known = self.model.jobs[name]
            known.state, known.attempt, known.due = "available", 0, self.clock()
            known.failing_since = None

    @precondition(lambda self: self.model.jobs)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        names = data.draw(st.lists(st.sampled_from(sorted(self.model.jobs)), unique=True, max_size=2))
        idle = [name for name in names if self.model.jobs[name].state in ("available", "discarded")]
        assert self.run(self._of_people(self.queue.cancel, names)) == len(idle)
        for name in idle:
            self.model.jobs[name].state = "cancelled"

    async def _of_people(
        self, change: Callable[[list[JobId]], Coroutine[Any, Any, int]], names: list[str]
    ) -> int:
        rows = text("select id, unique_key from jobs")
        ids = await self.store.read(lambda conn: {name: id_ for id_, name in conn.execute(rows)})
        return await change([JobId(ids[name]) for name in names])

    # --- what always holds ---------------------------------------------------------------------------

    @invariant()
    def nothing_is_lost_or_in_two_states(self) -> None:
        assert self.run(self.queue.counts()) == self.model.counts()

    @invariant()
    def no_lane_runs_two_jobs(self) -> None:
        lanes = [view.lane for view in self.run(self.queue.listed(["running"], limit=1000)) if view.lane]
        assert len(lanes) == len(set(lanes))

    def _make_available(self, job: Known) -> None:
        job.state, job.attempt, job.due = "available", job.attempt - 1, self.clock()

    def _learn_pauses(self) -> None:
        """When probes go is the business of `test_pauses`; here only that they go, and one at a time."""
        rows = text("select target, probe_at from pauses").columns(probe_at=UtcDateTime)
        self.model.paused = self.run(
            self.store.read(lambda conn: {row.target: row.probe_at for row in conn.execute(rows)})
        )

    def teardown(self) -> None:
        """In the end everything that was put is done, once everybody is back."""
        try:
            active = [job.name for job in self.model.jobs.values() if job.is_active]
            for _ in range(4 * len(active) + 4):
                self.clock.moves(MANY_S)
                self.run(self.queue.rescue())
                for job in self.run(self.queue.claim("last", limit=50, lease=timedelta(seconds=LEASE_S))):
                    self.clock.moves(0.001)
                    assert self.run(self.queue.complete(job))
            left = self.run(self.queue.counts())
            assert set(left) <= {"completed", "discarded", "cancelled"}, left
            assert sum(left.values()) == len(self.model.jobs)
        finally:
            self.run(self.store.__aexit__(None, None, None))
            self.runner.close()


@pytest.mark.timeout(400)  # it takes seconds, unless it found something and looks for the shortest way there
def test_the_queue_keeps_its_promises_on_sqlite(sqlite_template: Path, tmp_path: Path) -> None:
    class Machine(QueueMachine):
        url = f"sqlite+aiosqlite:///{tmp_path}/bridge.db"

        def empty_database(self) -> None:
            for file in tmp_path.iterdir():
                file.unlink()
            shutil.copy(sqlite_template, tmp_path / "bridge.db")

    run_machine(Machine, examples=20, steps=40)


@pytest.mark.postgres
@pytest.mark.timeout(400)
def test_the_queue_keeps_its_promises_on_postgres(migrated_postgres_url: str) -> None:
    async def empty() -> None:
        async with Store(migrated_postgres_url) as store:
            await store.write(lambda conn: conn.execute(text("truncate jobs, pauses, attempts")).close())

    class Machine(QueueMachine):
        url = migrated_postgres_url

        def empty_database(self) -> None:
            asyncio.run(empty())

    run_machine(Machine, examples=8, steps=30)


def run_machine(machine: type[QueueMachine], *, examples: int, steps: int) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            print_blob=True,
        ),
    )
