"""Jobs: rows that are put once and run until they are done, in order within their lane.

A job is claimed when it is due, its target is not paused, and it is the first of its lane, ordered by
(`lane_order`, `id`); see `bridge.queue.claim`. `lane_order` is a growing number, or Slack's `ts` in
microseconds for lines that people typed.

Only the claim that holds a job may record what became of it. An attempt counts when the job's object may be
at fault: not when it is snoozed, when its target is away, or when its worker was lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, assert_never

from sqlalchemy import ColumnElement, Connection, and_, bindparam, func, select, update
from sqlalchemy.exc import IntegrityError

from bridge.events import Event
from bridge.ids import JobId
from bridge.queue.claim import LOST, claim_in
from bridge.queue.job import (
    CHANNEL,
    MAX_ATTEMPTS,
    Job,
    JobState,
    JobView,
    NewJob,
    notify,
    order_of,
    put_in,
)
from bridge.queue.mend import cancel_in, retry_in
from bridge.queue.receipts import Receipts
from bridge.queue.retry import Discard, Pause, RunAgain, Verdict
from bridge.queue.turn import next_due
from bridge.store import pauses
from bridge.store.attempts import AttemptView, history, record_attempt
from bridge.store.engine import Store
from bridge.store.tables import UtcDateTime, jobs

__all__ = ["CHANNEL", "MAX_ATTEMPTS", "Job", "JobState", "JobView", "Jobs", "NewJob", "order_of", "put_in"]

CLAIM_TRIES = 3

_DONE = {
    "state": JobState.COMPLETED,
    "finished_at": bindparam("now", type_=UtcDateTime),
    "lease_until": None,
    "reason": None,
}
# Built once: completing is done for every job, and building a statement takes longer than running it.
_COMPLETE = (
    update(jobs)
    .where(
        jobs.c.id == bindparam("job"),
        jobs.c.state == JobState.RUNNING,
        jobs.c.worker == bindparam("by"),
        jobs.c.attempted_at == bindparam("since"),
    )
    .values(**_DONE)
)


class Jobs:
    """The queue. `woken` is set whenever something may have become due in this process."""

    def __init__(self, store: Store, *, scale: float = 1.0) -> None:
        self._store = store
        self._scale = scale
        self.woken = asyncio.Event()
        self._looked_at: datetime | None = None
        self._receipts = Receipts(store, self.woken.set)

    # --- putting -------------------------------------------------------------------------------------

    async def put(self, event: Event, *, unique_key: str | None = None) -> None:
        """Put one job; return after the commit. Raises `StoreUnavailable`."""
        await self.receive([NewJob(event, unique_key=unique_key)])

    async def receive(self, new: Sequence[NewJob], kept: Iterable[tuple[str, str]] = ()) -> None:
        """Commit what came in from outside: jobs, and (project, body) pairs to be kept aside.

        Receipts that wait at the same time are committed together; one that the database refuses fails
        alone. Raises `StoreUnavailable`. A caller that is cancelled does not take its receipt back.
        """
        await self._receipts.take(new, tuple(kept))

    # --- running -------------------------------------------------------------------------------------

    async def claim(
        self, worker: str, *, limit: int, lease: timedelta, coalesced: frozenset[str] = frozenset()
    ) -> list[Job]:
        """Take up to `limit` due jobs for `worker`, first of their lanes, best priority first.

        Jobs of a kind in `coalesced` bring the later ones of that kind in their lane as `followers`.
        """

        def take(conn: Connection) -> tuple[datetime, list[Job]]:
            now = self._store.now(conn)
            return now, claim_in(
                conn, worker, limit=limit, lease=lease, coalesced=coalesced, now=now, scale=self._scale
            )

        for _ in range(CLAIM_TRIES):
            try:
                self._looked_at, claimed = await self._store.write(take)
            except IntegrityError:
                continue  # another process took a job of one of these lanes between our look and our update
            return claimed
        self.woken.set()  # busy lanes; the caller looks again soon
        return []

    async def complete(self, job: Job) -> bool:
        """Mark `job` and its followers as done; False if the lease was lost meanwhile."""
        return await self._store.write(lambda conn: self._complete(conn, job))

    def _complete(self, conn: Connection, job: Job) -> bool:
        now = self._store.now(conn)
        ours = {"job": job.id, "by": job.worker, "since": job.claimed_at, "now": now}
        if not conn.execute(_COMPLETE, ours).rowcount:
            return False
        if job.followers:
            ids = [id_ for id_, _ in job.followers]
            waiting = jobs.c.id.in_(ids), jobs.c.state == JobState.AVAILABLE
            conn.execute(update(jobs).where(*waiting).values(**_DONE), {"now": now})
        if job.target is not None:
            pauses.resume(conn, job.target, tried_at=job.claimed_at)
        return True

    async def fail(self, job: Job, verdict: Verdict, reason: str) -> bool:
        """Record a failed attempt and what comes next; False if the lease was lost meanwhile."""
        result = await self._store.write(lambda conn: self._fail(conn, job, verdict, reason))
        self.woken.set()
        return result

    def _fail(self, conn: Connection, job: Job, verdict: Verdict, reason: str) -> bool:
        now = self._store.now(conn)
        values = {"lease_until": None, "reason": reason[:500], **_after(job, verdict, now)}
        if not conn.execute(update(jobs).where(_held(job)).values(**values)).rowcount:
            return False
        record_attempt(conn, f"job:{job.id}", now, job.attempt, _outcome(verdict), reason)
        if isinstance(verdict, Discard):
            _discard_followers(conn, job, now, reason)
        match verdict:
            case Pause():
                pauses.pause(conn, verdict.target, reason[:500], now, self._scale, tried_at=job.claimed_at)
            # A probe that failed for another reason tells nothing: let the next one go.
            case RunAgain(is_attempt=False):
                pauses.probe_again(conn, job.target, job.claimed_at, verdict.at)
            case _:
                pauses.probe_again(conn, job.target, job.claimed_at, now)
        return True

    async def keep(self, held: Sequence[Job], lease: timedelta) -> list[Job]:
        """Extend the leases of running jobs; return those that are still held."""
        if not held:
            return []

        def extend(conn: Connection) -> list[Job]:
            until = self._store.now(conn) + lease
            return [
                job
                for job in sorted(held, key=lambda job: job.id)
                if conn.execute(update(jobs).where(_held(job)).values(lease_until=until)).rowcount
            ]

        return await self._store.write(extend)

    async def hand_back(self, held: Sequence[Job], *, delay: timedelta = timedelta(0)) -> int:
        """Make running jobs available again, as if never claimed; return how many of them were still ours."""

        def release(conn: Connection) -> int:
            now = self._store.now(conn)
            held_still = [
                job
                for job in held
                if conn.execute(
                    update(jobs)
                    .where(_held(job))
                    .values(
                        state=JobState.AVAILABLE,
                        attempt=jobs.c.attempt - 1,
                        lease_until=None,
                        scheduled_at=now + delay,
                    )
                ).rowcount
            ]
            for job in held_still:
                pauses.probe_again(conn, job.target, job.claimed_at, now)
            notify(conn)
            return len(held_still)

        if not held:
            return 0
        count = await self._store.write(release)
        self.woken.set()
        return count

    async def rescue(self, *, of_other_processes: str | None = None) -> int:
        """Make jobs available again whose lease ran out; return how many.

        `of_other_processes` (only where the caller knows that it is alone, on SQLite) names the own worker:
        every job that is running for anybody else is taken back at once.
        """
        return await self._store.write(lambda conn: self._rescue(conn, of_other_processes))

    def _rescue(self, conn: Connection, alone: str | None) -> int:
        now = self._store.now(conn)
        lost = jobs.c.lease_until < now if alone is None else jobs.c.worker != alone
        rows = conn.execute(
            select(jobs.c.id, jobs.c.attempt, jobs.c.target, jobs.c.attempted_at)
            .where(jobs.c.state == JobState.RUNNING, lost)
            .with_for_update(skip_locked=True)
        ).all()
        for id_, attempt, target, claimed_at in rows:
            back = {"state": JobState.AVAILABLE, "attempt": attempt - 1, "lease_until": None}
            conn.execute(update(jobs).where(jobs.c.id == id_).values(**back, scheduled_at=now, reason=LOST))
            record_attempt(conn, f"job:{id_}", now, attempt, "lost", "its worker stopped or stalled")
            pauses.probe_again(conn, target, claimed_at, now)
        if rows:
            notify(conn)
        return len(rows)

    async def next_due(self) -> datetime | None:
        """Return when the next job that is not due yet, or the next probe, will be; None if there is none."""
        return await self._store.read(lambda conn: next_due(conn, self._store.now(conn)))

    async def due_in(self) -> timedelta | None:
        """Return how long it is until what the last claim found not due yet is due; None if that is never.

        Zero or less if that was meanwhile.
        """

        def look(conn: Connection) -> timedelta | None:
            now = self._store.now(conn)
            due = next_due(conn, self._looked_at or now)
            return None if due is None else due - now

        return await self._store.read(look)

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
        return await self._store.read(
            lambda conn: [JobView.of(row) for row in conn.execute(query).mappings()]
        )

    async def shown(self, id_: JobId) -> tuple[JobView, list[AttemptView]] | None:
        """Return one job with its recorded attempts, None if there is none."""

        def look(conn: Connection) -> tuple[JobView, list[AttemptView]] | None:
            row = conn.execute(select(jobs).where(jobs.c.id == id_)).mappings().first()
            return None if row is None else (JobView.of(row), history(conn, f"job:{id_}"))

        return await self._store.read(look)

    async def retry(self, ids: Sequence[JobId]) -> int:
        """Make dead letters available again; they keep their place, so they run next in their lane."""
        return await self._mend(lambda conn, now: retry_in(conn, now, ids))

    async def cancel(self, ids: Sequence[JobId]) -> int:
        """Cancel jobs that are not running; return how many. Their lanes go on."""
        return await self._mend(lambda conn, now: cancel_in(conn, now, ids))

    async def _mend(self, change: Callable[[Connection, datetime], Sequence[object]]) -> int:
        changed = await self._store.write(lambda conn: change(conn, self._store.now(conn)))
        self.woken.set()
        return len(changed)


def _discard_followers(conn: Connection, job: Job, now: datetime, reason: str) -> None:
    """What was tried along from the first failure on is given up along: it would hold up the lane anew."""
    ids = [id_ for id_, _ in job.followers]
    since = _failing_since(conn, job.id) if ids else None
    if since is None:
        return
    waiting = jobs.c.id.in_(ids), jobs.c.state == JobState.AVAILABLE, jobs.c.created_at <= since
    given_up = {"state": JobState.DISCARDED, "finished_at": now, "reason": reason[:500]}
    taken = conn.execute(update(jobs).where(*waiting).values(**given_up).returning(jobs.c.id)).scalars().all()
    for id_ in taken:
        record_attempt(conn, f"job:{id_}", now, job.attempt, "discarded", reason)


def _failing_since(conn: Connection, job: JobId) -> datetime | None:
    """Return when a job failed first, since it was put or put back; None if it did not before."""
    since = None
    for attempt in history(conn, f"job:{job}"):
        if attempt.outcome == "retried":
            since = None
        elif attempt.outcome == "failed":
            since = since or attempt.at
    return since


def _held(job: Job) -> ColumnElement[bool]:
    """The row is still ours: a job that was taken over was claimed by another worker or at another time."""
    return and_(
        jobs.c.id == job.id,
        jobs.c.state == JobState.RUNNING,
        jobs.c.worker == job.worker,
        jobs.c.attempted_at == job.claimed_at,
    )


def _after(job: Job, verdict: Verdict, now: datetime) -> dict[str, Any]:
    match verdict:
        case RunAgain():
            attempt = job.attempt if verdict.is_attempt else job.attempt - 1
            return {"state": JobState.AVAILABLE, "scheduled_at": verdict.at, "attempt": attempt}
        case Pause():
            # From now on the pause holds it back, whatever its event says it needs.
            back = {"state": JobState.AVAILABLE, "scheduled_at": now, "target": verdict.target}
            return {**back, "attempt": job.attempt - 1}
        case Discard():
            return {"state": JobState.DISCARDED, "finished_at": now}
    assert_never(verdict)


def _outcome(verdict: Verdict) -> str:
    match verdict:
        case RunAgain():
            return "failed" if verdict.is_attempt else "snoozed"
        case Pause():
            return "paused"
        case Discard():
            return "discarded"
    assert_never(verdict)
