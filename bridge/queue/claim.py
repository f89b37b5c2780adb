"""Taking the jobs whose turn it is.

A job may start when it is due, its target is up (or it is the probe that finds out), nothing of its lane runs
and it is the first of its lane, by (`lane_order`, `id`). A unique index allows one running job per lane, so
no two claimers can break that, whatever they saw.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta

from pydantic import ValidationError
from sqlalchemy import Connection, func, select, update
from sqlalchemy.engine import RowMapping

from bridge.events import Event, event_adapter
from bridge.ids import JobId
from bridge.queue.job import Job, JobState
from bridge.queue.turn import may_start
from bridge.store import pauses
from bridge.store.attempts import record_attempt
from bridge.store.tables import attempts, jobs

log = logging.getLogger(__name__)

MAX_FOLLOWERS = 500
LOST = "worker lost"
"""The reason in the row of a job whose worker stopped or stalled."""


def claim_in(
    conn: Connection,
    worker: str,
    *,
    limit: int,
    lease: timedelta,
    coalesced: frozenset[str],
    now: datetime,
    scale: float,
) -> list[Job]:
    """Take up to `limit` jobs for `worker` within the caller's transaction, best priority first.

    Raises `IntegrityError` if another process was quicker in a lane.
    """
    while rows := _locked(conn, may_start(conn, now, limit), now, limit):
        kept = _one_probe_each(conn, rows, now, scale)
        claimed = [job for row in kept if (job := _job(conn, row, worker, coalesced, now)) is not None]
        if claimed:
            _mark_running(conn, claimed, worker, now, lease)
            return claimed
        # Somebody else probes the target of all these, or nobody can read them: none is in the way any more.
    return []


def _locked(conn: Connection, ids: Sequence[int], now: datetime, limit: int) -> Sequence[RowMapping]:
    """Return the first `limit` of these that are still to be had; on PostgreSQL they are ours from now on."""
    if not ids:
        return []
    if conn.dialect.name == "sqlite":
        ids = ids[:limit]  # the only writer finds them all as it saw them
    query = (
        select(jobs)
        .where(jobs.c.id.in_(ids), jobs.c.state == JobState.AVAILABLE, jobs.c.scheduled_at <= now)
        .order_by(jobs.c.priority, jobs.c.scheduled_at, jobs.c.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return conn.execute(query).mappings().all()


def _one_probe_each(
    conn: Connection, rows: Sequence[RowMapping], now: datetime, scale: float
) -> list[RowMapping]:
    """Of each paused target keep one job, as its probe, if the probe is ours."""
    paused = pauses.paused_targets(conn, {row["target"] for row in rows if row["target"]})
    probes = pauses.take_probes(conn, paused, now, scale)
    kept = []
    for row in rows:
        if row["target"] in paused:
            if row["target"] not in probes:
                continue
            probes.discard(row["target"])
        kept.append(row)
    return kept


def _job(
    conn: Connection, row: RowMapping, worker: str, coalesced: frozenset[str], now: datetime
) -> Job | None:
    """Return the row as a job; one that cannot be read becomes a dead letter, not everybody's trouble."""
    event = _event(row["args"])
    if event is None:
        _discard_unreadable(conn, row, now)
        return None
    followers: list[tuple[JobId, Event]] = []
    if row["kind"] in coalesced and row["lane"] is not None:
        followers = _later_ones(conn, row)
    return Job(
        id=JobId(row["id"]),
        event=event,
        lane=row["lane"],
        attempt=row["attempt"] + 1,
        max_attempts=row["max_attempts"],
        created_at=row["created_at"],
        worker=worker,
        followers=tuple(followers),
        claimed_at=now,
        target=row["target"],
        lost=_times_lost(conn, row["id"]) if row["reason"] == LOST else 0,
    )


def _event(args: str) -> Event | None:
    try:
        return event_adapter.validate_json(args)
    except ValidationError:
        return None


def _discard_unreadable(conn: Connection, row: RowMapping, now: datetime) -> None:
    reason = f"unreadable: this version cannot read the job ({row['kind']})"
    log.error("job.unreadable", extra={"job": row["id"], "kind": row["kind"]})
    conn.execute(
        update(jobs)
        .where(jobs.c.id == row["id"])
        .values(state=JobState.DISCARDED, finished_at=now, reason=reason)
    )
    record_attempt(conn, f"job:{row['id']}", now, row["attempt"] + 1, "discarded", reason)


def _later_ones(conn: Connection, row: RowMapping) -> list[tuple[JobId, Event]]:
    later = conn.execute(
        select(jobs.c.id, jobs.c.args)
        .where(
            jobs.c.lane == row["lane"],
            jobs.c.kind == row["kind"],
            jobs.c.state == JobState.AVAILABLE,
            jobs.c.id != row["id"],
        )
        .order_by(jobs.c.lane_order, jobs.c.id)
        .limit(MAX_FOLLOWERS)
    )
    return [(JobId(id_), event) for id_, args in later if (event := _event(args)) is not None]


def _times_lost(conn: Connection, id_: int) -> int:
    count = select(func.count()).where(attempts.c.subject == f"job:{id_}", attempts.c.outcome == "lost")
    return conn.execute(count).scalar_one()


def _mark_running(
    conn: Connection, claimed: Sequence[Job], worker: str, now: datetime, lease: timedelta
) -> None:
    conn.execute(
        update(jobs)
        .where(jobs.c.id.in_([job.id for job in claimed]))
        .values(
            state=JobState.RUNNING,
            attempt=jobs.c.attempt + 1,
            attempted_at=now,
            lease_until=now + lease,
            worker=worker,
        )
    )
