"""The judge of the chaos run is judged by evidence that is made up."""

from __future__ import annotations

from dataclasses import replace

import pytest

from chaos.verdict import Evidence, Line, Message, Received, Rule, Shown, Verdict, judge

OK = ("white_check_mark",)
GOOD = Evidence(
    messages=[Message("Q1", "Robin", 10), Message("Q2", "Robin", 20), Message("Q3", "Sam", 15)],
    shown=[Shown("Robin", ("Q1",)), Shown("Sam", ("Q3",)), Shown("Robin", ("Q2",))],
    cards=["Robin", "Sam"],
    lines=[
        Line("A1", "Robin", 30, marks=OK),
        Line("A2", "Robin", 40, marks=OK),
        Line("A3", "Sam", 35, is_internal=True, marks=("lock",)),
    ],
    received=[Received("Robin", "A1"), Received("Robin", "A2")],
)


def broken(evidence: Evidence) -> dict[Rule, tuple[str, ...]]:
    return dict(judge(evidence).broken)


def with_line(line: Line, *received: Received) -> Evidence:
    """The good evidence with the first line replaced, and what customers received."""
    return replace(GOOD, lines=[line, *GOOD.lines[1:]], received=received)


def test_what_arrived_once_in_order_and_marked_keeps_every_promise() -> None:
    verdict = judge(GOOD)
    assert verdict.is_kept
    assert verdict == Verdict({}, settled=0, settleable=0)


def test_nothing_at_all_keeps_every_promise() -> None:
    assert judge(Evidence()).is_kept


# --- to Slack ----------------------------------------------------------------------------------------


def test_a_message_that_no_post_shows_is_lost() -> None:
    assert broken(replace(GOOD, shown=GOOD.shown[:2])) == {Rule.MESSAGE_LOST: ("Q2",)}


def test_a_message_in_another_thread_is_misplaced_and_lost() -> None:
    shown = [*GOOD.shown[:2], Shown("Sam", ("Q2",))]
    assert broken(replace(GOOD, shown=shown)) == {
        Rule.MESSAGE_LOST: ("Q2",),
        Rule.MESSAGE_MISPLACED: ("Q2",),
    }


def test_a_message_in_a_thread_that_nobody_knows_is_lost() -> None:
    shown = [*GOOD.shown[:2], Shown(None, ("Q2",))]
    assert Rule.MESSAGE_LOST in broken(replace(GOOD, shown=shown))


def test_a_message_twice_is_a_double_unless_it_says_that_it_may_be() -> None:
    again = Shown("Robin", ("Q2",))
    assert broken(replace(GOOD, shown=[*GOOD.shown, again])) == {Rule.MESSAGE_DOUBLED: ("Q2",)}
    verdict = judge(replace(GOOD, shown=[*GOOD.shown, replace(again, is_repeat=True)]))
    assert (verdict.is_kept, verdict.repeats) == (True, 1)


def test_a_thread_opened_twice_is_found() -> None:
    assert broken(replace(GOOD, cards=["Robin", "Sam", "Robin"])) == {Rule.CARD_DOUBLED: ("Robin",)}


def test_an_older_message_after_a_newer_one_says_that_it_is_late() -> None:
    late = Shown("Robin", ("Q1",))
    shown = [GOOD.shown[2], GOOD.shown[1], late]
    assert broken(replace(GOOD, shown=shown)) == {Rule.MESSAGE_UNORDERED: ("Q1",)}
    verdict = judge(replace(GOOD, shown=[*shown[:2], replace(late, is_late=True)]))
    assert (verdict.is_kept, verdict.late) == (True, 1)


def test_messages_joined_in_one_post_keep_their_order() -> None:
    assert broken(replace(GOOD, shown=[GOOD.shown[1], Shown("Robin", ("Q1", "Q2"))])) == {}
    assert broken(replace(GOOD, shown=[GOOD.shown[1], Shown("Robin", ("Q2", "Q1"))])) == {
        Rule.MESSAGE_UNORDERED: ("Q1",)
    }


def test_messages_of_the_same_millisecond_have_no_order() -> None:
    messages = [Message("Q1", "Robin", 10), Message("Q2", "Robin", 10)]
    shown = [Shown("Robin", ("Q2",)), Shown("Robin", ("Q1",))]
    assert broken(replace(GOOD, messages=messages, shown=shown)) == {}


# --- to customers ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        Line("A1", "Robin", 30, marks=("warning",)),
        Line("A1", "Robin", 30, marks=("hourglass_flowing_sand",)),
        Line("A1", "Robin", 30, marks=("hourglass_flowing_sand",), again=1),
    ],
    ids=["in doubt without a question", "waiting without a question", "to be sent again, and then not"],
)
def test_a_line_that_neither_arrived_nor_is_told_of_is_lost(line: Line) -> None:
    assert broken(with_line(line, Received("Robin", "A2"))) == {Rule.LINE_LOST: (f"A1 ({line.marks[0]})",)}


