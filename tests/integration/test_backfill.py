"""A backfill: the same search as a sweep's, further back, and how far it is."""

from __future__ import annotations

from collections.abc import AsyncIterator, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import typer

from bridge import cli
from bridge.cli import opening
from bridge.cli.backfill import moment_of, summed_up, watched
from bridge.content import Line
from bridge.errors import BridgeError, PermanentError
from bridge.ids import ConversationId, PostId
from bridge.model import Post
from bridge.queue.presence import GAP, give_sign
from bridge.relay.backfill import Backfill, Progress
from bridge.relay.catchup import OVERLAP
from bridge.store.engine import Store
from tests.outbox import TestClock
from tests.relay_stage import BAKERY, ROBIN, SUPPORT, Relay

NOW = datetime(2026, 5, 17, 12, tzinfo=UTC)


@pytest.fixture
async def relay(migrated_url: str) -> AsyncIterator[Relay]:
    clock = TestClock()
    async with Store(migrated_url, clock=clock) as store:
        relay = Relay(store, clock)
        await relay.know_project()
        await store.write(lambda conn: give_sign(conn, clock(), "w", GAP))
        yield relay


def a_backfill(relay: Relay, since: datetime | None = None) -> Backfill:
    return Backfill(relay.store, relay.catch_up, since=since)


def lines(relay: Relay) -> list[str]:
    return [post.text for post in relay.chat.posts if isinstance(post.content, Line)]


async def test_what_was_missed_is_put_shown_and_followed(relay: Relay) -> None:
    await relay.link()
    relay.social.customer_writes(BAKERY, ROBIN, "Hello?")
    relay.social.add_post(BAKERY, Post(PostId("p"), "instagram", True, "Mia", "Lovely!", "", None))
    backfill = a_backfill(relay)
    assert list(await backfill.projects(None)) == [BAKERY]
    assert await backfill.put(BAKERY) == 2
    assert await backfill.progress() == Progress(total=2, done=0, unread=0, workers=1)
    await relay.settle(within_s=30)
    assert await backfill.progress() == Progress(total=2, done=2, unread=0, workers=1)
    assert lines(relay) == ["Hello?"]
    assert len(relay.chat.roots(SUPPORT)) == 2


async def test_since_looks_at_what_has_long_been_quiet(relay: Relay) -> None:
    await relay.link()
    relay.clock.pass_(60)
    await relay.customer_writes("first")
    await relay.settle(within_s=30)
    early = relay.clock() - timedelta(seconds=10)
    relay.clock.pass_(2 * OVERLAP.total_seconds())
    await relay.sweep()
    relay.social.customer_writes(BAKERY, ROBIN, "hidden for long", at=early)
    await relay.sweep()
    assert await a_backfill(relay).put(BAKERY) == 0
    assert await a_backfill(relay, early + timedelta(hours=1)).put(BAKERY) == 0
    assert await a_backfill(relay, early - timedelta(hours=1)).put(BAKERY) == 1
    await relay.settle(within_s=30)
    assert lines(relay) == ["first", "hidden for long"]


async def test_nothing_older_than_the_link_is_shown(relay: Relay) -> None:
    relay.social.customer_writes(BAKERY, ROBIN, "long ago")
    relay.clock.pass_(60)
    await relay.link()
    backfill = a_backfill(relay, relay.clock() - timedelta(days=1))
    assert await backfill.put(BAKERY) == 1
    await relay.settle(within_s=30)
    assert (await backfill.progress()).done == 1
    assert not relay.chat.posts


async def test_what_cannot_be_read_is_told_apart_from_what_is_done(relay: Relay) -> None:
    await relay.link()
    for name in ("c1", "c2"):
        relay.social.customer_writes(BAKERY, ConversationId(name), "Hello?")
    broken = BridgeError("jollor_bad_answer", user_message="Jollor's answer could not be understood.")
    backfill = a_backfill(relay)
    await backfill.put(BAKERY)
    relay.social.fail_next(broken, method="messages", times=16)
    await relay.settle(within_s=2_000)
    assert await backfill.progress() == Progress(total=2, done=0, unread=2, workers=0)


