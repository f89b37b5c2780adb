"""Replies that people decide about: asked for in every case, released in order, by those who may."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from bridge.content import ActionId
from bridge.errors import BridgeError, PermanentError, Snooze, UnconfirmedError
from bridge.events import ConversationChanged, LineTyped
from bridge.ids import ChannelId, MessageTs
from bridge.model import Channel, Mark, Person
from bridge.relay.holding import PERHAPS_RECEIVED
from bridge.relay.refusals import BEFORE
from bridge.store.engine import Store
from tests.outbox import TestClock
from tests.relay_stage import BAKERY, BEN, ROBIN, Relay

LOST = UnconfirmedError("cut", user_message="No answer.")
BROKEN = BridgeError("jollor_bad_answer", user_message="Jollor's answer could not be understood.")


@pytest.fixture
async def relay(migrated_url: str) -> AsyncIterator[Relay]:
    clock = TestClock()
    async with Store(migrated_url, clock=clock) as store:
        yield Relay(store, clock)


@pytest.fixture
async def root(relay: Relay) -> MessageTs:
    await relay.link()
    return await relay.thread()


async def test_people_are_asked_even_if_looking_fails_for_good(relay: Relay, root: MessageTs) -> None:
    relay.social.fail_next(LOST, method="reply")
    line = await relay.types("Are you there?", root)
    await relay.pass_(0.5)
    relay.social.fail_next(PermanentError("jollor_forbidden"), method="messages", times=20)
    await relay.pass_(300)
    assert relay.marks(line) == {Mark.DOUBT}
    assert "It is not sent again by itself" in relay.said(root)[0]
    assert await relay.jobs_of("send_reply") == ["completed"]


async def test_an_echo_after_the_question_releases_what_waited(relay: Relay, root: MessageTs) -> None:
    relay.social.fail_next(LOST, method="reply")
    first = await relay.types("It is ten euros.", root)
    await relay.pass_(1)
    second = await relay.types("Each.", root)
    await relay.pass_(200)
    assert relay.marks(second) == {Mark.WAITING}
    relay.social.dashboard_replies(BAKERY, ROBIN, "It is ten euros.")  # the first attempt, visible at last
    await relay.customer_writes("Thanks")
    await relay.pass_(30)
    assert relay.marks(first) == {Mark.ACCEPTED}
    assert relay.marks(second) == {Mark.ACCEPTED}
    assert relay.robin.received == ["It is ten euros.", "Each."]


async def test_a_line_typed_after_the_question_waits_behind_what_waits(relay: Relay, root: MessageTs) -> None:
    relay.social.fail_next(LOST, method="reply")
    await relay.types("A", root)
    await relay.pass_(1)
    await relay.types("B", root)
    await relay.pass_(200)
    late = await relay.types("C", root)
    await relay.pass_(30)
    assert relay.robin.received == []
    assert relay.marks(late) == {Mark.WAITING}
    await relay.presses(relay.notices(root)[0], ActionId.SETTLE_DROP)
    await relay.pass_(30)
    assert relay.robin.received == ["B", "C"]


async def test_a_first_attempt_that_shows_up_before_the_second_makes_the_second_needless(
    relay: Relay, root: MessageTs
) -> None:
    relay.social.fail_next(LOST, method="reply")
    line = await relay.types("We open at eight.", root)
    await relay.pass_(200)
    relay.social.dashboard_replies(BAKERY, ROBIN, "We open at eight.")
    await relay.presses(relay.notices(root)[0], ActionId.SETTLE_SEND_AGAIN)
    await relay.pass_(30)
    assert relay.robin.received == ["We open at eight."]
    assert relay.marks(line) == {Mark.ACCEPTED}


async def test_guests_cannot_decide(relay: Relay, root: MessageTs) -> None:
    relay.social.fail_next(LOST, method="reply")
    line = await relay.types("We open at eight.", root)
    await relay.pass_(200)
    relay.chat.add_person(Person(BEN, "Ben", is_guest=True))
    await relay.presses(relay.notices(root)[0], ActionId.SETTLE_SEND_AGAIN)
    await relay.pass_(30)
    assert relay.robin.received == []
    assert relay.marks(line) == {Mark.DOUBT}


async def test_the_same_words_a_month_later_are_somebody_elses(relay: Relay, root: MessageTs) -> None:
    relay.social.fail_next(LOST, method="reply")
    await relay.types("Thanks a lot, see you soon!", root)
    await relay.pass_(200)
    await relay.presses(relay.notices(root)[0], ActionId.SETTLE_ARRIVED)
    await relay.pass_(30 * 86_400)
    relay.social.dashboard_replies(BAKERY, ROBIN, "Thanks a lot, see you soon!")
    await relay.customer_writes("Who was that?")
    await relay.pass_(120)
    shown = [post.text for post in relay.chat.thread(root) if post.outgoing.kind == "message"]
    assert any("Thanks a lot" in text for text in shown)


async def test_one_announced_message_that_cannot_be_read_keeps_no_other_from_being_shown(
    relay: Relay, root: MessageTs
) -> None:
    relay.social.fail_next(BROKEN, method="message", times=50)
    for number in range(3):
        await relay.customer_writes(f"message {number}")
    await relay.jobs.put(
        ConversationChanged(project_id=BAKERY, conversation_id=ROBIN, message_id="broken", cause="x")
    )
    await relay.pass_(5)
    shown = [post.text for post in relay.chat.thread(root) if post.outgoing.kind == "message"]
    assert [n for n in range(3) if any(f"message {n}" in text for text in shown)] == [0, 1, 2]
    assert set(await relay.jobs_of("conversation_changed")) == {"completed"}
    await relay.pass_(600)
    assert await relay.jobs_of("message_missing") == ["discarded"]
    assert [text for text in relay.said(root) if "could not be read – open in Jollor" in text]


async def test_a_reply_from_one_linked_channel_is_shown_in_the_other(relay: Relay, root: MessageTs) -> None:
    night = ChannelId("C2")
    relay.chat.add_channel(Channel(night, "night"))
    await relay.link(channel=night)
    await relay.customer_writes("Anybody?")
    await relay.pass_(30)
    await relay.types("Yes, here.", root)
    await relay.pass_(30)
    await relay.customer_writes("Great")
    await relay.pass_(30)
    second = relay.chat.roots(night)[0].ts
    assert any("Yes, here." in post.text for post in relay.chat.thread(second))
    assert not any(
        "Yes, here." in post.text for post in relay.chat.thread(root) if post.outgoing.kind == "message"
    )


# --- sent again, and stopped on the way --------------------------------------------------------------


async def sent_again_and_stopped(relay: Relay, root: MessageTs) -> LineTyped:
    """A reply in doubt that is to be sent again, but somebody has answered elsewhere meanwhile."""
    relay.social.fail_next(LOST, method="reply")
    line = await relay.types("Yes.", root)
    await relay.settle(within_s=400)
    relay.social.dashboard_replies(BAKERY, ROBIN, "We are open.")
    relay.clock.pass_(100)
    await relay.presses(relay.notices(root)[0], ActionId.SETTLE_SEND_AGAIN)
    await relay.settle(within_s=60)
    assert relay.marks(line) == {Mark.WAITING}
    return line


async def test_a_second_attempt_that_is_dropped_says_nothing_of_the_first(
    relay: Relay, root: MessageTs
) -> None:
    line = await sent_again_and_stopped(relay, root)
    await relay.presses(relay.notices(root)[-1], ActionId.SETTLE_DROP)
    await relay.settle(within_s=60)
    assert relay.said(root)[-1] == f"<@{BEN}> dropped it; whether it arrived stays unknown."
    assert relay.marks(line) == {Mark.DOUBT}


async def test_a_line_that_is_deleted_before_its_second_attempt_may_have_arrived(
    relay: Relay, root: MessageTs
) -> None:
    line = await sent_again_and_stopped(relay, root)
    await relay.presses(relay.notices(root)[-1], ActionId.SEND_ANYWAY)
    await relay.deletes(line)
    await relay.settle(within_s=60)
    assert "The customer may have received it as it was" in relay.said(root)[-1]
    assert relay.robin.received == ["We are open."]
    assert await relay.intent_states() == ["dropped"]


async def test_a_line_that_is_held_back_before_its_second_attempt_stays_in_doubt(
    relay: Relay, root: MessageTs
) -> None:
    line = await sent_again_and_stopped(relay, root)
    await relay.holds_back(line.ts, root)
    await relay.settle(within_s=60)
    assert relay.told() == [PERHAPS_RECEIVED]
    assert relay.marks(line) == {Mark.DOUBT}


async def test_a_second_attempt_that_jollor_refuses_says_nothing_of_the_first(
    relay: Relay, root: MessageTs
) -> None:
    relay.social.fail_next(LOST, method="reply")
    line = await relay.types("Yes.", root)
    await relay.settle(within_s=400)
    refused = PermanentError("jollor_rejected_422", user_message="Jollor refused it.", may_pass_later=True)
    relay.social.fail_next(refused, method="reply")
    await relay.presses(relay.notices(root)[0], ActionId.SETTLE_SEND_AGAIN)
    await relay.settle(within_s=60)
    assert relay.said(root)[-1].endswith(BEFORE)
    assert relay.marks(line) == {Mark.DOUBT}
    await relay.presses(relay.notices(root)[-1], ActionId.SEND_AGAIN)
    await relay.settle(within_s=60)
    assert relay.robin.received == ["Yes."]
    assert relay.marks(line) == {Mark.ACCEPTED}


async def test_the_same_words_of_somebody_else_are_no_double_of_a_reply_that_only_waited(
    relay: Relay, root: MessageTs
) -> None:
    relay.social.fail_next(Snooze("jollor_rate_limited", delay=timedelta(seconds=3)), method="reply")
    await relay.types("Thank you!", root)
    await relay.settle(within_s=60)
    echo = relay.robin.messages[-1]
    relay.clock.pass_(600)
    theirs = relay.social.dashboard_replies(BAKERY, ROBIN, "Thank you!")
    for message in (echo, theirs):
        event = ConversationChanged(project_id=BAKERY, conversation_id=ROBIN, message_id=message.id)
        await relay.jobs.put(event)
        await relay.settle(within_s=120)
    assert relay.said(root) == []
    assert [post.text for post in relay.chat.thread(root)][-1] == "Thank you!"
