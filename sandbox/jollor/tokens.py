"""Access and refresh tokens: what was granted, to whom, until when."""

import time
from collections import Counter
from dataclasses import dataclass
from enum import StrEnum

from sandbox.clock import SandboxClock
from sandbox.jollor.ids import Ids
from sandbox.jollor.model import Account, Project
from sandbox.jollor.switches import RefreshRotation, Switches


class GrantType(StrEnum):
    """The three documented grants."""

    PASSWORD = "password"
    TOKEN_EXCHANGE = "token_exchange"
    REFRESH_TOKEN = "refresh_token"


@dataclass(frozen=True)
class Token:
    """An access token and its refresh token, a user's if `project` is None. Ends are monotonic moments."""

    access_token: str
    refresh_token: str
    account: Account
    project: Project | None
    access_ends: float
    refresh_ends: float

    @property
    def scopes(self) -> tuple[str, str]:
        return ("profile", "agency" if self.project is None else "project")


@dataclass(frozen=True)
class Grant:
    """One call of the token endpoint that named a known grant, for tests. `status` is what was answered."""

    grant_type: GrantType
    status: int
    project_id: str | None


class Tokens:
    """All tokens of one simulated Jollor."""

    def __init__(self, *, clock: SandboxClock, ids: Ids, switches: Switches) -> None:
        self._clock = clock
        self._ids = ids
        self._switches = switches
        self._by_access: dict[str, Token] = {}
        self._by_refresh: dict[str, Token] = {}
        self.grants: list[Grant] = []

    def issue(self, account: Account, project: Project | None, *, refresh_token: str | None = None) -> Token:
        """A fresh pair; with `refresh_token` that one is kept."""
        kind = "uat" if project is None else "pat"
        now = time.monotonic()
        refresh_s = self._switches.refresh_token_lifetime_s
        token = Token(
            access_token=self._ids.token(kind),
            refresh_token=refresh_token or self._ids.token(f"{kind}-refresh"),
            account=account,
            project=project,
            access_ends=now + self._clock.seconds(self._switches.access_token_lifetime_s),
            refresh_ends=float("inf") if refresh_s is None else now + self._clock.seconds(refresh_s),
        )
        self._by_access[token.access_token] = token
        self._by_refresh[token.refresh_token] = token
        return token

    def refresh(self, token: Token) -> Token:
        """The pair that follows `token`; what becomes of the old refresh token is a switch."""
        match self._switches.refresh_rotation:
            case RefreshRotation.SAME:
                return self.issue(token.account, token.project, refresh_token=token.refresh_token)
            case RefreshRotation.DIES:
                self._by_refresh.pop(token.refresh_token, None)
            case RefreshRotation.STAYS:
                pass
        return self.issue(token.account, token.project)

    def valid(self, access_token: str) -> Token | None:
        """The token, unless unknown or expired."""
        token = self._by_access.get(access_token)
        return token if token is not None and time.monotonic() < token.access_ends else None

    def refreshable(self, refresh_token: str) -> Token | None:
        """The token that `refresh_token` belongs to, unless used up or expired."""
        token = self._by_refresh.get(refresh_token)
        return token if token is not None and time.monotonic() < token.refresh_ends else None

    def expire_access(self) -> None:
        """All access tokens end now; refresh tokens go on."""
        self._by_access.clear()

    def expire_all(self) -> None:
        """All tokens end now."""
        self._by_access.clear()
        self._by_refresh.clear()

    def counts(self) -> Counter[GrantType]:
        """How many grants of each type succeeded."""
        return Counter(grant.grant_type for grant in self.grants if grant.status == 200)
