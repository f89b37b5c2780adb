"""What comes after a failed attempt."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from bridge.errors import BridgeError, PermanentError, Snooze, TargetDown, UnconfirmedError
from bridge.queue.retry import (
    FIRST_PAUSE_S,
    LONGEST_PAUSE_S,
    Discard,
    Pause,
    RunAgain,
    Verdict,
    after_failure,
    backoff_s,
)

NOW = datetime(2026, 5, 4, 9, 0, tzinfo=UTC)


def verdict(error: Exception, *, attempt: int = 1, scale: float = 1.0) -> Verdict:
    return after_failure(error, attempt=attempt, max_attempts=8, now=NOW, jitter=Random(1), scale=scale)


def test_a_snooze_is_no_attempt_and_lasts_as_long_as_was_asked() -> None:
    answer = verdict(Snooze("ratelimited", delay=timedelta(seconds=30)), attempt=8)
    assert answer == RunAgain(NOW + timedelta(seconds=30), is_attempt=False)


def test_a_snooze_of_nothing_still_lets_others_go_first() -> None:
    answer = verdict(Snooze("ratelimited", delay=timedelta(0)))
    assert isinstance(answer, RunAgain)
    assert answer.at > NOW


def test_a_target_that_is_down_is_paused_whatever_the_attempt() -> None:
    assert verdict(TargetDown("no_connection", target="project:p1"), attempt=99) == Pause("project:p1")


def test_what_stays_wrong_is_discarded_at_once_with_its_reason() -> None:
    answer = verdict(PermanentError("not_found", user_message="It is gone."))
    assert answer == Discard("not_found: It is gone.")


def test_any_other_failure_counts_and_is_tried_again() -> None:
    for error in (BridgeError("bad_answer"), UnconfirmedError("no_answer"), KeyError("text")):
        answer = verdict(error)
        assert isinstance(answer, RunAgain)
        assert answer.is_attempt
        assert answer.at > NOW


def test_the_last_attempt_is_the_last_and_names_no_value_that_it_choked_on() -> None:
    answer = verdict(KeyError("a customer's words"), attempt=8)
    assert answer == Discard("KeyError")
    assert isinstance(verdict(KeyError("text"), attempt=7), RunAgain)


def test_eight_attempts_take_about_two_minutes() -> None:
    total = sum(backoff_s(attempt, Random(attempt)) for attempt in range(1, 8))
    assert 90 < total < 160


def test_the_time_scale_divides_every_pause() -> None:
    slow, fast = verdict(BridgeError("x")), verdict(BridgeError("x"), scale=10)
    assert isinstance(slow, RunAgain)
    assert isinstance(fast, RunAgain)
    assert abs((slow.at - NOW) - (fast.at - NOW) * 10) < timedelta(milliseconds=1)


@given(attempt=st.integers(-5, 10_000), seed=st.integers())
def test_a_pause_is_never_shorter_than_the_first_nor_longer_than_the_longest(attempt: int, seed: int) -> None:
    pause = backoff_s(attempt, Random(seed))
    assert FIRST_PAUSE_S * 0.75 <= pause <= LONGEST_PAUSE_S * 1.25


@given(attempt=st.integers(1, 6))
def test_pauses_grow_until_the_longest(attempt: int) -> None:
    assert backoff_s(attempt, Random(1)) < backoff_s(attempt + 1, Random(1))
