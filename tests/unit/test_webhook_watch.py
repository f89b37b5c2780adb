"""What the watch makes of what Jollor tells, and when a silence is long. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from bridge.model import Webhook
from bridge.webhooks.book import StoredWebhook, WebhookState
from bridge.webhooks.silence import (
    ARRIVES_WITHIN,
    BETWEEN_TESTS,
    QUIET_LEAST,
    QUIET_MOST,
    SHORTEST,
    Next,
    Silence,
    after,
    learned,
    too_long,
)
from bridge.webhooks.watch import Found, judge

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
HERE, THERE = "https://here/p", "https://there/p"
HOUR = timedelta(hours=1)


def ours(state: str | None = "active", *, is_foreign: bool = False, url: str | None = HERE) -> StoredWebhook:
    return StoredWebhook("s", url, state, is_foreign=is_foreign, last_event_at=None, created_at=NOON)


def theirs(secret: str = "s", url: str | None = HERE, status: str | None = "active") -> Webhook:
    return Webhook(secret, url, status, None)


@pytest.mark.parametrize(
    ("stored", "told", "callback", "found"),
    [
        (ours(), theirs(), HERE, Found.FINE),
        (ours(), theirs(url=None, status=None), HERE, Found.FINE),
        (ours(), theirs(secret="", url=None, status=None), HERE, Found.FINE),
        (ours(), theirs(status="disabled"), HERE, Found.OFF),
        (ours(), theirs(status="a word that nobody knows"), HERE, Found.OFF),
        (ours(), theirs(url=None, status="disabled"), HERE, Found.OFF),
        (ours("unfinished"), theirs(status="disabled"), HERE, Found.OFF),
        (ours(), theirs(secret="new"), HERE, Found.RENEWED),
        (ours(), theirs(secret="new", status="disabled"), HERE, Found.OFF),
        (ours(), None, HERE, Found.GONE),
        (None, None, HERE, Found.GONE),
        # begun here, and cut off
        (ours("unfinished"), theirs(), HERE, Found.UNFINISHED),
        (ours("unfinished"), theirs(url=None, status="inactive"), HERE, Found.UNFINISHED),
        (ours("being_made"), theirs(secret="new", url=None), HERE, Found.UNFINISHED),
        (None, theirs(), HERE, Found.UNFINISHED),
        # somebody else's
        (ours(), theirs(url=THERE), HERE, Found.ELSEWHERE),
        (ours(), theirs("new", THERE), HERE, Found.ELSEWHERE),
        (ours("unfinished"), theirs(url=THERE), HERE, Found.ELSEWHERE),
        (ours("being_made"), theirs("new", THERE), HERE, Found.ELSEWHERE),
        (None, theirs(url=THERE), HERE, Found.ELSEWHERE),
        (None, theirs(url=None), HERE, Found.ELSEWHERE),
        (ours(), theirs(secret="new", url=None), HERE, Found.ELSEWHERE),
        (ours(is_foreign=True), theirs(url=None), HERE, Found.ELSEWHERE),
        # ours before the bridge moved, or a copy of its database: a person decides
        (ours(url=THERE), theirs(url=THERE), HERE, Found.ELSEWHERE),
        # made in the dashboard
        (ours(url=None), theirs(url=THERE), None, Found.FINE),
        (ours(url=None), theirs(url=THERE, status="disabled"), None, Found.OFF),
        (ours(url=None), theirs("new", THERE), None, Found.ELSEWHERE),
        (ours(url=None), None, None, Found.GONE),
    ],
)
def test_what_jollor_tells_says_how_the_webhook_is(
    stored: StoredWebhook | None, told: Webhook | None, callback: str | None, found: Found
) -> None:
    assert judge(stored, told, callback) is found


@pytest.mark.parametrize("state", [None, *WebhookState, "disabled"])
@pytest.mark.parametrize("status", [None, "active", "disabled"])
@pytest.mark.parametrize("secret", ["", "s", "new"])
def test_what_is_told_to_call_another_address_is_never_ours_to_change(
    state: str | None, status: str | None, secret: str
) -> None:
    for stored in (None, ours(state), ours(state, is_foreign=True), ours(state, url=THERE)):
        assert judge(stored, Webhook(secret, THERE, status, None), HERE) is Found.ELSEWHERE


def silent(
    hours: float, *, usual_min: float | None = 10, asked: tuple[float, ...] = (), last: float | None = None
) -> Next:
    """What comes next after so many hours; `asked` in minutes before now."""
    tests = [NOON - timedelta(minutes=minutes) for minutes in asked]
    last_at = None if last is None else NOON - timedelta(minutes=last)
    usual = None if usual_min is None else timedelta(minutes=usual_min)
    silence = Silence(NOON - hours * HOUR, usual, tests, tests[-1] if tests else last_at)
    return after(silence, NOON, scale=1.0)


def test_a_silence_is_long_at_four_times_the_usual_but_not_before_an_hour() -> None:
    assert silent(1) is Next.NOTHING
    assert silent(1.01) is Next.TEST
    assert silent(3.9, usual_min=60) is Next.NOTHING
    assert silent(4.1, usual_min=60) is Next.TEST
    assert silent(11.9, usual_min=9_999) is Next.NOTHING
    assert silent(12.1, usual_min=9_999) is Next.TEST
    assert silent(11.9, usual_min=None) is Next.NOTHING


def test_a_test_is_waited_for_made_once_more_reported_and_then_made_hourly() -> None:
    assert silent(2, last=59) is Next.NOTHING
    assert silent(2, asked=(1.9,)) is Next.WAIT
    assert silent(2, asked=(2,)) is Next.TEST
    assert silent(2, asked=(4, 1.9)) is Next.WAIT
    assert silent(2, asked=(4, 2)) is Next.REPORT
    assert silent(2, asked=(62, 59)) is Next.REPORT
    assert silent(2, asked=(64, 60)) is Next.TEST


def test_times_are_scaled_but_others_keep_time_to_answer() -> None:
    assert too_long(None, 60) == QUIET_MOST / 60
    assert too_long(timedelta(seconds=1), 60) == QUIET_LEAST / 60
    asked = [NOON - timedelta(seconds=1.9)]
    awaited = Silence(NOON - HOUR, None, asked, asked[0])
    assert after(awaited, NOON, scale=10_000) is Next.WAIT
    assert after(awaited, NOON + SHORTEST, scale=10_000) is Next.TEST
    assert ARRIVES_WITHIN / 10_000 < SHORTEST < BETWEEN_TESTS


def test_a_burst_teaches_nothing_and_one_long_night_not_much() -> None:
    assert learned(None, timedelta(seconds=59), scale=1) is None
    assert learned(HOUR, timedelta(seconds=59), scale=1) == HOUR
    assert learned(None, HOUR, scale=1) == HOUR
    assert learned(HOUR, 9 * HOUR, scale=1) == 2 * HOUR
    assert learned(HOUR, timedelta(days=30), scale=1) == HOUR + (QUIET_MOST - HOUR) / 8
    usual: timedelta | None = 3 * HOUR
    for _ in range(60):
        usual = learned(usual, timedelta(minutes=10), scale=1)
    assert usual is not None
    assert usual < timedelta(minutes=11)
