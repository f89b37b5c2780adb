"""Telling people that webhooks get lost: once a day, where it happens again and again."""

from __future__ import annotations

import logging
from datetime import datetime

from sqlalchemy import Connection, or_, update

from bridge.content import Notice, inert
from bridge.deliveries import put_channel_post
from bridge.ids import ProjectId
from bridge.links import links_of, project_name
from bridge.model import LinkKind
from bridge.relay.cards import Cards
from bridge.routing import choose
from bridge.store.engine import Store
from bridge.store.tables import projects
from bridge.webhooks import lost

log = logging.getLogger(__name__)


class LostWebhooks:
    """Counts what was lost, and speaks up."""

    def __init__(self, store: Store, cards: Cards, *, scale: float = 1.0) -> None:
        self._store = store
        self._cards = cards
        self._scale = scale

    async def settle(self, project: ProjectId) -> None:
        """Count those webhooks of what earlier sweeps found that cannot come any more."""
        count = await self._store.write(lambda conn: self._settle(conn, project))
        if count:
            log.warning("webhook.lost", extra={"project": project, "objects": count})

    def _settle(self, conn: Connection, project: ProjectId) -> int:
        now = self._store.now(conn)
        count = lost.count(conn, now, project, self._scale)
        if count:
            lately = lost.lately(conn, now, project, self._scale)
            if lately.is_repeated and self._may_tell(conn, now, project):
                self._tell(conn, now, project, lately)
        return count

    def _may_tell(self, conn: Connection, now: datetime, project: ProjectId) -> bool:
        """Once a day, whichever process comes first."""
        told = projects.c.lost_told_at
        is_due = or_(told.is_(None), told <= now - lost.DAY / self._scale)
        claim = update(projects).where(projects.c.id == project, is_due).values(lost_told_at=now)
        return bool(conn.execute(claim).rowcount)

    def _tell(self, conn: Connection, now: datetime, project: ProjectId, lately: lost.LostLately) -> None:
        notice = Notice(
            text=f"Webhooks of {inert(project_name(conn, project))} get lost: {lately.objects} messages and "
            "posts of the last day were found only because the bridge looks for them itself, some minutes "
            "late. Nothing is missing. Please run `jollor-slack doctor`, and check the webhook in Jollor.",
            buttons=(self._cards.button(project),),
        )
        for link in choose(links_of(conn, project), LinkKind.ALERT):
            put_channel_post(conn, now, link.team, link.channel, "notice", notice)
