"""Rendered HTML as Slack's mrkdwn."""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import JsonValue

from jollor.escaping import escape, label, link
from jollor.text import MAX_MARKUP, markup_of, to_mrkdwn

ZW = "\u200b"


@pytest.mark.parametrize(
    ("markup", "mrkdwn"),
    [
        ("", ""),
        ("plain", "plain"),
        ("<p>one</p><p>two</p>", "one\n\ntwo"),
        ("one<br>two<br/>three", "one\ntwo\nthree"),
        ("<div>a<div>b</div>c</div>", "a\n\nb\n\nc"),
        ("<b>bold</b> <strong>too</strong>", "*bold* *too*"),
        ("<b> spaced </b>out", "*spaced* out"),
        ("<b>one<br>two</b>", "*one*\n*two*"),
        ("<b><strong>once</strong></b>", "*once*"),
        ("<b></b>x", "x"),
        ("<i>it</i> <em>em</em> <s>gone</s> <del>del</del>", "_it_ _em_ ~gone~ ~del~"),
        ("<b><i>both</i></b>", "*_both_*"),
        ("<h1>Big <b>news</b></h1><p>text</p>", "*Big news*\n\ntext"),
        ("<ul><li>one</li><li>two</li></ul>", "• one\n• two"),
        ("<ul><li>one<ul><li>in</li></ul></li><li>two</li></ul>", "• one\n    ◦ in\n• two"),
        ("<ol><li>one</li><li>two</li></ol>", "1. one\n2. two"),
        ('<ol start="9"><li>nine</li><li>ten</li></ol>', "9. nine\n10. ten"),
        ('<ol start="²"><li>one</li></ol>', "1. one"),
        ("<ul><li>one<li>two</ul>after", "• one\n• two\n\nafter"),
        ("<ul><li></li><li>two</li></ul>", "• two"),
        ("<ul><li><p>a</p><p>b</p></li></ul>", "• a\n    b"),
        ("<li>lonely</li>", "• lonely"),
        ("<blockquote>said<br>so</blockquote>then", "> said\n> so\n\nthen"),
        ("<blockquote>out<blockquote>in</blockquote></blockquote>", "> out\n>\n> in"),
        ("<blockquote> </blockquote>x", "x"),
        ("run <code>a * b</code> now", "run `a * b` now"),
        ("<code>a`b</code>", "`aˋb`"),
        ("<pre>if a &lt; b:\n  go()\n</pre>", "```\nif a &lt; b:\n  go()\n```"),
        ("<pre><code>x</code></pre>", "```\nx\n```"),
        ("<pre><p>a</p><ul><li>b</li></ul></pre>", "```\na\n\nb\n```"),
        ("<pre>```</pre>", "```\nˋˋˋ\n```"),
        ("<b><pre>x</pre></b>", "```\nx\n```"),
        ("<pre> </pre>x", "x"),
        ("<q>quoted</q>", "“quoted”"),
        ("a<hr>b", "a\n\n———\n\nb"),
        (
            "<table><tr><th>day</th><th>open</th></tr><tr><td>Sunday</td><td>8–12</td></tr></table>",
            "day | open\nSunday | 8–12",
        ),
        ('<td colspan="²">x</td>', "x |"),
        ("<dl><dt>a</dt><dd>b</dd></dl>", "a\n\nb"),
        ("<span onclick=evil()>kept</span>", "kept"),
        ("a\r\nb", "a\nb"),
    ],
)
def test_markup_becomes_slack_formatting(markup: str, mrkdwn: str) -> None:
    assert to_mrkdwn(markup) == mrkdwn


