"""A channel that is behind says so once: "delayed, not lost". The notice disappears when the backlog is gone.

It costs one post and one deletion. Its row (`delays`) survives a restart and is the one of all processes.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, delete, func, select, update
from sqlalchemy.engine import RowMapping

from bridge.content import Notice
from bridge.deliveries import (
    Act,
    Priority,
    State,
    channel_target,
    put_channel_post,
    put_delete,
    put_update,
    team_target,
)
from bridge.events import LookForDelays
from bridge.ids import ChannelId, MessageTs, TeamId
from bridge.mapping import insert_new
from bridge.queue.jobs import Job
from bridge.store import pauses
from bridge.store.engine import Store
from bridge.store.tables import delays, deliveries

BEHIND = timedelta(seconds=30)
"""How long the oldest message waits before people are told."""
CAUGHT_UP = timedelta(seconds=5)
"""With none that waits for longer the backlog is gone."""
COUNT_AGAIN = timedelta(minutes=1)
"""How often the number in the notice is drawn again."""
KIND = "delayed"

Place = tuple[TeamId, ChannelId]


@dataclass(frozen=True, slots=True)
class _Waiting:
    """What waits for a channel's allowance."""

    since: datetime
    messages: int


class Delayed:
    """Tells in each channel that is behind, and takes it back."""

    def __init__(self, store: Store, *, scale: float = 1.0) -> None:
        self._store = store
        self._scale = scale

    async def look(self, event: LookForDelays, job: Job) -> None:
        """Post, draw again and delete the notices, as the channels stand now."""
        await self._store.write(self._look)

    def _look(self, conn: Connection) -> None:
        now = self._store.now(conn)
        waiting = _waiting(conn)
        told = {_place(row): row for row in conn.execute(select(delays)).mappings()}
        for place, backlog in waiting.items():
            if place not in told and now - backlog.since > BEHIND / self._scale:
                _tell(conn, now, place, backlog)
        for place, row in told.items():
            standing = waiting.get(place)
            if standing is None or now - standing.since <= CAUGHT_UP / self._scale:
                _take_back(conn, now, place, row)
            elif now - row["told_at"] >= COUNT_AGAIN / self._scale:
                _count_again(conn, now, place, row, standing)


def _waiting(conn: Connection) -> dict[Place, _Waiting]:
    """Return what waits for Slack's pace: a channel or workspace that is away is another matter."""
    rows = conn.execute(
        select(
            deliveries.c.team,
            deliveries.c.channel_id,
            func.min(deliveries.c.created_at).label("since"),
            func.count().label("messages"),
        )
        .where(deliveries.c.state == State.READY, deliveries.c.act == Act.POST)
        .where(deliveries.c.priority == Priority.MESSAGE)
        .group_by(deliveries.c.team, deliveries.c.channel_id)
    ).mappings()
    found = {_place(row): _Waiting(row["since"], row["messages"]) for row in rows}
    away = {pause.target for pause in pauses.current(conn)}
    return {
        place: one
        for place, one in found.items()
        if not away & {channel_target(*place), team_target(place[0])}
    }


def _place(row: RowMapping) -> Place:
    return TeamId(row["team"]), ChannelId(row["channel_id"])


def _notice(messages: int) -> Notice:
    are = "1 message is" if messages == 1 else f"{messages} messages are"
    return Notice(
        text=f"⏳ {are} delayed, not lost: Slack takes about one a second here. "
        "They follow in their order, and this note goes away by itself."
    )


def _tell(conn: Connection, now: datetime, place: Place, backlog: _Waiting) -> None:
    team, channel = place
    values = {"since": backlog.since, "waiting": backlog.messages, "told_at": now}
    if not insert_new(conn, delays, team=team, channel_id=channel, **values):
        return  # another process was faster
    id_ = put_channel_post(conn, now, team, channel, KIND, _notice(backlog.messages))
    conn.execute(update(delays).where(*_at(place)).values(delivery_id=id_))


def _count_again(conn: Connection, now: datetime, place: Place, row: RowMapping, backlog: _Waiting) -> None:
    ts = conn.execute(select(deliveries.c.slack_ts).where(deliveries.c.id == row["delivery_id"])).scalar()
    if ts is None or backlog.messages == row["waiting"]:
        return
    put_update(conn, now, *place, MessageTs(ts), KIND, _notice(backlog.messages))
    conn.execute(update(delays).where(*_at(place)).values(waiting=backlog.messages, told_at=now))


def _take_back(conn: Connection, now: datetime, place: Place, row: RowMapping) -> None:
    """Delete the notice, or do not post it at all; one that is being posted is left to the next look."""
    notice = deliveries.c.id == row["delivery_id"]
    conn.execute(
        update(deliveries)
        .where(notice, deliveries.c.state == State.READY)
        .values(state=State.DONE, finished_at=now, reason="not needed any more")
    )
    posted = conn.execute(select(deliveries.c.state, deliveries.c.slack_ts).where(notice)).mappings().first()
    if posted is not None and posted["state"] in (State.SENDING, State.UNCERTAIN):
        return
    if posted is not None and posted["slack_ts"] is not None:
        put_delete(conn, now, *place, MessageTs(posted["slack_ts"]))
    conn.execute(delete(delays).where(*_at(place)))


def _at(place: Place) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return delays.c.team == place[0], delays.c.channel_id == place[1]
