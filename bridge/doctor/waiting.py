"""What the running bridge has found to be away, or silent: read from the database alone."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, select

from bridge.doctor.finding import Finding, fine, problem
from bridge.ids import ProjectId
from bridge.links import project_name
from bridge.store import pauses
from bridge.store.pauses import Pause
from bridge.store.tables import alerts

SILENT = "webhook_silent"


def check_waiting(conn: Connection) -> list[Finding]:
    """Nothing is paused, and no webhook is known not to reach us."""
    paused = pauses.current(conn)
    found = [_paused(conn, pause) for pause in paused] or [fine("pauses", "nothing waits for anybody")]
    return [*found, *(_silent(conn, project) for project in _silent_projects(conn))]


def _paused(conn: Connection, pause: Pause) -> Finding:
    return problem(
        f"paused: {_name(conn, pause.target)}",
        f"since {pause.since:%Y-%m-%d %H:%M} UTC: {pause.sentence}",
        "What waits for it goes out by itself once that is mended; nothing is lost.",
    )


def _name(conn: Connection, target: str) -> str:
    kind, _, rest = target.partition(":")
    return f"Jollor for {project_name(conn, ProjectId(rest))}" if kind == "project" else target


def _silent_projects(conn: Connection) -> Sequence[ProjectId]:
    standing = alerts.c.kind == SILENT, alerts.c.cleared_at.is_(None)
    query = select(alerts.c.project_id).where(*standing).distinct().order_by(alerts.c.project_id)
    return [ProjectId(row) for row in conn.execute(query).scalars()]


def _silent(conn: Connection, project: ProjectId) -> Finding:
    return problem(
        f"test of {project_name(conn, project)}'s webhook",
        "two test deliveries that Jollor was asked for did not arrive",
        "Look whether BRIDGE_PUBLIC_URL can be reached from outside, then link the project again.",
    )