async def test_two_backfills_are_followed_apart(relay: Relay) -> None:
    await relay.link()
    relay.social.customer_writes(BAKERY, ROBIN, "Hello?")
    first, second = a_backfill(relay), a_backfill(relay)
    await first.put(BAKERY)
    await second.put(BAKERY)
    assert [(await one.progress()).total for one in (first, second)] == [1, 1]


async def test_a_project_is_named_by_name_and_has_to_be_linked(relay: Relay) -> None:
    await relay.link()
    assert list(await a_backfill(relay).projects("harbour")) == [BAKERY]
    with pytest.raises(PermanentError, match="no_such_project"):
        await a_backfill(relay).projects("Florist")


# --- watching ----------------------------------------------------------------------------------------


async def watch(*seen: Progress, patience_s: float = 60) -> tuple[Progress, list[Progress]]:
    rest, shown = list(seen), list[Progress]()

    async def ask() -> Progress:
        return rest.pop(0) if len(rest) > 1 else rest[0]

    return await watched(ask, shown.append, patience_s=patience_s, poll_s=0), shown


async def test_one_watches_until_nothing_waits() -> None:
    steps = [Progress(3, done, 0, 1) for done in (0, 1, 3)]
    assert await watch(*steps) == (steps[-1], steps)


async def test_one_does_not_wait_for_a_worker_that_is_not_there() -> None:
    alone = Progress(3, 0, 0, workers=0)
    assert await watch(alone) == (alone, [alone])


async def test_one_does_not_wait_for_ever() -> None:
    stuck = Progress(3, 1, 0, 1)
    last, shown = await watch(stuck, patience_s=0.01)
    assert last == stuck
    assert len(shown) > 1


def test_who_stops_watching_is_told_that_it_goes_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(work: Coroutine[Any, Any, int]) -> int:
        work.close()
        raise KeyboardInterrupt

    monkeypatch.setattr(opening, "run", interrupted)
    assert cli.run(["backfill"]) == 1
    assert "It goes on without you" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("last", "is_done", "words"),
    [
        (Progress(0, 0, 0, 0), True, "Nothing was missed."),
        (Progress(2, 2, 0, 0), True, "Done: what was missed is in Slack, or on its way there."),
        (
            Progress(2, 1, 1, 1),
            False,
            "1 conversation or post could not be read: see",
        ),
        (Progress(2, 0, 0, 0), False, "2 conversations and posts wait, but no worker is running"),
        (Progress(2, 0, 0, 1), False, "2 conversations and posts still wait, and go on by themselves"),
    ],
)
def test_how_it_ended_is_said(
    last: Progress, is_done: bool, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert summed_up(last) is is_done
    said = capsys.readouterr()
    assert words in (said.out if is_done else said.err)


# --- since -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "moment"),
    [
        ("90m", NOW - timedelta(minutes=90)),
        ("2h", NOW - timedelta(hours=2)),
        (" 3 d", NOW - timedelta(days=3)),
        ("1w", NOW - timedelta(weeks=1)),
        ("2026-05-16", datetime(2026, 5, 16, tzinfo=UTC)),
        ("2026-05-17T09:30", datetime(2026, 5, 17, 9, 30, tzinfo=UTC)),
        ("2026-05-17T09:30+02:00", datetime(2026, 5, 17, 7, 30, tzinfo=UTC)),
        ("2026-05-17T09:30Z", datetime(2026, 5, 17, 9, 30, tzinfo=UTC)),
    ],
)
def test_since_is_so_long_ago_or_a_date(words: str, moment: datetime) -> None:
    assert moment_of(words, NOW) == moment


@pytest.mark.parametrize("words", ["", "yesterday", "2x", "-3d", "2026-13-01", "999999w", "2026-05-18"])
def test_anything_else_is_wrong_usage(words: str) -> None:
    with pytest.raises(typer.BadParameter):
        moment_of(words, NOW)
