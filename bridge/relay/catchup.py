"""Catching up: what webhooks have missed is found by comparing Jollor's lists with what is stored.

A sweep asks for the conversations that moved past their own stored mark, and for posts that nobody has seen.
It puts the same jobs as webhooks do, so that there is one road into Slack. Own posts, dialogues and expired
profiles have no list in Jollor: what happened to them meanwhile cannot be caught up.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection, func, insert, select

from bridge.events import ConversationChanged, PostChanged, ReadBackAll, Sweep, SweepAll, event_adapter
from bridge.ids import PostId, ProjectId
from bridge.links import links_of
from bridge.mapping import conversation, remember_inbox, seen_posts
from bridge.model import Conversation, LinkKind
from bridge.ports import Social
from bridge.queue.jobs import Job, NewJob, put_in
from bridge.relay.readback import after_gap
from bridge.routing import choose
from bridge.store.engine import Store
from bridge.store.tables import jobs, outages, projects, workers

log = logging.getLogger(__name__)

GAP = timedelta(seconds=60)
"""Without any worker for longer than this, the bridge counts as having been away."""


class CatchUp:
    """Finds what was missed."""

    def __init__(self, store: Store, social: Social) -> None:
        self._store = store
        self._social = social

    async def sweep_all(self, event: SweepAll, job: Job) -> None:
        """Put a sweep for every linked project."""

        def put(conn: Connection) -> None:
            linked = dict.fromkeys(link.project for link in links_of(conn, None))
            put_in(conn, [NewJob(Sweep(project_id=project)) for project in linked], self._store.now(conn))

        await self._store.write(put)

    async def sweep(self, event: Sweep, job: Job) -> None:
        """Put a job for every conversation and post of a project that has something unseen."""
        project = ProjectId(event.project_id)
        links = await self._store.read(lambda conn: links_of(conn, project))
        if choose(links, LinkKind.MESSAGE):
            listed = await self._social.conversations(project)
            found = await self._store.write(lambda conn: self._conversations(conn, project, listed))
            log.info("sweep.conversations", extra={"project": project, "found": found})
        if choose(links, LinkKind.POST):
            posts = await self._social.incoming_posts(project)
            found = await self._store.write(lambda conn: self._posts(conn, project, posts))
            log.info("sweep.posts", extra={"project": project, "found": found})

    def _conversations(self, conn: Connection, project: ProjectId, listed: Sequence[Conversation]) -> int:
        now = self._store.now(conn)
        since = min(link.linked_at for link in choose(links_of(conn, project), LinkKind.MESSAGE))
        moved = [one for one in listed if self._has_moved(conn, project, one, since)]
        put_in(
            conn,
            [
                NewJob(
                    ConversationChanged(project_id=project, conversation_id=one.id, cause="sweep", since=now)
                )
                for one in moved
            ],
            now,
        )
        return len(moved)

    def _has_moved(self, conn: Connection, project: ProjectId, one: Conversation, since: datetime) -> bool:
        """Something came after the newest message that was seen, or after the link if none was."""
        if one.last_message_at is None:
            return conversation(conn, project, one.id) is None
        known = conversation(conn, project, one.id)
        mark = known.mark if known is not None else None
        return one.last_message_at > mark if mark is not None else one.last_message_at >= since

    def _posts(self, conn: Connection, project: ProjectId, listed: Sequence[PostId]) -> int:
        """The first sweep after linking takes what is in the inbox as known: a post tells no time."""
        now = self._store.now(conn)
        seen = seen_posts(conn, project, listed)
        unseen = [post for post in listed if post not in seen]
        known_at = select(projects.c.posts_known_at).where(projects.c.id == project)
        if conn.execute(known_at).scalar() is None:
            # What a webhook has announced is shown, although this is the first look.
            announced = _announced(conn, project, unseen)
            remember_inbox(conn, now, project, [post for post in unseen if post not in announced])
            return 0
        new = [
            NewJob(
                PostChanged(project_id=project, post_id=post, what="received"),
                unique_key=f"sweep:{project}:{post}",
            )
            for post in unseen
        ]
        put_in(conn, new, now)
        return len(new)


async def came_back(store: Store, *, scale: float) -> None:
    """Record how long no worker was there, if that was long, and look through both ends. At each start."""

    def record(conn: Connection) -> None:
        now = store.now(conn)
        last = conn.execute(select(func.max(workers.c.seen_at))).scalar()
        if last is not None and now - last > GAP / scale:
            conn.execute(insert(outages).values(began_at=last, ended_at=now))
        look = NewJob(ReadBackAll()) if last is None else after_gap(last, scale=scale)
        put_in(conn, [NewJob(SweepAll()), look], now)

    await store.write(record)


def outage_at(conn: Connection, moment: datetime) -> tuple[datetime, datetime] | None:
    """Return from when to when the bridge was away at `moment`, None if it was there."""
    row = conn.execute(
        select(outages.c.began_at, outages.c.ended_at)
        .where(outages.c.began_at <= moment, outages.c.ended_at >= moment)
        .limit(1)
    ).first()
    return None if row is None else (row[0], row[1])


def _announced(conn: Connection, project: ProjectId, ids: Sequence[PostId]) -> set[PostId]:
    """Return those of these posts that a webhook has brought a job for which is not done yet."""
    waiting = conn.execute(
        select(jobs.c.args).where(
            jobs.c.kind == "post_changed",
            jobs.c.state.in_(("available", "running")),
            jobs.c.target == f"project:{project}",
        )
    ).scalars()
    events = [event_adapter.validate_json(args) for args in waiting]
    return {PostId(e.post_id) for e in events if isinstance(e, PostChanged)} & set(ids)
