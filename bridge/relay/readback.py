"""Reading back: lines that people typed and no event told of are found by reading recently active threads.

Slack repeats an event three times in six minutes (hourly for a day with Delayed Events), then drops it: lines
typed during a longer gap are in Slack alone. Which threads have news is told by one read of the
channel's history: roots carry their newest reply (`latest_reply`), and one read shows two hundred of them.
Roots older than what was read are taken from what is stored, by when something was last shown there. Then
each of these threads is read from where the channel was last looked through.

What is found takes the road of every line, in the place that the reading had among the thread's events: known
ones change nothing, young ones are sent as if typed now, old or overtaken ones are offered to people. What
Slack's limits on reading leave out is logged; `doctor` says how far they let us.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection

from bridge.errors import BridgeError, PermanentError, Snooze, TargetDown
from bridge.events import (
    LineDeleted,
    LineEdited,
    LineFound,
    LineTyped,
    ReadBackAll,
    ReadChannel,
    ReadThread,
)
from bridge.ids import ChannelId, LineRef, MessageTs, TeamId, ThreadRef, to_ts, ts_order
from bridge.links import links_of
from bridge.mapping import thread_at
from bridge.model import Link, LinkKind, Reading, Thread
from bridge.policy import typed_at
from bridge.ports import READS_LIMITED, ChannelThreads, Chat, ThreadLines
from bridge.queue.jobs import Job, NewJob, order_of, put_in
from bridge.relay import looked
from bridge.relay.places import link_of
from bridge.store.engine import Store

log = logging.getLogger(__name__)

CLOCKS_DIFFER_BY = timedelta(minutes=5)
"""How far Slack's clock may be from ours: so much is looked through twice."""
NOT_BEFORE = timedelta(days=7)
"""Nobody is asked about what was typed longer ago than this, unless a backfill says from when."""
ACTIVE_WITHIN = timedelta(days=1)
"""Threads whose root is beyond what the history shows are read if something was shown there so lately."""
SURELY_LISTED = timedelta(minutes=1)
"""A line that is missing in its thread counts as deleted only if it was typed longer ago than this."""
LONG_WAIT = timedelta(seconds=30)
"""To be told to wait so long for one of the first reads means that there is only one a minute."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How many threads are read at most, and how quickly: a part of what Slack allows (slack-facts 2, 3)."""

    threads: int
    at_once: int
    every: timedelta


