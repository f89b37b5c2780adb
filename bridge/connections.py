"""Which project goes to which channel."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, insert, select, update

from bridge.channels import replace_closed
from bridge.content import inert
from bridge.deliveries import channel_target
from bridge.errors import BridgeError, PermanentError
from bridge.events import Sweep
from bridge.ids import ChannelId, PostId, ProjectId, TeamId, UserId, new_id
from bridge.links import (
    links_of,
    project_name,
    remember_projects,
    set_undo_window,
    stored_project,
    to_link,
)
from bridge.mapping import remember_inbox
from bridge.model import Link, LinkKind, Project, UndoWindow
from bridge.ports import Chat, Social
from bridge.queue.jobs import NewJob, put_in
from bridge.routing import choose
from bridge.store import pauses
from bridge.store.engine import Store
from bridge.store.tables import links, projects
from bridge.webhooks import Registration, Steps, Webhooks

log = logging.getLogger(__name__)

EXAMINED_AT_ONCE = 8
NAMED = 10
"""How many projects a sentence names."""


@dataclass(frozen=True, slots=True)
class LinkOutcome:
    """What linking did: `sentences` for people, `needs_attention` if something is left to do."""

    link: Link
    project: Project
    callback_url: str | None
    sentences: tuple[str, ...]
    needs_attention: bool = False


class Connections:
    """Links and unlinks projects, in steps that can be repeated."""

    def __init__(
        self,
        store: Store,
        social: Social,
        chat: Chat,
        hooks: Webhooks,
    ) -> None:
        self._store = store
        self._social = social
        self._chat = chat
        self._hooks = hooks
        self._registration = Registration(social, hooks)

    async def link(
        self,
        team: TeamId,
        wanted: str,
        channel: ChannelId,
        kind: LinkKind = LinkKind.ALL,
        *,
        by: UserId | None = None,
        replace: bool = False,
        secret: str | None = None,
        undo: UndoWindow | None = None,
    ) -> LinkOutcome:
        """Route a project (by id or name) to a channel, and see to its webhook.

        `undo` None leaves the undo window as it is.
        `secret` is that of a webhook which was made in the dashboard. May be done again at any time: it goes
        on where it was cut off. Raises `bridge.errors` if there is no such project or channel.
        """
        project = await self.find_project(wanted)
        place = await self._chat.channel(team, channel)
        if place.is_archived:
            raise PermanentError(
                "is_archived", user_message=f"#{place.name} is archived; unarchive it first."
            )
        if not place.is_member:
            await self._chat.join(team, channel)
        steps = Steps()
        inbox = await self._inbox(project.id) if kind.takes(LinkKind.POST) else None
        link, ended = await self._store.write(
            lambda conn: self._add(conn, team, project, channel, kind, by, inbox)
        )
        steps.said.append(f"“{inert(project.name)}” now goes to #{place.name} ({kind}).")
        steps.said += [
            f"Its link to <#{one.channel}> has ended: that channel is closed. What waited is shown here."
            for one in ended
        ]
        if undo is not None:
            link = await self._store.write(lambda conn: set_undo_window(conn, link, undo))
            steps.said.append(undo.sentence)
        await self._registration.set_up(project.id, steps, replace=replace, secret=secret)
        callback = self._hooks.callback_url(project.id)
        return LinkOutcome(link, project, callback, tuple(steps.said), steps.is_incomplete)

    async def projects(self) -> Sequence[Project]:
        """Return the projects that the account sees, and remember their names."""
        known = await self._social.projects()
        await self._store.write(lambda conn: remember_projects(conn, self._store.now(conn), known))
        return known

    async def find_project(self, wanted: str) -> Project:
        """Return the project of that id or name (upper and lower case alike, or how the name begins)."""
        known = await self.projects()
        found = [p for p in known if p.id == wanted] or [
            p for p in known if p.name.casefold() == wanted.strip().casefold()
        ]
        if not found:
            found = [p for p in known if p.name.casefold().startswith(wanted.strip().casefold())]
        if len(found) == 1:
            return found[0]
        names = _named(found or known)
        if found:
            raise PermanentError("ambiguous", user_message=f"“{wanted}” fits several projects: {names}.")
        there = f" There are: {names}." if names else " The account sees no project at all."
        raise PermanentError("no_such_project", user_message=f"There is no project “{wanted}”.{there}")

    async def examine(self) -> None:
        """Have the stored state of linked projects' webhooks say what Jollor says; if it does not, let be."""
        free = asyncio.Semaphore(EXAMINED_AT_ONCE)

        async def examine(project: ProjectId) -> None:
            try:
                async with free:
                    await self._hooks.examine(project)
            except BridgeError as error:
                log.info("webhook.not_examined", extra={"project": project, "reason": error.code})

        async with asyncio.TaskGroup() as tasks:
            for project in dict.fromkeys(link.project for link in await self.links()):
                tasks.create_task(examine(project), name=f"examine-{project}")

    async def _inbox(self, project: ProjectId) -> Sequence[PostId] | None:
        """Return the posts that are there already, None if Jollor does not say: the first sweep asks."""
        try:
            return await self._social.incoming_posts(project)
        except BridgeError as error:
            log.info("link.inbox_not_read", extra={"project": project, "reason": error.code})
            return None

    def _add(
        self,
        conn: Connection,
        team: TeamId,
        project: Project,
        channel: ChannelId,
        kind: LinkKind,
        by: UserId | None,
        inbox: Sequence[PostId] | None,
    ) -> tuple[Link, list[Link]]:
        """Return the link, and those to closed channels that it replaces."""
        now = self._store.now(conn)
        had_posts = bool(choose(links_of(conn, project.id), LinkKind.POST))
        key = (
            links.c.team == team,
            links.c.project_id == project.id,
            links.c.channel_id == channel,
            links.c.kind == kind,
        )
        row = conn.execute(select(links).where(*key)).mappings().first()
        if row is None:
            values = {"team": team, "project_id": project.id, "channel_id": channel, "kind": kind}
            conn.execute(insert(links).values(id=new_id(), linked_at=now, linked_by=by, **values))
        elif row["unlinked_at"] is not None:
            conn.execute(
                update(links).where(*key).values(linked_at=now, linked_by=by, unlinked_at=None, problem=None)
            )
        else:
            conn.execute(update(links).where(*key).values(problem=None))  # the channel was just looked at
        if not had_posts:
            # A post tells no time: what was in the inbox before is known by having been there.
            conn.execute(update(projects).where(projects.c.id == project.id).values(posts_known_at=None))
            if inbox is not None:
                remember_inbox(conn, now, project.id, inbox)
        put_in(conn, [NewJob(Sweep(project_id=project.id))], now)
        link = to_link(conn.execute(select(links).where(*key)).mappings().one())
        pauses.resume(conn, channel_target(team, channel))
        return link, replace_closed(conn, now, link)

    async def unlink(self, team: TeamId, wanted: str, channel: ChannelId | None = None) -> list[Link]:
        """End the routes of a project (by id or stored name) to a channel, or to all; return them.

        Threads are kept: linking again finds them. The webhook stays, its events are dropped and counted.
        """

        def end(conn: Connection) -> list[Link]:
            ended = [link for link in self._linked(conn, team, wanted) if channel in (None, link.channel)]
            conn.execute(
                update(links)
                .where(links.c.id.in_([link.id for link in ended]))
                .values(unlinked_at=self._store.now(conn))
            )
            return ended

        ended = await self._store.write(end)
        self._hooks.forget_secrets()
        return ended

    async def linked(self, team: TeamId, wanted: str) -> tuple[Project, list[Link]]:
        """Return a linked project (by id or stored name) and its links in `team`; asks nobody.

        Raises `PermanentError` if there is no such project, or several.
        """

        def look(conn: Connection) -> tuple[Project, list[Link]]:
            found = self._linked(conn, team, wanted)
            id_ = stored_project(conn, wanted)
            return Project(id_, project_name(conn, id_)), found

        return await self._store.read(look)

    def _linked(self, conn: Connection, team: TeamId, wanted: str) -> list[Link]:
        return [link for link in links_of(conn, stored_project(conn, wanted)) if link.team == team]

    async def links(self) -> list[Link]:
        """Return all links that are in force, oldest first."""
        return await self._store.read(lambda conn: links_of(conn, None))


def _named(projects: Sequence[Project]) -> str:
    """Return names with ids, as many as a sentence takes."""
    names = ", ".join(f"“{project.name}” ({project.id})" for project in projects[:NAMED])
    more = len(projects) - NAMED
    return f"{names} and {more} more" if more > 0 else names
