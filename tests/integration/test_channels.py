"""Channels that close: links are marked, people told elsewhere, and what waits is shown after mending."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from sqlalchemy import Connection, insert, select

from bridge.channels import channel_closed, channel_open, move_on, replace_closed
from bridge.deliveries import State, channel_target
from bridge.ids import ChannelId, new_id
from bridge.links import links_of, remember_projects, to_link
from bridge.model import LinkKind, Project
from bridge.store.engine import Store
from bridge.store.tables import alerts, links
from tests.outbox import BAKERY, START, SUPPORT, TEAM, Outbox, TestClock

OPS = ChannelId("COPS")
NEXT = ChannelId("CNEXT")
GONE = "The channel was deleted: link the project to another one."


@dataclass
class Town:
    """An outbox whose project is linked to channels."""

    outbox: Outbox

    async def link(self, channel: ChannelId, kind: LinkKind = LinkKind.ALL) -> list[str]:
        """Link as people do; return the channels whose links that ends."""
        self.outbox.add_channel(channel)

        def add(conn: Connection) -> list[str]:
            now = self.outbox.clock()
            remember_projects(conn, now, [Project(BAKERY, "Harbour Bakery")])
            id_ = new_id()
            values = {"team": TEAM, "project_id": BAKERY, "channel_id": channel, "kind": kind}
            conn.execute(insert(links).values(id=id_, linked_at=now, **values))
            link = to_link(conn.execute(select(links).where(links.c.id == id_)).mappings().one())
            return [ended.channel for ended in replace_closed(conn, now, link)]

        return await self.outbox.store.write(add)

    async def problems(self) -> dict[str, str | None]:
        found = await self.outbox.store.read(lambda conn: links_of(conn, None))
        return {link.channel: link.problem for link in found}

    async def told(self, sentence: str, channel: ChannelId = SUPPORT, *, is_sure: bool = True) -> None:
        """Slack tells that a channel closed."""
        await self.outbox.store.write(
            lambda conn: channel_closed(conn, self.outbox.clock(), TEAM, channel, sentence, is_sure=is_sure)
        )

    def archive(self, *, is_archived: bool = True) -> None:
        self.outbox.chat.change_channel(SUPPORT, is_archived=is_archived)

    def below(self, channel: ChannelId) -> list[str]:
        """What a channel and its threads show, apart from what is said about closed channels."""
        return [text for text in self.outbox.texts(channel) if not text.startswith("What “")]

    def said(self, channel: ChannelId) -> list[str]:
        """What is said there about closed channels."""
        return [text for text in self.outbox.texts(channel) if text.startswith("What “")]

    def threads(self, channel: ChannelId) -> dict[str, list[str]]:
        """The messages below each root of a channel."""
        chat = self.outbox.chat
        return {root.text: [post.text for post in chat.thread(root.ts)[1:]] for root in chat.roots(channel)}


@pytest.fixture
async def town(migrated_url: str) -> AsyncIterator[Town]:
    clock = TestClock()
    async with Store(migrated_url, clock=clock) as store:
        town = Town(Outbox(store, clock))
        await town.link(SUPPORT)
        yield town


# --- marking and telling -----------------------------------------------------------------------------


async def test_a_refused_post_marks_the_link_and_success_takes_the_mark_off(town: Town) -> None:
    outbox = town.outbox
    thread = await outbox.rooted_thread()
    town.archive()
    ids = [await outbox.reply(thread, text) for text in ("one", "two")]
    await outbox.pass_(300)
    assert await town.problems() == {SUPPORT: "I cannot post in that channel."}
    assert [(await outbox.row(id_))["attempt"] for id_ in ids] == [0, 0]
    town.archive(is_archived=False)
    await outbox.settle()
    assert outbox.texts()[-2:] == ["one", "two"]
    assert await town.problems() == {SUPPORT: None}
    assert await outbox.pauses() == []


async def test_people_are_told_once_in_the_channel_for_alerts(town: Town) -> None:
    await town.link(NEXT, LinkKind.MESSAGE)
    await town.link(OPS, LinkKind.ALERT)
    thread = await town.outbox.rooted_thread()
    town.archive()
    await town.outbox.reply(thread, "one")
    await town.outbox.pass_(300)
    await town.told("The channel is archived: unarchive it, or link the project to another one.")
    await town.told("The channel is archived: unarchive it, or link the project to another one.")
    await town.outbox.pass_(60)
    (said,) = town.said(OPS)
    assert said.startswith("What “Harbour Bakery” has for <#C1> waits; nothing is lost.")
    assert town.said(NEXT) == []
    assert (await town.problems())[SUPPORT] == (
        "The channel is archived: unarchive it, or link the project to another one."
    )


async def test_without_a_channel_for_alerts_any_other_that_is_open_is_told(town: Town) -> None:
    await town.link(OPS, LinkKind.MESSAGE)
    await town.link(NEXT, LinkKind.MESSAGE)
    await town.told(GONE, OPS)
    await town.outbox.settle()
    assert len(town.said(SUPPORT)) == 1
    await town.told(GONE, SUPPORT)
    await town.outbox.settle()
    assert len(town.said(NEXT)) == 1
    await town.told(GONE, NEXT)
    await town.outbox.settle()
    assert [len(town.said(channel)) for channel in (SUPPORT, OPS, NEXT)] == [1, 0, 1]


async def test_a_channel_that_closes_again_is_told_again(town: Town) -> None:
    await town.link(OPS, LinkKind.ALERT)
    for _ in range(2):
        await town.told(GONE)
        await town.outbox.store.write(lambda conn: channel_open(conn, TEAM, SUPPORT))
    await town.outbox.settle()
    assert len(town.said(OPS)) == 2


# --- moving ------------------------------------------------------------------------------------------


async def test_what_waits_for_a_deleted_channel_is_shown_in_the_one_that_is_linked_next(town: Town) -> None:
    outbox = town.outbox
    thread = await outbox.rooted_thread()
    await outbox.message(thread, "shown before")
    await outbox.settle()
    town.archive()
    for text in ("one", "two", "three"):
        await outbox.message(thread, text)
    fresh = await outbox.thread("kim")
    await outbox.message(fresh, "from kim")
    await outbox.pass_(120)
    assert await town.link(NEXT) == [SUPPORT]
    await outbox.settle()
    assert town.threads(NEXT) == {
        "root of robin": ["one\ntwo\nthree"],
        "root of kim": ["from kim"],
    }
    assert await town.problems() == {NEXT: None}
    assert {row["state"] for row in await outbox.rows()} == {State.DONE}


async def test_a_channel_that_comes_back_shows_nothing_of_what_was_moved(town: Town) -> None:
    outbox = town.outbox
    thread = await outbox.rooted_thread()
    town.archive()
    await outbox.message(thread, "one")
    await outbox.pass_(120)
    await town.link(NEXT)
    town.archive(is_archived=False)
    await outbox.settle()
    assert town.below(SUPPORT) == ["root of robin"]
    assert town.below(NEXT) == ["root of robin", "one"]
    # linked again later, its thread goes on where it was
    found = await outbox.now_of(thread)
    await outbox.message(found, "two")
    await outbox.settle()
    assert town.below(SUPPORT) == ["root of robin", "two"]


async def test_a_channel_that_has_it_already_gets_nothing_twice(town: Town) -> None:
    outbox = town.outbox
    await town.link(NEXT, LinkKind.MESSAGE)
    here, there = await outbox.rooted_thread(), await outbox.rooted_thread("robin", NEXT)
    town.archive()
    for thread in (here, there):
        await outbox.message(thread, "one")
    unseen = await outbox.message(here, "only for the closed one")
    await outbox.settle(within_s=60)
    fresh = await outbox.thread("kim")
    await outbox.message(fresh, "from kim")
    await outbox.thread("kim", NEXT)
    await outbox.settle(within_s=60)
    await town.link(NEXT)
    await outbox.settle()
    shown = town.threads(NEXT)
    assert shown["root of robin"] == ["one", "only for the closed one"]
    assert shown["root of kim"] == ["from kim"]
    assert (await outbox.row(unseen))["state"] == State.DONE
    assert {row["state"] for row in await outbox.rows()} == {State.DONE}


async def test_joined_messages_and_those_in_doubt_move_whole(town: Town) -> None:
    outbox = town.outbox
    thread = await outbox.rooted_thread()
    for text in ("one", "two"):
        await outbox.message(thread, text)
    outbox.clock.pass_(10)
    await outbox.claim("w9")
    await outbox.book.rescue(alone="w1")
    town.archive()
    await town.told(GONE)
    await town.link(NEXT)
    await outbox.settle()
    assert town.below(NEXT) == ["root of robin", "one\ntwo"]
    assert {row["state"] for row in await outbox.rows()} == {State.DONE}


async def test_a_post_that_was_under_way_meanwhile_moves_as_well(town: Town) -> None:
    outbox = town.outbox
    thread = await outbox.rooted_thread()
    town.archive()
    await outbox.message(thread, "one")
    outbox.clock.pass_(10)
    (one,) = await outbox.claim("w1")
    await town.told(GONE)
    await town.link(NEXT)
    assert (await outbox.row(one.id))["channel_id"] == SUPPORT

    def close(conn: Connection, now: object) -> None:
        move_on(conn, outbox.clock(), thread.id)

    await outbox.book.paused(one, channel_target(TEAM, SUPPORT), GONE, then=close)
    await outbox.settle()
    assert town.below(NEXT) == ["root of robin", "one"]


async def test_a_thread_that_had_lost_its_root_is_not_forgotten(town: Town) -> None:
    """Lines and replies belong to it, although its new root is not needed any more."""
    outbox = town.outbox
    await town.link(NEXT, LinkKind.MESSAGE)
    here, there = await outbox.rooted_thread(), await outbox.rooted_thread("robin", NEXT)
    outbox.chat.remove(SUPPORT, await outbox.root_of(here))
    await outbox.message(here, "one")
    outbox.clock.pass_(10)
    await outbox.sender.run_until_idle()
    town.archive()
    await outbox.pass_(60)
    await town.link(NEXT)
    await outbox.settle()
    assert [post.text for post in outbox.chat.thread(await outbox.root_of(there))][1:] == ["one"]
    assert (await outbox.now_of(here)).root_ts == here.root_ts
    # linked again later, it gets a root like any other that lost its own
    town.archive(is_archived=False)
    await outbox.message(here, "two")
    await outbox.settle()
    assert town.threads(SUPPORT)["continued"] == ["two"]


async def test_a_link_that_takes_less_leaves_the_rest_to_the_closed_one(town: Town) -> None:
    outbox = town.outbox
    thread = await outbox.rooted_thread()
    town.archive()
    await outbox.message(thread, "one")
    await outbox.pass_(60)
    assert await town.link(OPS, LinkKind.POST) == []
    assert await town.link(NEXT, LinkKind.MESSAGE) == []
    await outbox.settle(within_s=600)
    assert (town.below(OPS), town.below(NEXT)) == ([], ["root of robin", "one"])
    assert set(await town.problems()) == {SUPPORT, OPS, NEXT}


async def test_an_open_channel_keeps_what_waits_for_it(town: Town) -> None:
    outbox = town.outbox
    thread = await outbox.thread()
    await outbox.message(thread, "one")
    assert await town.link(NEXT) == []
    await outbox.settle()
    assert (town.below(SUPPORT), town.below(NEXT)) == (["root of robin", "one"], [])


async def test_an_alert_that_was_not_posted_yet_moves_too(town: Town) -> None:
    outbox = town.outbox
    id_ = await outbox.channel_post("alert")
    row = {
        "id": new_id(),
        "team": TEAM,
        "channel_id": SUPPORT,
        "project_id": BAKERY,
        "kind": "profile_expired",
    }
    times = {"since": START, "reminded_at": START}
    await outbox.store.write(
        lambda conn: conn.execute(insert(alerts).values(**row, **times, delivery_id=id_)) and None
    )
    town.archive()
    await outbox.pass_(60)
    await town.link(NEXT)
    await outbox.settle()
    assert town.below(NEXT) == ["alert"]
    moved = await outbox.store.read(lambda conn: conn.execute(select(alerts.c.channel_id)).scalar())
    assert moved == NEXT