@pytest.mark.parametrize(
    ("markup", "mrkdwn"),
    [
        ('<a href="https://x.example/a">here</a>', "<https://x.example/a|here>"),
        ('<a href="https://x.example/?a=1&amp;b=2">q</a>', "<https://x.example/?a=1&amp;b=2|q>"),
        ('<a href="https://x.example/a|b>c">q</a>', "<https://x.example/a%7Cb%3Ec|q>"),
        ('<a href="https://x.example/ü">q</a>', "<https://x.example/ü|q>"),
        ('<a href="https://x.example">a|b</a>', "<https://x.example|a¦b>"),
        ('<a href="https://x.example">a&gt;b</a>', "<https://x.example|a&gt;b>"),
        ('<a href="https://x.example">two\nlines</a>', "<https://x.example|two lines>"),
        ('<a href="https://x.example"><b>bold</b></a>', "<https://x.example|bold>"),
        ('<a href="https://x.example"></a>', "<https://x.example|https://x.example>"),
        (
            '<a href="https://x.example"><img src="https://y.example/i.png" alt="cat"></a>',
            "<https://x.example|cat>",
        ),
        (
            '<a href="https://x.example"><img src="https://y.example/i.png"></a>',
            "<https://x.example|picture>",
        ),
        ('<a href="mailto:a@x.example">mail</a>', "<mailto:a@x.example|mail>"),
        ('<img src="https://x.example/i.png" alt="a cat">', "<https://x.example/i.png|a cat>"),
        ('<img src="https://x.example/i.png">', "<https://x.example/i.png|picture>"),
        ("<img alt='no address'>", "no address"),
        ('<video src="https://x.example/v.mp4"></video>', "<https://x.example/v.mp4|video>"),
        ('<video><source src="https://x.example/v.mp4"></video>', "<https://x.example/v.mp4|video>"),
        ('<code><a href="https://x.example">a</a><img alt="i"></code>', "`ai`"),
        ('<a href="https://x.example"><a href="https://y.example">in</a></a>', "<https://x.example|in>"),
        ("<b><a href='https://x.example'>l</a></b>", "*<https://x.example|l>*"),
    ],
)
def test_links_and_pictures_become_named_links(markup: str, mrkdwn: str) -> None:
    assert to_mrkdwn(markup) == mrkdwn


@pytest.mark.parametrize(
    "address",
    [
        "javascript:alert(1)",
        "JaVaScRiPt:alert(1)",
        "java\nscript:alert(1)",
        " javascript:alert(1)",
        "data:text/html,x",
        "vbscript:x",
        "file:///etc/passwd",
        "//x.example/a",
        "/relative",
        "https://",
        "https://[broken",
        "https://x.example/" + "a" * 2_000,
        "slack://channel?id=C1",
        "mailto:",
        "",
    ],
)
def test_an_address_that_people_must_not_be_sent_to_leaves_its_label(address: str) -> None:
    assert to_mrkdwn(f'<a href="{address}">label</a>') == "label"
    assert to_mrkdwn(f'<img src="{address}" alt="label">') == "label"


@pytest.mark.parametrize(
    ("markup", "shown"),
    [
        (
            '<a href="https://evil.example">www.bank.com</a>',
            "<https://evil.example|www.bank.com> (evil.example)",
        ),
        (
            '<a href="https://bank.com@evil.example">bank.com</a>',
            "<https://bank.com@evil.example|bank.com> (evil.example)",
        ),
        ('<a href="https://www.bank.com/x">bank.com</a>', "<https://www.bank.com/x|bank.com>"),
        ('<a href="https://shop.bank.com">bank.com</a>', "<https://shop.bank.com|bank.com>"),
    ],
)
def test_a_label_that_names_another_host_is_followed_by_the_true_one(markup: str, shown: str) -> None:
    assert to_mrkdwn(markup) == shown


@pytest.mark.parametrize(
    "markup",
    [
        "<script>alert(1)</script>",
        "<script>alert(1)",
        "<style>b{}</style>",
        "<iframe src='https://x.example'>x</iframe>",
        "<object>x</object>",
        "<template>x</template>",
        "<svg><text>x</text></svg>",
        "<select><option>x</option></select>",
        "<p hidden>x</p>",
        "<p style='display: none'>x</p>",
        "<!-- x -->",
        "<!-- x",
        "<!DOCTYPE html>",
        "<![CDATA[x]]>",
        "<?php x ?>",
        "<input value=x>",
    ],
)
def test_what_runs_loads_or_hides_is_gone(markup: str) -> None:
    assert to_mrkdwn(f"before {markup}") == "before"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("<!channel>", "&lt;!channel&gt;"),
        ("<@U123>", "&lt;@U123&gt;"),
        ("<#C123|general>", "&lt;#C123|general&gt;"),
        ("<https://x.example|click>", "&lt;https://x.example|click&gt;"),
        ("@here and @Channel", f"@{ZW}here and @{ZW}Channel"),
        ("mail me at a@heretic.example", "mail me at a@heretic.example"),
        ("Fish & Chips", "Fish &amp; Chips"),
        ("&lt;", "&amp;lt;"),
        ("> quote", f"{ZW}&gt; quote"),
        ("a\n > quote", f"a\n {ZW}&gt; quote"),
        ("a > b", "a &gt; b"),
        ("snake_case_name 5 * 3", "snake_case_name 5 * 3"),
        ("*bold*", f"{ZW}*{ZW}bold{ZW}*{ZW}"),
        ("so _it_ is", f"so {ZW}_{ZW}it{ZW}_{ZW} is"),
        ("`code`", "ˋcodeˋ"),
        ("a\u202eb\x00c", "abc"),
    ],
)
def test_plain_text_shows_as_it_is(text: str, shown: str) -> None:
    assert escape(text) == shown


