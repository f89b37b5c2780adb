"""Catching up because a person asks for it: the same search as a sweep's, further back, and how far it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, select

from bridge.ids import ProjectId, new_id
from bridge.links import links_of, stored_project
from bridge.queue.jobs import JobState
from bridge.queue.presence import living_workers
from bridge.relay.catchup import CatchUp, Search
from bridge.store.engine import Store
from bridge.store.tables import jobs


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a backfill is. `unread` are those that were given up, `workers` those that live."""

    total: int
    done: int
    unread: int
    workers: int

    @property
    def waiting(self) -> int:
        """What nobody has looked at so far."""
        return self.total - self.done - self.unread


class Backfill:
    """One backfill: put for each project, then followed. The jobs go on whether or not somebody follows."""

    def __init__(self, store: Store, catch_up: CatchUp, *, since: datetime | None) -> None:
        self._store = store
        self._catch_up = catch_up
        self._key = f"backfill:{new_id()}:"
        self._search = Search("backfill", since, self._key)
        self._first_id: int | None = None

    async def projects(self, wanted: str | None) -> Sequence[ProjectId]:
        """Return the linked projects, or the one that is wanted (by id or name). Raises `PermanentError`."""

        def look(conn: Connection) -> list[ProjectId]:
            if wanted is not None:
                return [stored_project(conn, wanted)]
            return list(dict.fromkeys(link.project for link in links_of(conn, None)))

        return await self._store.read(look)

    async def put(self, project: ProjectId) -> int:
        """Find what may have something unseen and have it looked at; return how much that is."""
        if self._first_id is None:
            newest = select(func.coalesce(func.max(jobs.c.id), 0))
            self._first_id = await self._store.read(lambda conn: conn.execute(newest).scalar_one())
        return await self._catch_up.look(project, self._search)

    async def progress(self) -> Progress:
        """Return how far it is now."""
        return await self._store.read(self._progress)

    def _progress(self, conn: Connection) -> Progress:
        mine = jobs.c.id > (self._first_id or 0), jobs.c.unique_key.startswith(self._key, autoescape=True)
        rows = conn.execute(select(jobs.c.state, func.count()).where(*mine).group_by(jobs.c.state))
        states = {row[0]: row[1] for row in rows}
        return Progress(
            total=sum(states.values()),
            done=states.get(JobState.COMPLETED, 0),
            unread=states.get(JobState.DISCARDED, 0) + states.get(JobState.CANCELLED, 0),
            workers=living_workers(conn, self._store.now(conn)),
        )
