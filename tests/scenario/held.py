"""Holds the database from outside: the bridge may read, but can commit nothing until it is let go."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Protocol

import asyncpg
from sqlalchemy.engine import make_url

TABLES = "jobs, deliveries, intents, lines"
LOCK_TRIES = 5


class Held(Protocol):
    """The database while it is held."""

    async def fetch(self, query: str) -> Sequence[Sequence[Any]]:
        """Return what is committed."""
        ...


@asynccontextmanager
async def held(database_url: str) -> AsyncIterator[Held]:
    """Hold the database of that address."""
    if database_url.startswith("sqlite"):
        async with _held_sqlite(database_url) as sqlite:
            yield sqlite
    else:
        async with _held_postgres(database_url) as postgres:
            yield postgres


class _Sqlite:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    async def fetch(self, query: str) -> Sequence[Sequence[Any]]:
        return await asyncio.to_thread(lambda: self._connection.execute(query).fetchall())


@asynccontextmanager
async def _held_sqlite(database_url: str) -> AsyncIterator[Held]:
    file = make_url(database_url).database
    assert file is not None
    connection = sqlite3.connect(file, isolation_level=None, timeout=20, check_same_thread=False)
    try:
        await asyncio.to_thread(connection.execute, "begin immediate")
        yield _Sqlite(connection)
        connection.rollback()
    finally:
        connection.close()


class _Postgres:
    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    async def fetch(self, query: str) -> Sequence[Sequence[Any]]:
        rows: Sequence[Sequence[Any]] = await self._connection.fetch(query)
        return rows


async def connect(database_url: str) -> asyncpg.Connection:
    """Return a connection of its own to a PostgreSQL database of the tests."""
    url = make_url(database_url)
    return await asyncpg.connect(host=url.query["host"], user=url.username, database=url.database)


@asynccontextmanager
async def _held_postgres(database_url: str) -> AsyncIterator[Held]:
    connection = await connect(database_url)
    try:
        for one_more in reversed(range(LOCK_TRIES)):
            await connection.execute("begin")
            try:
                # Writers wait, readers do not: what SQLite's write lock does.
                await connection.execute(f"lock table {TABLES} in exclusive mode")
                break
            except asyncpg.DeadlockDetectedError:
                await connection.execute("rollback")
                if not one_more:
                    raise
        yield _Postgres(connection)
        await connection.execute("rollback")
    finally:
        await connection.close()
