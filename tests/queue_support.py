"""What the queue's tests are made of: a clock that is set by hand, events that are easy to tell apart."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Connection, update

from bridge.events import ConversationChanged, Event, ProfileExpired
from bridge.ids import JobId
from bridge.queue.jobs import Job, Jobs, NewJob
from bridge.queue.worker import Worker
from bridge.store.engine import Store
from bridge.store.tables import jobs as table

START = datetime(2026, 5, 4, 9, 0, tzinfo=UTC)
LEASE = timedelta(seconds=15)


class HandClock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now

    def moves(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> HandClock:
    """The clock of `clocked`."""
    return HandClock()


@pytest.fixture
async def clocked(migrated_url: str, clock: HandClock) -> AsyncIterator[Store]:
    """An open store with all tables whose clock is set by hand, on SQLite and on PostgreSQL."""
    async with Store(migrated_url, clock=clock) as store:
        yield store


@pytest.fixture
def jobs(clocked: Store) -> Jobs:
    """The queue in `clocked`."""
    return Jobs(clocked)


def in_lane(name: str, lane: str = "lane", *, project: str = "p1") -> ConversationChanged:
    """An event with a lane and a target ("project:p1")."""
    return ConversationChanged(project_id=project, conversation_id=lane, message_id=name)


def without_lane(name: str) -> ProfileExpired:
    """An event with neither lane nor target."""
    return ProfileExpired(project_id=name, at=START)


def name_of(event: Event) -> str:
    """Return the name that the event was made with."""
    if isinstance(event, ConversationChanged):
        return event.message_id or ""
    assert isinstance(event, ProfileExpired)
    return event.project_id


def names_of(jobs: Sequence[Job]) -> list[str]:
    """Return the names of the events of these jobs."""
    return [name_of(job.event) for job in jobs]


async def put(jobs: Jobs, *names: str, lane: str = "lane", project: str = "p1") -> None:
    """Put events into one lane, one after the other."""
    for name in names:
        await jobs.put(in_lane(name, lane, project=project))


async def put_ordered(jobs: Jobs, *orders: int, lane: str = "lane") -> None:
    """Put events that are named by their lane order."""
    for order in orders:
        await jobs.receive([NewJob(in_lane(str(order), lane), order=order)])


async def claim(jobs: Jobs, worker: str = "w1", *, limit: int = 16, coalesced: str = "") -> list[Job]:
    """Claim with the lease that all these tests use."""
    return await jobs.claim(worker, limit=limit, lease=LEASE, coalesced=frozenset(filter(None, [coalesced])))


async def state_of(jobs: Jobs, id_: JobId) -> str:
    """Return a job's state."""
    shown = await jobs.shown(id_)
    assert shown is not None
    return shown[0].state


async def outcomes_of(jobs: Jobs, id_: JobId) -> list[str]:
    """Return what became of each attempt of a job that did not simply succeed."""
    shown = await jobs.shown(id_)
    assert shown is not None
    return [attempt.outcome for attempt in shown[1]]


async def overwrite(store: Store, id_: JobId, **values: object) -> None:
    """Change a job's row behind the queue's back."""

    def write(conn: Connection) -> None:
        conn.execute(update(table).where(table.c.id == id_).values(**values))

    await store.write(write)


async def until(condition: Callable[[], bool], *, timeout_s: float = 10.0) -> None:
    """Return once `condition` holds; what it depends on happens in this process or another one."""
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110 - files and other processes set no event
            await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def running(worker: Worker) -> AsyncIterator[Worker]:
    """Run the worker for as long as this lasts, then stop it."""
    task = asyncio.create_task(worker.run())
    try:
        yield worker
    finally:
        worker.stop()
        await task
