"""Brings a database to the shape of `tables`, and says in a sentence when that is not ours to do.

A migration is one transaction. Two processes that start at once do not meet in it: PostgreSQL has an advisory
lock for that, SQLite its one writer.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine

from bridge.errors import BridgeError, StoreUnavailable
from bridge.store.sqlite import without_loop

T = TypeVar("T")
Work = Callable[[Connection], T]

log = logging.getLogger(__name__)

ADVISORY_LOCK = 7_246_811_903
"""Any number that no other program locks in the same database."""

BUSY_TIMEOUT_MS = 30_000


class SchemaTrouble(BridgeError):
    """The database is missing, too old for this program, or somebody else's."""


@dataclass(frozen=True, slots=True)
class Version:
    """The revision that a database has (None: it is empty) and the one that this program needs.

    Revisions are numbers that grow. A migration leaves the previous release able to work, so a newer
    schema is no obstacle: a release that disappoints can be taken back.
    """

    current: str | None
    needed: str

    @property
    def fits(self) -> bool:
        """Nothing is to be done."""
        return self.current == self.needed

    @property
    def is_ours(self) -> bool:
        """The database is empty or was made by some release of this program."""
        return self.current is None or self.current.isdigit()

    @property
    def is_newer(self) -> bool:
        """A later release has migrated it."""
        return self.is_ours and self.current is not None and int(self.current) > int(self.needed)


async def create_or_migrate(url: str) -> None:
    """Do what `serve` does first: make and migrate an embedded database; check a PostgreSQL one.

    Raises `SchemaTrouble`, `StoreUnavailable`.
    """
    if _sqlite_file(url) is None:
        await require(url)
    else:
        await migrate(url)


def require_file(url: str) -> None:
    """Raise `SchemaTrouble` if the file of an embedded database does not exist."""
    file = _sqlite_file(url)
    if file is not None and not file.exists():
        raise SchemaTrouble(
            "no_database",
            user_message=f"There is no database at {file}: start jollor-slack serve once, or correct "
            "BRIDGE_DATABASE_URL.",
        )


async def require(url: str) -> None:
    """Raise `SchemaTrouble` unless the database is there and has the shape that this program needs."""
    require_file(url)
    version = await version_of(url)
    if not _is_usable(version):
        what = "is empty" if version.current is None else "has an older schema than this program"
        raise SchemaTrouble(
            "old_schema", user_message=f"The database {what}: run jollor-slack migrate, then start again."
        )


async def migrate(url: str) -> Version:
    """Bring the database to the newest schema and return what it had before.

    Creates an embedded one, leaves a newer one alone. Raises `SchemaTrouble`, `StoreUnavailable`.
    """
    file = _sqlite_file(url)
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
    return await connected(url, _upgrade)


async def version_of(url: str) -> Version:
    """Return which schema the database has."""
    return await connected(url, _version)


def _version(conn: Connection) -> Version:
    needed = ScriptDirectory.from_config(config(conn)).get_current_head()
    assert needed is not None
    return Version(MigrationContext.configure(conn).get_current_revision(), needed)


def _upgrade(conn: Connection) -> Version:
    if conn.dialect.name == "postgresql":
        conn.execute(text("select pg_advisory_xact_lock(:key)"), {"key": ADVISORY_LOCK})
    before = _version(conn)
    if not _is_usable(before):
        command.upgrade(config(conn), "head")
        log.info("store.migrated", extra={"before": before.current, "now": before.needed})
    return before


def _is_usable(version: Version) -> bool:
    """Return whether this program can work with the schema as it is. Raises `SchemaTrouble`."""
    if not version.is_ours:
        raise SchemaTrouble(
            "foreign_database",
            user_message="The database does not belong to jollor-slack: correct BRIDGE_DATABASE_URL.",
        )
    if version.is_newer:
        log.warning("store.schema_is_newer", extra={"current": version.current, "needed": version.needed})
    return version.fits or version.is_newer


def config(conn: Connection) -> Config:
    """Return Alembic's configuration without a file, so that it works wherever the package is installed."""
    made = Config()
    made.set_main_option("script_location", "bridge.store:migrations")
    made.attributes["connection"] = conn
    return made


async def connected(url: str, work: Work[T]) -> T:
    """Return what `work` returns, done in one transaction on a connection of its own.

    Before anything else runs: on SQLite the event loop stands still meanwhile. Raises `StoreUnavailable`.
    """
    try:
        return await (_on_server(url, work) if _sqlite_file(url) is None else _in_file(url, work))
    except (DBAPIError, OSError) as error:
        origin = getattr(error, "orig", None) or error
        reason = str(origin).splitlines()[0][:200] if str(origin) else type(origin).__name__
        raise StoreUnavailable(
            "store_unavailable", user_message=f"The database does not answer: {reason}."
        ) from error


async def _on_server(url: str, work: Work[T]) -> T:
    engine = create_async_engine(url, pool_size=1, max_overflow=0)
    try:
        async with engine.begin() as conn:
            return await conn.run_sync(work)
    finally:
        await engine.dispose()


async def _in_file(url: str, work: Work[T]) -> T:
    engine = create_engine(without_loop(make_url(url)), pool_size=1, max_overflow=0)
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", lambda conn: conn.exec_driver_sql("BEGIN IMMEDIATE"))
    try:
        with engine.begin() as conn:
            return work(conn)
    finally:
        engine.dispose()


def _prepare_sqlite(connection: Any, _record: object) -> None:
    """Have the driver leave transactions alone: its own rules would commit in the middle of a migration."""
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
    try:
        cursor.execute("PRAGMA journal_mode=WAL")
    except sqlite3.OperationalError:
        # The switch does not wait for a lock. It belongs to the file: who holds the lock makes it, or the
        # next connection does.
        log.info("store.wal_left_to_others")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.close()


def _sqlite_file(url: str) -> Path | None:
    parsed = make_url(url)
    return Path(str(parsed.database)) if parsed.get_backend_name() == "sqlite" else None
