"""The parts of the sandbox that need no server."""

from random import Random

import pytest
from pydantic import JsonValue

from sandbox.clock import SandboxClock
from sandbox.faults import RECEIVED_KINDS, Call, Fault, FaultKind, Faults
from sandbox.jollor.ids import Ids
from sandbox.jollor.model import Agency, Event, Message, Project
from sandbox.jollor.shapes import Shapes, html_of, mistyped, timestamp
from sandbox.jollor.store import Store
from sandbox.jollor.switches import DateForm, Newness, PayloadForm, Rewriting, Switches
from sandbox.jollor.texts import rewritten
from sandbox.ledger import Cause, Ledger
from sandbox.wire import Direction, End, Wire, WireEntry, current_number, excerpt, masked


def a_call(operation: str = "createMessageReply", **facts: str) -> Call:
    return Call(End.JOLLOR, operation, path="/api/x", facts=facts)


def a_store(switches: Switches | None = None) -> Store:
    return Store(clock=SandboxClock(), ids=Ids(1), switches=switches or Switches(), random=Random(1))


# ---- clock and wire


def test_the_clock_divides_waiting_times_by_its_scale() -> None:
    assert SandboxClock(60).seconds(3600) == 60


def test_a_scale_that_is_not_positive_is_refused() -> None:
    with pytest.raises(ValueError, match="must be positive"):
        SandboxClock(0)


@pytest.mark.parametrize(
    "secret",
    [
        '{"access_token": "SECRET"}',
        '{"client_secret":"SECRET","a":1}',
        "/webhooks/jollor/1?challenge=SECRET",
        "token=SECRET&channel=C1",
        "Bearer xoxb-SECRET-1",
        "xapp-1-SECRET",
    ],
)
def test_secrets_never_reach_the_wire_list(secret: str) -> None:
    assert "SECRET" not in masked(secret)


def test_an_excerpt_says_that_something_is_missing() -> None:
    assert excerpt("x" * 10, length=4) == "xxxx…"


async def test_a_watcher_sees_a_request_start_and_end() -> None:
    wire = Wire(clock=SandboxClock())
    with wire.subscribe() as changes:
        number = wire.begin(End.JOLLOR, Direction.IN, "GET", "/x", "getX")
        wire.finish(number, status=200, response="{}")
        started, ended = await changes.next(), await changes.next()
    assert (started.number, started.finished) == (number, False)
    assert (ended.number, ended.status, ended.finished) == (number, 200, True)


async def test_a_slow_watcher_loses_the_oldest_and_knows_it() -> None:
    wire = Wire(clock=SandboxClock())
    with wire.subscribe() as changes:
        for _ in range(2001):
            wire.begin(End.JOLLOR, Direction.IN, "GET", "/x", "getX")
        assert changes.missed == 1
        assert (await changes.next()).number == 2


def test_the_wire_keeps_the_newest_entries_only() -> None:
    wire = Wire(clock=SandboxClock(), capacity=2)
    numbers = [wire.begin(End.SLACK, Direction.OUT, "POST", "/x", "event") for _ in range(3)]
    wire.finish(numbers[0], status=200)
    assert [entry.number for entry in wire.entries(end=End.SLACK)] == numbers[1:]


async def test_waiting_for_an_entry_that_never_comes_ends_in_time() -> None:
    def never(entry: WireEntry) -> bool:
        return False

    with pytest.raises(TimeoutError):
        await Wire(clock=SandboxClock()).wait_for(never, timeout_s=0.01)


# ---- faults


def test_a_rule_strikes_only_what_it_is_meant_for() -> None:
    faults = Faults(clock=SandboxClock())
    faults.add(End.JOLLOR, FaultKind.HANG, "create*", where={"text": "^hello"})
    assert faults.take(a_call(text="good day")) is None
    assert faults.take(a_call("listConversations", text="hello")) is None
    assert faults.take(Call(End.SLACK, "createX", facts={"text": "hello"})) is None
    assert faults.take(a_call(text="hello you")) is not None


def test_a_rule_may_look_at_path_and_call() -> None:
    faults = Faults(clock=SandboxClock())
    faults.add(End.JOLLOR, FaultKind.HANG, path="/api/y$")
    faults.add(End.JOLLOR, FaultKind.CUT_AFTER, predicate=lambda call: call.facts.get("provider") == "zalo")
    struck = faults.take(a_call(provider="zalo"))
    assert struck is not None
    assert struck.fault.kind is FaultKind.CUT_AFTER
    assert faults.take(a_call(provider="facebook")) is None


def test_a_rule_ends_after_its_number_of_times_and_begins_again_when_switched_on() -> None:
    faults = Faults(clock=SandboxClock())
    rule = faults.add(End.JOLLOR, FaultKind.HANG, times=2)
    assert [faults.take(a_call()) is rule for _ in range(3)] == [True, True, False]
    faults.switch(rule.id, on=True)
    assert faults.take(a_call()) is rule
    faults.switch(rule.id, on=False)
    assert faults.take(a_call()) is None


