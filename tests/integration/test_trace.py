"""`/jollor trace`: every hop of one message, in order and in words, and nobody's text."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from bridge.content import ActionId, TraceAnswer
from bridge.errors import BridgeError, PermanentError, Snooze, TargetDown, UnconfirmedError
from bridge.events import ConversationChanged
from bridge.ids import ChannelId, MessageTs, TeamId
from bridge.queries import Queries
from bridge.relay.floods import FLOOD
from bridge.relay.upkeep import KEEP
from bridge.store.engine import Store
from bridge.trace import followed, job_trace
from tests.fakes.chat import FakePost, When
from tests.outbox import TestClock
from tests.relay_stage import BAKERY, ROBIN, SUPPORT, TEAM, Relay

LOST = UnconfirmedError("cut", user_message="Jollor did not say whether it was sent.")
BROKEN = BridgeError("jollor_bad_answer", user_message="Jollor's answer could not be understood.")
SECRET = "my card number is 4111"


@pytest.fixture
async def relay(migrated_url: str) -> AsyncIterator[Relay]:
    clock = TestClock()
    async with Store(migrated_url, clock=clock) as store:
        yield Relay(store, clock)


@pytest.fixture
async def root(relay: Relay) -> MessageTs:
    await relay.link()
    return await relay.thread()


async def trace(relay: Relay, asked: str, team: TeamId = TEAM) -> TraceAnswer:
    return await Queries(relay.store, dashboard_url="https://jollor.example").trace(team, asked)


async def trace_at(relay: Relay, ts: str, channel: ChannelId = SUPPORT) -> TraceAnswer:
    answer = await trace(relay, f"{channel} {ts}")
    times = [hop.at for hop in answer.hops[1:]]
    assert times == sorted(times)
    assert SECRET not in str(answer)
    return answer


def said(answer: TraceAnswer) -> list[str]:
    return [f"{hop.what}: {hop.reason}" if hop.reason else hop.what for hop in answer.hops]


def in_this_order(answer: TraceAnswer, *beginnings: str) -> None:
    """The trace has these hops, one after the other, perhaps with others between them."""
    lines = iter(said(answer))
    for beginning in beginnings:
        assert any(line.startswith(beginning) for line in lines), f"{beginning!r} of {said(answer)}"


def message(relay: Relay, root: MessageTs, text: str) -> FakePost:
    return next(p for p in relay.chat.thread(root) if p.outgoing.kind == "message" and text in p.text)


async def test_a_customers_message_is_traced_from_the_webhook_to_the_post(
    relay: Relay, root: MessageTs
) -> None:
    written = relay.social.customer_writes(BAKERY, ROBIN, SECRET)
    relay.clock.pass_(1)
    heard_at = relay.clock()
    await relay.jobs.put(
        ConversationChanged(
            project_id=BAKERY,
            conversation_id=ROBIN,
            message_id=written.id,
            cause="message_received",
            since=heard_at,
        )
    )
    relay.social.fail_next(
        TargetDown("down", target="project:bakery", user_message="Jollor is away."), method="messages"
    )
    relay.social.fail_next(BROKEN, method="messages")
    relay.chat.fail_next(Snooze("ratelimited", delay=timedelta(seconds=7)), method="post")
    relay.chat.fail_next(
        UnconfirmedError("slack_timeout", user_message="Slack did not answer."), method="post"
    )
    await relay.settle()
    post = message(relay, root, SECRET)
    answer = await trace_at(relay, post.ts)
    assert answer.about == "A customer's message"
    in_this_order(
        answer,
        "It was written, by Jollor's clock",
        "Jollor told of it (webhook, message_received)",
        "It had to wait: the other side was away: Jollor is away.",
        "It failed, and was to be tried again: Jollor's answer could not be understood.",
        "It was read from Jollor and recorded",
        "A message in a thread was owed to <#C1>: also shown in the channel itself",
        "Slack asked to slow down: for 7 s",
        "It was sent, and Slack did not answer: to be looked for there: Slack did not answer.",
        "It was looked for in Slack and is not there: sent again",
        "A message in a thread was posted in Slack",
    )
    heard = next(hop for hop in answer.hops if hop.what.startswith("Jollor told"))
    assert heard.at == heard_at
    failed = next(hop for hop in answer.hops if hop.what.startswith("It failed"))
    assert failed.attempt == 1
    assert (await trace(relay, written.id)).hops == answer.hops, "the same by Jollor's id"
    assert answer.remarks == ()


async def test_what_a_sweep_found_and_what_stood_beside_says_so(relay: Relay, root: MessageTs) -> None:
    beside = relay.social.customer_writes(BAKERY, ROBIN, "beside")
    hinted = relay.social.customer_writes(BAKERY, ROBIN, "hinted")
    await relay.jobs.put(
        ConversationChanged(
            project_id=BAKERY, conversation_id=ROBIN, message_id=hinted.id, cause="message_received"
        )
    )
    await relay.settle()
    swept = relay.social.customer_writes(BAKERY, ROBIN, "swept")
    await relay.jobs.put(ConversationChanged(project_id=BAKERY, conversation_id=ROBIN, cause="sweep"))
    await relay.settle()
    how = {one.text: said(await trace(relay, one.id))[1] for one in (beside, hinted, swept)}
    assert how == {
        "beside": "Found beside another message that a webhook told of",
        "hinted": "Jollor told of it (webhook, message_received)",
        "swept": "Found by looking through the inbox; no webhook had told of it",
    }


async def test_messages_that_share_a_post_are_traced_as_what_became_of_it(
    relay: Relay, root: MessageTs
) -> None:
    written = [relay.social.customer_writes(BAKERY, ROBIN, text) for text in ("one", "two")]
    relay.chat.fail_next(Snooze("limited", delay=timedelta(seconds=7)), method="post")
    await relay.jobs.put(ConversationChanged(project_id=BAKERY, conversation_id=ROBIN))
    await relay.settle()
    for one in written:
        answer = await trace(relay, one.id)
        in_this_order(
            answer,
            "It was read from Jollor and recorded",
            "A message in a thread was owed to <#C1>",
            "Slack asked to slow down: for 7 s",
            "A message in a thread was posted in Slack",
        )
        assert not any("not needed" in line for line in said(answer))
    whole = await trace_at(relay, message(relay, root, "two").ts)
    assert whole.about == "2 messages, shown together"
    in_this_order(
        whole,
        "Message 1 of 2: It was written",
        "Message 2 of 2: It was written",
        "It was put into one post with the message before it",
        "A message in a thread was posted in Slack",
    )


async def test_a_message_of_a_flood_says_where_it_is_kept(relay: Relay, root: MessageTs) -> None:
    first, *_ = [relay.social.customer_writes(BAKERY, ROBIN, f"{n}") for n in range(FLOOD + 1)]
    await relay.jobs.put(ConversationChanged(project_id=BAKERY, conversation_id=ROBIN, cause="sweep"))
    await relay.settle()
    kept = "It was one of many found at once: “Load all” in its thread shows it"
    assert said(await trace(relay, first.id))[-1] == kept


async def test_a_reply_in_doubt_is_traced_with_its_looks_and_who_decided_what(
    relay: Relay, root: MessageTs
) -> None:
    relay.social.fail_next(LOST, method="reply")
    line = await relay.types(SECRET, root)
    await relay.pass_(300)
    question = next(post for post in relay.notices(root) if "not known" in post.text)
    await relay.presses(question, ActionId.SETTLE_SEND_AGAIN)
    await relay.pass_(60)
    answer = await trace_at(relay, line.ts)
    assert answer.about == "A line typed in Slack"
    in_this_order(
        answer,
        "Typed in <#C1> by <@UBEN>",
        "Slack told the bridge of it",
        "It was taken as a reply to the customer",
        "Sending it to Jollor began",
        "It was not known whether it had arrived: Jollor did not say whether it was sent.",
        "It was looked for in Jollor and not found there: look 1 of 5",
        "It was looked for in Jollor and not found there: look 5 of 5",
        "People were asked in the thread",
        "The mark ⚠️ is on the line",
        "It was to be sent: <@UBEN> has it sent again",
        "Sending it to Jollor began",
        "Jollor accepted it",
        "The mark ✅ is on the line",
    )
    attempts = [hop.attempt for hop in answer.hops if hop.what == "Sending it to Jollor began"]
    assert attempts == [1, 2]


async def test_lines_that_are_not_replies_say_what_they_are(relay: Relay, root: MessageTs) -> None:
    note = await relay.types("// just for us", root)
    refused = await relay.types("", root)
    await relay.settle()
    in_this_order(
        await trace_at(relay, note.ts),
        "Typed",
        "It stays inside, as an internal note",
        "The mark 🔒 is on the line",
    )
    in_this_order(
        await trace_at(relay, refused.ts),
        "It was not sent: There is no text in this line that could be sent. Nothing was sent",
        "The mark ❌ is on the line",
    )


async def test_cards_and_sentences_of_the_bridge_are_traced(relay: Relay, root: MessageTs) -> None:
    await relay.types("Hi!", root)
    await relay.types("", root)
    await relay.settle()
    card = await trace_at(relay, root)
    assert card.about == "The first message of a thread"
    in_this_order(
        card,
        "The first message of a thread was owed",
        "The first message of a thread was posted in Slack",
        "A new drawing of the card of a thread stands in Slack",
    )
    notice = await trace_at(relay, relay.notices(root)[-1].ts)
    assert notice.about == "A sentence of the bridge"


async def test_repeated_hops_are_one_line(relay: Relay, root: MessageTs) -> None:
    relay.chat.fail_next(Snooze("ratelimited", delay=timedelta(seconds=2)), method="post", times=5)
    await relay.customer_writes("Many")
    await relay.settle()
    answer = await trace_at(relay, message(relay, root, "Many").ts)
    (limited,) = [hop for hop in answer.hops if hop.what == "Slack asked to slow down"]
    assert limited.times == 5
    assert limited.until is not None
    assert limited.until > limited.at


async def test_what_is_not_ours_gets_one_sentence(relay: Relay, root: MessageTs) -> None:
    with pytest.raises(PermanentError, match="not_linked"):
        await trace(relay, f"C9 {root}")
    with pytest.raises(PermanentError, match="not_linked"):
        await trace(relay, f"{SUPPORT} {root}", TeamId("T2"))
    with pytest.raises(PermanentError, match="not_ours"):
        await trace(relay, f"{SUPPORT} {relay.chat.add_line(SUPPORT)}")
    with pytest.raises(PermanentError, match="unknown_id"):
        await trace(relay, relay.robin.messages[0].id, TeamId("T2"))
    with pytest.raises(PermanentError, match="unknown_id"):
        await trace(relay, "no-such-id")


async def test_a_message_that_could_not_be_read_is_traced_by_its_id(relay: Relay, root: MessageTs) -> None:
    await relay.jobs.put(ConversationChanged(project_id=BAKERY, conversation_id=ROBIN, message_id="gone"))
    await relay.settle()
    answer = await trace(relay, "gone")
    assert answer.about == "A message that was announced and could not be read"
    assert said(answer)[-1] == "It was given up: A message was announced that Jollor does not show."


async def test_a_message_that_jollor_shows_late_is_traced_from_its_announcement(
    relay: Relay, root: MessageTs
) -> None:
    heard_at = relay.clock()
    event = ConversationChanged(
        project_id=BAKERY,
        conversation_id=ROBIN,
        message_id=f"{2:024x}",  # the id of the next message
        cause="message_received",
        since=heard_at,
    )
    await relay.jobs.put(event)
    await relay.pass_(5)
    assert relay.social.customer_writes(BAKERY, ROBIN, "late").id == event.message_id
    await relay.settle()
    answer = await trace_at(relay, message(relay, root, "late").ts)
    in_this_order(
        answer,
        "It was written",
        "Jollor told of it (webhook, message_received)",
        "It failed, and was to be tried again: A message was announced that Jollor does not show.",
        "It was read from Jollor and recorded",
    )
    assert answer.hops[1].at == heard_at


async def test_an_old_trace_says_that_its_details_are_no_longer_kept(relay: Relay, root: MessageTs) -> None:
    relay.clock.pass_((KEEP + timedelta(days=1)).total_seconds())
    answer = await trace_at(relay, root)
    assert ["no longer kept" in remark or "are kept for 14 days" in remark for remark in answer.remarks] == [
        True
    ]


async def test_a_job_is_shown_with_what_it_led_to(relay: Relay, root: MessageTs) -> None:
    relay.social.fail_next(BROKEN, method="messages")
    await relay.customer_writes(SECRET)
    await relay.types(SECRET, root)
    await relay.settle()
    views = {view.kind: view for view in await relay.jobs.listed(["completed"])}
    hops = await relay.store.read(
        lambda conn: {kind: (job_trace(conn, view), followed(conn, view)) for kind, view in views.items()}
    )
    own, after = hops["conversation_changed"]
    assert [hop.what for hop in own] == [
        "It was stored",
        "It failed, and was to be tried again",
        "It was done",
    ]
    assert after[-1].what == "A message in a thread was posted in Slack"
    for kind in ("line_typed", "send_reply"):
        assert "The mark ✅ is on the line" in [hop.what for hop in hops[kind][1]]
    assert SECRET not in str(hops)


async def test_a_lost_answer_that_slack_did_take_is_found_and_says_so(relay: Relay, root: MessageTs) -> None:
    relay.chat.fail_next(
        UnconfirmedError("slack_timeout", user_message="Slack did not answer."),
        method="post",
        when=When.AFTER,
    )
    await relay.customer_writes("Once")
    await relay.settle()
    answer = await trace_at(relay, message(relay, root, "Once").ts)
    assert [hop.what for hop in answer.hops][-2:] == [
        "It was sent, and Slack did not answer: to be looked for there",
        "A message in a thread was posted in Slack",
    ]
