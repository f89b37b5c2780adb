"""Alerts about a social profile whose connection broke: posted once, counted while they stand, cleared by a
person, reminded of daily."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Connection, select, update
from sqlalchemy.engine import RowMapping

from bridge.content import ProfileAlert, from_json, to_json
from bridge.deliveries import Act, State, put_channel_post, put_update
from bridge.errors import Snooze
from bridge.events import ButtonPressed, ProfileExpired, RemindOfAlerts
from bridge.ids import ChannelId, MessageTs, ProjectId, TeamId, new_id
from bridge.links import links_of, project_name
from bridge.mapping import first_time, insert_new
from bridge.model import LinkKind
from bridge.queue.jobs import Job
from bridge.relay.cards import Cards
from bridge.routing import choose
from bridge.store.engine import Store
from bridge.store.tables import alerts, deliveries

PROFILE = "profile_expired"
REMIND_AFTER = timedelta(days=1)
A_MOMENT = timedelta(seconds=1)


class Alerts:
    """Posts, counts, clears and reminds."""

    def __init__(self, store: Store, cards: Cards, *, scale: float = 1.0) -> None:
        self._store = store
        self._cards = cards
        self._scale = scale

    async def profile_expired(self, event: ProfileExpired, job: Job) -> None:
        """Post an alert in the project's alert channels, or count on in the one that stands."""
        await self._store.write(lambda conn: self._raise_or_count(conn, event, job))

    def _raise_or_count(self, conn: Connection, event: ProfileExpired, job: Job) -> None:
        now = self._store.now(conn)
        if not first_time(conn, now, job.id):
            return
        project = ProjectId(event.project_id)
        for link in choose(links_of(conn, project), LinkKind.ALERT):
            standing = (
                alerts.c.team == link.team,
                alerts.c.channel_id == link.channel,
                alerts.c.project_id == project,
                alerts.c.kind == PROFILE,
                alerts.c.cleared_at.is_(None),
            )
            # One statement, so that events that are handled at the same time are all counted.
            counted = update(alerts).where(*standing).values(count=alerts.c.count + 1).returning(alerts)
            row = conn.execute(counted).mappings().first()
            if row is None:
                self._raise(conn, now, link.team, link.channel, project, event.at)
            else:
                self._redraw(conn, now, row)

    def _raise(
        self,
        conn: Connection,
        now: datetime,
        team: TeamId,
        channel: ChannelId,
        project: ProjectId,
        since: datetime,
    ) -> None:
        id_ = new_id()
        is_first = insert_new(
            conn,
            alerts,
            id=id_,
            team=team,
            channel_id=channel,
            project_id=project,
            kind=PROFILE,
            since=since,
            count=1,
            reminded_at=now,
        )
        if not is_first:
            raise Snooze("alert_is_being_raised", delay=A_MOMENT)
        content = self._content(conn, _row(conn, id_))
        delivery = put_channel_post(conn, now, team, channel, "alert", content)
        conn.execute(update(alerts).where(alerts.c.id == id_).values(delivery_id=delivery))

    def _content(self, conn: Connection, row: RowMapping, *, is_reminder: bool = False) -> ProfileAlert:
        project = ProjectId(row["project_id"])
        return ProfileAlert(
            alert_id=row["id"],
            project_id=project,
            project_name=project_name(conn, project),
            since=row["since"],
            count=row["count"],
            dashboard_url=self._cards.dashboard(project),
            is_reminder=is_reminder,
            cleared_by=row["cleared_by"],
            cleared_at=row["cleared_at"],
        )

    def _redraw(self, conn: Connection, now: datetime, row: RowMapping) -> None:
        """Have the alert and its reminders say what is known now, whether posted already or waiting."""
        posts = conn.execute(
            select(deliveries).where(
                deliveries.c.team == row["team"],
                deliveries.c.kind == "alert",
                deliveries.c.act == Act.POST,
                deliveries.c.created_at >= row["since"] - REMIND_AFTER,
                deliveries.c.content.contains(row["id"], autoescape=True),
            )
        ).mappings()
        for post in posts.all():
            shown = from_json(post["content"])
            assert isinstance(shown, ProfileAlert)
            content = self._content(conn, row, is_reminder=shown.is_reminder)
            if post["state"] in (State.SENDING, State.UNCERTAIN):
                raise Snooze("alert_is_being_posted", delay=A_MOMENT)
            stored = update(deliveries).where(deliveries.c.id == post["id"])
            conn.execute(stored.values(content=to_json(content)))
            if post["state"] == State.DONE and post["slack_ts"]:
                place = TeamId(post["team"]), ChannelId(post["channel_id"]), MessageTs(post["slack_ts"])
                put_update(conn, now, *place, "alert", content)

    async def mark_reconnected(self, event: ButtonPressed, job: Job) -> None:
        """Clear an alert by a person's word; pressing again, or late, changes nothing."""

        def clear(conn: Connection) -> None:
            now = self._store.now(conn)
            cleared = (
                update(alerts)
                .where(alerts.c.id == event.value, alerts.c.cleared_at.is_(None))
                .values(cleared_at=now, cleared_by=event.user_id)
                .returning(alerts)
            )
            row = conn.execute(cleared).mappings().first()
            if row is None:
                return
            if event.message_ts is not None and row["team"] == event.team_id:
                # Its own row may be gone: an alert can stand for longer than deliveries are kept.
                place = TeamId(event.team_id), ChannelId(event.channel_id), MessageTs(event.message_ts)
                put_update(conn, now, *place, "alert", self._content(conn, row))
            self._redraw(conn, now, row)

        await self._store.write(clear)

    async def remind(self, event: RemindOfAlerts, job: Job) -> None:
        """Post a reminder of every alert that has stood for a day since it was last spoken of."""
        await self._store.write(self._remind)

    def _remind(self, conn: Connection) -> None:
        now = self._store.now(conn)
        due = alerts.c.reminded_at <= now - REMIND_AFTER / self._scale
        rows = conn.execute(
            select(alerts).where(alerts.c.kind == PROFILE, alerts.c.cleared_at.is_(None), due)
        ).mappings()
        for row in rows.all():
            channel = _where_to_remind(conn, row)
            if channel is None:
                continue  # nobody here wants to hear of the project any more
            content = self._content(conn, row, is_reminder=True)
            put_channel_post(conn, now, TeamId(row["team"]), channel, "alert", content)
            conn.execute(update(alerts).where(alerts.c.id == row["id"]).values(reminded_at=now))


def _row(conn: Connection, id_: str) -> RowMapping:
    return conn.execute(select(alerts).where(alerts.c.id == id_)).mappings().one()


def _where_to_remind(conn: Connection, row: RowMapping) -> ChannelId | None:
    """The alert's channel while it is linked, else where the project's alerts go now, if anywhere."""
    links = [link for link in links_of(conn, ProjectId(row["project_id"])) if link.team == row["team"]]
    if any(link.channel == row["channel_id"] for link in links):
        return ChannelId(row["channel_id"])
    return next((link.channel for link in choose(links, LinkKind.ALERT)), None)
