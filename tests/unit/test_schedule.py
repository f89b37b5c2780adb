"""Recurring work: each period gets one job, however many processes put it."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.errors import StoreUnavailable
from bridge.events import Event, RenewTokens
from bridge.queue.schedule import RECURRING, SHORTEST_PERIOD, Recurring, Schedule

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
EVERY_MINUTE = Recurring(RenewTokens(), timedelta(minutes=1))


class FakeInbox:
    """Keeps what was put; the first `failures` puts find the database away."""

    def __init__(self, failures: int = 0) -> None:
        self.put_keys: list[str] = []
        self.events: dict[str, Event] = {}
        self._failures = failures
        self._changed = asyncio.Condition()

    async def put(self, event: Event, *, unique_key: str | None = None) -> None:
        assert unique_key is not None
        if self._failures:
            self._failures -= 1
            raise StoreUnavailable("store_unavailable", user_message="The database does not answer.")
        async with self._changed:
            self.put_keys.append(unique_key)
            self.events.setdefault(unique_key, event)
            self._changed.notify_all()

    async def holds(self, count: int) -> None:
        """Return once `count` puts were made."""
        async with asyncio.timeout(10), self._changed:
            await self._changed.wait_for(lambda: len(self.put_keys) >= count)


def test_a_key_names_the_kind_and_the_start_of_its_period() -> None:
    at = NOON + timedelta(seconds=42)
    assert EVERY_MINUTE.key(at, 1) == "renew_tokens:2026-11-23T12:00:00.000"
    assert EVERY_MINUTE.key(at, 60) == "renew_tokens:2026-11-23T12:00:42.000"


@given(
    st.datetimes(min_value=datetime(2000, 1, 1), max_value=datetime(2100, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    st.floats(min_value=0.01, max_value=100_000),
)
def test_the_next_period_has_another_key(at: datetime, scale: float) -> None:
    for work in RECURRING:
        assert work.key(at, scale) != work.key(at + work.scaled(scale) * 1.001, scale)


def test_a_period_is_never_too_short_to_do_anything_else() -> None:
    assert EVERY_MINUTE.scaled(1_000_000) == SHORTEST_PERIOD


async def test_each_kind_is_put_once_at_the_start() -> None:
    inbox = FakeInbox()
    async with Schedule(inbox, now=lambda: NOON):
        await inbox.holds(len(RECURRING))
    assert {event.kind for event in inbox.events.values()} == {work.event.kind for work in RECURRING}
    assert Counter(inbox.put_keys).most_common(1)[0][1] == 1


async def test_processes_at_the_same_time_use_the_same_keys() -> None:
    inbox = FakeInbox()
    async with Schedule(inbox, now=lambda: NOON), Schedule(inbox, now=lambda: NOON):
        await inbox.holds(2 * len(RECURRING))
    assert set(Counter(inbox.put_keys).values()) == {2}


async def test_periods_shrink_with_the_time_scale() -> None:
    inbox = FakeInbox()
    async with Schedule(inbox, scale=300, recurring=[EVERY_MINUTE]):
        await inbox.holds(3)
    assert len(inbox.events) >= 2


async def test_a_database_that_is_away_costs_a_tick_and_no_more(caplog: pytest.LogCaptureFixture) -> None:
    inbox = FakeInbox(failures=2)
    with caplog.at_level(logging.WARNING):
        async with Schedule(inbox, scale=300, recurring=[EVERY_MINUTE]):
            await inbox.holds(1)
    assert caplog.text.count("schedule.not_put") == 2


async def test_leaving_waits_for_a_put_that_is_under_way() -> None:
    entered, release = asyncio.Event(), asyncio.Event()

    class SlowInbox(FakeInbox):
        async def put(self, event: Event, *, unique_key: str | None = None) -> None:
            entered.set()
            await release.wait()
            await super().put(event, unique_key=unique_key)

    inbox = SlowInbox()
    async with Schedule(inbox, recurring=[EVERY_MINUTE]):
        await entered.wait()
        asyncio.get_running_loop().call_later(0.05, release.set)
    assert len(inbox.put_keys) == 1


async def test_nothing_is_put_after_leaving() -> None:
    inbox = FakeInbox()
    async with Schedule(inbox, scale=300, recurring=[EVERY_MINUTE]) as schedule:
        await inbox.holds(1)
    assert not schedule.is_running


def test_no_kind_of_work_recurs_twice() -> None:
    kinds = [work.event.kind for work in RECURRING]
    assert sorted(set(kinds)) == sorted(kinds)
    assert {"renew_tokens", "remind_of_alerts", "clean_up"} <= set(kinds)
