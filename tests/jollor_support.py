"""The Jollor client wired to the simulated Jollor over real HTTP."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from jollor.auth import Account, Auth
from jollor.client import Funnel, JollorClient, Limits, Servers, open_funnel
from jollor.social import JollorSocial
from jollor.tokens import MemoryTokenStore, TokenStore
from sandbox.jollor import CLIENT_ID, CLIENT_SECRET, PASSWORD, USERNAME, SimulatedJollor
from sandbox.wire import Direction

ACCOUNT = Account(client_id=CLIENT_ID, client_secret=CLIENT_SECRET, username=USERNAME, password=PASSWORD)
LIMITS = Limits(total_s=5.0, connect_s=1.0, max_answer_bytes=2**20)


def now() -> datetime:
    return datetime.now(UTC)


@dataclass
class Connected:
    """One process's end of the connection to Jollor."""

    jollor: SimulatedJollor
    funnel: Funnel
    auth: Auth
    client: JollorClient
    social: JollorSocial
    store: TokenStore = field(repr=False)

    def asked(self, operation: str) -> int:
        """How often `operation` has reached Jollor."""
        return len(self.jollor.wire.entries(direction=Direction.IN, operation=operation))


@asynccontextmanager
async def connected(
    jollor: SimulatedJollor,
    *,
    store: TokenStore | None = None,
    limits: Limits = LIMITS,
    account: Account = ACCOUNT,
    password: str | None = None,
    app_url: str | None = None,
    auth_url: str | None = None,
) -> AsyncIterator[Connected]:
    """A client of `jollor`, as the sandbox's own account unless another is given."""
    store = MemoryTokenStore() if store is None else store
    account = account if password is None else replace(account, password=password)
    servers = Servers(app_url or jollor.app_url, auth_url or jollor.auth_url)
    async with open_funnel(servers, limits) as funnel, Auth(funnel.exchange, account, store, now=now) as auth:
        client = JollorClient(funnel, auth, now=now)
        yield Connected(jollor, funnel, auth, client, JollorSocial(client, now=now), store)
