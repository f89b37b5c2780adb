"""Which project goes to which channel, and the webhook that feeds it.

Linking looks before it acts: an existing webhook of somebody else is only taken over when told so, and the
secret is stored before Jollor verifies, because another process may be the one that answers.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from prometheus_client import Counter
from sqlalchemy import Connection, delete, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import RowMapping

from bridge.errors import BridgeError, PermanentError
from bridge.events import Event
from bridge.ids import ChannelId, LinkId, ProjectId, TeamId, UserId, new_id
from bridge.mapping import insert_new
from bridge.model import Link, LinkKind, Project, Webhook
from bridge.ports import Chat, Social, WebhookSecret
from bridge.queue.jobs import Jobs, NewJob
from bridge.store.engine import Store
from bridge.store.tables import links, projects, team_admins, teams, webhooks

EVENT_TYPES = (
    "message_received",
    "message_created",
    "message_sent",
    "post_received",
    "post_created",
    "post_published",
    "token_expired",
    "dialogue_started",
    "dialogue_ended",
    "dialogue_human_agent_needed",
)
OPTIONAL_TYPES = frozenset({"dialogue_human_agent_needed"})
"""Known from Jollor's example only: a refusal to subscribe is no failure. Source: NOTES 6."""

TEST_TYPE = "post_received"
"""The only `object_type` that Jollor shows. Source: openapi.yaml, ObjectType."""

SECRET_CACHE_S = 5.0

FOREIGN = Counter("bridge_webhook_foreign_items_total", "Webhook items that named another project")
KEPT = Counter("bridge_webhook_kept_total", "Webhook items that could not be read and were kept aside")
RECEIVED = Counter("bridge_webhook_events_total", "Webhook events taken in", ["kind"])


class Cipher(Protocol):
    """Authenticated encryption for what is stored."""

    def encrypt(self, text: str) -> str:
        """Return `text` encrypted."""
        ...

    def decrypt(self, stored: str) -> str:
        """Return what `encrypt` was given."""
        ...


@dataclass(frozen=True, slots=True)
class LinkOutcome:
    """What linking did: `sentences` for people, `needs_attention` if something is left to do."""

    link: Link
    project: Project
    callback_url: str | None
    sentences: tuple[str, ...]
    needs_attention: bool = False


@dataclass(frozen=True, slots=True)
class TeamFacts:
    """What Slack said of a workspace and our bot in it."""

    team: TeamId
    name: str
    bot_id: str
    bot_user_id: str
    app_id: str | None = None


@dataclass(slots=True)
class _Steps:
    said: list[str] = field(default_factory=list)
    is_incomplete: bool = False

    def problem(self, sentence: str) -> None:
        self.said.append(sentence)
        self.is_incomplete = True


