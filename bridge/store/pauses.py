"""Targets that are down: nobody's tries are consumed, one probe at a time finds out when they are back.

A target is "project:ID", "team:ID" or "channel:TEAM:ID". Used within the claiming transactions of jobs and
deliveries.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, and_, bindparam, delete, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import RowMapping

from bridge.store.tables import pauses

FIRST_PROBE_S = 2.0
LAST_PROBE_S = 60.0
PROBE_TAKES_S = 60.0

_CODE = re.compile(r"^[a-z0-9_]+: ")

# Built once: it is asked for everything that succeeds.
_IS_PAUSED = select(pauses.c.since).where(pauses.c.target == bindparam("target"))


@dataclass(frozen=True, slots=True)
class Pause:
    """A target that is away since `since`."""

    target: str
    since: datetime
    probe_at: datetime
    reason: str

    @property
    def sentence(self) -> str:
        """Why, for people: without the code that stands before it in the log."""
        return _CODE.sub("", self.reason)


def is_open(target: ColumnElement[str], now: datetime) -> ColumnElement[bool]:
    """A condition: `target` is not paused, or is due for a probe."""
    # A plain list of what is paused: it is looked up once, not for every row.
    return or_(target.is_(None), target.not_in(select(pauses.c.target).where(pauses.c.probe_at > now)))


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


def pause(
    conn: Connection,
    target: str,
    reason: str,
    now: datetime,
    scale: float,
    *,
    tried_at: datetime | None = None,
) -> datetime:
    """Pause `target`, or put off its next probe, and return when that is: in 2 s, doubling up to a minute.

    Only a probe puts it off: what was under way when the target went down says nothing new. `tried_at` is
    when the attempt was claimed; without it, it is taken for a probe if one is out.
    """
    dialect = sqlite if conn.dialect.name == "sqlite" else postgresql
    while True:
        first = now + timedelta(seconds=_wait_s(0) / scale)
        new = dialect.insert(pauses).values(target=target, since=now, probe_at=first, probes=0, reason=reason)
        if conn.execute(new.on_conflict_do_nothing(index_elements=[pauses.c.target])).rowcount:
            return first
        known = select(pauses).where(pauses.c.target == target).with_for_update()
        row = conn.execute(known).mappings().first()
        if row is not None:
            break  # else it was lifted between the two looks
    if not _was_probe(row, now, scale, tried_at):
        at: datetime = row["probe_at"]
        return at
    probes = row["probes"] + 1
    at = now + timedelta(seconds=_wait_s(probes) / scale)
    conn.execute(
        update(pauses).where(pauses.c.target == target).values(probe_at=at, probes=probes, reason=reason)
    )
    return at


def _wait_s(probes: int) -> float:
    return min(LAST_PROBE_S, FIRST_PROBE_S * 2.0 ** min(probes, 10))


def _was_probe(row: RowMapping, now: datetime, scale: float, tried_at: datetime | None) -> bool:
    if tried_at is not None:
        return bool(tried_at > row["since"])
    # While a probe is out the next one is further away than the pause would have it.
    return bool(row["probe_at"] - now > timedelta(seconds=_wait_s(row["probes"]) / scale))


def probe_again(conn: Connection, target: str | None, tried_at: datetime | None, at: datetime) -> None:
    """Let the next probe go at `at`, if `target` is paused and the attempt of `tried_at` was its probe."""
    if target is None or tried_at is None:
        return
    put_off = and_(_since_before(target, tried_at), pauses.c.probe_at > at)
    conn.execute(update(pauses).where(put_off).values(probe_at=at))


def resume(conn: Connection, target: str, *, tried_at: datetime | None = None) -> bool:
    """Lift the pause of `target`; return whether there was one.

    With `tried_at` only if that attempt was claimed since the pause began: what succeeded after it, but began
    before, does not tell that the target is back.
    """
    if not conn.execute(_IS_PAUSED, {"target": target}).first():
        return False
    which = pauses.c.target == target if tried_at is None else _since_before(target, tried_at)
    return bool(conn.execute(delete(pauses).where(which)).rowcount)


def _since_before(target: str, tried_at: datetime) -> ColumnElement[bool]:
    return and_(pauses.c.target == target, pauses.c.since < tried_at)


def current(conn: Connection) -> list[Pause]:
    """Return all pauses, the longest first."""
    rows = conn.execute(select(pauses).order_by(pauses.c.since)).mappings()
    return [Pause(row["target"], row["since"], row["probe_at"], row["reason"]) for row in rows]
