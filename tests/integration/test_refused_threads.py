"""Threads in which Slack takes no reply: a few new roots are tried, then it is said once and no more."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import pytest

from bridge.deliveries import State
from bridge.errors import RootGone
from bridge.ports import Outgoing, Posted
from bridge.store.engine import Store
from tests.outbox import SUPPORT, Outbox, SlowChat, TestClock

BESIDE = "Slack does not take what belongs into a thread of “bakery”. Please look in Jollor."


@dataclass
class ClosedThreads(SlowChat):
    """Refuses replies, or posts them outside of their threads."""

    are_refused: bool = False
    are_astray: bool = False

    async def post(self, outgoing: Outgoing) -> Posted:
        if outgoing.thread_ts is not None and self.are_refused:
            self.calls.append("post")
            raise RootGone("cannot_reply_to_message")
        if outgoing.thread_ts is not None and self.are_astray:
            outgoing = replace(outgoing, thread_ts=None)
        return await super().post(outgoing)


@dataclass
class Stage:
    """An outbox over a Slack whose threads can be closed."""

    outbox: Outbox
    chat: ClosedThreads

    @property
    def roots(self) -> list[str]:
        return [post.text for post in self.chat.roots(SUPPORT)]


@pytest.fixture
async def stage(migrated_url: str) -> AsyncIterator[Stage]:
    clock = TestClock()
    async with Store(migrated_url, clock=clock) as store:
        outbox = Outbox(store, clock)
        chat = ClosedThreads(now=clock)
        outbox.chat = chat
        outbox.sender = outbox.a_sender("w1")
        outbox.add_channel(SUPPORT)
        yield Stage(outbox, chat)


@pytest.mark.parametrize("how", ["are_refused", "are_astray"])
async def test_two_new_roots_are_tried_then_it_is_said_once_in_the_channel(stage: Stage, how: str) -> None:
    outbox = stage.outbox
    thread = await outbox.rooted_thread()
    setattr(stage.chat, how, True)
    for number in range(6):
        await outbox.reply(thread, f"{number}")
    await outbox.settle()
    assert stage.roots.count("continued") == 2
    assert stage.roots.count(BESIDE) == 1
    messages = await outbox.rows(kind="message")
    assert [row["state"] for row in messages] == [State.REFUSED] * 6
    assert {row["reason"] for row in messages} == {"Slack refuses every reply to its thread."}
    assert {row["state"] for row in await outbox.rows()} == {State.DONE, State.REFUSED}


async def test_messages_of_customers_are_given_up_together_and_no_root_comes_back(stage: Stage) -> None:
    outbox = stage.outbox
    thread = await outbox.rooted_thread()
    stage.chat.are_refused = True
    for _ in range(3):
        for number in range(4):
            await outbox.message(thread, f"{number}")
        await outbox.settle()
    assert stage.roots == ["root of robin", "continued", "continued", BESIDE]
    assert {row["state"] for row in await outbox.rows(kind="message")} == {State.REFUSED}


async def test_what_people_are_asked_is_asked_in_the_channel_then(stage: Stage) -> None:
    outbox = stage.outbox
    thread = await outbox.rooted_thread()
    stage.chat.are_refused = True
    await outbox.notice(thread, "Did it arrive?")
    await outbox.settle()
    assert stage.roots[-2:] == [BESIDE, "Did it arrive?"]


async def test_a_thread_that_takes_replies_again_goes_on_and_would_be_told_of_again(stage: Stage) -> None:
    outbox = stage.outbox
    thread = await outbox.rooted_thread()
    for _ in range(2):
        stage.chat.are_refused = True
        await outbox.message(thread, "refused")
        await outbox.settle()
        stage.chat.are_refused = False
        await outbox.message(thread, "shown")
        await outbox.settle()
    assert [post.text for post in stage.chat.posts].count("shown") == 2
    assert stage.roots.count(BESIDE) == 2
    assert stage.roots.count("continued") == 4
