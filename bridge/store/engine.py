"""The database engine: reads anywhere, writes through one door.

`Store.write` takes a small closed function over a synchronous `Connection` and returns after the commit. On
SQLite all writes of the process are done by one thread that commits together what waits (`synchronous=FULL`,
WAL), and reads by a few others. On PostgreSQL each write is its own transaction. Either way a function may
run twice, on SQLite in another thread: it must have no effect besides its SQL. A caller that is cancelled
does not cancel its write. Nobody holds a transaction across a network call.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, TypeVar

from sqlalchemy import Connection, event, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.sql import func

from bridge.errors import StoreUnavailable
from bridge.model import Clock
from bridge.store.sqlite import READERS, SqliteFile, SqliteReader, SqliteWriter
from bridge.store.trouble import is_trouble, is_worth_repeating, translated, unavailable

T = TypeVar("T")
Op = Callable[[Connection], T]

log = logging.getLogger(__name__)

MAX_BATCH = 256
REPEATS = 3
CONNECT_TAKES_S = 10.0
COMMAND_TAKES_S = 20.0
IDLE_IN_TRANSACTION_S = 10.0
"""After this PostgreSQL drops what a process that stalled within a transaction has locked."""


def utc_now() -> datetime:
    """Return the current time, aware, in UTC."""
    return datetime.now(UTC)


@dataclass(slots=True)
class _Write:
    op: Op[Any]
    done: asyncio.Future[Any] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def answer(self, value: object) -> None:
        """Give the caller its result; one that was cancelled is not waiting any more."""
        if not self.done.done():
            self.done.set_result(value)

    def refuse(self, error: BaseException) -> None:
        """Raise `error` where the caller waits."""
        if self.done.done():
            return
        if isinstance(error, StopIteration):  # which no future takes
            error = RuntimeError("the write raised StopIteration")
        self.done.set_exception(unavailable(error) if is_trouble(error) else error)
        self.done.exception()  # a caller that is being cancelled just now never asks


class Store:
    """One database. Use as an async context manager: writes are done within it."""

    def __init__(self, url: str, *, clock: Clock | None = None) -> None:
        self.url = url
        self.is_sqlite = url.startswith("sqlite")
        self._clock = clock
        self._closing = False
        self._pending: set[asyncio.Task[Any]] = set()
        self._writes: deque[_Write] = deque()
        self._batch: list[_Write] = []
        self._wake = asyncio.Event()
        self._batches: asyncio.Task[None] | None = None
        self._file = SqliteFile(url)
        if self.is_sqlite:
            self._reader = SqliteReader(url, self._file)
            self._reading = ThreadPoolExecutor(READERS, thread_name_prefix="store-reader")
        else:
            self.engine = _postgres_engine(url)

    async def __aenter__(self) -> Store:
        if self.is_sqlite:
            writer = SqliteWriter(self.url, self._file)
            thread = ThreadPoolExecutor(1, thread_name_prefix="store-writer")
            self._batches = asyncio.create_task(self._write_batches(writer, thread), name="store-writer")
            self._batches.add_done_callback(lambda _: self._wrote(writer, thread))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take no more writes, finish those that wait, and close. Every caller gets an answer."""
        self._closing = True
        self._wake.set()
        try:
            if self._batches is not None:
                await self._batches
            if self._pending:
                await asyncio.gather(*self._pending, return_exceptions=True)
        finally:
            if self.is_sqlite:
                await asyncio.to_thread(self._reading.shutdown, wait=True)
                self._reader.close()
            else:
                await self.engine.dispose()

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
        if self._closing:
            raise StoreUnavailable("store_closed")
        with translated():
            if self.is_sqlite:
                loop = asyncio.get_running_loop()
                return await loop.run_in_executor(self._reading, self._reader.read, op)
            async with self.engine.connect() as conn:
                return await conn.run_sync(op)

    async def write(self, op: Op[T]) -> T:
        """Run `op` in a transaction and return its result after the commit. Raises `StoreUnavailable`."""
        if self._closing:
            raise StoreUnavailable("store_closed")
        if self.is_sqlite:
            assert self._batches is not None, "the store is not open"
            write = _Write(op)
            self._writes.append(write)
            self._wake.set()
            result: T = await write.done
            return result
        task = asyncio.create_task(self._transaction(op), name="store-write")
        self._pending.add(task)
        task.add_done_callback(self._pending.discard)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled():  # the store was torn down, not the caller
                raise StoreUnavailable("store_closed") from None
            raise

    # --- SQLite --------------------------------------------------------------------------------------

    async def _write_batches(self, writer: SqliteWriter, thread: ThreadPoolExecutor) -> None:
        loop = asyncio.get_running_loop()
        while self._writes or not self._closing:
            if not self._writes:
                self._wake.clear()
                await self._wake.wait()
                continue
            self._batch = [self._writes.popleft() for _ in range(min(len(self._writes), MAX_BATCH))]
            ops = [write.op for write in self._batch]
            outcomes = await loop.run_in_executor(thread, writer.commit, ops)
            for write, outcome in zip(self._batch, outcomes, strict=True):
                if outcome.error is None:
                    write.answer(outcome.value)
                else:
                    write.refuse(outcome.error)
        await loop.run_in_executor(thread, writer.close)

    def _wrote(self, writer: SqliteWriter, thread: ThreadPoolExecutor) -> None:
        """Leave nobody waiting for a writer that was cancelled, perhaps before it began."""
        self._closing = True
        for write in [*self._batch, *self._writes]:
            write.refuse(StoreUnavailable("store_closed"))
        thread.submit(writer.close)
        thread.shutdown(wait=False)

    # --- PostgreSQL ----------------------------------------------------------------------------------

    async def _transaction(self, op: Op[T]) -> T:
        with translated():
            for _ in range(REPEATS):
                try:
                    return await self._once(op)
                except DBAPIError as error:
                    if not is_worth_repeating(error):
                        raise
                    log.info("store.repeated", extra={"error": str(error.orig)})
            return await self._once(op)

    async def _once(self, op: Op[T]) -> T:
        async with self.engine.begin() as conn:
            return await conn.run_sync(op)

    @contextlib.asynccontextmanager
    async def raw(self) -> AsyncIterator[Any]:
        """Yield a driver connection of its own outside of any transaction, for LISTEN (PostgreSQL only)."""
        with translated():
            conn = await self.engine.connect()
        try:
            with translated():
                driver_connection = (await conn.get_raw_connection()).driver_connection
                # Out of the pool: what listens must not be handed to anybody else afterwards.
                await conn.run_sync(lambda sync: sync.detach())
            yield driver_connection
        finally:
            await conn.close()


def _postgres_engine(url: str) -> AsyncEngine:
    limits = {
        "timeout": CONNECT_TAKES_S,
        "command_timeout": COMMAND_TAKES_S,
        "server_settings": {"application_name": "jollor-slack"},
    }
    engine = create_async_engine(
        url, pool_size=10, max_overflow=5, pool_pre_ping=True, pool_timeout=10, connect_args=limits
    )
    event.listen(engine.sync_engine, "connect", _drop_what_stalls)
    return engine


def _drop_what_stalls(connection: Any, _record: object) -> None:
    # Not a start-up parameter: those are refused by poolers that do not know them.
    setting = f"set idle_in_transaction_session_timeout = {IDLE_IN_TRANSACTION_S * 1000:.0f}"
    connection.run_async(lambda driver_connection: driver_connection.execute(setting))
