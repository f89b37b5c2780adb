"""`backfill`: fetch what webhooks missed, and show how far it is. A worker does the work."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from bridge.app import open_bridge
from bridge.cli import opening
from bridge.cli.output import plain
from bridge.errors import BridgeError, PermanentError
from bridge.ids import ProjectId
from bridge.relay.backfill import Backfill, Progress
from bridge.relay.cards import Cards
from bridge.relay.catchup import CatchUp
from bridge.store import schema
from bridge.store.engine import utc_now

app = typer.Typer()

POLL_S = 0.5
PATIENCE_S = 300.0
"""So long without any progress, and one need not watch any more."""

UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
SINCE = "Look at everything that was active since then: 2h, 3d, 2026-05-17, 2026-05-17T09:30 (UTC)."

Say = Callable[[Progress], None]
Ask = Callable[[], Awaitable[Progress]]


@app.command()
def backfill(
    project: Annotated[
        str | None, typer.Argument(help="Only this project, by id or name.", show_default=False)
    ] = None,
    since: Annotated[str | None, typer.Option(help=SINCE)] = None,
) -> None:
    """Fetch what webhooks missed. Nothing older than a project's link is shown."""
    moment = None if since is None else moment_of(since, utc_now())
    try:
        code = opening.run(_backfill(project, moment))
    except KeyboardInterrupt:
        _complain("It goes on without you; what was found is worked off in any case.")
        code = 1
    raise typer.Exit(code)


def moment_of(words: str, now: datetime) -> datetime:
    """Return the moment that `words` name: so long ago, or a date and time, in UTC unless it says otherwise.

    Raises `typer.BadParameter` for what is neither, and for the future.
    """
    ago = re.fullmatch(r"\s*(\d{1,6})\s*([mhdw])\s*", words)
    try:
        if ago is not None:
            return now - timedelta(**{UNITS[ago[2]]: int(ago[1])})
        moment = datetime.fromisoformat(words.strip())
    except (ValueError, OverflowError):
        raise typer.BadParameter(f"--since expects 2h, 3d, a date or a time, not “{plain(words)}”") from None
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    if moment > now:
        raise typer.BadParameter("--since expects a time that has passed")
    return moment


async def _backfill(wanted: str | None, since: datetime | None) -> int:
    settings = opening.all_settings()
    await schema.require(settings.bridge.database_url.get_secret_value())
    scale = settings.bridge.time_scale
    async with open_bridge(settings) as bridge:
        cards = Cards(dashboard_url=settings.jollor.dashboard_url, scale=scale)
        catch_up = CatchUp(bridge.store, bridge.social, cards, scale=scale)
        backfill = Backfill(bridge.store, catch_up, since=since)
        projects = await backfill.projects(wanted)
        if not projects:
            raise PermanentError("not_linked", user_message="No project is linked: see jollor-slack link.")
        are_found = [await _found(backfill, project) for project in projects]
        last = await backfill.progress()
        if last.total:
            print(f"{_things(last.total)} to look through.")
            with _shown(last.total) as show:
                last = await watched(backfill.progress, show, patience_s=PATIENCE_S / scale)
        return 0 if summed_up(last) and all(are_found) else 1


async def _found(backfill: Backfill, project: ProjectId) -> bool:
    """Look in one project; one that cannot be listed now must not keep the others from it."""
    try:
        await backfill.put(project)
    except BridgeError as error:
        _complain(f"{project} could not be looked through: {error.user_message}")
        return False
    return True


async def watched(ask: Ask, show: Say, *, patience_s: float, poll_s: float = POLL_S) -> Progress:
    """Show how far it is until nothing waits, no worker is there, or nothing has moved for `patience_s`."""
    loop = asyncio.get_running_loop()
    waiting, moved_at = None, loop.time()
    while True:
        now = await ask()
        show(now)
        if now.waiting != waiting:
            waiting, moved_at = now.waiting, loop.time()
        if not now.waiting or not now.workers or loop.time() - moved_at > patience_s:
            return now
        await asyncio.sleep(poll_s)


@contextmanager
def _shown(total: int) -> Iterator[Say]:
    """A bar on a terminal; elsewhere a line for every tenth."""
    if not sys.stdout.isatty():
        yield _lines(total)
        return
    columns = TextColumn("Looking"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Bar(*columns, console=Console()) as bar:
        task = bar.add_task("", total=total)
        yield lambda now: bar.update(task, completed=now.total - now.waiting)


def _lines(total: int) -> Say:
    said = 0

    def say(now: Progress) -> None:
        nonlocal said
        tenths = (now.total - now.waiting) * 10 // total
        if tenths > said:
            said = tenths
            print(f"{now.total - now.waiting} of {total}", flush=True)

    return say


def summed_up(last: Progress) -> bool:
    """Say how it ended; return whether all is done."""
    if not last.total:
        print("Nothing was missed.")
    elif not last.waiting and not last.unread:
        print("Done: what was missed is in Slack, or on its way there.")
    if last.unread:
        _complain(f"{_things(last.unread)} could not be read: see jollor-slack jobs list.")
    if last.waiting and not last.workers:
        _complain(f"{_things(last.waiting)} wait, but no worker is running: start jollor-slack serve.")
    elif last.waiting:
        _complain(f"{_things(last.waiting)} still wait, and go on by themselves: see /jollor status.")
    return not last.waiting and not last.unread


def _things(count: int) -> str:
    return "1 conversation or post" if count == 1 else f"{count} conversations and posts"


def _complain(sentence: str) -> None:
    print(plain(sentence), file=sys.stderr)
