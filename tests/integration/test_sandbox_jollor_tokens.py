"""The simulated auth server and who may do what, over real HTTP."""

from collections.abc import AsyncIterator

import pytest
from pydantic import JsonValue

from sandbox.clock import SandboxClock
from sandbox.jollor import PASSWORD, USERNAME, SimulatedJollor
from sandbox.jollor.switches import ErrorForm, ExpiryForm, RefreshRotation
from sandbox.jollor.tokens import GrantType
from tests.sandbox_jollor_support import Caller, calling

USER = {"scope": "profile agency"}
LOGIN = f"{USERNAME}:{PASSWORD}"


@pytest.fixture
async def jollor() -> AsyncIterator[SimulatedJollor]:
    running = await SimulatedJollor.start(clock=SandboxClock(1000))
    yield running
    await running.stop()


@pytest.fixture
async def caller(jollor: SimulatedJollor) -> AsyncIterator[Caller]:
    async with calling(jollor) as ready:
        yield ready


async def refreshed(caller: Caller, refresh_token: JsonValue, scope: str = "profile project") -> int:
    answer = await caller.grant("refresh_token", {"scope": scope, "refresh_token": refresh_token})
    return answer.status


async def test_the_password_grant_answers_as_documented(caller: Caller) -> None:
    answer = await caller.grant("password", {**USER}, basic=LOGIN)
    assert answer.status == 200
    assert set(answer.member) == {"access_token", "token_type", "scope", "expire_in", "refresh_token"}
    assert answer.member["scope"] == ["profile", "agency"]
    assert answer.member["expire_in"] == 3600


@pytest.mark.parametrize(
    ("grant_type", "body", "basic", "status"),
    [
        ("password", {"scope": "profile agency"}, f"{USERNAME}:wrong", 401),
        ("password", {"scope": "profile agency"}, None, 401),
        ("password", {"scope": "profile agency", "client_secret": "wrong"}, LOGIN, 401),
        ("password", {"scope": "profile project"}, LOGIN, 400),
        ("password", {}, LOGIN, 400),
        ("token_exchange", {"scope": "profile project", "project_id": "1", "access_token": "no"}, None, 401),
        ("token_exchange", {"scope": "profile project"}, None, 400),
        ("refresh_token", {"scope": "profile project", "refresh_token": "no"}, None, 401),
        ("client_credentials", {"scope": "profile agency"}, LOGIN, 400),
    ],
)
async def test_a_wrong_grant_is_refused(
    caller: Caller, grant_type: str, body: dict[str, JsonValue], basic: str | None, status: int
) -> None:
    assert (await caller.grant(grant_type, body, basic=basic)).status == status


async def test_an_unreadable_basic_header_is_refused(caller: Caller, jollor: SimulatedJollor) -> None:
    url = f"{jollor.auth_url}/oauth2/token?grant_type=password"
    body = {"client_id": "4711", "client_secret": "sandbox-client-secret", **USER}
    async with caller.session.post(url, json=body, headers={"Authorization": "Basic %%%"}) as response:
        assert response.status == 401


async def test_a_form_encoded_grant_is_refused(caller: Caller, jollor: SimulatedJollor) -> None:
    url = f"{jollor.auth_url}/oauth2/token?grant_type=password"
    async with caller.session.post(url, data={**USER}) as response:
        assert response.status == 400


async def test_a_user_token_is_exchanged_for_one_project(caller: Caller, jollor: SimulatedJollor) -> None:
    bakery, other = jollor.add_project("Bakery"), jollor.add_project("Other")
    answer = await caller.sign_in(bakery)
    assert answer.member["scope"] == ["profile", "project"]
    assert (await caller.call("GET", f"/projects/{bakery.id}")).status == 200
    assert (await caller.call("GET", f"/projects/{other.id}")).status == 403


async def test_a_project_of_strangers_cannot_be_exchanged(caller: Caller, jollor: SimulatedJollor) -> None:
    stranger = jollor.add_account("someone@example.com", "pw", "someone")
    theirs = jollor.add_project("Theirs", jollor.add_agency("Elsewhere", [stranger]))
    user = (await caller.sign_in()).member["access_token"]
    body: dict[str, JsonValue] = {"scope": "profile project", "access_token": user}
    assert (await caller.grant("token_exchange", body | {"project_id": theirs.id})).status == 403
    assert (await caller.grant("token_exchange", body | {"project_id": "nothing"})).status == 404


async def test_a_user_token_opens_agencies_and_no_project(caller: Caller, jollor: SimulatedJollor) -> None:
    bakery = jollor.add_project("Bakery")
    await caller.sign_in()
    agencies = await caller.call("GET", "/agencies")
    agency_id = agencies.items[0]["id"]
    assert (await caller.call("GET", f"/agencies/{agency_id}")).member["name"] == "Harbour Agency"
    projects = await caller.call("GET", f"/agencies/{agency_id}/projects")
    assert [project["id"] for project in projects.items] == [bakery.id]
    assert (await caller.call("GET", "/agencies/nothing")).status == 404
    assert (await caller.call("GET", f"/projects/{bakery.id}")).status == 403
    jollor.switches.wrong_token_status = 401
    assert (await caller.call("GET", f"/projects/{bakery.id}")).status == 401


