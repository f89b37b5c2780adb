"""Slack's markup on the way out: escaped, cut, and never cut in two."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slack_app.markup import escaped, links_only, shortened, split


def test_the_three_characters_are_escaped_and_no_other() -> None:
    assert escaped("a & b < c > d *e* _f_") == "a &amp; b &lt; c &gt; d *e* _f_"


def test_a_short_text_stays_whole() -> None:
    assert shortened("abc", 3) == "abc"
    assert split("abc", 3) == ["abc"]
    assert split("", 3) == []


def test_cutting_prefers_the_end_of_a_line_then_a_space() -> None:
    assert split("one two\nthree four", 12) == ["one two", "three four"]
    assert split("one two three", 9) == ["one two", " three"]


@pytest.mark.parametrize("limit", range(8, 40))
def test_a_link_and_an_entity_are_never_cut(limit: int) -> None:
    text = "see <https://e.com/a|the shop> &amp; more &lt;3 words to come"
    pieces = [*split(text, limit), shortened(text, limit)]
    for piece in pieces:
        assert len(piece) <= limit
        assert piece.count("<") == piece.count(">")
        assert re.sub("&(?:amp|lt);", "", piece).count("&") == 0


def test_a_link_longer_than_a_piece_is_left_out() -> None:
    assert split("a <https://e.com/" + "x" * 50 + "> b", 20) == ["a ", " b"]


_markup = st.lists(
    st.one_of(st.text(max_size=12).map(escaped), st.sampled_from(["<https://e.com|l>", "\n", " ", "&amp;"])),
    max_size=30,
).map("".join)


@given(_markup, st.integers(1, 60))
def test_pieces_keep_the_limit_and_hold_only_whole_codes(markup: str, limit: int) -> None:
    for piece in split(markup, limit):
        assert len(piece) <= limit
        assert links_only(piece) == piece
    assert len(shortened(markup, limit)) <= limit


@given(_markup)
def test_nothing_but_long_codes_is_lost(markup: str) -> None:
    assert "".join("".join(split(markup, 20)).split()) == "".join(markup.split())


@pytest.mark.parametrize(
    ("markup", "safe"),
    [
        (
            "<https://e.com|x> <mailto:a@e.com|a> <tel:+1|1>",
            "<https://e.com|x> <mailto:a@e.com|a> <tel:+1|1>",
        ),
        ("<!channel> <@U1> <#C1>", "&lt;!channel&gt; &lt;@U1&gt; &lt;#C1&gt;"),
        ("<javascript:x|y>", "&lt;javascript:x|y&gt;"),
        ("a < b > c", "a &lt; b &gt; c"),
        ("<https://e.com|a|b>", "&lt;https://e.com|a|b&gt;"),
        ("<<https://e.com>>", "&lt;<https://e.com>&gt;"),
    ],
)
def test_only_links_are_let_through(markup: str, safe: str) -> None:
    assert links_only(markup) == safe


@given(st.text())
def test_letting_links_through_twice_changes_nothing(markup: str) -> None:
    assert links_only(links_only(markup)) == links_only(markup)
