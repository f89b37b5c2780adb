"""Targets that are down: nobody's tries are consumed, one probe at a time finds out when they are back.

A target is "project:ID", "team:ID" or "channel:TEAM:ID". Used within the claiming transactions of jobs and
deliveries.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, and_, delete, exists, insert, or_, select, update

from bridge.store.tables import pauses

FIRST_PROBE_S = 2.0
LAST_PROBE_S = 60.0
PROBE_TAKES_S = 60.0


@dataclass(frozen=True, slots=True)
class Pause:
    """A target that is away since `since`."""

    target: str
    since: datetime
    probe_at: datetime
    reason: str


def is_open(target: ColumnElement[str], now: datetime) -> ColumnElement[bool]:
    """A condition: `target` is not paused, or is due for a probe."""
    paused = exists().where(and_(pauses.c.target == target, pauses.c.probe_at > now))
    return or_(target.is_(None), ~paused)


def take_probes(conn: Connection, targets: Iterable[str], now: datetime, scale: float) -> set[str]:
    """Return those of `targets` that are paused and due, their next probe put off: each is ours alone."""
    won = set()
    for target in sorted(set(targets)):
        due = and_(pauses.c.target == target, pauses.c.probe_at <= now)
        taken = conn.execute(
            update(pauses).where(due).values(probe_at=now + timedelta(seconds=PROBE_TAKES_S / scale))
        )
        if taken.rowcount:
            won.add(target)
    return won


def paused_targets(conn: Connection, targets: Iterable[str]) -> set[str]:
    """Return those of `targets` that are paused, due or not."""
    wanted = set(targets)
    if not wanted:
        return set()
    return set(conn.execute(select(pauses.c.target).where(pauses.c.target.in_(wanted))).scalars())


def pause(conn: Connection, target: str, reason: str, now: datetime, scale: float) -> datetime:
    """Pause `target` (or put off its next probe, doubling up to a minute) and return when that is."""
    row = conn.execute(select(pauses).where(pauses.c.target == target)).mappings().first()
    probes = 0 if row is None else row["probes"] + 1
    wait_s = min(LAST_PROBE_S, FIRST_PROBE_S * 2.0 ** min(probes, 10))
    probe_at = now + timedelta(seconds=wait_s / scale)
    values = {"probe_at": probe_at, "probes": probes, "reason": reason}
    if row is None:
        conn.execute(insert(pauses).values(target=target, since=now, **values))
    else:
        conn.execute(update(pauses).where(pauses.c.target == target).values(**values))
    return probe_at


def resume(conn: Connection, target: str) -> bool:
    """Lift the pause of `target`; return whether there was one."""
    return bool(conn.execute(delete(pauses).where(pauses.c.target == target)).rowcount)


def current(conn: Connection) -> list[Pause]:
    """Return all pauses, the longest first."""
    rows = conn.execute(select(pauses).order_by(pauses.c.since)).mappings()
    return [Pause(row["target"], row["since"], row["probe_at"], row["reason"]) for row in rows]
