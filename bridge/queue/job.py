"""A job as a value: to be put, claimed, or looked at.

States follow River: `available`, `running`, `completed`, `discarded`, `cancelled`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic_core import PydanticSerializationError
from sqlalchemy import Connection, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import RowMapping

from bridge.events import Event
from bridge.ids import JobId
from bridge.store.tables import jobs

MAX_ATTEMPTS = 8
CHANNEL = "jobs"
"""The PostgreSQL notification channel."""

LONGEST_KEY = 1_000
"""In bytes, of what is indexed: PostgreSQL takes no more than 2,700, and ids of Jollor's have no limit."""


class JobState(StrEnum):
    """See the module's docstring."""

    AVAILABLE = "available"
    RUNNING = "running"
    COMPLETED = "completed"
    DISCARDED = "discarded"
    CANCELLED = "cancelled"


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
    claimed_at: datetime | None = None
    """With `worker` the proof that the row is still ours: no two claims of a job have the same."""
    target: str | None = None
    """What has to be up for it: the event's, or what last kept it waiting."""
    lost: int = 0
    """How often a worker stopped or stalled while doing it, if that is how its last attempt ended."""


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
    attempted_at: datetime | None = None

    @classmethod
    def of(cls, row: RowMapping) -> JobView:
        """Return the view of a row."""
        return cls(
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
            attempted_at=row["attempted_at"],
        )


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


def storable(text: str) -> str:
    """Return `text` as both databases take it: without NUL and without halves of surrogate pairs."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()


def _row(new: NewJob, now: datetime) -> dict[str, Any]:
    return {
        "kind": new.event.kind,
        "args": _args(new.event),
        "lane": _key(new.event.lane),
        "lane_order": order_of(now) if new.order is None else new.order,
        "target": new.event.target,
        "priority": new.priority,
        "state": JobState.AVAILABLE,
        "max_attempts": MAX_ATTEMPTS,
        "scheduled_at": new.run_at or now,
        "created_at": now,
        "unique_key": _key(new.unique_key),
    }


def _args(event: Event) -> str:
    try:
        return event.model_dump_json()
    except PydanticSerializationError:  # half an emoji in a text that was cut: the rest of it still counts
        plain = json.dumps(event.model_dump(), ensure_ascii=False, default=lambda value: value.isoformat())
        return storable(plain)


def _key(text: str | None) -> str | None:
    """Return a text to be indexed; a very long one keeps its beginning and a digest."""
    if text is None:
        return None
    key = storable(text)
    if len(key.encode()) <= LONGEST_KEY:
        return key
    return f"{key[:100]}…{hashlib.sha256(key.encode()).hexdigest()}"
