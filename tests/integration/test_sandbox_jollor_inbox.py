"""Conversations, replies and dialogues of the simulated Jollor, over real HTTP."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from pydantic import JsonValue

from sandbox.clock import SandboxClock
from sandbox.jollor import SimulatedJollor
from sandbox.jollor.model import Project
from sandbox.jollor.switches import Echo, LengthAt, Newness, Rewriting
from sandbox.ledger import Cause
from sandbox.wire import Direction
from tests.sandbox_jollor_support import Caller, Receiver, calling, hooked, receiving

OWN = ("message_created", "message_sent")


@pytest.fixture
async def jollor() -> AsyncIterator[SimulatedJollor]:
    running = await SimulatedJollor.start(clock=SandboxClock(100))
    yield running
    await running.stop()


@pytest.fixture
def bakery(jollor: SimulatedJollor) -> Project:
    return jollor.add_project("Harbour Bakery")


@pytest.fixture
async def caller(jollor: SimulatedJollor, bakery: Project) -> AsyncIterator[Caller]:
    async with calling(jollor) as ready:
        await ready.sign_in(bakery)
        yield ready


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as listening:
        yield listening


async def test_a_direct_message_can_be_listed_and_read(
    jollor: SimulatedJollor, bakery: Project, caller: Caller
) -> None:
    message = jollor.customer_writes(bakery, "facebook", "Robin", "Are you open?")
    conversations = await caller.call("GET", f"/projects/{bakery.id}/conversations")
    assert [item["conversation_id"] for item in conversations.items] == [message.conversation.id]
    listed = await caller.messages(message.conversation)
    assert [(item["text"], item["is_incoming"]) for item in listed.items] == [("Are you open?", True)]
    assert (await caller.call("GET", f"/messages/{message.id}")).json == listed.items[0]


async def test_a_link_leads_where_it_says(jollor: SimulatedJollor, bakery: Project, caller: Caller) -> None:
    jollor.customer_writes(bakery, "facebook", "Robin", "hi")
    conversation = (await caller.call("GET", f"/projects/{bakery.id}/conversations")).items[0]
    links = conversation["_links"]
    assert isinstance(links, dict)
    messages = links["messages"]
    assert isinstance(messages, dict)
    path = str(messages["href"]).removeprefix("/public/v1")
    assert len((await caller.call("GET", f"{path}?limit=5")).items) == 1


async def test_a_customer_stays_in_one_conversation(jollor: SimulatedJollor, bakery: Project) -> None:
    first = jollor.customer_writes(bakery, "facebook", "Robin", "one")
    second = jollor.customer_writes(bakery, "facebook", "Robin", "two")
    elsewhere = jollor.customer_writes(bakery, "instagram", "Robin", "three")
    given = jollor.customer_writes(bakery, "zalo", "Kim", "four", conversation_id="1_2")
    assert first.conversation is second.conversation
    assert elsewhere.conversation is not first.conversation
    assert jollor.conversation(bakery, "1_2") is given.conversation


async def test_history_is_sorted_into_its_place(
    jollor: SimulatedJollor, bakery: Project, caller: Caller
) -> None:
    newest = jollor.customer_writes(bakery, "facebook", "Robin", "new")
    jollor.dashboard_replies(newest.conversation, "old", at=datetime(2024, 5, 2, tzinfo=UTC), announced=False)
    listed = await caller.messages(newest.conversation)
    assert [item["text"] for item in listed.items] == ["old", "new"]


@pytest.mark.parametrize("limit", ["", "?limit=", "?limit=0", "?limit=-1", "?limit=many"])
async def test_messages_are_not_listed_without_a_limit(
    jollor: SimulatedJollor, bakery: Project, caller: Caller, limit: str
) -> None:
    message = jollor.customer_writes(bakery, "facebook", "Robin", "hi")
    assert (await caller.messages(message.conversation, limit)).status == 400


@pytest.mark.parametrize(("keeps", "texts"), [(Newness.NEWEST, ["b", "c"]), (Newness.OLDEST, ["a", "b"])])
async def test_limit_cuts_one_end(
    jollor: SimulatedJollor, bakery: Project, caller: Caller, keeps: Newness, texts: list[str]
) -> None:
    jollor.switches.limit_keeps = keeps
    written = [jollor.customer_writes(bakery, "facebook", "Robin", text) for text in "abc"]
    listed = await caller.messages(written[0].conversation, "?limit=2")
    assert [item["text"] for item in listed.items] == texts


async def test_lists_without_an_order_hold_everything(
    jollor: SimulatedJollor, bakery: Project, caller: Caller
) -> None:
    jollor.switches.message_order = jollor.switches.conversation_order = Newness.NONE
    written = [jollor.customer_writes(bakery, "facebook", "Robin", text) for text in "abcdefgh"]
    for name in "abcdefgh":
        jollor.customer_writes(bakery, "zalo", name, "hi")
    listed = await caller.messages(written[0].conversation)
    assert sorted(str(item["text"]) for item in listed.items) == list("abcdefgh")
    assert len((await caller.call("GET", f"/projects/{bakery.id}/conversations")).items) == 9


async def test_a_reply_reaches_the_customer_and_says_nothing(
    jollor: SimulatedJollor, bakery: Project, caller: Caller
) -> None:
    message = jollor.customer_writes(bakery, "facebook", "Robin", "Open?")
    answer = await caller.reply(message.conversation, "Yes!")
    assert (answer.status, answer.json) == (200, {})
    assert jollor.received_by_customer(message.conversation) == ["Yes!"]
    receipt = jollor.ledger.customers[0]
    request = jollor.wire.entries(operation="createMessageReply")[0]
    assert (receipt.cause, receipt.request) == (Cause.API, request.number)
    listed = await caller.messages(message.conversation)
    assert [item["is_incoming"] for item in listed.items] == [True, False]


async def test_a_reply_needs_the_right_network_in_its_path(
    jollor: SimulatedJollor, bakery: Project, caller: Caller
) -> None:
    message = jollor.customer_writes(bakery, "facebook", "Robin", "Open?")
    assert (await caller.reply(message.conversation, "Yes!", provider="zalo")).status == 404
    assert jollor.received_by_customer(message.conversation) == []


@pytest.mark.parametrize("body", [None, {}, {"text": ""}, {"text": 3}, [], "text"])
async def test_a_reply_without_a_text_is_refused(
    jollor: SimulatedJollor, bakery: Project, caller: Caller, body: JsonValue
) -> None:
    jollor.customer_writes(bakery, "zalo", "Robin", "Open?", conversation_id="1_2")
    path = f"/projects/{bakery.id}/zalo/conversations/1_2/messages"
    assert (await caller.call("POST", path, body)).status == 400


async def test_a_reply_that_is_no_json_is_refused(
    jollor: SimulatedJollor, bakery: Project, caller: Caller
) -> None:
    jollor.customer_writes(bakery, "zalo", "Robin", "Open?", conversation_id="1_2")
    url = f"{jollor.app_url}/public/v1/projects/{bakery.id}/zalo/conversations/1_2/messages"
    headers = {"Authorization": f"Bearer {caller.bearer}", "Content-Type": "application/json"}
    async with caller.session.post(url, data=b"{", headers=headers) as response:
        assert response.status == 400


async def test_a_reply_that_is_too_long_or_not_allowed_is_refused(
    jollor: SimulatedJollor, bakery: Project, caller: Caller
) -> None:
    conversation = jollor.customer_writes(bakery, "facebook", "Robin", "Open?").conversation
    conversation.max_reply_length = 3
    assert (await caller.reply(conversation, "four")).status == 400
    jollor.switches.too_long_status = 422
    assert (await caller.reply(conversation, "four")).status == 422
    conversation.reply_allowed = False
    assert (await caller.reply(conversation, "ok")).status == 400
    assert jollor.received_by_customer(conversation) == []


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        (LengthAt.TOP, {"reply": {"allowed": True}, "max_reply_length": 2000}),
        (LengthAt.REPLY_MAX, {"reply": {"allowed": True, "max_reply_length": 2000}}),
        (LengthAt.REPLY, {"reply": {"allowed": True, "reply_length": 2000}}),
        (LengthAt.NOWHERE, {"reply": {"allowed": True}}),
    ],
)
async def test_capabilities_keep_the_length_where_the_switch_says(
    jollor: SimulatedJollor, bakery: Project, caller: Caller, at: LengthAt, expected: dict[str, object]
) -> None:
    jollor.switches.message_length_at = at
    message = jollor.customer_writes(bakery, "facebook", "Robin", "Open?")
    told = (await caller.call("GET", f"/messages/{message.id}/capabilities")).member
    assert told.pop("message_id") == message.id
    assert told.pop("attachment_formats")
    assert told == expected


async def test_texts_are_rewritten_for_the_customer_and_in_lists(
    jollor: SimulatedJollor, bakery: Project, caller: Caller
) -> None:
    jollor.switches.rewriting = frozenset({Rewriting.SIGNATURE})
    conversation = jollor.customer_writes(bakery, "facebook", "Robin", "Open?").conversation
    await caller.reply(conversation, "Yes!")
    arrived = "Yes!" + jollor.switches.signature
    assert jollor.received_by_customer(conversation) == [arrived]
    assert jollor.ledger.customers[0].sent_text == "Yes!"
    assert (await caller.messages(conversation)).items[-1]["text"] == arrived


async def test_objects_of_another_project_are_closed(
    jollor: SimulatedJollor, bakery: Project, caller: Caller
) -> None:
    other = jollor.add_project("Other")
    message = jollor.customer_writes(other, "facebook", "Robin", "hi")
    own = jollor.customer_writes(bakery, "facebook", "Robin", "hi")
    assert (await caller.call("GET", f"/messages/{message.id}")).status == 403
    assert (await caller.messages(message.conversation)).status == 403
    assert (await caller.call("GET", "/messages/nothing")).status == 404
    message.conversation.project = bakery  # a conversation id that the project does not have
    assert (await caller.messages(message.conversation)).status == 404
    assert (await caller.messages(own.conversation)).status == 200


async def test_an_unknown_path_is_not_found_and_on_the_wire(jollor: SimulatedJollor, caller: Caller) -> None:
    assert (await caller.call("GET", "/nothing/here")).status == 404
    assert [entry.status for entry in jollor.wire.entries(operation="unknown")] == [404]


# ---- the echo


async def echoes_before_answer(jollor: SimulatedJollor) -> int:
    """How many echo deliveries ended before the reply was answered."""
    entries = jollor.wire.entries()
    reply = next(entry for entry in entries if entry.operation == "createMessageReply")
    return sum(
        entry.operation in OWN
        and (entry.at.timestamp() + entry.duration_s) <= reply.at.timestamp() + reply.duration_s
        for entry in entries
        if entry.direction is Direction.OUT
    )


@pytest.mark.parametrize(
    ("echo", "total", "before"),
    [(Echo.BEFORE, 2, 2), (Echo.AFTER, 2, 0), (Echo.TWICE, 4, 2)],
)
async def test_the_echo_of_a_reply_comes_when_the_switch_says(
    jollor: SimulatedJollor,
    bakery: Project,
    caller: Caller,
    receiver: Receiver,
    echo: Echo,
    total: int,
    before: int,
) -> None:
    jollor.switches.echo = echo
    await hooked(caller, bakery, receiver, *OWN)
    conversation = jollor.customer_writes(bakery, "facebook", "Robin", "Open?").conversation
    await caller.reply(conversation, "Yes!")
    await receiver.until(total)
    assert await echoes_before_answer(jollor) == before
    assert sorted(receiver.types) == sorted(OWN * (total // 2))


async def test_a_reply_without_an_echo_is_never_announced(
    jollor: SimulatedJollor, bakery: Project, caller: Caller, receiver: Receiver
) -> None:
    await hooked(caller, bakery, receiver, *OWN)
    conversation = jollor.customer_writes(bakery, "facebook", "Robin", "Open?").conversation
    jollor.switches.echo = Echo.NEVER
    await caller.reply(conversation, "silent")
    jollor.switches.echo = Echo.AFTER
    await caller.reply(conversation, "announced")
    bodies = await receiver.until(2)
    last = conversation.messages[-1]
    assert [body["message_id"] for body in bodies if isinstance(body, dict)] == [last.id, last.id]


async def test_a_reply_waits_for_a_silent_receiver_only_so_long(
    jollor: SimulatedJollor, bakery: Project, caller: Caller, receiver: Receiver
) -> None:
    jollor.switches.echo = Echo.BEFORE
    await hooked(caller, bakery, receiver, *OWN)
    receiver.silent = True
    jollor.switches.least_timeout_s = 0.1
    conversation = jollor.customer_writes(bakery, "facebook", "Robin", "Open?").conversation
    assert (await caller.reply(conversation, "Yes!")).status == 200


async def test_a_colleague_and_the_agent_are_announced_like_any_sender(
    jollor: SimulatedJollor, bakery: Project, caller: Caller, receiver: Receiver
) -> None:
    await hooked(caller, bakery, receiver, *OWN)
    conversation = jollor.customer_writes(bakery, "facebook", "Robin", "Open?").conversation
    jollor.dashboard_replies(conversation, "Yes!")
    jollor.agent_replies(conversation, "Beep")
    await receiver.until(4)
    assert jollor.received_by_customer(conversation) == ["Yes!", "Beep"]
    assert {receipt.cause for receipt in jollor.ledger.customers} == {Cause.DASHBOARD, Cause.AUTOMATIC}


async def test_a_reply_may_be_answered_by_any_success(
    jollor: SimulatedJollor, bakery: Project, caller: Caller
) -> None:
    conversation = jollor.customer_writes(bakery, "facebook", "Robin", "Open?").conversation
    for status, text in ((201, "{}"), (202, "{}"), (204, "")):
        jollor.switches.reply_status = status
        answer = await caller.reply(conversation, f"Yes {status}")
        assert (answer.status, answer.text) == (status, text)


# ---- dialogues, ratings


async def test_a_dialogue_holds_the_messages_of_its_time(
    jollor: SimulatedJollor, bakery: Project, caller: Caller
) -> None:
    conversation = jollor.customer_writes(bakery, "facebook", "Robin", "before").conversation
    dialogue = jollor.start_dialogue(conversation)
    jollor.customer_writes(bakery, "facebook", "Robin", "during")
    path = f"/projects/{bakery.id}/dialogues/{dialogue.id}"
    assert (await caller.call("PUT", f"{path}/close")).json == {}
    jollor.customer_writes(bakery, "facebook", "Robin", "after")
    listed = await caller.call("GET", f"{path}/messages?limit=10")
    assert [item["text"] for item in listed.items] == ["during"]
    assert (await caller.call("GET", f"{path}/messages")).status == 400
    assert (await caller.call("PUT", f"/projects/{bakery.id}/dialogues/nothing/close")).status == 404


async def test_closing_twice_answers_as_the_switch_says(
    jollor: SimulatedJollor, bakery: Project, caller: Caller
) -> None:
    conversation = jollor.customer_writes(bakery, "facebook", "Robin", "hi").conversation
    path = f"/projects/{bakery.id}/dialogues/{jollor.start_dialogue(conversation).id}/close"
    assert [(await caller.call("PUT", path)).status for _ in range(2)] == [200, 200]
    jollor.switches.close_twice_status = 409
    assert (await caller.call("PUT", path)).status == 409


async def test_dialogue_events_tell_their_dialogue(
    jollor: SimulatedJollor, bakery: Project, caller: Caller, receiver: Receiver
) -> None:
    kinds = ("dialogue_started", "dialogue_human_agent_needed", "dialogue_ended", "message_received")
    await hooked(caller, bakery, receiver, *kinds)
    jollor.switches.dialogue_id_in_messages = True
    conversation = jollor.customer_writes(bakery, "facebook", "Robin", "hi", announced=False).conversation
    dialogue = jollor.start_dialogue(conversation)
    jollor.customer_writes(bakery, "facebook", "Robin", "help")
    jollor.human_needed(dialogue)
    jollor.end_dialogue(dialogue)
    bodies = await receiver.until(4)
    assert {str(body["event_type"]) for body in bodies if isinstance(body, dict)} == set(kinds)
    assert {str(body["dialogue_id"]) for body in bodies if isinstance(body, dict)} == {dialogue.id}


async def test_an_automatic_reply_can_be_rated(
    jollor: SimulatedJollor, bakery: Project, caller: Caller
) -> None:
    conversation = jollor.customer_writes(bakery, "facebook", "Robin", "hi").conversation
    message = jollor.agent_replies(conversation, "Beep")
    assert (await caller.call("PUT", f"/ratings/{message.id}?rating=bad")).json == {}
    assert message.rating == "bad"
    assert (await caller.call("PUT", f"/ratings/{message.id}?rating=so-so")).status == 400