class Connections:
    """Links, projects, webhooks and the people who may change them."""

    def __init__(
        self,
        store: Store,
        jobs: Jobs,
        cipher: Cipher,
        social: Social,
        chat: Chat,
        *,
        public_url: str | None,
    ) -> None:
        self._store = store
        self._jobs = jobs
        self._cipher = cipher
        self._social = social
        self._chat = chat
        self._public_url = public_url
        self._secrets: dict[ProjectId, tuple[float, WebhookSecret]] = {}

    def callback_url(self, project: ProjectId) -> str | None:
        """Return the address for Jollor to call, without its secret; None without BRIDGE_PUBLIC_URL."""
        if self._public_url is None:
            return None
        return f"{self._public_url.rstrip('/')}/webhooks/jollor/{project}"

    # --- linking -------------------------------------------------------------------------------------

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
        steps = _Steps()
        if place.is_archived:
            raise PermanentError(
                "is_archived", user_message=f"#{place.name} is archived; unarchive it first."
            )
        if not place.is_member:
            await self._chat.join(team, channel)
        link = await self._store.write(lambda conn: self._add(conn, team, project, channel, kind, by))
        steps.said.append(f"“{project.name}” now goes to #{place.name} ({kind}).")
        callback = self.callback_url(project.id)
        if secret is not None:
            await self._store_webhook(project.id, Webhook(secret, callback, None, None), callback)
            steps.said.append("The webhook's secret is stored.")
        elif callback is None:
            steps.problem(
                "No webhook was set up: BRIDGE_PUBLIC_URL is not set, so Jollor cannot reach this bridge."
            )
        else:
            await self._set_up_webhook(project.id, callback, steps, replace=replace)
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
        return _link(conn.execute(select(links).where(*key)).mappings().one())

    async def _set_up_webhook(
        self, project: ProjectId, callback: str, steps: _Steps, *, replace: bool
    ) -> None:
        try:
            webhook = await self._social.webhook(project)
            if webhook is None:
                webhook = await self._social.enable_webhook(project)
            elif not replace and not await self._is_ours(project, webhook, callback):
                where = webhook.callback_url or "an address that Jollor does not tell"
                await self._mark_foreign(project)
                steps.problem(
                    f"The project's webhook points to {where}. It was left as it is; "
                    "link again with --replace to take it over."
                )
                return
            # Before Jollor verifies: the process that answers reads the secret from the database.
            await self._store_webhook(project, webhook, callback)
            if webhook.callback_url != callback or not webhook.is_active:
                await self._social.point_webhook(project, callback)
            await self._subscribe(project, webhook, steps)
            await self._store.write(
                lambda conn: (
                    conn.execute(
                        update(webhooks)
                        .where(webhooks.c.project_id == project)
                        .values(tested_at=self._store.now(conn), status="active")
                    )
                    and None
                )
            )
            await self._social.send_test(project, TEST_TYPE)
        except BridgeError as error:
            steps.problem(f"The webhook is not ready yet: {error.user_message} Link again to retry.")
        else:
            steps.said.append("Its webhook is set up and was tested.")

    async def _subscribe(self, project: ProjectId, webhook: Webhook, steps: _Steps) -> None:
        for event_type in EVENT_TYPES:
            if webhook.subscriptions is not None and event_type in webhook.subscriptions:
                continue
            try:
                await self._social.subscribe(project, event_type)
            except PermanentError:
                if event_type not in OPTIONAL_TYPES:
                    raise

    async def _is_ours(self, project: ProjectId, webhook: Webhook, callback: str) -> bool:
        if webhook.callback_url is not None:
            return webhook.callback_url == callback
        stored = await self.secret(project, fresh=True)
        return stored is not None and stored.secret == webhook.secret

    async def _store_webhook(self, project: ProjectId, webhook: Webhook, callback: str | None) -> None:
        sealed = self._cipher.encrypt(webhook.secret)

        def store(conn: Connection) -> None:
            now = self._store.now(conn)
            values = {"secret": sealed, "callback_url": callback, "is_foreign": False}
            if not insert_new(conn, webhooks, project_id=project, created_at=now, **values):
                conn.execute(update(webhooks).where(webhooks.c.project_id == project).values(**values))

        await self._store.write(store)
        self._secrets.pop(project, None)

    async def _mark_foreign(self, project: ProjectId) -> None:
        await self._store.write(
            lambda conn: (
                conn.execute(update(webhooks).where(webhooks.c.project_id == project).values(is_foreign=True))
                and None
            )
        )

    async def unlink(self, team: TeamId, wanted: str, channel: ChannelId | None = None) -> list[Link]:
        """End the routes of a project (by id or stored name) to a channel, or to all; return them.

        Threads are kept: linking again finds them. The webhook stays, its events are dropped and counted.
        """

        def end(conn: Connection) -> list[Link]:
            project = _stored_project(conn, wanted)
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
        self._secrets.clear()
        return ended

    async def links(self) -> list[Link]:
        """Return all links that are in force, oldest first."""
        return await self._store.read(lambda conn: links_of(conn, None))

    # --- the webhook receiver's side -----------------------------------------------------------------

    async def secret(self, project: ProjectId, *, fresh: bool = False) -> WebhookSecret | None:
        """See `bridge.ports.WebhookBook`."""
        cached = self._secrets.get(project)
        if cached is not None and not fresh and time.monotonic() - cached[0] < SECRET_CACHE_S:
            return cached[1]

        def look(conn: Connection) -> tuple[str, bool] | None:
            sealed = conn.execute(select(webhooks.c.secret).where(webhooks.c.project_id == project)).scalar()
            return None if sealed is None else (sealed, bool(links_of(conn, project)))

        found = await self._store.read(look)
        if found is None:
            return None
        known = WebhookSecret(self._cipher.decrypt(found[0]), is_linked=found[1])
        self._secrets[project] = (time.monotonic(), known)
        return known

    async def accept(
        self, project: ProjectId, events: Sequence[Event], leftovers: Sequence[str], *, foreign: int
    ) -> None:
        """See `bridge.ports.WebhookBook`."""
        new = [NewJob(event, unique_key=_webhook_key(event)) for event in events]
        await self._jobs.receive(new, [(project, body) for body in leftovers])
        for event in events:
            RECEIVED.labels(event.kind).inc()
        KEPT.inc(len(leftovers))
        FOREIGN.inc(foreign)

    # --- people --------------------------------------------------------------------------------------

    async def may_link(self, team: TeamId, user: UserId) -> bool:
        """Workspace admins, and the people on the list."""
        listed = await self._store.read(
            lambda conn: conn.execute(
                select(team_admins.c.user_id).where(team_admins.c.team == team, team_admins.c.user_id == user)
            ).first()
        )
        if listed is not None:
            return True
        person = await self._chat.person(team, user)
        return person.is_admin and not person.is_outsider

    async def admins(self, team: TeamId) -> list[UserId]:
        """Return the people on the list."""
        rows = await self._store.read(
            lambda conn: list(
                conn.execute(select(team_admins.c.user_id).where(team_admins.c.team == team)).scalars()
            )
        )
        return [UserId(row) for row in rows]

    async def add_admin(self, team: TeamId, user: UserId, *, by: UserId) -> None:
        """Put a person on the list."""
        await self._store.write(
            lambda conn: insert_new(
                conn, team_admins, team=team, user_id=user, added_by=by, added_at=self._store.now(conn)
            )
        )

    async def remove_admin(self, team: TeamId, user: UserId) -> bool:
        """Take a person off the list; False if they were not on it."""
        return await self._store.write(
            lambda conn: bool(
                conn.execute(
                    delete(team_admins).where(team_admins.c.team == team, team_admins.c.user_id == user)
                ).rowcount
            )
        )

    async def remember_team(self, facts: TeamFacts) -> None:
        """Store what Slack said of a workspace, so that a start without Slack knows it."""

        def store(conn: Connection) -> None:
            values = {
                "name": facts.name,
                "bot_id": facts.bot_id,
                "bot_user_id": facts.bot_user_id,
                "app_id": facts.app_id,
                "problem": None,
                "updated_at": self._store.now(conn),
            }
            if not insert_new(conn, teams, team=facts.team, **values):
                conn.execute(update(teams).where(teams.c.team == facts.team).values(**values))

        await self._store.write(store)

    async def known_teams(self) -> list[TeamFacts]:
        """Return the workspaces that were seen so far."""
        rows = await self._store.read(lambda conn: conn.execute(select(teams)).mappings().all())
        return [
            TeamFacts(
                TeamId(r["team"]), r["name"] or "", r["bot_id"] or "", r["bot_user_id"] or "", r["app_id"]
            )
            for r in rows
        ]


