"""Which project goes to which channel."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, insert, select, update

from bridge.content import inert
from bridge.errors import PermanentError
from bridge.events import Sweep
from bridge.ids import ChannelId, TeamId, UserId, new_id
from bridge.links import links_of, remember_projects, stored_project, to_link
from bridge.model import Link, LinkKind, Project
from bridge.ports import Chat, Social
from bridge.queue.jobs import NewJob, put_in
from bridge.store.engine import Store
from bridge.store.tables import links
from bridge.webhooks import Steps, Webhooks


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
    ) -> LinkOutcome:
        """Route a project (by id or name) to a channel, and see to its webhook.

        `secret` is that of a webhook which was made in the dashboard. Raises `PermanentError` with a sentence
        if there is no such project or channel.
        """
        project = await self.find_project(wanted)
        place = await self._chat.channel(team, channel)
        steps = Steps()
        if place.is_archived:
            raise PermanentError(
                "is_archived", user_message=f"#{place.name} is archived; unarchive it first."
            )
        if not place.is_member:
            await self._chat.join(team, channel)
        link = await self._store.write(lambda conn: self._add(conn, team, project, channel, kind, by))
        steps.said.append(f"“{inert(project.name)}” now goes to #{place.name} ({kind}).")
        await self._hooks.set_up(project.id, steps, replace=replace, secret=secret)
        callback = self._hooks.callback_url(project.id)
        return LinkOutcome(link, project, callback, tuple(steps.said), steps.is_incomplete)

    async def find_project(self, wanted: str) -> Project:
        """Return the project of that id or name (upper and lower case alike)."""
        known = await self._social.projects()
        await self._store.write(lambda conn: remember_projects(conn, self._store.now(conn), known))
        found = [p for p in known if p.id == wanted] or [
            p for p in known if p.name.casefold() == wanted.strip().casefold()
        ]
        if not found:
            found = [p for p in known if p.name.casefold().startswith(wanted.strip().casefold())]
        if len(found) == 1:
            return found[0]
        names = ", ".join(f"“{p.name}” ({p.id})" for p in (found or known)[:10])
        if found:
            raise PermanentError("ambiguous", user_message=f"“{wanted}” fits several projects: {names}.")
        there = f" There are: {names}." if names else " The account sees no project at all."
        raise PermanentError("no_such_project", user_message=f"There is no project “{wanted}”.{there}")

    def _add(
        self,
        conn: Connection,
        team: TeamId,
        project: Project,
        channel: ChannelId,
        kind: LinkKind,
        by: UserId | None,
    ) -> Link:
        now = self._store.now(conn)
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
        # What is in the inbox already is taken as known; from then on a post that is not is a new one.
        put_in(conn, [NewJob(Sweep(project_id=project.id))], now)
        return to_link(conn.execute(select(links).where(*key)).mappings().one())

    async def unlink(self, team: TeamId, wanted: str, channel: ChannelId | None = None) -> list[Link]:
        """End the routes of a project (by id or stored name) to a channel, or to all; return them.

        Threads are kept: linking again finds them. The webhook stays, its events are dropped and counted.
        """

        def end(conn: Connection) -> list[Link]:
            project = stored_project(conn, wanted)
            ended = [
                link
                for link in links_of(conn, project)
                if link.team == team and channel in (None, link.channel)
            ]
            conn.execute(
                update(links)
                .where(links.c.id.in_([link.id for link in ended]))
                .values(unlinked_at=self._store.now(conn))
            )
            return ended

        ended = await self._store.write(end)
        self._hooks.forget_secrets()
        return ended

    async def links(self) -> list[Link]:
        """Return all links that are in force, oldest first."""
        return await self._store.read(lambda conn: links_of(conn, None))
