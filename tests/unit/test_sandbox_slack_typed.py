"""What the simulated Slack makes of typed lines, and whom messages notify."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.slack.model import Json, Message
from sandbox.slack.reading import links, pings
from sandbox.slack.typed import plain, typed


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("a < b & c > d", "a &lt; b &amp; c &gt; d"),
        ("*bold* _it_ ~gone~ `a<b`", "*bold* _it_ ~gone~ `a&lt;b`"),
        ("see https://x.de/?a=1&b=2.", "see <https://x.de/?a=1&amp;b=2>."),
        ("[our page](https://x.de)", "<https://x.de|our page>"),
        ("<@U0ANNA> <#C0HELP> <!subteam^S0TEAM>", "<@U0ANNA> <#C0HELP|> <!subteam^S0TEAM>"),
        ("@here and mail@here.de", "<!here> and mail@here.de"),
        ("👍🏽 😄 🔇", ":+1::skin-tone-4: :smile: :mute:"),
        ("at 10:30:45 :smile:", "at 10:30:45 :smile:"),
        ("- a\n- b", "• a\n• b"),
        ("1. a\n2. b", "1. a\n2. b"),
        ("> said\nanswered", "&gt; said\nanswered"),
        ("```x < y```", "```x &lt; y```"),
        ("snake_case_name 2 * 3 * 4", "snake_case_name 2 * 3 * 4"),
        ("<script>", "&lt;script&gt;"),
    ],
)
def test_typed_lines_become_slacks_text(line: str, text: str) -> None:
    assert typed(line).text == text


def test_styles_mentions_and_emoji_are_elements_of_the_block() -> None:
    (block,) = typed("hi *you* <@U0ANNA> :+1::skin-tone-3:").blocks
    assert block["elements"][0]["elements"] == [
        {"type": "text", "text": "hi "},
        {"type": "text", "text": "you", "style": {"bold": True}},
        {"type": "text", "text": " "},
        {"type": "user", "user_id": "U0ANNA"},
        {"type": "text", "text": " "},
        {"type": "emoji", "name": "+1", "skin_tone": 3},
    ]


def test_lists_quotes_and_code_are_parts_of_their_own() -> None:
    (block,) = typed("first\n- a\n    - b\n> said\n```code```").blocks
    kinds = [(part["type"], part.get("style"), part.get("indent")) for part in block["elements"]]
    assert kinds == [
        ("rich_text_section", None, None),
        ("rich_text_list", "bullet", 0),
        ("rich_text_list", "bullet", 1),
        ("rich_text_quote", None, None),
        ("rich_text_preformatted", None, None),
    ]


@given(st.text())
def test_no_line_breaks_the_typing_and_nothing_stays_unescaped(line: str) -> None:
    seen = typed(line)
    outside_codes = seen.text
    for code in ("<!here>", "<!channel>", "<!everyone>"):
        outside_codes = outside_codes.replace(code, "")
    assert "<" not in outside_codes or "<http" in outside_codes or "<@" in outside_codes
    assert plain(seen.blocks) is not None


# whom a message notifies


def a_message(text: str = "", *blocks: Json, **more: bool) -> Message:
    message = Message("1.000001", "C1", text=text, blocks=list(blocks))
    for name, value in more.items():
        setattr(message, name, value)
    return message


def a_section(text: str, **more: bool) -> Json:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text} | more}


def test_codes_notify_wherever_mrkdwn_is_read() -> None:
    text = "<@U1> <!here|x> <!subteam^S1|team> <#C1> <https://x.de|y>"
    assert pings(a_message(text)) == {"U1", "here", "S1"}
    assert pings(a_message("", a_section(text, verbatim=True))) == {"U1", "here", "S1"}
    assert pings(a_message("&lt;!here&gt;", a_section("&lt;@U1&gt;", verbatim=True))) == set()


def test_bare_names_notify_only_where_slack_looks_for_them() -> None:
    assert pings(a_message("@here")) == set()
    assert pings(a_message("@here", is_auto_parsed=True)) == {"here"}
    assert pings(a_message("", a_section("@channel"))) == {"channel"}
    assert pings(a_message("", a_section("@channel", verbatim=True))) == set()
    assert pings(a_message("", {"type": "markdown", "text": "@everyone"})) == {"everyone"}


def test_rich_text_notifies_by_elements_never_by_text() -> None:
    leaves = [{"type": "text", "text": "<!here> @here"}, {"type": "user", "user_id": "U1"}]
    part = {"type": "rich_text_section", "elements": leaves}
    assert pings(a_message("", {"type": "rich_text", "elements": [part]})) == {"U1"}


def test_addresses_are_links_unless_parsing_is_off() -> None:
    assert links(a_message("https://x.de")) == {"https://x.de"}
    assert links(a_message("https://x.de", is_plain=True)) == set()
    assert links(a_message("<https://x.de|click>", is_plain=True)) == {"https://x.de"}
    assert links(a_message("", a_section("https://x.de"))) == {"https://x.de"}
    assert links(a_message("", a_section("https://x.de", verbatim=True))) == set()
