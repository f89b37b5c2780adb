"""Both databases and a queue in them; see `tests.databases` and `tests.queue_support`."""

from tests.databases import (
    database_url,
    migrated_postgres_url,
    migrated_sqlite_url,
    migrated_url,
    postgres,
    postgres_url,
    sqlite_template,
    sqlite_url,
    store,
)
from tests.queue_support import clock, clocked, jobs

__all__ = [
    "clock",
    "clocked",
    "database_url",
    "jobs",
    "migrated_postgres_url",
    "migrated_sqlite_url",
    "migrated_url",
    "postgres",
    "postgres_url",
    "sqlite_template",
    "sqlite_url",
    "store",
]
