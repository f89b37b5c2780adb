"""Messages that wait behind each other are joined into one post: all of them, in order, whatever happens."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from sqlalchemy import select

from bridge.content import Lines, Notice
from bridge.deliveries import State, retry_dead
from bridge.deliveries.join import MOST_CHARS, MOST_LINES
from bridge.errors import PermanentError, UnconfirmedError
from bridge.ids import MessageTs
from bridge.ports import Outgoing
from bridge.store.engine import Store
from bridge.store.tables import shown_messages
from tests.fakes.chat import When
from tests.outbox import Outbox, TestClock

REFUSED = PermanentError("msg_too_long", user_message="That message is too long for Slack.")
LOST = UnconfirmedError("slack_timeout", user_message="Slack did not say.")


@pytest.fixture
async def outbox(migrated_url: str) -> AsyncIterator[Outbox]:
    clock = TestClock()
    async with Store(migrated_url, clock=clock) as store:
        yield Outbox(store, clock)


async def test_waiting_messages_of_one_author_go_out_in_one_post_in_their_order(outbox: Outbox) -> None:
    thread = await outbox.thread()
    ids = [await outbox.message(thread, text) for text in ("one", "two", "three")]
    await outbox.settle()
    assert outbox.texts() == ["root of robin", "one\ntwo\nthree"]
    post = outbox.posts()[-1]
    rows = [await outbox.row(id_) for id_ in ids]
    assert [row["state"] for row in rows] == [State.DONE] * 3
    assert {row["slack_ts"] for row in rows} == {post.ts}
    assert [row["reason"] for row in rows] == [None, f"joined into {ids[0]}", f"joined into {ids[0]}"]
    assert await outbox.outcomes(ids[2]) == ["joined"]


async def test_each_message_keeps_its_delivery_and_all_say_where_they_stand(outbox: Outbox) -> None:
    thread = await outbox.rooted_thread()
    ids = [await outbox.message(thread, text) for text in ("one", "two")]
    await outbox.settle()
    query = select(shown_messages.c.delivery_id, shown_messages.c.message_id)
    kept = await outbox.store.read(lambda conn: [tuple(row) for row in conn.execute(query)])
    assert sorted(kept) == sorted(zip(ids, ("one", "two"), strict=True))


async def test_what_does_not_belong_together_is_not_joined(outbox: Outbox) -> None:
    thread = await outbox.rooted_thread()
    await outbox.message(thread, "one")
    await outbox.message(thread, "of somebody else", author="Kim")
    await outbox.message(thread, "from the dashboard", author="Kim", origin="elsewhere")
    await outbox.message(thread, "late", author="Kim", origin="elsewhere", note="arrived late")
    await outbox.reply(thread, "a sentence", content=Notice(text="a sentence"))
    await outbox.message(thread, "two")
    await outbox.message(thread, "three")
    other = await outbox.thread("kim")
    await outbox.message(other, "elsewhere")
    await outbox.settle()
    in_thread = [post.text for post in outbox.chat.thread(await outbox.root_of(thread))][1:]
    assert in_thread == [
        "one",
        "of somebody else",
        "from the dashboard",
        "late",
        "a sentence",
        "two\nthree",
    ]


async def test_a_post_holds_only_so_much_and_the_rest_follows_in_the_next_one(outbox: Outbox) -> None:
    thread = await outbox.rooted_thread()
    words = [f"{number}" for number in range(MOST_LINES + 3)]
    for text in words:
        await outbox.message(thread, text)
    for text in ("a" * (MOST_CHARS - 5), "b" * 20):
        await outbox.message(thread, text)
    await outbox.settle()
    texts = outbox.texts()[1:]
    assert "\n".join(texts).split("\n") == [*words, "a" * (MOST_CHARS - 5), "b" * 20]
    assert [text.count("\n") + 1 for text in texts] == [MOST_LINES, 3, 1, 1]


async def test_a_joined_post_whose_answer_was_lost_is_found_and_settles_all_of_it(outbox: Outbox) -> None:
    thread = await outbox.rooted_thread()
    ids = [await outbox.message(thread, text) for text in ("one", "two")]
    outbox.chat.fail_next(LOST, method="post", when=When.AFTER)
    await outbox.settle()
    assert outbox.texts()[1:] == ["one\ntwo"]
    assert {(await outbox.row(id_))["slack_ts"] for id_ in ids} == {outbox.posts()[-1].ts}


@pytest.mark.parametrize("landed", [True, False], ids=["after the call", "before the call"])
async def test_a_crash_between_claim_and_answer_loses_and_repeats_none_of_it(
    outbox: Outbox, landed: bool
) -> None:
    thread = await outbox.rooted_thread()
    for text in ("one", "two", "three"):
        await outbox.message(thread, text)
    outbox.clock.pass_(10)
    (one,) = await outbox.claim("w1")
    assert isinstance(one.content, Lines)
    if landed:
        await outbox.chat.post(Outgoing(one.id, one.kind, one.team, one.channel, thread.root_ts, one.content))
    await outbox.message(thread, "four")
    assert await outbox.book.rescue(alone="another") == 1
    await outbox.settle()
    assert outbox.texts()[1:] == ["one\ntwo\nthree", "four"]


async def test_messages_that_come_while_a_channel_is_limited_are_joined_as_well(outbox: Outbox) -> None:
    thread = await outbox.rooted_thread()
    await outbox.message(thread, "one")
    await outbox.message(thread, "two")
    outbox.clock.pass_(10)
    (first,) = await outbox.claim("w1")
    await outbox.message(thread, "three")
    await outbox.book.again(first, "not yet", delay=timedelta(seconds=15))
    await outbox.settle()
    assert outbox.texts()[1:] == ["one\ntwo\nthree"]


async def test_what_slack_refuses_joined_is_shown_one_by_one(outbox: Outbox) -> None:
    thread = await outbox.rooted_thread()
    ids = [await outbox.message(thread, text) for text in ("one", "two", "three")]
    outbox.chat.fail_next(REFUSED, method="post")
    await outbox.settle()
    assert outbox.texts()[1:] == ["one", "two", "three"]
    assert [(await outbox.row(id_))["joined_into"] for id_ in ids] == [None] * 3
    assert "separated" in await outbox.outcomes(ids[0])


async def test_one_message_that_slack_refuses_takes_no_other_with_it(outbox: Outbox) -> None:
    thread = await outbox.rooted_thread()
    ids = [await outbox.message(thread, text) for text in ("bad", "two")]
    outbox.chat.fail_next(REFUSED, method="post", times=2)
    await outbox.settle()
    assert [(await outbox.row(id_))["state"] for id_ in ids] == [State.REFUSED, State.DONE]
    assert sorted(outbox.texts()[1:]) == ["A message could not be shown here. Please look in Jollor.", "two"]


async def test_a_joined_post_under_a_deleted_root_goes_below_the_new_one_whole(outbox: Outbox) -> None:
    thread = await outbox.rooted_thread()
    outbox.chat.remove(thread.channel, MessageTs(str(thread.root_ts)))
    for text in ("one", "two"):
        await outbox.message(thread, text)
    await outbox.settle()
    below = [post.text for post in outbox.chat.thread(await outbox.root_of(thread))]
    assert below == ["continued", "one\ntwo"]


async def test_what_was_posted_twice_and_confirmed_neither_time_is_given_up_as_a_whole(
    outbox: Outbox,
) -> None:
    thread = await outbox.rooted_thread()
    ids = [await outbox.message(thread, text) for text in ("one", "two")]
    outbox.chat.can_look_back = False
    outbox.chat.fail_next(LOST, method="post", when=When.AFTER, times=2)
    await outbox.settle()
    assert [post.text for post in outbox.posts()[1:3]] == ["one\ntwo"] * 2
    assert [(await outbox.row(id_))["state"] for id_ in ids] == [State.REFUSED] * 2


async def test_what_was_given_up_joined_is_shown_once_when_it_is_sent_after_all(outbox: Outbox) -> None:
    thread = await outbox.rooted_thread()
    ids = [await outbox.message(thread, text) for text in ("one", "two", "three")]
    outbox.clock.pass_(10)
    (joined,) = await outbox.claim("w1")
    await outbox.book.refused(joined, "Slack refuses every reply to its thread.")
    numbers = [(await outbox.row(id_))["seq"] for id_ in ids]
    first = await outbox.store.write(lambda conn: retry_dead(conn, outbox.clock(), numbers[:1]))
    await outbox.settle()
    assert (first, outbox.texts()[1:]) == (1, ["one"])
    others = await outbox.store.write(lambda conn: retry_dead(conn, outbox.clock(), numbers[1:]))
    await outbox.settle()
    assert (others, outbox.texts()[1:]) == (2, ["one", "two\nthree"])
    assert {row["state"] for row in await outbox.rows()} == {State.DONE}
