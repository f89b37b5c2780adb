"""Reading one thread: what stands there and no event told of becomes a job, in the place of the reading.

Known lines change nothing, unless they were edited since. A reply that waits and whose line does not stand in
the thread any more was deleted.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection

from bridge.errors import PermanentError, Snooze, TargetDown
from bridge.events import LineDeleted, LineEdited, LineFound, LineTyped, ReadThread
from bridge.ids import ChannelId, MessageTs, TeamId, ThreadRef, to_ts, ts_order
from bridge.mapping import thread_at
from bridge.model import Mark, Thread
from bridge.policy import typed_at
from bridge.ports import READS_LIMITED, Chat, ThreadLines
from bridge.queue.jobs import Job, NewJob, order_of, put_in
from bridge.relay import limits, looked
from bridge.relay.places import link_of
from bridge.store.engine import Store

log = logging.getLogger(__name__)

SURELY_LISTED = timedelta(minutes=1)
"""A line that is missing in its thread counts as deleted only if it was typed longer ago than this."""


class ThreadReading:
    """Reads threads page by page."""

    def __init__(self, store: Store, chat: Chat, *, scale: float = 1.0) -> None:
        self._store = store
        self._chat = chat
        self._scale = scale

    async def read_thread(self, event: ReadThread, job: Job) -> None:
        """Read one page of a thread; put what no event told of, and the reading of what is left."""
        team, channel, root = TeamId(event.team_id), ChannelId(event.channel_id), MessageTs(event.root_ts)
        began = await self._store.read(self._store.now)
        try:
            page = await self._chat.lines(team, channel, root, since=MessageTs(event.since_ts))
        except Snooze as error:
            refused = error
            if refused.code != READS_LIMITED:
                raise
            await self._store.write(lambda conn: self._put_off(conn, event, refused))
            return
        except TargetDown:
            if not event.in_lane:
                raise
            await self._store.write(lambda conn: self._put_off(conn, event, None))
            return
        except PermanentError as error:
            log.warning("readback.refused", extra={"channel": channel, "code": error.code})
            return
        if page is not None:
            await self._store.write(lambda conn: self._take(conn, event, job, page, began))

    def _put_off(self, conn: Connection, event: ReadThread, refused: Snooze | None) -> None:
        """Read later, outside of the lane: what people type now must not wait for us to be let in."""
        now = at = self._store.now(conn)
        if refused is not None:
            team = TeamId(event.team_id)
            limits.note_refusal(conn, now, team, refused)
            (slot,) = limits.slots(conn, team, 1, now, scale=self._scale)
            at = max(slot, now + refused.delay / self._scale)
        put_in(conn, [NewJob(event.model_copy(update={"in_lane": False}), run_at=at)], now)

    def _take(
        self, conn: Connection, event: ReadThread, job: Job, page: ThreadLines, began: datetime
    ) -> None:
        now = self._store.now(conn)
        ref = ThreadRef(TeamId(event.team_id), ChannelId(event.channel_id), MessageTs(event.root_ts))
        limits.note_reading(conn, now, ref.team, page.reading)
        thread = thread_at(conn, ref)
        link = None if thread is None else link_of(conn, thread)
        if thread is None or link is None:
            return
        found = [
            *_news(conn, ref, page.lines, not_before=link.linked_at),
            *self._gone(conn, event, thread, page, began),
        ]
        put_in(conn, [_found(one, ref, job) for one in found], now)
        if found:
            log.info("readback.found", extra={"channel": ref.channel, "found": len(found)})
        if page.read_to is not None:
            (at,) = limits.slots(conn, ref.team, 1, now, scale=self._scale)
            rest = event.model_copy(update={"since_ts": page.read_to, "in_lane": False})
            after_this = now + limits.pace_of(conn, ref.team).every / self._scale
            put_in(conn, [NewJob(rest, run_at=max(at, after_this))], now)

    def _gone(
        self, conn: Connection, event: ReadThread, thread: Thread, page: ThreadLines, began: datetime
    ) -> list[LineDeleted]:
        """Lines that wait to be sent and do not stand in the thread any more: their writers deleted them."""
        latest = to_ts(began - SURELY_LISTED / self._scale)
        until = latest if page.read_to is None else min(latest, page.read_to, key=ts_order)
        return [
            LineDeleted(
                team_id=event.team_id,
                channel_id=event.channel_id,
                ts=ts,
                thread_ts=event.root_ts,
                user_id=author,
            )
            for ts, author in looked.waiting_in(conn, thread, MessageTs(event.since_ts), until)
            if ts not in page.present
        ]


def _news(
    conn: Connection, ref: ThreadRef, lines: Sequence[LineTyped], *, not_before: datetime
) -> list[LineTyped | LineEdited]:
    """Return the lines that are not known, and what became of known ones: they were edited since."""
    known = looked.known_lines(conn, ref, [line.ts for line in lines])
    news: list[LineTyped | LineEdited] = []
    for line in lines:
        if line.ts not in known:
            # What is older than the link is none of ours. What has a mark was dealt with: a database that
            # does not know it was restored from a backup. Only what waited then may still be owed.
            if typed_at(line) >= not_before and line.mark in (None, Mark.WAITING):
                news.append(line)
        elif line.edited_ts is not None and ts_order(line.edited_ts) > ts_order(known[line.ts] or ""):
            news.append(line.as_edited())
    return news


def _found(line: LineTyped | LineEdited | LineDeleted, ref: ThreadRef, job: Job) -> NewJob:
    """What was found comes before all that Slack has told since the reading was put, in its own order."""
    edited = line.edited_ts if isinstance(line, LineEdited) else ""
    return NewJob(
        LineFound(line=line, thread_key=ref.key),
        unique_key=f"found:{line.kind}:{ref.team}:{ref.channel}:{line.ts}:{edited}",
        order=order_of(job.created_at),
    )
