"""Test deliveries that Jollor was asked for: recorded before it is asked, recognised when they come, counted.

Their object is a sample that need not exist. So of each test one object that cannot be read is let go in
silence; any further one is a real one, of which people are told. Functions over a connection.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum

from prometheus_client import Counter
from sqlalchemy import Connection, delete, func, insert, select, update

from bridge.ids import JobId, ProjectId
from bridge.store.tables import webhook_tests

TESTS = Counter("bridge_webhook_tests_total", "Test deliveries that Jollor was asked for", ["outcome"])

COMES_WITHIN = timedelta(minutes=10)
"""After this what arrives is not taken for a test's object. Not scaled: Jollor's clock is not ours."""


class Outcome(StrEnum):
    """What became of a test."""

    ARRIVED = "arrived"
    LOST = "lost"
    REFUSED = "refused"


def ask(conn: Connection, now: datetime, project: ProjectId, object_type: str) -> int:
    """Record that a test is about to be asked for; return its id."""
    new = insert(webhook_tests).values(project_id=project, object_type=object_type, asked_at=now)
    return int(conn.execute(new.returning(webhook_tests.c.id)).scalar_one())


def withdraw(conn: Connection, test: int) -> None:
    """Forget a test that Jollor was never asked for after all."""
    conn.execute(delete(webhook_tests).where(webhook_tests.c.id == test))


def refuse(conn: Connection, test: int) -> None:
    """Record that Jollor makes no such test."""
    TESTS.labels(Outcome.REFUSED).inc()
    conn.execute(update(webhook_tests).where(webhook_tests.c.id == test).values(outcome=Outcome.REFUSED))


def note_arrived(conn: Connection, project: ProjectId, heard_at: datetime) -> None:
    """Record that the webhook has called since the tests of before `heard_at` were asked for."""
    _note(conn, project, heard_at, Outcome.ARRIVED)


def note_lost(conn: Connection, project: ProjectId, asked_before: datetime) -> None:
    """Record that tests from before then did not arrive."""
    _note(conn, project, asked_before, Outcome.LOST)


def _note(conn: Connection, project: ProjectId, asked_before: datetime, outcome: Outcome) -> None:
    which = (
        webhook_tests.c.project_id == project,
        webhook_tests.c.outcome.is_(None),
        webhook_tests.c.asked_at <= asked_before,
    )
    count = conn.execute(update(webhook_tests).where(*which).values(outcome=outcome)).rowcount
    TESTS.labels(outcome).inc(count)


def is_awaited(conn: Connection, project: ProjectId) -> bool:
    """Return whether a test was asked for of which nobody knows yet what became of it."""
    open_ = select(webhook_tests.c.id).where(
        webhook_tests.c.project_id == project, webhook_tests.c.outcome.is_(None)
    )
    return conn.execute(open_.limit(1)).first() is not None


def asked_since(conn: Connection, project: ProjectId, since: datetime) -> Sequence[datetime]:
    """Return when tests were asked for after `since`, oldest first, apart from those that Jollor refused."""
    query = (
        select(webhook_tests.c.asked_at)
        .where(
            webhook_tests.c.project_id == project,
            webhook_tests.c.asked_at > since,
            webhook_tests.c.outcome.is_distinct_from(Outcome.REFUSED),
        )
        .order_by(webhook_tests.c.id)
    )
    return list(conn.execute(query).scalars())


def last_asked(conn: Connection, project: ProjectId) -> datetime | None:
    """Return when the last test of all was asked for."""
    query = select(func.max(webhook_tests.c.asked_at)).where(webhook_tests.c.project_id == project)
    found: datetime | None = conn.execute(query).scalar()
    return found


def let_go(conn: Connection, project: ProjectId, object_type: str, job: JobId, arrived_at: datetime) -> bool:
    """Return whether an object of this type that cannot be read is a test's; of each test one is.

    The same `job` gets the same answer again: it may be cut off before that is recorded.
    """
    mine = select(webhook_tests.c.id).where(webhook_tests.c.job_id == job)
    if conn.execute(mine).first() is not None:
        return True
    free = (
        select(webhook_tests.c.id)
        .where(
            webhook_tests.c.project_id == project,
            webhook_tests.c.object_type == object_type,
            webhook_tests.c.job_id.is_(None),
            webhook_tests.c.outcome.is_distinct_from(Outcome.REFUSED),
            webhook_tests.c.asked_at <= arrived_at,
            webhook_tests.c.asked_at > arrived_at - COMES_WITHIN,
        )
        .order_by(webhook_tests.c.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    found = conn.execute(free).scalar()
    if found is None:
        return False
    conn.execute(update(webhook_tests).where(webhook_tests.c.id == found).values(job_id=job))
    return True


def forget_tests(conn: Connection, before: datetime) -> None:
    """Delete tests from before then."""
    conn.execute(delete(webhook_tests).where(webhook_tests.c.asked_at < before))
