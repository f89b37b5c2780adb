"""The sender, on both databases: what it does when Slack limits, hangs, cuts, refuses, loses or is away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import timedelta

import pytest
from sqlalchemy import update

from bridge.content import DialogueLine, Notice
from bridge.deliveries import State, put_channel_post, put_update
from bridge.errors import (
    BridgeError,
    PermanentError,
    RootGone,
    Snooze,
    StoreUnavailable,
    TargetDown,
    UnconfirmedError,
)
from bridge.ids import ChannelId, MessageTs, ThreadRef
from bridge.mapping import thread_at
from bridge.model import Mark
from bridge.ports import Outgoing, Posted
from bridge.sender import Sender
from bridge.store.engine import Store
from bridge.store.tables import deliveries
from tests.fakes.chat import When
from tests.outbox import SUPPORT, TEAM, Outbox, TestClock

LOST = UnconfirmedError("slack_connection_lost")
LIMITED = Snooze("ratelimited", delay=timedelta(seconds=20))
AWAY = TargetDown("slack_unreachable", target=f"team:{TEAM}", user_message="Slack cannot be reached.")

BESIDE = "Slack does not take what belongs into a thread of “bakery”. Please look in Jollor."


@pytest.fixture
async def outbox(migrated_url: str) -> AsyncIterator[Outbox]:
    clock = TestClock()
    async with Store(migrated_url, clock=clock) as store:
        yield Outbox(store, clock)


def dialogue(outbox: Outbox) -> DialogueLine:
    return DialogueLine(what="started", at=outbox.clock())


# --- in doubt ----------------------------------------------------------------------------------------


async def test_a_post_whose_answer_was_lost_is_found_and_not_posted_again(outbox: Outbox) -> None:
    thread = await outbox.rooted_thread()
    outbox.chat.fail_next(LOST, method="post", when=When.AFTER)
    id_ = await outbox.reply(thread, "once")
    await outbox.settle()
    row = await outbox.row(id_)
    assert outbox.texts() == ["root of robin", "once"]
    assert (row["state"], row["slack_ts"]) == (State.DONE, outbox.posts()[-1].ts)


async def test_a_root_whose_answer_was_lost_is_found_and_the_thread_hangs_below_it(outbox: Outbox) -> None:
    outbox.chat.fail_next(LOST, method="post", when=When.AFTER)
    thread = await outbox.thread()
    await outbox.reply(thread, "one")
    await outbox.settle()
    root = await outbox.root_of(thread)
    assert [(post.text, post.thread_ts) for post in outbox.posts()] == [
        ("root of robin", None),
        ("one", root),
    ]


async def test_a_post_that_never_arrived_is_posted_after_half_a_minute_of_looking(outbox: Outbox) -> None:
    thread = await outbox.rooted_thread()
    outbox.clock.pass_(60)
    outbox.chat.fail_next(LOST, method="post")
    await outbox.reply(thread, "lost on the way")
    await outbox.reply(thread, "next")
    began = outbox.clock()
    await outbox.settle()
    assert outbox.texts() == ["root of robin", "lost on the way", "next"]
    assert 30 <= (outbox.clock() - began).total_seconds() < 45
    assert not outbox.posts()[1].outgoing.possible_repeat


async def test_a_post_that_appears_late_is_waited_for(outbox: Outbox) -> None:
    thread = await outbox.rooted_thread()
    outbox.chat.hidden_s = 20
    outbox.chat.fail_next(LOST, method="post", when=When.AFTER)
    await outbox.reply(thread, "once")
    await outbox.settle()
    assert outbox.texts() == ["root of robin", "once"]
    assert set(await outbox.states()) == {State.DONE}


async def test_each_attempt_in_doubt_has_its_own_time_to_appear(outbox: Outbox) -> None:
    """The second one is lost as well, and appears only 20 s later: it is waited for as the first one was."""
    thread = await outbox.rooted_thread()
    outbox.chat.hidden_s = 20
    outbox.chat.fail_next(LOST, method="post", when=When.BEFORE)
    outbox.chat.fail_next(LOST, method="post", when=When.AFTER)
    await outbox.reply(thread, "once")
    await outbox.settle()
    assert outbox.texts() == ["root of robin", "once"]


async def test_where_nothing_can_be_read_back_it_is_posted_once_more_and_marked(outbox: Outbox) -> None:
    thread = await outbox.rooted_thread()
    outbox.chat.can_look_back = False
    outbox.chat.fail_next(LOST, method="post", when=When.AFTER)
    await outbox.reply(thread, "twice")
    await outbox.settle()
    assert outbox.texts() == ["root of robin", "twice", "twice"]
    assert [post.outgoing.possible_repeat for post in outbox.posts()] == [False, False, True]
    assert set(await outbox.states()) == {State.DONE}


async def test_a_possible_repeat_is_not_repeated_however_often_the_answer_is_lost(outbox: Outbox) -> None:
    thread = await outbox.rooted_thread()
    outbox.chat.can_look_back = False
    outbox.chat.fail_next(LOST, method="post", when=When.AFTER, times=5)
    id_ = await outbox.reply(thread, "twice")
    await outbox.reply(thread, "next")
    await outbox.settle()
    assert outbox.texts().count("twice") == 2
    assert (await outbox.row(id_))["state"] == State.REFUSED
    assert outbox.texts().count("next") == 2


async def test_a_root_is_repeated_until_one_is_confirmed_since_the_thread_needs_it(outbox: Outbox) -> None:
    outbox.chat.can_look_back = False
    outbox.chat.fail_next(LOST, method="post", when=When.AFTER, times=3)
    thread = await outbox.thread()
    await outbox.reply(thread, "message")
    await outbox.settle()
    assert outbox.texts() == ["root of robin"] * 4 + ["message"]
    assert outbox.posts()[-1].thread_ts == outbox.posts()[3].ts
    assert [round(moment) for moment in outbox.moments(outbox.posts())[:4]] == [0, 3, 63, 123]


async def test_a_crash_found_in_sending_is_looked_up_before_anything_is_posted(outbox: Outbox) -> None:
    thread = await outbox.rooted_thread()
    await outbox.reply(thread, "was sent")
    outbox.clock.pass_(5)
    (one,) = await outbox.claim("killed")
    assert one.content is not None
    await outbox.chat.post(
        Outgoing(one.id, one.kind, TEAM, SUPPORT, await outbox.root_of(thread), one.content)
    )
    outbox.clock.pass_(16)
    assert await outbox.book.rescue() == 1
    await outbox.settle()
    assert outbox.texts() == ["root of robin", "was sent"]
    assert await outbox.outcomes(one.id) == ["lost"]


async def test_a_crash_before_the_call_loses_nothing(outbox: Outbox) -> None:
    thread = await outbox.rooted_thread()
    await outbox.reply(thread, "was not sent")
    outbox.clock.pass_(5)
    assert len(await outbox.claim("killed")) == 1
    outbox.clock.pass_(16)
    await outbox.book.rescue()
    await outbox.settle()
    assert outbox.texts() == ["root of robin", "was not sent"]


async def test_reading_limits_hold_up_the_post_in_doubt_alone(outbox: Outbox) -> None:
    robin, kim = await outbox.rooted_thread("robin"), await outbox.rooted_thread("kim")
    outbox.chat.fail_next(LOST, method="post", when=When.AFTER)
    outbox.chat.fail_next(Snooze("ratelimited", delay=timedelta(seconds=60)), method="find", when=When.BEFORE)
    outbox.clock.pass_(60)
    await outbox.reply(robin, "in doubt")
    await outbox.reply(kim, "free")
    began = outbox.clock()
    await outbox.settle(within_s=10)
    assert outbox.texts()[-1] == "free"
    await outbox.settle()
    assert outbox.texts().count("in doubt") == 1
    assert (outbox.clock() - began).total_seconds() >= 60


async def test_what_breaks_slack_each_time_is_given_up_and_said(outbox: Outbox) -> None:
    thread = await outbox.rooted_thread()
    broken = UnconfirmedError("fatal_error", is_suspect=True)
    outbox.chat.fail_next(broken, method="post", times=8)
    id_ = await outbox.reply(thread, "poison", content=dialogue(outbox))
    await outbox.reply(thread, "next")
    await outbox.settle()
    assert (await outbox.row(id_))["state"] == State.REFUSED
    assert outbox.texts() == [
        "root of robin",
        "A message could not be shown here. Please look in Jollor.",
        "next",
    ]


async def test_lost_connections_never_make_a_dead_letter(outbox: Outbox) -> None:
    thread = await outbox.rooted_thread()
    outbox.chat.fail_next(LOST, method="post", times=12)
    await outbox.reply(thread, "patience")
    await outbox.settle(within_s=7_200)
    assert outbox.texts() == ["root of robin", "patience"]


# --- limits and other failures -----------------------------------------------------------------------


async def test_a_429_is_waited_for_and_nothing_is_lost_or_counted(outbox: Outbox) -> None:
    thread = await outbox.rooted_thread()
    outbox.clock.pass_(60)
    outbox.chat.fail_next(LIMITED, method="post", times=10)
    id_ = await outbox.reply(thread, "patience")
    began = outbox.clock()
    await outbox.settle()
    assert outbox.texts() == ["root of robin", "patience"]
    assert (outbox.clock() - began).total_seconds() == pytest.approx(10 * (20 + 1.01))
    assert (await outbox.row(id_))["attempt"] == 1
    assert await outbox.outcomes(id_) == ["limited"] * 10


async def test_a_passing_failure_is_tried_again_with_growing_pauses(outbox: Outbox) -> None:
    thread = await outbox.rooted_thread()
    outbox.chat.fail_next(BridgeError("odd"), method="post", times=3)
    id_ = await outbox.reply(thread, "at last")
    await outbox.settle()
    assert outbox.texts()[-1] == "at last"
    assert await outbox.outcomes(id_) == ["failed"] * 3


async def test_what_fails_each_time_becomes_a_dead_letter_and_the_thread_goes_on(outbox: Outbox) -> None:
    thread = await outbox.rooted_thread()
    outbox.chat.fail_next(BridgeError("odd"), method="post", times=8)
    id_ = await outbox.reply(thread, "bad")
    await outbox.reply(thread, "good")
    await outbox.settle()
    row = await outbox.row(id_)
    assert (row["state"], row["attempt"]) == (State.REFUSED, 8)
    assert "odd" in row["reason"]
    assert outbox.texts() == ["root of robin", BESIDE, "good"]


@pytest.mark.parametrize("when", [When.BEFORE, When.AFTER])
async def test_a_mistake_of_ours_around_a_post_leaves_it_in_doubt(outbox: Outbox, when: When) -> None:
    thread = await outbox.rooted_thread()
    outbox.chat.fail_next(RuntimeError("a bug"), method="post", when=when)
    await outbox.reply(thread, "once")
    await outbox.settle()
    assert outbox.texts() == ["root of robin", "once"]


async def test_a_mistake_that_comes_each_time_ends_as_a_dead_letter(outbox: Outbox) -> None:
    thread = await outbox.rooted_thread()
    outbox.chat.fail_next(RuntimeError("a bug"), method="post", times=8)
    id_ = await outbox.reply(thread, "bad")
    await outbox.reply(thread, "good")
    await outbox.settle()
    assert (await outbox.row(id_))["state"] == State.REFUSED
    assert outbox.texts() == ["root of robin", BESIDE, "good"]


async def test_a_mark_that_fails_by_a_mistake_of_ours_is_tried_again(outbox: Outbox) -> None:
    line = outbox.chat.add_line(SUPPORT)
    outbox.chat.fail_next(RuntimeError("a bug"), method="add_mark", times=2)
    await outbox.mark(line, Mark.ACCEPTED)
    await outbox.settle()
    assert outbox.chat.marks_of(SUPPORT, line) == {Mark.ACCEPTED}


async def test_refused_content_is_a_dead_letter_and_a_plain_sentence_stands_in_for_it(
    outbox: Outbox,
) -> None:
    thread = await outbox.rooted_thread()
    outbox.chat.fail_next(PermanentError("invalid_blocks", user_message="Unreadable."), method="post")
    id_ = await outbox.reply(thread, "odd", content=dialogue(outbox))
    await outbox.settle()
    row = await outbox.row(id_)
    assert (row["state"], row["reason"]) == (State.REFUSED, "invalid_blocks: Unreadable.")
    assert outbox.texts()[-1] == "A message could not be shown here. Please look in Jollor."
    assert outbox.posts()[-1].thread_ts == await outbox.root_of(thread)


async def test_a_sentence_that_is_refused_itself_is_not_replaced_for_ever(outbox: Outbox) -> None:
    thread = await outbox.rooted_thread()
    outbox.chat.fail_next(PermanentError("invalid_blocks"), method="post", times=9)
    await outbox.reply(thread, "odd", content=dialogue(outbox))
    await outbox.settle()
    assert (await outbox.states()).count(State.REFUSED) == 3, "nor is what is said of it in the channel"


async def test_a_refused_card_gets_a_plain_one_so_that_its_messages_are_shown(outbox: Outbox) -> None:
    thread = await outbox.thread()
    root = (await outbox.rows(is_root=True))[0]["id"]
    card = dialogue(outbox).model_dump_json()
    await outbox.store.write(
        lambda conn: (
            conn.execute(update(deliveries).where(deliveries.c.id == root).values(content=card)).rowcount
        )
    )
    outbox.chat.fail_next(PermanentError("invalid_blocks"), method="post")
    await outbox.reply(thread, "message")
    await outbox.settle()
    assert outbox.texts() == [
        "A conversation begins here; its card could not be shown. Please look in Jollor.",
        "message",
    ]
    assert outbox.posts()[1].thread_ts == outbox.posts()[0].ts


async def test_without_any_root_the_messages_are_dead_letters_too_not_waiting_unseen(outbox: Outbox) -> None:
    thread = await outbox.thread()
    outbox.chat.fail_next(PermanentError("invalid_blocks"), method="post")
    await outbox.reply(thread, "message")
    await outbox.settle()
    assert [row["state"] for row in await outbox.rows()] == [State.REFUSED, State.REFUSED, State.DONE]
    assert outbox.texts() == [BESIDE]
    assert (await outbox.rows())[1]["reason"].startswith("no_root")


async def test_a_refused_alert_is_replaced_by_a_sentence_in_the_channel(outbox: Outbox) -> None:
    outbox.chat.fail_next(PermanentError("invalid_blocks"), method="post")
    content = dialogue(outbox)
    await outbox.store.write(
        lambda conn: put_channel_post(conn, outbox.clock(), TEAM, SUPPORT, "alert", content)
    )
    await outbox.settle()
    assert outbox.texts() == ["Something could not be shown here. Please look in Jollor."]


# --- marks and updates -------------------------------------------------------------------------------


async def test_a_mark_whose_answer_was_lost_is_set_again_without_looking(outbox: Outbox) -> None:
    line = outbox.chat.add_line(SUPPORT)
    outbox.chat.fail_next(LOST, method="add_mark", when=When.AFTER)
    outbox.chat.fail_next(LOST, method="remove_mark", when=When.AFTER)
    await outbox.mark(line, Mark.WAITING)
    await outbox.settle()
    await outbox.mark(line, Mark.ACCEPTED)
    await outbox.mark(line, Mark.WAITING, add=False)
    await outbox.settle()
    assert outbox.chat.marks_of(SUPPORT, line) == {Mark.ACCEPTED}
    assert set(await outbox.states()) == {State.DONE}
    assert "find" not in outbox.chat.calls


async def test_a_deleted_line_needs_no_mark_and_is_no_dead_letter(outbox: Outbox) -> None:
    line = outbox.chat.add_line(SUPPORT)
    await outbox.mark(line, Mark.ACCEPTED)
    outbox.chat.remove(SUPPORT, line)
    await outbox.settle()
    assert await outbox.states() == [State.DONE]


async def test_a_deleted_message_needs_no_drawing_and_is_no_dead_letter(outbox: Outbox) -> None:
    root = await outbox.root_of(await outbox.rooted_thread())
    outbox.chat.remove(SUPPORT, root)
    await outbox.store.write(
        lambda conn: put_update(conn, outbox.clock(), TEAM, SUPPORT, root, "card", Notice(text="new"))
    )
    await outbox.settle()
    assert set(await outbox.states()) == {State.DONE}


async def test_a_mark_that_slack_refuses_is_a_dead_letter_and_the_next_one_is_set(outbox: Outbox) -> None:
    line = outbox.chat.add_line(SUPPORT)
    outbox.chat.fail_next(PermanentError("too_many_reactions"), method="add_mark")
    await outbox.mark(line, Mark.WAITING)
    await outbox.mark(line, Mark.ACCEPTED)
    await outbox.settle()
    assert await outbox.states() == [State.REFUSED, State.DONE]
    assert outbox.chat.marks_of(SUPPORT, line) == {Mark.ACCEPTED}


# --- deleted roots -----------------------------------------------------------------------------------


async def test_a_deleted_root_is_replaced_and_the_stray_reply_removed(outbox: Outbox) -> None:
    thread = await outbox.rooted_thread()
    old = await outbox.root_of(thread)
    outbox.chat.remove(SUPPORT, old)
    await outbox.reply(thread, "one")
    await outbox.reply(thread, "two")
    await outbox.settle()
    new = await outbox.root_of(thread)
    assert [(post.text, post.thread_ts) for post in outbox.posts()] == [
        ("continued", None),
        ("one", new),
        ("two", new),
    ]


async def test_replies_under_a_former_root_still_belong_to_the_thread(outbox: Outbox) -> None:
    thread = await outbox.rooted_thread()
    old = await outbox.root_of(thread)
    outbox.chat.remove(SUPPORT, old)
    await outbox.reply(thread, "one")
    await outbox.settle()
    for root in (old, await outbox.root_of(thread)):
        at = ThreadRef(TEAM, SUPPORT, root)
        found = await outbox.store.read(lambda conn, at=at: thread_at(conn, at))  # type: ignore[misc]
        assert found is not None
        assert found.id == thread.id


async def test_a_thread_that_slack_refuses_outright_is_continued_as_well(outbox: Outbox) -> None:
    thread = await outbox.rooted_thread()
    outbox.chat.fail_next(RootGone("thread_not_found"), method="post")
    await outbox.reply(thread, "one")
    await outbox.settle()
    assert outbox.texts() == ["root of robin", "continued", "one"]
    assert outbox.posts()[-1].thread_ts == outbox.posts()[1].ts


async def test_a_stray_reply_that_was_in_doubt_is_removed_as_well(outbox: Outbox) -> None:
    thread = await outbox.rooted_thread()
    outbox.chat.remove(SUPPORT, await outbox.root_of(thread))
    outbox.chat.fail_next(LOST, method="post", when=When.AFTER)
    await outbox.reply(thread, "one")
    await outbox.settle()
    new = await outbox.root_of(thread)
    assert [(post.text, post.thread_ts) for post in outbox.posts()] == [("continued", None), ("one", new)]


async def test_a_stray_reply_is_removed_even_if_the_first_try_fails(outbox: Outbox) -> None:
    thread = await outbox.rooted_thread()
    outbox.chat.remove(SUPPORT, await outbox.root_of(thread))
    outbox.chat.fail_next(AWAY, method="delete")
    await outbox.reply(thread, "one")
    await outbox.settle()
    assert outbox.texts() == ["continued", "one"]


async def test_two_posts_that_find_the_root_gone_give_one_new_root(outbox: Outbox) -> None:
    thread = await outbox.rooted_thread()
    outbox.chat.remove(SUPPORT, await outbox.root_of(thread))
    outbox.clock.pass_(60)
    await outbox.reply(thread, "message")
    (first,) = await outbox.claim("other")
    await outbox.notice(thread, "notice")
    outbox.clock.pass_(2)
    await outbox.sender.run_until_idle()
    assert first.content is not None
    stray = await outbox.chat.post(Outgoing(first.id, "message", TEAM, SUPPORT, first.root_ts, first.content))
    assert stray.thread_ts is None
    outbox.clock.pass_(16)
    await outbox.book.rescue()
    await outbox.settle()
    assert sorted(outbox.texts()) == ["continued", "message", "notice"]


# --- what is away ------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["archived", "removed"])
async def test_a_closed_channel_waits_with_one_probe_and_gets_everything_after_mending(
    outbox: Outbox, how: str
) -> None:
    thread = await outbox.rooted_thread()
    other = await outbox.rooted_thread("kim", outbox.add_channel(ChannelId("C2")))
    outbox.chat.change_channel(SUPPORT, is_archived=how == "archived", is_member=how != "removed")
    for number in range(5):
        await outbox.reply(thread, f"{number}")
        await outbox.notice(thread, f"notice {number}")
    await outbox.reply(other, "elsewhere")
    before = outbox.chat.calls.count("post")
    await outbox.pass_(600)
    tries = outbox.chat.calls.count("post") - before - 1
    assert 5 <= tries <= 16, "2, 4, 8, 16, 32 s, then each minute"
    assert outbox.texts(ChannelId("C2"))[-1] == "elsewhere"
    assert [pause.target for pause in await outbox.pauses()] == [f"channel:{TEAM}:{SUPPORT}"]
    outbox.chat.change_channel(SUPPORT, is_archived=False, is_member=True)
    await outbox.pass_(90)
    assert [text for text in outbox.texts() if len(text) == 1] == ["0", "1", "2", "3", "4"]
    assert await outbox.pauses() == []
    assert {row["attempt"] for row in await outbox.rows(channel_id=SUPPORT)} == {1}


async def test_a_workspace_that_is_away_pauses_all_its_channels_with_one_probe(outbox: Outbox) -> None:
    channels = [SUPPORT, outbox.add_channel(ChannelId("C2")), outbox.add_channel(ChannelId("C3"))]
    threads = [await outbox.rooted_thread(channel, channel) for channel in channels]
    outbox.clock.pass_(60)
    outbox.chat.fail_next(AWAY, times=10)
    for thread in threads:
        await outbox.reply(thread, "patience")
    line = outbox.chat.add_line(SUPPORT)
    await outbox.mark(line, Mark.ACCEPTED)
    before = len(outbox.chat.calls)
    await outbox.pass_(120)
    assert len(outbox.chat.calls) - before <= 10
    assert [pause.target for pause in await outbox.pauses()] == [f"team:{TEAM}"]
    assert [outbox.texts(channel)[-1] == "patience" for channel in channels] == [False] * 3
    await outbox.pass_(600)
    assert [outbox.texts(channel)[-1] for channel in channels] == ["patience"] * 3
    assert outbox.chat.marks_of(SUPPORT, line) == {Mark.ACCEPTED}
    assert await outbox.pauses() == []


async def test_an_outage_however_long_makes_no_dead_letter(outbox: Outbox) -> None:
    thread = await outbox.rooted_thread()
    outbox.chat.fail_next(AWAY, times=1_000)
    id_ = await outbox.reply(thread, "the night is over")
    await outbox.pass_(2_400)
    assert (await outbox.row(id_))["state"] == State.READY
    outbox.chat.recover()
    await outbox.pass_(61)
    assert outbox.texts()[-1] == "the night is over"
    assert (await outbox.row(id_))["attempt"] == 1


async def test_one_kind_of_call_that_slack_fails_does_not_stop_the_others(outbox: Outbox) -> None:
    thread = await outbox.rooted_thread()
    outbox.chat.fail_next(AWAY, method="add_mark", times=1_000)
    await outbox.mark(outbox.chat.add_line(SUPPORT), Mark.ACCEPTED)
    await outbox.settle(within_s=60)
    for number in range(3):
        await outbox.reply(thread, f"{number}")
    await outbox.settle(within_s=120)
    assert outbox.texts() == ["root of robin", "0", "1", "2"]


async def test_a_probe_that_is_refused_shows_that_the_workspace_is_back(outbox: Outbox) -> None:
    thread = await outbox.rooted_thread()
    outbox.chat.fail_next(AWAY, method="post")
    outbox.chat.fail_next(PermanentError("invalid_blocks"), method="post")
    await outbox.reply(thread, "refused")
    await outbox.settle()
    assert await outbox.pauses() == []


async def test_a_probe_that_finds_the_channel_closed_lifts_the_pause_of_the_workspace(outbox: Outbox) -> None:
    thread = await outbox.rooted_thread()
    outbox.chat.fail_next(AWAY, method="post")
    await outbox.reply(thread, "patience")
    await outbox.settle(within_s=1)
    outbox.chat.change_channel(SUPPORT, is_archived=True)
    await outbox.settle(within_s=10)
    assert [pause.target for pause in await outbox.pauses()] == [f"channel:{TEAM}:{SUPPORT}"]


async def test_a_post_in_doubt_stays_in_doubt_while_slack_is_away(outbox: Outbox) -> None:
    thread = await outbox.rooted_thread()
    outbox.chat.fail_next(LOST, method="post", when=When.AFTER)
    outbox.chat.fail_next(AWAY, method="find", times=5)
    await outbox.reply(thread, "once")
    await outbox.settle()
    assert outbox.texts() == ["root of robin", "once"]


# --- leases and stopping -----------------------------------------------------------------------------


async def test_a_sender_that_lost_its_lease_changes_nothing_any_more(outbox: Outbox) -> None:
    thread = await outbox.rooted_thread()
    id_ = await outbox.reply(thread, "one")
    outbox.clock.pass_(5)
    (stale,) = await outbox.claim("slow")
    outbox.clock.pass_(16)
    await outbox.book.rescue()
    (taken,) = await outbox.claim("successor")
    await outbox.book.refused(stale, "too late")
    await outbox.book.limited(stale, timedelta(seconds=60))
    await outbox.book.again(stale, "too late", delay=timedelta(0))
    await outbox.book.uncertain(stale, "too late", delay=timedelta(0))
    assert await outbox.book.not_there(stale) is None
    row = await outbox.row(id_)
    assert (row["state"], row["worker"]) == (State.SENDING, "successor")
    assert taken.in_doubt
    assert taken.sent_at == stale.sent_at


async def test_a_slow_answer_still_counts_while_nobody_has_taken_over(outbox: Outbox) -> None:
    thread = await outbox.rooted_thread()
    id_ = await outbox.reply(thread, "one")
    outbox.clock.pass_(5)
    (slow,) = await outbox.claim("slow")
    outbox.clock.pass_(16)
    await outbox.book.rescue()
    await outbox.book.done(slow, MessageTs("1795435300.000001"))
    await outbox.settle()
    row = await outbox.row(id_)
    assert (row["state"], row["slack_ts"]) == (State.DONE, "1795435300.000001")
    assert outbox.texts() == ["root of robin"], "nothing was posted by the successor"


async def test_a_kept_lease_does_not_run_out(outbox: Outbox) -> None:
    thread = await outbox.rooted_thread()
    await outbox.reply(thread, "one")
    outbox.clock.pass_(5)
    held = await outbox.claim("slow")
    for _ in range(4):
        outbox.clock.pass_(10)
        await outbox.book.keep(held, timedelta(seconds=15))
        assert await outbox.book.rescue() == 0


async def test_alone_with_its_database_a_sender_takes_back_at_once_what_others_held(outbox: Outbox) -> None:
    thread = await outbox.rooted_thread()
    await outbox.reply(thread, "one")
    outbox.clock.pass_(5)
    assert len(await outbox.claim("killed")) == 1
    assert await outbox.book.rescue() == 0
    assert await outbox.book.rescue(alone="w1") == 1


class StuckChat:
    """Wraps a chat; posts hang until they are let go."""

    def __init__(self, outbox: Outbox) -> None:
        self.arrived, self.let_go = asyncio.Event(), asyncio.Event()
        self.waiting = 0
        inner = outbox.chat.post

        async def post(outgoing: Outgoing) -> Posted:
            self.arrived.set()
            self.waiting += 1
            await self.let_go.wait()
            return await inner(outgoing)

        outbox.chat.post = post  # type: ignore[method-assign]


async def test_stopping_finishes_what_is_under_way_and_takes_no_more(outbox: Outbox) -> None:
    thread = await outbox.rooted_thread()
    await outbox.reply(thread, "under way")
    await outbox.reply(thread, "not begun")
    outbox.clock.pass_(60)
    stuck = StuckChat(outbox)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(outbox.sender.run())
        await asyncio.wait_for(stuck.arrived.wait(), 10)
        outbox.sender.stop()
        outbox.clock.pass_(60)
        stuck.let_go.set()
        await asyncio.wait_for(running, 10)
    assert outbox.texts()[-1] == "under way"
    assert (await outbox.states())[-2:] == [State.DONE, State.READY]


async def test_a_call_that_outlasts_the_grace_time_is_left_to_the_next_sender(outbox: Outbox) -> None:
    thread = await outbox.rooted_thread()
    id_ = await outbox.reply(thread, "once")
    outbox.clock.pass_(60)
    stuck = StuckChat(outbox)
    sender = Sender(
        outbox.store,
        outbox.book,
        outbox.chat,
        worker="impatient",
        root_card=lambda conn, one: Notice(text="continued"),
        grace_s=0.05,
    )
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(sender.run())
        await asyncio.wait_for(stuck.arrived.wait(), 10)
        sender.stop()
        await asyncio.wait_for(running, 10)
    assert (await outbox.row(id_))["state"] == State.SENDING
    stuck.let_go.set()
    outbox.clock.pass_(16)
    await outbox.book.rescue()
    await outbox.settle()
    assert outbox.texts() == ["root of robin", "once"]


async def test_a_sender_that_stood_still_beyond_its_lease_does_not_post(outbox: Outbox) -> None:
    thread = await outbox.rooted_thread()
    await outbox.reply(thread, "once")
    outbox.clock.pass_(5)
    sender = Sender(
        outbox.store,
        outbox.book,
        outbox.chat,
        worker="paused",
        root_card=lambda conn, one: Notice(text="continued"),
        lease_s=0.0,
    )
    await sender.run_until_idle()
    assert outbox.texts() == ["root of robin"]
    outbox.clock.pass_(1)
    await outbox.book.rescue()
    await outbox.settle()
    assert outbox.texts() == ["root of robin", "once"]


async def _until(holds: Callable[[], bool], sender: Sender, *, within_s: float = 20) -> None:
    """Wake the sender until it has done that: its own clock runs, the rows' stands still."""
    async with asyncio.timeout(within_s):
        while not holds():
            sender.woken.set()
            await asyncio.sleep(0.01)


