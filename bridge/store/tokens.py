"""Jollor's token pairs, encrypted in `accounts`, and the right to renew one, held by one process at a time.

A rotated refresh token cannot be used twice, so whoever renews holds `renewing` and then reads again. The
bridge does not know what a token looks like: it is anything with two times that can be written as JSON.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta
from typing import Generic, Protocol, TypeVar

from sqlalchemy import Connection, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from bridge.errors import StoreUnavailable
from bridge.store.engine import Store
from bridge.store.secrets import KeyRing
from bridge.store.tables import accounts

log = logging.getLogger(__name__)

LEASE_S = 75.0
"""Longer than any renewal may take (60 s), so that only a holder that is gone loses its right."""

POLL_S = 0.2
"""How often a process looks whether another one is done; waiters of one process wait for each other."""


class Key(Protocol):
    """Whose token: an account's user, or with `project_id` one of its projects."""

    @property
    def account(self) -> str: ...
    @property
    def project_id(self) -> str | None: ...


class Token(Protocol):
    """A token pair."""

    @property
    def expires_at(self) -> datetime: ...
    @property
    def renew_at(self) -> datetime: ...
    def model_dump_json(self) -> str: ...


T = TypeVar("T", bound=Token)


class AccountTokens(Generic[T]):
    """The tokens of all processes on one database.

    `parse` makes a token from its JSON or raises `ValueError`.
    """

    def __init__(
        self, store: Store, ring: KeyRing, parse: Callable[[str], T], *, lease_s: float = LEASE_S
    ) -> None:
        self._store = store
        self._ring = ring
        self._parse = parse
        self._lease = timedelta(seconds=lease_s)
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def load(self, key: Key) -> T | None:
        """Return the newest pair of `key`, None if there is none that this release can read."""
        sealed = await self._store.read(
            lambda conn: conn.execute(select(accounts.c.token).where(accounts.c.key == _row(key))).scalar()
        )
        if sealed is None:
            return None
        try:
            return self._parse(self._ring.decrypt(sealed))
        except ValueError:
            log.warning("tokens.not_understood", extra={"key": _row(key)})
            return None

    async def save(self, key: Key, token: T) -> None:
        """Replace the pair of `key`; return after the commit."""
        sealed = self._ring.encrypt(token.model_dump_json())
        await self._store.write(lambda conn: self._save(conn, _row(key), sealed, token))

    def _save(self, conn: Connection, row: str, sealed: str, token: T) -> None:
        now = self._store.now(conn)
        _ensure(conn, row, now)
        conn.execute(
            update(accounts)
            .where(accounts.c.key == row)
            .values(
                token=sealed,
                expires_at=token.expires_at,
                renew_at=token.renew_at,
                problem=None,
                updated_at=now,
            )
        )

    @contextlib.asynccontextmanager
    async def renewing(self, key: Key) -> AsyncIterator[None]:
        """Hold the right to renew `key`; wait while somebody else does, at most a little over a lease.

        Raises `TimeoutError` if others were faster all that time.
        """
        row = _row(key)
        holder = secrets.token_hex(8)
        async with self._turns[row]:
            try:
                async with asyncio.timeout(self._lease.total_seconds() * 1.5):
                    await self._turn(row, holder)
                yield
            finally:
                await self._give_back(row, holder)

    async def _turn(self, row: str, holder: str) -> None:
        while True:
            if await self._won(row, holder):
                return
            await asyncio.sleep(POLL_S)  # the holder is in another process: nobody can wake us

    async def _won(self, row: str, holder: str) -> bool:
        attempt = asyncio.create_task(self._store.write(lambda conn: self._take(conn, row, holder)))
        try:
            return await asyncio.shield(attempt)
        except asyncio.CancelledError:
            await asyncio.wait([attempt])  # it may have become ours; only then can it be given back
            raise

    def _take(self, conn: Connection, row: str, holder: str) -> bool:
        now = self._store.now(conn)
        _ensure(conn, row, now)
        free = or_(accounts.c.held_until.is_(None), accounts.c.held_until <= now)
        taken = conn.execute(
            update(accounts)
            .where(accounts.c.key == row, free)
            .values(holder=holder, held_until=now + self._lease)
        )
        return bool(taken.rowcount)

    async def _give_back(self, row: str, holder: str) -> None:
        statement = (
            update(accounts)
            .where(accounts.c.key == row, accounts.c.holder == holder)
            .values(holder=None, held_until=None)
        )
        try:
            await self._store.write(lambda conn: conn.execute(statement).close())
        except StoreUnavailable as error:
            # The lease runs out by itself; what happened inside is what the caller should hear of.
            log.warning("tokens.not_given_back", extra={"key": row, "reason": error.user_message})


def _row(key: Key) -> str:
    return key.account if key.project_id is None else f"{key.account}:{key.project_id}"


def _ensure(conn: Connection, row: str, now: datetime) -> None:
    dialect = sqlite if conn.dialect.name == "sqlite" else postgresql
    conn.execute(dialect.insert(accounts).values(key=row, updated_at=now).on_conflict_do_nothing())
