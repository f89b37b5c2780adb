"""Catching up: what lists show and no webhook told of, within bounds, and said where it cannot be had."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from sqlalchemy import select

from bridge.content import Notice
from bridge.errors import BridgeError
from bridge.events import ConversationChanged, Sweep
from bridge.ids import ChannelId, ConversationId, PostId
from bridge.model import Channel, LinkKind, Post
from bridge.queue.presence import GAP, give_sign, last_outage
from bridge.relay.catchup import MANY, OVERLAP, POISONED, came_back
from bridge.store.engine import Store
from bridge.store.tables import outages
from tests.outbox import TestClock
from tests.relay_stage import BAKERY, ROBIN, SUPPORT, Relay

AWAY = timedelta(minutes=32)


@pytest.fixture
async def relay(migrated_url: str) -> AsyncIterator[Relay]:
    clock = TestClock()
    async with Store(migrated_url, clock=clock) as store:
        relay = Relay(store, clock)
        await relay.know_project()
        await relay.link()
        yield relay


async def sign(relay: Relay, worker: str = "w1") -> None:
    await relay.store.write(lambda conn: give_sign(conn, relay.clock(), worker, GAP))


def said_in_channel(relay: Relay, channel: ChannelId = SUPPORT) -> list[str]:
    return [post.text for post in relay.chat.roots(channel) if isinstance(post.content, Notice)]


async def test_what_no_webhook_told_of_is_shown(relay: Relay) -> None:
    relay.social.customer_writes(BAKERY, ROBIN, "Anybody there?")
    await relay.sweep()
    (root,) = relay.chat.roots(SUPPORT)
    assert any("Anybody there?" in post.text for post in relay.chat.thread(root.ts))


async def test_a_message_that_turns_up_below_the_mark_is_found_and_marked_as_late(relay: Relay) -> None:
    relay.clock.pass_(60)
    early = relay.clock() - timedelta(seconds=30)
    root = await relay.thread("second")
    relay.clock.pass_(60)
    relay.social.customer_writes(BAKERY, ROBIN, "first, hidden until now", at=early)
    await relay.sweep()
    (late,) = [post for post in relay.chat.thread(root) if "hidden" in post.text]
    assert getattr(late.content, "note", None) == "arrived late"


async def test_a_conversation_that_is_quiet_is_looked_at_once_more_and_then_never_again(relay: Relay) -> None:
    for number in range(3):
        relay.social.customer_writes(BAKERY, ConversationId(f"c{number}"), "Hello?")
    assert await relay.sweep() == 3
    relay.clock.pass_(OVERLAP.total_seconds() + 60)
    assert await relay.sweep() == 3
    for _ in range(3):
        relay.clock.pass_(300)
        assert await relay.sweep() == 0


async def test_what_waits_for_a_look_anyway_is_not_put_again(relay: Relay) -> None:
    relay.social.customer_writes(BAKERY, ROBIN, "Hello?")
    later = ConversationChanged(project_id=BAKERY, conversation_id=ROBIN)
    await relay.jobs.put(later)
    await relay.catch_up.sweep(Sweep(project_id=BAKERY), None)  # type: ignore[arg-type]
    assert await relay.jobs_of("conversation_changed") == ["available"]


async def test_a_conversation_that_cannot_be_read_is_tried_hourly_not_by_every_sweep(relay: Relay) -> None:
    relay.social.customer_writes(BAKERY, ROBIN, "Hello?")
    broken = BridgeError("jollor_bad_answer", user_message="Jollor's answer could not be understood.")
    relay.social.fail_next(broken, method="messages", times=8)
    await relay.jobs.put(Sweep(project_id=BAKERY))
    await relay.settle(within_s=1_000)
    assert await relay.jobs_of("conversation_changed") == ["discarded"]
    assert await relay.sweep() == 0
    relay.clock.pass_(POISONED.total_seconds() + 60)
    assert await relay.sweep() == 1
    assert [post for post in relay.chat.posts if "Hello?" in post.text]


@pytest.mark.parametrize("count", [MANY, MANY + 1])
async def test_many_conversations_at_once_are_announced(relay: Relay, count: int) -> None:
    for number in range(count):
        relay.social.customer_writes(BAKERY, ConversationId(f"c{number}"), "Hello?")
    await relay.sweep()
    expected = [f"{count} conversations of Harbour Bakery have news; they appear here one after the other."]
    assert said_in_channel(relay) == (expected if count > MANY else [])


async def test_posts_that_no_webhook_told_of_are_shown_once(relay: Relay) -> None:
    relay.social.add_post(BAKERY, Post(PostId("p1"), "instagram", True, "Mia", "Lovely!", "", None))
    for _ in range(2):
        await relay.sweep()
    assert len(relay.chat.roots(SUPPORT)) == 1


# --- having been away --------------------------------------------------------------------------------


async def test_a_gap_noticed_while_running_is_an_outage_and_is_swept_and_told_once(relay: Relay) -> None:
    await sign(relay)
    relay.social.customer_writes(BAKERY, ROBIN, "just before")
    relay.clock.pass_(60)
    await sign(relay)
    assert await relay.jobs_of("came_back") == [], "a minute is nothing"
    relay.clock.pass_(AWAY.total_seconds())
    began = relay.clock() - timedelta(minutes=5)
    relay.social.customer_writes(BAKERY, ROBIN, "meanwhile", at=began)
    await sign(relay)
    await sign(relay, "w2")
    await came_back(relay.store, scale=1)
    await relay.settle(within_s=60)
    assert await relay.jobs_of("came_back") == ["completed"]
    (told,) = said_in_channel(relay)
    assert told.startswith("The bridge was away 12:01–12:33 UTC.")
    assert "own posts, dialogues and lost profile connections" in told
    assert "webhook" not in told
    (meanwhile,) = [post for post in relay.chat.posts if post.text == "meanwhile"]
    note = getattr(meanwhile.content, "note", None)
    assert note == "arrived while the bridge was away, 12:01–12:33 UTC"


async def test_an_outage_of_days_names_the_days_and_says_what_becomes_of_the_webhook(relay: Relay) -> None:
    await sign(relay)
    relay.clock.pass_(30 * 3600)
    await sign(relay)
    await relay.settle(within_s=60)
    (told,) = said_in_channel(relay)
    assert "switches a webhook off whose calls fail for a day" in told
    outage = await relay.store.read(last_outage)
    assert outage is not None
    assert outage.span == "2026-11-23 12:00 – 2026-11-24 18:00 UTC"


async def test_two_that_come_back_at_the_same_time_record_one_outage(relay: Relay) -> None:
    await sign(relay)
    relay.clock.pass_(600)
    await came_back(relay.store, scale=1)
    await came_back(relay.store, scale=1)
    rows = await relay.store.read(lambda conn: conn.execute(select(outages.c.id)).all())
    assert len(rows) == 1


async def test_an_outage_is_told_in_the_channel_for_alerts_alone(relay: Relay) -> None:
    alerts = ChannelId("C9")
    relay.chat.add_channel(Channel(alerts, "alerts"))
    await relay.link(LinkKind.ALERT, channel=alerts)
    await sign(relay)
    relay.clock.pass_(600)
    await sign(relay)
    await relay.settle(within_s=60)
    assert len(said_in_channel(relay, alerts)) == 1
