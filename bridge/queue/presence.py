"""Whether the bridge is there: workers give signs of life, and a long time without any was an outage.

It is noticed at the next sign, whatever the reason was: a process that ended or slept, a database that was
away. Then what was missed is looked for at once, and people are told.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, func, select
from sqlalchemy.dialects import postgresql, sqlite

from bridge.events import CameBack, SweepAll
from bridge.queue.job import NewJob, put_in
from bridge.store.tables import outages, workers

GAP = timedelta(seconds=60)
"""Without a sign of any worker for longer than this, the bridge counts as having been away."""

SHORTEST_GAP = timedelta(seconds=1.5)
"""However much the time is scaled: longer than between two signs."""

ALIVE = timedelta(seconds=60)
"""A worker that gave a sign within this time lives."""


@dataclass(frozen=True, slots=True)
class Outage:
    """A time without any worker."""

    began_at: datetime
    ended_at: datetime

    def covers(self, moment: datetime, *, margin: timedelta = timedelta(0)) -> bool:
        """Whether `moment` lies in it, or within `margin` of it."""
        return self.began_at - margin <= moment <= self.ended_at + margin

    @property
    def span(self) -> str:
        """From when to when, in words."""
        return span(self.began_at, self.ended_at)


def span(first: datetime, last: datetime) -> str:
    """Return "09:10–09:42 UTC", with the days where that would be ambiguous."""
    if last - first < timedelta(hours=12):
        return f"{first:%H:%M}–{last:%H:%M} UTC"
    return f"{first:%Y-%m-%d %H:%M} – {last:%Y-%m-%d %H:%M} UTC"


def gap(scale: float) -> timedelta:
    """Return how long nobody may be silent, on a clock that runs `scale` times as fast."""
    return max(GAP / scale, SHORTEST_GAP)


def give_sign(conn: Connection, now: datetime, worker: str, allowed: timedelta) -> None:
    """Show that `worker` lives. The first sign after more than `allowed` ends an outage."""
    note_absence(conn, now, allowed)
    dialect = sqlite if conn.dialect.name == "sqlite" else postgresql
    statement = dialect.insert(workers).values(id=worker, started_at=now, seen_at=now)
    conn.execute(statement.on_conflict_do_update(index_elements=[workers.c.id], set_={"seen_at": now}))
    conn.execute(delete(workers).where(workers.c.seen_at < now - timedelta(days=1)))


def note_absence(conn: Connection, now: datetime, allowed: timedelta) -> bool:
    """Record that nobody was there, if that is so; have everything swept and people told, once."""
    last = last_sign(conn)
    if last is None or now - last <= allowed:
        return False
    dialect = sqlite if conn.dialect.name == "sqlite" else postgresql
    # Whoever comes back first records it: all others know the same last sign.
    recorded = dialect.insert(outages).values(began_at=last, ended_at=now)
    if not conn.execute(recorded.on_conflict_do_nothing(index_elements=[outages.c.began_at])).rowcount:
        return False
    put_in(conn, [NewJob(CameBack(began_at=last, ended_at=now)), NewJob(SweepAll())], now)
    return True


def last_sign(conn: Connection) -> datetime | None:
    """Return when a worker last gave a sign of life, None if none ever did."""
    last: datetime | None = conn.execute(select(func.max(workers.c.seen_at))).scalar()
    return last


def outages_between(conn: Connection, first: datetime, last: datetime) -> Sequence[Outage]:
    """Return the outages that overlap with this time, oldest first."""
    rows = conn.execute(
        select(outages.c.began_at, outages.c.ended_at)
        .where(outages.c.began_at <= last, outages.c.ended_at >= first)
        .order_by(outages.c.began_at)
    )
    return [Outage(began_at, ended_at) for began_at, ended_at in rows]


def last_outage(conn: Connection) -> Outage | None:
    """Return the newest outage."""
    newest = select(outages.c.began_at, outages.c.ended_at).order_by(outages.c.id.desc()).limit(1)
    row = conn.execute(newest).first()
    return None if row is None else Outage(row[0], row[1])


def living_workers(conn: Connection, now: datetime) -> int:
    """Return how many workers live."""
    return conn.execute(
        select(func.count()).select_from(workers).where(workers.c.seen_at > now - ALIVE)
    ).scalar_one()
