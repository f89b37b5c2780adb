"""Tokens over HTTP: the three grants, renewal, rotation, races."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from jollor import operations as op
from jollor.errors import CredentialsMissing, ProjectRefused, ServerDown, SignInRefused
from jollor.tokens import MemoryTokenStore, StoredToken, TokenKey
from sandbox.clock import SandboxClock
from sandbox.faults import Fault, FaultKind
from sandbox.jollor import CLIENT_ID, CLIENT_SECRET, PASSWORD, USERNAME, SimulatedJollor
from sandbox.jollor.model import Project
from sandbox.jollor.switches import ErrorForm, ExpiryForm, RefreshRotation
from sandbox.wire import End
from tests.jollor_support import ACCOUNT, Connected, connected, now


@pytest.fixture
async def jollor() -> AsyncIterator[SimulatedJollor]:
    running = await SimulatedJollor.start(clock=SandboxClock(1000))
    yield running
    await running.stop()


@pytest.fixture
def project(jollor: SimulatedJollor) -> Project:
    return jollor.add_project("Harbour Bakery")


@pytest.fixture
def store() -> MemoryTokenStore:
    return MemoryTokenStore()


@pytest.fixture
async def line(jollor: SimulatedJollor, store: MemoryTokenStore) -> AsyncIterator[Connected]:
    async with connected(jollor, store=store) as client:
        yield client


def age(store: MemoryTokenStore, project: Project | None, part: float) -> None:
    """Make a stored token as old as `part` of its life."""
    key = TokenKey("default", None if project is None else project.id)
    token = store.tokens[key]
    back = (token.expires_at - token.issued_at) * part
    store.tokens[key] = token.model_copy(
        update={"issued_at": token.issued_at - back, "expires_at": token.expires_at - back}
    )


async def read(line: Connected, project: Project) -> None:
    await line.client.send(op.get_project(project.id))


async def test_the_first_call_signs_in_and_exchanges(line: Connected, project: Project) -> None:
    await read(line, project)
    await read(line, project)
    assert line.asked("createToken") == 2
    assert line.asked("getProject") == 2


@pytest.mark.parametrize("rotation", RefreshRotation)
async def test_a_token_is_refreshed_again_and_again_however_refresh_tokens_rotate(
    jollor: SimulatedJollor, store: MemoryTokenStore, project: Project, rotation: RefreshRotation
) -> None:
    jollor.switches.refresh_rotation = rotation
    async with connected(jollor, store=store) as line:
        await read(line, project)
    jollor.faults.add(
        End.JOLLOR,
        Fault(FaultKind.STATUS, status=500),
        "createToken",
        where={"grant_type": "password|exchange"},
    )
    for _ in range(3):
        age(store, project, 0.9)
        async with connected(jollor, store=store) as line:
            await read(line, project)
    assert line.asked("createToken") == 5


@pytest.mark.parametrize("form", ExpiryForm)
@pytest.mark.parametrize("as_string", [False, True])
async def test_lifetime_and_scope_are_read_in_every_form(
    jollor: SimulatedJollor,
    store: MemoryTokenStore,
    project: Project,
    caplog: pytest.LogCaptureFixture,
    form: ExpiryForm,
    as_string: bool,
) -> None:
    jollor.switches.expiry_form = form
    jollor.switches.scope_as_string = as_string
    async with connected(jollor, store=store) as line:
        await read(line, project)
    token = store.tokens[TokenKey("default", project.id)]
    assert token.expires_at - token.issued_at == timedelta(hours=1)
    assert [record for record in caplog.records if record.name.startswith("jollor")] == []


@pytest.mark.parametrize("refused_status", [400, 401, 403])
async def test_a_dead_refresh_token_leads_to_an_exchange_and_a_dead_user_to_the_password(
    line: Connected, project: Project, refused_status: int
) -> None:
    line.jollor.switches.refused_refresh_status = refused_status
    await read(line, project)
    line.jollor.expire_tokens()
    await read(line, project)
    assert line.asked("getProject") == 3
    # refresh, exchange, refresh of the user, password, exchange
    assert line.asked("createToken") == 2 + 5


async def test_a_refresh_whose_answer_is_lost_costs_one_exchange_and_no_more(
    line: Connected, project: Project, store: MemoryTokenStore
) -> None:
    await read(line, project)
    line.jollor.expire_tokens(refresh_tokens=False)
    line.jollor.faults.add(End.JOLLOR, FaultKind.CUT_AFTER, "createToken", times=1)
    with pytest.raises(ServerDown):
        await read(line, project)
    await read(line, project)
    await read(line, project)
    assert store.tokens[TokenKey("default", project.id)].refresh_token is not None


async def test_processes_that_renew_at_the_same_time_spend_one_refresh_token(
    jollor: SimulatedJollor, store: MemoryTokenStore, project: Project
) -> None:
    jollor.switches.refresh_rotation = RefreshRotation.DIES
    async with connected(jollor, store=store) as one, connected(jollor, store=store) as two:
        await asyncio.gather(read(one, project), read(two, project))
        jollor.expire_tokens(refresh_tokens=False)
        jollor.faults.add(End.JOLLOR, Fault(FaultKind.DELAY, seconds=50), "createToken")
        await asyncio.gather(*(read(line, project) for line in (one, two) for _ in range(5)))
        assert one.asked("createToken") == 3


async def test_a_project_of_somebody_else_gets_no_token(line: Connected, jollor: SimulatedJollor) -> None:
    stranger = jollor.add_account("stranger@example.com", "pw", "stranger")
    foreign = jollor.add_project("Not ours", jollor.add_agency("Elsewhere", [stranger]))
    with pytest.raises(ProjectRefused, match=foreign.id):
        await read(line, foreign)


async def test_a_grant_is_a_call_like_any_other(line: Connected) -> None:
    call = op.password_grant(CLIENT_ID, CLIENT_SECRET, USERNAME, PASSWORD)
    token = await line.client.send(call)
    assert token.scope == ("profile", "agency")


@pytest.mark.parametrize("form", ErrorForm)
async def test_a_wrong_password_is_told_and_tried_once(
    jollor: SimulatedJollor, project: Project, form: ErrorForm
) -> None:
    jollor.switches.error_form = form
    async with connected(jollor, password="wrong") as line:
        for _ in range(3):
            with pytest.raises(SignInRefused, match="JOLLOR_PASSWORD") as caught:
                await read(line, project)
            assert "wrong" not in str(caught.value)
        assert line.asked("createToken") == 1


async def test_settings_that_are_missing_are_named_without_asking_jollor(
    jollor: SimulatedJollor, project: Project
) -> None:
    async with connected(jollor, account=type(ACCOUNT)()) as line:
        with pytest.raises(CredentialsMissing, match="JOLLOR_CLIENT_ID and JOLLOR_CLIENT_SECRET"):
            await read(line, project)
        assert line.asked("createToken") == 0


async def test_a_token_that_nobody_issued_is_replaced(
    jollor: SimulatedJollor, store: MemoryTokenStore, project: Project
) -> None:
    key = TokenKey("default", project.id)
    store.tokens[key] = StoredToken(
        access_token="invented", refresh_token=None, issued_at=now(), expires_at=now() + timedelta(hours=1)
    )
    async with connected(jollor, store=store) as line:
        await read(line, project)
    assert store.tokens[key].access_token != "invented"