def test_chance_is_repeatable_by_its_seed() -> None:
    def struck(seed: int) -> list[bool]:
        faults = Faults(clock=SandboxClock(), seed=seed)
        faults.add(End.JOLLOR, FaultKind.HANG, probability=0.5)
        return [faults.take(a_call()) is not None for _ in range(64)]

    assert struck(7) == struck(7)
    assert 10 < sum(struck(7)) < 54


def test_a_rule_of_the_same_id_replaces_and_can_be_removed() -> None:
    faults = Faults(clock=SandboxClock())
    faults.add(End.JOLLOR, FaultKind.HANG, rule_id="answer lost")
    faults.add(End.JOLLOR, FaultKind.CUT_AFTER, rule_id="answer lost")
    assert [rule.fault.kind for rule in faults.rules()] == [FaultKind.CUT_AFTER]
    assert faults.rules()[0].as_json()["kind"] == "cut_after"
    faults.remove("answer lost")
    faults.remove("answer lost")
    assert faults.rules() == []


def test_an_outgoing_call_is_made_once_at_once_without_faults() -> None:
    plan = Faults(clock=SandboxClock()).plan(a_call("message_received"))
    assert (plan.delays_s, plan.fault) == ((0.0,), None)


def test_faults_of_outgoing_calls_add_up() -> None:
    faults = Faults(clock=SandboxClock(10))
    faults.add(End.JOLLOR, Fault(FaultKind.DUPLICATE, copies=3))
    faults.add(End.JOLLOR, Fault(FaultKind.POSTPONE, seconds=20))
    faults.add(End.JOLLOR, Fault(FaultKind.SHUFFLE, seconds=10))
    plan = faults.plan(a_call("message_received"))
    assert len(plan.delays_s) == 3
    assert all(2.0 <= delay <= 3.0 for delay in plan.delays_s)
    assert len(set(plan.delays_s)) == 3
    faults.add(End.JOLLOR, FaultKind.DROP, "message_*")
    assert faults.plan(a_call("message_received")).delays_s == ()
    assert len(faults.plan(a_call("post_received")).delays_s) == 3


def test_faults_of_received_calls_do_not_touch_outgoing_ones() -> None:
    faults = Faults(clock=SandboxClock())
    for kind in RECEIVED_KINDS:
        faults.add(End.JOLLOR, kind)
    assert faults.plan(a_call()).delays_s == (0.0,)


# ---- jollor's parts


def test_the_same_seed_makes_the_same_ids() -> None:
    first, second = Ids(3), Ids(3)
    assert [first.object_id() for _ in range(3)] == [second.object_id() for _ in range(3)]
    assert len(first.object_id()) == 24


def test_conversation_ids_need_percent_encoding() -> None:
    assert {"/", "+", "="} <= set(Ids(1).conversation_id("facebook"))
    left, joined, right = Ids(1).conversation_id("zalo").partition("_")
    assert (left.isdecimal(), joined, right.isdecimal()) == (True, "_", True)


def test_texts_arrive_as_they_were_sent_unless_rewriting_is_on() -> None:
    text = "See  https://example.com/a/very/long/link now \n"
    assert rewritten(text, Switches()) == text


def test_rewriting_shortens_links_trims_cuts_and_signs() -> None:
    switches = Switches(rewriting=frozenset(Rewriting), cut_end_at=12, signature=" /J")
    text = rewritten("Please  see https://example.com/a/very/long/link now \n", switches)
    assert text == "Please see h… /J"
    switches.rewriting = frozenset({Rewriting.SHORTEN_LINKS})
    shortened = rewritten("See https://example.com/a/very/long/link", switches)
    assert shortened.startswith("See https://jol.lr/")
    assert "example.com" not in shortened


def test_every_mistyped_value_has_another_type() -> None:
    values: list[JsonValue] = [True, "text", 3, {"a": 1}, [1], None]
    for value in values:
        assert type(mistyped(value)) is not type(value)


def test_html_of_a_text_is_escaped() -> None:
    assert html_of("a <b>\nc\n\nd") == "<p>a &lt;b&gt;<br>c</p><p>d</p>"


def a_message(store: Store) -> Message:
    agency = Agency(store.new_id(), "A", frozenset())
    project = Project(store.new_id(), "Bakery", agency.id)
    conversation = store.add_conversation(project, "facebook", "Robin")
    return store.add_message(
        conversation,
        is_incoming=True,
        text="hi",
        sent_text="hi",
        cause=Cause.NETWORK,
        at=None,
        listed_from=0.0,
    )


def test_a_message_has_the_documented_members_and_no_others() -> None:
    shape = Shapes(Switches()).message(a_message(a_store()))
    assert set(shape) == {"id", "provider", "sent_at", "is_incoming", "sender", "recipient", "text", "_links"}


