"""Jobs: rows that are put once and run until they are done, in order within their lane.

States follow River: `available`, `running`, `completed`, `discarded`, `cancelled`. A job is claimed when it
is due, its target is not paused, and it is the first of its lane, ordered by (`lane_order`, `id`). A unique
index allows one running job per lane, so no two claimers can break that. `lane_order` is a growing number,
or Slack's `ts` in microseconds for lines that people typed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, and_, exists, func, insert, or_, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import RowMapping
from sqlalchemy.exc import IntegrityError

from bridge.errors import StoreUnavailable
from bridge.events import Event, event_adapter
from bridge.ids import JobId
from bridge.queue.retry import Discard, Pause, RunAgain, Verdict
from bridge.store import pauses
from bridge.store.attempts import AttemptView, history, record_attempt
from bridge.store.engine import Store
from bridge.store.tables import jobs, kept_bodies

MAX_ATTEMPTS = 8
CHANNEL = "jobs"
"""The PostgreSQL notification channel."""


class JobState(StrEnum):
    """See the module's docstring."""

    AVAILABLE = "available"
    RUNNING = "running"
    COMPLETED = "completed"
    DISCARDED = "discarded"
    CANCELLED = "cancelled"


ACTIVE = (JobState.AVAILABLE, JobState.RUNNING)


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job to be put. `order` defaults to the time of putting; a taken `unique_key` drops the job."""

    event: Event
    unique_key: str | None = None
    order: int | None = None
    run_at: datetime | None = None
    priority: int = 0


@dataclass(frozen=True, slots=True)
class Job:
    """A claimed job. `attempt` counts from 1. `followers` are later jobs of its lane done along with it."""

    id: JobId
    event: Event
    lane: str | None
    attempt: int
    max_attempts: int
    created_at: datetime
    worker: str
    followers: tuple[tuple[JobId, Event], ...] = ()


@dataclass(frozen=True, slots=True)
class JobView:
    """A job as people see it in lists."""

    id: JobId
    kind: str
    state: str
    lane: str | None
    args: str
    attempt: int
    max_attempts: int
    scheduled_at: datetime
    created_at: datetime
    finished_at: datetime | None
    reason: str | None


def order_of(moment: datetime) -> int:
    """Return a lane order by time: microseconds, comparable with `ids.ts_order`."""
    return int(moment.timestamp() * 1_000_000)


def put_in(conn: Connection, new: Sequence[NewJob], now: datetime) -> None:
    """Insert jobs within the caller's transaction. Wakes PostgreSQL listeners; see `Jobs.woken`."""
    if not new:
        return
    rows = [_row(job, now) for job in new]
    dialect = sqlite if conn.dialect.name == "sqlite" else postgresql
    statement = dialect.insert(jobs).on_conflict_do_nothing(index_elements=[jobs.c.unique_key])
    conn.execute(statement, rows)
    notify(conn)


def notify(conn: Connection) -> None:
    """Wake the workers of all processes at commit (PostgreSQL; others poll)."""
    if conn.dialect.name == "postgresql":
        conn.execute(select(func.pg_notify(CHANNEL, "")))


def _row(new: NewJob, now: datetime) -> dict[str, Any]:
    return {
        "kind": new.event.kind,
        "args": new.event.model_dump_json(),
        "lane": new.event.lane,
        "lane_order": order_of(now) if new.order is None else new.order,
        "target": new.event.target,
        "priority": new.priority,
        "state": JobState.AVAILABLE,
        "max_attempts": MAX_ATTEMPTS,
        "scheduled_at": new.run_at or now,
        "created_at": now,
        "unique_key": new.unique_key,
    }


@dataclass(frozen=True, slots=True)
class _Receipt:
    jobs: tuple[NewJob, ...]
    kept: tuple[tuple[str, str], ...]
    done: asyncio.Future[None]


