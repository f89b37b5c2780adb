"""Access tokens for one Jollor account: which grant, when, and one renewal at a time.

A user token comes from login and password, a project's token from exchanging the user's; both are refreshed.
Where a step is refused the next one is tried: refresh, exchange, password. A refused password is not tried
again at once, lest the account is locked. Source: NOTES 2.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol, Self

from jollor.errors import (
    BadAnswer,
    CredentialsMissing,
    Forbidden,
    JollorError,
    NotFound,
    ProjectRefused,
    Rejected,
    ServerDown,
    SignInRefused,
)
from jollor.models import WireToken
from jollor.operations import PROJECT_SCOPE, USER_SCOPE, exchange_grant, password_grant, refresh_grant
from jollor.protocol import Answer, Call, Request, check
from jollor.tokens import RENEWAL_LIMIT, Clock, StoredToken, TokenKey, TokenStore

log = logging.getLogger(__name__)

_PAUSES = tuple(timedelta(minutes=minutes) for minutes in (1, 5, 15, 60))
"""How long a grant that Jollor refused is left alone; the last one repeats."""

_RETRY_EARLY_RENEWAL = timedelta(seconds=30)
"""How long a token that still works is used before the next attempt to renew it."""


class Exchange(Protocol):
    """Makes one HTTP exchange; `client.Funnel.exchange` is one."""

    async def __call__(self, request: Request, /) -> Answer: ...


@dataclass(frozen=True, slots=True)
class Account:
    """A Jollor account as the settings have it; empty members are missed only when a grant needs them."""

    client_id: str = ""
    client_secret: str = field(default="", repr=False)
    username: str = ""
    password: str = field(default="", repr=False)
    name: str = "default"
    """Tells accounts apart in the token store."""

    def need(self, *members: str) -> None:
        """Raise `CredentialsMissing`, naming the settings, if any of `members` is empty."""
        missing = tuple(f"JOLLOR_{member.upper()}" for member in members if not getattr(self, member))
        if missing:
            raise CredentialsMissing(missing)


@dataclass(frozen=True, slots=True)
class _Refusal:
    """A grant that Jollor refused: raised again, without asking, until `retry_at`."""

    error: JollorError
    times: int
    retry_at: datetime


class Auth:
    """Gives access tokens, from memory, the shared store, or a grant. Use it as an async context manager."""

    def __init__(
        self,
        exchange: Exchange,
        account: Account,
        store: TokenStore,
        *,
        now: Clock,
        renewal_limit: timedelta = RENEWAL_LIMIT,
    ) -> None:
        self._exchange = exchange
        self._account = account
        self._store = store
        self._now = now
        self._renewal_limit = renewal_limit
        self._known: dict[TokenKey, StoredToken] = {}
        self._refusals: dict[TokenKey, _Refusal] = {}
        self._early_not_before: dict[TokenKey, datetime] = {}
        self._spent: dict[TokenKey, str] = {}  # refresh tokens that Jollor refused
        self._renewals: dict[TokenKey, asyncio.Task[StoredToken]] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Let renewals that are under way finish: a refresh token spent and not stored would be lost."""
        await asyncio.gather(*self._renewals.values(), return_exceptions=True)

    async def bearer(self, project_id: str | None, *, refused: str | None = None) -> str:
        """Return an access token of the project (None: of the user) that is not `refused`.

        One past 80 % of its life is renewed first; if that fails while it still works, it is used on. Raises
        `SignInFailed` if a person has to do something, else what the auth server's answer means.
        """
        key = TokenKey(self._account.name, project_id)
        token = await self._current(key)
        now = self._now()
        if token is None or token.access_token == refused or now >= token.expires_at:
            return (await self._renewed(key, refused)).access_token
        if now < max(token.renew_at, self._early_not_before.get(key, token.renew_at)):
            return token.access_token
        try:
            return (await self._renewed(key, refused)).access_token
        except JollorError as error:
            self._early_not_before[key] = now + _RETRY_EARLY_RENEWAL
            log.warning("jollor.early_renewal_failed", extra={"project": project_id, "reason": str(error)})
            return token.access_token

    async def keep_fresh(self, project_ids: Iterable[str | None]) -> list[JollorError]:
        """Renew what is past 80 % of its life, so that no call has to wait for it; return what failed."""
        failures = []
        for project_id in project_ids:
            try:
                await self.bearer(project_id)
            except JollorError as error:
                failures.append(error)
        return failures

    async def _current(self, key: TokenKey) -> StoredToken | None:
        known = self._known.get(key)
        if known is None or self._now() >= known.renew_at:
            known = await self._store.load(key) or known
        if known is not None:
            self._known[key] = known
        return known

    async def _renewed(self, key: TokenKey, refused: str | None) -> StoredToken:
        """Return a token that is not `refused`, joining a renewal that this process already runs.

        A caller that stops waiting does not stop the renewal.
        """
        token = await asyncio.shield(self._renewal(key, refused))
        if token.access_token == refused:  # that renewal did not know that this one was refused
            token = await asyncio.shield(self._renewal(key, refused))
        return token

    def _renewal(self, key: TokenKey, refused: str | None) -> asyncio.Task[StoredToken]:
        running = self._renewals.get(key)
        if running is not None:
            return running
        task = asyncio.create_task(self._renew(key, refused))
        self._renewals[key] = task
        task.add_done_callback(lambda done: self._ended(key, done))
        return task

    def _ended(self, key: TokenKey, task: asyncio.Task[StoredToken]) -> None:
        del self._renewals[key]
        if not task.cancelled():
            task.exception()  # whoever still waits gets it; nobody waiting is no error

    async def _renew(self, key: TokenKey, refused: str | None) -> StoredToken:
        try:
            async with asyncio.timeout(self._renewal_limit.total_seconds()):
                async with self._store.renewing(key):
                    current = await self._store.load(key)
                    if current is None or current.access_token == refused or self._now() >= current.renew_at:
                        current = await self._obtained(key, current)
                        self._known[key] = current  # usable here even if it cannot be stored
                        await self._store.save(key, current)
                    self._known[key] = current
                    return current
        except TimeoutError as error:
            raise ServerDown("sign-in", "no token in time") from error

    async def _obtained(self, key: TokenKey, current: StoredToken | None) -> StoredToken:
        """Return a new token: by refresh, else by exchange or by password. Raises the last step's error."""
        self._account.need("client_id", "client_secret")
        refresh_token = None if current is None else current.refresh_token
        if refresh_token is not None and self._spent.get(key) != refresh_token:
            refreshed = await self._refreshed(key, refresh_token)
            if refreshed is not None:
                return refreshed
        refusal = self._refusals.get(key)
        if refusal is not None and self._now() < refusal.retry_at:
            raise refusal.error
        token = await (self._signed_in() if key.project_id is None else self._exchanged(key.project_id))
        self._refusals.pop(key, None)
        return token

    async def _refreshed(self, key: TokenKey, refresh_token: str) -> StoredToken | None:
        """Return a refreshed token, None if Jollor answered anything but one (then another grant may do)."""
        account = self._account
        scope = USER_SCOPE if key.project_id is None else PROJECT_SCOPE
        call = refresh_grant(account.client_id, account.client_secret, scope, refresh_token)
        try:
            return await self._granted(call, scope, refresh_token)
        except ServerDown as error:
            if error.status is None:
                raise
            reason: JollorError = error
        except (Rejected, BadAnswer) as error:
            reason = error
        if isinstance(reason, Rejected):
            self._spent[key] = refresh_token
        log.info("jollor.refresh_refused", extra={"project": key.project_id, "status": reason.status})
        return None

    async def _exchanged(self, project_id: str) -> StoredToken:
        user = await self.bearer(None)
        try:
            return await self._exchange_once(project_id, user)
        except Rejected as error:
            if isinstance(error, Forbidden | NotFound):
                raise self._refused(project_id, error) from error
        # 400 or 401: the user's token itself may have been refused
        user = await self.bearer(None, refused=user)
        try:
            return await self._exchange_once(project_id, user)
        except Rejected as error:
            raise self._refused(project_id, error) from error

    async def _exchange_once(self, project_id: str, user_token: str) -> StoredToken:
        account = self._account
        call = exchange_grant(account.client_id, account.client_secret, project_id, user_token)
        return await self._granted(call, PROJECT_SCOPE, None)

    async def _signed_in(self) -> StoredToken:
        account = self._account
        account.need("username", "password")
        call = password_grant(account.client_id, account.client_secret, account.username, account.password)
        try:
            return await self._granted(call, USER_SCOPE, None)
        except Rejected as error:
            raise self._refused(None, error) from error

    def _refused(self, project_id: str | None, error: Rejected) -> JollorError:
        """Remember that Jollor refused a grant, and return the error that says what to do about it."""
        key = TokenKey(self._account.name, project_id)
        before = self._refusals.get(key)
        times = 1 if before is None else before.times + 1
        retry_at = self._now() + _PAUSES[min(times, len(_PAUSES)) - 1]
        if project_id is not None:
            reason = f"Jollor gives no token for project {project_id}; check that the account can see it"
            failure: JollorError = ProjectRefused("sign-in", reason, status=error.status)
        else:
            failure = SignInRefused(_advice(error), retry_at=retry_at, status=error.status)
        self._refusals[key] = _Refusal(failure, times, retry_at)
        return failure

    async def _granted(self, call: Call[WireToken], scope: str, old_refresh: str | None) -> StoredToken:
        asked_at = self._now()
        answer = await self._exchange(call.request)
        check(call.request, answer, now=self._now(), secrets=[old_refresh or ""])
        token = call.read(answer)
        if token.scope and not set(scope.split()) <= set(token.scope):
            log.warning("jollor.scope_is_narrower", extra={"wanted": scope, "granted": " ".join(token.scope)})
        return StoredToken(
            access_token=token.access_token,
            refresh_token=token.refresh_token or old_refresh,
            issued_at=asked_at,
            expires_at=asked_at + token.lifetime,
        )


def _advice(error: Rejected) -> str:
    if isinstance(error, NotFound):
        return "nobody signs in at this address; check JOLLOR_AUTH_URL"
    return (
        "Jollor refused the sign-in; check JOLLOR_USERNAME and JOLLOR_PASSWORD, "
        "then JOLLOR_CLIENT_ID and JOLLOR_CLIENT_SECRET"
    )
