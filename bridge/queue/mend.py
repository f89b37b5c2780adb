"""What the operator does to jobs: dead letters run again, waiting ones are cancelled.

Functions over a connection, so that what a job stands for can be settled in the same transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from pydantic import ValidationError
from sqlalchemy import Connection, select, update

from bridge.events import Event, event_adapter
from bridge.ids import JobId
from bridge.queue.job import JobState, notify
from bridge.store.attempts import BY_OPERATOR, record_attempt
from bridge.store.tables import jobs


def retry_in(conn: Connection, now: datetime, ids: Sequence[JobId]) -> list[Event | None]:
    """Make dead letters available again; return their events, oldest first.

    They keep their place: each runs next in its lane (one that runs just now is not interrupted), and several
    of a lane run oldest first.
    """
    back = {
        "state": JobState.AVAILABLE,
        "attempt": 0,
        "scheduled_at": now,
        "finished_at": None,
        "reason": None,
    }
    return _change(conn, now, ids, (JobState.DISCARDED, JobState.CANCELLED), back, "retried")


def cancel_in(conn: Connection, now: datetime, ids: Sequence[JobId]) -> list[Event | None]:
    """Cancel jobs that wait or were given up; return their events, oldest first. Their lanes go on."""
    ended = {"state": JobState.CANCELLED, "finished_at": now}
    return _change(conn, now, ids, (JobState.AVAILABLE, JobState.DISCARDED), ended, "cancelled")


def _change(
    conn: Connection,
    now: datetime,
    ids: Sequence[JobId],
    states: Sequence[JobState],
    values: dict[str, Any],
    outcome: str,
) -> list[Event | None]:
    wanted = (
        select(jobs.c.id, jobs.c.attempt, jobs.c.args)
        .where(jobs.c.id.in_(ids), jobs.c.state.in_(states))
        .order_by(jobs.c.lane_order, jobs.c.id)
        .with_for_update()
    )
    rows = conn.execute(wanted).all()
    conn.execute(update(jobs).where(jobs.c.id.in_([row.id for row in rows])).values(**values))
    for row in rows:
        record_attempt(conn, f"job:{row.id}", now, row.attempt, outcome, BY_OPERATOR)
    notify(conn)
    return [event_of(row.args) for row in rows]


def event_of(args: str) -> Event | None:
    """Return the event of a stored job, None if this version cannot read it."""
    try:
        return event_adapter.validate_json(args)
    except ValidationError:
        return None
