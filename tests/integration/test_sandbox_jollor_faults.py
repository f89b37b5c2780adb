"""Faults of received calls and a Jollor that is down, over real HTTP."""

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest

from sandbox.clock import SandboxClock
from sandbox.faults import CallerGets, Fault, FaultKind, Faults
from sandbox.jollor import SimulatedJollor
from sandbox.jollor.model import Conversation, Project
from sandbox.server import DownMode
from sandbox.wire import End
from tests.sandbox_jollor_support import Caller, calling

REPLY = "createMessageReply"


@pytest.fixture
async def jollor() -> AsyncIterator[SimulatedJollor]:
    running = await SimulatedJollor.start(clock=SandboxClock(100))
    yield running
    await running.stop()


@pytest.fixture
def conversation(jollor: SimulatedJollor) -> Conversation:
    bakery = jollor.add_project("Harbour Bakery")
    return jollor.customer_writes(bakery, "facebook", "Robin", "Open?").conversation


@pytest.fixture
async def caller(jollor: SimulatedJollor, conversation: Conversation) -> AsyncIterator[Caller]:
    async with calling(jollor) as ready:
        await ready.sign_in(conversation.project)
        yield ready


@pytest.fixture
async def impatient(jollor: SimulatedJollor, caller: Caller) -> AsyncIterator[Caller]:
    """Gives up after a fifth of a second."""
    async with calling(jollor, timeout_s=0.2) as ready:
        ready.bearer = caller.bearer
        yield ready


async def received(jollor: SimulatedJollor, conversation: Conversation, count: int) -> list[str]:
    """What the customer has, as soon as it is that many."""
    arrived = asyncio.Event()
    jollor.ledger.watch(lambda _: arrived.set())
    async with asyncio.timeout(3):
        while len(texts := jollor.received_by_customer(conversation)) < count:
            await arrived.wait()
            arrived.clear()
    return texts


@pytest.mark.parametrize("status", [429, 500, 502, 503])
async def test_a_status_without_effect(
    jollor: SimulatedJollor, conversation: Conversation, caller: Caller, status: int
) -> None:
    fault = Fault(FaultKind.STATUS, status=status, body="<h1>oh</h1>", content_type="text/html")
    jollor.faults.add(End.JOLLOR, fault, REPLY, times=1)
    answer = await caller.reply(conversation, "Yes")
    assert (answer.status, answer.text, answer.content_type) == (status, "<h1>oh</h1>", "text/html")
    assert "Retry-After" not in answer.headers
    assert jollor.received_by_customer(conversation) == []
    assert (await caller.reply(conversation, "Yes")).status == 200


async def test_a_429_may_tell_when_to_come_again(
    jollor: SimulatedJollor, conversation: Conversation, caller: Caller
) -> None:
    jollor.faults.add(End.JOLLOR, Fault(FaultKind.STATUS, status=429, retry_after=7), REPLY)
    assert (await caller.reply(conversation, "Yes")).headers["Retry-After"] == "7"


async def test_a_status_may_hide_an_effect(
    jollor: SimulatedJollor, conversation: Conversation, caller: Caller
) -> None:
    jollor.faults.add(End.JOLLOR, Fault(FaultKind.STATUS_AFTER, status=502), REPLY)
    assert (await caller.reply(conversation, "Yes")).status == 502
    assert jollor.received_by_customer(conversation) == ["Yes"]


@pytest.mark.parametrize(("kind", "texts"), [(FaultKind.CUT_BEFORE, []), (FaultKind.CUT_AFTER, ["Yes"])])
async def test_a_cut_connection_with_and_without_effect(
    jollor: SimulatedJollor, conversation: Conversation, caller: Caller, kind: FaultKind, texts: list[str]
) -> None:
    jollor.faults.add(End.JOLLOR, kind, REPLY)
    with pytest.raises(aiohttp.ClientConnectionError):
        await caller.reply(conversation, "Yes")
    assert jollor.received_by_customer(conversation) == texts
    assert jollor.wire.entries(operation=REPLY)[0].fault == kind.value


@pytest.mark.parametrize(("kind", "texts"), [(FaultKind.HANG, []), (FaultKind.HANG_AFTER, ["Yes"])])
async def test_a_call_that_is_never_answered_with_and_without_effect(
    jollor: SimulatedJollor, conversation: Conversation, impatient: Caller, kind: FaultKind, texts: list[str]
) -> None:
    jollor.faults.add(End.JOLLOR, kind, REPLY)
    with pytest.raises(TimeoutError):
        await impatient.reply(conversation, "Yes")
    assert jollor.received_by_customer(conversation) == texts
    hung = await jollor.wire.wait_for(lambda entry: entry.operation == REPLY)
    assert hung.status is None


