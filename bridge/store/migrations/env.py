"""Run by Alembic: migrates over the connection that `bridge.store.schema` put into the configuration."""

from __future__ import annotations

from typing import Any, Literal

from alembic import context
from alembic.autogenerate.api import AutogenContext
from sqlalchemy import Connection

from bridge.store.tables import UtcDateTime, metadata


def plain_times(kind: str, item: Any, _context: AutogenContext) -> str | Literal[False]:
    """Write `UtcDateTime` as what it is in the database: a migration must not change with our code."""
    return "sa.DateTime(timezone=True)" if kind == "type" and isinstance(item, UtcDateTime) else False


connection: Connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=metadata,
    render_as_batch=context.config.attributes.get("in_batches", False),
    render_item=plain_times,
)
with context.begin_transaction():
    context.run_migrations()
