"""Stored facts about links and projects: functions over a connection."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import RowMapping

from bridge.errors import PermanentError
from bridge.ids import ChannelId, LinkId, ProjectId, TeamId
from bridge.model import Link, LinkKind, Project, UndoWindow
from bridge.store.tables import links, projects


def to_link(row: RowMapping) -> Link:
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
    return [to_link(row) for row in conn.execute(query).mappings()]


def set_undo_window(conn: Connection, link: Link, undo: UndoWindow) -> Link:
    """Give a link an undo window of its own, or the bridge's; return it as it is then."""
    conn.execute(update(links).where(links.c.id == link.id).values(undo_window_s=undo.seconds))
    return replace(link, undo_window_s=undo.seconds)


def mark_link_problem(conn: Connection, team: TeamId, channel: ChannelId, problem: str | None) -> None:
    """Note (or clear) a sentence about all links to a channel."""
    conn.execute(
        update(links).where(links.c.team == team, links.c.channel_id == channel).values(problem=problem)
    )


def newly_closed(conn: Connection, team: TeamId, channel: ChannelId, problem: str) -> list[Link]:
    """Note a sentence about the links in force to a channel that have none, and return these links."""
    here = (links.c.team == team, links.c.channel_id == channel, links.c.unlinked_at.is_(None))
    marked = update(links).where(*here, links.c.problem.is_(None)).values(problem=problem).returning(links)
    return [to_link(row) for row in conn.execute(marked).mappings()]


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


def stored_project(conn: Connection, wanted: str) -> ProjectId:
    """Return the linked project of that id or name (upper and lower case alike, or how the name begins).

    Raises `PermanentError` with a sentence if none fits, or several.
    """
    linked = {link.project: project_name(conn, link.project) for link in links_of(conn, None)}
    folded = wanted.strip().casefold()
    found = (
        [id_ for id_ in linked if id_ == wanted.strip()]
        or [id_ for id_, name in linked.items() if name.casefold() == folded]
        or [id_ for id_, name in linked.items() if folded and name.casefold().startswith(folded)]
    )
    if len(found) == 1:
        return found[0]
    names = ", ".join(f"“{linked[id_]}” ({id_})" for id_ in (found or linked))
    if found:
        raise PermanentError("ambiguous", user_message=f"“{wanted}” fits several linked projects: {names}.")
    there = f" Linked are: {names}." if names else " No project is linked."
    raise PermanentError("no_such_project", user_message=f"There is no linked project “{wanted}”.{there}")
