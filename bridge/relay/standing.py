"""Notices that stand in a channel while something is wrong: said once, redrawn in place, closed in place.

One per channel, project ("" for what concerns the channel as a whole) and kind; a row of `alerts` remembers
it. Functions over a connection. What cannot be redrawn because it is just being posted comes back as False:
the caller tries again later.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import ColumnElement, Connection, and_, select, update
from sqlalchemy.engine import RowMapping

from bridge.content import Notice, inert, to_json
from bridge.deliveries import State, put_channel_post, put_update
from bridge.errors import Snooze
from bridge.events import Sweep
from bridge.ids import ChannelId, DeliveryId, MessageTs, ProjectId, TeamId, UserId, new_id
from bridge.links import links_of, project_name
from bridge.mapping import insert_new
from bridge.model import LinkKind
from bridge.queue.jobs import NewJob, put_in
from bridge.routing import choose
from bridge.store.tables import alerts, deliveries

A_MOMENT = timedelta(seconds=10)
CAUGHT_UP = "What came meanwhile is being caught up."


class Trouble(StrEnum):
    """What such a notice is about."""

    AWAY = "jollor_away"
    OFF = "webhook_off"
    ELSEWHERE = "webhook_elsewhere"
    SILENT = "webhook_silent"


@dataclass(frozen=True, slots=True)
class Place:
    """A channel."""

    team: TeamId
    channel: ChannelId


def alert_places(conn: Connection, project: ProjectId) -> list[Place]:
    """Return where people are told what is wrong with a project."""
    return [Place(link.team, link.channel) for link in choose(links_of(conn, project), LinkKind.ALERT)]


def stands(conn: Connection, project: str, kind: Trouble) -> bool:
    """Return whether something is wrong that has not been closed."""
    return conn.execute(select(alerts.c.id).where(_open(project, kind)).limit(1)).first() is not None


def open_rows(conn: Connection, kind: Trouble, project: str) -> list[RowMapping]:
    """Return the rows that stand, oldest first."""
    query = select(alerts).where(_open(project, kind)).order_by(alerts.c.since, alerts.c.id)
    return list(conn.execute(query.with_for_update()).mappings())


def begin(conn: Connection, now: datetime, places: Iterable[Place], project: str, kind: Trouble) -> None:
    """Remember that something is wrong, without a word yet: a crash must not keep it from being said."""
    for place in places:
        _row(conn, now, place, project, kind)


def say(
    conn: Connection,
    now: datetime,
    places: Iterable[Place],
    project: str,
    kind: Trouble,
    notice: Notice,
    *,
    since: datetime | None = None,
) -> None:
    """Say it in each of these channels, or redraw it there. Leaves alone what a person is seeing to."""
    for place in places:
        row = _row(conn, since or now, place, project, kind)
        if row["delivery_id"] is None:
            _post(conn, now, row, notice)
        elif row["cleared_by"] is None:
            _redraw(conn, now, row, notice)


def end(
    conn: Connection, now: datetime, rows: Iterable[RowMapping], notice: Notice, *, is_news: bool = True
) -> bool:
    """Close these with their last words, in place. False if one of them has to wait.

    Without `is_news` what nobody has been shown is taken back instead.
    """
    is_done = True
    for row in rows:
        if row["delivery_id"] is None:
            if is_news:
                _post(conn, now, row, notice)
        elif not is_news and _took_back(conn, now, DeliveryId(row["delivery_id"])):
            pass
        elif not _redraw(conn, now, row, notice, is_last=True):
            is_done = False
            continue
        conn.execute(update(alerts).where(alerts.c.id == row["id"]).values(cleared_at=now))
    return is_done


def take(
    conn: Connection, now: datetime, team: TeamId, project: str, kind: Trouble, by: UserId, notice: Notice
) -> bool:
    """A person sees to it from now on; False if somebody does already, or it is over."""
    free = and_(_open(project, kind), alerts.c.team == team, alerts.c.cleared_by.is_(None))
    taken = conn.execute(update(alerts).where(free).values(cleared_by=by).returning(alerts)).mappings().all()
    for row in taken:
        _redraw(conn, now, row, notice)
    return bool(taken)


def let_loose(conn: Connection, project: str, kind: Trouble) -> None:
    """What a person has tried did not work: it can be tried again."""
    conn.execute(update(alerts).where(_open(project, kind)).values(cleared_by=None))


def sweep(conn: Connection, now: datetime, project: ProjectId) -> None:
    """Have caught up what came while something was wrong."""
    put_in(conn, [NewJob(Sweep(project_id=project))], now)


def webhook_of(conn: Connection, project: ProjectId, *, begins: bool = True) -> str:
    """Return how a project's webhook is called in a sentence, or where one `begins`."""
    return f"{'The' if begins else 'the'} webhook of {inert(project_name(conn, project))}"


