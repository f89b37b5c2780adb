"""The history of what was tried: a line per attempt that did not simply succeed, with time and reason."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, insert, select

from bridge.store.tables import attempts

BY_OPERATOR = "by whoever runs the bridge"
"""The reason of what the command line does."""

KEPT = timedelta(days=14)
"""How long a line of the history is kept."""


@dataclass(frozen=True, slots=True)
class AttemptView:
    """One recorded attempt of a job, delivery or intent."""

    at: datetime
    attempt: int
    outcome: str
    reason: str


def record_attempt(
    conn: Connection, subject: str, at: datetime, attempt: int, outcome: str, reason: str = ""
) -> None:
    """Add a line to the history of `subject` ("job:7", "intent:…", "delivery:…")."""
    conn.execute(
        insert(attempts).values(subject=subject, at=at, attempt=attempt, outcome=outcome, reason=reason[:500])
    )


def history(conn: Connection, subject: str) -> list[AttemptView]:
    """Return what was recorded of `subject`, oldest first."""
    rows = conn.execute(
        select(attempts).where(attempts.c.subject == subject).order_by(attempts.c.id)
    ).mappings()
    return [AttemptView(row["at"], row["attempt"], row["outcome"], row["reason"]) for row in rows]
