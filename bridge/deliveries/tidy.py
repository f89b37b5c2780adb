"""Removing deliveries that nobody asks for any more."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, delete, select

from bridge.deliveries.row import State
from bridge.store.tables import deliveries, shown_messages


def forget_old(conn: Connection, before: datetime) -> int:
    """Delete deliveries done before `before`, apart from roots and what shows messages.

    Dead letters stay until somebody retries or drops them.
    """
    keep = select(shown_messages.c.delivery_id)
    return conn.execute(
        delete(deliveries).where(
            deliveries.c.state == State.DONE,
            deliveries.c.finished_at < before,
            deliveries.c.is_root.is_(False),
            deliveries.c.id.not_in(keep),
        )
    ).rowcount