async def test_a_delayed_call_takes_effect_after_its_delay(
    jollor: SimulatedJollor, conversation: Conversation, caller: Caller
) -> None:
    jollor.faults.add(End.JOLLOR, Fault(FaultKind.DELAY, seconds=5), REPLY)
    assert (await caller.reply(conversation, "Yes")).status == 200
    assert jollor.wire.entries(operation=REPLY)[0].duration_s >= 0.05


async def test_a_delayed_call_has_no_effect_if_the_caller_leaves(
    jollor: SimulatedJollor, conversation: Conversation, impatient: Caller
) -> None:
    jollor.faults.add(End.JOLLOR, Fault(FaultKind.DELAY, seconds=600), REPLY)
    with pytest.raises(TimeoutError):
        await impatient.reply(conversation, "Yes")
    await jollor.wire.wait_for(lambda entry: entry.operation == REPLY)
    assert jollor.received_by_customer(conversation) == []


async def test_an_effect_may_come_after_the_caller_gave_up(
    jollor: SimulatedJollor, conversation: Conversation, impatient: Caller
) -> None:
    jollor.faults.add(End.JOLLOR, Fault(FaultKind.LATE, seconds=60), REPLY)
    with pytest.raises(TimeoutError):
        await impatient.reply(conversation, "Yes")
    assert jollor.received_by_customer(conversation) == []
    assert await received(jollor, conversation, 1) == ["Yes"]
    request = jollor.wire.entries(operation=REPLY)[0]
    assert jollor.ledger.customers[0].request == request.number


async def test_a_late_effect_may_follow_a_cut_or_a_status(
    jollor: SimulatedJollor, conversation: Conversation, caller: Caller
) -> None:
    cut = Fault(FaultKind.LATE, seconds=10, caller_gets=CallerGets.CUT)
    jollor.faults.add(End.JOLLOR, cut, REPLY, times=1)
    with pytest.raises(aiohttp.ClientConnectionError):
        await caller.reply(conversation, "first")
    status = Fault(FaultKind.LATE, seconds=20, caller_gets=CallerGets.STATUS, status=504)
    jollor.faults.add(End.JOLLOR, status, REPLY, times=1)
    assert (await caller.reply(conversation, "second")).status == 504
    assert await received(jollor, conversation, 2) == ["first", "second"]


async def test_what_was_made_may_stay_out_of_lists_for_a_while(
    jollor: SimulatedJollor, conversation: Conversation, caller: Caller
) -> None:
    jollor.faults.add(End.JOLLOR, Fault(FaultKind.HIDDEN, seconds=3600), REPLY)
    jollor.faults.add(End.JOLLOR, FaultKind.CUT_AFTER, REPLY)
    with pytest.raises(aiohttp.ClientConnectionError):
        await caller.reply(conversation, "Yes")
    assert jollor.received_by_customer(conversation) == ["Yes"]
    assert [item["text"] for item in (await caller.messages(conversation)).items] == ["Open?"]
    hidden = conversation.messages[-1]
    assert (await caller.call("GET", f"/messages/{hidden.id}")).status == 200
    path = f"/projects/{conversation.project.id}/conversations"
    before = (await caller.call("GET", path)).items[0]["last_message_at"]
    jollor.switches.last_message_at_counts_hidden = True
    assert (await caller.call("GET", path)).items[0]["last_message_at"] != before
    hidden.listed_from = 0.0  # the while is over
    assert [item["text"] for item in (await caller.messages(conversation)).items] == ["Open?", "Yes"]


async def test_a_customers_message_may_stay_out_of_lists_too(
    jollor: SimulatedJollor, conversation: Conversation, caller: Caller
) -> None:
    jollor.faults.add(End.JOLLOR, Fault(FaultKind.HIDDEN, seconds=3600), "message_received")
    jollor.customer_writes(conversation.project, "facebook", "Robin", "late")
    assert [item["text"] for item in (await caller.messages(conversation)).items] == ["Open?"]


async def test_a_rule_may_pick_a_conversation_or_a_text(
    jollor: SimulatedJollor, conversation: Conversation, caller: Caller
) -> None:
    jollor.faults.add(
        End.JOLLOR, FaultKind.STATUS, REPLY, where={"text": "poison", "project": conversation.project.id}
    )
    assert (await caller.reply(conversation, "fine")).status == 200
    assert (await caller.reply(conversation, "poison!")).status == 503
    message_id = conversation.messages[0].id
    jollor.faults.add(End.JOLLOR, FaultKind.STATUS, "getMessage", where={"conversation": "^aWdf/"})
    assert (await caller.call("GET", f"/messages/{message_id}")).status == 503


