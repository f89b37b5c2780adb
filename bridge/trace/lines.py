"""The hops of what a person typed in a thread, and of the reply that it became."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from sqlalchemy import Connection, or_, select
from sqlalchemy.engine import RowMapping

from bridge.ids import ChannelId, IntentId, JobId, LineRef, MessageTs, TeamId, ts_order
from bridge.mapping import Fate
from bridge.store.attempts import history
from bridge.store.tables import intents, jobs, lines
from bridge.trace.deliveries import about_line, delivery_hops
from bridge.trace.hop import Hop
from bridge.trace.jobs import attempt_hops
from bridge.trace.words import because, intent_outcome

_FATES: dict[str, str] = {
    Fate.INTERNAL: "It stays inside, as an internal note",
    Fate.REPLY: "It was taken as a reply to the customer",
    Fate.REFUSED: "It was not sent",
    Fate.CANCELLED: "It was taken back by its writer",
}

_TOLD_BY_THE_REPLY = ("undo_window", "in_doubt")
"""Why a sending job waits although the hops of the reply itself say so, and better."""


def line_row(conn: Connection, line: LineRef) -> RowMapping | None:
    """Return the stored row of a line, None if it is none that the bridge dealt with."""
    at = lines.c.team == line.team, lines.c.channel_id == line.channel, lines.c.ts == line.ts
    return conn.execute(select(lines).where(*at)).mappings().first()


def line_hops(conn: Connection, row: RowMapping) -> Iterator[Hop]:
    """Everything about a line: typed, told of, decided, sent, settled, marked."""
    line = LineRef(TeamId(row["team"]), ChannelId(row["channel_id"]), MessageTs(row["ts"]))
    by = f" by <@{row['user_id']}>" if row["user_id"] else ""
    yield Hop(_at(row["ts"]), f"Typed in <#{line.channel}>{by}", begins=True)
    if row["received_at"] is not None:
        yield Hop(row["received_at"], "Slack told the bridge of it")
    if row["job_id"] is not None:
        yield from attempt_hops(conn, JobId(row["job_id"]))
    if row["intent_id"] is None:
        yield Hop(row["seen_at"], _FATES.get(row["fate"], row["fate"]), reason=row["reason"] or "")
    else:
        yield Hop(row["seen_at"], _FATES[Fate.REPLY])
    if row["edited_ts"]:
        yield Hop(_at(row["edited_ts"]), "It was edited in Slack")
    if row["intent_id"] is not None:
        yield from intent_hops(conn, IntentId(row["intent_id"]))
    for owed in about_line(conn, line):
        yield from delivery_hops(conn, owed)


def intent_hops(conn: Connection, id_: IntentId) -> Iterator[Hop]:
    """Everything about a reply to Jollor: its undo window, each attempt, each look, who decided what."""
    row = conn.execute(select(intents).where(intents.c.id == id_)).mappings().first()
    if row is None:
        return
    if row["decision"] is None and row["due_at"] > row["created_at"]:
        yield Hop(row["due_at"], "The undo window ended: the reply was due")
    for one in history(conn, f"intent:{id_}"):
        yield Hop(one.at, intent_outcome(one.outcome), one.attempt or None, because(one.reason))
    for job in _sending_jobs(conn, id_):
        yield from attempt_hops(conn, job, without=_TOLD_BY_THE_REPLY)


def line_of(conn: Connection, id_: IntentId) -> LineRef | None:
    """Return the line that a reply was made from."""
    found = conn.execute(
        select(intents.c.team, intents.c.channel_id, intents.c.ts).where(intents.c.id == id_)
    ).first()
    return None if found is None else LineRef(TeamId(found[0]), ChannelId(found[1]), MessageTs(found[2]))


def _sending_jobs(conn: Connection, id_: IntentId) -> list[JobId]:
    """Return the jobs that sent it; one that people had sent again has several."""
    key = jobs.c.unique_key
    ours = or_(key == f"send:{id_}", key.like(f"send:{id_}:%"))
    found = conn.execute(select(jobs.c.id).where(ours).order_by(jobs.c.id)).scalars()
    return [JobId(job) for job in found]


def _at(ts: str) -> datetime:
    return datetime.fromtimestamp(ts_order(ts) / 1_000_000, UTC)
