"""Stored facts for reading back: how far each channel was looked through, what waits, what is known.

Functions over a connection. Slack's `ts` have the same length, so that they compare as text.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta

from sqlalchemy import ColumnElement, Connection, exists, func, or_, select, update

from bridge.deliveries import State
from bridge.ids import ChannelId, LineRef, MessageTs, TeamId, ThreadId, ThreadRef, UserId, to_ts, ts_order
from bridge.intents import WAITING
from bridge.mapping import insert_new, thread_by_id
from bridge.model import Thread
from bridge.store.tables import (
    channels_read,
    deliveries,
    former_roots,
    intents,
    lines,
    threads,
)

MOST_BEYOND = 200


def moment(ts: MessageTs) -> datetime:
    """Return the time that a `ts` tells."""
    return datetime.fromtimestamp(ts_order(ts) / 1_000_000, UTC)


# --- how far we have looked --------------------------------------------------------------------------


def looked_to(conn: Connection, team: TeamId, channel: ChannelId) -> datetime | None:
    """Return until when a channel was looked through, None if it never was."""
    at = (channels_read.c.team == team, channels_read.c.channel_id == channel)
    found: datetime | None = conn.execute(select(channels_read.c.read_to).where(*at)).scalar()
    return found


def looked_through(conn: Connection, team: TeamId, channel: ChannelId, to: datetime) -> None:
    """Remember that a channel was looked through until `to`; an earlier moment changes nothing."""
    if insert_new(conn, channels_read, team=team, channel_id=channel, read_to=to):
        return
    conn.execute(
        update(channels_read)
        .where(
            channels_read.c.team == team, channels_read.c.channel_id == channel, channels_read.c.read_to < to
        )
        .values(read_to=to)
    )


def root_in_doubt(conn: Connection, team: TeamId, channel: ChannelId) -> bool:
    """Return whether Slack may show a root of ours in the channel that we have not heard of yet."""
    landing = (
        exists()
        .where(threads.c.team == team, threads.c.channel_id == channel, threads.c.root_ts.is_(None))
        .where(deliveries.c.id == threads.c.root_delivery)
        .where(deliveries.c.state.in_((State.SENDING, State.UNCERTAIN)))
    )
    return bool(conn.execute(select(landing)).scalar())


# --- which threads, and what is known of them --------------------------------------------------------


def threads_beyond(
    conn: Connection,
    team: TeamId,
    channel: ChannelId,
    back_to: MessageTs | None,
    active_since: datetime | None,
    also: Iterable[ThreadId],
) -> list[Thread]:
    """Return threads that a list back to `back_to` does not show: those in `also`, then the active ones.

    `active_since` None: none but those in `also`.
    """
    ids = list(also)
    if back_to is not None and active_since is not None:
        last = func.coalesce(threads.c.active_at, threads.c.created_at)
        ids += conn.execute(
            select(threads.c.id)
            .where(threads.c.team == team, threads.c.channel_id == channel)
            .where(threads.c.root_ts < back_to, last >= active_since)
            .order_by(last.desc())
            .limit(MOST_BEYOND)
        ).scalars()
    found = (thread_by_id(conn, ThreadId(id_)) for id_ in dict.fromkeys(ids))
    return [thread for thread in found if thread is not None]


def waiting_since(conn: Connection, team: TeamId, channel: ChannelId) -> dict[ThreadId, MessageTs]:
    """Return the threads with replies that have not gone out, each with a moment just before the first."""
    rows = conn.execute(
        select(intents.c.thread_id, func.min(intents.c.ts))
        .where(intents.c.team == team, intents.c.channel_id == channel, _waits())
        .group_by(intents.c.thread_id)
    )
    just_before = timedelta(microseconds=1)
    return {ThreadId(id_): to_ts(moment(MessageTs(first)) - just_before) for id_, first in rows}


def waiting_in(
    conn: Connection, thread: Thread, since: MessageTs, until: MessageTs
) -> list[tuple[MessageTs, UserId]]:
    """Return lines and writers of the replies in a thread that have not gone out, between two moments.

    None where the thread had another root before: nobody stored under which of them a line stands.
    """
    if conn.execute(select(exists().where(former_roots.c.thread_id == thread.id))).scalar():
        return []
    rows = conn.execute(
        select(intents.c.ts, intents.c.author)
        .where(intents.c.thread_id == thread.id, _waits())
        .where(intents.c.ts > since, intents.c.ts <= until)
        .order_by(intents.c.ts)
    )
    return [(MessageTs(ts), UserId(author)) for ts, author in rows]


def _waits() -> ColumnElement[bool]:
    return intents.c.state.in_(WAITING)


def known_lines(conn: Connection, ref: ThreadRef, wanted: Iterable[str]) -> Mapping[str, str | None]:
    """Return which of these lines were dealt with, each with the time of its last edit that was."""
    rows = conn.execute(
        select(lines.c.ts, lines.c.edited_ts).where(
            lines.c.team == ref.team, lines.c.channel_id == ref.channel, lines.c.ts.in_(list(wanted))
        )
    )
    return {row.ts: row.edited_ts for row in rows}


def is_known(conn: Connection, ref: LineRef) -> bool:
    """Return whether a message is a line that was dealt with, or one of our own."""
    line = exists().where(lines.c.team == ref.team, lines.c.channel_id == ref.channel, lines.c.ts == ref.ts)
    post = exists().where(
        deliveries.c.team == ref.team,
        deliveries.c.channel_id == ref.channel,
        deliveries.c.slack_ts == ref.ts,
    )
    return bool(conn.execute(select(or_(line, post))).scalar())
