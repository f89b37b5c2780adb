"""What it takes to find whose turn it is among 10,000 waiting jobs, counted and not timed."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import Connection, text

from bridge.queue import turn
from bridge.queue.job import put_in
from bridge.queue.jobs import Jobs, NewJob
from bridge.store import pauses
from bridge.store.engine import Store
from tests.queue_support import HandClock, claim, in_lane

WAITING = 10_000
LANES = 200
STEPS_AT_MOST = 300_000
"""Of SQLite's virtual machine; a million take some 20 ms."""
PAGES_AT_MOST = 8_000
"""Looked into by PostgreSQL; a thousand take about 1 ms."""


def evenly(number: int) -> str:
    return f"lane{number % LANES}"


def mostly_in_one(number: int) -> str:
    return "hot" if number < WAITING * 0.97 else f"lane{number % LANES}"


async def fill(store: Store, clock: HandClock, lane_of: Callable[[int], str]) -> None:
    new = [NewJob(in_lane(str(number), lane_of(number))) for number in range(WAITING)]
    await store.write(lambda conn: put_in(conn, new, clock()))


def effort(conn: Connection, clock: HandClock) -> int:
    """Return what one look for 16 jobs took, in steps or pages."""
    if conn.dialect.name == "sqlite":
        return steps(conn, clock)
    return sum(pages(conn, clock, sql) for sql in (turn.FRONT, turn.FIRST_OF_EACH_LANE, turn.WITHOUT_LANE))


def steps(conn: Connection, clock: HandClock) -> int:
    counted = 0

    def count() -> int:
        nonlocal counted
        counted += 1_000
        return 0

    driver = conn.connection.driver_connection
    assert driver is not None
    driver.set_progress_handler(count, 1_000)
    turn.may_start(conn, clock(), 16)
    driver.set_progress_handler(None, 0)
    return counted


def pages(conn: Connection, clock: HandClock, sql: str) -> int:
    touched = 0

    def explained(statement: str) -> str:
        return f"explain (analyze, buffers, format json) {statement}"

    for row in turn.looked_up(conn, explained(sql), clock(), 128):
        plan = row[0] if isinstance(row[0], list) else json.loads(row[0])
        touched += plan[0]["Plan"]["Shared Hit Blocks"] + plan[0]["Plan"]["Shared Read Blocks"]
    return touched


def at_most(store: Store) -> int:
    return STEPS_AT_MOST if store.is_sqlite else PAGES_AT_MOST


@pytest.mark.parametrize("lane_of", [evenly, mostly_in_one])
async def test_a_look_is_cheap_however_many_wait(
    jobs: Jobs, clocked: Store, clock: HandClock, lane_of: Callable[[int], str]
) -> None:
    await fill(clocked, clock, lane_of)
    assert await clocked.write(lambda conn: effort(conn, clock)) < at_most(clocked)
    assert len(await claim(jobs, limit=150)) == 150
    assert await clocked.write(lambda conn: effort(conn, clock)) < at_most(clocked)


async def test_a_look_is_cheap_while_the_target_of_all_is_away(
    jobs: Jobs, clocked: Store, clock: HandClock
) -> None:
    await fill(clocked, clock, evenly)

    def pause(conn: Connection) -> None:
        pauses.pause(conn, "project:p1", "away", clock(), 1.0)

    await clocked.write(pause)
    assert await clocked.write(lambda conn: effort(conn, clock)) < at_most(clocked)
    assert await claim(jobs) == []


async def test_waiting_for_what_is_due_later_is_cheap(jobs: Jobs, clocked: Store, clock: HandClock) -> None:
    later = clock() + timedelta(hours=1)
    new = [NewJob(in_lane(str(number), evenly(number)), run_at=later) for number in range(WAITING)]
    await clocked.write(lambda conn: put_in(conn, new, clock()))
    assert await jobs.next_due() == later
    assert await clocked.write(lambda conn: effort(conn, clock)) < at_most(clocked)


async def test_statistics_of_quieter_times_do_not_make_it_dear(
    jobs: Jobs, clocked: Store, clock: HandClock
) -> None:
    await clocked.write(lambda conn: conn.execute(text("analyze")).close())
    await fill(clocked, clock, evenly)
    assert await clocked.write(lambda conn: effort(conn, clock)) < at_most(clocked)
