"""Where a line stands in Slack: in a thread of ours, or nowhere that we know."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, exists, select, text

from bridge.deliveries import State
from bridge.events import HoldBackChosen, LineDeleted, LineEdited, LineTyped, reading_lane
from bridge.ids import ChannelId, LineRef, MessageTs, TeamId, ThreadRef, ts_order
from bridge.links import links_of
from bridge.mapping import thread_at
from bridge.model import Link, LinkKind, Target, TargetKind, Thread
from bridge.routing import choose
from bridge.store.tables import deliveries, jobs, threads

Line = LineTyped | LineEdited | LineDeleted | HoldBackChosen

ROOT_TAKES = timedelta(minutes=2)
"""How far the time of a root in Slack may be from the time at which we began to post it."""


@dataclass(frozen=True, slots=True)
class Place:
    """A thread of ours, and the link that makes it a linked one (None: unlinked since)."""

    thread: Thread
    link: Link | None


def place_of(conn: Connection, line: Line) -> Place | None:
    """Return the thread in which a line stands, None if it stands in none of ours."""
    if line.thread_ts is None or line.thread_ts == line.ts:
        return None
    ref = ThreadRef(TeamId(line.team_id), ChannelId(line.channel_id), MessageTs(line.thread_ts))
    thread = thread_at(conn, ref)
    return None if thread is None else Place(thread, link_of(conn, thread))


def ref_of(line: Line) -> LineRef:
    """Return which Slack message a line is."""
    return LineRef(TeamId(line.team_id), ChannelId(line.channel_id), MessageTs(line.ts))


def link_of(conn: Connection, thread: Thread) -> Link | None:
    """Return the link by which the target of `thread` goes to its channel, None if there is none now."""
    kind = LinkKind.POST if thread.target.kind is TargetKind.POST else LinkKind.MESSAGE
    taking = choose(links_of(conn, thread.target.project), kind)
    return next((x for x in taking if (x.team, x.channel) == (thread.team, thread.channel)), None)


def has_unread(conn: Connection, thread: Thread) -> bool:
    """Return whether Slack has told something about `thread` that nobody has read yet."""
    if thread.root_ts is None:
        return False
    waiting = exists().where(
        jobs.c.lane == reading_lane(ThreadRef(thread.team, thread.channel, thread.root_ts).key),
        text("state in ('available', 'running')"),  # in the words of the index
    )
    return bool(conn.execute(select(waiting)).scalar())


def is_not_first(conn: Connection, target: Target, line: LineRef) -> bool:
    """Return whether a line that was typed before `line` has come into the lane of `target`, to go first."""
    earlier = exists().where(
        jobs.c.lane == target.lane("out"),
        jobs.c.lane_order < ts_order(line.ts),
        text("state = 'available'"),  # in the words of the index
    )
    return bool(conn.execute(select(earlier)).scalar())


def may_be_landing(conn: Connection, line: Line) -> bool:
    """Return whether a line may stand under a root of ours that Slack shows and we have not heard of yet."""
    if line.thread_ts is None:
        return False
    posted_at = datetime.fromtimestamp(ts_order(line.thread_ts) / 1_000_000, UTC)
    landing = (
        exists()
        .where(threads.c.team == line.team_id, threads.c.channel_id == line.channel_id)
        .where(threads.c.root_ts.is_(None), deliveries.c.id == threads.c.root_delivery)
        .where(deliveries.c.state.in_((State.SENDING, State.UNCERTAIN)))
        .where(deliveries.c.sent_at.between(posted_at - ROOT_TAKES, posted_at + ROOT_TAKES))
    )
    return bool(conn.execute(select(landing)).scalar())
