"""Reading back: lines that people typed and no event told of are found by reading recently active threads.

Slack repeats an event three times in six minutes (hourly for a day with Delayed Events), then drops it: lines
typed during a longer gap are in Slack alone. Which threads have news is told by one read of the
channel's history: roots carry their newest reply (`latest_reply`), and one read shows two hundred of them.
Roots older than what was read are taken from what is stored, by when something was last shown there. Then
each of these threads is read from where the channel was last looked through.

What is found takes the road of every line, in the place that the reading had among the thread's events: known
ones change nothing, young ones are sent as if typed now, old or overtaken ones are offered to people. What
Slack's limits on reading leave out is said in the channel; `doctor` says how far they let us.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection

from bridge.content import Notice
from bridge.deliveries import put_channel_post
from bridge.errors import PermanentError, Snooze, StoreUnavailable, TargetDown
from bridge.events import (
    ReadBackAll,
    ReadChannel,
    ReadThread,
)
from bridge.ids import ChannelId, LineRef, MessageTs, TeamId, ThreadRef, to_ts, ts_order
from bridge.links import links_of
from bridge.mapping import first_time, thread_at
from bridge.model import Link, LinkKind, Reading, Thread
from bridge.ports import ChannelThreads, Chat
from bridge.queue.jobs import Job, NewJob, put_in
from bridge.relay import limits, looked
from bridge.relay.places import link_of
from bridge.store.engine import Store

log = logging.getLogger(__name__)

CLOCKS_DIFFER_BY = timedelta(minutes=5)
"""How far Slack's clock may be from ours: so much is looked through twice."""
SILENCE = timedelta(minutes=1)
"""Shorter than this Slack repeats what it could not deliver (slack-facts 1)."""
NOT_BEFORE = timedelta(days=7)
"""Nobody is asked about what was typed longer ago than this, unless a backfill says from when."""
LEFT_OUT = (
    "Slack may not have told me of all lines that were typed here, and it lets me read only {read} of "
    "{threads} threads with news. A line without a mark in one of the others has not reached its customer: "
    "please write it again."
)
ACTIVE_WITHIN = timedelta(days=1)
"""Threads whose root is beyond what the history shows are read if something was shown there so lately."""


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
            refused = error
            await self._store.write(lambda conn: limits.note_refusal(conn, began, team, refused))
            raise
        except (PermanentError, TargetDown) as error:
            if isinstance(error, TargetDown) and not error.target.startswith("channel:"):
                raise
            # Not to be read; when it is again, the look begins where this one did.
            log.warning("readback.refused", extra={"channel": channel, "code": error.code})
            return
        await self._store.write(lambda conn: self._plan(conn, event, job, seen, began))

    def _plan(
        self, conn: Connection, event: ReadChannel, job: Job, seen: ChannelThreads, began: datetime
    ) -> None:
        team, channel = TeamId(event.team_id), ChannelId(event.channel_id)
        now = self._store.now(conn)
        here = [x for x in links_of(conn, None) if (x.team, x.channel) == (team, channel)]
        if not here:
            return
        limits.note_reading(conn, now, team, seen.reading)
        pace, reading = limits.pace_of(conn, team), limits.reading(conn, team) or Reading.FULL
        since = self._since(conn, event, here, now)
        wanted = self._wanted(conn, event, seen, since, reading)
        if len(wanted) > pace.threads:
            log.warning(
                "readback.cut",
                extra={"channel": channel, "threads": len(wanted), "read": pace.threads, "reading": reading},
            )
            if first_time(conn, now, job.id):
                words = LEFT_OUT.format(read=pace.threads, threads=len(wanted))
                put_channel_post(conn, now, team, channel, "notice", Notice(text=words))
        self._put(conn, now, wanted[: pace.threads], team, is_explicit=event.since is not None)
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
        active = None if event.is_routine else self._active_since(since)
        beyond = []
        for thread in looked.threads_beyond(conn, team, channel, seen.back_to, active, list(waiting)):
            if thread.root_ts is not None and thread.root_ts not in found:
                oldest = min(since, waiting.get(thread.id, since), key=ts_order)
                beyond.append(_Wanted(thread, thread.root_ts, oldest))
        unknown = [one for one in found.values() if not one.is_known]
        ordered = [*unknown, *beyond, *(one for one in found.values() if one.is_known)]
        return [one for one in ordered if link_of(conn, one.thread) is not None]

    def _active_since(self, since: MessageTs) -> datetime:
        return looked.moment(since) - ACTIVE_WITHIN / self._scale

    def _put(
        self,
        conn: Connection,
        now: datetime,
        wanted: Sequence[_Wanted],
        team: TeamId,
        *,
        is_explicit: bool,
    ) -> None:
        """Put a reading of each, no quicker than Slack allows. One for the same newest reply is enough.

        Only what is read at once has a place among the thread's events: nothing waits for Slack's limits.
        """
        slots = limits.slots(conn, team, len(wanted), now, scale=self._scale)
        new = []
        for one, at in zip(wanted, slots, strict=True):
            event = ReadThread(
                team_id=team,
                channel_id=one.thread.channel,
                root_ts=one.root,
                since_ts=one.since,
                in_lane=at <= now,
            )
            key = None
            if one.latest is not None:
                since = f":{one.since}" if is_explicit else ""
                key = f"read_thread:{event.thread_key}:{one.latest}{since}"
            new.append(NewJob(event, unique_key=key, run_at=at))
        put_in(conn, new, now)


def after_gap(began: datetime, *, scale: float) -> NewJob:
    """Return the look that is due when nobody was there from `began` until now."""
    return NewJob(ReadBackAll(since=began - CLOCKS_DIFFER_BY / scale))


async def look_after_silence(store: Store, silent_for: timedelta, *, scale: float) -> None:
    """Have all looked through if Slack could not reach us for so long that it may have given something up.

    A database that is away just then is noticed later: the next routine look begins where the last one ended.
    """

    def put(conn: Connection) -> None:
        now = store.now(conn)
        put_in(conn, [after_gap(now - silent_for, scale=scale)], now)

    if silent_for <= SILENCE / scale:
        return
    try:
        await store.write(put)
    except StoreUnavailable as error:
        log.warning("readback.not_put", extra={"reason": error.user_message})


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
