"""A SQLite file with one writer: a thread that commits together what waits at the same time.

Writes are collected by the event loop (`bridge.store.engine`) and done here in one go, so that a batch costs
one change of threads and one `fsync`; a read is one change of threads, however many statements it has. A
write that fails is left out and the others are done; a batch that cannot begin or be committed fails as a
whole.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.pool import ConnectionPoolEntry

from bridge.store.trouble import FileGone, is_trouble, passes_by_itself

BUSY_TIMEOUT_MS = 2_000
"""Slack waits three seconds: while another program holds the file, we say so before that."""

READERS = 4

T = TypeVar("T")
Op = Callable[[Connection], Any]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one write: its result, or why it was not done."""

    value: Any = None
    error: BaseException | None = None


class SqliteFile:
    """Where the file is and whether it is still the one that a connection has open.

    A file that was deleted can still be written to: such a commit would be lost without an error. And
    connecting to a path where nothing is would create an empty database.
    """

    def __init__(self, url: str) -> None:
        # "file:…?uri=true" is SQLite's own kind of address, within the URL
        self._path = Path(str(make_url(url).database).removeprefix("file:"))

    def identity(self) -> tuple[int, int]:
        """Return what tells this file from another at the same path. Raises `FileGone`."""
        try:
            status = self._path.stat()
        except FileNotFoundError as error:
            raise FileGone(f"there is no file {self._path}") from error
        return status.st_dev, status.st_ino

    def is_current(self, conn: Connection) -> bool:
        """Return whether the connection has open what is at the path now. Raises `FileGone`."""
        return bool(conn.info["file"] == self.identity())

    def prepare(self, engine: Engine, *, begin: str) -> None:
        """Have every connection of `engine` keep its promises; transactions start with `begin`."""

        def set_up(connection: Any, record: ConnectionPoolEntry) -> None:
            try:
                record.info["file"] = self.identity()
                connection.isolation_level = None  # the listener below begins transactions, not the driver
                cursor = connection.cursor()
                for pragma in (f"busy_timeout={BUSY_TIMEOUT_MS}", "journal_mode=WAL", "synchronous=FULL"):
                    cursor.execute(f"PRAGMA {pragma}")
                cursor.close()
            except BaseException:
                connection.close()
                raise

        event.listen(engine, "connect", set_up)
        event.listen(engine, "begin", lambda conn: conn.exec_driver_sql(begin))


class SqliteReader:
    """Connections that only read, next to the one that writes. Called in up to `READERS` threads."""

    def __init__(self, url: str, file: SqliteFile) -> None:
        self._file = file
        self._engine = create_engine(without_loop(make_url(url)), pool_size=READERS, max_overflow=0)
        file.prepare(self._engine, begin="BEGIN")

    def read(self, op: Callable[[Connection], T]) -> T:
        """Return what `op` reads in one transaction."""
        self._file.identity()
        try:
            with self._engine.connect() as conn:
                if self._file.is_current(conn):
                    return op(conn)
            self._engine.dispose()
            with self._engine.connect() as conn:
                return op(conn)
        except StopIteration as error:  # which no future takes
            raise RuntimeError("the read raised StopIteration") from error

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()


class SqliteWriter:
    """The one connection that writes. Called in one thread, one call at a time."""

    def __init__(self, url: str, file: SqliteFile) -> None:
        self._file = file
        self._engine = create_engine(without_loop(make_url(url)), pool_size=1, max_overflow=0)
        # A deferred transaction that turns into a write late is refused under load ("database is locked").
        file.prepare(self._engine, begin="BEGIN IMMEDIATE")

    def commit(self, ops: Sequence[Op]) -> list[Outcome]:
        """Run the functions in their order in one transaction; return what became of each.

        One that raises is left out: what came before it runs again without it, then the rest.
        """
        outcomes: list[Outcome] = []
        rest = list(ops)
        while rest:
            done, error = self._run(rest)
            if error is None:
                outcomes += done
                break
            if is_trouble(error) and not passes_by_itself(error):
                self._engine.dispose()  # a connection that was opened in bad times may stay bad
            if len(done) == len(rest):
                outcomes += [Outcome(error=error) for _ in rest]
                break
            outcomes += [*self.commit(rest[: len(done)]), Outcome(error=error)]
            rest = rest[len(done) + 1 :]
        return outcomes

    def _run(self, ops: Sequence[Op]) -> tuple[list[Outcome], BaseException | None]:
        """Return what was done, and the error that undid it: of the next one, or of all if none is left."""
        done: list[Outcome] = []
        try:
            with self._connected() as conn, conn.begin() as transaction:
                for op in ops:
                    try:
                        done.append(Outcome(op(conn)))
                    except BaseException as error:  # noqa: BLE001 - belongs to the caller, who is waiting for it
                        transaction.rollback()
                        return done, error
        except Exception as error:  # noqa: BLE001 - as above, for all of them
            return [Outcome() for _ in ops], error
        return done, None

    def _connected(self) -> Connection:
        self._file.identity()
        conn = self._engine.connect()
        if self._file.is_current(conn):
            return conn
        conn.invalidate()
        conn.close()
        return self._engine.connect()

    def close(self) -> None:
        """Close the connection."""
        self._engine.dispose()


def without_loop(url: URL) -> URL:
    """Return the address for the driver that is used: the standard library's, whatever the URL says."""
    return url.set(drivername="sqlite+pysqlite")
