"""Slack's limits on reading (slack-facts 2, 3): what was seen of them, and how quickly we read."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, or_, select, update

from bridge.errors import Snooze
from bridge.ids import TeamId
from bridge.mapping import insert_new
from bridge.model import Reading
from bridge.ports import READS_LIMITED
from bridge.store.tables import buckets, teams

LONG_WAIT = timedelta(seconds=30)
"""To be told to wait so long for one of the first reads means that there is only one a minute."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How many threads are read at most, and how quickly: a part of what Slack allows (slack-facts 2, 3)."""

    threads: int
    at_once: int
    every: timedelta


PACES = {
    Reading.FULL: Pace(threads=200, at_once=20, every=timedelta(seconds=1.5)),
    Reading.RESTRICTED: Pace(threads=10, at_once=1, every=timedelta(seconds=61)),
}


def pace_of(conn: Connection, team: TeamId) -> Pace:
    """Return how to read in a workspace; as long as nothing shows otherwise, as most installs may."""
    return PACES[reading(conn, team) or Reading.FULL]


def reading(conn: Connection, team: TeamId) -> Reading | None:
    """Return how much Slack lets us read in a workspace, None if nothing has shown that yet."""
    stored = conn.execute(select(teams.c.reads).where(teams.c.team == team)).scalar()
    return None if stored is None else Reading(stored)


def note_reading(conn: Connection, now: datetime, team: TeamId, seen: Reading | None) -> None:
    """Remember how much Slack lets us read; None says nothing new."""
    if seen is None or insert_new(conn, teams, team=team, reads=seen, updated_at=now):
        return
    conn.execute(
        update(teams)
        .where(teams.c.team == team, or_(teams.c.reads.is_(None), teams.c.reads != seen))
        .values(reads=seen)
    )


def slots(conn: Connection, team: TeamId, count: int, now: datetime, *, scale: float) -> list[datetime]:
    """Reserve moments for `count` reads of threads: a few now, if there were none lately, then one by one.

    All processes take from the same row.
    """
    key, pace = f"read:{team}", pace_of(conn, team)
    every = pace.every / scale
    insert_new(conn, buckets, key=key, next_at=now - every * pace.at_once)
    taken = conn.execute(select(buckets.c.next_at).where(buckets.c.key == key).with_for_update())
    first = max(taken.scalar_one(), now - every * (pace.at_once - 1))
    conn.execute(update(buckets).where(buckets.c.key == key).values(next_at=first + every * count))
    return [max(now, first + every * number) for number in range(count)]


def note_refusal(conn: Connection, now: datetime, team: TeamId, refused: Snooze) -> None:
    """A long wait tells of one read a minute, unless a page has told something else."""
    is_telling = refused.code == READS_LIMITED and refused.delay >= LONG_WAIT
    if is_telling and reading(conn, team) is None:
        note_reading(conn, now, team, Reading.RESTRICTED)
