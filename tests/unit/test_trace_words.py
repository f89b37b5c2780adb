"""Traces in words: codes go, nobody's code shows, times are in order, repetitions are one line."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.content import TraceAnswer, TraceHop
from bridge.deliveries import Act, State
from bridge.errors import BridgeError, Snooze
from bridge.events import event_adapter
from bridge.intents import IntentState
from bridge.queue.retry import reason_of
from bridge.trace import Hop, in_order
from bridge.trace.words import (
    because,
    cause_in_words,
    delivery_in_words,
    delivery_outcome,
    done_in_words,
    intent_outcome,
    job_outcome,
    kind_in_words,
)
from slack_app.render import render

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("jollor_not_found: Jollor does not have it any more.", "Jollor does not have it any more."),
        ("undo_window: Something went wrong on the way.", "the undo window was still open"),
        ("KeyError in _show, line 12", "Something broke inside the bridge; its log says what."),
        ("BridgeError", "Something broke inside the bridge; its log says what."),
        ("worker lost", "worker lost"),
        ("", ""),
        (None, ""),
    ],
)
def test_a_reason_is_said_without_its_code(reason: str | None, said: str) -> None:
    assert because(reason) == said


def broken() -> Exception:
    try:
        raise ValueError("a customer's text")
    except ValueError as error:
        return error


@pytest.mark.parametrize(
    "error",
    [
        broken(),
        BridgeError("slack_unreachable", user_message="Slack cannot be reached."),
        Snooze("x", delay=timedelta()),
    ],
)
def test_no_name_of_our_code_is_left_of_whatever_failed(error: Exception) -> None:
    said = because(reason_of(error))
    assert "Error" not in said
    assert "_" not in said
    assert "customer" not in said


def kinds() -> list[str]:
    choices = event_adapter.json_schema()["discriminator"]["mapping"]
    return sorted(choices)


def test_every_kind_of_job_and_every_state_has_words() -> None:
    for kind in kinds():
        assert kind_in_words(kind).split()[0].endswith("ing"), kind
    for outcome in ("failed", "snoozed", "paused", "discarded", "lost", "retried", "cancelled"):
        assert " " in job_outcome(outcome), outcome
        if outcome != "discarded":
            assert " " in delivery_outcome(outcome), outcome
    for outcome in (
        "limited",
        "uncertain",
        "root_gone",
        "not_there",
        "repeated",
        "joined",
        "separated",
        State.REFUSED,
    ):
        assert " " in delivery_outcome(outcome), outcome
    for state in (*IntentState, "looked", "asked"):
        assert " " in intent_outcome(state), state
    for act in Act:
        assert delivery_in_words(act, "message", "x").startswith(("a ", "the ")), act
        assert " " in done_in_words(act), act


def test_what_is_new_to_this_version_is_said_as_it_is() -> None:
    assert job_outcome("went_west") == "Went west"
    assert delivery_outcome("went_east") == "Went east"
    assert cause_in_words("story_reply") == "Jollor told of it (webhook, story_reply)"


moments = st.integers(0, 5).map(lambda s: NOON + timedelta(seconds=s))


@given(st.lists(st.builds(Hop, at=moments, what=st.sampled_from(["a", "b"]), begins=st.booleans())))
def test_hops_are_in_order_and_none_is_lost(hops: list[Hop]) -> None:
    ordered = in_order(hops)
    assert sum(hop.times for hop in ordered) == len(hops)
    later = [hop.at for hop in ordered if not hop.begins]
    assert later == sorted(later)
    assert all(one.what != next_.what for one, next_ in itertools.pairwise(ordered))
    assert all((hop.until is not None) is (hop.times > 1) for hop in ordered)


def test_the_answer_shows_time_words_attempt_and_reason() -> None:
    hops = (
        TraceHop(at=NOON, what="Typed in <#C123ABC> by <@U123ABC>"),
        TraceHop(at=NOON, what="Slack asked to slow down", attempt=2, reason="for 7 s", times=3, until=NOON),
    )
    shown = render(TraceAnswer(about="A line <b>", hops=hops, remarks=("Old.",)), now=NOON)
    assert shown.text.splitlines() == [
        "A line &lt;b&gt; · times are UTC",
        "2026-11-23 12:00:00 Typed in <#C123ABC> by <@U123ABC>",
        "2026-11-23 12:00:00 Slack asked to slow down (attempt 2), 3 times until 2026-11-23 12:00:00: "
        "for 7 s",
        "Old.",
    ]
    assert {"type": "user", "user_id": "U123ABC"} in shown.blocks[0]["elements"][1]["elements"][0]["elements"]


def test_a_reason_from_outside_is_inert() -> None:
    hop = TraceHop(at=NOON, what="x", reason="<!channel> <https://evil.example|a>")
    shown = render(TraceAnswer(about="x", hops=(hop,)), now=NOON)
    assert "<!channel>" not in shown.text
    assert "<https" not in shown.text


def test_a_very_long_trace_keeps_its_ends_and_fits() -> None:
    hops = tuple(TraceHop(at=NOON, what=f"hop {n} " + "x" * 400) for n in range(500))
    shown = render(TraceAnswer(about="x", hops=hops), now=NOON)
    lines = shown.blocks[0]["elements"][1]["elements"]
    assert len(lines) == 40
    assert "hop 0 " in str(lines[0])
    assert "hop 499 " in str(lines[-1])
    assert "460 hops in the middle are left out" in str(shown.blocks)
