"""Commands around what goes where: `projects`, `link`, `unlink`, `links`."""

from __future__ import annotations

import re
import sys
from collections.abc import Awaitable, Callable
from typing import Annotated, TypeVar

import typer
from sqlalchemy import Connection

from bridge.app import Bridge, open_bridge
from bridge.cli import opening
from bridge.cli.output import Value, plain, show
from bridge.connections import LinkOutcome
from bridge.content import ProjectRow
from bridge.errors import PermanentError
from bridge.ids import ChannelId, TeamId
from bridge.links import links_of, project_name
from bridge.model import Link, LinkKind, UndoWindow
from bridge.store import schema

T = TypeVar("T")

app = typer.Typer()

CHANNEL_ID = re.compile(r"[CG][A-Z0-9]{6,}")

Project = Annotated[str, typer.Argument(help="A project's id or name.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def projects(as_json: AsJson = False) -> None:
    """List the Jollor projects that the account can see."""
    rows = opening.run(_with_bridge(_projects))
    show([_project_row(row) for row in rows], as_json=as_json, empty="The Jollor account can see no project.")


async def _projects(bridge: Bridge) -> tuple[ProjectRow, ...]:
    return await bridge.queries.project_rows(await bridge.social.projects(), await _team(bridge))


def _project_row(row: ProjectRow) -> dict[str, Value]:
    return {
        "id": row.project_id,
        "name": row.name,
        "channels": [f"{link.channel_id} ({link.kind})" for link in row.links],
        "health": row.health,
    }


def _undo_window(text: str) -> UndoWindow:
    undo = UndoWindow.read(text)
    if undo is None:
        raise typer.BadParameter(f"expected seconds from 0 to {UndoWindow.MOST_S}, or {UndoWindow.DEFAULT}")
    return undo


@app.command()
def link(
    project: Project,
    channel: Annotated[str, typer.Argument(help="A Slack channel, by id or as #name.")],
    kind: Annotated[LinkKind, typer.Option(help="What goes there.")] = LinkKind.ALL,
    replace: Annotated[
        bool, typer.Option("--replace", help="Take over a webhook that points elsewhere.")
    ] = False,
    webhook_secret_stdin: Annotated[
        bool,
        typer.Option(
            "--webhook-secret-stdin",
            help="Read the secret of a webhook that was made in Jollor's dashboard from standard input.",
        ),
    ] = False,
    undo_window: Annotated[
        UndoWindow | None,
        typer.Option(
            parser=_undo_window,
            metavar="SECONDS|default",
            help="How long a line written there waits before it goes to the customer.",
        ),
    ] = None,
) -> None:
    """Route a project to a Slack channel and set up its Jollor webhook."""
    secret = _secret() if webhook_secret_stdin else None

    async def do(bridge: Bridge) -> LinkOutcome:
        team = await _team(bridge)
        place = await _channel(bridge, team, channel)
        return await bridge.connections.link(
            team, project, place, kind, replace=replace, secret=secret, undo=undo_window
        )

    outcome = opening.run(_with_bridge(do))
    for sentence in outcome.sentences:
        print(plain(sentence))
    if outcome.callback_url is not None:
        print(f"Callback URL: {outcome.callback_url}")
        if outcome.needs_attention:
            raise typer.Exit(1)


def _secret() -> str:
    secret = sys.stdin.readline().strip()
    if not secret:
        raise typer.BadParameter("--webhook-secret-stdin expects the secret as a line on standard input")
    return secret


@app.command()
def unlink(
    project: Project,
    channel: Annotated[str | None, typer.Argument(help="Only from this channel, by id or as #name.")] = None,
) -> None:
    """Take a project's links back. Its threads stay, and are found again when it is linked again."""

    async def do(bridge: Bridge) -> list[Link]:
        team = await _team(bridge)
        place = None if channel is None else await _channel(bridge, team, channel)
        return await bridge.connections.unlink(team, project, place)

    ended = opening.run(_with_bridge(do))
    if not ended:
        raise PermanentError("not_linked", user_message="There is no such link: see jollor-slack links.")
    for one in ended:
        print(f"{one.project} no longer goes to {one.channel} ({one.kind}).")


@app.command()
def links(as_json: AsJson = False) -> None:
    """List which project goes to which channel."""
    show(opening.run(_links()), as_json=as_json, empty="No project is linked: see jollor-slack link --help.")


async def _links() -> list[dict[str, Value]]:
    def read(conn: Connection) -> list[dict[str, Value]]:
        return [
            {
                "project_id": one.project,
                "project": project_name(conn, one.project),
                "channel_id": one.channel,
                "kind": one.kind,
                "undo_window_s": one.undo_window_s,
                "linked_at": one.linked_at,
                "problem": one.problem,
            }
            for one in links_of(conn, None)
        ]

    async with opening.open_store(opening.own_settings()) as store:
        return await store.read(read)


async def _with_bridge(ask: Callable[[Bridge], Awaitable[T]]) -> T:
    settings = opening.all_settings()
    await schema.require(settings.bridge.database_url.get_secret_value())
    async with open_bridge(settings) as bridge:
        return await ask(bridge)


async def _team(bridge: Bridge) -> TeamId:
    """Return the workspace: as it was stored, else as Slack says."""
    known = await bridge.people.known_teams()
    return known[0].team if len(known) == 1 else (await bridge.clients.bot()).team


async def _channel(bridge: Bridge, team: TeamId, wanted: str) -> ChannelId:
    if CHANNEL_ID.fullmatch(wanted):
        return ChannelId(wanted)
    found = await bridge.chat.find_channel(team, wanted.removeprefix("#"))
    if found is None:
        raise PermanentError(
            "channel_not_found",
            user_message=f"There is no channel {wanted} that the app can see: invite it there, or name the "
            "channel's id.",
        )
    return found.id
