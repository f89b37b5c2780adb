"""Alerts about a social profile whose connection broke: posted once, counted while they stand, cleared by a
person, reminded of daily."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, insert, select, update

from bridge.content import ProfileAlert, from_json, to_json
from bridge.deliveries import State, put_channel_post, put_update
from bridge.errors import Snooze
from bridge.events import ButtonPressed, ProfileExpired, RemindOfAlerts
from bridge.ids import ChannelId, MessageTs, ProjectId, TeamId, new_id
from bridge.links import links_of, project_name
from bridge.model import LinkKind
from bridge.queue.jobs import Job
from bridge.relay.cards import Cards
from bridge.routing import choose
from bridge.store.engine import Store
from bridge.store.tables import alerts, deliveries

PROFILE = "profile_expired"
REMIND_AFTER = timedelta(days=1)


class Alerts:
    """Posts, counts, clears and reminds."""

    def __init__(self, store: Store, cards: Cards, *, scale: float = 1.0) -> None:
        self._store = store
        self._cards = cards
        self._scale = scale

    async def profile_expired(self, event: ProfileExpired, job: Job) -> None:
        """Post an alert in the project's alert channels, or count on in the one that stands."""
        await self._store.write(lambda conn: self._raise_or_count(conn, event))

    def _raise_or_count(self, conn: Connection, event: ProfileExpired) -> None:
        now = self._store.now(conn)
        project = ProjectId(event.project_id)
        for link in choose(links_of(conn, project), LinkKind.ALERT):
            row = _standing(conn, link.team, link.channel, project)
            if row is None:
                self._raise(conn, now, link.team, link.channel, project, event.at)
            else:
                conn.execute(update(alerts).where(alerts.c.id == row["id"]).values(count=row["count"] + 1))
                self._redraw(conn, now, row, count=row["count"] + 1)

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
        content = ProfileAlert(
            alert_id=id_,
            project_id=project,
            project_name=project_name(conn, project),
            since=since,
            count=1,
            dashboard_url=self._cards.dashboard(project),
        )
        delivery = put_channel_post(conn, now, team, channel, "alert", content)
        conn.execute(
            insert(alerts).values(
                id=id_,
                team=team,
                channel_id=channel,
                project_id=project,
                kind=PROFILE,
                since=since,
                count=1,
                delivery_id=delivery,
                reminded_at=now,
            )
        )

    def _redraw(self, conn: Connection, now: datetime, alert: Any, **changes: Any) -> None:
        """Change what the alert says, whether it is posted already or still waits."""
        row = (
            conn.execute(select(deliveries).where(deliveries.c.id == alert["delivery_id"])).mappings().first()
        )
        if row is None:
            return
        content = from_json(row["content"])
        assert isinstance(content, ProfileAlert)
        changed = content.model_copy(update=changes)
        if row["state"] in (State.SENDING, State.UNCERTAIN):
            raise Snooze("alert_is_being_posted", delay=timedelta(seconds=1))
        conn.execute(update(deliveries).where(deliveries.c.id == row["id"]).values(content=to_json(changed)))
        if row["state"] == State.DONE and row["slack_ts"]:
            put_update(
                conn,
                now,
                TeamId(row["team"]),
                ChannelId(row["channel_id"]),
                MessageTs(row["slack_ts"]),
                "alert",
                changed,
            )

    async def mark_reconnected(self, event: ButtonPressed, job: Job) -> None:
        """Clear an alert by a person's word; pressing again, or late, changes nothing."""

        def clear(conn: Connection) -> None:
            now = self._store.now(conn)
            row = conn.execute(select(alerts).where(alerts.c.id == event.value)).mappings().first()
            if row is None or row["cleared_at"] is not None:
                return
            conn.execute(
                update(alerts)
                .where(alerts.c.id == row["id"])
                .values(cleared_at=now, cleared_by=event.user_id)
            )
            self._redraw(conn, now, row, cleared_by=event.user_id, cleared_at=now)

        await self._store.write(clear)

    async def remind(self, event: RemindOfAlerts, job: Job) -> None:
        """Post a reminder of every alert that has stood for a day since it was last spoken of."""
        await self._store.write(self._remind)

    def _remind(self, conn: Connection) -> None:
        now = self._store.now(conn)
        due = conn.execute(
            select(alerts).where(
                alerts.c.cleared_at.is_(None), alerts.c.reminded_at <= now - REMIND_AFTER / self._scale
            )
        ).mappings()
        for row in due.all():
            project = ProjectId(row["project_id"])
            content = ProfileAlert(
                alert_id=row["id"],
                project_id=project,
                project_name=project_name(conn, project),
                since=row["since"],
                count=row["count"],
                dashboard_url=self._cards.dashboard(project),
                is_reminder=True,
            )
            put_channel_post(conn, now, TeamId(row["team"]), ChannelId(row["channel_id"]), "alert", content)
            conn.execute(update(alerts).where(alerts.c.id == row["id"]).values(reminded_at=now))


def _standing(conn: Connection, team: TeamId, channel: ChannelId, project: ProjectId) -> Any:
    return (
        conn.execute(
            select(alerts).where(
                alerts.c.team == team,
                alerts.c.channel_id == channel,
                alerts.c.project_id == project,
                alerts.c.kind == PROFILE,
                alerts.c.cleared_at.is_(None),
            )
        )
        .mappings()
        .first()
    )
