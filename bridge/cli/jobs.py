"""`jobs`: the queue and its dead letters. Needs the database and nothing else.

Dead letters are jobs that were given up, and messages to Slack that were; the latter begin with a "d".
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, TypeVar

import typer
from sqlalchemy import Connection, select

from bridge.cli import opening
from bridge.cli.job_views import (
    delivery_facts,
    delivery_row,
    hop_members,
    hop_row,
    job_facts,
    job_row,
    readable,
)
from bridge.cli.output import Row, plain, show, show_json, words
from bridge.deliveries import DeliveryNumber, dead, drop_dead, retry_dead
from bridge.errors import PermanentError
from bridge.ids import JobId
from bridge.queue.job import JobState
from bridge.queue.jobs import Jobs
from bridge.relay.mending import Mending
from bridge.store.engine import Store
from bridge.store.tables import jobs as table
from bridge.trace import because

T = TypeVar("T")

app = typer.Typer()
commands = typer.Typer(help="The queue and its dead letters.", no_args_is_help=True)
app.add_typer(commands, name="jobs")

CHUNK = 500
UNFINISHED = [JobState.AVAILABLE, JobState.RUNNING, JobState.DISCARDED]
NUMBER = re.compile(r"(?P<of>d?)(?P<number>[0-9]{1,18})")


@dataclass(frozen=True, slots=True)
class Named:
    """What was named on the command line."""

    jobs: tuple[JobId, ...] = ()
    deliveries: tuple[DeliveryNumber, ...] = ()


Ids = Annotated[list[str], typer.Argument(help="Numbers of jobs (7) or messages (d7).", metavar="ID...")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@commands.command("list")
def list_(
    state: Annotated[
        list[JobState] | None, typer.Option(help="Only jobs of this state; may be repeated.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many of each, the oldest first.")] = 100,
    as_json: AsJson = False,
) -> None:
    """List what waits, runs or was given up (discarded: a dead letter; messages to Slack begin with d)."""
    wanted = state or UNFINISHED

    async def look(store: Store) -> list[Row]:
        found: list[Row] = [job_row(job) for job in await Jobs(store).listed(wanted, limit)]
        if JobState.DISCARDED in wanted:
            found += [delivery_row(one) for one in await store.read(lambda conn: dead(conn, limit))]
        return found

    rows = opening.run(_with_store(look))
    show(
        rows if as_json else [readable(row) for row in rows],
        as_json=as_json,
        empty="There are no such jobs.",
    )


@commands.command("show")
def show_(
    id_: Annotated[str, typer.Argument(metavar="ID", help="A job (7) or a message to Slack (d7).")],
    as_json: AsJson = False,
) -> None:
    """Show one job: each attempt, and each hop of what it was about, with time and reason in words."""
    named = _named([id_])
    if named.deliveries:
        shown = opening.run(
            _with_store(lambda store: store.read(lambda conn: delivery_facts(conn, *named.deliveries)))
        )
    else:
        shown = opening.run(_with_store(lambda store: job_facts(store, *named.jobs)))
    facts, attempts, hops, after = shown
    if as_json:
        listed = {
            "attempts": attempts,
            "hops": [hop_members(hop) for hop in hops],
            "followed": [hop_members(hop) for hop in after],
        }
        show_json({**facts, **listed})
        return
    for name, value in facts.items():
        text = json.dumps(value) if name == "about" else words(value)
        print(f"{name.replace('_', ' '):<14}{plain(because(text) if name == 'reason' else text)}")
    print()
    show([hop_row(hop) for hop in hops], as_json=False, empty="It has left no trace.")
    if not any(attempt["outcome"] in ("failed", "discarded", "refused", "lost") for attempt in attempts):
        print("\nIt has not failed so far.")
    if after:
        print("\nWhat it was about:\n")
        show([hop_row(hop) for hop in after], as_json=False, empty="")


@commands.command()
def retry(
    ids: Annotated[
        list[str] | None, typer.Argument(help="Numbers of jobs (7) or messages (d7).", metavar="ID...")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="All dead letters.")] = False,
) -> None:
    """Run dead letters again, next in their lane, several oldest first."""
    if every == bool(ids):
        raise typer.BadParameter("Name jobs by number, or --all")
    named = None if every else _named(ids or [])

    async def again(store: Store) -> tuple[int, int]:
        given = await store.read(_all_dead) if named is None else named
        return await _retry(store, given)

    _say(opening.run(_with_store(again)), "will run again", "will be sent again", RETRIED_NOTHING)


@commands.command()
def cancel(ids: Ids) -> None:
    """Cancel jobs that are not running, and take messages off the dead letters."""
    named = _named(ids)

    async def end(store: Store) -> tuple[int, int]:
        done = await Mending(store).cancel(named.jobs)
        return done, await store.write(lambda conn: drop_dead(conn, store.now(conn), named.deliveries))

    _say(opening.run(_with_store(end)), "cancelled", "dropped", CANCELLED_NOTHING)


RETRIED_NOTHING = (
    "only discarded or cancelled jobs can be run again, and messages to Slack that were given up and "
    "whose place nothing newer has taken"
)
CANCELLED_NOTHING = (
    "only jobs that wait or were given up can be cancelled, and messages to Slack that were given up"
)


async def _with_store(ask: Callable[[Store], Awaitable[T]]) -> T:
    async with opening.open_store(opening.own_settings()) as store:
        return await ask(store)


def _named(ids: Iterable[str]) -> Named:
    jobs, deliveries = [], []
    for id_ in ids:
        found = NUMBER.fullmatch(id_.strip().lower())
        if found is None:
            raise typer.BadParameter(
                f"{id_!r} is no number of a job (7) or of a message to Slack (d7)", param_hint="'ID'"
            )
        if found["of"]:
            deliveries.append(DeliveryNumber(int(found["number"])))
        else:
            jobs.append(JobId(int(found["number"])))
    return Named(tuple(jobs), tuple(deliveries))


def _all_dead(conn: Connection) -> Named:
    """Those that are dead letters now; one that fails again meanwhile is not tried for ever."""
    discarded = select(table.c.id).where(table.c.state == JobState.DISCARDED).order_by(table.c.id)
    ids = [JobId(id_) for id_ in conn.execute(discarded).scalars()]
    return Named(tuple(ids), tuple(DeliveryNumber(one["seq"]) for one in dead(conn)))


async def _retry(store: Store, named: Named) -> tuple[int, int]:
    done = [await Mending(store).retry(chunk) for chunk in _chunks(named.jobs)]
    sent = [await _send_again(store, chunk) for chunk in _chunks(named.deliveries)]
    return sum(done), sum(sent)


async def _send_again(store: Store, numbers: Sequence[DeliveryNumber]) -> int:
    return await store.write(lambda conn: retry_dead(conn, store.now(conn), numbers))


def _chunks(numbers: Sequence[T]) -> list[Sequence[T]]:
    return [numbers[at : at + CHUNK] for at in range(0, len(numbers), CHUNK)]


def _say(counts: tuple[int, int], of_jobs: str, of_messages: str, otherwise: str) -> None:
    jobs, messages = counts
    if not jobs and not messages:
        raise PermanentError("nothing_changed", user_message=f"Nothing changed: {otherwise}.")
    if jobs:
        print(f"{jobs} {'job' if jobs == 1 else 'jobs'} {of_jobs}.")
    if messages:
        print(f"{messages} {'message' if messages == 1 else 'messages'} to Slack {of_messages}.")
