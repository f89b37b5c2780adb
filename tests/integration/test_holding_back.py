"""*Hold back* in a message's menu, on both databases: what it stops, and what it says where it cannot."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from sqlalchemy import select

from bridge.content import ActionId
from bridge.errors import BridgeError, PermanentError, TargetDown, UnconfirmedError
from bridge.events import ConversationChanged
from bridge.ids import MessageTs, UserId
from bridge.model import Mark, Person
from bridge.relay import holding
from bridge.store.engine import Store
from bridge.store.tables import intents
from tests.fakes.social import When
from tests.outbox import TestClock
from tests.relay_stage import BAKERY, BEN, ROBIN, SUPPORT, Relay

ANNA, GUEST = UserId("UANNA"), UserId("UGUEST")
AWAY = TargetDown("jollor_unreachable", target=f"project:{BAKERY}", user_message="Jollor cannot be reached.")
LOST = UnconfirmedError("cut", user_message="No answer.")


@pytest.fixture
async def relay(migrated_url: str) -> AsyncIterator[Relay]:
    clock = TestClock()
    async with Store(migrated_url, clock=clock) as store:
        relay = Relay(store, clock, undo_window_s=5)
        relay.chat.add_person(Person(ANNA, "Anna"))
        relay.chat.add_person(Person(GUEST, "Gil", is_guest=True))
        yield relay


@pytest.fixture
async def root(relay: Relay) -> MessageTs:
    await relay.link()
    return await relay.thread()


async def test_a_line_that_is_held_back_stays_inside_whatever_is_done_with_it_later(
    relay: Relay, root: MessageTs
) -> None:
    line = await relay.types("4 euros", root)
    await relay.pass_(2)
    for _ in range(2):
        await relay.holds_back(line.ts, root)
    await relay.pass_(30)
    await relay.edits(line, "5 euros")
    await relay.pass_(30)
    await relay.deletes(line)
    await relay.pass_(30)
    assert relay.robin.received == []
    assert relay.marks(line) == {Mark.INTERNAL}
    assert relay.told() == [holding.HELD] * 2
    assert relay.said(root) == []
    assert await relay.intent_states() == ["cancelled"]


async def test_a_colleague_may_hold_a_line_back_and_the_thread_is_told_who_did(
    relay: Relay, root: MessageTs
) -> None:
    line = await relay.types("4 euros", root)
    await relay.pass_(2)
    await relay.holds_back(line.ts, root, by=ANNA)
    await relay.pass_(30)
    assert relay.robin.received == []
    assert relay.marks(line) == {Mark.INTERNAL}
    assert relay.said(root) == [f"<@{ANNA}> held back a line of <@{BEN}>: nothing was sent."]
    query = select(intents.c.decision, intents.c.decided_by)
    assert await relay.store.read(lambda conn: tuple(conn.execute(query).one())) == ("hold_back", ANNA)


async def test_a_guest_holds_nothing_back(relay: Relay, root: MessageTs) -> None:
    line = await relay.types("4 euros", root)
    await relay.pass_(2)
    await relay.holds_back(line.ts, root, by=GUEST)
    await relay.pass_(30)
    assert relay.robin.received == ["4 euros"]
    assert relay.told() == [holding.NOT_YOURS]


async def test_the_writer_needs_no_slack_to_take_a_line_back(relay: Relay, root: MessageTs) -> None:
    line = await relay.types("4 euros", root)
    await relay.pass_(2)
    relay.chat.fail_next(BridgeError("slack_down", user_message="Slack is away."), method="person", times=9)
    relay.chat.fail_next(BridgeError("slack_down", user_message="Slack is away."), method="answer")
    await relay.holds_back(line.ts, root)
    await relay.pass_(30)
    assert relay.robin.received == []
    assert relay.marks(line) == {Mark.INTERNAL}


async def test_who_cannot_be_asked_about_is_told_what_works_instead(relay: Relay, root: MessageTs) -> None:
    line = await relay.types("4 euros", root)
    await relay.pass_(2)
    relay.chat.fail_next(
        PermanentError("missing_scope", user_message="A scope is missing."), method="person", times=9
    )
    await relay.holds_back(line.ts, root, by=ANNA)
    await relay.pass_(30)
    assert relay.told() == ["That did not work: A scope is missing. Delete the line, and it is not sent."]


async def test_a_choice_that_overtakes_its_line_keeps_it_inside(relay: Relay, root: MessageTs) -> None:
    line = relay.a_line("4 euros", root)
    await relay.holds_back(line.ts, root)
    await relay.pass_(1)
    await relay.jobs.put(line)
    await relay.pass_(30)
    assert relay.robin.received == []
    assert relay.marks(line) == {Mark.INTERNAL}
    assert relay.told() == [holding.HELD]


async def test_what_the_customer_has_cannot_be_held_back(relay: Relay, root: MessageTs) -> None:
    line = await relay.types("4 euros", root)
    await relay.pass_(30)
    await relay.holds_back(line.ts, root)
    await relay.pass_(5)
    assert relay.told() == [holding.RECEIVED]
    assert relay.marks(line) == {Mark.ACCEPTED}


@pytest.mark.parametrize("is_sent_again", [False, True])
async def test_what_the_customer_may_have_is_not_called_held_back(
    relay: Relay, root: MessageTs, is_sent_again: bool
) -> None:
    relay.social.fail_next(LOST, method="reply", when=When.BEFORE)
    line = await relay.types("4 euros", root)
    await relay.pass_(300)
    if is_sent_again:  # and Jollor is away: it can be kept from going out a second time
        relay.social.fail_next(AWAY, method="reply_rules", times=9)
        await relay.presses(relay.notices(root)[0], ActionId.SETTLE_SEND_AGAIN)
        await relay.pass_(2)
    await relay.holds_back(line.ts, root)
    await relay.pass_(600)
    assert relay.told() == [holding.PERHAPS_RECEIVED]
    assert relay.marks(line) == {Mark.DOUBT}
    assert relay.robin.received == []


async def test_where_nothing_is_on_its_way_it_says_so(relay: Relay, root: MessageTs) -> None:
    relay.social.fail_next(PermanentError("no", user_message="Jollor refused it."), method="reply")
    refused, note = await relay.types("4 euros", root), await relay.types("// 5 euros", root)
    await relay.pass_(30)
    card = relay.chat.thread(root)[0]
    await relay.holds_back(refused.ts, root)
    await relay.holds_back(note.ts, root)
    await relay.holds_back(card.ts, None, is_typed=False, writer_id="")
    await relay.holds_back(relay.chat.thread(root)[-1].ts, root, is_typed=False, writer_id="")
    await relay.holds_back(relay.chat.add_line(SUPPORT), relay.chat.add_line(SUPPORT))
    await relay.holds_back(relay.chat.add_line(SUPPORT), None, response_url=None)
    await relay.pass_(30)
    expected = [holding.NOT_SENT, holding.INTERNAL, *[holding.NO_REPLY] * 3]
    assert sorted(relay.told()) == sorted(expected)
    assert (relay.marks(refused), relay.marks(note)) == ({Mark.FAILED}, {Mark.INTERNAL})


@pytest.mark.parametrize("how", ["held back", "deleted", "made a note"])
async def test_what_waited_behind_a_line_that_is_taken_back_goes_on(
    relay: Relay, root: MessageTs, how: str
) -> None:
    relay.social.dashboard_replies(BAKERY, ROBIN, "We have answered here")
    first, second = await relay.types("first", root), await relay.types("second", root)
    await relay.pass_(60)
    assert relay.robin.received == ["We have answered here"]
    await relay.jobs.put(ConversationChanged(project_id=BAKERY, conversation_id=ROBIN))
    await relay.pass_(90)  # by now it was shown here, and nobody need ask about it a second time
    match how:
        case "held back":
            await relay.holds_back(first.ts, root)
        case "deleted":
            await relay.deletes(first)
        case "made a note":
            await relay.edits(first, "// first")
    await relay.pass_(60)
    assert relay.robin.received == ["We have answered here", "second"]
    assert relay.marks(second) == {Mark.ACCEPTED}
    await relay.presses(relay.notices(root)[0], ActionId.SEND_ANYWAY)
    await relay.pass_(30)
    assert relay.robin.received == ["We have answered here", "second"]
    assert relay.said(root)[0] == "Its writer has taken this back meanwhile; nothing was sent."
