"""Webhooks that never came, as stored facts: what only a sweep has found, although the bridge was there.

A webhook may merely be late, so what a sweep finds is noted first, and counted after a grace time unless its
webhook has come by then.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, func, select, update

from bridge.ids import MessageId, PostId, ProjectId
from bridge.mapping import insert_new
from bridge.store.tables import counters, lost_webhooks

GRACE = timedelta(minutes=5)
"""A webhook that comes this long after its object was found is late, not lost."""

DAY = timedelta(days=1)
REPEATED = 3
"""So many sweeps of a day that found something make it worth telling people."""

COUNTER = "lost_webhooks"


@dataclass(frozen=True, slots=True)
class LostLately:
    """What was lost within a day: how many `objects`, found by how many `sweeps`."""

    objects: int
    sweeps: int

    @property
    def is_repeated(self) -> bool:
        """Whether it happened too often to be chance."""
        return self.sweeps >= REPEATED


def of_message(id_: MessageId) -> str:
    """Return how a message is called here."""
    return f"message:{id_}"


def of_post(id_: PostId) -> str:
    """Return how a post is called here."""
    return f"post:{id_}"


def found_by_sweep(conn: Connection, now: datetime, project: ProjectId, objects: Iterable[str]) -> None:
    """Note what a sweep found and no webhook has told of so far."""
    for one in objects:
        insert_new(conn, lost_webhooks, project_id=project, object=one, found_at=now)


def announced(conn: Connection, project: ProjectId, objects: Iterable[str]) -> None:
    """Note that the webhooks of these came after all. What was counted stays counted."""
    wanted = list(objects)
    if wanted:
        mine = lost_webhooks.c.project_id == project, lost_webhooks.c.object.in_(wanted)
        conn.execute(delete(lost_webhooks).where(*mine, lost_webhooks.c.counted_at.is_(None)))


def count(conn: Connection, now: datetime, project: ProjectId, scale: float) -> int:
    """Count those whose webhook cannot merely be late any more; return how many there are of them."""
    too_late = update(lost_webhooks).where(
        lost_webhooks.c.project_id == project,
        lost_webhooks.c.counted_at.is_(None),
        lost_webhooks.c.found_at <= now - GRACE / scale,
    )
    lost = conn.execute(too_late.values(counted_at=now)).rowcount
    if lost and not insert_new(conn, counters, name=COUNTER, value=lost):
        more = update(counters).where(counters.c.name == COUNTER)
        conn.execute(more.values(value=counters.c.value + lost))
    return lost


def total(conn: Connection) -> int:
    """Return how many were ever counted."""
    return conn.execute(select(counters.c.value).where(counters.c.name == COUNTER)).scalar() or 0


def lately(conn: Connection, now: datetime, project: ProjectId, scale: float) -> LostLately:
    """Return what was counted within a day."""
    row = conn.execute(
        select(func.count(), func.count(lost_webhooks.c.counted_at.distinct())).where(
            lost_webhooks.c.project_id == project, lost_webhooks.c.counted_at > now - DAY / scale
        )
    ).one()
    return LostLately(row[0], row[1])


def forget_old(conn: Connection, before: datetime) -> None:
    """Delete what was found before then; the total stays."""
    conn.execute(delete(lost_webhooks).where(lost_webhooks.c.found_at < before))
