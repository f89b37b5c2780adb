"""What the simulated Slack accepts as blocks."""

from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.slack.blocks import Checked, check
from sandbox.slack.model import Json


def checked(*blocks: object, limit: int = 50) -> Checked:
    ids = count()
    return check(list(blocks), limit=limit, new_id=lambda: f"id{next(ids)}")


def plain_text(text: str = "x") -> Json:
    return {"type": "plain_text", "text": text}


def mrkdwn(text: str = "x") -> Json:
    return {"type": "mrkdwn", "text": text}


def a_button(**more: object) -> Json:
    return {"type": "button", "action_id": "go", "text": plain_text(), **more}


def actions(*elements: Json) -> Json:
    return {"type": "actions", "elements": list(elements)}


def test_ids_and_defaults_are_filled_in() -> None:
    (section,) = checked({"type": "section", "text": mrkdwn(), "accessory": a_button()}).blocks
    assert section["block_id"] == "id0"
    assert section["text"]["verbatim"] is False
    assert section["accessory"]["text"]["emoji"] is True


@pytest.mark.parametrize(
    "block",
    [
        {"type": "divider"},
        {"type": "header", "text": plain_text("x" * 150)},
        {"type": "section", "text": mrkdwn("x" * 3000)},
        {"type": "section", "fields": [mrkdwn("x" * 2000)] * 10},
        {
            "type": "context",
            "elements": [mrkdwn()] * 9 + [{"type": "image", "image_url": "u", "alt_text": "a"}],
        },
        {"type": "image", "image_url": "https://x.de/a.png", "alt_text": "a"},
        {"type": "image", "slack_file": {"id": "F1"}, "alt_text": "a"},
        actions(*(a_button(action_id=str(n)) for n in range(25))),
        actions(a_button(value="v" * 2000, style="primary", url="https://x.de")),
        actions({"type": "conversations_select", "action_id": "c", "placeholder": plain_text()}),
        {"type": "markdown", "text": "x" * 12_000},
        {"type": "table", "rows": [[{"type": "raw_text", "text": "x"}] * 20] * 100},
        {"type": "alert", "text": mrkdwn(), "level": "warning"},
        {
            "type": "rich_text",
            "elements": [
                {
                    "type": "rich_text_list",
                    "style": "bullet",
                    "elements": [
                        {
                            "type": "rich_text_section",
                            "elements": [
                                {"type": "text", "text": "x", "style": {"bold": True}},
                                {"type": "emoji", "name": "smile"},
                                {"type": "link", "url": "https://x.de"},
                            ],
                        }
                    ],
                }
            ],
        },
    ],
)
def test_blocks_at_their_limits_are_accepted(block: Json) -> None:
    assert checked(block).problems == []


@pytest.mark.parametrize(
    ("block", "where"),
    [
        ("text", "/blocks/0"),
        ({"type": "nonsense"}, "/blocks/0/type"),
        ({"type": "header", "text": mrkdwn()}, "/blocks/0/text/type"),
        ({"type": "header", "text": plain_text("x" * 151)}, "/blocks/0/text/text"),
        ({"type": "section"}, "/blocks/0"),
        ({"type": "section", "text": mrkdwn("x" * 3001)}, "/blocks/0/text/text"),
        ({"type": "section", "text": mrkdwn("")}, "/blocks/0/text/text"),
        ({"type": "section", "fields": [mrkdwn()] * 11}, "/blocks/0/fields"),
        ({"type": "section", "text": plain_text() | {"verbatim": True}}, "/blocks/0/text"),
        ({"type": "section", "text": mrkdwn(), "color": "red"}, "/blocks/0"),
        ({"type": "context", "elements": [mrkdwn()] * 11}, "/blocks/0/elements"),
        ({"type": "context", "elements": []}, "/blocks/0"),
        ({"type": "image", "image_url": "u"}, "/blocks/0"),
        (actions(*(a_button(action_id=str(n)) for n in range(26))), "/blocks/0/elements"),
        (actions(a_button(), a_button()), "/blocks/0/elements/1/action_id"),
        (actions(a_button(text=plain_text("x" * 76))), "/blocks/0/elements/0/text/text"),
        (actions(a_button(value="v" * 2001)), "/blocks/0/elements/0/value"),
        (actions(a_button(style="red")), "/blocks/0/elements/0/style"),
        (actions({"type": "plain_text_input", "action_id": "t"}), "/blocks/0/elements/0/type"),
        ({"type": "markdown", "text": "x" * 12_001}, "/blocks/0/text"),
        ({"type": "alert", "text": mrkdwn(), "level": "loud"}, "/blocks/0/level"),
        ({"type": "rich_text", "elements": [{"type": "text", "text": "x"}]}, "/blocks/0/elements/0/type"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(block: object, where: str) -> None:
    problems = checked(block).problems
    assert problems
    assert problems[0].endswith(f"[json-pointer:{where}]")


def test_there_are_fifty_blocks_in_a_message_and_block_ids_are_unique() -> None:
    assert checked(*[{"type": "divider"}] * 50).problems == []
    assert checked(*[{"type": "divider"}] * 51).problems
    assert checked({"type": "divider", "block_id": "a"}, {"type": "divider", "block_id": "a"}).problems


def test_characters_are_counted_over_all_blocks() -> None:
    found = checked(
        {"type": "section", "text": mrkdwn("x" * 10)}, {"type": "header", "text": plain_text("y" * 5)}
    )
    assert found.characters == 15


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["type", "text", "elements", "block_id", "accessory", "options", "fields"]),
            inner | st.sampled_from(["section", "actions", "button", "mrkdwn", "static_select", "rich_text"]),
        )
    ),
    max_leaves=12,
)


@given(st.lists(json_values, max_size=3))
def test_no_json_makes_the_check_fail(blocks: list[object]) -> None:
    assert checked(*blocks).characters >= 0
