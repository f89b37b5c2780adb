"""Floods: many messages found at once are summed up, and shown in full when somebody wants them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

import pytest
from sqlalchemy import func, select

from bridge.content import ActionId, Line, Notice
from bridge.deliveries.join import lines_in
from bridge.events import ButtonPressed
from bridge.ids import ChannelId, MessageTs
from bridge.model import Channel, LinkKind
from bridge.queue.presence import GAP, give_sign
from bridge.relay.floods import FLOOD, KEPT
from bridge.store.engine import Store
from bridge.store.tables import floods, folded_lines, messages
from tests.fakes.chat import FakePost
from tests.outbox import TestClock
from tests.relay_stage import BAKERY, BEN, ROBIN, SUPPORT, TEAM, Relay

MANY = FLOOD + 17
NEXT = ChannelId("CNEXT")


@pytest.fixture
async def relay(migrated_url: str) -> AsyncIterator[Relay]:
    clock = TestClock()
    async with Store(migrated_url, clock=clock) as store:
        relay = Relay(store, clock)
        await relay.know_project()
        await relay.link()
        yield relay


@pytest.fixture
async def root(relay: Relay) -> MessageTs:
    return await relay.thread("before")


def write(relay: Relay, count: int) -> Sequence[str]:
    """Robin writes so many messages, one a minute, and no webhook tells of it."""
    texts = [f"message {number:02d}" for number in range(count)]
    for text in texts:
        relay.clock.pass_(60)
        relay.social.customer_writes(BAKERY, ROBIN, text)
    return texts


def lines(relay: Relay, root: MessageTs) -> list[Line]:
    """The transcript, whether a line has a post to itself or shares one."""
    return [line for post in relay.chat.thread(root) for line in lines_in(post.content)]


def texts(relay: Relay, root: MessageTs) -> list[str]:
    return [line.text for line in lines(relay, root)]


def summary(relay: Relay, root: MessageTs) -> FakePost:
    (notice,) = relay.notices(root)
    return notice


async def test_a_flood_is_summed_up_before_its_newest_messages(relay: Relay, root: MessageTs) -> None:
    written = write(relay, MANY)
    await relay.sweep()
    assert texts(relay, root) == ["before", *written[-KEPT:]]
    posts = relay.chat.thread(root)
    place = posts.index(summary(relay, root))
    assert posts[place + 1].text.splitlines()[0] == written[-KEPT]
    assert posts[place].text == "37 messages were found at once, sent 12:01–12:37 UTC; the last 5 are below."


async def test_as_many_as_people_can_read_are_simply_shown(relay: Relay, root: MessageTs) -> None:
    written = write(relay, FLOOD)
    await relay.sweep()
    assert texts(relay, root) == ["before", *written]
    assert not relay.notices(root)


async def test_what_people_write_right_now_is_no_flood(relay: Relay, root: MessageTs) -> None:
    written = write(relay, MANY)
    await relay.customer_writes("now")
    await relay.settle(within_s=60)
    assert texts(relay, root) == ["before", *written, "now"]


async def test_a_flood_from_an_outage_says_so_whatever_found_it(relay: Relay, root: MessageTs) -> None:
    await relay.store.write(lambda conn: give_sign(conn, relay.clock(), "w", GAP))
    written = write(relay, MANY)
    relay.clock.pass_(5 * 60)
    await relay.store.write(lambda conn: give_sign(conn, relay.clock(), "w", GAP))
    relay.clock.pass_(60)
    await relay.customer_writes("now")
    await relay.settle(within_s=60)
    assert texts(relay, root) == ["before", *written[-KEPT:], "now"]
    away = "37 messages came while the bridge was away, 12:00–12:42 UTC; the last 5 are below."
    assert summary(relay, root).text == away


async def test_load_all_shows_the_others_once_in_order_and_with_their_times(
    relay: Relay, root: MessageTs
) -> None:
    written = write(relay, MANY)
    await relay.sweep()
    before = replace(summary(relay, root))
    for _ in range(2):  # twice each, and again by somebody who still sees the button
        await relay.presses(before, ActionId.LOAD_ALL)
        await relay.settle(within_s=60)
    assert texts(relay, root) == ["before", *written[-KEPT:], *written[:-KEPT]]
    loaded = [line for line in lines(relay, root) if line.text in written[:-KEPT]]
    assert {line.note for line in loaded} == {"arrived late"}
    notice = summary(relay, root).content
    assert isinstance(notice, Notice)
    assert not notice.buttons
    assert notice.text.endswith(f"<@{BEN}> had all of them loaded; they stand below.")
    rows = await relay.store.read(lambda conn: conn.execute(select(floods.c.loaded_by)).scalars().all())
    assert rows == [BEN]
    left = select(func.count()).select_from(folded_lines)
    assert await relay.store.read(lambda conn: conn.execute(left).scalar_one()) == 0


async def test_all_of_a_flood_is_remembered_and_nothing_is_shown_by_the_next_look(
    relay: Relay, root: MessageTs
) -> None:
    write(relay, MANY)
    await relay.sweep()
    shown = len(relay.chat.posts)
    await relay.sweep()
    assert len(relay.chat.posts) == shown
    seen = select(func.count()).select_from(messages)
    assert await relay.store.read(lambda conn: conn.execute(seen).scalar_one()) == MANY + 1


async def test_a_conversation_that_begins_with_a_flood_has_its_first_message_on_the_card(
    relay: Relay,
) -> None:
    written = write(relay, MANY)
    await relay.sweep()
    (root,) = relay.chat.roots(SUPPORT)
    assert root.text == written[0]
    assert texts(relay, root.ts) == list(written[-KEPT:])


async def test_a_press_that_names_another_place_loads_nothing(relay: Relay, root: MessageTs) -> None:
    write(relay, MANY)
    await relay.sweep()
    notice = summary(relay, root).content
    assert isinstance(notice, Notice)
    for team, value in (("T9", notice.buttons[0].value), (TEAM, "nonsense")):
        press = ButtonPressed(
            team_id=team, channel_id="C1", user_id=BEN, action_id=ActionId.LOAD_ALL, value=value
        )
        await relay.jobs.put(press)
    await relay.settle(within_s=60)
    assert len(texts(relay, root)) == 1 + KEPT


async def test_what_was_kept_of_a_flood_is_loaded_where_its_summary_moved(relay: Relay) -> None:
    """The channel closed before the flood was shown, and the project goes to another one since."""
    root = await relay.thread("before")
    write(relay, MANY)
    relay.chat.change_channel(SUPPORT, is_archived=True)
    await relay.sweep()
    await relay.moves_to(NEXT)
    moved = relay.chat.roots(NEXT)[0]
    before = replace(summary(relay, moved.ts))
    for _ in range(2):
        await relay.presses(before, ActionId.LOAD_ALL, channel=NEXT)
        await relay.settle(within_s=60)
    written = [f"message {number:02d}" for number in range(MANY)]
    assert texts(relay, moved.ts) == [*written[-KEPT:], *written[:-KEPT]]
    assert texts(relay, root) == ["before"]


async def test_what_was_kept_of_a_flood_is_shown_once_where_it_was_found_twice(relay: Relay) -> None:
    """The project went to the other channel, too, where the same flood was found."""
    relay.chat.add_channel(Channel(NEXT, "next"))
    await relay.link(LinkKind.MESSAGE, channel=NEXT)
    await relay.thread("before")
    relay.chat.change_channel(SUPPORT, is_archived=True)
    written = write(relay, MANY)
    await relay.sweep()
    await relay.moves_to(NEXT)
    other = relay.chat.roots(NEXT)[0]
    for notice in [replace(post) for post in relay.notices(other.ts)]:
        await relay.presses(notice, ActionId.LOAD_ALL, channel=NEXT)
        await relay.settle(within_s=60)
    assert sorted(texts(relay, other.ts)) == ["before", *written]
