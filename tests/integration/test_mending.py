"""What the operator retries and cancels: the replies and messages behind it are settled along."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from sqlalchemy import Connection, select, update

from bridge.content import ActionId, Notice
from bridge.deliveries import DeliveryNumber, dead, drop_dead, forget_old, put_mark, retry_dead
from bridge.errors import PermanentError, Snooze, StoreUnavailable, UnconfirmedError
from bridge.events import LineTyped
from bridge.ids import JobId, LineRef, MessageTs
from bridge.model import Mark
from bridge.queries import Queries
from bridge.relay import mending
from bridge.relay.mending import Mending
from bridge.store.engine import Op, Store, T
from bridge.store.tables import deliveries, intents, jobs
from tests.fakes.chat import FakePost
from tests.outbox import TestClock
from tests.relay_stage import SUPPORT, TEAM, Relay

LOST = UnconfirmedError("cut", user_message="No answer.")
FORBIDDEN = PermanentError("jollor_forbidden", user_message="Jollor does not allow us to do that.")
TOO_LONG = PermanentError("msg_too_long", user_message="Slack finds this too long.")


class Flaky(Store):
    """A database that refuses writes, so many from the moment on at which `after` holds."""

    refusals = 0

    def after(self) -> bool:
        """Replaced by the test."""
        return False

    async def write(self, op: Op[T]) -> T:
        if self.refusals and self.after():
            self.refusals -= 1
            raise StoreUnavailable("disk_full", user_message="The disk is full.")
        return await super().write(op)


@pytest.fixture
async def store(migrated_url: str) -> AsyncIterator[Flaky]:
    store = Flaky(migrated_url, clock=TestClock())
    async with store:
        yield store


@pytest.fixture
async def relay(store: Flaky) -> Relay:
    clock = store._clock
    assert isinstance(clock, TestClock)
    relay = Relay(store, clock, undo_window_s=5)
    await relay.link()
    return relay


@pytest.fixture
async def root(relay: Relay) -> MessageTs:
    return await relay.thread()


async def job_of(relay: Relay, kind: str = "send_reply") -> JobId:
    """The newest job of a kind."""
    query = select(jobs.c.id).where(jobs.c.kind == kind).order_by(jobs.c.id.desc()).limit(1)
    return JobId(await relay.store.read(lambda conn: conn.execute(query).scalar_one()))


async def cancel(relay: Relay, *ids: JobId) -> int:
    return await Mending(relay.store).cancel(ids)


async def retry(relay: Relay, *ids: JobId) -> int:
    return await Mending(relay.store).retry(ids)


# --- replies -----------------------------------------------------------------------------------------


async def test_a_reply_whose_job_is_cancelled_is_not_sent_and_says_so(relay: Relay, root: MessageTs) -> None:
    line = await relay.types("Not any more", root)
    behind = await relay.types("But this", root)
    await relay.pass_(1)
    sends = select(jobs.c.id).where(jobs.c.kind == "send_reply").order_by(jobs.c.lane_order)
    first = await relay.store.read(lambda conn: JobId(conn.execute(sends).scalars().first() or 0))
    assert await cancel(relay, first) == 1
    await relay.pass_(30)
    assert relay.marks(line) == {Mark.FAILED}
    assert relay.marks(behind) == {Mark.ACCEPTED}
    assert relay.robin.received == ["But this"]
    assert await relay.intent_states() == ["cancelled", "accepted"]
    (notice,) = relay.notices(root)
    assert notice.text == mending.CANCELLED
    assert isinstance(notice.content, Notice)
    assert notice.content.quote == "Not any more"
    assert await cancel(relay, first) == 0


async def given_up(relay: Relay, root: MessageTs) -> LineTyped:
    """A line whose reply failed for good before it was sent."""
    relay.social.fail_next(FORBIDDEN, method="messages")
    line = await relay.types("Please", root)
    await relay.pass_(30)
    assert await relay.jobs_of("send_reply") == ["discarded"]
    assert relay.marks(line) == {Mark.FAILED}
    return line


def offer(relay: Relay, root: MessageTs) -> FakePost:
    return next(post for post in relay.notices(root) if post.text == mending.OFFERED)


async def test_a_reply_that_was_given_up_is_offered_when_its_job_is_retried(
    relay: Relay, root: MessageTs
) -> None:
    line = await given_up(relay, root)
    assert await retry(relay, await job_of(relay)) == 1
    await relay.pass_(60)
    assert relay.robin.received == [], "its writer was told that nothing was sent"
    assert relay.marks(line) == {Mark.WAITING}
    await relay.presses(offer(relay, root), ActionId.SEND_ANYWAY)
    await relay.pass_(30)
    assert relay.robin.received == ["Please"]
    assert relay.marks(line) == {Mark.ACCEPTED}


async def test_an_offered_reply_can_be_dropped(relay: Relay, root: MessageTs) -> None:
    line = await given_up(relay, root)
    await retry(relay, await job_of(relay))
    await relay.pass_(10)
    await relay.presses(offer(relay, root), ActionId.SETTLE_DROP)
    await relay.pass_(30)
    assert relay.robin.received == []
    assert relay.marks(line) == {Mark.FAILED}


async def test_a_reply_is_not_offered_once_its_line_was_deleted(relay: Relay, root: MessageTs) -> None:
    line = await given_up(relay, root)
    await relay.deletes(line)
    await relay.pass_(5)
    assert await retry(relay, await job_of(relay)) == 1
    await relay.pass_(30)
    assert await relay.intent_states() == ["cancelled"]
    assert relay.robin.received == []


async def test_a_repetition_that_is_cancelled_leaves_the_first_attempt_in_doubt(
    relay: Relay, root: MessageTs
) -> None:
    relay.social.fail_next(LOST, method="reply")
    line = await relay.types("Perhaps", root)
    await relay.pass_(300)
    relay.social.fail_next(Snooze("wait", delay=timedelta(seconds=30)), method="messages")
    await relay.presses(relay.notices(root)[0], ActionId.SETTLE_SEND_AGAIN)
    await relay.pass_(1)
    assert await cancel(relay, await job_of(relay)) == 1
    await relay.pass_(400)
    assert relay.robin.received == []
    assert relay.marks(line) == {Mark.DOUBT}
    answered, asked = relay.said(root)
    assert answered.endswith("has it sent again.")
    assert "not known" in asked


async def test_a_job_that_is_cancelled_half_way_leaves_its_reply_to_be_looked_for(
    relay: Relay, root: MessageTs
) -> None:
    line = await relay.types("Half-way", root)
    await relay.pass_(1)
    send = await job_of(relay)
    # as a process leaves it that was killed while it was sending
    half_way = {"state": "sending", "attempt": 1, "sent_at": relay.clock(), "deadline": relay.clock()}
    await relay._execute(update(intents).values(**half_way, snapshot="[]"))
    assert await cancel(relay, send) == 1
    await relay.pass_(300)
    assert relay.marks(line) == {Mark.DOUBT}
    assert await relay.intent_states() == ["unknown"]
    assert relay.robin.received == []


async def test_a_database_that_is_away_for_a_moment_does_not_turn_a_yes_into_a_doubt(
    relay: Relay, store: Flaky, root: MessageTs
) -> None:
    store.refusals, store.after = 3, lambda: bool(relay.robin.received)  # type: ignore[method-assign]
    line = await relay.types("Yes", root)
    await relay.pass_(30)
    assert store.refusals == 0
    assert await relay.intent_states() == ["accepted"]
    assert relay.marks(line) == {Mark.ACCEPTED}
    assert relay.robin.received == ["Yes"]


async def test_a_database_that_stays_away_leaves_it_in_doubt_and_unrepeated(
    relay: Relay, store: Flaky, root: MessageTs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.relay.replies.RECORD_AGAIN_S", 0)
    moments = iter([0.0, 5.0, 11.0])  # beyond the ten seconds that the call may take
    monkeypatch.setattr("bridge.relay.replies.monotonic", lambda: next(moments, 12.0))
    store.refusals, store.after = 2, lambda: bool(relay.robin.received)  # type: ignore[method-assign]
    line = await relay.types("Perhaps", root)
    await relay.pass_(60)
    assert relay.robin.received == ["Perhaps"]
    assert relay.marks(line) == {Mark.ACCEPTED}, "found in Jollor's list"
    assert await relay.intent_states() == ["confirmed"]


# --- messages to Slack -------------------------------------------------------------------------------


async def dead_numbers(relay: Relay) -> list[DeliveryNumber]:
    return await relay.store.read(lambda conn: [DeliveryNumber(row["seq"]) for row in dead(conn)])


async def retry_all(relay: Relay) -> int:
    numbers = await dead_numbers(relay)
    return await relay.store.write(lambda conn: retry_dead(conn, relay.clock(), numbers))


async def test_messages_that_slack_refused_are_sent_when_retried_oldest_first(
    relay: Relay, root: MessageTs
) -> None:
    for text in ("one", "two"):
        relay.chat.fail_next(TOO_LONG, method="post")
        await relay.customer_writes(text)
        await relay.pass_(10)
    assert len(await dead_numbers(relay)) == 2
    assert await retry_all(relay) == 2
    await relay.customer_writes("three")
    await relay.pass_(10)
    shown = [post.text for post in relay.chat.thread(root) if post.outgoing.kind == "message"]
    assert shown[-3:] == ["one", "two", "three"]
    assert await dead_numbers(relay) == []
    assert await retry_all(relay) == 0


async def test_what_something_newer_has_taken_the_place_of_stays_given_up(relay: Relay) -> None:
    relay.chat.fail_next(TOO_LONG, method="post")
    root = await relay.thread()  # a plain sentence, since the card was refused
    line = await relay.types("Hi", root)
    relay.chat.fail_next(PermanentError("invalid_name", user_message="No such mark."), method="add_mark")
    await relay.pass_(1)

    def marked(conn: Connection) -> None:
        put_mark(conn, relay.clock(), LineRef(TEAM, SUPPORT, MessageTs(line.ts)), Mark.WAITING)

    await relay.store.write(marked)
    await relay.pass_(30)
    assert relay.marks(line) == {Mark.ACCEPTED}
    assert len(await dead_numbers(relay)) == 2
    assert await retry_all(relay) == 0, "another root stands, and another mark"
    await relay.pass_(30)
    assert relay.marks(line) == {Mark.ACCEPTED}
    assert len(relay.chat.roots(SUPPORT)) == 1


async def test_an_older_drawing_does_not_land_on_a_newer_one(relay: Relay, root: MessageTs) -> None:
    relay.chat.fail_next(TOO_LONG, method="update")
    await relay.types("Hi", root)
    await relay.pass_(30)
    (number,) = await dead_numbers(relay)
    await relay.customer_writes("And now?")
    await relay.pass_(30)
    assert await retry_all(relay) == 0
    assert await dead_numbers(relay) == [number]


async def test_a_mark_that_slack_refused_is_set_when_retried(relay: Relay, root: MessageTs) -> None:
    relay.chat.fail_next(PermanentError("too_many_reactions", user_message="Too many."), method="add_mark")
    line = await relay.types("// note", root)
    await relay.pass_(10)
    assert relay.marks(line) == set()
    assert await retry_all(relay) == 1
    await relay.pass_(10)
    assert relay.marks(line) == {Mark.INTERNAL}


async def test_dead_letters_stay_until_they_are_dropped(relay: Relay, root: MessageTs) -> None:
    relay.chat.fail_next(PermanentError("too_many_reactions", user_message="Too many."), method="add_mark")
    await relay.types("// note", root)
    await relay.pass_(10)
    later = relay.clock() + timedelta(days=30)
    await relay.store.write(lambda conn: forget_old(conn, later))
    (number,) = await dead_numbers(relay)
    assert await relay.store.write(lambda conn: drop_dead(conn, relay.clock(), [number])) == 1
    assert await dead_numbers(relay) == []
    await relay.store.write(lambda conn: forget_old(conn, later))
    of_it = select(deliveries.c.id).where(deliveries.c.seq == number)
    assert await relay.store.read(lambda conn: conn.execute(of_it).first()) is None


async def test_the_status_names_the_newest_dead_letters_with_their_reasons(
    relay: Relay, root: MessageTs
) -> None:
    queries = Queries(relay.store, dashboard_url="https://jollor.example")
    (fine,) = [fact for fact in (await queries.status(TEAM)).facts if fact.label == "Given up"]
    assert (fine.value, fine.is_fine) == ("nothing", True)
    await given_up(relay, root)
    relay.chat.fail_next(TOO_LONG, method="post")
    await relay.customer_writes("too long")
    await relay.pass_(10)
    (fact,) = [fact for fact in (await queries.status(TEAM)).facts if fact.label == "Given up"]
    assert fact.is_fine is False
    said = fact.value.splitlines()
    assert said[0] == (
        "1 job, 1 message to Slack. `jollor-slack jobs list` shows them, `jobs retry` runs them again. "
        "The latest:"
    )
    assert said[1].endswith("UTC: A message in a thread: Slack finds this too long.")
    assert said[2].endswith("UTC: Sending a reply to Jollor: Jollor does not allow us to do that.")
