"""One `serve` or `worker` per SQLite file: a lock beside it that the kernel gives back, kill -9 included."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from bridge.errors import BridgeError


class AlreadyRunning(BridgeError):
    """Another process works on this database file."""


def lock_path(database: Path) -> Path:
    """Return where the lock of a database file is; never deleted, or two could hold one of that name."""
    return database.with_name(f"{database.name}.lock")


@contextlib.contextmanager
def held(database: Path) -> Iterator[None]:
    """Be the one that runs on `database` for as long as this lasts. Raises `AlreadyRunning` at once."""
    path = lock_path(database)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Not inheritable (Python's default), so a child process that outlives us does not keep it.
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        _lock(descriptor, database)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, database: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
            raise
        holder = os.pread(descriptor, 20, 0).decode(errors="replace").strip()
        who = f" (process {holder})" if holder.isdigit() else ""
        raise AlreadyRunning(
            "database_in_use",
            user_message=f"Another serve or worker{who} already runs on {database}; stop it first, "
            "or use PostgreSQL to run several.",
        ) from error
