"""Both databases; see `tests.databases`."""

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

__all__ = [
    "database_url",
    "migrated_postgres_url",
    "migrated_sqlite_url",
    "migrated_url",
    "postgres",
    "postgres_url",
    "sqlite_template",
    "sqlite_url",
    "store",
]