async def test_a_grant_can_fail_by_its_type(jollor: SimulatedJollor, caller: Caller) -> None:
    jollor.faults.add(End.JOLLOR, FaultKind.STATUS, "createToken", where={"grant_type": "refresh_token"})
    assert (await caller.grant("refresh_token", {"scope": "profile project"})).status == 503
    assert (await caller.sign_in()).status == 200


async def test_posts_can_be_picked_by_project(jollor: SimulatedJollor, caller: Caller) -> None:
    project = next(iter(jollor.store.projects.values()))
    post = jollor.comment(project, "facebook", "Robin", "hi")
    jollor.faults.add(End.JOLLOR, FaultKind.STATUS, "getPost", where={"project": project.id})
    assert (await caller.call("GET", f"/posts/{post.id}")).status == 503


# ---- being down


async def test_a_jollor_that_is_gone_refuses_and_comes_back_at_its_address(
    jollor: SimulatedJollor, caller: Caller
) -> None:
    address = jollor.app_url
    await jollor.down()
    with pytest.raises(aiohttp.ClientConnectorError):
        await caller.call("GET", "/users/me")
    await jollor.up()
    assert jollor.app_url == address
    assert (await caller.call("GET", "/users/me")).status == 200


async def test_a_jollor_may_take_connections_and_reset_them(jollor: SimulatedJollor, caller: Caller) -> None:
    await jollor.down(DownMode.RESET)
    with pytest.raises(aiohttp.ClientConnectionError):
        await caller.call("GET", "/users/me")


async def test_a_jollor_may_fall_silent(jollor: SimulatedJollor, impatient: Caller) -> None:
    await jollor.down(DownMode.SILENT)
    with pytest.raises(TimeoutError):
        await impatient.call("GET", "/users/me")


async def test_a_jollor_may_be_unavailable(
    jollor: SimulatedJollor, conversation: Conversation, caller: Caller
) -> None:
    await jollor.down(DownMode.UNAVAILABLE)
    assert (await caller.reply(conversation, "Yes")).status == 503
    assert jollor.wire.entries(operation=REPLY)[0].fault == "down: unavailable"
    assert jollor.received_by_customer(conversation) == []


async def test_a_jollor_may_go_from_one_way_of_being_down_to_another(
    jollor: SimulatedJollor, caller: Caller
) -> None:
    for mode in (DownMode.REFUSED, DownMode.REFUSED, DownMode.UNAVAILABLE):
        await jollor.down(mode)
        assert jollor.server.is_down is mode
    assert (await caller.call("GET", "/users/me")).status == 503


async def test_going_down_cuts_what_hangs(
    jollor: SimulatedJollor, conversation: Conversation, caller: Caller
) -> None:
    jollor.faults.add(End.JOLLOR, FaultKind.HANG, "getCurrentUser")
    hanging = asyncio.create_task(caller.call("GET", "/users/me"))
    await asyncio.wait_for(_running(jollor, "getCurrentUser"), 1)
    await jollor.down()
    with pytest.raises(aiohttp.ClientError):
        await hanging


async def test_stopping_lets_hanging_callers_go_and_ends_late_effects() -> None:
    clock = SandboxClock()
    faults = Faults(clock=clock)
    jollor = await SimulatedJollor.start(clock=clock, faults=faults)
    project: Project = jollor.add_project("Bakery")
    conversation = jollor.customer_writes(project, "facebook", "Robin", "hi").conversation
    async with calling(jollor) as caller:
        await caller.sign_in(project)
        faults.add(End.JOLLOR, Fault(FaultKind.LATE, seconds=3600), REPLY)
        hanging = asyncio.create_task(caller.reply(conversation, "never"))
        await asyncio.wait_for(_running(jollor, REPLY), 1)
        await faults.stop()
        with pytest.raises(aiohttp.ClientError):
            await hanging
        await jollor.stop()
    assert jollor.received_by_customer(conversation) == []


async def _running(jollor: SimulatedJollor, operation: str) -> None:
    with jollor.wire.subscribe() as changes:
        if any(not entry.finished for entry in jollor.wire.entries(operation=operation)):
            return
        async for entry in changes:
            if entry.operation == operation:
                return
