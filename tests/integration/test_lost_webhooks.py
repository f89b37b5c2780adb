"""Webhooks that never came: counted when they cannot merely be late, told of when it happens again."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from bridge.content import ActionId, Notice
from bridge.events import ConversationChanged, MessageHinted, PostChanged
from bridge.ids import ConversationId, MessageId, PostId
from bridge.model import Post
from bridge.queries import Queries
from bridge.queue.presence import GAP, give_sign
from bridge.store.engine import Store
from bridge.webhooks import lost
from tests.outbox import TestClock
from tests.relay_stage import BAKERY, ROBIN, SUPPORT, TEAM, Relay

GRACE_S = lost.GRACE.total_seconds()
DAY_S = lost.DAY.total_seconds()


@pytest.fixture
async def relay(migrated_url: str) -> AsyncIterator[Relay]:
    clock = TestClock()
    async with Store(migrated_url, clock=clock) as store:
        relay = Relay(store, clock)
        await relay.know_project()
        await relay.link()
        yield relay


async def total(relay: Relay) -> int:
    return await relay.store.read(lost.total)


async def lose_one(relay: Relay) -> MessageId:
    """A message comes whose webhook does not, and is found by a sweep; it is too late for its webhook."""
    message = relay.social.customer_writes(BAKERY, ROBIN, "Hello?")
    await relay.sweep()
    relay.clock.pass_(GRACE_S)
    await relay.sweep()
    return message.id


async def health(relay: Relay) -> str:
    status = await Queries(relay.store, dashboard_url="https://jollor.example").status(TEAM)
    return next(fact.value for fact in status.facts if fact.label == "Harbour Bakery")


def told(relay: Relay) -> list[Notice]:
    notices = [post.content for post in relay.chat.roots(SUPPORT) if isinstance(post.content, Notice)]
    return [notice for notice in notices if "get lost" in notice.text]


async def test_what_only_a_sweep_found_counts_once_it_cannot_be_late_any_more(relay: Relay) -> None:
    relay.social.customer_writes(BAKERY, ROBIN, "Hello?")
    await relay.sweep()
    assert await total(relay) == 0
    relay.clock.pass_(GRACE_S)
    await relay.sweep()
    await relay.sweep()
    assert await total(relay) == 1


async def test_a_webhook_that_is_merely_late_was_not_lost(relay: Relay) -> None:
    message = relay.social.customer_writes(BAKERY, ROBIN, "Hello?")
    other = relay.social.customer_writes(BAKERY, ConversationId("c2"), "Hello?")
    await relay.sweep()
    relay.clock.pass_(60)
    await relay.jobs.put(ConversationChanged(project_id=BAKERY, conversation_id=ROBIN, message_id=message.id))
    await relay.jobs.put(MessageHinted(project_id=BAKERY, message_id=other.id))
    await relay.settle(within_s=30)
    relay.clock.pass_(GRACE_S)
    await relay.sweep()
    assert await total(relay) == 0


async def test_a_webhook_that_comes_after_it_was_counted_changes_nothing(relay: Relay) -> None:
    id_ = await lose_one(relay)
    await relay.jobs.put(ConversationChanged(project_id=BAKERY, conversation_id=ROBIN, message_id=id_))
    relay.clock.pass_(GRACE_S)
    await relay.sweep()
    assert await total(relay) == 1


async def test_what_a_webhook_told_of_is_not_lost_however_often_it_is_swept(relay: Relay) -> None:
    await relay.customer_writes("Hello?")
    for _ in range(3):
        await relay.sweep()
        relay.clock.pass_(GRACE_S)
    assert await total(relay) == 0


async def test_posts_count_too_and_late_ones_do_not(relay: Relay) -> None:
    for name in ("lost", "late"):
        relay.social.add_post(BAKERY, Post(PostId(name), "instagram", True, "Mia", "Lovely!", "", None))
    await relay.sweep()
    await relay.jobs.put(PostChanged(project_id=BAKERY, post_id="late", what="received"))
    await relay.settle(within_s=30)
    relay.clock.pass_(GRACE_S)
    await relay.sweep()
    assert await total(relay) == 1


async def test_what_came_while_the_bridge_was_away_was_not_lost(relay: Relay) -> None:
    await relay.store.write(lambda conn: give_sign(conn, relay.clock(), "w", GAP))
    relay.clock.pass_(600)
    relay.social.customer_writes(BAKERY, ROBIN, "Hello?")
    relay.social.add_post(BAKERY, Post(PostId("p"), "instagram", True, "Mia", "Lovely!", "", None))
    relay.clock.pass_(600)
    await relay.store.write(lambda conn: give_sign(conn, relay.clock(), "w", GAP))
    await relay.sweep()
    relay.clock.pass_(GRACE_S)
    await relay.sweep()
    assert await total(relay) == 0


async def test_people_are_told_when_it_repeats_once_a_day_with_the_next_step(relay: Relay) -> None:
    for _ in range(lost.REPEATED - 1):
        await lose_one(relay)
    assert not told(relay)
    assert "got lost" not in await health(relay)
    for _ in range(3):
        await lose_one(relay)
    await relay.settle(within_s=30)
    (notice,) = told(relay)
    assert "3 messages and posts" in notice.text
    assert "`jollor-slack doctor`" in notice.text
    assert [button.action for button in notice.buttons] == [ActionId.OPEN_DASHBOARD]
    assert "5 of its webhooks got lost within a day" in await health(relay)


async def test_it_is_told_again_the_next_day_and_forgotten_after_a_day_without(relay: Relay) -> None:
    for _ in range(lost.REPEATED):
        await lose_one(relay)
    relay.clock.pass_(DAY_S)
    await relay.sweep()
    assert len(told(relay)) == 1
    assert "got lost" not in await health(relay)
    for _ in range(lost.REPEATED):
        await lose_one(relay)
    await relay.settle(within_s=30)
    assert len(told(relay)) == 2
    await relay.store.write(lambda conn: lost.forget_old(conn, relay.clock()))
    assert await total(relay) == 2 * lost.REPEATED
