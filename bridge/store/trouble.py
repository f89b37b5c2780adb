"""Tells the database's trouble (locked, full, read-only, away) from what is wrong with one statement.

The first is everybody's and passes: `StoreUnavailable`, and the sender repeats. The second belongs to who
wrote the statement, and repeating it helps nobody.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator

import asyncpg
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from bridge.errors import StoreUnavailable

SQLITE_TROUBLES = {
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_INTERRUPT,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PROTOCOL,
    sqlite3.SQLITE_AUTH,
    sqlite3.SQLITE_NOTADB,
}

POSTGRES_TROUBLES = (
    "08",  # connection
    "25006",  # read-only transaction: a standby
    "28",  # not let in
    "3D",  # no such database
    "40",  # deadlock, serialization: see `is_worth_repeating`
    "42501",  # not allowed
    "42P01",  # no such table: somebody took the schema away
    "53",  # disk full, out of memory, too many connections
    "55",  # lock not available
    "57",  # cancelled, shutting down, starting up
    "58",  # I/O
    "XX",  # corrupted
)
"""Beginnings of SQLSTATE. Source: PostgreSQL manual, appendix "Error Codes"."""


class FileGone(Exception):
    """The database's file is not where it was."""


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Raise `StoreUnavailable` for the database's trouble; let other errors through."""
    try:
        yield
    except Exception as error:
        if is_trouble(error):
            raise unavailable(error) from error
        raise


def unavailable(error: BaseException) -> StoreUnavailable:
    """Return the error that callers know, with one sentence about the reason."""
    reason = _innermost(error)
    words = str(reason).splitlines()[0][:200] if str(reason) else type(reason).__name__
    return StoreUnavailable("store_unavailable", user_message=f"The database does not answer: {words}.")


def is_trouble(error: BaseException) -> bool:
    """Return whether this is about the database and not about the statement."""
    if isinstance(error, IntegrityError):
        return False
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    origin = _innermost(error)
    if isinstance(origin, sqlite3.Error):
        return _is_sqlite_trouble(origin)
    if isinstance(origin, asyncpg.PostgresError):
        return str(origin.sqlstate or "").startswith(POSTGRES_TROUBLES)
    if isinstance(origin, asyncpg.InterfaceError):
        # A closed connection; but a value that cannot be encoded is one of these, too.
        return not isinstance(origin, ValueError)
    return isinstance(origin, (PoolTimeout, OSError, FileGone))


def is_worth_repeating(error: BaseException) -> bool:
    """Return whether PostgreSQL chose this transaction to give way to another (deadlock, serialization)."""
    origin = _innermost(error)
    return isinstance(origin, asyncpg.PostgresError) and str(origin.sqlstate or "").startswith("40")


def passes_by_itself(error: BaseException) -> bool:
    """Return whether the connection is as good as before: somebody held the file, or the disk was full."""
    code = getattr(_innermost(error), "sqlite_errorcode", 0)
    return code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_FULL)


def _is_sqlite_trouble(error: sqlite3.Error) -> bool:
    # Absent on errors of Python's own, such as the use of a closed connection.
    code: int | None = getattr(error, "sqlite_errorcode", None)
    if code is None:
        return isinstance(error, sqlite3.ProgrammingError) and "closed" in str(error)
    return code & 0xFF in SQLITE_TROUBLES or str(error).startswith("no such table")


def _innermost(error: BaseException) -> BaseException:
    """Return the driver's own error, below SQLAlchemy's two layers."""
    if isinstance(error, DBAPIError) and error.orig is not None:
        error = error.orig
    cause = error.__cause__
    return cause if isinstance(cause, (asyncpg.PostgresError, asyncpg.InterfaceError)) else error