def test_switches_drop_null_mistype_and_add_members() -> None:
    switches = Switches(
        missing_members={"Message.text"},
        null_members={"*.name"},
        mistyped_members={"Message.sent_at"},
        unknown_members=True,
    )
    shape = Shapes(switches).message(a_message(a_store()))
    sender = shape["sender"]
    assert isinstance(sender, dict)
    assert "text" not in shape
    assert sender["name"] is None
    assert isinstance(shape["sent_at"], dict)
    assert "x_not_in_the_reference" in shape


def test_numeric_ids_are_json_numbers() -> None:
    switches = Switches(numeric_ids=True)
    message = a_message(a_store(switches))
    shape = Shapes(switches).message(message)
    assert shape["id"] == int(message.id)


def test_messages_of_one_conversation_never_share_a_moment() -> None:
    store = a_store()
    first = a_message(store)
    for _ in range(20):
        store.add_message(
            first.conversation,
            is_incoming=True,
            text="x",
            sent_text="x",
            cause=Cause.NETWORK,
            at=None,
            listed_from=0.0,
        )
    times = [timestamp(message.sent_at) for message in first.conversation.messages]
    assert times == sorted(set(times))


@pytest.mark.parametrize(
    ("keeps", "first", "texts"),
    [
        (Newness.NEWEST, Newness.OLDEST, ["1", "2"]),
        (Newness.NEWEST, Newness.NEWEST, ["2", "1"]),
        (Newness.OLDEST, Newness.OLDEST, ["hi", "1"]),
        (Newness.OLDEST, Newness.NEWEST, ["1", "hi"]),
    ],
)
def test_limit_cuts_the_end_that_the_switch_says(keeps: Newness, first: Newness, texts: list[str]) -> None:
    store = a_store(Switches(limit_keeps=keeps, message_order=first))
    conversation = a_message(store).conversation
    for text in ("1", "2"):
        store.add_message(
            conversation,
            is_incoming=True,
            text=text,
            sent_text=text,
            cause=Cause.NETWORK,
            at=None,
            listed_from=0.0,
        )
    assert [message.text for message in store.listed_messages(conversation.messages, 2)] == texts


EVENT = Event("message_received", "p1", message_id="m1", conversation_id="c1")


@pytest.mark.parametrize(
    ("form", "body"),
    [
        (
            PayloadForm.FLAT,
            {
                "event_type": "message_received",
                "message_id": "m1",
                "conversation_id": "c1",
                "project_id": "p1",
            },
        ),
        (
            PayloadForm.ENVELOPE,
            {
                "project_id": "p1",
                "events": [{"event_type": "message_received", "message_id": "m1", "conversation_id": "c1"}],
            },
        ),
        (PayloadForm.KEYED, {"project_id": "p1", "events": [{"message_received": {"id": "m1"}}]}),
        (
            PayloadForm.LIST,
            [
                {
                    "event_type": "message_received",
                    "message_id": "m1",
                    "conversation_id": "c1",
                    "project_id": "p1",
                }
            ],
        ),
    ],
)
def test_a_delivery_is_written_in_the_form_of_the_switch(form: PayloadForm, body: object) -> None:
    assert Shapes(Switches()).delivery("p1", [EVENT], form) == body


def test_the_date_of_a_dialogue_event_has_the_form_of_the_switch() -> None:
    at = SandboxClock().now().replace(microsecond=5000)
    event = Event("dialogue_started", "p1", conversation_id="c", dialogue_id="d", date=at)
    dates: list[object] = []
    for form in DateForm:
        shape = Shapes(Switches(date_form=form)).delivery("p1", [event], PayloadForm.FLAT)
        assert isinstance(shape, dict)
        dates.append(shape["date"])
    assert dates == [timestamp(at), int(at.timestamp()), int(at.timestamp() * 1000)]


# ---- ledger


def test_the_ledger_knows_which_request_brought_a_text() -> None:
    ledger = Ledger(clock=SandboxClock())
    seen: list[str] = []
    ledger.watch(lambda receipt: seen.append(receipt.text))
    before = current_number.set(41)
    for cause in (Cause.API, Cause.DASHBOARD):
        ledger.customer_received(
            project="p", target="c", message_id="m", text=cause, sent_text=cause, cause=cause
        )
    current_number.reset(before)
    ledger.channel_changed(team="T", channel="C", ts="1", thread_ts=None, author="B", text="root")
    ledger.channel_changed(team="T", channel="C", ts="2", thread_ts="1", author="B", text="reply")
    assert [receipt.text for receipt in ledger.of_customer("c", project="p", cause=Cause.API)] == ["api"]
    assert ledger.of_customer("c", project="other") == []
    assert [receipt.request for receipt in ledger.of_customer("c")] == [41, None]
    assert [receipt.text for receipt in ledger.of_channel("C", thread_ts="1")] == ["reply"]
    assert seen == ["api", "dashboard", "root", "reply"]
