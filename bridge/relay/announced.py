"""Test deliveries that we asked Jollor for: their objects need not exist."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import Connection, select

from bridge.ids import ProjectId
from bridge.store.engine import Store
from bridge.store.tables import webhooks

TEST_WINDOW = timedelta(minutes=10)


async def is_test_delivery(store: Store, project: ProjectId) -> bool:
    """We asked for a test of this project's webhook a moment ago."""

    def look(conn: Connection) -> bool:
        at = conn.execute(select(webhooks.c.tested_at).where(webhooks.c.project_id == project)).scalar()
        return at is not None and store.now(conn) - at < TEST_WINDOW

    return await store.read(look)
