"""What is kept of a token, and what keeps it: the store that all processes of the bridge share."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

Clock = Callable[[], datetime]
"""Returns the current time, aware, in UTC."""

RENEWAL_LIMIT = timedelta(seconds=60)
"""The longest time that `TokenStore.renewing` is held; a lease has to last longer."""

_RENEW_AFTER = 0.8  # of the lifetime


@dataclass(frozen=True, slots=True)
class TokenKey:
    """Whose token: that of an account's user, or with `project_id` that of one project of the account."""

    account: str
    project_id: str | None = None


class StoredToken(BaseModel):
    """A token pair. Secret: `model_dump_json` of it is to be encrypted before it is stored."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    access_token: str = Field(repr=False)
    refresh_token: str | None = Field(default=None, repr=False)
    issued_at: AwareDatetime
    expires_at: AwareDatetime

    @property
    def renew_at(self) -> datetime:
        """From when on a new one is to be got: at 80 % of its life."""
        return self.issued_at + (self.expires_at - self.issued_at) * _RENEW_AFTER


class TokenStore(Protocol):
    """Keeps token pairs, and lets one renew at a time across all processes.

    A rotated refresh token cannot be used twice, so whoever renews holds `renewing` and reads again first.
    """

    async def load(self, key: TokenKey) -> StoredToken | None:
        """Return the newest pair of `key`, None if there is none yet."""
        ...

    async def save(self, key: TokenKey, token: StoredToken) -> None:
        """Replace the pair of `key`, durably, before returning."""
        ...

    def renewing(self, key: TokenKey) -> AbstractAsyncContextManager[None]:
        """Hold the right to renew `key`; waits while somebody else does.

        A holder that died must not block for ever: a lease somewhat longer than `RENEWAL_LIMIT`.
        """
        ...


class MemoryTokenStore:
    """A `TokenStore` for one process that forgets: for tests and one-off commands."""

    def __init__(self) -> None:
        self.tokens: dict[TokenKey, StoredToken] = {}
        self._locks: defaultdict[TokenKey, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def load(self, key: TokenKey) -> StoredToken | None:
        """Return the newest pair."""
        return self.tokens.get(key)

    async def save(self, key: TokenKey, token: StoredToken) -> None:
        """Replace the pair."""
        self.tokens[key] = token

    @asynccontextmanager
    async def renewing(self, key: TokenKey) -> AsyncIterator[None]:
        """Hold the key's lock."""
        async with self._locks[key]:
            yield
