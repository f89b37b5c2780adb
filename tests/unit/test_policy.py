"""May a line go out? Every answer, and its words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.events import LineTyped
from bridge.ids import UserId
from bridge.model import Person, ReplyRules, TargetKind
from bridge.policy import Decision, Internal, Refuse, Reply, decide, is_internal, why_ask, why_not

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
MEMBER = Person(UserId("U1"), "Ben")
GUEST = Person(UserId("U2"), "Gil", is_guest=True)
OUTSIDER = Person(UserId("U3"), "Sam", is_outsider=True)


def a_line(text: str = "Yes.", *, age: timedelta = timedelta(seconds=1), **more: object) -> LineTyped:
    typed_at = NOW - age
    told: dict[str, object] = {
        "team_id": "T1",
        "channel_id": "C1",
        "ts": f"{typed_at.timestamp():.6f}",
        "thread_ts": "1700000000.000100",
        "user_id": "U1",
        "text": text,
        "received_at": NOW,
    }
    return LineTyped.model_validate(told | more)


def decided(
    line: LineTyped,
    person: Person = MEMBER,
    target: TargetKind = TargetKind.CONVERSATION,
    *,
    is_linked: bool = True,
) -> Decision:
    return decide(line, person, target, is_linked=is_linked)


# --- what stays inside -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "// a note",
        "//",
        " \n\t// behind blanks",
        "\u200b\ufeff// behind what nobody sees",
        "／／ from a wide keyboard",
        "/／ half and half",
        "🔇 quiet",
        "🔇",
        " 🔇\ufe0f with a variation",
    ],
)
def test_a_line_that_begins_as_a_note_stays_inside(text: str) -> None:
    assert is_internal(text, mentions_people=False)
    for person in (MEMBER, GUEST, OUTSIDER):
        assert decided(a_line(text, has_files=True), person, is_linked=False) == Internal()


@pytest.mark.parametrize(
    "text", ["Yes.", "/ / no", "/", "see https://example.com//", "a 🔇", "> // quoted", ""]
)
def test_a_line_that_only_holds_the_signs_somewhere_is_no_note(text: str) -> None:
    assert not is_internal(text, mentions_people=False)


@given(st.text(max_size=20))
def test_whatever_is_typed_behind_the_sign_it_stays_inside(text: str) -> None:
    assert is_internal("//" + text, mentions_people=False)


def test_a_mention_of_somebody_in_slack_keeps_a_line_inside() -> None:
    assert decided(a_line("Let me ask @Anna", mentions_people=True)) == Internal()


def test_lines_under_a_post_stay_inside_whoever_types_them() -> None:
    for person in (MEMBER, GUEST, OUTSIDER):
        assert decided(a_line(), person, TargetKind.POST, is_linked=False) == Internal()


# --- what is refused ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "person", "is_linked", "words"),
    [
        (a_line(), MEMBER, False, "not linked to the channel any more"),
        (a_line(has_files=True), GUEST, False, "not linked to the channel any more"),
        (a_line(), OUTSIDER, True, "other organisations"),
        (a_line(is_outsider=True), MEMBER, True, "other organisations"),
        (a_line(), GUEST, True, "Guests cannot answer"),
        (a_line(has_files=True), MEMBER, True, "Files cannot be sent from Slack"),
        (a_line("", has_files=True), MEMBER, True, "Files cannot be sent from Slack"),
        (a_line(" \n"), MEMBER, True, "no text in this line"),
    ],
)
def test_what_may_not_go_out_is_refused_with_a_sentence(
    line: LineTyped, person: Person, is_linked: bool, words: str
) -> None:
    decision = decided(line, person, is_linked=is_linked)
    assert isinstance(decision, Refuse)
    assert words in decision.sentence
    assert "othing was sent" in decision.sentence


def test_everything_else_goes_to_the_customer() -> None:
    assert decided(a_line()) == Reply()
    assert decided(a_line(), Person(UserId("U4"), "Anna", is_admin=True)) == Reply()
    assert decided(a_line(is_broadcast=True, is_under_ours=True)) == Reply()


# --- what is asked first -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("age", "words"),
    [
        (timedelta(seconds=-30), None),  # Slack's clock is ahead of ours
        (timedelta(minutes=10), None),
        (timedelta(minutes=10, seconds=1), "10 min"),
        (timedelta(minutes=61), "61 min"),
        (timedelta(hours=2), "2 h"),
        (timedelta(days=2), "48 h"),
    ],
)
def test_a_line_that_took_longer_than_ten_minutes_to_the_bridge_is_asked_for(
    age: timedelta, words: str | None
) -> None:
    question = why_ask(a_line(age=age), is_overtaken=False, scale=1.0)
    assert question == (words and f"This was typed {words} before it reached the bridge. Send it now?")


@pytest.mark.parametrize(
    ("age", "words"),
    [
        (timedelta(minutes=9), None),
        (timedelta(minutes=25), "25 minutes"),
        (timedelta(minutes=50), "50 minutes"),
        (timedelta(minutes=75), "1 hour"),
        (timedelta(hours=2), "2 hours"),
        (timedelta(hours=30), "30 hours"),
        (timedelta(days=3), "3 days"),
    ],
)
def test_a_late_line_that_was_found_by_reading_says_since_when_it_stands_there(
    age: timedelta, words: str | None
) -> None:
    line = a_line(age=age, is_found=True)
    question = why_ask(line, is_overtaken=False, scale=1.0, was_away=True)
    assert question == (words and f"This was typed {words} ago while I was away. Send it now?")
    question = why_ask(line, is_overtaken=False, scale=1.0)
    assert question == (words and f"This was typed {words} ago, and Slack did not tell me then. Send it now?")


def test_ages_below_a_minute_are_told_too_since_tests_scale_time() -> None:
    line = a_line(age=timedelta(seconds=20), is_found=True)
    assert "typed 20 seconds ago" in (why_ask(line, is_overtaken=False, scale=60.0) or "")
    line = a_line(age=timedelta(seconds=0.4), is_found=True)
    assert "typed a moment ago" in (why_ask(line, is_overtaken=False, scale=6000.0) or "")


def test_the_ten_minutes_are_scaled_as_all_waiting_times_are() -> None:
    line = a_line(age=timedelta(seconds=31))
    assert why_ask(line, is_overtaken=False, scale=20.0) == (
        "This was typed 1 min before it reached the bridge. Send it now?"
    )
    assert why_ask(line, is_overtaken=False, scale=10.0) is None
    quick = a_line(age=timedelta(seconds=11))
    assert "typed 11 s before" in (why_ask(quick, is_overtaken=False, scale=60.0) or "")


def test_a_line_that_was_overtaken_is_asked_for_at_any_age() -> None:
    question = why_ask(a_line(), is_overtaken=True, scale=1.0)
    assert question is not None
    assert "went out before it" in question


# --- what Jollor's rules say -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "rules"),
    [
        ("12345", ReplyRules(is_allowed=True, max_length=5)),
        ("12345", ReplyRules(is_allowed=None, max_length=None)),
        ("x" * 100_000, ReplyRules(is_allowed=True, max_length=None)),
    ],
)
def test_what_the_rules_allow_or_do_not_tell_passes(text: str, rules: ReplyRules) -> None:
    assert why_not(text, rules) is None


@pytest.mark.parametrize(
    ("text", "over", "words"),
    [("123456", 5, "1 character too long"), ("1234567🙂", 5, "3 characters too long")],
)
def test_a_text_that_is_too_long_is_told_by_how_much(text: str, over: int, words: str) -> None:
    said = why_not(text, ReplyRules(is_allowed=True, max_length=over))
    assert said is not None
    assert f"This is {words}; at most 5 are possible here. Nothing was sent." in said.sentence


def test_a_conversation_that_takes_no_reply_says_why() -> None:
    said = why_not("Yes.", ReplyRules(is_allowed=False, max_length=1))
    assert said is not None
    assert "does not allow a reply" in said.sentence
    assert "Nothing was sent" in said.sentence
