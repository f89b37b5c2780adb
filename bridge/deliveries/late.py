"""What may still take effect: an attempt that got no answer can reach Slack after the next one did.

A drawing that lands after a newer one, or an hourglass after it was taken away, would stay for good. So
whatever replaces such an attempt waits until it can no longer happen.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, String, false, func, literal, select

from bridge.deliveries.row import Act, Delivery, State
from bridge.store.tables import attempts, deliveries

UNCONFIRMED = "unconfirmed"
"""The recorded outcome of an attempt without an answer, at something that may be done twice."""
WITHOUT_ANSWER = (UNCONFIRMED, "lost", "paused")
"""A server error, which pauses, promises nothing either: Slack may have begun."""


def last_unconfirmed(conn: Connection, one: Delivery, *, since: datetime) -> datetime | None:
    """Return when somebody last tried, without an answer, what `one` undoes or draws over."""
    subject = literal("delivery:", String) + deliveries.c.id
    query = (
        select(func.max(attempts.c.at))
        .select_from(deliveries.join(attempts, attempts.c.subject == subject))
        .where(deliveries.c.state.in_((State.DONE, State.REFUSED)), deliveries.c.finished_at >= since)
        .where(deliveries.c.team == one.team, deliveries.c.channel_id == one.channel)
        .where(deliveries.c.line_ts == one.line_ts, _is_replaced_by(one))
        .where(attempts.c.outcome.in_(WITHOUT_ANSWER))
    )
    return conn.execute(query).scalar()


def _is_replaced_by(one: Delivery) -> ColumnElement[Any]:
    match one.act:
        case Act.ADD_MARK:
            return (deliveries.c.act == Act.REMOVE_MARK) & (deliveries.c.mark == one.mark)
        case Act.REMOVE_MARK:
            return (deliveries.c.act == Act.ADD_MARK) & (deliveries.c.mark == one.mark)
        case Act.UPDATE:
            return (deliveries.c.act == Act.UPDATE) & (deliveries.c.id != one.id)
        case _:
            return false()
