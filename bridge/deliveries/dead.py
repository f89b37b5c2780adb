"""Dead letters of deliveries: what Slack refused, or what failed each time. People see, retry or drop them.

They are named by their growing number ("d417" on the command line).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NewType

from sqlalchemy import Connection, select, update
from sqlalchemy.engine import RowMapping

from bridge.content import Content, from_json
from bridge.deliveries.join import separate
from bridge.deliveries.row import Act, State
from bridge.store.attempts import BY_OPERATOR, record_attempt
from bridge.store.tables import deliveries, lines, threads

DeliveryNumber = NewType("DeliveryNumber", int)


def dead(conn: Connection, limit: int | None = None, *, newest_first: bool = False) -> Sequence[RowMapping]:
    """Return the rows of deliveries that were given up, oldest first; `seq` is their number."""
    order = deliveries.c.finished_at.desc() if newest_first else deliveries.c.seq
    query = select(deliveries).where(deliveries.c.state == State.REFUSED).order_by(order).limit(limit)
    return conn.execute(query).mappings().all()


def numbered(conn: Connection, number: DeliveryNumber) -> RowMapping | None:
    """Return the row of a delivery, whatever its state."""
    return conn.execute(select(deliveries).where(deliveries.c.seq == number)).mappings().first()


def retry_dead(conn: Connection, now: datetime, numbers: Sequence[DeliveryNumber]) -> int:
    """Have deliveries sent that were given up; return how many. Each goes next in its thread.

    One whose place was taken since (another root stands, a newer drawing, another mark) stays given up: it
    would undo what is newer. Of messages that were joined each shows but itself.
    """
    again = [row for row in _refused(conn, numbers) if not _is_overtaken(conn, row)]
    back = {"state": State.READY, "attempt": 0, "in_doubt": False, "scheduled_at": now, "joined_into": None}
    _set(conn, now, again, "retried", {**back, "finished_at": None, "reason": None})
    for row in again:
        if row["content"]:
            separate(conn, row["id"], _content(row["content"]), now, alone=row["alone"])
    return len(again)


def _content(stored: str) -> Content | None:
    try:
        return from_json(stored)
    except ValueError:
        return None  # its next claim says so


def drop_dead(conn: Connection, now: datetime, numbers: Sequence[DeliveryNumber]) -> int:
    """Take deliveries off the list of dead letters for good; return how many."""
    dropped = _refused(conn, numbers)
    _set(conn, now, dropped, "cancelled", {"state": State.DONE, "finished_at": now})
    return len(dropped)


def _refused(conn: Connection, numbers: Sequence[DeliveryNumber]) -> list[RowMapping]:
    which = deliveries.c.seq.in_(numbers), deliveries.c.state == State.REFUSED
    query = select(deliveries).where(*which).order_by(deliveries.c.seq).with_for_update()
    return list(conn.execute(query).mappings().all())


def _set(
    conn: Connection, now: datetime, rows: Sequence[RowMapping], outcome: str, values: dict[str, object]
) -> None:
    if not rows:
        return
    ids = [row["id"] for row in rows]
    conn.execute(update(deliveries).where(deliveries.c.id.in_(ids)).values(**values))
    for row in rows:
        record_attempt(conn, f"delivery:{row['id']}", now, row["attempt"], outcome, BY_OPERATOR)


def _is_overtaken(conn: Connection, row: RowMapping) -> bool:
    if row["is_root"]:
        root = select(threads.c.root_delivery).where(threads.c.id == row["thread_id"])
        return bool(conn.execute(root).scalar() != row["id"])
    if row["act"] in (Act.ADD_MARK, Act.REMOVE_MARK):
        at = (
            lines.c.team == row["team"],
            lines.c.channel_id == row["channel_id"],
            lines.c.ts == row["line_ts"],
        )
        has_it = conn.execute(select(lines.c.mark).where(*at)).scalar() == row["mark"]
        return has_it is (row["act"] == Act.REMOVE_MARK)
    if row["act"] == Act.UPDATE:
        newer = (
            select(deliveries.c.seq)
            .where(deliveries.c.team == row["team"], deliveries.c.channel_id == row["channel_id"])
            .where(deliveries.c.line_ts == row["line_ts"], deliveries.c.act == Act.UPDATE)
            .where(deliveries.c.seq > row["seq"])
        )
        return conn.execute(newer.limit(1)).first() is not None
    return False
