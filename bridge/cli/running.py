"""Commands that stay: `serve`, `worker`, `demo`."""

from __future__ import annotations

from typing import Annotated

import typer

from bridge import app as service
from bridge.cli import opening

app = typer.Typer()


@app.command()
def serve(
    no_worker: Annotated[
        bool, typer.Option("--no-worker", help="HTTP alone; run jollor-slack worker beside it.")
    ] = False,
) -> None:
    """Run HTTP, workers and schedules in one process."""
    settings = opening.all_settings(quiet=False)
    raise typer.Exit(opening.run(service.serve(settings, with_worker=not no_worker, with_http=True)))


@app.command()
def worker() -> None:
    """Run workers and schedules without HTTP; on PostgreSQL there may be several."""
    settings = opening.all_settings(quiet=False)
    raise typer.Exit(opening.run(service.serve(settings, with_worker=True, with_http=False)))


@app.command()
def demo(
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Where the page is; 0 takes a free port.")
    ] = 8080,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Do not open the page.")] = False,
) -> None:
    """Run the bridge against a simulated Jollor and a simulated Slack, played in the browser."""
    from sandbox.demo import main  # the simulated services are loaded by nobody else

    raise typer.Exit(main(port, not no_browser))
