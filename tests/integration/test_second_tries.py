"""*Send again* under ❌ and *Send correction* after an edit, on both databases: once, in order, marked."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from sqlalchemy import insert, select

from bridge.content import ActionId, Notice
from bridge.errors import BridgeError, PermanentError, TargetDown, UnconfirmedError
from bridge.ids import MessageTs, UserId
from bridge.model import Mark, Person, ReplyRules
from bridge.relay.presses import NOT_YOURS
from bridge.store.engine import Store
from bridge.store.tables import alerts, intents
from tests.fakes.chat import FakePost
from tests.fakes.social import When
from tests.outbox import TestClock
from tests.relay_stage import BAKERY, BEN, SUPPORT, TEAM, Relay

ANNA, GUEST = UserId("UANNA"), UserId("UGUEST")
REFUSED = PermanentError("jollor_rejected_422", user_message="Jollor refused it.", may_pass_later=True)
AWAY = TargetDown("jollor_unreachable", target=f"project:{BAKERY}", user_message="Jollor cannot be reached.")
LOST = UnconfirmedError("cut", user_message="No answer.")


@pytest.fixture
async def relay(migrated_url: str) -> AsyncIterator[Relay]:
    clock = TestClock()
    async with Store(migrated_url, clock=clock) as store:
        relay = Relay(store, clock)
        relay.chat.add_person(Person(ANNA, "Anna"))
        relay.chat.add_person(Person(GUEST, "Gil", is_guest=True))
        yield relay


@pytest.fixture
async def root(relay: Relay) -> MessageTs:
    await relay.link()
    return await relay.thread()


def quote(post: FakePost) -> str | None:
    assert isinstance(post.content, Notice)
    return post.content.quote


async def decided(relay: Relay) -> list[tuple[str, str]]:
    query = select(intents.c.decision, intents.c.decided_by).where(intents.c.decided_by.is_not(None))
    return await relay.store.read(lambda conn: [tuple(row) for row in conn.execute(query)])


# --- send again --------------------------------------------------------------------------------------


async def test_a_refused_line_is_sent_again_once_for_each_refusal(relay: Relay, root: MessageTs) -> None:
    relay.social.fail_next(REFUSED, method="reply", times=2)
    line = await relay.types("Yes.", root)
    await relay.pass_(30)
    (first,) = relay.notices(root)
    assert relay.buttons(first) == ["Send again", "Open in Jollor"]
    value = relay.value_of(first, ActionId.SEND_AGAIN)
    await relay.presses(first, ActionId.SEND_AGAIN, by=ANNA)
    await relay.pass_(30)
    first, second = relay.notices(root)
    assert (first.text, relay.buttons(first)) == (f"<@{ANNA}> has it sent again.", [])
    assert relay.marks(line) == {Mark.FAILED}
    await relay.presses(first, ActionId.SEND_AGAIN, value=value)  # late, about a refusal that is over
    await relay.pass_(30)
    assert len(relay.notices(root)) == 2
    await relay.presses(second, ActionId.SEND_AGAIN)
    await relay.pass_(30)
    assert relay.robin.received == ["Yes."]
    assert relay.marks(line) == {Mark.ACCEPTED}
    assert await decided(relay) == [("resend", BEN)]


async def test_a_line_that_was_too_long_goes_out_when_it_was_made_shorter(
    relay: Relay, root: MessageTs
) -> None:
    relay.robin.rules = ReplyRules(is_allowed=True, max_length=7)
    line = await relay.types("4 euros and a cent", root)
    await relay.pass_(30)
    (notice,) = relay.notices(root)
    assert "This is 11 characters too long" in notice.text
    assert relay.buttons(notice) == ["Send again"]
    await relay.edits(line, "5 euros")
    await relay.pass_(30)
    assert relay.robin.received == []
    await relay.presses(notice, ActionId.SEND_AGAIN)
    await relay.pass_(30)
    assert relay.robin.received == ["5 euros"]
    assert relay.marks(line) == {Mark.ACCEPTED}


async def test_a_line_that_is_sent_again_while_jollor_is_away_waits_visibly(
    relay: Relay, root: MessageTs
) -> None:
    relay.social.fail_next(REFUSED, method="reply")
    line = await relay.types("Yes.", root)
    await relay.pass_(30)
    relay.social.fail_next(AWAY, method="reply_rules", times=3)
    await relay.presses(relay.notices(root)[0], ActionId.SEND_AGAIN)
    await relay.pass_(5)
    assert relay.marks(line) == {Mark.WAITING}
    await relay.pass_(600)
    assert relay.robin.received == ["Yes."]
    assert relay.marks(line) == {Mark.ACCEPTED}


async def test_a_refused_line_that_was_deleted_is_not_sent_again(relay: Relay, root: MessageTs) -> None:
    relay.social.fail_next(REFUSED, method="reply")
    line = await relay.types("Yes.", root)
    await relay.pass_(30)
    await relay.deletes(line)
    await relay.pass_(1)
    await relay.presses(relay.notices(root)[0], ActionId.SEND_AGAIN)
    await relay.pass_(30)
    assert relay.robin.received == []
    assert relay.said(root) == ["This line was taken back meanwhile; nothing was sent."]


async def test_a_line_that_could_not_be_dealt_with_can_be_sent_by_a_person_who_may(
    relay: Relay, root: MessageTs
) -> None:
    broken = PermanentError("missing_scope", user_message="A scope is missing.")
    relay.chat.fail_next(broken, method="person", times=1)
    line = await relay.types("Yes.", root)
    await relay.pass_(30)
    (notice,) = relay.notices(root)
    assert relay.marks(line) == {Mark.FAILED}
    await relay.presses(notice, ActionId.SEND_AGAIN, by=GUEST)
    await relay.pass_(30)
    assert relay.robin.received == []
    assert relay.told() == [NOT_YOURS] * 2
    await relay.presses(notice, ActionId.SEND_AGAIN)
    await relay.pass_(30)
    assert relay.robin.received == ["Yes."]
    assert relay.marks(line) == {Mark.ACCEPTED}


async def test_a_line_whose_names_could_not_be_read_is_to_be_written_again(
    relay: Relay, root: MessageTs
) -> None:
    line = relay.a_line("See #C123", root)
    await relay.outbound.could_not_take(line, "Slack is away.", is_whole=False)
    note = relay.a_line("// hm", root)
    await relay.outbound.could_not_take(note, "Slack is away.")
    await relay.pass_(30)
    (notice,) = relay.notices(root)
    assert notice.text == "Slack is away. Nothing was sent; write it again as a new line."
    assert relay.buttons(notice) == []
    assert (relay.marks(line), relay.marks(note)) == ({Mark.FAILED}, {Mark.INTERNAL})


@pytest.mark.parametrize("value", ["", "[]", '{"intent_id": "none", "version": "1"}'])
async def test_a_broken_button_does_nothing(relay: Relay, root: MessageTs, value: str) -> None:
    relay.social.fail_next(REFUSED, method="reply")
    await relay.types("Yes.", root)
    await relay.pass_(30)
    (notice,) = relay.notices(root)
    for action in (ActionId.SEND_AGAIN, ActionId.SEND_CORRECTION):
        await relay.presses(notice, action, value=value or " ")
    await relay.pass_(30)
    assert relay.robin.received == []
    assert len(relay.notices(root)) == 1


# --- which step helps --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "buttons"),
    [
        (REFUSED, ["Send again", "Open in Jollor"]),
        (PermanentError("jollor_forbidden", user_message="Jollor does not allow it."), ["Open in Jollor"]),
    ],
)
async def test_a_refusal_of_jollors_offers_what_can_help(
    relay: Relay, root: MessageTs, error: BridgeError, buttons: list[str]
) -> None:
    relay.social.fail_next(error, method="reply")
    await relay.types("Yes.", root)
    await relay.pass_(30)
    (notice,) = relay.notices(root)
    assert relay.buttons(notice) == buttons
    assert notice.text.startswith(f"{error.user_message} Nothing was sent")


async def stands(relay: Relay, kind: str) -> None:
    """Something is wrong with the project, and people have been told."""
    place = {"team": TEAM, "channel_id": SUPPORT, "project_id": BAKERY}
    times = {"since": relay.clock(), "reminded_at": relay.clock()}
    await relay.store.write(
        lambda conn: conn.execute(insert(alerts).values(id="a1", kind=kind, **place, **times)) and None
    )


@pytest.mark.parametrize("by_rules", [False, True])
async def test_while_a_profile_is_to_be_reconnected_that_is_the_next_step(
    relay: Relay, root: MessageTs, by_rules: bool
) -> None:
    await stands(relay, "profile_expired")
    if by_rules:
        relay.robin.rules = ReplyRules(is_allowed=False, max_length=None)
    else:
        relay.social.fail_next(REFUSED, method="reply")
    await relay.types("Yes.", root)
    await relay.pass_(30)
    (notice,) = relay.notices(root)
    assert notice.text.endswith("Reconnect it in Jollor, then press “Send again”.")
    assert relay.buttons(notice) == ["Reconnect in Jollor", "Send again"]
    relay.robin.rules = ReplyRules(is_allowed=True, max_length=None)
    await relay.presses(notice, ActionId.SEND_AGAIN)
    await relay.pass_(30)
    assert relay.robin.received == ["Yes."]


# --- corrections -------------------------------------------------------------------------------------


async def test_a_correction_goes_out_once_and_its_mark_stands_where_it_is_shown(
    relay: Relay, root: MessageTs
) -> None:
    line = await relay.types("4 euros", root)
    await relay.pass_(30)
    await relay.edits(line, "5 euros")
    await relay.pass_(30)
    (note,) = relay.notices(root)
    assert quote(note) == "Sent: 4 euros\nNow: 5 euros"
    assert relay.buttons(note) == ["Send correction"]
    value = relay.value_of(note, ActionId.SEND_CORRECTION)
    await relay.presses(note, ActionId.SEND_CORRECTION, by=GUEST)
    await relay.pass_(30)
    assert relay.told() == [NOT_YOURS] * 2
    await relay.presses(note, ActionId.SEND_CORRECTION, by=ANNA)
    await relay.pass_(30)
    await relay.presses(note, ActionId.SEND_CORRECTION, value=value)
    await relay.pass_(30)
    assert relay.robin.received == ["4 euros", "5 euros"]
    (note,) = relay.notices(root)
    assert (note.text, quote(note)) == (f"<@{ANNA}> has this correction sent.", "5 euros")
    assert relay.buttons(note) == []
    assert relay.chat.marks_of(SUPPORT, note.ts) == {Mark.ACCEPTED}
    assert relay.marks(line) == {Mark.ACCEPTED}
    assert await decided(relay) == [("correction", ANNA)]


async def test_what_is_corrected_next_is_what_was_corrected_last(relay: Relay, root: MessageTs) -> None:
    line = await relay.types("4 euros", root)
    await relay.pass_(30)
    for text in ("5 euros", "6 euros"):
        await relay.edits(line, text)
        await relay.pass_(30)
        await relay.presses(relay.notices(root)[-1], ActionId.SEND_CORRECTION)
        await relay.pass_(30)
    await relay.edits(line, "7 euros")
    await relay.pass_(30)
    assert quote(relay.notices(root)[-1]) == "Sent: 6 euros\nNow: 7 euros"
    await relay.edits(line, "6 euros")  # as the customer has it: nothing to say
    await relay.pass_(30)
    assert len(relay.notices(root)) == 3
    assert relay.robin.received == ["4 euros", "5 euros", "6 euros"]
    await relay.presses(relay.notices(root)[-1], ActionId.SEND_CORRECTION)
    await relay.pass_(30)
    assert relay.robin.received == ["4 euros", "5 euros", "6 euros"]
    assert relay.said(root)[-1].startswith("This line was changed again meanwhile")


async def test_of_a_line_that_is_gone_no_correction_is_sent(relay: Relay, root: MessageTs) -> None:
    line = await relay.types("4 euros", root)
    await relay.pass_(30)
    await relay.edits(line, "5 euros")
    await relay.pass_(30)
    await relay.deletes(line)
    await relay.pass_(30)
    await relay.presses(relay.notices(root)[0], ActionId.SEND_CORRECTION)
    await relay.pass_(30)
    assert relay.robin.received == ["4 euros"]
    assert relay.said(root)[0] == "This line was taken back meanwhile; nothing was sent."


async def test_a_correction_that_waits_is_taken_back_with_its_line(relay: Relay, root: MessageTs) -> None:
    line = await relay.types("4 euros", root)
    await relay.pass_(30)
    await relay.edits(line, "5 euros")
    await relay.pass_(30)
    relay.social.fail_next(AWAY, method="reply_rules", times=3)
    await relay.presses(relay.notices(root)[0], ActionId.SEND_CORRECTION)
    await relay.pass_(5)
    note = relay.notices(root)[0]
    assert relay.chat.marks_of(SUPPORT, note.ts) == {Mark.WAITING}
    await relay.deletes(line)
    await relay.pass_(600)
    assert relay.robin.received == ["4 euros"]
    assert relay.chat.marks_of(SUPPORT, note.ts) == set()
    assert relay.said(root)[-1].endswith("Its correction is not sent any more.")


async def test_a_correction_keeps_its_place_among_the_lines(relay: Relay, root: MessageTs) -> None:
    line = await relay.types("4 euros", root)
    await relay.pass_(30)
    await relay.edits(line, "5 euros")
    await relay.pass_(30)
    relay.social.fail_next(AWAY, method="reply", times=1)
    later = await relay.types("Anything else?", root)
    await relay.presses(relay.notices(root)[0], ActionId.SEND_CORRECTION)
    await relay.pass_(600)
    assert sorted(relay.robin.received) == ["4 euros", "5 euros", "Anything else?"]
    assert relay.marks(later) == {Mark.ACCEPTED}
    assert len(relay.notices(root)) == 1  # nothing is asked, and nothing is called late


@pytest.mark.parametrize("arrived", [False, True])
async def test_a_correction_in_doubt_is_looked_for_and_asked_about_like_any_reply(
    relay: Relay, root: MessageTs, arrived: bool
) -> None:
    line = await relay.types("4 euros", root)
    await relay.pass_(30)
    await relay.edits(line, "5 euros")
    await relay.pass_(30)
    relay.social.fail_next(LOST, method="reply", when=When.AFTER if arrived else When.BEFORE)
    await relay.presses(relay.notices(root)[0], ActionId.SEND_CORRECTION)
    await relay.pass_(300)
    note = relay.notices(root)[0]
    mark = Mark.ACCEPTED if arrived else Mark.DOUBT
    assert relay.chat.marks_of(SUPPORT, note.ts) == {mark}
    assert relay.marks(line) == {Mark.ACCEPTED}
    assert relay.robin.received == ["4 euros", "5 euros"][: 2 if arrived else 1]
    assert len(relay.notices(root)) == (1 if arrived else 2)


async def test_a_refused_correction_says_so_where_it_is_shown(relay: Relay, root: MessageTs) -> None:
    line = await relay.types("4 euros", root)
    await relay.pass_(30)
    await relay.edits(line, "5 euros")
    await relay.pass_(30)
    relay.social.fail_next(REFUSED, method="reply")
    await relay.presses(relay.notices(root)[0], ActionId.SEND_CORRECTION)
    await relay.pass_(30)
    note, refusal = relay.notices(root)
    assert relay.chat.marks_of(SUPPORT, note.ts) == {Mark.FAILED}
    assert relay.marks(line) == {Mark.ACCEPTED}
    await relay.edits(line, "6 euros")
    await relay.pass_(30)
    assert quote(relay.notices(root)[-1]) == "Sent: 4 euros\nNow: 6 euros"
    await relay.presses(refusal, ActionId.SEND_AGAIN)
    await relay.pass_(30)
    assert relay.robin.received == ["4 euros", "5 euros"]


async def test_a_silent_webhook_is_no_lost_profile(relay: Relay, root: MessageTs) -> None:
    await stands(relay, "webhook_silent")
    relay.social.fail_next(REFUSED, method="reply")
    await relay.types("Yes.", root)
    await relay.pass_(30)
    (notice,) = relay.notices(root)
    assert "profile" not in notice.text
    assert relay.buttons(notice) == ["Send again", "Open in Jollor"]
