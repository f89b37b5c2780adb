"""Joining: messages of one author that wait behind each other in a thread go out within one post.

It happens in the claiming transaction. The row that is claimed gets the joined content, so that whoever finds
it in doubt looks for all of it; the rows behind it become `joined` and share what becomes of it.
What Slack refuses when joined is tried again one by one: a bad message takes no other with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, text, update
from sqlalchemy.engine import RowMapping

from bridge.content import Content, Line, Lines, from_json, to_json
from bridge.deliveries.row import Act, Delivery, State
from bridge.store.attempts import record_attempt
from bridge.store.tables import deliveries

MOST_LINES = 12
MOST_CHARS = 3_000
"""Over all lines of a post: well below Slack's limits, whatever stands beside the texts."""

# The words of the index, in the order of the lane.
_BEHIND = text("""
select id, state, scheduled_at, is_root, also_to_channel, alone, in_doubt, content from deliveries
where lane = :lane and state in ('ready', 'sending', 'uncertain') and rank = 1 and seq > (
    select seq from deliveries where id = :id)
order by seq limit :most
""").bindparams(bindparam("most", MOST_LINES))


def take_along(conn: Connection, one: Delivery, lane: str | None, alone: bool, now: datetime) -> Delivery:
    """Return the claimed `one` with what waits behind it and may go out within its post."""
    carried = lines_in(one.content)
    if lane is None or alone or one.act is not Act.POST or one.in_doubt or not carried:
        return one
    followers: list[str] = []
    for row in _behind(conn, lane, one):
        line = _joinable(row, carried, now)
        if line is None:
            break  # order: what comes after it waits for it
        carried = (*carried, line)
        followers.append(row["id"])
    if not followers:
        return one
    joined = Lines(lines=carried)
    conn.execute(update(deliveries).where(deliveries.c.id == one.id).values(content=to_json(joined)))
    conn.execute(
        update(deliveries)
        .where(deliveries.c.id.in_(followers))
        .values(state=State.JOINED, joined_into=one.id, reason=f"joined into {one.id}")
    )
    for id_ in followers:
        record_attempt(conn, f"delivery:{id_}", now, 0, "joined", f"within the post of delivery {one.id}")
    return replace(one, content=joined)


def lines_in(content: Content | None) -> tuple[Line, ...]:
    """Return the lines of the transcript that `content` shows, none if it is something else."""
    match content:
        case Line():
            return (content,)
        case Lines():
            return content.lines
        case _:
            return ()


def settle_joined(conn: Connection, one: Delivery, **values: Any) -> None:
    """Have what went along with `one` share what became of it."""
    if isinstance(one.content, Lines):
        conn.execute(update(deliveries).where(*_joined_into(one.id)).values(**values))


def separate(conn: Connection, carrier: str, content: Content | None, now: datetime, *, alone: bool) -> None:
    """Let everything that was joined into `carrier` go out by itself, in the order that it had.

    `alone`: for good, not to be joined with anything any more.
    """
    if not isinstance(content, Lines):
        return
    first = to_json(content.lines[0])
    conn.execute(update(deliveries).where(deliveries.c.id == carrier).values(content=first, alone=alone))
    ready = {"state": State.READY, "joined_into": None, "alone": alone, "reason": None, "scheduled_at": now}
    conn.execute(update(deliveries).where(*_joined_into(carrier)).values(**ready))


def _behind(conn: Connection, lane: str, one: Delivery) -> Sequence[RowMapping]:
    known = _BEHIND.columns(
        *(deliveries.c[name] for name in ("id", "state", "scheduled_at", "is_root", "also_to_channel")),
        *(deliveries.c[name] for name in ("alone", "in_doubt", "content")),
    )
    return conn.execute(known, {"lane": lane, "id": one.id}).mappings().all()


def _joinable(row: RowMapping, carried: Sequence[Line], now: datetime) -> Line | None:
    """Return the line of a row that may follow the `carried` ones, None if it has to go by itself."""
    if row["state"] != State.READY or row["in_doubt"] or row["alone"] or row["also_to_channel"]:
        return None
    if row["scheduled_at"] > now or len(carried) >= MOST_LINES:
        return None
    try:
        content = from_json(row["content"]) if row["content"] else None
    except ValueError:
        return None  # its own claim says so
    if not isinstance(content, Line) or _kin(content) != _kin(carried[-1]):
        return None
    length = sum(len(line.text) for line in (*carried, content))
    return content if length <= MOST_CHARS else None


def _kin(line: Line) -> tuple[str | None, ...]:
    """A post has one author's name above it; what is said of one of its lines is said of all."""
    return line.author, line.provider, line.origin, line.note


def _joined_into(carrier: str) -> tuple[Any, ...]:
    return deliveries.c.joined_into == carrier, deliveries.c.state == State.JOINED