async def test_a_running_sender_keeps_its_leases_and_takes_over_lost_ones(outbox: Outbox) -> None:
    """Real time for the sender, the rows' own clock for the leases: it stands still but for our pushes."""
    thread = await outbox.rooted_thread()
    await outbox.reply(thread, "left behind")
    outbox.clock.pass_(60)
    assert len(await outbox.claim("killed", lease_s=1)) == 1
    outbox.clock.pass_(60)
    sender = Sender(
        outbox.store,
        outbox.book,
        outbox.chat,
        worker="successor",
        root_card=lambda conn, one: Notice(text="continued"),
        lease_s=0.2,
    )
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(sender.run())
        await _until(lambda: outbox.texts()[-1] == "left behind", sender)
        sender.stop()
    assert outbox.texts() == ["root of robin", "left behind"]


async def test_the_sender_outlives_a_database_that_is_away(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    thread = await outbox.rooted_thread()
    await outbox.reply(thread, "at last")
    outbox.clock.pass_(60)
    claim = outbox.book.claim
    failures = [StoreUnavailable("store_unavailable"), RuntimeError("a bug")]

    async def flaky(worker: str, *, limit: int, lease: timedelta) -> object:
        if failures:
            raise failures.pop()
        return await claim(worker, limit=limit, lease=lease)

    monkeypatch.setattr(outbox.book, "claim", flaky)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(outbox.sender.run())
        await _until(lambda: outbox.texts()[-1] == "at last", outbox.sender)
        outbox.sender.stop()
    assert failures == []


async def test_an_outcome_that_cannot_be_recorded_leaves_the_row_in_doubt(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    thread = await outbox.rooted_thread()
    id_ = await outbox.reply(thread, "once")
    outbox.clock.pass_(5)

    async def unavailable(one: object, ts: object, *, reason: str | None = None) -> None:
        raise StoreUnavailable("store_unavailable")

    with monkeypatch.context() as patched:
        patched.setattr(outbox.book, "done", unavailable)
        await outbox.sender.run_until_idle()
    assert (await outbox.row(id_))["state"] == State.SENDING
    outbox.clock.pass_(16)
    await outbox.book.rescue()
    await outbox.settle()
    assert outbox.texts() == ["root of robin", "once"]
    assert (await outbox.row(id_))["state"] == State.DONE


async def test_an_outcome_that_cannot_be_recorded_by_a_mistake_of_ours_is_looked_up(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    thread = await outbox.rooted_thread()
    await outbox.reply(thread, "once")
    outbox.clock.pass_(5)

    async def broken(*_: object, **__: object) -> None:
        raise RuntimeError("a bug")

    with monkeypatch.context() as patched:
        patched.setattr(outbox.book, "done", broken)
        patched.setattr(outbox.book, "uncertain", broken)
        patched.setattr(outbox.book, "again", broken)
        await outbox.sender.run_until_idle()
    outbox.clock.pass_(16)
    await outbox.book.rescue()
    await outbox.settle()
    assert outbox.texts() == ["root of robin", "once"]


async def test_at_most_eight_calls_are_under_way_at_a_time(outbox: Outbox) -> None:
    for number in range(10, 20):
        channel = outbox.add_channel(ChannelId(f"C{number}"))
        await outbox.thread(channel, channel)
    stuck = StuckChat(outbox)

    def are_waiting(wanted: int) -> bool:
        outbox.clock.pass_(0.1)
        return stuck.waiting >= wanted

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(outbox.sender.run())
        await _until(lambda: are_waiting(8), outbox.sender)
        with pytest.raises(TimeoutError):
            await _until(lambda: are_waiting(9), outbox.sender, within_s=0.3)
        assert len(await outbox.rows(state=State.SENDING)) == 8
        stuck.let_go.set()
        await _until(lambda: are_waiting(10) and len(outbox.chat.posts) == 10, outbox.sender)
        outbox.sender.stop()


async def test_a_sender_outlives_a_database_that_fails_whatever_it_does(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Taking back, keeping leases, looking when to go on: each fails a few times, then all goes on."""
    failures = dict.fromkeys(("rescue", "keep", "next_due"), 3)

    for name in failures:
        real = getattr(outbox.book, name)

        async def flaky(*args: object, name: str = name, real: object = real, **more: object) -> object:
            if failures[name]:
                failures[name] -= 1
                raise StoreUnavailable("store_unavailable")
            assert callable(real)
            return await real(*args, **more)

        monkeypatch.setattr(outbox.book, name, flaky)
    thread = await outbox.thread()
    await outbox.reply(thread, "message")
    sender = Sender(
        outbox.store,
        outbox.book,
        outbox.chat,
        worker="sturdy",
        root_card=lambda conn, one: Notice(text="continued"),
        lease_s=0.2,
    )
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(sender.run())

        def is_over() -> bool:
            outbox.clock.pass_(0.01)
            return not any(failures.values()) and len(outbox.chat.posts) == 2

        await _until(is_over, sender)
        sender.stop()
    assert outbox.texts() == ["root of robin", "message"]
