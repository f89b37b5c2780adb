"""What the writer of a reply is told privately, on both databases: once, and at no cost."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest

from bridge.errors import BridgeError, PermanentError, TargetDown
from bridge.ids import UserId
from bridge.model import Mark, Person, ReplyRules
from bridge.relay.advice import explanation
from bridge.store.engine import Store
from tests.outbox import TestClock
from tests.relay_stage import BAKERY, BEN, Relay

ANNA = UserId("UANNA")
LONG = "x" * 2001


MakeRelay = Callable[[float], Relay]


@pytest.fixture
async def a_relay(migrated_url: str) -> AsyncIterator[MakeRelay]:
    clock = TestClock()
    async with Store(migrated_url, clock=clock) as store:

        def make(undo_window_s: float) -> Relay:
            relay = Relay(store, clock, undo_window_s=undo_window_s)
            relay.chat.add_person(Person(ANNA, "Anna"))
            return relay

        yield make


async def test_the_undo_window_is_explained_to_each_person_once(a_relay: MakeRelay) -> None:
    relay = a_relay(5)
    await relay.link(undo_window_s=7.5)
    root = await relay.thread()
    await relay.types("// not sent anyway", root)
    await relay.pass_(3)
    assert relay.whispered() == []
    for writer in (BEN, BEN, ANNA):
        await relay.types("Yes.", root, user_id=writer)
        await relay.pass_(3)
    assert relay.whispered() == [explanation(7.5)] * 2
    assert "7.5 s" in explanation(7.5)
    assert [whisper.user for whisper in relay.chat.whispers] == [BEN, ANNA]
    assert {whisper.thread_ts for whisper in relay.chat.whispers} == {root}


async def test_without_an_undo_window_there_is_nothing_to_explain(a_relay: MakeRelay) -> None:
    relay = a_relay(0)
    await relay.link()
    root = await relay.thread()
    await relay.types("Yes.", root)
    await relay.pass_(30)
    assert relay.whispered() == []


@pytest.mark.parametrize(
    "error",
    [
        BridgeError("slack_down"),
        PermanentError("user_not_in_channel"),
        TargetDown("slack_down", target="team:T1", user_message="Slack is away."),
    ],
)
async def test_an_explanation_that_fails_delays_nothing_and_is_not_tried_again(
    a_relay: MakeRelay, error: BridgeError
) -> None:
    relay = a_relay(5)
    await relay.link()
    root = await relay.thread()
    relay.chat.fail_next(error, method="whisper")
    line = await relay.types("Yes.", root)
    await relay.pass_(6)
    assert relay.robin.received == ["Yes."]
    await relay.pass_(600)
    assert relay.marks(line) == {Mark.ACCEPTED}
    assert relay.whispered() == []
    assert await relay.jobs_of("advice_due") == ["completed"]


@pytest.mark.parametrize(("limit", "warned"), [(None, 1), (5000, 0)])
async def test_a_long_line_goes_out_with_a_warning_where_jollor_tells_no_limit(
    a_relay: MakeRelay, limit: int | None, warned: int
) -> None:
    relay = a_relay(0)
    await relay.link()
    root = await relay.thread()
    relay.robin.rules = ReplyRules(is_allowed=None, max_length=limit)
    await relay.types(LONG, root)
    await relay.pass_(30)
    assert relay.robin.received == [LONG]
    assert len(relay.whispered()) == warned
    assert all("2001 characters" in words for words in relay.whispered())


async def test_a_warning_that_cannot_be_given_costs_nothing(a_relay: MakeRelay) -> None:
    relay = a_relay(60)
    await relay.link()
    root = await relay.thread()
    relay.robin.rules = ReplyRules(is_allowed=None, max_length=None)
    relay.social.fail_next(TargetDown("away", target=f"project:{BAKERY}"), method="reply_rules")
    await relay.types(LONG, root)
    await relay.pass_(120)
    assert relay.robin.received == [LONG]
    assert relay.whispered() == [explanation(60)]
