"""What keeps the bridge going: tokens renewed in time, channels that close or open, old rows removed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta

from sqlalchemy import Connection, delete, update

from bridge.channels import channel_closed, channel_open
from bridge.deliveries import channel_target, forget_old
from bridge.events import AppRemoved, ChannelState, CleanUp, RenewTokens
from bridge.ids import ChannelId, ProjectId, TeamId
from bridge.links import links_of
from bridge.queue.jobs import Job, JobState
from bridge.store import pauses
from bridge.store.attempts import KEPT
from bridge.store.engine import Store
from bridge.store.tables import attempts, effects, jobs, kept_bodies, projects, teams
from bridge.webhooks import lost
from bridge.webhooks.proving import forget_tests

log = logging.getLogger(__name__)

KEEP = timedelta(days=7)
"""Longer than the 48 hours for which a repeated webhook must be recognised (NOTES 7)."""

RENEWAL_TAKES_S = 50.0
"""Of one round; what it did not get to is renewed in the next, or when it is needed."""

CLOSED = {
    "archived": "The channel is archived: unarchive it, or link the project to another one.",
    "deleted": "The channel was deleted: link the project to another one.",
    "bot_left": "The bot was removed from the channel: invite it again.",
}

KeepFresh = Callable[[Sequence[ProjectId]], Awaitable[Mapping[ProjectId, str]]]
"""Renews what is due of these projects' tokens; returns a sentence for each that failed."""


class Upkeep:
    """Handles scheduled work and what happens to channels as a whole."""

    def __init__(self, store: Store, keep_fresh: KeepFresh) -> None:
        self._store = store
        self._keep_fresh = keep_fresh

    async def renew_tokens(self, event: RenewTokens, job: Job) -> None:
        """Renew the access tokens of linked projects that are past 80 % of their life."""
        linked = await self._store.read(
            lambda conn: list(dict.fromkeys(link.project for link in links_of(conn, None)))
        )
        try:
            async with asyncio.timeout(RENEWAL_TAKES_S):
                failed = await self._keep_fresh(linked)
        except TimeoutError:
            log.warning("tokens.round_cut", extra={"projects": len(linked)})
            return

        def note(conn: Connection) -> None:
            for project in linked:
                conn.execute(
                    update(projects).where(projects.c.id == project).values(problem=failed.get(project))
                )

        await self._store.write(note)

    async def channel_state(self, event: ChannelState, job: Job) -> None:
        """Mark the links of a channel that closed; go on at once when it is open again."""
        team, channel = TeamId(event.team_id), ChannelId(event.channel_id)

        def note(conn: Connection) -> None:
            if event.what == "renamed":
                return
            if event.what in CLOSED:
                channel_closed(conn, self._store.now(conn), team, channel, CLOSED[event.what], is_sure=True)
            else:
                channel_open(conn, team, channel)
                pauses.resume(conn, channel_target(team, channel))

        await self._store.write(note)

    async def app_removed(self, event: AppRemoved, job: Job) -> None:
        """Remember that the workspace does not let us in any more."""
        await self._store.write(
            lambda conn: (
                conn.execute(
                    update(teams)
                    .where(teams.c.team == event.team_id)
                    .values(problem="The app was removed from the workspace; install it again.")
                )
                and None
            )
        )

    async def clean_up(self, event: CleanUp, job: Job) -> None:
        """Delete what nobody asks for any more: finished jobs, sent marks and notices, their history."""

        def forget(conn: Connection) -> None:
            now = self._store.now(conn)
            before = now - KEEP
            done = (JobState.COMPLETED, JobState.CANCELLED)
            conn.execute(delete(jobs).where(jobs.c.state.in_(done), jobs.c.finished_at < before))
            forget_old(conn, before)
            conn.execute(delete(effects).where(effects.c.at < before - KEEP))
            conn.execute(delete(attempts).where(attempts.c.at < now - KEPT))
            lost.forget_old(conn, before)
            forget_tests(conn, before)
            conn.execute(delete(kept_bodies).where(kept_bodies.c.received_at < before - KEEP))

        await self._store.write(forget)
