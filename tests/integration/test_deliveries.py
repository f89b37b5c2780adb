"""What is owed to Slack, on both databases: whose turn it is, at what pace, and what is no longer needed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from sqlalchemy import Connection, insert, update

from bridge.content import Notice
from bridge.deliveries import (
    State,
    forget_old,
    put_channel_post,
    put_delete,
    put_update,
)
from bridge.errors import BridgeError, TargetDown, UnconfirmedError
from bridge.ids import ChannelId, MessageTs
from bridge.model import Mark
from bridge.ports import Outgoing
from bridge.store.engine import Store
from bridge.store.tables import deliveries
from tests.outbox import START, SUPPORT, TEAM, Outbox, TestClock

LOST = UnconfirmedError("slack_connection_lost")


@pytest.fixture
async def outbox(migrated_url: str) -> AsyncIterator[Outbox]:
    clock = TestClock()
    async with Store(migrated_url, clock=clock) as store:
        yield Outbox(store, clock)


async def owe_update(outbox: Outbox, ts: MessageTs, text: str, *, delay_s: float = 0.0) -> None:
    await outbox.store.write(
        lambda conn: put_update(
            conn,
            outbox.clock(),
            TEAM,
            SUPPORT,
            ts,
            "card",
            Notice(text=text),
            delay=timedelta(seconds=delay_s),
        )
    )


# --- order -------------------------------------------------------------------------------------------


async def test_the_root_goes_first_and_the_rest_of_the_thread_in_the_order_of_putting(outbox: Outbox) -> None:
    thread = await outbox.thread()
    for text in ("one", "two", "three"):
        await outbox.reply(thread, text)
    await outbox.settle()
    assert outbox.texts() == ["root of robin", "one", "two", "three"]
    root = await outbox.root_of(thread)
    assert [post.thread_ts for post in outbox.posts()] == [None, root, root, root]


async def test_nothing_of_a_thread_is_taken_while_an_earlier_one_is_on_its_way(outbox: Outbox) -> None:
    thread = await outbox.rooted_thread()
    await outbox.reply(thread, "one")
    await outbox.reply(thread, "two")
    outbox.clock.pass_(60)
    (first,) = await outbox.claim()
    outbox.clock.pass_(5)
    assert await outbox.claim() == []
    await outbox.book.done(first, MessageTs("1.0"))
    assert [one.content for one in await outbox.claim()] == [Notice(text="two")]


async def test_threads_of_one_channel_do_not_wait_for_each_other(outbox: Outbox) -> None:
    robin, kim = await outbox.rooted_thread("robin"), await outbox.rooted_thread("kim")
    await outbox.reply(robin, "to robin")
    await outbox.reply(robin, "to robin again")
    await outbox.reply(kim, "to kim")
    outbox.clock.pass_(60)
    (first,) = await outbox.claim()
    outbox.clock.pass_(1.01)
    (second,) = await outbox.claim()
    assert [one.content for one in (first, second)] == [Notice(text="to robin"), Notice(text="to kim")]


async def test_a_notice_overtakes_waiting_messages_but_not_the_root(outbox: Outbox) -> None:
    thread = await outbox.thread()
    await outbox.reply(thread, "message")
    await outbox.notice(thread, "notice")
    await outbox.settle()
    assert outbox.texts() == ["root of robin", "notice", "message"]


async def test_a_notice_waits_for_a_root_that_is_looked_up(outbox: Outbox) -> None:
    thread = await outbox.thread()
    await outbox.notice(thread, "notice")
    (root,) = await outbox.claim()
    await outbox.book.uncertain(root, "no answer", delay=timedelta(seconds=30))
    outbox.clock.pass_(10)
    assert await outbox.claim() == []


async def test_people_marks_and_alerts_go_before_messages_and_those_before_cards(outbox: Outbox) -> None:
    thread = await outbox.rooted_thread()
    root, line = await outbox.root_of(thread), outbox.chat.add_line(SUPPORT)
    outbox.clock.pass_(60)
    await owe_update(outbox, root, "card")
    await outbox.reply(thread, "message")
    await outbox.mark(line, Mark.ACCEPTED)
    taken = await outbox.claim()
    assert [one.act for one in taken] == ["add_mark", "post", "update"]
    await outbox.store.write(
        lambda conn: put_channel_post(conn, outbox.clock(), TEAM, SUPPORT, "alert", Notice(text="alert"))
    )
    await outbox.reply(thread, "another")
    await outbox.book.done(taken[1], MessageTs("1.0"))
    outbox.clock.pass_(1.01)
    assert [one.kind for one in await outbox.claim()] == ["alert"]


async def test_a_root_is_drawn_again_if_it_changed_while_it_was_being_posted(outbox: Outbox) -> None:
    thread = await outbox.thread()
    (root,) = await outbox.claim()
    changed = '{"type": "notice", "text": "root of robin, answered"}'
    await outbox.store.write(
        lambda conn: (
            conn.execute(
                update(deliveries).where(deliveries.c.id == root.id).values(content=changed)
            ).rowcount
        )
    )
    assert root.content is not None
    posted = await outbox.chat.post(Outgoing(root.id, root.kind, TEAM, SUPPORT, None, root.content))
    await outbox.book.done(root, posted.ts)
    await outbox.settle()
    assert outbox.texts() == ["root of robin, answered"]
    assert await outbox.root_of(thread) == posted.ts


# --- pace --------------------------------------------------------------------------------------------


async def test_a_channel_gets_nearly_one_post_a_second(outbox: Outbox) -> None:
    thread = await outbox.thread()
    for number in range(5):
        await outbox.reply(thread, f"{number}")
    await outbox.settle()
    assert outbox.moments(outbox.posts()) == [0, 1.01, 2.02, 3.03, 4.04, 5.05]


async def test_channels_are_served_side_by_side_within_the_workspace_allowance(outbox: Outbox) -> None:
    channels = [outbox.add_channel(ChannelId(f"C{number}")) for number in range(10, 13)]
    for channel in channels:
        thread = await outbox.thread(channel, channel)
        for number in range(3):
            await outbox.reply(thread, f"{number}")
    await outbox.settle()
    assert [outbox.moments(outbox.posts(channel)) for channel in channels] == [
        [0, 1.01, 2.02, 3.03],
        [0.2, 1.21, 2.22, 3.23],
        [0.4, 1.41, 2.42, 3.43],
    ]


async def test_two_senders_share_one_allowance(outbox: Outbox) -> None:
    thread = await outbox.thread()
    for number in range(6):
        await outbox.reply(thread, f"{number}")
    await outbox.settle(outbox.sender, outbox.a_sender("w2"))
    assert outbox.moments(outbox.posts()) == [0, 1.01, 2.02, 3.03, 4.04, 5.05, 6.06]


async def test_marks_and_updates_have_a_pace_of_their_own(outbox: Outbox) -> None:
    thread = await outbox.rooted_thread()
    outbox.clock.pass_(60)
    lines = [outbox.chat.add_line(SUPPORT) for _ in range(3)]
    for line in lines:
        await outbox.mark(line, Mark.ACCEPTED)
    await outbox.reply(thread, "message")
    began = outbox.clock()
    await outbox.settle()
    assert sorted(outbox.chat.calls[-4:-2]) == ["add_mark", "post"], "at the same moment"
    assert outbox.chat.calls[-2:] == ["add_mark", "add_mark"]
    assert (outbox.clock() - began).total_seconds() == pytest.approx(2.4)


async def test_a_limited_delivery_closes_its_bucket_and_costs_no_attempt(outbox: Outbox) -> None:
    thread = await outbox.rooted_thread()
    id_ = await outbox.reply(thread, "one")
    elsewhere = await outbox.rooted_thread("kim", outbox.add_channel(ChannelId("C2")))
    await outbox.reply(elsewhere, "elsewhere")
    outbox.clock.pass_(60)
    (first,) = await outbox.claim(limit=1)
    await outbox.book.limited(first, timedelta(seconds=30))
    began = outbox.clock()
    await outbox.settle()
    assert (outbox.clock() - began).total_seconds() == 30 + 1.01
    assert (outbox.texts()[-1], outbox.texts(ChannelId("C2"))[-1]) == ("one", "elsewhere")
    assert (await outbox.row(id_))["attempt"] == 1


async def test_rows_behind_closed_or_paused_buckets_do_not_hide_the_others(outbox: Outbox) -> None:
    thread = await outbox.rooted_thread()
    free = await outbox.rooted_thread("kim", outbox.add_channel(ChannelId("C2")))
    outbox.clock.pass_(60)

    def flood(conn: Connection) -> None:
        many = [
            {
                "id": f"f{number}",
                "team": TEAM,
                "channel_id": SUPPORT,
                "act": "post",
                "kind": "message",
                "target": f"channel:{TEAM}:{SUPPORT}",
                "rank": 1,
                "priority": 1,
                "bucket": f"post:{TEAM}:{SUPPORT}",
                "content": '{"type": "notice", "text": "flood"}',
                "scheduled_at": outbox.clock(),
                "created_at": outbox.clock(),
            }
            for number in range(500)
        ]
        conn.execute(insert(deliveries), many)

    await outbox.store.write(flood)
    await outbox.reply(free, "still there")
    await outbox.reply(thread, "waits")
    assert {one.channel for one in await outbox.claim()} == {SUPPORT, ChannelId("C2")}


# --- what is not needed any more ---------------------------------------------------------------------


async def test_a_waiting_update_is_replaced_by_the_next_one(outbox: Outbox) -> None:
    root = await outbox.root_of(await outbox.rooted_thread())
    for text in ("first", "second", "third"):
        await owe_update(outbox, root, text, delay_s=3)
    await outbox.settle()
    (post,) = outbox.posts()
    assert (post.text, post.updates) == ("third", 1)


async def test_an_update_that_is_being_drawn_is_followed_by_the_next_never_overtaken(outbox: Outbox) -> None:
    root = await outbox.root_of(await outbox.rooted_thread())
    await owe_update(outbox, root, "first")
    (first,) = await outbox.claim()
    await owe_update(outbox, root, "second")
    outbox.clock.pass_(10)
    assert await outbox.claim() == []
    await outbox.book.again(first, "no answer", delay=timedelta(seconds=1))
    await owe_update(outbox, root, "third")
    await outbox.settle()
    (post,) = outbox.posts()
    assert (post.text, post.updates) == ("third", 2)


async def test_a_mark_and_its_removal_cancel_each_other_while_neither_was_tried(outbox: Outbox) -> None:
    line = outbox.chat.add_line(SUPPORT)
    await outbox.mark(line, Mark.WAITING)
    await outbox.mark(line, Mark.ACCEPTED)
    await outbox.mark(line, Mark.WAITING, add=False)
    await outbox.settle()
    assert outbox.chat.calls == ["add_mark"]
    assert outbox.chat.marks_of(SUPPORT, line) == {Mark.ACCEPTED}


async def test_a_mark_that_was_tried_is_taken_back_for_sure(outbox: Outbox) -> None:
    line = outbox.chat.add_line(SUPPORT)
    await outbox.mark(line, Mark.WAITING)
    (tried,) = await outbox.claim()
    await outbox.book.again(tried, "no answer", delay=timedelta(seconds=1), is_attempt=False)
    await outbox.mark(line, Mark.ACCEPTED)
    await outbox.mark(line, Mark.WAITING, add=False)
    await outbox.settle()
    assert outbox.chat.calls == ["add_mark", "add_mark", "remove_mark"]
    assert outbox.chat.marks_of(SUPPORT, line) == {Mark.ACCEPTED}


async def test_a_removal_that_waits_is_undone_by_marking_the_same_again(outbox: Outbox) -> None:
    line = outbox.chat.add_line(SUPPORT)
    await outbox.mark(line, Mark.DOUBT)
    await outbox.settle()
    await outbox.mark(line, Mark.DOUBT, add=False)
    await outbox.mark(line, Mark.DOUBT)
    await outbox.settle()
    assert outbox.chat.calls == ["add_mark"]
    assert outbox.chat.marks_of(SUPPORT, line) == {Mark.DOUBT}


@pytest.mark.parametrize("error", [LOST, TargetDown("slack_unreachable", target=f"team:{TEAM}")])
async def test_a_mark_that_slack_sets_late_does_not_outlive_its_removal(
    outbox: Outbox, error: BridgeError
) -> None:
    """The first try got no answer, or an error; it takes effect 15 s later all the same."""
    line = outbox.chat.add_line(SUPPORT)
    outbox.chat.fail_next(error, method="add_mark")
    await outbox.mark(line, Mark.WAITING)
    await outbox.pass_(5)
    await outbox.mark(line, Mark.ACCEPTED)
    await outbox.mark(line, Mark.WAITING, add=False)
    await outbox.pass_(10)
    assert outbox.chat.calls == ["add_mark", "add_mark", "add_mark"], "the new mark does not wait"
    await outbox.chat.add_mark(TEAM, SUPPORT, line, Mark.WAITING)
    await outbox.settle()
    assert outbox.chat.marks_of(SUPPORT, line) == {Mark.ACCEPTED}
    (removal,) = await outbox.rows(act="remove_mark")
    assert (removal["finished_at"] - START).total_seconds() == 30


async def test_a_mark_that_slack_takes_away_late_is_set_again_after_that(outbox: Outbox) -> None:
    line = outbox.chat.add_line(SUPPORT)
    await outbox.mark(line, Mark.DOUBT)
    await outbox.settle()
    outbox.chat.fail_next(LOST, method="remove_mark")
    await outbox.mark(line, Mark.DOUBT, add=False)
    await outbox.pass_(10)
    await outbox.mark(line, Mark.DOUBT)
    await outbox.pass_(10)
    await outbox.chat.remove_mark(TEAM, SUPPORT, line, Mark.DOUBT)
    await outbox.settle()
    assert outbox.chat.marks_of(SUPPORT, line) == {Mark.DOUBT}


async def test_an_older_drawing_that_slack_takes_late_does_not_stand_over_a_newer_one(outbox: Outbox) -> None:
    root = await outbox.root_of(await outbox.rooted_thread())
    outbox.chat.fail_next(LOST, method="update")
    await owe_update(outbox, root, "older")
    await outbox.pass_(5)
    await owe_update(outbox, root, "newer")
    await outbox.pass_(20)
    assert outbox.texts() == ["older"]
    await outbox.settle()
    assert outbox.texts() == ["newer"]


async def test_what_a_lost_process_began_to_mark_may_take_effect_late_too(outbox: Outbox) -> None:
    line = outbox.chat.add_line(SUPPORT)
    await outbox.mark(line, Mark.WAITING)
    await outbox.claim("killed")
    outbox.clock.pass_(16)
    await outbox.book.rescue()
    await outbox.pass_(5)
    await outbox.mark(line, Mark.WAITING, add=False)
    await outbox.pass_(20)
    assert outbox.chat.marks_of(SUPPORT, line) == {Mark.WAITING}
    await outbox.settle()
    assert outbox.chat.marks_of(SUPPORT, line) == set()


async def test_a_message_of_ours_is_deleted_once(outbox: Outbox) -> None:
    root = await outbox.root_of(await outbox.rooted_thread())
    await outbox.store.write(lambda conn: put_delete(conn, outbox.clock(), TEAM, SUPPORT, root))
    await outbox.settle()
    assert outbox.texts() == []


async def test_old_finished_rows_are_forgotten_but_for_roots_and_what_shows_messages(outbox: Outbox) -> None:
    thread = await outbox.rooted_thread()
    shows_message = await outbox.reply(thread, "message")
    await outbox.notice(thread, "notice")
    await outbox.mark(outbox.chat.add_line(SUPPORT), Mark.INTERNAL)
    await outbox.settle()
    waiting = await outbox.reply(thread, "waits")
    outbox.clock.pass_(10)
    gone = await outbox.store.write(lambda conn: forget_old(conn, outbox.clock()))
    left = [row["id"] for row in await outbox.rows()]
    root_row = await outbox.thread_row(thread)
    assert gone == 2
    assert left == [root_row["root_delivery"], shows_message, waiting]


# --- rows that cannot be read ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "broken",
    [{"content": "{"}, {"content": '{"type": "from the future"}'}, {"kind": "mark", "mark": "no such mark"}],
)
async def test_a_row_that_cannot_be_read_becomes_a_dead_letter_and_stops_nobody(
    outbox: Outbox, broken: dict[str, str]
) -> None:
    thread = await outbox.rooted_thread()
    bad = await outbox.reply(thread, "bad")
    await outbox.store.write(
        lambda conn: conn.execute(update(deliveries).where(deliveries.c.id == bad).values(broken)).rowcount
    )
    await outbox.reply(thread, "good")
    await outbox.settle()
    row = await outbox.row(bad)
    assert (row["state"], "unreadable" in row["reason"]) == (State.REFUSED, True)
    assert await outbox.outcomes(bad) == ["refused"]
    assert outbox.texts()[-1] == "good"


async def test_nothing_is_due_when_nothing_waits_although_buckets_are_closed(outbox: Outbox) -> None:
    await outbox.rooted_thread()
    assert await outbox.book.next_due() is None