def clock_time(moment: datetime, now: datetime) -> str:
    """Return a moment for people: the time, with the day if that is another one."""
    return f"{moment:%H:%M} UTC" if moment.date() == now.date() else f"{moment:%Y-%m-%d %H:%M} UTC"


def come_back_unless(is_done: bool) -> None:
    """Raise `Snooze` if a notice was just being posted and could not be redrawn."""
    if not is_done:
        raise Snooze("notice_is_being_posted", delay=A_MOMENT)


def _open(project: str, kind: Trouble) -> ColumnElement[bool]:
    return and_(alerts.c.project_id == project, alerts.c.kind == kind, alerts.c.cleared_at.is_(None))


def _row(conn: Connection, since: datetime, place: Place, project: str, kind: Trouble) -> RowMapping:
    """Return the row of what stands there, made if there is none; ours alone until the transaction ends."""
    values = {"team": place.team, "channel_id": place.channel, "project_id": project, "kind": kind}
    here = and_(_open(project, kind), alerts.c.team == place.team, alerts.c.channel_id == place.channel)
    insert_new(conn, alerts, id=new_id(), since=since, reminded_at=since, **values)
    return conn.execute(select(alerts).where(here).with_for_update()).mappings().one()


def _post(conn: Connection, now: datetime, row: RowMapping, notice: Notice) -> None:
    team, channel = TeamId(row["team"]), ChannelId(row["channel_id"])
    delivery = put_channel_post(conn, now, team, channel, "alert", notice)
    conn.execute(update(alerts).where(alerts.c.id == row["id"]).values(delivery_id=delivery))


def _redraw(
    conn: Connection, now: datetime, row: RowMapping, notice: Notice, *, is_last: bool = False
) -> bool:
    """Have the post say `notice`; False while it is being posted.

    One whose row is forgotten after a week cannot be redrawn: its last words are said anew.
    """
    post = conn.execute(select(deliveries).where(deliveries.c.id == row["delivery_id"])).mappings().first()
    if post is None:
        if is_last:
            _post(conn, now, row, notice)
        return True
    words = to_json(notice)
    if post["content"] == words:
        return True
    at_rest = deliveries.c.id == post["id"], deliveries.c.state == post["state"]
    if post["state"] in (State.SENDING, State.UNCERTAIN):
        return False
    if not conn.execute(update(deliveries).where(*at_rest).values(content=words)).rowcount:
        return False  # it was taken to be posted since we looked
    if post["state"] == State.DONE and post["slack_ts"]:
        place = TeamId(post["team"]), ChannelId(post["channel_id"]), MessageTs(post["slack_ts"])
        put_update(conn, now, *place, "alert", notice)
    return True


def _took_back(conn: Connection, now: datetime, delivery: DeliveryId) -> bool:
    waiting = deliveries.c.id == delivery, deliveries.c.state == State.READY, deliveries.c.in_doubt.is_(False)
    values = {"state": State.DONE, "finished_at": now, "reason": "not needed any more"}
    return bool(conn.execute(update(deliveries).where(*waiting).values(**values)).rowcount)
