"""Read-only questions for the screens: how are the projects, how is the bridge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime, timedelta

from sqlalchemy import Connection, func, select

from bridge.content import LinkRow, ProjectRow, StatusAnswer, StatusFact, TraceAnswer, TraceHop
from bridge.deliveries import WAITING, State, channel_target, dead
from bridge.ids import ProjectId, TeamId
from bridge.intents import IntentState
from bridge.links import links_of, project_name
from bridge.model import Link, Project
from bridge.queue.jobs import JobState
from bridge.queue.presence import last_outage, living_workers
from bridge.store import pauses
from bridge.store.engine import Store
from bridge.store.tables import alerts, deliveries, intents, jobs, projects, webhooks
from bridge.trace import traced
from bridge.trace.words import because, capital, delivery_in_words, kind_in_words
from bridge.webhooks import WebhookState, lost

RECENTLY = timedelta(days=7)
LATEST = 3
"""Of the dead letters so many are told in a status."""

_WEBHOOK: dict[str, str] = {
    WebhookState.BEING_MADE: "its webhook is not set up to the end: link it again",
    WebhookState.UNFINISHED: "its webhook is not set up to the end: link it again",
    WebhookState.MISSING: "Jollor has no webhook for it any more: link it again",
    WebhookState.REPLACED: "its webhook's secret was changed in Jollor: link it again",
}

_ALERT = {
    "profile_expired": "a social profile has to be reconnected",
    "webhook_silent": "test deliveries of its webhook do not arrive here",
}
"""What alerts that stand tell, apart from what the webhook's state tells already."""


class Queries:
    """Answers from the database alone."""

    def __init__(self, store: Store, *, dashboard_url: str, scale: float = 1.0) -> None:
        self._store = store
        self._dashboard_url = dashboard_url.rstrip("/")
        self._scale = scale

    async def project_rows(self, known: Sequence[Project], team: TeamId) -> tuple[ProjectRow, ...]:
        """Return the projects with their links in `team` and their health.

        Those that are linked and not among the `known` come last: the account does not see them any more.
        """
        return await self._store.read(lambda conn: self._rows(conn, known, team))

    def _rows(self, conn: Connection, known: Sequence[Project], team: TeamId) -> tuple[ProjectRow, ...]:
        seen = {project.id for project in known}
        linked = dict.fromkeys(link.project for link in links_of(conn, None) if link.team == team)
        lost = [Project(id_, project_name(conn, id_)) for id_ in linked if id_ not in seen]
        rows = [self._row(conn, project, team) for project in known]
        return (*rows, *(self._row(conn, project, team, is_seen=False) for project in lost))

    def _row(self, conn: Connection, project: Project, team: TeamId, *, is_seen: bool = True) -> ProjectRow:
        links = [link for link in links_of(conn, project.id) if link.team == team]
        problems = [] if is_seen else ["the Jollor account does not see it any more"]
        problems += _problems(conn, project.id, links)
        problems += self._lost(conn, project.id) if links else []
        problems += _away(conn, project.id, links)
        return ProjectRow(
            project_id=project.id,
            name=project.name,
            links=tuple(
                LinkRow(
                    channel_id=link.channel,
                    kind=link.kind,
                    problem=link.problem,
                    undo_window_s=link.undo_window_s,
                )
                for link in links
            ),
            health="; ".join(problems) if problems else ("fine" if links else "not linked"),
            is_healthy=not problems,
            dashboard_url=f"{self._dashboard_url}/projects/{project.id}",
        )

    def _lost(self, conn: Connection, project: ProjectId) -> list[str]:
        lately = lost.lately(conn, self._store.now(conn), project, self._scale)
        if not lately.is_repeated:
            return []
        return [f"{lately.objects} of its webhooks got lost within a day: run `jollor-slack doctor`"]

    async def trace(self, team: TeamId, asked: str) -> TraceAnswer:
        """Return what `/jollor trace` says. Raises `PermanentError` if `asked` is nothing known here."""
        found = await self._store.read(lambda conn: traced(conn, self._store.now(conn), team, asked))
        hops = tuple(TraceHop.model_validate(asdict(hop)) for hop in found.hops)  # `begins` has done its work
        return TraceAnswer(about=found.about, hops=hops, remarks=found.remarks)

    async def status(self, team: TeamId) -> StatusAnswer:
        """Return what `/jollor status` says."""
        return await self._store.read(lambda conn: self._status(conn, team))

    def _status(self, conn: Connection, team: TeamId) -> StatusAnswer:
        now = self._store.now(conn)
        links = [link for link in links_of(conn, None) if link.team == team]
        facts = [_workers(conn, now), _links(links)]
        for project in dict.fromkeys(link.project for link in links):
            own = [link for link in links if link.project == project]
            problems = [*_problems(conn, project, own), *self._lost(conn, project)]
            facts.append(
                StatusFact(
                    label=project_name(conn, project),
                    value="; ".join(problems) or _last_event(conn, project),
                    is_fine=not problems,
                )
            )
        facts += [_waiting(conn), _doubts(conn), _dead(conn), *_last_away(conn, now), *_pauses(conn, team)]
        return StatusAnswer(facts=tuple(facts))


