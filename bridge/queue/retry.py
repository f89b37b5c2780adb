"""What happens to a job whose attempt failed. Pure."""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random

from bridge.errors import BridgeError, PermanentError, Snooze, TargetDown

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 60.0
SHORTEST_SNOOZE = timedelta(milliseconds=50)
"""A `Retry-After` of 0 must not become a busy loop."""


@dataclass(frozen=True, slots=True)
class RunAgain:
    """Run the job again at `at`; `is_attempt` tells whether this one counted."""

    at: datetime
    is_attempt: bool


@dataclass(frozen=True, slots=True)
class Pause:
    """The target is away: pause it, and run the job again when it is due for a probe."""

    target: str


@dataclass(frozen=True, slots=True)
class Discard:
    """Give up: the job becomes a dead letter with this reason."""

    reason: str


Verdict = RunAgain | Pause | Discard


def backoff_s(attempt: int, jitter: Random) -> float:
    """Return the pause after the `attempt`-th failure, in seconds: doubling from 1 to 60, ±25 %."""
    pause = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(max(attempt - 1, 0), 10))
    return pause * jitter.uniform(0.75, 1.25)


def after_failure(
    error: Exception, *, attempt: int, max_attempts: int, now: datetime, jitter: Random, scale: float = 1.0
) -> Verdict:
    """Return what to do after the `attempt`-th attempt (counted from 1) failed with `error`.

    Eight attempts spread over about two minutes. `scale` divides the pauses.
    """
    match error:
        case Snooze():
            return RunAgain(now + max(error.delay / scale, SHORTEST_SNOOZE), is_attempt=False)
        case TargetDown():
            return Pause(error.target)
        case PermanentError():
            return Discard(reason_of(error))
    if attempt >= max_attempts:
        return Discard(reason_of(error))
    return RunAgain(now + timedelta(seconds=backoff_s(attempt, jitter) / scale), is_attempt=True)


def reason_of(error: Exception) -> str:
    """Return why an attempt failed, for people who look; never a value that an unknown error may carry."""
    if isinstance(error, BridgeError):
        return f"{error.code}: {error.user_message}"
    innermost = traceback.extract_tb(error.__traceback__)[-1:]
    return "".join([type(error).__name__, *(f" in {frame.name}, line {frame.lineno}" for frame in innermost)])
