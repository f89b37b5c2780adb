"""Read-only questions for the screens: how are the projects, how is the bridge."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection, func, select

from bridge.content import LinkRow, ProjectRow, StatusAnswer, StatusFact
from bridge.deliveries import WAITING, State
from bridge.ids import ProjectId, TeamId
from bridge.intents import IntentState
from bridge.links import links_of, project_name
from bridge.model import Link, Project
from bridge.queue.jobs import JobState
from bridge.store import pauses
from bridge.store.engine import Store
from bridge.store.tables import alerts, deliveries, intents, jobs, projects, webhooks, workers

ALIVE = timedelta(seconds=60)


class Queries:
    """Answers from the database alone."""

    def __init__(self, store: Store, *, dashboard_url: str) -> None:
        self._store = store
        self._dashboard_url = dashboard_url.rstrip("/")

    async def project_rows(self, known: Sequence[Project], team: TeamId) -> tuple[ProjectRow, ...]:
        """Return the projects with their links in `team` and their health."""
        return await self._store.read(lambda conn: tuple(self._row(conn, p, team) for p in known))

    def _row(self, conn: Connection, project: Project, team: TeamId) -> ProjectRow:
        links = [link for link in links_of(conn, project.id) if link.team == team]
        problems = _problems(conn, project.id, links)
        return ProjectRow(
            project_id=project.id,
            name=project.name,
            links=tuple(
                LinkRow(channel_id=link.channel, kind=link.kind, problem=link.problem) for link in links
            ),
            health="; ".join(problems) if problems else ("fine" if links else "not linked"),
            is_healthy=not problems,
            dashboard_url=f"{self._dashboard_url}/projects/{project.id}",
        )

    async def status(self, team: TeamId) -> StatusAnswer:
        """Return what `/jollor status` says."""
        return await self._store.read(lambda conn: self._status(conn, team))

    def _status(self, conn: Connection, team: TeamId) -> StatusAnswer:
        now = self._store.now(conn)
        links = [link for link in links_of(conn, None) if link.team == team]
        facts = [_workers(conn, now), _links(links)]
        for project in dict.fromkeys(link.project for link in links):
            own = [link for link in links if link.project == project]
            problems = _problems(conn, project, own)
            facts.append(
                StatusFact(
                    label=project_name(conn, project),
                    value="; ".join(problems) or _last_event(conn, project),
                    is_fine=not problems,
                )
            )
        facts += [_waiting(conn), _doubts(conn), _dead(conn), *_pauses(conn)]
        return StatusAnswer(facts=tuple(facts))


def _workers(conn: Connection, now: datetime) -> StatusFact:
    alive = conn.execute(
        select(func.count()).select_from(workers).where(workers.c.seen_at > now - ALIVE)
    ).scalar_one()
    return StatusFact(label="Workers", value=f"{alive} running", is_fine=alive > 0)


def _links(links: Sequence[Link]) -> StatusFact:
    projects = len({link.project for link in links})
    return StatusFact(
        label="Links", value=f"{len(links)} for {projects} project{'' if projects == 1 else 's'}"
    )


def _waiting(conn: Connection) -> StatusFact:
    to_slack = conn.execute(
        select(func.count()).select_from(deliveries).where(deliveries.c.state.in_((*WAITING, State.SENDING)))
    ).scalar_one()
    to_jollor = conn.execute(
        select(func.count())
        .select_from(intents)
        .where(intents.c.state.in_((IntentState.PENDING, IntentState.SENDING)))
    ).scalar_one()
    return StatusFact(label="On the way", value=f"{to_slack} to Slack, {to_jollor} to Jollor")


def _doubts(conn: Connection) -> StatusFact:
    count = conn.execute(
        select(func.count()).select_from(intents).where(intents.c.state == IntentState.UNKNOWN)
    ).scalar_one()
    return StatusFact(label="Replies in doubt", value=str(count) if count else "none", is_fine=not count)


def _dead(conn: Connection) -> StatusFact:
    count = conn.execute(
        select(func.count()).select_from(jobs).where(jobs.c.state == JobState.DISCARDED)
    ).scalar_one()
    refused = conn.execute(
        select(func.count()).select_from(deliveries).where(deliveries.c.state == State.REFUSED)
    ).scalar_one()
    if not count and not refused:
        return StatusFact(label="Given up", value="nothing")
    value = f"{count} jobs, {refused} messages to Slack; see `jollor-slack jobs list`"
    return StatusFact(label="Given up", value=value, is_fine=False)


def _pauses(conn: Connection) -> list[StatusFact]:
    return [
        StatusFact(
            label=f"Paused since {pause.since:%Y-%m-%d %H:%M} UTC: {_target(conn, pause.target)}",
            value=f"{pause.reason} Nothing is lost; it goes on by itself.",
            is_fine=False,
        )
        for pause in pauses.current(conn)
    ]


def _target(conn: Connection, target: str) -> str:
    kind, _, rest = target.partition(":")
    match kind:
        case "project":
            return f"Jollor for {project_name(conn, ProjectId(rest))}"
        case "channel":
            return f"<#{rest.partition(':')[2]}>"
        case _:
            return "Slack"


def _last_event(conn: Connection, project: ProjectId) -> str:
    at = conn.execute(
        select(func.max(webhooks.c.last_event_at)).where(webhooks.c.project_id == project)
    ).scalar()
    return "fine" if at is None else f"fine, last event {at:%Y-%m-%d %H:%M} UTC"


def _problems(conn: Connection, project: ProjectId, links: Sequence[Link]) -> list[str]:
    """Return what is wrong with a linked project, as short sentences."""
    if not links:
        return []
    found = [link.problem for link in links if link.problem]
    webhook = conn.execute(select(webhooks).where(webhooks.c.project_id == project)).mappings().first()
    if webhook is None:
        found.append("no webhook: nothing comes in")
    elif webhook["is_foreign"]:
        found.append("its webhook points elsewhere")
    elif webhook["status"] not in (None, "active"):
        found.append(f"its webhook is {webhook['status']}")
    token = conn.execute(select(projects.c.problem).where(projects.c.id == project)).scalar()
    if token:
        found.append(token)
    if conn.execute(
        select(alerts.c.id).where(alerts.c.project_id == project, alerts.c.cleared_at.is_(None))
    ).first():
        found.append("a social profile has to be reconnected")
    return found