PACES = {
    Reading.FULL: Pace(threads=200, at_once=20, every=timedelta(seconds=1.5)),
    Reading.RESTRICTED: Pace(threads=10, at_once=1, every=timedelta(seconds=61)),
}


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A thread to be read, from where. `latest` is its newest reply if that is why."""

    thread: Thread
    root: MessageTs
    since: MessageTs
    latest: MessageTs | None = None
    is_known: bool = False


class ReadBack:
    """Finds lines that no event told of."""

    def __init__(self, store: Store, chat: Chat, *, scale: float = 1.0) -> None:
        self._store = store
        self._chat = chat
        self._scale = scale

    async def read_back_all(self, event: ReadBackAll, job: Job) -> None:
        """Put a look for every channel in which people can answer."""

        def put(conn: Connection) -> None:
            linked = [
                link
                for link in links_of(conn, None)
                if link.kind is not LinkKind.ALERT and event.project_id in (None, link.project)
            ]
            channels = dict.fromkeys((link.team, link.channel) for link in linked)
            new = [
                NewJob(
                    ReadChannel(
                        team_id=team, channel_id=channel, since=event.since, is_routine=event.is_routine
                    )
                )
                for team, channel in channels
            ]
            put_in(conn, new, self._store.now(conn))

        await self._store.write(put)

    # --- which threads -------------------------------------------------------------------------------

    async def read_channel(self, event: ReadChannel, job: Job) -> None:
        """Find the threads of a channel that have news, and put a reading of each."""
        event = _together(event, [later for _, later in job.followers if isinstance(later, ReadChannel)])
        team, channel = TeamId(event.team_id), ChannelId(event.channel_id)
        began = await self._store.read(self._store.now)
        try:
            seen = await self._chat.threads(team, channel)
        except Snooze as error:
            await self._note_limited(team, error)
            raise
        except (PermanentError, TargetDown) as error:
            _unless_closed(error, channel)
            return
        await self._store.write(lambda conn: self._plan(conn, event, seen, began))

    def _plan(self, conn: Connection, event: ReadChannel, seen: ChannelThreads, began: datetime) -> None:
        team, channel = TeamId(event.team_id), ChannelId(event.channel_id)
        now = self._store.now(conn)
        here = [x for x in links_of(conn, None) if (x.team, x.channel) == (team, channel)]
        if not here:
            return
        looked.note_reading(conn, now, team, seen.reading)
        reading = looked.reading(conn, team) or Reading.FULL
        since = self._since(conn, event, here, now)
        wanted = self._wanted(conn, event, seen, since, reading)
        pace = PACES[reading]
        if len(wanted) > pace.threads:
            log.warning(
                "readback.cut",
                extra={"channel": channel, "threads": len(wanted), "read": pace.threads, "reading": reading},
            )
        self._put(conn, now, wanted[: pace.threads], team, pace, is_explicit=event.since is not None)
        if not looked.root_in_doubt(conn, team, channel):  # else what is typed below it has no thread yet
            looked.looked_through(conn, team, channel, began - CLOCKS_DIFFER_BY / self._scale)

    def _since(self, conn: Connection, event: ReadChannel, here: Sequence[Link], now: datetime) -> MessageTs:
        """From when on lines are looked for: since the last look, or since the link."""
        mark = looked.looked_to(conn, TeamId(event.team_id), ChannelId(event.channel_id))
        linked_at = min(link.linked_at for link in here) - CLOCKS_DIFFER_BY / self._scale
        since = max(mark or linked_at, now - NOT_BEFORE)
        return to_ts(since if event.since is None else min(event.since, since))

    def _wanted(
        self, conn: Connection, event: ReadChannel, seen: ChannelThreads, since: MessageTs, reading: Reading
    ) -> list[_Wanted]:
        """Return the threads to be read, those that matter most first.

        Where there is one read a minute, first those whose newest reply is not known; in a routine look only
        those: that a line was lost without any gap, and another one came after it, is rare.
        """
        team, channel = TeamId(event.team_id), ChannelId(event.channel_id)
        waiting = {} if event.is_routine else looked.waiting_since(conn, team, channel)
        found: dict[MessageTs, _Wanted] = {}
        for news in sorted(seen.threads, key=lambda one: ts_order(one.latest_reply), reverse=True):
            if ts_order(news.latest_reply) <= ts_order(since):
                continue
            thread = thread_at(conn, ThreadRef(team, channel, news.root))
            if thread is None:
                continue
            is_known = reading is Reading.RESTRICTED and looked.is_known(
                conn, LineRef(team, channel, news.latest_reply)
            )
            if not (is_known and event.is_routine):
                oldest = min(since, waiting.get(thread.id, since), key=ts_order)
                latest = None if thread.id in waiting else news.latest_reply
                found[news.root] = _Wanted(thread, news.root, oldest, latest, is_known)
        ordered = sorted(found.values(), key=lambda one: one.is_known)  # keeps their order otherwise
        active = None if event.is_routine else self._active_since(since)
        for thread in looked.threads_beyond(conn, team, channel, seen.back_to, active, list(waiting)):
            if thread.root_ts is not None and thread.root_ts not in found:
                oldest = min(since, waiting.get(thread.id, since), key=ts_order)
                ordered.append(_Wanted(thread, thread.root_ts, oldest))
        return [one for one in ordered if link_of(conn, one.thread) is not None]

    def _active_since(self, since: MessageTs) -> datetime:
        return looked.moment(since) - ACTIVE_WITHIN / self._scale

    def _put(
        self,
        conn: Connection,
        now: datetime,
        wanted: Sequence[_Wanted],
        team: TeamId,
        pace: Pace,
        *,
        is_explicit: bool,
    ) -> None:
        """Put a reading of each, no quicker than Slack allows. One for the same newest reply is enough.

        Only what is read at once has a place among the thread's events: nothing waits for Slack's limits.
        """
        slots = self._slots(conn, team, len(wanted), pace, now)
        new = []
        for one, at in zip(wanted, slots, strict=True):
            event = self._reading(one.thread, one.root, one.since, in_lane=at <= now)
            key = None
            if one.latest is not None:
                since = f":{one.since}" if is_explicit else ""
                key = f"read_thread:{event.thread_key}:{one.latest}{since}"
            new.append(NewJob(event, unique_key=key, run_at=at))
        put_in(conn, new, now)

    def _slots(self, conn: Connection, team: TeamId, count: int, pace: Pace, now: datetime) -> list[datetime]:
        return looked.slots(
            conn, f"read:{team}", count, now, every=pace.every / self._scale, at_once=pace.at_once
        )

    @staticmethod
    def _reading(thread: Thread, root: MessageTs, since: MessageTs, *, in_lane: bool) -> ReadThread:
        return ReadThread(
            team_id=thread.team, channel_id=thread.channel, root_ts=root, since_ts=since, in_lane=in_lane
        )

    # --- what was typed ------------------------------------------------------------------------------

    async def read_thread(self, event: ReadThread, job: Job) -> None:
        """Read one page of a thread; put what no event told of, and the reading of what is left."""
        team, channel, root = TeamId(event.team_id), ChannelId(event.channel_id), MessageTs(event.root_ts)
        began = await self._store.read(self._store.now)
        try:
            page = await self._chat.lines(team, channel, root, since=MessageTs(event.since_ts))
        except Snooze as error:
            await self._note_limited(team, error)
            if error.code != READS_LIMITED or not event.in_lane:
                raise
            # What people type now must not wait for Slack's limits on reading.
            delay = error.delay
            await self._store.write(lambda conn: self._put_again(conn, event, delay))
            return
        except (PermanentError, TargetDown) as error:
            _unless_closed(error, channel)
            return
        if page is not None:
            await self._store.write(lambda conn: self._take(conn, event, job, page, began))

    def _put_again(self, conn: Connection, event: ReadThread, delay: timedelta) -> None:
        now = self._store.now(conn)
        later = event.model_copy(update={"in_lane": False})
        put_in(conn, [NewJob(later, run_at=now + delay / self._scale)], now)

    def _take(
        self, conn: Connection, event: ReadThread, job: Job, page: ThreadLines, began: datetime
    ) -> None:
        now = self._store.now(conn)
        ref = ThreadRef(TeamId(event.team_id), ChannelId(event.channel_id), MessageTs(event.root_ts))
        looked.note_reading(conn, now, ref.team, page.reading)
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
            (at,) = self._slots(conn, ref.team, 1, PACES[looked.reading(conn, ref.team) or Reading.FULL], now)
            rest = self._reading(thread, ref.ts, page.read_to, in_lane=False)
            put_in(conn, [NewJob(rest, run_at=at)], now)

    def _gone(
        self, conn: Connection, event: ReadThread, thread: Thread, page: ThreadLines, began: datetime
    ) -> list[LineDeleted]:
        """Lines that wait to be sent and do not stand in the thread any more: their writers deleted them."""
        latest = to_ts(began - SURELY_LISTED / self._scale)
        until = latest if page.read_to is None else min(latest, page.read_to, key=ts_order)
        there = {line.ts for line in page.lines}
        return [
            LineDeleted(
                team_id=event.team_id,
                channel_id=event.channel_id,
                ts=ts,
                thread_ts=event.root_ts,
                user_id=author,
            )
            for ts, author in looked.waiting_in(conn, thread, MessageTs(event.since_ts), until)
            if ts not in there
        ]

    # --- Slack's limits ------------------------------------------------------------------------------

    async def _note_limited(self, team: TeamId, error: Snooze) -> None:
        """A long wait tells of one read a minute, unless a page has told something else."""
        if error.code != READS_LIMITED or error.delay < LONG_WAIT:
            return

        def note(conn: Connection) -> None:
            if looked.reading(conn, team) is None:
                looked.note_reading(conn, self._store.now(conn), team, Reading.RESTRICTED)

        await self._store.write(note)


def _together(event: ReadChannel, later: Iterable[ReadChannel]) -> ReadChannel:
    """Return one look for several: from the earliest moment, routine only if all are."""
    several = (event, *later)
    moments = [one.since for one in several if one.since is not None]
    return event.model_copy(
        update={
            "since": min(moments, default=None),
            "is_routine": all(one.is_routine for one in several),
        }
    )


def _news(
    conn: Connection, ref: ThreadRef, lines: Sequence[LineTyped], *, not_before: datetime
) -> list[LineTyped | LineEdited]:
    """Return the lines that are not known, and what became of known ones: they were edited since."""
    known = looked.known_lines(conn, ref, [line.ts for line in lines])
    news: list[LineTyped | LineEdited] = []
    for line in lines:
        if line.ts not in known:
            if typed_at(line) >= not_before:  # what is older than the link is none of ours
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


def _unless_closed(error: BridgeError, channel: ChannelId) -> None:
    """Nothing is to be read where we are not let in; when we are again, the next look begins where this did.

    Raises what concerns all of Slack.
    """
    if isinstance(error, TargetDown) and not error.target.startswith("channel:"):
        raise error
    log.warning("readback.closed", extra={"channel": channel, "code": error.code})
