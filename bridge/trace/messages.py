"""The hops of a message in Jollor, on its way into Slack."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from sqlalchemy import Connection, select
from sqlalchemy.engine import RowMapping

from bridge.ids import DeliveryId, JobId
from bridge.mapping import Origin
from bridge.store.tables import deliveries, folded_lines, held_messages, jobs, messages, shown_messages
from bridge.trace.hop import Hop
from bridge.trace.jobs import attempt_hops
from bridge.trace.words import cause_in_words

_WHOSE: dict[str, str] = {
    Origin.CUSTOMER: "A customer's message",
    Origin.TEAM: "A reply from Slack, as Jollor shows it",
    Origin.ELSEWHERE: "A message sent from Jollor or another program",
    Origin.BEFORE: "A message from before the project was linked: it is not shown",
}


def message_rows(conn: Connection, projects: Collection[str], message_id: str) -> Sequence[RowMapping]:
    """Return a message as it is stored, of whichever of these projects it is."""
    which = messages.c.project_id.in_(projects), messages.c.message_id == message_id
    return conn.execute(select(messages).where(*which)).mappings().all()


def whose(row: RowMapping) -> str:
    """Return what a message is, in words."""
    return _WHOSE.get(row["origin"], "A message")


def message_hops(conn: Connection, row: RowMapping) -> Iterator[Hop]:
    """A message until it is recorded and owed to Slack: told of, tried, held back, read."""
    yield Hop(row["sent_at"], "It was written, by Jollor's clock", begins=True)
    if row["heard_at"] is not None:
        yield Hop(row["heard_at"], cause_in_words(row["cause"] or ""))
    missing = missing_job(conn, row["project_id"], row["message_id"])
    for job in dict.fromkeys(filter(None, [missing, row["job_id"]])):
        yield from attempt_hops(conn, JobId(job))
    held = conn.execute(
        select(held_messages.c.held_at).where(
            held_messages.c.project_id == row["project_id"], held_messages.c.message_id == row["message_id"]
        )
    ).scalar()
    if held is not None:
        yield Hop(held, "It was held back: it might have been a reply from Slack")
    yield Hop(row["seen_at"], "It was read from Jollor and recorded")
    kept = select(folded_lines.c.flood_id).where(
        folded_lines.c.project_id == row["project_id"], folded_lines.c.message_id == row["message_id"]
    )
    if conn.execute(kept.limit(1)).first() is not None:
        yield Hop(row["seen_at"], "It was one of many found at once: “Load all” in its thread shows it")


def missing_job(conn: Connection, project: str, message_id: str) -> JobId | None:
    """Return the job that tries to read a message which was announced and cannot be read, if there is one."""
    key = f"missing:{project}:{message_id}"
    found = conn.execute(select(jobs.c.id).where(jobs.c.unique_key == key)).scalar()
    return None if found is None else JobId(found)


def shown_in(conn: Connection, team: str | None, project: str, message_id: str) -> Sequence[RowMapping]:
    """Return the deliveries that show a message; of one workspace, or of all (None)."""
    query = (
        select(deliveries)
        .join(shown_messages, shown_messages.c.delivery_id == deliveries.c.id)
        .where(shown_messages.c.project_id == project, shown_messages.c.message_id == message_id)
        .order_by(deliveries.c.seq)
        .distinct()
    )
    if team is not None:
        query = query.where(deliveries.c.team == team)
    return conn.execute(query).mappings().all()


def shown_by(conn: Connection, delivery: DeliveryId) -> Sequence[RowMapping]:
    """Return the messages that a delivery shows, oldest first."""
    query = (
        select(messages)
        .join(
            shown_messages,
            (shown_messages.c.project_id == messages.c.project_id)
            & (shown_messages.c.message_id == messages.c.message_id),
        )
        .where(shown_messages.c.delivery_id == delivery)
        .order_by(messages.c.sent_at)
        .distinct()
    )
    return conn.execute(query).mappings().all()
