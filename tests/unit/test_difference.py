"""What an edit changed, in plain words."""

from hypothesis import given
from hypothesis import strategies as st

from bridge.difference import MOST_SHOWN, difference


def test_short_texts_are_shown_as_they_are() -> None:
    assert difference("4 euros", "5 euros") == "Sent: 4 euros\nNow: 5 euros"


def test_small_changes_of_a_longer_text_are_named() -> None:
    sent = "We are open from nine to five on all days but Sunday, as ever."
    now = "We are open from eight to five on all days but Sunday."
    assert (
        difference(sent, now).splitlines()[-1] == "Changed: “nine” → “eight”, “Sunday, as ever.” → “Sunday.”"
    )
    assert difference(sent, f"{sent} Bye!").endswith("Changed: added “Bye!”")
    assert difference(f"Hello! {sent}", sent).endswith("Changed: left out “Hello!”")


def test_a_text_that_was_written_anew_is_only_shown() -> None:
    sent = "one two three four five six seven eight nine ten"
    now = "ten nine eight seven six five four three two one"
    assert "Changed" not in difference(sent, now)


def test_of_long_texts_the_part_that_changed_is_shown() -> None:
    before, after = "a " * 2_000, " b" * 2_000
    said = difference(f"{before}old{after}", f"{before}new{after}")
    assert "a old b" in said
    assert "a new b" in said
    assert said.count("…") == 4


@given(st.text(max_size=4 * MOST_SHOWN), st.text(max_size=4 * MOST_SHOWN))
def test_whatever_the_texts_a_quote_has_room_for_it(sent: str, now: str) -> None:
    assert len(difference(sent, now)) < 2_800
