"""When a project's silence is longer than usual and has to be proved by a test delivery. Pure.

Asking is cheap and shows nothing to anybody, so the measure is a simple one: a mean of the gaps between
bursts of events, in which old ones fade.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

BURST = timedelta(minutes=1)
"""Events closer together than this are one happening: what lies between them tells nothing about silence."""
QUIET_LEAST = timedelta(hours=1)
QUIET_MOST = timedelta(hours=12)
"""Silent for longer than this it is tested, however quiet it usually is: Jollor switches off after a day."""
LONGER_THAN_USUAL = 4
LEARNS = 1 / 8
"""How much of the usual gap one new gap changes."""

BETWEEN_TESTS = timedelta(hours=1)
ARRIVES_WITHIN = timedelta(minutes=2)
"""How long a test delivery is waited for; Jollor does not say when it makes it."""

SHORTEST = timedelta(seconds=2)
"""However much the time is scaled: computing gets no faster with the clock."""


class Next(StrEnum):
    """What comes next in a silence."""

    NOTHING = "nothing"
    TEST = "test"
    WAIT = "wait"
    """A test delivery may still arrive."""
    REPORT = "report"


@dataclass(frozen=True, slots=True)
class Silence:
    """What is known of a project's silence.

    `heard_at` is when its webhook last called (or was made), `usual_gap` how long it is usually silent (None:
    not known yet), `asked` when test deliveries were asked for since, `last_test_at` the last one of all.
    """

    heard_at: datetime
    usual_gap: timedelta | None
    asked: Sequence[datetime]
    last_test_at: datetime | None


def after(silence: Silence, now: datetime, *, scale: float) -> Next:
    """Return what comes next: silent for longer than usual it is tested, twice, then reported.

    From then on it is tested once an hour. `scale` says how many times as fast the clock runs.
    """
    if not silence.asked:
        is_long = now - silence.heard_at > too_long(silence.usual_gap, scale)
        return Next.TEST if is_long and _may_test(silence.last_test_at, now, scale) else Next.NOTHING
    if now - silence.asked[-1] < scaled(ARRIVES_WITHIN, scale):
        return Next.WAIT
    if len(silence.asked) == 1 or _may_test(silence.asked[-1], now, scale):
        return Next.TEST
    return Next.REPORT


def too_long(usual_gap: timedelta | None, scale: float) -> timedelta:
    """Return the silence after which a project is tested, on a clock that runs `scale` times as fast."""
    if usual_gap is None:
        return QUIET_MOST / scale
    return min(max(usual_gap * LONGER_THAN_USUAL, QUIET_LEAST / scale), QUIET_MOST / scale)


def _may_test(last_at: datetime | None, now: datetime, scale: float) -> bool:
    return last_at is None or now - last_at >= BETWEEN_TESTS / scale


def learned(usual_gap: timedelta | None, gap: timedelta, *, scale: float) -> timedelta | None:
    """Return the usual gap after one more: a mean in which old ones fade, of gaps between bursts."""
    if gap < BURST / scale:
        return usual_gap
    gap = min(gap, QUIET_MOST / scale)
    return gap if usual_gap is None else usual_gap + (gap - usual_gap) * LEARNS


def scaled(time: timedelta, scale: float) -> timedelta:
    """Return a time that others are given, on a clock that runs `scale` times as fast."""
    return max(time / scale, min(time, SHORTEST))