def _workers(conn: Connection, now: datetime) -> StatusFact:
    alive = living_workers(conn, now)
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
    latest = "\n".join(f"– {at:%Y-%m-%d %H:%M} UTC: {what}: {why}" for at, what, why in _latest_dead(conn))
    value = (
        f"{_counted(count, 'job')}, {_counted(refused, 'message')} to Slack. "
        f"`jollor-slack jobs list` shows them, `jobs retry` runs them again. The latest:\n{latest}"
    )
    return StatusFact(label="Given up", value=value, is_fine=False)


def _last_away(conn: Connection, now: datetime) -> list[StatusFact]:
    last = last_outage(conn)
    if last is None or now - last.ended_at > RECENTLY:
        return []
    return [StatusFact(label="Last away", value=f"{last.began_at:%Y-%m-%d}: {last.span}")]


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _latest_dead(conn: Connection) -> list[tuple[datetime, str, str]]:
    """Return the newest dead letters: when, what and why, in words."""
    newest = (
        select(jobs.c.finished_at, jobs.c.kind, jobs.c.reason)
        .where(jobs.c.state == JobState.DISCARDED)
        .order_by(jobs.c.finished_at.desc())
        .limit(LATEST)
    )
    found = [(at, kind_in_words(kind), because(reason)) for at, kind, reason in conn.execute(newest)]
    found += [
        (
            one["finished_at"],
            capital(delivery_in_words(one["act"], one["kind"], one["mark"])),
            because(one["reason"]),
        )
        for one in dead(conn, LATEST, newest_first=True)
    ]
    return sorted(found, reverse=True)[:LATEST]


def _pauses(conn: Connection, team: TeamId) -> list[StatusFact]:
    return [
        StatusFact(
            label=f"Paused since {pause.since:%Y-%m-%d %H:%M} UTC: {what}",
            value=f"{pause.sentence} Nothing is lost: what waits is tried again at "
            f"{pause.probe_at:%H:%M:%S} UTC and goes on by itself.",
            is_fine=False,
        )
        for pause in pauses.current(conn)
        if (what := _target(conn, pause.target, team)) is not None
    ]


def _target(conn: Connection, target: str, team: TeamId) -> str | None:
    """Return what is away in words, None if it concerns nobody here."""
    kind, _, rest = target.partition(":")
    match kind:
        case "project":
            return f"Jollor for {project_name(conn, ProjectId(rest))}"
        case "channel":
            of, _, channel = rest.partition(":")
            names = _linked_to(conn, team, channel)
            return f"a channel of {', '.join(names)}" if of == team and names else None
        case "team":
            return "Slack" if rest == team else None
        case "jollor":
            return "Jollor"
    return kind.capitalize()


def _linked_to(conn: Connection, team: TeamId, channel: str) -> list[str]:
    mine = [link for link in links_of(conn, None) if (link.team, link.channel) == (team, channel)]
    return list(dict.fromkeys(project_name(conn, link.project) for link in mine))


def _away(conn: Connection, project: ProjectId, links: Sequence[Link]) -> list[str]:
    """Return why what belongs to a linked project waits, as short sentences."""
    targets = {f"project:{project}", "jollor"}
    targets |= {target for link in links for target in (f"team:{link.team}", _channel(link))}
    waiting = [pause for pause in pauses.current(conn) if links and pause.target in targets]
    return [f"paused since {pause.since:%H:%M} UTC: {pause.sentence}" for pause in waiting]


def _channel(link: Link) -> str:
    return channel_target(link.team, link.channel)


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
    elif webhook["status"] not in (None, WebhookState.ACTIVE):
        unknown = f"its webhook is {webhook['status']}: link it again to switch it on"
        found.append(_WEBHOOK.get(webhook["status"], unknown))
    token = conn.execute(select(projects.c.problem).where(projects.c.id == project)).scalar()
    if token:
        found.append(token)
    teams = {link.team for link in links}
    standing = alerts.c.project_id == project, alerts.c.team.in_(teams), alerts.c.cleared_at.is_(None)
    kinds = set(conn.execute(select(alerts.c.kind).where(*standing)).scalars())
    return [*found, *(sentence for kind, sentence in _ALERT.items() if kind in kinds)]
