"""The database engine: reads anywhere, writes through one door.

`Store.write` takes a small closed function over a synchronous `Connection` and returns after the commit. On
SQLite all writes of the process go through one task that collects what waits and commits it together
(`synchronous=FULL`, WAL); if such a batch fails it is repeated one by one, so that a bad one fails alone.
Hence a function may run twice and must have no effect besides its SQL. On PostgreSQL each write is its own
transaction. A caller that is cancelled does not cancel its write. Nobody holds a transaction across a
network call.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, TypeVar

from sqlalchemy import Connection, event, select
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.sql import func

from bridge.errors import StoreUnavailable
from bridge.model import Clock

T = TypeVar("T")
Op = Callable[[Connection], T]

log = logging.getLogger(__name__)

MAX_BATCH = 256
BUSY_TIMEOUT_MS = 5_000


def utc_now() -> datetime:
    """Return the current time, aware, in UTC."""
    return datetime.now(UTC)


@dataclass(slots=True)
class _Write:
    op: Op[Any]
    done: asyncio.Future[Any] = field(repr=False)


class Store:
    """One database. Use as an async context manager; the writer task lives within it."""

    def __init__(self, url: str, *, clock: Clock | None = None) -> None:
        self.url = url
        self.is_sqlite = url.startswith("sqlite")
        self._clock = clock
        self._writes: deque[_Write] = deque()
        self._wake = asyncio.Event()
        self._writer: asyncio.Task[None] | None = None
        self._pending: set[asyncio.Task[Any]] = set()
        self._closing = False
        self.engine, self._write_engine = _sqlite_engines(url) if self.is_sqlite else _postgres_engines(url)

    async def __aenter__(self) -> Store:
        if self.is_sqlite:
            self._writer = asyncio.create_task(self._write_batches(), name="store-writer")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing = True
        self._wake.set()
        if self._writer is not None:
            await self._writer
        if self._pending:
            await asyncio.gather(*self._pending, return_exceptions=True)
        await self.engine.dispose()
        if self._write_engine is not self.engine:
            await self._write_engine.dispose()

    def now(self, conn: Connection) -> datetime:
        """Return the database's clock, which leases go by; on SQLite that is this machine's."""
        if self._clock is not None:
            return self._clock()
        if self.is_sqlite:
            return utc_now()
        stamp: datetime = conn.execute(select(func.clock_timestamp())).scalar_one()
        return stamp.astimezone(UTC)

    async def read(self, op: Op[T]) -> T:
        """Return what `op` reads in one transaction. Raises `StoreUnavailable`."""
        with _translated():
            async with self.engine.connect() as conn:
                return await conn.run_sync(op)

    async def write(self, op: Op[T]) -> T:
        """Run `op` in a transaction and return its result after the commit. Raises `StoreUnavailable`."""
        if self._closing:
            raise StoreUnavailable("store_closed")
        if self._writer is None:
            task = asyncio.create_task(self._alone(op))
            self._pending.add(task)
            task.add_done_callback(self._pending.discard)
            return await asyncio.shield(task)
        write = _Write(op, asyncio.get_running_loop().create_future())
        self._writes.append(write)
        self._wake.set()
        result: T = await write.done
        return result

    async def _write_batches(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._writes:
                batch = [self._writes.popleft() for _ in range(min(len(self._writes), MAX_BATCH))]
                await self._commit(batch)
            if self._closing:
                return

    async def _commit(self, batch: list[_Write]) -> None:
        def run(conn: Connection) -> list[Any]:
            return [write.op(conn) for write in batch]

        if len(batch) > 1:
            try:
                async with self._write_engine.begin() as conn:
                    results = await conn.run_sync(run)
            except Exception as error:  # noqa: BLE001 - whose it is shows when they run one by one
                log.debug("store.batch_split", extra={"size": len(batch), "error": repr(error)})
            else:
                for write, result in zip(batch, results, strict=True):
                    _settle(write.done, result)
                return
        for write in batch:
            try:
                result = await self._alone(write.op)
            except Exception as error:  # noqa: BLE001 - belongs to the caller, who is waiting for it
                if not write.done.done():
                    write.done.set_exception(error)
            else:
                _settle(write.done, result)

    async def _alone(self, op: Op[T]) -> T:
        with _translated():
            async with self._write_engine.begin() as conn:
                return await conn.run_sync(op)

    @contextlib.asynccontextmanager
    async def raw(self) -> AsyncIterator[Any]:
        """Yield a driver connection outside of any transaction, for LISTEN (PostgreSQL only)."""
        async with self.engine.connect() as conn:
            fairy = await conn.get_raw_connection()
            yield fairy.driver_connection


def _settle(done: asyncio.Future[Any], result: object) -> None:
    if not done.done():  # a caller that was cancelled is not waiting any more
        done.set_result(result)


@contextlib.contextmanager
def _translated() -> Any:
    try:
        yield
    except IntegrityError:
        raise
    except (DBAPIError, PoolTimeout, OSError) as error:
        if isinstance(error, DBAPIError) and not _is_about_the_database(error):
            raise
        raise StoreUnavailable("store_unavailable", user_message=_reason(error)) from error


def _is_about_the_database(error: DBAPIError) -> bool:
    """Full disk, lock, lost connection, read-only file: the database's trouble, not the statement's."""
    return isinstance(error, OperationalError) or error.connection_invalidated or _is_refusal(error)


def _is_refusal(error: DBAPIError) -> bool:
    name = type(error.orig).__mro__[0].__name__ if error.orig is not None else ""
    return "InterfaceError" in name or "ReadOnly" in str(error.orig) or "CannotConnect" in str(error.orig)


def _reason(error: Exception) -> str:
    origin = getattr(error, "orig", None) or error
    return f"The database does not answer: {str(origin).splitlines()[0][:200] if str(origin) else origin!r}."


def _sqlite_engines(url: str) -> tuple[AsyncEngine, AsyncEngine]:
    readers = create_async_engine(url, pool_size=4, max_overflow=4)
    writer = create_async_engine(url, pool_size=1, max_overflow=0)
    for engine in (readers, writer):
        event.listen(engine.sync_engine, "connect", _prepare_sqlite)
    event.listen(readers.sync_engine, "begin", lambda conn: conn.exec_driver_sql("BEGIN"))
    # A deferred transaction that turns into a write late is refused under load ("database is locked").
    event.listen(writer.sync_engine, "begin", lambda conn: conn.exec_driver_sql("BEGIN IMMEDIATE"))
    return readers, writer


def _prepare_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # transactions are begun by the listeners above, not by the driver
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", f"busy_timeout={BUSY_TIMEOUT_MS}"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _postgres_engines(url: str) -> tuple[AsyncEngine, AsyncEngine]:
    engine = create_async_engine(url, pool_size=10, max_overflow=5, pool_pre_ping=True, pool_timeout=10)
    return engine, engine