@pytest.mark.parametrize(
    "line",
    [
        Line("A1", "Robin", 30, marks=("x",)),
        Line("A1", "Robin", 30, marks=("warning",), is_asked=True),
        Line("A1", "Robin", 30, marks=("hourglass_flowing_sand",), is_asked=True),
        Line("A1", "Robin", 30, marks=("warning",), is_gone=True),
    ],
    ids=["refused", "in doubt", "held", "dropped by a person"],
)
def test_a_line_that_did_not_arrive_is_not_lost_if_its_writer_was_told(line: Line) -> None:
    assert broken(with_line(line, Received("Robin", "A2"))) == {}


def test_a_line_that_slack_never_got_rid_of_is_counted_apart() -> None:
    verdict = judge(with_line(Line("A1", "Robin", 30, is_taken=False), Received("Robin", "A2")))
    assert verdict.not_taken == ("A1",)
    assert set(verdict.broken) == {Rule.LINE_LOST, Rule.LINE_UNMARKED}


def test_a_line_without_a_mark_is_found_even_if_it_arrived() -> None:
    assert broken(with_line(Line("A1", "Robin", 30), *GOOD.received)) == {Rule.LINE_UNMARKED: ("A1",)}


def test_a_line_with_two_marks_is_found() -> None:
    line = Line("A1", "Robin", 30, marks=("white_check_mark", "hourglass_flowing_sand"))
    assert broken(with_line(line, *GOOD.received)).keys() == {Rule.LINE_AMBIGUOUS}


def test_a_line_twice_at_a_customer_needs_the_word_of_a_person() -> None:
    twice = (*GOOD.received, Received("Robin", "A1"))
    line = Line("A1", "Robin", 30, marks=OK)
    assert broken(with_line(line, *twice)) == {Rule.LINE_REPEATED: ("A1 (white_check_mark): 2 times",)}
    assert broken(with_line(replace(line, again=1), *twice)) == {}
    assert Rule.LINE_REPEATED in broken(with_line(replace(line, again=1), *twice, Received("Robin", "A1")))


def test_lines_out_of_order_are_found_unless_people_were_asked_about_the_late_one() -> None:
    turned = (Received("Robin", "A2"), Received("Robin", "A1"))
    line = Line("A1", "Robin", 30, marks=OK)
    assert broken(with_line(line, *turned)) == {Rule.LINE_UNORDERED: ("A1",)}
    assert broken(with_line(replace(line, is_asked=True), *turned)) == {}


def test_order_is_within_a_conversation_only() -> None:
    lines = [Line("A1", "Robin", 30, marks=OK), Line("A2", "Sam", 20, marks=OK)]
    received = [Received("Robin", "A1"), Received("Sam", "A2")]
    assert broken(replace(GOOD, lines=lines, received=received)) == {}


def test_an_internal_line_at_a_customer_is_found() -> None:
    assert broken(replace(GOOD, received=[*GOOD.received, Received("Sam", "A3")])) == {
        Rule.LINE_LEAKED: ("A3 (lock)",)
    }


@pytest.mark.parametrize("conversation", ["Robin", "Sam"])
def test_what_nobody_typed_for_this_customer_is_found(conversation: str) -> None:
    stranger = Received(conversation, None if conversation == "Robin" else "A1")
    assert broken(replace(GOOD, received=[*GOOD.received, stranger])).keys() == {Rule.LINE_CHANGED}


@pytest.mark.parametrize(
    ("mark", "times"), [("x", 1), ("lock", 1), ("white_check_mark", 0)], ids=["x", "lock", "check"]
)
def test_a_mark_that_is_not_true_is_found(mark: str, times: int) -> None:
    received = [Received("Robin", "A1")] * times
    assert Rule.MARK_FALSE in broken(with_line(Line("A1", "Robin", 30, marks=(mark,)), *received))


def test_an_internal_line_with_the_mark_of_a_sent_one_is_found() -> None:
    line = Line("A3", "Sam", 35, is_internal=True, marks=OK)
    assert broken(replace(GOOD, lines=[*GOOD.lines[:2], line])).keys() == {Rule.MARK_FALSE}


@pytest.mark.parametrize(("doubted", "is_kept"), [(0, True), (1, True), (2, False)])
def test_people_are_asked_about_no_more_than_one_in_a_hundred_that_lists_show(
    doubted: int, is_kept: bool
) -> None:
    names = [f"A{number:03d}" for number in range(100)]
    evidence = Evidence(settleable=frozenset(names), doubted=frozenset([*names[:doubted], "elsewhere"]))
    verdict = judge(evidence)
    assert verdict.is_kept is is_kept
    assert (verdict.settled, verdict.settleable) == (100 - doubted, 100)
