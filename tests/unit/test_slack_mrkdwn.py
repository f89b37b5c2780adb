"""What a customer reads is what a person would have typed, from the blocks as from the markup."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.slack.typed import typed
from slack_app.emoji_names import to_character, to_characters
from slack_app.mrkdwn import mentions, mrkdwn_to_plain, to_plain

NAMES = {"U1": "Ana", "C1": "general", "S1": "ops"}


def plain(text: str) -> str:
    return mrkdwn_to_plain(text, NAMES)


@pytest.mark.parametrize(
    ("slack", "person"),
    [
        ("hello", "hello"),
        ("1 &lt; 2 &amp;&amp; 3 &gt; 2", "1 < 2 && 3 > 2"),
        ("&amp;lt;b&amp;gt;", "&lt;b&gt;"),
        ("<https://example.com>", "https://example.com"),
        ("<http://example.com|example.com>", "example.com"),
        ("<https://example.com/?a=1&amp;b=2|our page>", "our page (https://example.com/?a=1&b=2)"),
        ("<mailto:hi@example.com|hi@example.com>", "hi@example.com"),
        ("<mailto:hi@example.com|write us>", "write us (hi@example.com)"),
        ("<tel:+4930123|+49 30 123>", "+49 30 123"),
        ("<tel:+4930123>", "+4930123"),
        ("<@U1>", "@Ana"),
        ("<@U2|bob>", "@bob"),
        ("<@U2>", "@someone"),
        ("<#C1>", "#general"),
        ("<#C2|random>", "#random"),
        ("<#C2|>", "#channel"),
        ("<!here> <!channel> <!everyone>", "@here @channel @everyone"),
        ("<!subteam^S1|@ops> <!subteam^S2|@sales> <!subteam^S3>", "@ops @sales @team"),
        ("<!date^1392734382^{date_num}|Feb 18, 2014>", "Feb 18, 2014"),
        ("<!date^1392734382^{date_num}>", "2014-02-18 14:39 UTC"),
        ("<!date^soon^{date_num}>", "soon"),
        ("<!something|else>", "else"),
        (":smile:", "😄"),
        (":+1: :thumbsup: :slightly_smiling_face:", "👍 👍 🙂"),
        (":wave::skin-tone-3:", "👋🏼"),
        (":smile::skin-tone-3:", "😄"),
        (":our_logo: :10: 10:30:45", ":our_logo: :10: 10:30:45"),
        ("*bold* _italic_ ~gone~ `code`", "bold italic gone code"),
        ("_*both*_ *_both_* ~*_all_*~", "both both all"),
        ("5*3*2 snake_case_name a~b~c", "5*3*2 snake_case_name a~b~c"),
        ("* not bold * and _ not italic _", "* not bold * and _ not italic _"),
        ("(*bold*), “_italic_”!", "(bold), “italic”!"),
        ("*see <https://e.com/a_b_c|here> now*", "see here (https://e.com/a_b_c) now"),
        ("<https://e.com/*x*_y_>", "https://e.com/*x*_y_"),
        ("`a * b * c_d_e &amp; :smile:`", "a * b * c_d_e & :smile:"),
        ("```def f(*a, **b):\n    return a_b_c &lt; 1```", "def f(*a, **b):\n    return a_b_c < 1"),
        ("`<https://e.com>`", "https://e.com"),
        ("&gt; quoted\nnot quoted", "> quoted\nnot quoted"),
        ("• one\n• two\n1. three", "• one\n• two\n1. three"),
        ("  spaced out  \n\n", "spaced out"),
        ("2 < 3", "2 < 3"),
        ("a\x00b", "ab"),
        ("", ""),
    ],
)
def test_markup_becomes_what_was_typed(slack: str, person: str) -> None:
    assert plain(slack) == person


def section(*elements: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "rich_text_section", "elements": list(elements)}


def text(words: str, **style: bool) -> dict[str, Any]:
    return {"type": "text", "text": words, **({"style": style} if style else {})}


def message(*parts: Mapping[str, Any], fallback: str = "fallback") -> dict[str, Any]:
    return {"text": fallback, "blocks": [{"type": "rich_text", "elements": list(parts)}]}


@pytest.mark.parametrize(
    ("element", "person"),
    [
        (text("5*3*2 & <b> :smile:"), "5*3*2 & <b> :smile:"),
        (text("loud", bold=True, italic=True), "loud"),
        ({"type": "link", "url": "https://e.com"}, "https://e.com"),
        ({"type": "link", "url": "http://e.com", "text": "e.com"}, "e.com"),
        ({"type": "link", "url": "https://e.com/", "text": "here"}, "here (https://e.com/)"),
        ({"type": "link", "url": "mailto:a@e.com", "text": "a@e.com"}, "a@e.com"),
        ({"type": "user", "user_id": "U1"}, "@Ana"),
        ({"type": "user", "user_id": "U9"}, "@someone"),
        ({"type": "channel", "channel_id": "C1"}, "#general"),
        ({"type": "channel", "channel_id": "C9"}, "#channel"),
        ({"type": "usergroup", "usergroup_id": "S1"}, "@ops"),
        ({"type": "usergroup", "usergroup_id": "S9"}, "@team"),
        ({"type": "broadcast", "range": "here"}, "@here"),
        ({"type": "emoji", "name": "wave", "unicode": "1f44b-1f3fd", "skin_tone": 4}, "👋🏽"),
        ({"type": "emoji", "name": "wave", "skin_tone": 3}, "👋🏼"),
        ({"type": "emoji", "name": "wave", "unicode": "zz"}, "👋"),
        ({"type": "emoji", "name": "our_logo"}, ":our_logo:"),
        ({"type": "date", "timestamp": 1392734382, "format": "{date}", "fallback": "Feb 18"}, "Feb 18"),
        ({"type": "date", "timestamp": 1392734382, "format": "{date}"}, "2014-02-18 14:39 UTC"),
        ({"type": "color", "value": "#ff0000"}, "#ff0000"),
    ],
)
def test_each_element_of_rich_text_becomes_what_was_typed(element: dict[str, Any], person: str) -> None:
    assert to_plain(message(section(element)), NAMES) == person


def test_lists_quotes_and_code_keep_their_marks() -> None:
    parts = [
        section(text("Please:\n")),
        {
            "type": "rich_text_list",
            "style": "ordered",
            "indent": 0,
            "elements": [section(text("one")), section(text("two"))],
        },
        {"type": "rich_text_list", "style": "bullet", "indent": 1, "elements": [section(text("inner"))]},
        {
            "type": "rich_text_list",
            "style": "ordered",
            "indent": 0,
            "offset": 2,
            "elements": [section(text("three"))],
        },
        {"type": "rich_text_quote", "elements": [text("first\nsecond")]},
        {"type": "rich_text_preformatted", "elements": [text("x = 1\ny = 2")]},
        section(text("bye")),
    ]
    assert to_plain(message(*parts), NAMES) == (
        "Please:\n1. one\n2. two\n    • inner\n3. three\n> first\n> second\nx = 1\ny = 2\nbye"
    )


def test_a_blank_line_before_a_list_stays() -> None:
    bullets = {"type": "rich_text_list", "style": "bullet", "elements": [section(text("one"))]}
    assert to_plain(message(section(text("Please:\n\n")), bullets), NAMES) == "Please:\n\n• one"


def test_a_part_of_a_later_slack_falls_back_to_the_text() -> None:
    strange = message(section({"type": "hologram", "data": 1}), fallback="*hello*")
    assert to_plain(strange, NAMES) == "hello"
    assert to_plain(message({"type": "rich_text_carousel"}, fallback="hello"), NAMES) == "hello"


def test_a_message_without_blocks_is_read_from_its_text() -> None:
    assert to_plain({"text": "<@U1> hi"}, NAMES) == "@Ana hi"
    assert to_plain({"text": None, "blocks": "?"}, NAMES) == ""


@pytest.mark.parametrize(
    "line",
    [
        "hello",
        "1 < 2 && 3 > 2",
        "*bold* _italic_ ~strike~ `code`",
        "see https://example.com/a_b?c=d&e=f now",
        "<@U1> in <#C1> :wave::skin-tone-3: :our_logo:",
        "list:\n• one\n• two",
        "1. one\n2. two",
        "> quoted\nand not",
        "```\nif a < b:\n    pass\n```",
        "[our page](https://example.com)",
        "5*3*2 snake_case",
    ],
)
def test_blocks_and_text_of_one_line_say_the_same(line: str) -> None:
    seen = typed(line)
    from_blocks = to_plain({"text": "unused", "blocks": seen.blocks}, NAMES)
    assert from_blocks == mrkdwn_to_plain(seen.text, NAMES)


@pytest.mark.parametrize(
    ("body", "addresses"),
    [
        ({"text": "hi"}, False),
        ({"text": "<#C1>"}, False),
        ({"text": "<@U1>"}, True),
        ({"text": "<!here>"}, True),
        ({"text": "<!subteam^S1|@ops>"}, True),
        ({"text": "<!date^1^x|y>"}, False),
        (message(section({"type": "user", "user_id": "U1"})), True),
        (message(section({"type": "usergroup", "usergroup_id": "S1"})), True),
        (message(section({"type": "broadcast", "range": "channel"})), True),
        (message({"type": "rich_text_quote", "elements": [{"type": "user", "user_id": "U1"}]}), True),
        (message(section({"type": "channel", "channel_id": "C1"})), False),
    ],
)
def test_people_are_addressed_by_mentions_groups_and_broadcasts(
    body: dict[str, Any], addresses: bool
) -> None:
    assert mentions(body).addresses_people is addresses


def test_the_ids_whose_names_are_needed_are_found_in_blocks_and_text() -> None:
    body = message(section({"type": "user", "user_id": "U1"}), fallback="<@U2> <#C1|general> <https://e.com>")
    found = mentions(body)
    assert (found.users, found.channels) == (frozenset({"U1", "U2"}), frozenset({"C1"}))


@pytest.mark.parametrize(
    ("name", "character"),
    [
        ("flag-de", "🇩🇪"),
        ("us", "🇺🇸"),
        ("male-doctor", "👨‍⚕️"),
        ("female-technologist", "👩‍💻"),
        ("man-running", "🏃‍♂️"),
        ("face_with_rolling_eyes", "🙄"),
        ("heart", "❤️"),
        ("grinning_face_with_one_large_and_one_small_eye", "🤪"),
        ("heavy_check_mark", "✔️"),
        ("skin-tone-2", "🏻"),
        ("flag-zz", None),
        ("man-woman-girl-boy", "👨‍👩‍👧‍👦"),
        ("turkey", "🦃"),
        ("email", "✉️"),
        ("no_such_emoji", None),
    ],
)
def test_slacks_names_find_their_characters(name: str, character: str | None) -> None:
    assert to_character(name) == character


# --- any input ---------------------------------------------------------------------------------------

_codes = st.one_of(
    st.sampled_from(["<@U1>", "<@U9|x>", "<#C1>", "<!here>", "<!subteam^S1>", "<http://e.com|l>"]),
    st.sampled_from(["&amp;", "&lt;", "&gt;", "```", ":smile:", "\x001\x00"]),
    st.sampled_from("*_~`a<>|&: \n\x00"),
)


@given(st.one_of(st.text(), st.lists(_codes, max_size=30).map("".join)))
def test_any_text_gives_a_text(markup: str) -> None:
    assert isinstance(plain(markup), str)


@given(st.lists(_codes.filter(lambda code: code not in {"<", ">", "&", "|", "\n"}), max_size=20).map("".join))
def test_nothing_of_slacks_codes_is_left(markup: str) -> None:
    result = plain(markup)
    for code in ("<@U", "<#C", "<!", "&lt;", "&gt;", "\x00"):
        assert code not in result


@given(st.text(alphabet=st.characters(blacklist_characters="*_~`:\x00\r", blacklist_categories=["Cs"])))
def test_what_needs_no_code_comes_out_as_it_went_in(words: str) -> None:
    escaped = words.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    assert plain(escaped).split() == words.split()


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "elements", "text", "style", "indent", "unicode", "name", "url"]),
            inner
            | st.sampled_from(["rich_text", "rich_text_section", "rich_text_list", "emoji", "date", "link"]),
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(st.lists(_json, max_size=3), _json)
def test_any_blocks_give_a_text(blocks: list[Any], fallback: Any) -> None:
    body = {"text": fallback, "blocks": [{"type": "rich_text", "elements": blocks}, *blocks]}
    assert isinstance(to_plain(body, NAMES), str)
    assert mentions(body).users is not None


@given(st.text())
def test_any_text_keeps_what_is_no_emoji(words: str) -> None:
    assert to_characters(words.replace(":", "")) == words.replace(":", "")
