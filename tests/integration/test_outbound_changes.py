"""Edits and deletions of lines, on both databases: what they still change, and what is said if nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from bridge.content import ActionId
from bridge.errors import PermanentError, TargetDown, UnconfirmedError
from bridge.ids import MessageTs
from bridge.model import Mark
from bridge.store.engine import Store
from tests.fakes.social import When
from tests.outbox import TestClock
from tests.relay_stage import BAKERY, Relay

AWAY = TargetDown("jollor_unreachable", target=f"project:{BAKERY}", user_message="Jollor cannot be reached.")
LOST = UnconfirmedError("cut", user_message="No answer.")


@pytest.fixture
async def relay(migrated_url: str) -> AsyncIterator[Relay]:
    clock = TestClock()
    async with Store(migrated_url, clock=clock) as store:
        yield Relay(store, clock, undo_window_s=5)


@pytest.fixture
async def root(relay: Relay) -> MessageTs:
    await relay.link()
    return await relay.thread()


# --- within the undo window --------------------------------------------------------------------------


async def test_an_edit_changes_what_is_sent_and_only_the_first_one_starts_the_window_anew(
    relay: Relay, root: MessageTs
) -> None:
    line = await relay.types("4 euros", root)
    await relay.pass_(4)
    await relay.edits(line, "5 euros")
    await relay.pass_(4)
    await relay.edits(line, "6 euros")
    assert relay.robin.received == []
    await relay.pass_(2)
    assert relay.robin.received == ["6 euros"]
    assert relay.said(root) == []


async def test_of_two_edits_the_later_one_counts_whichever_is_told_first(
    relay: Relay, root: MessageTs
) -> None:
    line = await relay.types("4 euros", root)
    await relay.pass_(1)
    await relay.edits(line, "6 euros", edited_ts="1795435202.000000")
    await relay.edits(line, "5 euros", edited_ts="1795435201.000000")
    await relay.pass_(30)
    assert relay.robin.received == ["6 euros"]
    assert relay.said(root) == []


async def test_a_link_may_have_a_window_of_its_own(relay: Relay) -> None:
    await relay.link(undo_window_s=60)
    root = await relay.thread()
    line = await relay.types("4 euros", root)
    await relay.pass_(59)
    assert relay.robin.received == []
    await relay.deletes(line)
    await relay.pass_(60)
    assert relay.robin.received == []
    assert await relay.intent_states() == ["cancelled"]


async def test_an_edit_that_leaves_nothing_sends_nothing_and_says_so(relay: Relay, root: MessageTs) -> None:
    line = await relay.types("4 euros", root)
    await relay.pass_(1)
    await relay.edits(line, " ")
    await relay.pass_(30)
    assert relay.robin.received == []
    assert relay.marks(line) == {Mark.FAILED}
    assert relay.said(root) == ["There is no text left in this line. Nothing was sent; write a new line."]


async def test_a_reply_that_waits_for_jollor_can_still_be_changed_and_cancelled(
    relay: Relay, root: MessageTs
) -> None:
    relay.social.fail_next(AWAY, method="reply", times=2)
    first, second = await relay.types("first", root), await relay.types("second", root)
    await relay.pass_(7)
    assert relay.robin.received == []
    await relay.edits(first, "// first")
    await relay.edits(second, "second, better")
    await relay.pass_(120)
    assert relay.robin.received == ["second, better"]
    assert relay.marks(first) == {Mark.INTERNAL}
    assert relay.marks(second) == {Mark.ACCEPTED}
    assert relay.said(root) == []


# --- overtaking --------------------------------------------------------------------------------------


async def test_an_edit_that_overtakes_its_line_is_the_line(relay: Relay, root: MessageTs) -> None:
    line = relay.a_line("4 euros", root)
    await relay.edits(line, "5 euros")
    await relay.pass_(1)
    await relay.jobs.put(line)
    await relay.pass_(30)
    assert relay.robin.received == ["5 euros"]
    assert relay.marks(line) == {Mark.ACCEPTED}
    assert relay.said(root) == []


async def test_a_deletion_that_overtakes_its_line_keeps_it_from_going_out(
    relay: Relay, root: MessageTs
) -> None:
    line = relay.a_line("You fool", root)
    await relay.deletes(line)
    await relay.pass_(1)
    await relay.jobs.put(line)
    await relay.pass_(30)
    assert relay.robin.received == []
    assert await relay.intent_states() == []


async def test_changes_of_lines_in_other_peoples_threads_are_nothing_to_us(
    relay: Relay, root: MessageTs
) -> None:
    theirs = relay.a_line("Lunch?", MessageTs("1700000000.000100"))
    await relay.edits(theirs, "Dinner?")
    await relay.deletes(theirs)
    await relay.pass_(30)
    assert relay.robin.received == []
    assert relay.chat.marks == {}
    assert relay.said(root) == []


# --- while a person is asked -------------------------------------------------------------------------


async def test_a_line_that_is_offered_goes_out_as_it_stands_when_a_person_says_so(
    relay: Relay, root: MessageTs
) -> None:
    line = relay.a_line("4 euros", root)
    relay.clock.pass_(3600)
    await relay.jobs.put(line.model_copy(update={"received_at": relay.clock()}))
    await relay.pass_(10)
    await relay.edits(line, "5 euros")
    await relay.pass_(60)
    assert relay.robin.received == []
    await relay.presses(relay.notices(root)[0], ActionId.SEND_ANYWAY)
    await relay.pass_(30)
    assert relay.robin.received == ["5 euros"]


async def test_a_line_that_was_deleted_while_it_was_offered_is_not_sent_any_more(
    relay: Relay, root: MessageTs
) -> None:
    line = relay.a_line("4 euros", root)
    relay.clock.pass_(3600)
    await relay.jobs.put(line.model_copy(update={"received_at": relay.clock()}))
    await relay.pass_(10)
    await relay.deletes(line)
    await relay.pass_(10)
    await relay.presses(relay.notices(root)[0], ActionId.SEND_ANYWAY)
    await relay.pass_(30)
    assert relay.robin.received == []
    assert await relay.intent_states() == ["cancelled"]


# --- too late ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["edited", "deleted"])
async def test_a_change_after_sending_sends_nothing_and_says_what_the_customer_has(
    relay: Relay, root: MessageTs, what: str
) -> None:
    line = await relay.types("4 euros", root)
    await relay.pass_(30)
    for _ in range(2):
        await (relay.edits(line, "5 euros", edited_ts="9") if what == "edited" else relay.deletes(line))
        await relay.pass_(30)
    assert relay.robin.received == ["4 euros"]
    (notice,) = relay.notices(root)
    assert f"was {what} in Slack after it was sent. The customer received it as it was" in notice.text
    quote = notice.content.model_dump()["quote"]
    assert quote == ("Sent: 4 euros\nNow: 5 euros" if what == "edited" else "4 euros")


@pytest.mark.parametrize("text", ["// 4 euros", "🔇", " "])
async def test_what_has_gone_out_cannot_be_made_a_note_any_more(
    relay: Relay, root: MessageTs, text: str
) -> None:
    line = await relay.types("4 euros", root)
    await relay.pass_(30)
    await relay.edits(line, text)
    await relay.pass_(30)
    assert relay.marks(line) == {Mark.ACCEPTED}
    assert [said for said in relay.said(root) if "edited in Slack after it was sent" in said]


@pytest.mark.parametrize("is_dropped", [False, True])
async def test_a_change_of_a_reply_in_doubt_does_not_claim_to_know(
    relay: Relay, root: MessageTs, is_dropped: bool
) -> None:
    relay.social.fail_next(LOST, method="reply", when=When.BEFORE)
    line = await relay.types("4 euros", root)
    await relay.pass_(300)
    if is_dropped:
        await relay.presses(relay.notices(root)[0], ActionId.SETTLE_DROP)
        await relay.pass_(10)
    await relay.edits(line, "5 euros")
    await relay.pass_(10)
    assert "The customer may have received it as it was" in relay.said(root)[-1]
    assert relay.robin.received == []


@pytest.mark.parametrize("what", ["edited", "deleted"])
async def test_a_reply_that_is_taken_back_before_it_is_sent_again_may_have_arrived_before(
    relay: Relay, root: MessageTs, what: str
) -> None:
    relay.social.fail_next(LOST, method="reply", when=When.BEFORE)
    line = await relay.types("4 euros", root)
    await relay.pass_(300)
    relay.social.fail_next(AWAY, method="reply_rules", times=9)
    await relay.presses(relay.notices(root)[0], ActionId.SETTLE_SEND_AGAIN)
    await relay.pass_(2)
    await (relay.edits(line, "// 4 euros") if what == "edited" else relay.deletes(line))
    await relay.pass_(600)
    assert relay.robin.received == []
    assert "The customer may have received it as it was" in relay.said(root)[-1]
    assert await relay.intent_states() == ["dropped"]
    assert relay.marks(line) == {Mark.DOUBT}


async def test_a_change_of_what_was_never_sent_needs_no_words(relay: Relay, root: MessageTs) -> None:
    relay.social.fail_next(PermanentError("no", user_message="Jollor refused it."), method="reply")
    refused, note = await relay.types("4 euros", root), await relay.types("// 5 euros", root)
    await relay.pass_(30)
    before = relay.said(root)
    await relay.edits(refused, "5 euros")
    await relay.edits(note, "5 euros")
    await relay.pass_(30)
    await relay.deletes(refused)
    await relay.deletes(note)
    await relay.pass_(30)
    assert relay.robin.received == []
    assert relay.said(root) == before


async def test_an_edit_that_a_customer_would_not_see_needs_no_words(relay: Relay, root: MessageTs) -> None:
    line = await relay.types("4 euros", root)
    await relay.pass_(30)
    await relay.edits(line, "4 euros")  # only its emphasis changed
    await relay.pass_(30)
    assert relay.said(root) == []
