"""What came of a job: the hops of the message, line, reply or post that it was about."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Connection, select

from bridge.events import (
    ConversationChanged,
    Event,
    LineDeleted,
    LineEdited,
    LineTyped,
    MarkWaiting,
    MessageHinted,
    MessageMissing,
    PostChanged,
    SendReply,
    SettleReply,
    SlackEventReceived,
)
from bridge.ids import ChannelId, IntentId, JobId, LineRef, MessageTs, ProjectId, TeamId
from bridge.mapping import threads_of
from bridge.model import Target, TargetKind
from bridge.queue.job import JobView
from bridge.queue.mend import event_of
from bridge.store.tables import deliveries, lines, messages, threads
from bridge.trace.deliveries import delivery_hops
from bridge.trace.hop import Hop, in_order
from bridge.trace.jobs import job_hops
from bridge.trace.lines import line_hops, line_of, line_row
from bridge.trace.messages import message_hops, message_rows, shown_in


def job_trace(conn: Connection, job: JobView) -> tuple[Hop, ...]:
    """Return the hops of a job itself."""
    return in_order(job_hops(conn, job))


def followed(conn: Connection, job: JobView) -> tuple[Hop, ...]:
    """Return the hops of what the job was about, none if that has left no trace (yet)."""
    event = event_of(job.args)
    return () if event is None else in_order(_followed(conn, job.id, event))


def _followed(conn: Connection, job: JobId, event: Event) -> Iterator[Hop]:
    match event:
        case ConversationChanged(message_id=None):
            yield from _read_by(conn, job, event)
        case (
            ConversationChanged(message_id=str(id_))
            | MessageHinted(message_id=id_)
            | MessageMissing(message_id=id_)
        ):
            yield from _messages(conn, event.project_id, id_)
        case SendReply() | SettleReply() | MarkWaiting():
            line = line_of(conn, IntentId(event.intent_id))
            if line is not None:
                yield from _line(conn, line)
        case LineTyped() | LineEdited() | LineDeleted():
            at = TeamId(event.team_id), ChannelId(event.channel_id), MessageTs(event.ts)
            yield from _line(conn, LineRef(*at))
        case SlackEventReceived():
            yield from _lines_of(conn, job, event)
        case PostChanged():
            yield from _post(conn, event)
        case _:
            return


def _messages(conn: Connection, project: str, id_: str) -> Iterator[Hop]:
    for row in message_rows(conn, [project], id_):
        yield from message_hops(conn, row)
        for posted in shown_in(conn, None, project, id_):
            yield from delivery_hops(conn, posted)


def _read_by(conn: Connection, job: JobId, event: ConversationChanged) -> Iterator[Hop]:
    found = select(messages.c.message_id).where(
        messages.c.project_id == event.project_id,
        messages.c.conversation_id == event.conversation_id,
        messages.c.job_id == job,
    )
    for id_ in conn.execute(found).scalars().all():
        yield from _messages(conn, event.project_id, id_)


def _line(conn: Connection, line: LineRef) -> Iterator[Hop]:
    row = line_row(conn, line)
    if row is not None:
        yield from line_hops(conn, row)


def _lines_of(conn: Connection, job: JobId, event: SlackEventReceived) -> Iterator[Hop]:
    if event.thread_key is None:
        return
    team, channel, _ = event.thread_key.split(":", 2)
    which = lines.c.team == team, lines.c.channel_id == channel, lines.c.job_id == job
    for row in conn.execute(select(lines).where(*which)).mappings().all():
        yield from line_hops(conn, row)


def _post(conn: Connection, event: PostChanged) -> Iterator[Hop]:
    target = Target(ProjectId(event.project_id), TargetKind.POST, event.post_id)
    ids = [thread.id for thread in threads_of(conn, target)]
    roots = (
        select(deliveries)
        .join(threads, threads.c.root_delivery == deliveries.c.id)
        .where(threads.c.id.in_(ids))
    )
    for row in conn.execute(roots).mappings().all():
        yield from delivery_hops(conn, row)
