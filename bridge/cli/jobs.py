"""`jobs`: the queue and its dead letters. Needs the database and nothing else."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Annotated, TypeVar

import typer
from sqlalchemy import select

from bridge.cli import opening
from bridge.cli.output import Value, plain, show, show_json, words
from bridge.errors import PermanentError
from bridge.ids import JobId
from bridge.queue.job import JobState, JobView
from bridge.queue.jobs import Jobs
from bridge.store.attempts import AttemptView
from bridge.store.tables import jobs as table

T = TypeVar("T")

app = typer.Typer()
commands = typer.Typer(help="The queue and its dead letters.", no_args_is_help=True)
app.add_typer(commands, name="jobs")

CHUNK = 500
UNFINISHED = [JobState.AVAILABLE, JobState.RUNNING, JobState.DISCARDED]
WRITTEN_BY_PEOPLE = frozenset({"text", "body", "rest", "response_url"})
"""Members of a job that hold what somebody wrote, or a secret address: not for a screen."""

Ids = Annotated[list[int], typer.Argument(help="Numbers of jobs.", metavar="ID...")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@commands.command("list")
def list_(
    state: Annotated[
        list[JobState] | None, typer.Option(help="Only jobs of this state; may be repeated.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the oldest first.")] = 100,
    as_json: AsJson = False,
) -> None:
    """List what waits, runs or was given up (discarded: a dead letter)."""
    found = opening.run(_with_jobs(lambda jobs: jobs.listed(state or UNFINISHED, limit)))
    show([_row(job) for job in found], as_json=as_json, empty="There are no such jobs.")


@commands.command("show")
def show_(id_: Annotated[int, typer.Argument(metavar="ID")], as_json: AsJson = False) -> None:
    """Show one job and each attempt, with time, outcome and reason."""
    found = opening.run(_with_jobs(lambda jobs: jobs.shown(JobId(id_))))
    if found is None:
        raise PermanentError("no_such_job", user_message=f"There is no job {id_}.")
    job, attempts = found
    facts = {**_row(job), "max_attempts": job.max_attempts, "about": _about(job)}
    history = [_attempt(attempt) for attempt in attempts]
    if as_json:
        show_json({**facts, "attempts": history})
        return
    for name, value in facts.items():
        text = json.dumps(value) if name == "about" else words(value)
        print(f"{name.replace('_', ' '):<14}{plain(text)}")
    print()
    show(history, as_json=False, empty="It has not failed so far.")


@commands.command()
def retry(
    ids: Annotated[list[int] | None, typer.Argument(help="Numbers of jobs.", metavar="ID...")] = None,
    every: Annotated[bool, typer.Option("--all", help="All dead letters.")] = False,
) -> None:
    """Run dead letters again, next in their lane, several oldest first."""
    if every == bool(ids):
        raise typer.BadParameter("Name jobs by number, or --all")

    wanted = [JobId(id_) for id_ in ids or []]
    done = opening.run(_retry_all() if every else _with_jobs(lambda jobs: jobs.retry(wanted)))
    _say(done, "will run again", "only discarded or cancelled jobs can be run again")


@commands.command()
def cancel(ids: Ids) -> None:
    """Cancel jobs that are not running."""
    done = opening.run(_with_jobs(lambda jobs: jobs.cancel([JobId(id_) for id_ in ids])))
    _say(done, "cancelled", "only jobs that wait or were given up can be cancelled")


async def _with_jobs(ask: Callable[[Jobs], Awaitable[T]]) -> T:
    async with opening.open_store(opening.own_settings()) as store:
        return await ask(Jobs(store))


async def _retry_all() -> int:
    """Those that are dead letters now; one that fails again meanwhile is not tried for ever."""
    async with opening.open_store(opening.own_settings()) as store:
        dead = select(table.c.id).where(table.c.state == JobState.DISCARDED).order_by(table.c.id)
        ids = await store.read(lambda conn: [JobId(id_) for id_ in conn.execute(dead).scalars()])
        chunks = [ids[at : at + CHUNK] for at in range(0, len(ids), CHUNK)]
        return sum([await Jobs(store).retry(chunk) for chunk in chunks])


def _say(count: int, what: str, otherwise: str) -> None:
    if not count:
        raise PermanentError("nothing_changed", user_message=f"Nothing changed: {otherwise}.")
    print(f"{count} {'job' if count == 1 else 'jobs'} {what}.")


def _row(job: JobView) -> dict[str, Value]:
    return {
        "id": job.id,
        "kind": job.kind,
        "state": job.state,
        "lane": job.lane,
        "attempt": job.attempt,
        "created_at": job.created_at,
        "scheduled_at": job.scheduled_at,
        "finished_at": job.finished_at,
        "reason": job.reason,
    }


def _attempt(attempt: AttemptView) -> dict[str, Value]:
    return {
        "at": attempt.at,
        "attempt": attempt.attempt,
        "outcome": attempt.outcome,
        "reason": attempt.reason,
    }


def _about(job: JobView) -> dict[str, Value]:
    """Return the members of the job's event, without what somebody wrote."""
    members: dict[str, Value] = json.loads(job.args)
    return {name: value for name, value in members.items() if name not in WRITTEN_BY_PEOPLE}
