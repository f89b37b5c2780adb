"""Everything the bridge says, drawn: within Slack's limits for any input, and harmless whoever wrote it."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.content import (
    ActionId,
    Button,
    Card,
    CardState,
    ChannelPicker,
    Content,
    Context,
    DialogueLine,
    Entry,
    Line,
    Lines,
    LinkRow,
    Notice,
    Origin,
    PostCard,
    PostLabel,
    ProfileAlert,
    ProjectRow,
    ProjectsAnswer,
    StatusAnswer,
    StatusFact,
)
from bridge.deliveries.join import MOST_CHARS, MOST_LINES
from sandbox.slack import blocks as slack_blocks
from slack_app.blocks import MAX_TOTAL, RenderedMessage, message, plain, section
from slack_app.render import render

NOW = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)
DASHBOARD = "https://app.jollor.com/projects/p1"
HOSTILE = "<!channel> <@U1> <https://evil.example|your bank> *bold* `code` & @here #general :smile:"


def drawn(content: Content, **more: Any) -> RenderedMessage:
    return render(content, **{"now": NOW, **more})


def shown(message: RenderedMessage) -> str:
    """All text that the blocks show, in order."""
    return "\n".join(_texts(list(message.blocks)))


def _texts(node: object) -> Iterator[str]:
    if isinstance(node, list):
        for item in node:
            yield from _texts(item)
    elif isinstance(node, dict):
        for name, value in node.items():
            if name == "text" and isinstance(value, str):
                yield value
            else:
                yield from _texts(value)


def _nodes(node: object) -> Iterator[dict[str, Any]]:
    if isinstance(node, list):
        for item in node:
            yield from _nodes(item)
    elif isinstance(node, dict):
        yield node
        for value in node.values():
            yield from _nodes(value)


def buttons_of(message: RenderedMessage) -> list[dict[str, Any]]:
    return [node for node in _nodes(list(message.blocks)) if node.get("type") == "button"]


def a_card(**more: object) -> Card:
    fields = {
        "project_name": "Acme Shop",
        "provider": "instagram",
        "customer": "Maria",
        "text": "Is my parcel on its way?",
        "state": CardState.NEW,
        "dashboard_url": DASHBOARD,
    }
    return Card.model_validate(fields | more)


def a_post(**more: object) -> PostCard:
    fields = {
        "project_name": "Acme Shop",
        "provider": "facebook",
        "author": "Maria",
        "text": "Lovely shop",
        "mrkdwn": "",
        "label": PostLabel.RECEIVED,
        "dashboard_url": DASHBOARD,
    }
    return PostCard.model_validate(fields | more)


def a_line(**more: object) -> Line:
    fields = {
        "author": "Maria",
        "provider": "instagram",
        "origin": Origin.CUSTOMER,
        "text": "Is my parcel on its way?",
        "sent_at": NOW,
    }
    return Line.model_validate(fields | more)


def an_alert(**more: object) -> ProfileAlert:
    fields = {
        "alert_id": "a1",
        "project_id": "p1",
        "project_name": "Acme Shop",
        "since": NOW - timedelta(hours=3),
        "count": 1,
        "dashboard_url": DASHBOARD,
    }
    return ProfileAlert.model_validate(fields | more)


# --- cards -------------------------------------------------------------------------------------------


def test_a_card_says_who_where_what_and_how_it_stands() -> None:
    card = drawn(a_card())
    for said in (card.text, shown(card)):
        for words in ("Maria", "Instagram", "Acme Shop", "Is my parcel on its way?", "New"):
            assert words in said
    (button,) = buttons_of(card)
    assert (button["url"], button["action_id"]) == (DASHBOARD, "open_dashboard")


@pytest.mark.parametrize(
    ("state", "words"),
    [(CardState.NEW, "🆕 New"), (CardState.WAITING, "🟠 Waiting"), (CardState.ANSWERED, "🟢 Answered")],
)
def test_a_state_is_a_sign_and_a_word(state: CardState, words: str) -> None:
    assert words in shown(drawn(a_card(state=state)))
    assert words in drawn(a_card(state=state)).text


def test_a_card_that_replaces_a_deleted_one_says_so() -> None:
    assert "continued here" in shown(drawn(a_card(continued=True)))
    assert "continued here" in shown(drawn(a_post(continued=True)))
    assert "continued here" not in shown(drawn(a_card()))


def test_a_long_first_message_is_cut_on_the_card_and_an_empty_one_is_named() -> None:
    assert len(shown(drawn(a_card(text="word " * 2000)))) < 1_100
    assert "(no text)" in shown(drawn(a_card(text=" \n ")))


def test_a_post_shows_its_formatting_in_sections_of_three_thousand() -> None:
    card = drawn(a_post(mrkdwn="*Sale* <https://acme.example|now>\n" + "• a line of the list\n" * 300))
    sections = [block for block in card.blocks if block["type"] == "section"]
    assert len(sections) >= 3
    assert "*Sale* <https://acme.example|now>" in shown(card)
    assert shown(card).count("• a line of the list") == 300


def test_a_post_without_formatting_is_a_quote_of_its_text() -> None:
    card = drawn(a_post(text="Lovely <b>shop</b>"))
    assert "Lovely <b>shop</b>" in shown(card)
    assert any(node.get("type") == "rich_text_quote" for node in _nodes(list(card.blocks)))
    assert "(no text)" in shown(drawn(a_post(text="")))


@pytest.mark.parametrize(
    ("label", "words"),
    [
        (PostLabel.RECEIVED, "New post or comment"),
        (PostLabel.CREATED, "created"),
        (PostLabel.PUBLISHED, "published"),
    ],
)
def test_a_post_says_why_it_is_shown(label: PostLabel, words: str) -> None:
    card = drawn(a_post(label=label, published_at=NOW))
    assert words in shown(card)
    assert words in card.text
    assert f"<!date^{int(NOW.timestamp())}^" in shown(card)


def test_only_links_survive_in_the_markup_of_a_post() -> None:
    card = drawn(
        a_post(mrkdwn="<!channel> <@U1> <#C1> <https://e.com|ok> <javascript:alert(1)|no> a < b > c")
    )
    assert "<https://e.com|ok>" in shown(card)
    for code in ("<!channel>", "<@U1>", "<#C1>", "<javascript"):
        assert code not in shown(card)
        assert code not in card.text


# --- lines -------------------------------------------------------------------------------------------


def test_a_line_is_just_its_text_under_the_customer_s_name() -> None:
    line = drawn(a_line())
    assert shown(line) == "Is my parcel on its way?"
    assert (line.username, line.icon_emoji) == ("Maria · Instagram", ":camera_with_flash:")
    assert line.text == "Maria · Instagram: Is my parcel on its way?"
    assert len(line.blocks) == 1


def test_line_breaks_and_spaces_of_a_customer_stay() -> None:
    text = "Hello,\n\n  two spaces, a tab\tand\r\na Windows line"
    assert shown(drawn(a_line(text=text))) == text.replace("\r\n", "\n")


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"part": 2, "parts": 3}, "part 2/3"),
        ({"origin": Origin.ELSEWHERE}, "sent from the Jollor dashboard"),
        ({"has_attachments": True}, "attachment"),
        ({"note": "arrived while the bridge was away, 09:10–09:42"}, "09:10–09:42"),
        ({"sent_at": NOW - timedelta(hours=2)}, "<!date^"),
    ],
)
def test_a_small_line_below_says_what_one_must_know(more: dict[str, object], words: str) -> None:
    line = drawn(a_line(**more))
    assert [block["type"] for block in line.blocks] == ["rich_text", "context"]
    assert words in shown(line)
    assert words in line.text


def test_a_possible_repeat_is_marked() -> None:
    assert "possible repeat" in shown(drawn(a_line(), is_possible_repeat=True))
    assert "possible repeat" not in shown(drawn(a_line()))


def test_a_picture_without_words_is_named() -> None:
    assert shown(drawn(a_line(text="", has_attachments=True))) == "📎 An attachment: open it in Jollor"
    assert shown(drawn(a_line(text=""))) == "(no text)"


def test_without_names_of_its_own_the_author_stands_in_the_message() -> None:
    line = drawn(a_line(), has_own_name=False)
    assert (line.username, line.icon_emoji) == (None, None)
    assert shown(line) == "Maria · Instagram\nIs my parcel on its way?"


def test_joined_messages_stand_apart_each_with_its_time_under_one_name() -> None:
    said = Lines(
        lines=(
            a_line(text="Hello?"),
            a_line(text="Is it\non its way?", sent_at=NOW + timedelta(seconds=9), has_attachments=True),
            a_line(text="The rest", part=2, parts=2),
        )
    )
    joined = drawn(said)
    assert joined.username == "Maria · Instagram"
    assert [block["type"] for block in joined.blocks] == ["rich_text", "context"] * 3
    first, first_below, second, second_below, _, third_below = (
        "\n".join(_texts(block)) for block in joined.blocks
    )
    assert (first, second) == ("Hello?", "Is it\non its way?")
    assert str(int(NOW.timestamp())) in first_below
    assert str(int(NOW.timestamp()) + 9) in second_below
    assert "attachment" in second_below
    assert "part 2/2" in third_below
    assert joined.text.startswith("Maria · Instagram: Hello? (<!date^")
    assert "The rest" in joined.text
    assert shown(drawn(said, has_own_name=False)).startswith("Maria · Instagram\n")


def test_what_holds_for_all_joined_messages_is_said_once() -> None:
    lines = tuple(a_line(text=text, origin=Origin.ELSEWHERE, note="arrived late") for text in "abc")
    joined = drawn(Lines(lines=lines), is_possible_repeat=True)
    for words in ("arrived late", "not from Slack", "possible repeat"):
        assert shown(joined).count(words) == 1
        assert joined.text.count(words) == 1


def test_as_many_messages_as_are_joined_are_all_shown_whole_whoever_wrote_them() -> None:
    long = "&" * (MOST_CHARS - 20 * (MOST_LINES - 1))
    texts = [long, *(f"<!here> number {number:02}" for number in range(MOST_LINES - 1))]
    lines = tuple(
        a_line(text=text, author="<" * 90, note="é" * 400, part=8, parts=9, has_attachments=True)
        for text in texts
    )
    joined = drawn(Lines(lines=lines), is_possible_repeat=True, has_own_name=False)
    assert problems(joined) == []
    assert [text for text in texts if text not in shown(joined)] == []
    assert f"number {MOST_LINES - 2:02}" in joined.text


def test_our_own_side_is_not_shown_as_the_customer() -> None:
    team = drawn(a_line(origin=Origin.TEAM, author="Anna"))
    assert (team.username, team.icon_emoji) == ("Anna · Jollor", ":outbox_tray:")


def test_earlier_messages_are_one_post_with_who_and_when() -> None:
    entries = (
        Entry(author="Maria", origin=Origin.CUSTOMER, text="Hi", sent_at=NOW - timedelta(days=1)),
        Entry(author="Acme", origin=Origin.ELSEWHERE, text="Hello!", sent_at=NOW),
    )
    context = drawn(Context(provider="instagram", entries=entries))
    for words in ("Earlier", "Maria", "Hi", "Acme (your side)", "Hello!"):
        assert words in shown(context)
        assert words in context.text
    assert [n["timestamp"] for n in _nodes(list(context.blocks)) if n.get("type") == "date"] == [
        int((NOW - timedelta(days=1)).timestamp()),
        int(NOW.timestamp()),
    ]


@pytest.mark.parametrize(
    ("what", "words"), [("started", "started"), ("ended", "ended"), ("human_agent_needed", "needs a person")]
)
def test_a_dialogue_is_one_small_line(what: str, words: str) -> None:
    line = drawn(DialogueLine.model_validate({"what": what, "at": NOW}))
    assert words in shown(line)
    assert words in line.text
    assert [block["type"] for block in line.blocks] == ["context"]


# --- notices and alerts ------------------------------------------------------------------------------


def test_a_notice_has_its_sentence_its_quote_and_its_buttons() -> None:
    buttons = (
        Button(action=ActionId.SETTLE_ARRIVED, label="It did arrive", value="i1", style="primary"),
        Button(action=ActionId.SETTLE_DROP, label="Drop", value="i1", style="danger"),
    )
    notice = drawn(Notice(text="Did it arrive?", quote="Your parcel <3", buttons=buttons))
    assert "Did it arrive?" in shown(notice)
    assert "Your parcel <3" in shown(notice)
    assert notice.text == "Did it arrive?\nYour parcel &lt;3"
    assert [(b["action_id"], b["value"], b["style"]) for b in buttons_of(notice)] == [
        ("settle_arrived", "i1", "primary"),
        ("settle_drop", "i1", "danger"),
    ]


def test_a_notice_can_name_channels_people_and_commands() -> None:
    notice = drawn(
        Notice(text="<@U123ABC> linked <#C123ABC> with `/jollor link`; <!here> & <@u1> stay text.")
    )
    (section,) = [node for node in _nodes(list(notice.blocks)) if node.get("type") == "rich_text_section"]
    assert section["elements"] == [
        {"type": "user", "user_id": "U123ABC"},
        {"type": "text", "text": " linked "},
        {"type": "channel", "channel_id": "C123ABC"},
        {"type": "text", "text": " with "},
        {"type": "text", "text": "/jollor link", "style": {"code": True}},
        {"type": "text", "text": "; <!here> & <@u1> stay text."},
    ]
    assert notice.text == (
        "<@U123ABC> linked <#C123ABC> with /jollor link; &lt;!here&gt; &amp; &lt;@u1&gt; stay text."
    )


def test_a_quote_is_never_drawn_as_anything_but_text() -> None:
    notice = drawn(Notice(text="?", quote="<@U123ABC> `x` <#C123ABC>"))
    assert notice.text == "?\n&lt;@U123ABC&gt; `x` &lt;#C123ABC&gt;"
    assert not any(node.get("type") in ("user", "channel") for node in _nodes(list(notice.blocks)))


def test_the_same_action_for_several_lines_gets_a_row_each() -> None:
    pairs = itertools.product(("i1", "i2"), (ActionId.SEND_ANYWAY, ActionId.SETTLE_DROP))
    notice = drawn(
        Notice(text="?", buttons=tuple(Button(action=a, label=a.value, value=value) for value, a in pairs))
    )
    rows = [block for block in notice.blocks if block["type"] == "actions"]
    assert [[button["value"] for button in row["elements"]] for row in rows] == [["i1", "i1"], ["i2", "i2"]]
    assert problems(notice) == []


def test_an_alert_says_what_it_means_and_what_to_do() -> None:
    alert = drawn(an_alert(count=3))
    for words in ("Acme Shop", "lost its connection", "sign in again", "reported 3 times"):
        assert words in shown(alert)
        assert words in alert.text
    link, clear = buttons_of(alert)
    assert link["url"] == DASHBOARD
    assert (clear["action_id"], clear["value"]) == ("mark_reconnected", "a1")


def test_a_reminder_says_that_it_still_stands() -> None:
    assert "Still" in drawn(an_alert(is_reminder=True)).text


def test_a_cleared_alert_says_who_and_has_no_buttons() -> None:
    cleared = drawn(an_alert(cleared_by="U123ABC", cleared_at=NOW))
    assert "<@U123ABC>" in shown(cleared)
    assert buttons_of(cleared) == []
    assert "somebody" in shown(drawn(an_alert(cleared_by="<!channel>", cleared_at=NOW)))


# --- answers -----------------------------------------------------------------------------------------


def a_row(n: int = 1, *links: LinkRow, **more: object) -> ProjectRow:
    fields = {
        "project_id": f"p{n}",
        "name": f"Project {n}",
        "links": links,
        "health": "all is well",
        "is_healthy": True,
        "dashboard_url": DASHBOARD,
    }
    return ProjectRow.model_validate(fields | more)


def test_projects_are_listed_with_their_channels_and_health() -> None:
    rows = (
        a_row(
            1,
            LinkRow(
                channel_id="C123ABC", kind="message", problem="The channel is archived.", undo_window_s=7.5
            ),
        ),
        a_row(2, is_healthy=False, health="the webhook is off"),
    )
    answer = drawn(ProjectsAnswer(rows=rows, can_link=True))
    for words in (
        "Project 1",
        "private messages",
        "undo window 7.5 s",
        "The channel is archived.",
        "the webhook is off",
        "not linked",
    ):
        assert words in shown(answer)
    assert {"type": "channel", "channel_id": "C123ABC"} in list(_nodes(list(answer.blocks)))
    link = [b for b in buttons_of(answer) if b["action_id"] == "link_project"]
    assert [b["value"] for b in link] == ['{"project_id": "p1"}', '{"project_id": "p2"}']


def test_who_may_not_link_sees_no_button_for_it() -> None:
    answer = drawn(ProjectsAnswer(rows=(a_row(1),), can_link=False))
    assert [b["action_id"] for b in buttons_of(answer)] == ["open_dashboard"]


def test_no_projects_is_a_sentence() -> None:
    assert "sees no projects" in drawn(ProjectsAnswer(rows=(), can_link=True)).text


def test_many_projects_are_named_at_least() -> None:
    answer = drawn(ProjectsAnswer(rows=tuple(a_row(n) for n in range(60)), can_link=True))
    assert problems(answer) == []
    assert "Project 50" in shown(answer)
    assert "and 5 more" in shown(answer)


def test_the_status_begins_with_its_verdict() -> None:
    fine = drawn(StatusAnswer(facts=(StatusFact(label="Jollor", value="signed in"),)))
    bad = drawn(StatusAnswer(facts=(StatusFact(label="Queue", value="3 dead letters", is_fine=False),)))
    assert fine.text.startswith("✅ All is well")
    assert bad.text.startswith("⚠️ 1 thing needs a look")
    assert "3 dead letters" in shown(bad)
    assert drawn(StatusAnswer(facts=())).text == "✅ All is well"


def test_the_picker_carries_what_the_choice_is_for() -> None:
    picker = drawn(ChannelPicker(project_id="p1", project_name="Acme", kind="post"))
    (section,) = [block for block in picker.blocks if block["type"] == "section"]
    assert section["block_id"] == 'menu:{"project_id": "p1", "kind": "post"}'
    assert section["accessory"]["action_id"] == "pick_channel"


def test_taking_back_offers_the_linked_channels() -> None:
    picker = drawn(
        ChannelPicker(project_id="p1", project_name="Acme", unlink_channels=("C1AA", "<!x>", "C2BB"))
    )
    assert [b["value"] for b in buttons_of(picker)] == [
        '{"project_id": "p1", "channel_id": "C1AA"}',
        '{"project_id": "p1", "channel_id": "C2BB"}',
    ]
    assert "<#C1AA>" in shown(picker)
    assert (
        "nothing to take back"
        in drawn(ChannelPicker(project_id="p1", project_name="Acme", unlink_channels=())).text
    )


# --- any input ---------------------------------------------------------------------------------------

_ids = itertools.count()


def problems(message: RenderedMessage) -> list[str]:
    """What the simulated Slack would refuse."""
    checked = slack_blocks.check(list(message.blocks), new_id=lambda: f"b{next(_ids)}")
    found = list(checked.problems)
    if checked.characters > MAX_TOTAL:
        found.append(f"{checked.characters} characters")
    if not message.blocks or not message.text.strip() or len(message.text) > 4_000:
        found.append(f"text of {len(message.text)}, {len(message.blocks)} blocks")
    if message.username is not None and len(message.username) > 80:
        found.append("username")
    return found


_text = st.one_of(
    st.text(max_size=40),
    st.sampled_from(
        [HOSTILE, "", " ", "\n", "\x00\x1b[31m", "\u202eevil\u202c", "\u200b\u200d", "<" * 700, "é" * 9]
    ),
    st.builds(lambda piece, times: piece * times, st.text(min_size=1, max_size=9), st.integers(1, 900)),
    st.sampled_from(
        ["&" * 9_000, "word " * 2_500, "<https://e.com/" + "x" * 4_000 + "|l>", "https://e.com/" * 300]
    ),
)
_moment = st.integers(0, 4_000_000_000).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))
_rows = st.builds(
    ProjectRow,
    project_id=st.text(max_size=30),
    name=_text,
    links=st.lists(
        st.builds(LinkRow, channel_id=_text, kind=_text, problem=st.none() | _text), max_size=9
    ).map(tuple),
    health=_text,
    is_healthy=st.booleans(),
    dashboard_url=_text,
)
_lines = st.builds(
    Line,
    author=_text,
    provider=_text,
    origin=st.sampled_from(Origin),
    text=_text,
    sent_at=_moment,
    part=st.integers(1, 9),
    parts=st.integers(1, 9),
    has_attachments=st.booleans(),
    note=st.none() | _text,
)
_contents: st.SearchStrategy[Content] = st.one_of(
    st.builds(
        Card,
        project_name=_text,
        provider=_text,
        customer=_text,
        text=_text,
        state=st.sampled_from(CardState),
        dashboard_url=_text,
        continued=st.booleans(),
    ),
    st.builds(
        PostCard,
        project_name=_text,
        provider=_text,
        author=_text,
        text=_text,
        mrkdwn=_text,
        label=st.sampled_from(PostLabel),
        published_at=st.none() | _moment,
        dashboard_url=_text,
        continued=st.booleans(),
    ),
    st.builds(
        Context,
        provider=_text,
        entries=st.lists(
            st.builds(Entry, author=_text, origin=st.sampled_from(Origin), text=_text, sent_at=_moment),
            max_size=14,
        ).map(tuple),
    ),
    _lines,
    st.builds(Lines, lines=st.lists(_lines, min_size=1, max_size=30).map(tuple)),
    st.builds(
        Notice,
        text=_text,
        quote=st.none() | _text,
        buttons=st.lists(
            st.builds(
                Button,
                action=st.sampled_from(ActionId),
                label=_text,
                value=_text,
                url=st.none() | _text,
                style=st.sampled_from([None, "primary", "danger"]),
            ),
            max_size=8,
        ).map(tuple),
    ),
    st.builds(DialogueLine, what=st.sampled_from(["started", "ended", "human_agent_needed"]), at=_moment),
    st.builds(
        ProfileAlert,
        alert_id=st.text(max_size=40),
        project_id=st.text(max_size=40),
        project_name=_text,
        since=_moment,
        count=st.integers(0, 10**9),
        dashboard_url=_text,
        is_reminder=st.booleans(),
        cleared_by=st.none() | _text,
        cleared_at=st.none() | _moment,
    ),
    st.builds(ProjectsAnswer, rows=st.lists(_rows, max_size=25).map(tuple), can_link=st.booleans()),
    st.builds(
        StatusAnswer,
        facts=st.lists(
            st.builds(StatusFact, label=_text, value=_text, is_fine=st.booleans()), max_size=40
        ).map(tuple),
    ),
    st.builds(
        ChannelPicker,
        project_id=st.text(max_size=40),
        project_name=_text,
        kind=st.text(max_size=10),
        unlink_channels=st.none() | st.lists(_text | st.just("C123ABC"), max_size=30, unique=True).map(tuple),
    ),
)

OURS = re.compile(
    r"<!date\^\d+\^[^<>|]*\|[^<>]*>|<@[UW][A-Z0-9]+>|<#[CGD][A-Z0-9]+>|<(?:https?://|mailto:|tel:)[^<>]*>"
)


@settings(max_examples=150)
@given(_contents, st.booleans(), st.booleans())
def test_any_content_is_drawn_within_slacks_limits(content: Content, repeat: bool, named: bool) -> None:
    message = drawn(content, is_possible_repeat=repeat, has_own_name=named)
    assert problems(message) == []


@settings(max_examples=150)
@given(_contents)
def test_nobody_can_put_a_code_of_slacks_into_a_message(content: Content) -> None:
    message = drawn(content)
    markup = [node for node in _nodes(list(message.blocks)) if node.get("type") == "mrkdwn"]
    assert all(node["verbatim"] is True for node in markup)
    for said in (message.text, *(node["text"] for node in markup)):
        left = OURS.sub("", said)
        assert "<" not in left
        assert ">" not in left


def test_what_no_longer_fits_is_left_out_from_the_end() -> None:
    sections = [section(plain(str(n) + "x" * 1_000)) for n in range(60)]
    assert [block["text"]["text"][:2] for block in message("text", sections).blocks[-2:]] == ["11", "12"]
    assert len(message("text", [section(plain("x"))] * 60).blocks) == 50


def test_a_hostile_line_reaches_the_reader_as_it_was_typed() -> None:
    line = drawn(a_line(text=HOSTILE, author=HOSTILE))
    assert shown(line) == HOSTILE
    assert "<" not in line.text
    assert all(node.get("type") != "mrkdwn" for node in _nodes(list(line.blocks)))
