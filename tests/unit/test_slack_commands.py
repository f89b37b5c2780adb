"""What people write after `/jollor`: understood, answered at once, or handed on in one form."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slack_app.blocks import RenderedMessage
from slack_app.commands import Link, Wanted, parse, parse_link


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("projects", Wanted("projects", "")),
        ("  PROJECTS  ", Wanted("projects", "")),
        ("list", Wanted("projects", "")),
        ("status please", Wanted("status", "")),
        ("link Acme", Wanted("link", "Acme")),
        ("link Harbour Bakery #support", Wanted("link", "Harbour Bakery #support")),
        (
            "link “Harbour Bakery” <#C123ABC|support> Message",
            Wanted("link", "Harbour Bakery <#C123ABC> message"),
        ),
        ("link Acme posts", Wanted("link", "Acme post")),
        ("link Acme #support undo 10", Wanted("link", "Acme #support undo 10")),
        (
            "link Acme <#C123ABC|x> message Undo Default",
            Wanted("link", "Acme <#C123ABC> message undo default"),
        ),
        ("link Let us undo it", Wanted("link", "Let us undo it")),
        ("link Let us undo it #support", Wanted("link", "Let us undo it #support")),
        ("link R&amp;D #lab all", Wanted("link", "R&D #lab all")),
        ("link message", Wanted("link", "message")),
        ("unlink Acme", Wanted("unlink", "Acme")),
        ("unlink Morning Post", Wanted("unlink", "Morning Post")),
        ("unlink ALL ALL", Wanted("unlink", "ALL ALL")),
        ("unlink Acme <#C123ABC|support>", Wanted("unlink", "Acme <#C123ABC>")),
        ("admins", Wanted("admins", "")),
        (
            "trace https://x.slack.com/archives/C0123ABC/p1712345678901234?thread_ts=1712345670.000100&amp;cid=C0123ABC",
            Wanted("trace", "C0123ABC 1712345678.901234"),
        ),
        (
            "TRACE <https://x.slack.com/archives/G0123ABC/p1712345678901234|a message>",
            Wanted("trace", "G0123ABC 1712345678.901234"),
        ),
        ("trace 65fa00c0ffee65fa00c0ffee", Wanted("trace", "65fa00c0ffee65fa00c0ffee")),
        ("trace C0123ABC 1712345678.901234", Wanted("trace", "C0123ABC 1712345678.901234")),
        ("admins add <@U123ABC|anna>", Wanted("admins", "add <@U123ABC>")),
        ("admins REMOVE <@U123ABC>", Wanted("admins", "remove <@U123ABC>")),
    ],
)
def test_what_the_bridge_shall_do_comes_out_in_one_form(text: str, wanted: Wanted) -> None:
    assert parse(text) == wanted


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "/jollor link PROJECT"),
        ("help", "stays inside"),
        ("?", "/jollor link PROJECT"),
        ("porject", "Did you mean /jollor projects?"),
        ("stauts", "Did you mean /jollor status?"),
        ("conect Acme", "I do not know “conect”"),
        ("xyzzy", "This is what I understand"),
        ("x" * 4000, "I do not know “" + "x" * 29 + "…”"),
        ("<!channel>", "I do not know"),
        ("link", "Which project?"),
        ("link #support", "Which project?"),
        ("link Acme undo 10", "An undo window is a channel's: write /jollor link Acme #channel undo 10"),
        ("link #support undo 10", "write /jollor link PROJECT #support undo 10"),
        (
            "link Acme #support undo soon",
            "a number of seconds from 0 to 600, or /jollor link Acme #support undo",
        ),
        ("link Acme #support undo 601", "How long?"),
        ("link Acme #support undo -1", "How long?"),
        ("link ''", "Which project?"),
        ("unlink", "/jollor unlink Acme #support"),
        ("trace", "Which message?"),
        ("trace https://x.slack.com/archives/C0123ABC", "Which message?"),
        ("trace two words", "Which message?"),
        ("trac C1", "Did you mean /jollor trace?"),
        ("admins add", "Whom?"),
        ("admins add anna", "Whom?"),
        ("admins make <@U123ABC>", "add @user or remove @user"),
    ],
)
def test_wrong_usage_is_answered_with_what_to_write(text: str, said: str) -> None:
    answer = parse(text)
    assert isinstance(answer, RenderedMessage)
    assert said in answer.text


@pytest.mark.parametrize(
    ("rest", "link"),
    [
        ("Acme", Link("Acme", "", "")),
        ("Acme #a", Link("Acme", "#a", "")),
        ("Acme #a alert", Link("Acme", "#a", "alert")),
        ("Shop #1 #a", Link("Shop #1", "#a", "")),
        ("Shop#1", Link("Shop#1", "", "")),
        ("#a", Link("", "#a", "")),
        ("", Link("", "", "")),
    ],
)
def test_the_parts_of_a_link_are_told_apart(rest: str, link: Link) -> None:
    assert parse_link(rest) == link


_words = st.sampled_from(
    [
        "link",
        "unlink",
        "admins",
        "projects",
        "#a",
        "<#C123ABC|a>",
        "<@U123ABC>",
        "all",
        "add",
        "“x”",
        "&amp;",
        "trace",
        "<https://x.slack.com/archives/C0123ABC/p1712345678901234?cid=C1>",
        "<",
        "Acme",
    ]
)


@given(st.one_of(st.text(), st.lists(_words, max_size=6).map(" ".join)))
def test_any_text_is_understood_or_answered(text: str) -> None:
    result = parse(text)
    if isinstance(result, Wanted):
        assert result.word in ("projects", "link", "unlink", "status", "admins", "trace")
        again = parse(f"{result.word} {result.rest}")
        assert again == result  # the one form is stable
    else:
        assert result.text.strip()
