"""A line that was overtaken after it had been taken: two processes that work in the same moment."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from sqlalchemy import update

from bridge.content import ActionId
from bridge.intents import IntentState
from bridge.model import Mark
from bridge.store.engine import Store
from bridge.store.tables import intents
from tests.outbox import TestClock
from tests.relay_stage import Relay


@pytest.fixture
async def relay(migrated_url: str) -> AsyncIterator[Relay]:
    clock = TestClock()
    async with Store(migrated_url, clock=clock) as store:
        yield Relay(store, clock)


async def test_a_line_that_is_overtaken_while_it_waits_is_not_sent_after_the_later_one_unasked(
    relay: Relay,
) -> None:
    await relay.link(undo_window_s=60)
    root = await relay.thread()
    first = await relay.types("first", root)
    second = await relay.types("second", root)
    await relay.pass_(5)
    gone = update(intents).where(intents.c.ts == second.ts).values(state=IntentState.CONFIRMED)

    await relay.store.write(lambda conn: conn.execute(gone) and None)
    await relay.pass_(120)
    assert relay.robin.received == []
    assert relay.marks(first) == {Mark.WAITING}
    (question,) = relay.notices(root)
    assert "went out before it" in question.text
    await relay.presses(question, ActionId.SEND_ANYWAY)
    await relay.pass_(30)
    assert relay.robin.received == ["first"]
    assert relay.marks(first) == {Mark.ACCEPTED}