async def test_a_project_token_opens_no_agency(caller: Caller, jollor: SimulatedJollor) -> None:
    await caller.sign_in(jollor.add_project("Bakery"))
    assert (await caller.call("GET", "/agencies")).status == 403
    assert (await caller.call("GET", "/users/me")).member["screen_name"] == "harbour_community"


async def test_an_agency_of_strangers_is_closed(caller: Caller, jollor: SimulatedJollor) -> None:
    elsewhere = jollor.add_agency("Elsewhere", [])
    await caller.sign_in()
    assert (await caller.call("GET", f"/agencies/{elsewhere.id}")).status == 403


async def test_a_call_without_a_token_is_refused(caller: Caller) -> None:
    assert (await caller.call("GET", "/users/me")).status == 401


async def test_a_required_header_is_required(caller: Caller, jollor: SimulatedJollor) -> None:
    await caller.sign_in()
    assert (await caller.call("GET", "/users/me", headers={})).status == 400
    jollor.switches.require_headers = False
    assert (await caller.call("GET", "/users/me", headers={})).status == 200


async def test_access_tokens_end_after_their_scaled_lifetime(caller: Caller, jollor: SimulatedJollor) -> None:
    jollor.switches.access_token_lifetime_s = 0.0
    await caller.sign_in()
    assert (await caller.call("GET", "/users/me")).status == 401


async def test_refresh_tokens_may_end_too(caller: Caller, jollor: SimulatedJollor) -> None:
    jollor.switches.refresh_token_lifetime_s = 0.0
    answer = await caller.sign_in(jollor.add_project("Bakery"))
    assert await refreshed(caller, answer.member["refresh_token"]) == 401


@pytest.mark.parametrize(
    ("rotation", "second_use", "changes"),
    [
        (RefreshRotation.DIES, 401, True),
        (RefreshRotation.STAYS, 200, True),
        (RefreshRotation.SAME, 200, False),
    ],
)
async def test_a_used_refresh_token_fares_as_the_switch_says(
    caller: Caller, jollor: SimulatedJollor, rotation: RefreshRotation, second_use: int, changes: bool
) -> None:
    jollor.switches.refresh_rotation = rotation
    first = (await caller.sign_in(jollor.add_project("Bakery"))).member["refresh_token"]
    body: dict[str, JsonValue] = {"scope": "profile project", "refresh_token": first}
    second = (await caller.grant("refresh_token", body)).member["refresh_token"]
    assert (second != first) is changes
    assert await refreshed(caller, first) == second_use


async def test_a_refresh_keeps_the_kind_of_token(caller: Caller, jollor: SimulatedJollor) -> None:
    answer = await caller.sign_in(jollor.add_project("Bakery"))
    assert await refreshed(caller, answer.member["refresh_token"], "profile agency") == 400


async def test_all_tokens_can_be_ended_at_once(caller: Caller, jollor: SimulatedJollor) -> None:
    bakery = jollor.add_project("Bakery")
    refresh_token = (await caller.sign_in(bakery)).member["refresh_token"]
    jollor.expire_tokens(refresh_tokens=False)
    assert (await caller.call("GET", f"/projects/{bakery.id}")).status == 401
    assert await refreshed(caller, refresh_token) == 200
    jollor.expire_tokens()
    assert await refreshed(caller, refresh_token) == 401


async def test_grants_are_counted(caller: Caller, jollor: SimulatedJollor) -> None:
    await caller.sign_in(jollor.add_project("Bakery"))
    await refreshed(caller, "no")
    assert jollor.tokens.counts() == {GrantType.PASSWORD: 1, GrantType.TOKEN_EXCHANGE: 1}
    assert [grant.status for grant in jollor.tokens.grants] == [200, 200, 401]


@pytest.mark.parametrize(
    ("form", "member", "value"),
    [
        (ExpiryForm.EXPIRES_IN, "expires_in", 3600),
        (ExpiryForm.STRING, "expire_in", "3600"),
        (ExpiryForm.ZERO, "expire_in", 0),
        (ExpiryForm.MISSING, "expire_in", None),
    ],
)
async def test_the_lifetime_is_told_as_the_switch_says(
    caller: Caller, jollor: SimulatedJollor, form: ExpiryForm, member: str, value: object
) -> None:
    jollor.switches.expiry_form = form
    jollor.switches.scope_as_string = True
    answer = await caller.sign_in()
    assert answer.member.get(member) == value
    assert answer.member["scope"] == "profile agency"


@pytest.mark.parametrize(
    ("form", "content_type"),
    [
        (ErrorForm.OBJECT, "application/json"),
        (ErrorForm.TEXT, "text/plain"),
        (ErrorForm.HTML, "text/html"),
        (ErrorForm.EMPTY, "application/octet-stream"),
    ],
)
async def test_a_failure_has_the_body_of_the_switch(
    caller: Caller, jollor: SimulatedJollor, form: ErrorForm, content_type: str
) -> None:
    jollor.switches.error_form = form
    answer = await caller.call("GET", "/agencies")
    assert (answer.status, answer.content_type) == (401, content_type)
    assert bool(answer.text) is (form is not ErrorForm.EMPTY)


async def test_no_secret_reaches_the_wire_list(caller: Caller, jollor: SimulatedJollor) -> None:
    token = str((await caller.sign_in(jollor.add_project("Bakery"))).member["access_token"])
    everything = repr(jollor.wire.entries(operation="createToken"))
    assert len(jollor.wire.entries(operation="createToken")) == 2
    assert "sandbox-client-secret" not in everything
    assert token not in everything
