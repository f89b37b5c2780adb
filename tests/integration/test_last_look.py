"""Before people are asked whether a reply arrived, the bridge has looked, however late it comes to that."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from bridge.content import ActionId, Notice
from bridge.errors import BridgeError, Snooze, TargetDown, UnconfirmedError
from bridge.events import LineTyped
from bridge.ids import MessageTs
from bridge.model import Mark
from bridge.store.engine import Store
from tests.fakes.social import When
from tests.outbox import TestClock
from tests.relay_stage import BAKERY, ROBIN, Relay

LOST = UnconfirmedError("cut", user_message="No answer.")
MUCH_LATER = Snooze("jollor_rate_limited", delay=timedelta(minutes=15))
AWAY = TargetDown("jollor_unreachable", target=f"project:{BAKERY}", user_message="Jollor cannot be reached.")
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


async def types_in_doubt(
    relay: Relay, root: MessageTs, when: When, monkeypatch: pytest.MonkeyPatch
) -> LineTyped:
    """A line whose reply is left without an answer, and whose first look is put off for long."""
    honest = relay.social.reply

    async def reply(*args: Any, **more: Any) -> None:
        relay.social.fail_next(MUCH_LATER, method="messages")
        await honest(*args, **more)

    monkeypatch.setattr(relay.social, "reply", reply)
    relay.social.fail_next(LOST, method="reply", when=when)
    line = await relay.types("We open at eight.", root)
    await relay.pass_(200)
    assert await relay.intent_states() == ["unknown"]
    return line


@pytest.mark.parametrize("when", list(When))
async def test_a_reply_that_nobody_could_look_for_in_time_is_looked_for_before_people_are_asked(
    relay: Relay, root: MessageTs, when: When, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = await types_in_doubt(relay, root, when, monkeypatch)
    await relay.pass_(200)
    if when is When.AFTER:
        assert relay.said(root) == []
        assert relay.marks(line) == {Mark.ACCEPTED}
    else:
        assert "It is not sent again by itself" in relay.said(root)[0]
        assert relay.marks(line) == {Mark.DOUBT}


async def test_the_last_look_waits_for_jollor_to_be_back(
    relay: Relay, root: MessageTs, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = await types_in_doubt(relay, root, When.AFTER, monkeypatch)
    relay.social.fail_next(AWAY, method="messages", times=2)
    await relay.pass_(400)
    assert relay.said(root) == []
    assert relay.marks(line) == {Mark.ACCEPTED}


async def test_people_are_asked_where_the_last_look_cannot_be_read(
    relay: Relay, root: MessageTs, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = await types_in_doubt(relay, root, When.AFTER, monkeypatch)
    relay.social.fail_next(BROKEN, method="messages")
    await relay.pass_(100)
    assert relay.marks(line) == {Mark.DOUBT}


async def test_a_question_that_an_echo_has_answered_loses_its_buttons_when_somebody_presses(
    relay: Relay, root: MessageTs
) -> None:
    relay.social.fail_next(LOST, method="reply")
    line = await relay.types("We open at eight.", root)
    await relay.pass_(200)
    question = relay.notices(root)[0]
    relay.social.dashboard_replies(BAKERY, ROBIN, "We open at eight.")
    await relay.customer_writes("Thanks")
    await relay.pass_(30)
    await relay.presses(question, ActionId.SETTLE_SEND_AGAIN)
    await relay.pass_(30)
    assert relay.robin.received == ["We open at eight."]
    assert relay.marks(line) == {Mark.ACCEPTED}
    now = relay.notices(root)[0].content
    assert isinstance(now, Notice)
    assert now.buttons == ()
    assert "settled" in now.text
