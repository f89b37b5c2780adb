"""What becomes of lines that people type, on both databases: each way that a line can take to its mark."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from sqlalchemy import Connection, select, update

from bridge.content import ActionId
from bridge.errors import BridgeError, PermanentError, Snooze, StoreUnavailable, TargetDown, UnconfirmedError
from bridge.events import LineTyped, SlackEventReceived
from bridge.ids import MessageId, ProjectId, ThreadRef, UserId
from bridge.model import LinkKind, Mark, Person, ReplyRules
from bridge.policy import UNLINKED
from bridge.queue.attempt import MAX_LOST
from bridge.queue.claim import LOST
from bridge.queue.jobs import NewJob
from bridge.store.attempts import record_attempt
from bridge.store.engine import Store
from bridge.store.tables import jobs
from tests.fakes.chat import When
from tests.fakes.social import FakeSocial
from tests.fakes.social import When as Struck
from tests.outbox import TestClock
from tests.relay_stage import BAKERY, BEN, SUPPORT, TEAM, Relay

AWAY = TargetDown("jollor_unreachable", target=f"project:{BAKERY}", user_message="Jollor cannot be reached.")
SLACK_AWAY = TargetDown("slack_unreachable", target=f"team:{TEAM}", user_message="Slack cannot be reached.")
NO_SCOPE = PermanentError("missing_scope", user_message="The Jollor app needs the Slack scope users:read.")


@pytest.fixture
async def relay(migrated_url: str) -> AsyncIterator[Relay]:
    clock = TestClock()
    async with Store(migrated_url, clock=clock) as store:
        yield Relay(store, clock)


# --- replies -----------------------------------------------------------------------------------------


async def test_a_reply_goes_out_and_has_one_mark_and_never_an_hourglass_if_it_is_quick(relay: Relay) -> None:
    await relay.link()
    line = await relay.types("Yes.", await relay.thread())
    await relay.pass_(30)
    assert relay.robin.received == ["Yes."]
    assert relay.marks(line) == {Mark.ACCEPTED}
    assert relay.chat.calls.count("add_mark") == 1
    assert relay.chat.calls.count("remove_mark") == 0


async def test_an_hourglass_comes_two_seconds_after_the_undo_window_and_goes_when_the_reply_went(
    relay: Relay,
) -> None:
    await relay.link(undo_window_s=5)
    root = await relay.thread()
    relay.social.fail_next(AWAY, method="reply_rules", times=3)
    line = await relay.types("Yes.", root)
    await relay.pass_(6.9)
    assert relay.marks(line) == set()
    await relay.pass_(2)
    assert relay.marks(line) == {Mark.WAITING}
    await relay.pass_(60)
    assert relay.marks(line) == {Mark.ACCEPTED}
    assert relay.robin.received == ["Yes."]
    assert relay.said(root) == []


@pytest.mark.parametrize("error", [Snooze("limited", delay=timedelta(seconds=30)), AWAY])
async def test_what_surely_was_not_sent_goes_out_later_by_itself_and_before_what_was_typed_later(
    relay: Relay, error: BridgeError
) -> None:
    await relay.link()
    root = await relay.thread()
    relay.social.fail_next(error, method="reply")
    lines = [await relay.types("first", root), await relay.types("second", root)]
    await relay.pass_(120)
    assert relay.robin.received == ["first", "second"]
    assert [relay.marks(line) for line in lines] == [{Mark.ACCEPTED}] * 2


async def test_a_reply_that_fails_for_good_before_it_was_sent_is_refused_with_the_reason(
    relay: Relay,
) -> None:
    await relay.link()
    root = await relay.thread()
    broken = BridgeError("jollor_object_failed", user_message="Jollor could not process this one.")
    relay.social.fail_next(broken, method="messages", times=100)
    line = await relay.types("Yes.", root)
    await relay.pass_(600)
    assert relay.marks(line) == {Mark.FAILED}
    assert relay.said(root) == [
        "Jollor could not process this one. Nothing was sent. Press “Send again” to try once more."
    ]
    assert relay.robin.received == []


async def test_a_reply_that_is_given_up_while_it_is_being_sent_is_looked_for_and_asked_about(
    relay: Relay,
) -> None:
    """The process was stopped again and again, the last time after the call had begun."""
    await relay.link()
    root = await relay.thread()
    relay.social.fail_next(StoreUnavailable("stopped"), method="reply")
    line = await relay.types("Yes.", root)
    await relay.pass_(2)
    assert await relay.intent_states() == ["sending"]

    def lost(conn: Connection) -> None:
        job = conn.execute(select(jobs.c.id).where(jobs.c.kind == "send_reply")).scalar_one()
        for _ in range(MAX_LOST):
            record_attempt(conn, f"job:{job}", relay.clock(), 1, "lost")
        conn.execute(update(jobs).where(jobs.c.id == job).values(reason=LOST))

    await relay.store.write(lost)
    await relay.settle()
    assert await relay.jobs_of("send_reply") == ["discarded"]
    assert relay.marks(line) == {Mark.DOUBT}
    assert len(relay.notices(root)) == 1


async def test_a_refusal_of_jollors_is_told_with_the_line_and_a_way_on(relay: Relay) -> None:
    await relay.link()
    root = await relay.thread()
    relay.social.fail_next(
        PermanentError("jollor_rejected_422", user_message="Jollor refused it.", may_pass_later=True),
        method="reply",
    )
    line = await relay.types("Yes.", root)
    await relay.pass_(30)
    (notice,) = relay.notices(root)
    assert relay.marks(line) == {Mark.FAILED}
    assert notice.content.model_dump(include={"text", "quote"}) == {
        "text": "Jollor refused it. Nothing was sent. Change the line if its text may be why, then press "
        "“Send again”.",
        "quote": "Yes.",
    }
    assert "open_dashboard" in notice.content.model_dump_json()
    assert relay.robin.received == []


async def test_what_the_rules_forbid_is_refused_before_anything_is_sent(relay: Relay) -> None:
    await relay.link()
    root = await relay.thread()
    relay.robin.rules = ReplyRules(is_allowed=True, max_length=3)
    line = await relay.types("12345", root)
    await relay.pass_(30)
    assert relay.marks(line) == {Mark.FAILED}
    assert "2 characters too long; at most 3" in relay.said(root)[0]
    assert "reply" not in relay.social.calls


async def test_rules_that_cannot_be_read_stop_nothing(relay: Relay) -> None:
    await relay.link()
    root = await relay.thread()
    relay.social.fail_next(PermanentError("jollor_not_found"), method="reply_rules")
    line = await relay.types("Yes.", root)
    await relay.pass_(30)
    assert relay.marks(line) == {Mark.ACCEPTED}


@pytest.mark.parametrize("struck", list(Struck))
async def test_an_unknown_outcome_is_asked_for_once_and_looked_for(relay: Relay, struck: Struck) -> None:
    await relay.link()
    root = await relay.thread()
    relay.social.fail_next(UnconfirmedError("cut", user_message="No answer."), method="reply", when=struck)
    line = await relay.types("Yes.", root)
    await relay.pass_(300)
    arrived = struck is Struck.AFTER
    assert relay.marks(line) == {Mark.ACCEPTED if arrived else Mark.DOUBT}
    assert relay.robin.received == ["Yes."] * arrived
    assert relay.social.calls.count("reply") == 1
    assert len(relay.notices(root)) == (0 if arrived else 1)


# --- order -------------------------------------------------------------------------------------------


async def test_a_line_that_is_told_of_late_goes_before_one_that_was_typed_after_it(relay: Relay) -> None:
    await relay.link()
    root = await relay.thread()
    first, second = relay.a_line("first", root), relay.a_line("second", root)
    await relay.jobs.put(second)
    await relay.pass_(0.2)
    await relay.jobs.put(first)
    await relay.pass_(30)
    assert relay.robin.received == ["first", "second"]


class Interrupted(FakeSocial):
    """Something happens in Slack while Jollor is asked for the rules."""

    relay: Relay
    happening: list[LineTyped]

    async def reply_rules(self, project: ProjectId, message: MessageId) -> ReplyRules:
        for line in self.happening:
            await self.relay.jobs.put(line)
            await self.relay.worker.run_until_idle()
        self.happening = []
        return await super().reply_rules(project, message)


async def test_a_line_that_turns_up_while_a_later_one_is_about_to_go_still_goes_first(
    migrated_url: str,
) -> None:
    clock, social = TestClock(), Interrupted()
    async with Store(migrated_url, clock=clock) as store:
        relay = Relay(store, clock, social)
        social.relay, social.happening = relay, []
        await relay.link()
        root = await relay.thread()
        first, second = relay.a_line("first", root), relay.a_line("second", root)
        social.happening = [first]
        await relay.jobs.put(second)
        await relay.pass_(30)
        assert relay.robin.received == ["first", "second"]
        assert [relay.marks(line) for line in (first, second)] == [{Mark.ACCEPTED}] * 2


async def test_news_of_the_thread_that_nobody_has_read_holds_a_reply_for_a_moment_only(relay: Relay) -> None:
    await relay.link()
    root = await relay.thread()
    unread = SlackEventReceived(
        body={}, received_at=relay.clock(), thread_key=ThreadRef(TEAM, SUPPORT, root).key
    )
    later = relay.clock() + timedelta(hours=1)
    await relay.jobs.receive([NewJob(unread, run_at=later)])
    await relay.types("Yes.", root)
    await relay.pass_(4)
    assert relay.robin.received == []
    await relay.pass_(3)
    assert relay.robin.received == ["Yes."]


async def test_a_line_that_comes_after_a_later_one_went_out_waits_for_a_persons_word(relay: Relay) -> None:
    await relay.link()
    root = await relay.thread()
    first = relay.a_line("first", root)
    await relay.types("second", root)
    await relay.pass_(5)
    await relay.jobs.put(first)
    await relay.pass_(30)
    assert relay.robin.received == ["second"]
    assert relay.marks(first) == {Mark.WAITING}
    (question,) = relay.notices(root)
    assert "went out before it" in question.text
    await relay.presses(question, ActionId.SEND_ANYWAY)
    await relay.pass_(30)
    assert relay.robin.received == ["second", "first"]
    assert relay.marks(first) == {Mark.ACCEPTED}


@pytest.mark.parametrize(("minutes", "words"), [(11, "11 min"), (119, "119 min"), (300, "5 h"), (9, None)])
async def test_a_line_that_took_longer_than_ten_minutes_is_offered_with_its_age(
    relay: Relay, minutes: int, words: str | None
) -> None:
    await relay.link()
    root = await relay.thread()
    line = relay.a_line("Yes.", root)
    relay.clock.pass_(60 * minutes)
    late = line.model_copy(update={"received_at": relay.clock()})
    await relay.jobs.put(late)
    await relay.pass_(30)
    assert relay.robin.received == ([] if words else ["Yes."])
    if words is not None:
        (question,) = relay.notices(root)
        assert f"typed {words} before it reached the bridge" in question.text
        await relay.presses(question, ActionId.SETTLE_DROP)
        await relay.pass_(30)
        assert await relay.intent_states() == ["dropped"]
        assert relay.robin.received == []


async def test_a_line_that_waited_for_the_bridge_itself_is_not_late(relay: Relay) -> None:
    await relay.link()
    root = await relay.thread()
    line = relay.a_line("Yes.", root)
    relay.clock.pass_(3600)  # stored in time, read after an hour
    await relay.jobs.put(line)
    await relay.pass_(30)
    assert relay.robin.received == ["Yes."]


# --- known lines -------------------------------------------------------------------------------------


async def test_a_line_is_known_by_its_ts_and_by_its_client_msg_id(relay: Relay) -> None:
    await relay.link()
    root = await relay.thread()
    line = await relay.types("Yes.", root, client_msg_id="one")
    await relay.pass_(0.1)  # the others would race for being the first that is recorded
    await relay.jobs.put(line)
    await relay.jobs.put(line.model_copy(update={"client_msg_id": None}))
    await relay.types("Yes.", root, client_msg_id="one")
    await relay.types("Yes.", root, client_msg_id="two")
    await relay.pass_(30)
    assert relay.robin.received == ["Yes.", "Yes."]


# --- where it stands ---------------------------------------------------------------------------------


async def test_a_line_under_a_root_whose_answer_was_lost_waits_until_the_root_is_known(relay: Relay) -> None:
    await relay.link()
    relay.chat.fail_next(UnconfirmedError("cut"), method="post", when=When.AFTER)
    await relay.customer_writes("Hello?")
    await relay.pass_(1)
    root = relay.chat.roots(SUPPORT)[0].ts
    line = await relay.types("Yes, I am fast.", root)
    await relay.pass_(0.5)
    assert relay.robin.received == []
    await relay.pass_(60)
    assert relay.robin.received == ["Yes, I am fast."]
    assert relay.marks(line) == {Mark.ACCEPTED}


async def test_an_old_thread_of_other_people_is_not_waited_for(relay: Relay) -> None:
    await relay.link()
    theirs = relay.chat.add_line(SUPPORT)
    relay.clock.pass_(600)
    relay.chat.fail_next(UnconfirmedError("cut"), method="post", times=100)
    await relay.customer_writes("Hello?")
    await relay.pass_(1)
    await relay.types("Lunch?", theirs)
    await relay.pass_(1)
    assert await relay.jobs_of("line_typed") == ["completed"]
    assert relay.chat.whispers == []


@pytest.mark.parametrize("kind", [LinkKind.ALERT, LinkKind.POST])
async def test_a_channel_that_still_gets_alerts_or_posts_gets_no_answers_out(
    relay: Relay, kind: LinkKind
) -> None:
    link = await relay.link(LinkKind.MESSAGE)
    root = await relay.thread()
    await relay.unlink(link)
    await relay.link(kind)
    line = await relay.types("Yes.", root)
    await relay.pass_(30)
    assert relay.marks(line) == {Mark.FAILED}
    assert relay.said(root) == [UNLINKED.sentence]


async def test_a_writer_is_told_once_per_place_and_one_whom_it_cannot_be_told_costs_nothing(
    relay: Relay,
) -> None:
    await relay.link()
    ours = await relay.thread()
    relay.chat.fail_next(PermanentError("user_not_in_channel"), method="whisper")
    await relay.types("Dear Robin", None, user_id="UANNA")
    await relay.pass_(1)  # hers is the one that fails, not whichever is told first
    for text in ("Dear Robin", "Is this on?"):
        await relay.types(text, None, user_id="UANNA")
        await relay.types(text, None)
        await relay.types(text, relay.chat.add_line(SUPPORT), is_under_ours=True)
        await relay.types(text, relay.chat.add_line(SUPPORT))
    await relay.types("// among us", None, user_id="UCARL")
    await relay.pass_(30)
    told = [(whisper.user, whisper.thread_ts is not None) for whisper in relay.chat.whispers]
    assert sorted(told) == [(BEN, False), (BEN, True), (BEN, True)]
    assert set(await relay.jobs_of("line_typed")) == {"completed"}
    assert relay.said(ours) == []


# --- who wrote it ------------------------------------------------------------------------------------


async def test_a_line_waits_while_slack_cannot_say_who_wrote_it(relay: Relay) -> None:
    await relay.link()
    root = await relay.thread()
    relay.chat.fail_next(SLACK_AWAY, method="person", times=3)
    line = await relay.types("Yes.", root)
    await relay.pass_(120)
    assert relay.robin.received == ["Yes."]
    assert relay.marks(line) == {Mark.ACCEPTED}


async def test_a_line_that_cannot_be_dealt_with_for_good_is_refused_with_the_reason(relay: Relay) -> None:
    await relay.link()
    root = await relay.thread()
    relay.chat.fail_next(NO_SCOPE, method="person", times=2)
    line = await relay.types("Yes.", root)
    await relay.types("Elsewhere", relay.chat.add_line(SUPPORT))
    await relay.pass_(30)
    assert relay.marks(line) == {Mark.FAILED}
    assert relay.said(root) == [
        f"{NO_SCOPE.user_message} Nothing was sent. Press “Send again” to try once more."
    ]
    assert relay.robin.received == []


async def test_a_line_elsewhere_that_cannot_be_read_is_nobodys_trouble(relay: Relay) -> None:
    await relay.link()
    root = await relay.thread()
    for place in (None, relay.chat.add_line(SUPPORT)):
        await relay.outbound.could_not_take(relay.a_line("Lunch?", place), "Broken.")
    await relay.pass_(30)
    assert relay.chat.marks == {}
    assert relay.said(root) == []


async def test_an_automatic_author_is_passed_over(relay: Relay) -> None:
    await relay.link()
    root = await relay.thread()
    relay.chat.add_person(Person(UserId("UFLOW"), "A workflow", is_bot=True))
    line = await relay.types("Yes.", root, user_id="UFLOW")
    await relay.pass_(30)
    assert relay.marks(line) == set()
    assert relay.robin.received == []