class Jobs:
    """The queue. `woken` is set whenever something may have become due in this process."""

    def __init__(self, store: Store, *, scale: float = 1.0) -> None:
        self._store = store
        self._scale = scale
        self.woken = asyncio.Event()
        self._waiting: list[_Receipt] = []
        self._flusher: asyncio.Task[None] | None = None

    # --- putting -------------------------------------------------------------------------------------

    async def put(self, event: Event, *, unique_key: str | None = None) -> None:
        """Put one job; return after the commit. Raises `StoreUnavailable`."""
        await self.receive([NewJob(event, unique_key=unique_key)])

    async def receive(self, new: Sequence[NewJob], kept: Iterable[tuple[str, str]] = ()) -> None:
        """Commit what came in from outside: jobs, and (project, body) pairs to be kept aside.

        Receipts that wait at the same time are committed together; one that the database refuses fails
        alone. Raises `StoreUnavailable`. A caller that is cancelled does not take its receipt back.
        """
        receipt = _Receipt(tuple(new), tuple(kept), asyncio.get_running_loop().create_future())
        self._waiting.append(receipt)
        if self._flusher is None or self._flusher.done():
            self._flusher = asyncio.create_task(self._flush(), name="receipts")
        await receipt.done

    async def _flush(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            try:
                await self._store.write(lambda conn, batch=batch: self._insert(conn, batch))  # type: ignore[misc]
            except Exception as error:  # noqa: BLE001 - each caller gets its own answer below
                await self._one_by_one(batch, error)
            else:
                for receipt in batch:
                    _answer(receipt, None)
            self.woken.set()

    async def _one_by_one(self, batch: list[_Receipt], error: Exception) -> None:
        for receipt in batch:
            if len(batch) == 1 or isinstance(error, StoreUnavailable):
                _answer(receipt, error)
                continue
            try:
                await self._store.write(lambda conn, one=receipt: self._insert(conn, [one]))  # type: ignore[misc]
            except Exception as own:  # noqa: BLE001 - the caller is waiting for it
                _answer(receipt, own)
            else:
                _answer(receipt, None)

    def _insert(self, conn: Connection, batch: Sequence[_Receipt]) -> None:
        now = self._store.now(conn)
        put_in(conn, [job for receipt in batch for job in receipt.jobs], now)
        kept = [
            {"project_id": project, "received_at": now, "body": body}
            for receipt in batch
            for project, body in receipt.kept
        ]
        if kept:
            conn.execute(insert(kept_bodies), kept)

    # --- running -------------------------------------------------------------------------------------

    async def claim(
        self, worker: str, *, limit: int, lease: timedelta, coalesced: frozenset[str] = frozenset()
    ) -> list[Job]:
        """Take up to `limit` due jobs for `worker`, first of their lanes, best priority first.

        Jobs of a kind in `coalesced` bring the later ones of that kind in their lane as `followers`.
        """
        try:
            return await self._store.write(lambda conn: self._claim(conn, worker, limit, lease, coalesced))
        except IntegrityError:
            # Another process took a job of one of these lanes between our look and our update.
            return []

    def _claim(
        self, conn: Connection, worker: str, limit: int, lease: timedelta, coalesced: frozenset[str]
    ) -> list[Job]:
        now = self._store.now(conn)
        rows = conn.execute(_due(now, limit).with_for_update(skip_locked=True)).mappings().all()
        rows = self._without_paused(conn, rows, now)
        if not rows:
            return []
        conn.execute(
            update(jobs)
            .where(jobs.c.id.in_([row["id"] for row in rows]))
            .values(
                state=JobState.RUNNING,
                attempt=jobs.c.attempt + 1,
                attempted_at=now,
                lease_until=now + lease,
                worker=worker,
            )
        )
        return [self._job(conn, row, worker, coalesced) for row in rows]

    def _without_paused(
        self, conn: Connection, rows: Sequence[RowMapping], now: datetime
    ) -> list[RowMapping]:
        """Of each paused target keep one job, as its probe, if the probe is ours."""
        targets = {row["target"] for row in rows if row["target"]}
        paused = pauses.paused_targets(conn, targets)
        probes = pauses.take_probes(conn, paused, now, self._scale)
        kept = []
        for row in rows:
            target = row["target"]
            if target in paused:
                if target not in probes:
                    continue
                probes.discard(target)
            kept.append(row)
        return kept

    def _job(self, conn: Connection, row: RowMapping, worker: str, coalesced: frozenset[str]) -> Job:
        followers: tuple[tuple[JobId, Event], ...] = ()
        if row["kind"] in coalesced and row["lane"] is not None:
            later = conn.execute(
                select(jobs.c.id, jobs.c.args).where(
                    jobs.c.lane == row["lane"],
                    jobs.c.kind == row["kind"],
                    jobs.c.state == JobState.AVAILABLE,
                )
            )
            followers = tuple((JobId(id_), event_adapter.validate_json(args)) for id_, args in later)
        return Job(
            id=JobId(row["id"]),
            event=event_adapter.validate_json(row["args"]),
            lane=row["lane"],
            attempt=row["attempt"] + 1,
            max_attempts=row["max_attempts"],
            created_at=row["created_at"],
            worker=worker,
            followers=followers,
        )

    async def complete(self, job: Job) -> bool:
        """Mark `job` and its followers as done; False if the lease was lost meanwhile."""
        return await self._store.write(lambda conn: self._complete(conn, job))

    def _complete(self, conn: Connection, job: Job) -> bool:
        now = self._store.now(conn)
        done = {"state": JobState.COMPLETED, "finished_at": now, "lease_until": None, "reason": None}
        if not conn.execute(update(jobs).where(_held(job)).values(**done)).rowcount:
            return False
        if job.followers:
            ids = [id_ for id_, _ in job.followers]
            conn.execute(
                update(jobs).where(jobs.c.id.in_(ids), jobs.c.state == JobState.AVAILABLE).values(**done)
            )
        if job.event.target is not None:
            pauses.resume(conn, job.event.target)
        return True

    async def fail(self, job: Job, verdict: Verdict, reason: str) -> bool:
        """Record a failed attempt and what comes next; False if the lease was lost meanwhile."""
        result = await self._store.write(lambda conn: self._fail(conn, job, verdict, reason))
        self.woken.set()
        return result

    def _fail(self, conn: Connection, job: Job, verdict: Verdict, reason: str) -> bool:
        now = self._store.now(conn)
        outcome = "discarded"
        values: dict[str, Any] = {"lease_until": None, "reason": reason[:500]}
        match verdict:
            case RunAgain():
                values |= {"state": JobState.AVAILABLE, "scheduled_at": verdict.at}
                if not verdict.is_attempt:
                    values["attempt"] = job.attempt - 1
                outcome = "failed" if verdict.is_attempt else "snoozed"
            case Pause():
                at = pauses.pause(conn, verdict.target, reason[:500], now, self._scale)
                values |= {"state": JobState.AVAILABLE, "scheduled_at": at, "attempt": job.attempt - 1}
                if verdict.target == job.event.target:
                    values["scheduled_at"] = now  # the pause itself holds it back
                outcome = "paused"
            case Discard():
                values |= {"state": JobState.DISCARDED, "finished_at": now}
        if not conn.execute(update(jobs).where(_held(job)).values(**values)).rowcount:
            return False
        record_attempt(conn, f"job:{job.id}", now, job.attempt, outcome, reason)
        return True

    async def keep(self, held: Sequence[Job], lease: timedelta) -> None:
        """Extend the leases of running jobs."""
        if held:
            await self._store.write(
                lambda conn: (
                    conn.execute(
                        update(jobs)
                        .where(or_(*(_held(job) for job in held)))
                        .values(lease_until=self._store.now(conn) + lease)
                    )
                    and None
                )
            )

    async def rescue(self, *, of_other_processes: str | None = None) -> int:
        """Make jobs available again whose lease ran out; return how many.

        `of_other_processes` (only where the caller knows that it is alone, on SQLite) names the own worker:
        every job that is running for anybody else is taken back at once.
        """
        return await self._store.write(lambda conn: self._rescue(conn, of_other_processes))

    def _rescue(self, conn: Connection, alone: str | None) -> int:
        now = self._store.now(conn)
        lost = jobs.c.lease_until < now if alone is None else jobs.c.worker != alone
        ids = conn.execute(
            select(jobs.c.id, jobs.c.attempt).where(jobs.c.state == JobState.RUNNING, lost)
        ).all()
        for id_, attempt in ids:
            taken = conn.execute(
                update(jobs)
                .where(jobs.c.id == id_, jobs.c.state == JobState.RUNNING, jobs.c.attempt == attempt, lost)
                .values(state=JobState.AVAILABLE, lease_until=None, scheduled_at=now, reason="worker lost")
            )
            if taken.rowcount:
                record_attempt(conn, f"job:{id_}", now, attempt, "lost", "its worker stopped or stalled")
        return len(ids)

    async def next_due(self) -> datetime | None:
        """Return when the next available job that is not due yet will be, None if there is none."""
        return await self._store.read(
            lambda conn: conn.execute(
                select(func.min(jobs.c.scheduled_at)).where(
                    jobs.c.state == JobState.AVAILABLE, jobs.c.scheduled_at > self._store.now(conn)
                )
            ).scalar()
        )

    # --- looking and mending -------------------------------------------------------------------------

    async def counts(self) -> dict[str, int]:
        """Return how many jobs there are of each state."""
        rows = await self._store.read(
            lambda conn: conn.execute(select(jobs.c.state, func.count()).group_by(jobs.c.state)).all()
        )
        return {row[0]: row[1] for row in rows}

    async def listed(self, states: Sequence[str], limit: int = 100) -> list[JobView]:
        """Return jobs of these states, oldest first."""
        query = select(jobs).where(jobs.c.state.in_(states)).order_by(jobs.c.id).limit(limit)
        return await self._store.read(lambda conn: [_view(row) for row in conn.execute(query).mappings()])

    async def shown(self, id_: JobId) -> tuple[JobView, list[AttemptView]] | None:
        """Return one job with its recorded attempts, None if there is none."""

        def look(conn: Connection) -> tuple[JobView, list[AttemptView]] | None:
            row = conn.execute(select(jobs).where(jobs.c.id == id_)).mappings().first()
            if row is None:
                return None
            return _view(row), history(conn, f"job:{id_}")

        return await self._store.read(look)

    async def retry(self, ids: Sequence[JobId]) -> int:
        """Make dead letters available again; they keep their place, so they run next in their lane."""

        def revive(conn: Connection) -> int:
            now = self._store.now(conn)
            changed = conn.execute(
                update(jobs)
                .where(jobs.c.id.in_(ids), jobs.c.state.in_((JobState.DISCARDED, JobState.CANCELLED)))
                .values(state=JobState.AVAILABLE, attempt=0, scheduled_at=now, finished_at=None)
            ).rowcount
            notify(conn)
            return changed

        changed = await self._store.write(revive)
        self.woken.set()
        return changed

    async def cancel(self, ids: Sequence[JobId]) -> int:
        """Cancel jobs that are not running; return how many."""

        def cancel(conn: Connection) -> int:
            return conn.execute(
                update(jobs)
                .where(jobs.c.id.in_(ids), jobs.c.state.in_((JobState.AVAILABLE, JobState.DISCARDED)))
                .values(state=JobState.CANCELLED, finished_at=self._store.now(conn))
            ).rowcount

        return await self._store.write(cancel)


def _answer(receipt: _Receipt, error: Exception | None) -> None:
    if receipt.done.done():  # the client hung up; its receipt is committed all the same
        return
    if error is None:
        receipt.done.set_result(None)
    else:
        receipt.done.set_exception(error)


def _due(now: datetime, limit: int) -> Any:
    ahead = jobs.alias("ahead")
    blocked = exists().where(
        and_(
            ahead.c.lane == jobs.c.lane,
            ahead.c.state.in_(ACTIVE),
            ahead.c.id != jobs.c.id,
            or_(
                ahead.c.state == JobState.RUNNING,
                tuple_(ahead.c.lane_order, ahead.c.id) < tuple_(jobs.c.lane_order, jobs.c.id),
            ),
        )
    )
    return (
        select(jobs)
        .where(
            jobs.c.state == JobState.AVAILABLE,
            jobs.c.scheduled_at <= now,
            or_(jobs.c.lane.is_(None), ~blocked),
            pauses.is_open(jobs.c.target, now),
        )
        .order_by(jobs.c.priority, jobs.c.scheduled_at, jobs.c.id)
        .limit(limit)
    )


def _held(job: Job) -> Any:
    """The row is still ours: a job that was taken over has another worker or attempt."""
    return and_(
        jobs.c.id == job.id,
        jobs.c.state == JobState.RUNNING,
        jobs.c.worker == job.worker,
        jobs.c.attempt == job.attempt,
    )


def _view(row: RowMapping) -> JobView:
    return JobView(
        id=JobId(row["id"]),
        kind=row["kind"],
        state=row["state"],
        lane=row["lane"],
        args=row["args"],
        attempt=row["attempt"],
        max_attempts=row["max_attempts"],
        scheduled_at=row["scheduled_at"],
        created_at=row["created_at"],
        finished_at=row["finished_at"],
        reason=row["reason"],
    )
