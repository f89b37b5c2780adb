"""Two processes of PostgreSQL at once: a reply is settled, asked about and decided in the same moment."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from sqlalchemy import Connection, select

from bridge import intents
from bridge.content import ActionId
from bridge.errors import UnconfirmedError
from bridge.events import ButtonPressed
from bridge.ids import IntentId, MessageId, MessageTs
from bridge.intents import Intent, IntentState
from bridge.model import Mark, Message
from bridge.relay.cards import Cards
from bridge.relay.echoes import Echoes
from bridge.relay.settling import DOUBT, Settling
from bridge.store.engine import Store
from bridge.store.tables import intents as table
from tests.outbox import TestClock
from tests.relay_stage import BAKERY, BEN, ROBIN, SUPPORT, TEAM, Relay

pytestmark = pytest.mark.postgres

LOST = UnconfirmedError("cut", user_message="No answer.")
CARDS = Cards(dashboard_url="https://jollor.example")
LAST_LOOK_S = 130
"""From the fourth look on the last one is due by then."""
WAITS_FOR_A_LOCK = """
select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()
"""


@pytest.fixture
async def relay(migrated_postgres_url: str) -> AsyncIterator[Relay]:
    clock = TestClock()
    async with Store(migrated_postgres_url, clock=clock) as store:
        yield Relay(store, clock)


@pytest.fixture
async def root(relay: Relay) -> MessageTs:
    await relay.link()
    return await relay.thread()


async def at_once(
    relay: Relay, first: Callable[[Connection], Any], then: Callable[[Connection], Any] | None = None
) -> None:
    """Do `then`, or what the worker has to do, while another process is about to commit `first`."""
    async with relay.store.engine.begin() as other:
        await other.run_sync(first)
        work = asyncio.create_task(relay.worker.run_until_idle() if then is None else write(relay, then))
        while not work.done() and not await is_waiting(relay):  # noqa: ASYNC110 - a lock is no event of ours
            await asyncio.sleep(0.01)
    await work


async def write(relay: Relay, op: Callable[[Connection], Any]) -> None:
    await relay.store.write(op)


async def is_waiting(relay: Relay) -> bool:
    return await relay.store.read(lambda conn: bool(conn.exec_driver_sql(WAITS_FOR_A_LOCK).scalar()))


async def reply(relay: Relay, text: str) -> Intent:
    query = select(table.c.id).where(table.c.text == text)

    def read(conn: Connection) -> Intent | None:
        return intents.by_id(conn, IntentId(conn.execute(query).scalar_one()))

    found = await relay.store.read(read)
    assert found is not None
    return found


def settling(relay: Relay) -> Settling:
    return Settling(relay.store, relay.chat, relay.social, CARDS)


def its_echo(relay: Relay, text: str) -> Callable[[Connection], Any]:
    """Jollor shows a reply that it did not show a moment ago."""
    now = relay.clock()
    shown = Message(MessageId("e1"), "facebook", now, False, "Our page", "Robin", text)
    return lambda conn: Echoes(CARDS).settle(conn, now, BAKERY, ROBIN, [shown])


async def test_a_reply_that_is_being_settled_is_not_asked_about(relay: Relay, root: MessageTs) -> None:
    relay.social.fail_next(LOST, method="reply")
    line = await relay.types("Yes.", root)
    await relay.pass_(100)
    relay.clock.pass_(LAST_LOOK_S)
    await at_once(relay, its_echo(relay, "Yes."))
    await relay.settle(within_s=60)
    assert relay.marks(line) == {Mark.ACCEPTED}
    assert relay.said(root) == []


async def test_what_people_are_just_asked_about_and_is_settled_lets_go_what_waits(
    relay: Relay, root: MessageTs
) -> None:
    relay.social.fail_next(LOST, method="reply")
    await relay.types("one", root)
    relay.clock.pass_(1)
    await relay.types("two", root)
    await relay.pass_(100)
    first = await reply(relay, "one")
    ask = settling(relay).ask
    await at_once(relay, lambda conn: ask(conn, relay.clock(), first, DOUBT), then=its_echo(relay, "one"))
    await relay.settle(within_s=600)
    assert await relay.intent_states() == [IntentState.CONFIRMED, IntentState.ACCEPTED]
    assert relay.robin.received == ["two"]


async def test_a_line_does_not_wait_for_a_decision_that_is_just_made(relay: Relay, root: MessageTs) -> None:
    relay.social.fail_next(LOST, method="reply")
    await relay.types("one", root)
    relay.clock.pass_(1)
    await relay.types("two", root)
    await relay.settle(within_s=400)
    (question,) = relay.notices(root)
    press = ButtonPressed(
        team_id=TEAM,
        channel_id=SUPPORT,
        user_id=BEN,
        action_id=ActionId.SETTLE_DROP,
        value=relay.value_of(question, ActionId.SETTLE_DROP),
        message_ts=question.ts,
    )
    line = await relay.types("three", root)
    await relay.worker.run_until_idle()
    relay.clock.pass_(1)
    decide = settling(relay)._decide
    await at_once(relay, lambda conn: decide(conn, press, IntentState.DROPPED, "drop", "dropped it"))
    await relay.settle(within_s=600)
    assert relay.robin.received == ["two", "three"]
    assert relay.marks(line) == {Mark.ACCEPTED}
