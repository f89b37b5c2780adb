"""Jobs and messages to Slack as the command line shows them: facts, hops, rows. Never what somebody wrote."""

from __future__ import annotations

import json
import re

from sqlalchemy import Connection
from sqlalchemy.engine import RowMapping

from bridge.cli.output import Row, Value, words
from bridge.deliveries import DeliveryNumber, numbered
from bridge.errors import PermanentError
from bridge.ids import JobId
from bridge.queue.job import JobView
from bridge.queue.jobs import Jobs
from bridge.store.attempts import AttemptView, history
from bridge.store.engine import Store
from bridge.trace import (
    Hop,
    because,
    delivery_hops,
    delivery_in_words,
    followed,
    in_order,
    job_trace,
    kind_in_words,
)

WRITTEN_BY_PEOPLE = frozenset({"text", "body", "rest", "response_url"})
"""Members of a job that hold what somebody wrote, or a secret address: not for a screen."""
MENTION = re.compile(r"<[#@](\w+)>")

Shown = tuple[dict[str, Value], list[dict[str, Value]], tuple[Hop, ...], tuple[Hop, ...]]
"""Facts, recorded attempts, hops, and the hops of what it was about."""


async def job_facts(store: Store, id_: JobId) -> Shown:
    """Return what there is to show of a job. Raises `PermanentError` if there is none."""
    found = await Jobs(store).shown(id_)
    if found is None:
        raise PermanentError("no_such_job", user_message=f"There is no job {id_}.")
    job, attempts = found
    facts = {
        **job_row(job),
        "does": kind_in_words(job.kind),
        "max_attempts": job.max_attempts,
        "about": _about(job),
    }
    hops, after = await store.read(lambda conn: (job_trace(conn, job), followed(conn, job)))
    return facts, [_attempt(attempt) for attempt in attempts], hops, after


def delivery_facts(conn: Connection, number: DeliveryNumber) -> Shown:
    """Return what there is to show of a message to Slack. Raises `PermanentError` if there is none."""
    row = numbered(conn, number)
    if row is None:
        raise PermanentError("no_such_message", user_message=f"There is no message to Slack d{number}.")
    facts: dict[str, Value] = {
        **delivery_row(row),
        "does": delivery_in_words(row["act"], row["kind"], row["mark"]),
        "channel": row["channel_id"],
        "delivery": row["id"],
    }
    attempts = [_attempt(attempt) for attempt in history(conn, f"delivery:{row['id']}")]
    return facts, attempts, in_order(delivery_hops(conn, row)), ()


def delivery_row(row: RowMapping) -> dict[str, Value]:
    """Return a message to Slack with the same members as a job in the list has."""
    return {
        "id": f"d{row['seq']}",
        "kind": f"{row['act']}: {row['kind']}",
        "state": row["state"],
        "lane": row["lane"],
        "attempt": row["attempt"],
        "created_at": row["created_at"],
        "scheduled_at": row["scheduled_at"],
        "finished_at": row["finished_at"],
        "reason": row["reason"],
    }


# --- rows --------------------------------------------------------------------------------------------


def job_row(job: JobView) -> dict[str, Value]:
    """Return a job as it is in the list."""
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


def readable(row: Row) -> Row:
    """Return a row of the list as people read it: its reason in words."""
    return {**row, "reason": because(words(row["reason"]))}


def _attempt(attempt: AttemptView) -> dict[str, Value]:
    return {
        "at": attempt.at,
        "attempt": attempt.attempt,
        "outcome": attempt.outcome,
        "reason": attempt.reason,
    }


def hop_members(hop: Hop) -> dict[str, Value]:
    """Return a hop for programs."""
    return {
        "at": hop.at,
        "what": hop.what,
        "attempt": hop.attempt,
        "reason": hop.reason,
        "times": hop.times,
        "until": hop.until,
    }


def hop_row(hop: Hop) -> dict[str, Value]:
    """Return a hop as people read it: names of Slack's without their brackets."""
    times = f" ({hop.times} times until {words(hop.until)})" if hop.until is not None else ""
    return {
        "at": hop.at,
        "what": MENTION.sub(r"\1", hop.what) + times,
        "attempt": hop.attempt,
        "reason": MENTION.sub(r"\1", hop.reason),
    }


def _about(job: JobView) -> dict[str, Value]:
    """Return the members of the job's event, without what somebody wrote."""
    members: dict[str, Value] = json.loads(job.args)
    return {name: value for name, value in members.items() if name not in WRITTEN_BY_PEOPLE}
