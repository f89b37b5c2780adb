"""The hops of a job, and of what it was about."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from sqlalchemy import Connection

from bridge.ids import JobId
from bridge.queue.job import JobState, JobView
from bridge.store.attempts import history
from bridge.trace.hop import Hop
from bridge.trace.words import because, job_outcome


def attempt_hops(conn: Connection, job: JobId, *, without: Collection[str] = ()) -> Iterator[Hop]:
    """Each attempt of a job that did not simply succeed, `without` those that waited for these codes."""
    for one in history(conn, f"job:{job}"):
        if one.outcome == "snoozed" and one.reason.partition(":")[0] in without:
            continue
        yield Hop(one.at, job_outcome(one.outcome), one.attempt or None, because(one.reason))


def job_hops(conn: Connection, job: JobView) -> Iterator[Hop]:
    """A job from its putting to where it stands now."""
    yield Hop(job.created_at, "It was stored")
    yield from attempt_hops(conn, job.id)
    match job.state:
        case JobState.COMPLETED if job.finished_at is not None:
            alone = "It was done" if job.attempt else "It was done along with an earlier one of its lane"
            yield Hop(job.finished_at, alone, job.attempt or None)
        case JobState.RUNNING if job.attempted_at is not None:
            yield Hop(job.attempted_at, "It is being done just now", job.attempt)
        case JobState.AVAILABLE:
            yield Hop(job.scheduled_at, "It waits from then on for its turn")