@pytest.mark.parametrize(
    "markup",
    [
        "<!channel>",
        "&lt;!channel&gt;",
        "<@U123> hi",
        "&lt;https://x.example|y&gt;",
        "<b>&lt;!here&gt;</b>",
        "I <3 you",
    ],
)
def test_text_in_markup_cannot_mention_or_link(markup: str) -> None:
    assert not re.search(r"<", to_mrkdwn(markup))


def test_a_text_node_of_stars_next_to_markup_stays_text() -> None:
    assert to_mrkdwn("*<i>a</i>*") == f"{ZW}*{ZW}_a_{ZW}*{ZW}"


def test_a_label_is_short() -> None:
    assert len(label("word " * 1_000)) == 200


def test_a_link_without_a_name_is_named_by_its_address() -> None:
    assert link("https://x.example/a_b", "") == "<https://x.example/a_b|https://x.example/a_b>"


@pytest.mark.parametrize(
    ("rendered", "markup"),
    [
        ("<p>a</p>", "<p>a</p>"),
        (" ", None),
        ({}, None),
        (None, None),
        (7, None),
        ([], None),
        ({"html": "<p>a</p>"}, "<p>a</p>"),
        ({"id": "64b0", "anything": "<p>a</p>"}, "<p>a</p>"),
        ({"title": "t", "html": "<p>a</p>"}, "<p>a</p>"),
        ({"html": None, "body": "b"}, "b"),
        ({"facebook": {"html": "f"}}, "f"),
        ([{"html": "l"}], "l"),
        ({"_links": {"self": {"href": "/public/v1/posts/1"}}}, None),
        ({"a": {"b": {"c": {"d": {"e": "too deep"}}}}}, None),
    ],
)
def test_markup_is_found_in_every_form_of_answer(rendered: JsonValue, markup: str | None) -> None:
    assert markup_of(rendered) == markup


def test_deep_nesting_loses_markup_and_keeps_the_text() -> None:
    assert to_mrkdwn("<div>" * 5_000 + "deep <3 *x*") == f"deep &lt;3 {ZW}*{ZW}x{ZW}*{ZW}"


def test_long_markup_is_cut_and_says_so() -> None:
    shown = to_mrkdwn("a " * MAX_MARKUP)
    assert shown.endswith("… (shortened)")
    assert len(shown) < MAX_MARKUP + 50


@pytest.mark.parametrize(
    "pattern",
    [
        "<a ",
        "<",
        "<!--",
        "</",
        "<b>",
        "<ul><li>",
        "<ol><li>x",
        "<a href='https://x.example'>a.",
        "<td>x",
        "&#",
        "* _",
    ],
)
def test_markup_made_to_be_slow_takes_bounded_time(pattern: str) -> None:
    started = time.process_time()
    to_mrkdwn(pattern * (2 * MAX_MARKUP // len(pattern)))
    assert time.process_time() - started < 3


TAGS = [
    "p",
    "b",
    "i",
    "a",
    "ul",
    "ol",
    "li",
    "pre",
    "code",
    "blockquote",
    "br",
    "img",
    "table",
    "tr",
    "td",
    "h1",
    "h7",
    "script",
    "style",
    "div",
    "span",
    "q",
    "hr",
    "video",
    "s",
]
pieces = st.one_of(
    st.text(max_size=8),
    st.sampled_from([f"<{tag}>" for tag in TAGS] + [f"</{tag}>" for tag in TAGS]),
    st.sampled_from(
        ["<!channel>", "<@U1>", "<a href='", "'>", "<!--", "-->", "```", "&lt;", "&#0;", "\x00", "<![CDATA["]
    ),
    st.builds(lambda value: f'<a href="{value}">', st.text(max_size=8)),
)


@given(st.lists(pieces, max_size=30).map("".join))
def test_any_markup_becomes_text_whose_only_links_are_safe(markup: str) -> None:
    shown = to_mrkdwn(markup)
    shown.encode()
    links = re.findall(r"<[^>]*>?", shown)
    assert all(re.fullmatch(r"<(?:https?://|mailto:)[^<>|\s]+\|[^<>|]+>", found) for found in links)
