"""Which grant is used when, and one renewal at a time."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import JsonValue

from jollor.auth import Account, Auth
from jollor.errors import (
    BadAnswer,
    CredentialsMissing,
    JollorError,
    NotSent,
    ProjectRefused,
    RateLimited,
    ServerDown,
    SignInRefused,
)
from jollor.protocol import Answer, Base, Request
from jollor.tokens import MemoryTokenStore, StoredToken, TokenKey

ACCOUNT = Account(client_id="4711", client_secret="cs", username="robin", password="pw")
USER = TokenKey("default")
PROJECT = TokenKey("default", "P")


@dataclass
class Hands:
    """A clock that is moved by hand."""

    at: datetime = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.at

    def forward(self, **by: float) -> None:
        self.at += timedelta(**by)


@dataclass
class AuthServer:
    """An auth server in memory: knows which tokens are good, and may be told to fail."""

    rotates: bool = True
    password: str = "pw"
    lifetime: JsonValue = 3600
    scope: JsonValue = None
    asked: list[str] = field(default_factory=list)
    good_access: set[str] = field(default_factory=set)
    good_refresh: set[str] = field(default_factory=set)
    failures: dict[str, list[Answer | JollorError]] = field(default_factory=dict)
    hidden_projects: set[str] = field(default_factory=set)
    gate: asyncio.Event | None = None
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    made: int = 0

    def fail(self, grant: str, *with_: Answer | JollorError | int) -> None:
        """Have the next requests for `grant` fail, with a status, an answer or an error."""
        self.failures.setdefault(grant, []).extend(
            Answer(one, {}, b"{}") if isinstance(one, int) else one for one in with_
        )

    async def __call__(self, request: Request, /) -> Answer:
        assert (request.base, request.method, request.path) == (Base.AUTH, "POST", "/oauth2/token")
        grant = dict(request.query)["grant_type"]
        self.asked.append(grant)
        self.reached.set()
        if self.gate is not None:
            await self.gate.wait()
        if self.failures.get(grant):
            failure = self.failures[grant].pop(0)
            if isinstance(failure, JollorError):
                raise failure
            return failure
        body = request.json or {}
        assert (body["client_id"], body["client_secret"]) == ("4711", "cs")
        status = getattr(self, f"_{grant}")(body, request.headers)
        return self._pair(str(body["scope"])) if status == 200 else Answer(status, {}, b'{"error": "no"}')

    def _password(self, body: Mapping[str, JsonValue], headers: Mapping[str, str]) -> int:
        assert body["scope"] == "profile agency"
        return 200 if headers["Authorization"] == "Basic cm9iaW46cHc=" and self.password == "pw" else 401

    def _token_exchange(self, body: Mapping[str, JsonValue], headers: Mapping[str, str]) -> int:
        assert body["scope"] == "profile project"
        if body["access_token"] not in self.good_access:
            return 401
        return 403 if body["project_id"] in self.hidden_projects else 200

    def _refresh_token(self, body: Mapping[str, JsonValue], headers: Mapping[str, str]) -> int:
        if body["refresh_token"] not in self.good_refresh:
            return 400
        if self.rotates:
            self.good_refresh.discard(str(body["refresh_token"]))
        return 200

    def _pair(self, scope: str) -> Answer:
        self.made += 1
        pair = {"access_token": f"a{self.made}", "token_type": "Bearer", "refresh_token": f"r{self.made}"}
        self.good_access.add(pair["access_token"])
        self.good_refresh.add(pair["refresh_token"])
        scopes = scope.split() if self.scope is None else self.scope
        body = {**pair, "scope": scopes, "expire_in": self.lifetime}
        return Answer(200, {}, json.dumps(body).encode())


@pytest.fixture
def clock() -> Hands:
    return Hands()


@pytest.fixture
def server() -> AuthServer:
    return AuthServer()


@pytest.fixture
def store() -> MemoryTokenStore:
    return MemoryTokenStore()


@pytest.fixture
async def auth(server: AuthServer, store: MemoryTokenStore, clock: Hands) -> AsyncIterator[Auth]:
    async with Auth(server, ACCOUNT, store, now=clock) as auth:
        yield auth


async def test_the_users_token_comes_from_the_password_and_is_kept(
    auth: Auth, server: AuthServer, store: MemoryTokenStore, clock: Hands
) -> None:
    assert [await auth.bearer(None), await auth.bearer(None)] == ["a1", "a1"]
    assert server.asked == ["password"]
    assert store.tokens[USER] == StoredToken(
        access_token="a1",
        refresh_token="r1",
        issued_at=clock(),
        expires_at=clock() + timedelta(hours=1),
    )


async def test_a_projects_token_is_exchanged_for_the_users(auth: Auth, server: AuthServer) -> None:
    assert await auth.bearer("P") == "a2"
    assert await auth.bearer("Q") == "a3"
    assert server.asked == ["password", "token_exchange", "token_exchange"]


async def test_a_token_from_the_store_is_used_as_it_is(
    server: AuthServer, store: MemoryTokenStore, clock: Hands
) -> None:
    async with Auth(server, ACCOUNT, store, now=clock) as first:
        await first.bearer("P")
    async with Auth(server, ACCOUNT, store, now=clock) as second:
        assert await second.bearer("P") == "a2"
    assert len(server.asked) == 2


async def test_a_token_is_refreshed_at_80_percent_of_its_life(
    auth: Auth, server: AuthServer, clock: Hands
) -> None:
    await auth.bearer("P")
    clock.forward(minutes=47)
    assert await auth.bearer("P") == "a2"
    clock.forward(minutes=2)
    assert await auth.bearer("P") == "a3"
    assert server.asked == ["password", "token_exchange", "refresh_token"]


@pytest.mark.parametrize("rotates", [True, False])
async def test_the_newest_refresh_token_is_the_one_that_is_used(
    auth: Auth, server: AuthServer, clock: Hands, store: MemoryTokenStore, rotates: bool
) -> None:
    server.rotates = rotates
    await auth.bearer("P")
    for _ in range(3):
        clock.forward(minutes=50)
        await auth.bearer("P")
    assert server.asked == ["password", "token_exchange"] + ["refresh_token"] * 3
    assert store.tokens[PROJECT].refresh_token == "r5"


async def test_a_refresh_that_names_no_new_refresh_token_keeps_the_old_one(
    auth: Auth, server: AuthServer, clock: Hands, store: MemoryTokenStore
) -> None:
    await auth.bearer(None)
    clock.forward(minutes=50)
    server.fail("refresh_token", Answer(200, {}, b'{"access_token": "a9"}'))
    assert await auth.bearer(None) == "a9"
    assert store.tokens[USER].refresh_token == "r1"


@pytest.mark.parametrize("refusal", [400, 401, 403, 500, Answer(200, {}, b"{}"), Answer(200, {}, b"<html>")])
async def test_where_the_refresh_is_refused_the_exchange_is_next(
    auth: Auth, server: AuthServer, clock: Hands, refusal: int | Answer
) -> None:
    await auth.bearer("P")
    clock.forward(minutes=50)
    server.fail("refresh_token", refusal)
    server.asked.clear()
    assert await auth.bearer("P") == "a4"
    assert server.asked == ["refresh_token", "refresh_token", "token_exchange"]  # the second is the user's


async def test_where_refresh_and_the_users_token_are_refused_the_password_is_next(
    auth: Auth, server: AuthServer, clock: Hands
) -> None:
    await auth.bearer("P")
    clock.forward(minutes=50)
    server.good_refresh.clear()
    server.good_access.clear()
    server.asked.clear()
    await auth.bearer("P")
    # the user's token is past 80 %, too: its refresh is refused, the password gives a new one
    assert server.asked == ["refresh_token", "refresh_token", "password", "token_exchange"]


async def test_an_exchange_refused_with_401_gets_a_new_users_token_once(
    auth: Auth, server: AuthServer
) -> None:
    await auth.bearer(None)
    server.good_access.clear()
    assert await auth.bearer("P") == "a3"
    assert server.asked == ["password", "token_exchange", "refresh_token", "token_exchange"]


async def test_an_exchange_refused_twice_says_what_to_check_and_is_left_alone(
    auth: Auth, server: AuthServer, clock: Hands
) -> None:
    server.fail("token_exchange", 400, 400)
    with pytest.raises(ProjectRefused, match="check that the account can see it"):
        await auth.bearer("P")
    server.asked.clear()
    with pytest.raises(ProjectRefused):
        await auth.bearer("P")
    assert server.asked == []
    clock.forward(seconds=61)
    assert await auth.bearer("P")


async def test_a_project_that_the_account_cannot_see_does_not_hold_up_another(
    auth: Auth, server: AuthServer
) -> None:
    server.hidden_projects.add("P")
    with pytest.raises(ProjectRefused):
        await auth.bearer("P")
    assert server.asked == ["password", "token_exchange"]
    assert await auth.bearer("Q")


async def test_a_token_that_was_refused_is_renewed(auth: Auth, server: AuthServer) -> None:
    first = await auth.bearer("P")
    assert await auth.bearer("P", refused=first) == "a3"
    assert server.asked == ["password", "token_exchange", "refresh_token"]


async def test_a_refused_token_that_another_process_has_replaced_is_not_renewed_again(
    auth: Auth, server: AuthServer, store: MemoryTokenStore, clock: Hands
) -> None:
    first = await auth.bearer("P")
    async with Auth(server, ACCOUNT, store, now=clock) as other:
        second = await other.bearer("P", refused=first)
    assert await auth.bearer("P", refused=first) == second
    assert server.asked.count("refresh_token") == 1


async def test_many_callers_of_one_process_share_one_renewal(auth: Auth, server: AuthServer) -> None:
    assert set(await asyncio.gather(*(auth.bearer("P") for _ in range(20)))) == {"a2"}
    assert server.asked == ["password", "token_exchange"]


async def test_two_processes_renew_one_after_the_other_and_only_once(
    server: AuthServer, store: MemoryTokenStore, clock: Hands
) -> None:
    async with Auth(server, ACCOUNT, store, now=clock) as one, Auth(server, ACCOUNT, store, now=clock) as two:
        await asyncio.gather(one.bearer("P"), two.bearer("P"))
        clock.forward(minutes=50)
        tokens = await asyncio.gather(one.bearer("P"), two.bearer("P"), one.bearer("P"), two.bearer("P"))
    assert server.asked == ["password", "token_exchange", "refresh_token"]
    assert set(tokens) == {"a3"}


async def test_a_caller_who_was_refused_the_outcome_of_a_renewal_under_way_gets_another(
    auth: Auth, server: AuthServer, store: MemoryTokenStore, clock: Hands
) -> None:
    first = await auth.bearer(None)
    clock.forward(minutes=50)
    server.gate = asyncio.Event()
    early = asyncio.create_task(auth.bearer(None))
    refused = asyncio.create_task(auth.bearer(None, refused="a2"))  # what the early one is about to get
    await asyncio.sleep(0)
    server.gate.set()
    assert (first, await early, await refused) == ("a1", "a2", "a3")


async def test_a_caller_that_gives_up_does_not_stop_the_renewal(
    server: AuthServer, store: MemoryTokenStore, clock: Hands
) -> None:
    server.gate = asyncio.Event()
    async with Auth(server, ACCOUNT, store, now=clock) as auth:
        caller = asyncio.create_task(auth.bearer(None))
        await server.reached.wait()
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller
        server.gate.set()
    assert store.tokens[USER].access_token == "a1"


@pytest.mark.parametrize("failure", [NotSent("x", "no connection"), ServerDown("x", "no answer"), 503, 429])
async def test_a_token_that_still_works_is_used_on_if_it_cannot_be_renewed(
    auth: Auth, server: AuthServer, clock: Hands, failure: JollorError | int
) -> None:
    await auth.bearer(None)
    clock.forward(minutes=50)
    server.fail("refresh_token", failure)
    server.fail("password", failure)
    assert await auth.bearer(None) == "a1"
    asked = len(server.asked)
    assert await auth.bearer(None) == "a1"
    assert len(server.asked) == asked, "asked again at once"
    clock.forward(seconds=31)
    assert await auth.bearer(None) == "a2"


@pytest.mark.parametrize(
    ("failure", "kind"),
    [(NotSent("x", "none"), NotSent), (ServerDown("x", "none"), ServerDown), (429, RateLimited)],
)
async def test_an_expired_token_that_cannot_be_renewed_is_an_error(
    auth: Auth, server: AuthServer, clock: Hands, failure: JollorError | int, kind: type[JollorError]
) -> None:
    await auth.bearer(None)
    clock.forward(minutes=60)
    server.fail("refresh_token", failure)
    with pytest.raises(kind):
        await auth.bearer(None)
    assert server.asked == ["password", "refresh_token"], "no other grant helps when the server is away"
    assert await auth.bearer(None) == "a2"


async def test_a_refused_password_says_what_to_check_and_is_not_tried_again_at_once(
    auth: Auth, server: AuthServer, clock: Hands
) -> None:
    server.password = "changed"
    tries = []
    for _ in range(5):
        with pytest.raises(SignInRefused, match="check JOLLOR_USERNAME and JOLLOR_PASSWORD") as caught:
            await auth.bearer("P")
        with pytest.raises(SignInRefused):
            await auth.bearer("Q")
        tries.append((caught.value.retry_at - clock()) // timedelta(minutes=1))
        clock.at = caught.value.retry_at
    assert tries == [1, 5, 15, 60, 60]
    assert server.asked == ["password"] * 5
    server.password = "pw"
    assert await auth.bearer("P")


async def test_after_a_sign_in_that_worked_the_pauses_start_anew(
    auth: Auth, server: AuthServer, clock: Hands, store: MemoryTokenStore
) -> None:
    server.fail("password", 401)
    with pytest.raises(SignInRefused):
        await auth.bearer(None)
    clock.forward(minutes=2)
    await auth.bearer(None)
    clock.forward(hours=2)
    server.fail("refresh_token", 400)
    server.fail("password", 401)
    with pytest.raises(SignInRefused) as caught:
        await auth.bearer(None)
    assert caught.value.retry_at - clock() == timedelta(minutes=1)


async def test_a_refresh_token_that_was_refused_is_not_offered_again(
    auth: Auth, server: AuthServer, clock: Hands
) -> None:
    await auth.bearer(None)
    clock.forward(hours=2)
    server.good_refresh.clear()
    server.password = "changed"
    for _ in range(3):
        with pytest.raises(SignInRefused):
            await auth.bearer(None)
    assert server.asked == ["password", "refresh_token", "password"]


async def test_a_wrong_auth_address_is_named(auth: Auth, server: AuthServer) -> None:
    server.fail("password", 404)
    with pytest.raises(SignInRefused, match="check JOLLOR_AUTH_URL"):
        await auth.bearer(None)


@pytest.mark.parametrize(
    ("account", "names"),
    [
        (Account(), ("JOLLOR_CLIENT_ID", "JOLLOR_CLIENT_SECRET")),
        (Account(client_id="4711", client_secret="cs", username="robin"), ("JOLLOR_PASSWORD",)),
    ],
)
async def test_missing_settings_are_named(
    server: AuthServer, store: MemoryTokenStore, clock: Hands, account: Account, names: tuple[str, ...]
) -> None:
    async with Auth(server, account, store, now=clock) as auth:
        with pytest.raises(CredentialsMissing) as caught:
            await auth.bearer("P")
    assert caught.value.names == names
    assert str(caught.value) == f"sign-in: not possible yet: set {' and '.join(names)}"
    assert server.asked == []


async def test_an_unusable_answer_to_the_password_is_an_error(auth: Auth, server: AuthServer) -> None:
    server.fail("password", Answer(200, {}, b'{"access_token": "a\\nb"}'))
    with pytest.raises(BadAnswer):
        await auth.bearer(None)


@pytest.mark.parametrize("scope", [["profile"], "profile"])
async def test_a_narrower_scope_is_only_warned_of(
    auth: Auth, server: AuthServer, caplog: pytest.LogCaptureFixture, scope: JsonValue
) -> None:
    server.scope = scope
    assert await auth.bearer(None) == "a1"
    assert [record.message for record in caplog.records] == ["jollor.scope_is_narrower"]


@pytest.mark.parametrize("scope", [[], "profile agency more", ["agency", "profile"]])
async def test_a_scope_that_covers_what_was_asked_is_not_warned_of(
    auth: Auth, server: AuthServer, caplog: pytest.LogCaptureFixture, scope: JsonValue
) -> None:
    server.scope = scope
    await auth.bearer(None)
    assert caplog.records == []


async def test_keeping_fresh_renews_what_is_due_and_tells_what_failed(
    auth: Auth, server: AuthServer, clock: Hands
) -> None:
    await auth.bearer("P")
    server.hidden_projects.add("Q")
    clock.forward(minutes=50)
    server.asked.clear()
    failures = await auth.keep_fresh([None, "P", "Q"])
    assert [type(failure) for failure in failures] == [ProjectRefused]
    assert server.asked == ["refresh_token", "refresh_token", "token_exchange"]


async def test_a_renewal_that_takes_too_long_is_given_up(
    server: AuthServer, store: MemoryTokenStore, clock: Hands
) -> None:
    server.gate = asyncio.Event()
    limit = timedelta(milliseconds=10)
    async with Auth(server, ACCOUNT, store, now=clock, renewal_limit=limit) as auth:
        with pytest.raises(ServerDown, match="no token in time"):
            await auth.bearer(None)
        server.gate.set()
        assert await auth.bearer(None) == "a1", "the right to renew was given back"


class FullStore(MemoryTokenStore):
    """Loses what it should keep."""

    async def save(self, key: TokenKey, token: StoredToken) -> None:
        raise OSError("disk full")


async def test_a_token_that_cannot_be_stored_is_not_asked_for_twice(server: AuthServer, clock: Hands) -> None:
    async with Auth(server, ACCOUNT, FullStore(), now=clock) as auth:
        with pytest.raises(OSError, match="disk full"):
            await auth.bearer(None)
        assert await auth.bearer(None) == "a1"
    assert server.asked == ["password"]


def test_secrets_stay_out_of_every_representation() -> None:
    token = StoredToken(
        access_token="tok-a", refresh_token="tok-r", issued_at=Hands().at, expires_at=Hands().at
    )
    assert "tok-" not in f"{token!r} {token}"
    assert not any(secret in repr(ACCOUNT) for secret in ("'cs'", "'pw'"))
    assert StoredToken.model_validate_json(token.model_dump_json()) == token