def _webhook_key(event: Event) -> str | None:
    """The key under which a repeated delivery of the same event is dropped; None where there is no id.

    Source: NOTES 7.
    """
    match event.kind:
        case "conversation_changed" if event.message_id is not None:
            return f"jollor:{event.project_id}:{event.cause}:{event.conversation_id}:{event.message_id}"
        case "message_hinted":
            return f"jollor:{event.project_id}:{event.cause}:{event.message_id}"
        case "post_changed":
            return f"jollor:{event.project_id}:post_{event.what}:{event.post_id}"
        case "dialogue_changed":
            return f"jollor:{event.project_id}:{event.what}:{event.dialogue_id}"
    return None


def _link(row: RowMapping) -> Link:
    return Link(
        id=LinkId(row["id"]),
        team=TeamId(row["team"]),
        project=ProjectId(row["project_id"]),
        channel=ChannelId(row["channel_id"]),
        kind=LinkKind(row["kind"]),
        linked_at=row["linked_at"],
        undo_window_s=row["undo_window_s"],
        problem=row["problem"],
    )


def links_of(conn: Connection, project: ProjectId | None) -> list[Link]:
    """Return the links in force of a project, or of all (None), oldest first."""
    query = select(links).where(links.c.unlinked_at.is_(None)).order_by(links.c.linked_at, links.c.id)
    if project is not None:
        query = query.where(links.c.project_id == project)
    return [_link(row) for row in conn.execute(query).mappings()]


def mark_link_problem(conn: Connection, team: TeamId, channel: ChannelId, problem: str | None) -> None:
    """Note (or clear) a sentence about all links to a channel."""
    conn.execute(
        update(links).where(links.c.team == team, links.c.channel_id == channel).values(problem=problem)
    )


def remember_projects(conn: Connection, now: datetime, known: Sequence[Project]) -> None:
    """Keep the names of projects for later, when Jollor may be away."""
    dialect: Any = sqlite if conn.dialect.name == "sqlite" else postgresql
    for project in known:
        statement = dialect.insert(projects).values(id=project.id, name=project.name, updated_at=now)
        conn.execute(
            statement.on_conflict_do_update(
                index_elements=[projects.c.id], set_={"name": project.name, "updated_at": now}
            )
        )


def project_name(conn: Connection, project: ProjectId) -> str:
    """Return the stored name of a project, else its id."""
    name = conn.execute(select(projects.c.name).where(projects.c.id == project)).scalar()
    return name or project


def _stored_project(conn: Connection, wanted: str) -> ProjectId:
    rows = conn.execute(select(projects.c.id, projects.c.name)).all()
    folded = wanted.strip().casefold()
    found = [id_ for id_, _ in rows if id_ == wanted] or [
        id_ for id_, name in rows if name.casefold() == folded
    ]
    if len(found) != 1:
        raise PermanentError("no_such_project", user_message=f"There is no linked project “{wanted}”.")
    return ProjectId(found[0])
