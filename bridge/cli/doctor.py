"""`doctor`: one line for each thing that was looked at, with what to do."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import AsyncIterator
from typing import Annotated

import typer

from bridge import doctor
from bridge.app import open_bridge
from bridge.cli import opening
from bridge.cli.output import plain, show_json
from bridge.doctor.finding import Finding, State, wrong_settings
from bridge.doctor.machine import server_time
from bridge.settings import Settings, SettingsError
from bridge.store.engine import utc_now

app = typer.Typer()


@app.command("doctor")
def doctor_(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Check settings, database, clock, Slack, Jollor, each link and each webhook, and say what to do."""
    code = opening.run(_examined(as_json=as_json))
    raise typer.Exit(code)


async def _examined(*, as_json: bool) -> int:
    found: list[Finding] = []
    try:
        settings = opening.all_settings()
    except SettingsError as error:
        found += wrong_settings(error.problems)
        for finding in found:
            _show(finding, as_json=as_json)
        code = 2
    else:
        async for finding in doctor.examine(settings, _parts, server_time=server_time, now=utc_now):
            _show(finding, as_json=as_json)
            found.append(finding)
        code = 0 if all(finding.state is State.OK for finding in found) else 1
    if as_json:
        show_json([dataclasses.asdict(finding) for finding in found])
    return code


def _show(finding: Finding, *, as_json: bool) -> None:
    """Print a finding as soon as it is known: some servers take their time."""
    if not as_json:
        advice = f" – {finding.advice}" if finding.advice else ""
        print(plain(f"{finding.state:<8} {finding.check}: {finding.says}{advice}"), flush=True)


@contextlib.asynccontextmanager
async def _parts(settings: Settings) -> AsyncIterator[doctor.Parts]:
    async with open_bridge(settings) as bridge:

        async def open_socket() -> None:
            assert settings.slack.app_token is not None
            token = settings.slack.app_token.get_secret_value()
            await bridge.clients.call(lambda client: client.apps_connections_open(app_token=token), team=None)

        yield doctor.Parts(
            store=bridge.store,
            slack=bridge.clients,
            channels=bridge.chat,
            jollor=bridge.social,
            hooks=bridge.hooks,
            open_socket=open_socket if settings.slack.is_socket_mode else None,
            threads=bridge.chat,
        )
