"""Slack's envelopes become the bridge's events, or none: who typed what, and what is only noise."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.events import AppRemoved, ChannelState, LineDeleted, LineEdited, LineTyped
from slack_app.translate import SlackHappening, needed_ids, team_of, translate

NOW = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)
PAYLOADS = Path(__file__).parent.parent / "payloads" / "slack"


def envelope(event: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "type": "event_callback",
        "event_id": "Ev1",
        "team_id": "T1",
        "api_app_id": "A1",
        "authorizations": [{"team_id": "T1", "user_id": "UBOT", "is_bot": True, "enterprise_id": None}],
        "is_ext_shared_channel": False,
        "event": event,
        **more,
    }


def typed(**more: Any) -> dict[str, Any]:
    return {
        "type": "message",
        "channel": "C1",
        "user": "U1",
        "team": "T1",
        "text": "hello",
        "ts": "1700000001.000100",
        "thread_ts": "1700000000.000100",
        "client_msg_id": "m-1",
        **more,
    }


def happened(event: dict[str, Any], **more: Any) -> SlackHappening | None:
    return translate(envelope(event, **more), {"U2": "Bob", "C2": "sales"}, received_at=NOW)


def line(event: dict[str, Any], **more: Any) -> LineTyped:
    result = happened(event, **more)
    assert isinstance(result, LineTyped)
    return result


# --- lines -------------------------------------------------------------------------------------------


def test_a_line_that_is_read_later_tells_when_it_was_edited() -> None:
    assert line(typed()).edited_ts is None
    read = line(typed(edited={"user": "U1", "ts": "1700000009.000000"}))
    assert (read.text, read.edited_ts) == ("hello", "1700000009.000000")
    assert read.as_edited() == LineEdited(
        team_id="T1",
        channel_id="C1",
        ts="1700000001.000100",
        thread_ts="1700000000.000100",
        user_id="U1",
        text="hello",
        client_msg_id="m-1",
        edited_ts="1700000009.000000",
    )


def test_a_reply_in_a_thread_is_a_line() -> None:
    assert line(typed()) == LineTyped(
        team_id="T1",
        channel_id="C1",
        ts="1700000001.000100",
        thread_ts="1700000000.000100",
        user_id="U1",
        text="hello",
        client_msg_id="m-1",
        received_at=NOW,
    )


def test_a_root_that_names_itself_as_its_thread_is_in_no_thread() -> None:
    assert line(typed(thread_ts="1700000001.000100")).thread_ts is None
    assert line(typed(thread_ts=None)).thread_ts is None


@pytest.mark.parametrize("subtype", ["file_share", "thread_broadcast", "me_message"])
def test_people_also_write_with_these_subtypes(subtype: str) -> None:
    assert line(typed(subtype=subtype)).text == "hello"


@pytest.mark.parametrize(
    "subtype",
    [
        "bot_message",
        "channel_join",
        "channel_topic",
        "channel_name",
        "pinned_item",
        "reminder_add",
        "tombstone",
        "huddle_thread",
        "something_new",
        "ekm_access_denied",
        "message_replied",
        3,
    ],
)
def test_what_slack_or_a_program_writes_is_no_line(subtype: object) -> None:
    assert happened(typed(subtype=subtype)) is None


@pytest.mark.parametrize(
    "sign",
    [
        {"bot_id": "B1"},
        {"app_id": "A9"},
        {"bot_profile": {"id": "B9"}},
        {"user": "UBOT"},
        {"user": "USLACKBOT"},
        {"user": None},
        {"hidden": True},
        {"ts": None},
        {"channel": 7},
    ],
)
def test_bots_and_incomplete_messages_are_no_lines(sign: dict[str, Any]) -> None:
    assert happened(typed(**sign)) is None


def test_the_text_is_what_a_person_would_have_typed() -> None:
    assert line(typed(text="*hi* in <#C2|x> &amp; <#C3|y>")).text == "hi in #sales & #y"


def test_a_mention_of_a_colleague_is_told() -> None:
    mention = line(typed(text="<@U2> look"))
    assert (mention.text, mention.mentions_people) == ("@Bob look", True)
    assert not line(typed()).mentions_people


def test_a_file_is_told_with_and_without_a_list_of_files() -> None:
    assert line(typed(subtype="file_share", files=[{"id": "F1"}])).has_files
    assert line(typed(subtype="file_share")).has_files
    assert line(typed(files=[{"id": "F1", "mode": "file_access"}])).has_files
    assert not line(typed(files=[])).has_files


def test_a_reply_that_went_to_the_channel_too_is_told() -> None:
    assert line(typed(subtype="thread_broadcast")).is_broadcast
    assert not line(typed()).is_broadcast


# --- strangers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("sign", [{"team": "T2"}, {"user_team": "T2"}, {"source_team": "T2"}])
def test_somebody_of_another_organisation_is_an_outsider(sign: dict[str, str]) -> None:
    assert line(typed(**sign), is_ext_shared_channel=True).is_outsider
    assert line(typed(**sign), is_ext_shared_channel=None).is_outsider


def test_a_colleague_in_a_shared_channel_is_none() -> None:
    assert not line(typed(user_team="T1", source_team="T1"), is_ext_shared_channel=True).is_outsider
    assert not line({k: v for k, v in typed().items() if k != "team"}).is_outsider


def test_a_colleague_in_another_workspace_of_the_same_organisation_is_no_outsider() -> None:
    grid = {"authorizations": [{"team_id": "T1", "user_id": "UBOT", "enterprise_id": "E1", "is_bot": True}]}
    assert not line(typed(team="T2"), **grid).is_outsider
    assert not line(typed(team="E1"), **grid, is_ext_shared_channel=True).is_outsider
    assert line(typed(team="T2"), **grid, is_ext_shared_channel=True).is_outsider


def test_the_workspace_is_the_one_that_installed_the_app() -> None:
    body = envelope(typed(team="T2"), team_id="T2", context_team_id="T3")
    assert team_of(body) == "T1"
    assert team_of({**body, "authorizations": []}) == "T3"
    assert team_of({"event": typed(), "team_id": "T2"}) == "T2"
    assert team_of({"event": typed()}) is None


# --- edits -------------------------------------------------------------------------------------------


def changed(message: dict[str, Any], previous: dict[str, Any] | None = None) -> dict[str, Any]:
    event = {
        "type": "message",
        "subtype": "message_changed",
        "hidden": True,
        "channel": "C1",
        "ts": "1700000009.000900",
        "message": message,
    }
    return event if previous is None else {**event, "previous_message": previous}


EDITED = {"user": "U1", "ts": "1700000008.000000"}


def test_an_edit_brings_the_new_text_and_its_time() -> None:
    edit = happened(changed(typed(text="hello &amp; bye", edited=EDITED), typed()))
    assert edit == LineEdited(
        team_id="T1",
        channel_id="C1",
        ts="1700000001.000100",
        thread_ts="1700000000.000100",
        user_id="U1",
        text="hello & bye",
        client_msg_id="m-1",
        edited_ts="1700000008.000000",
    )


def test_an_unfurl_is_no_edit() -> None:
    unfurled = typed(attachments=[{"from_url": "https://e.com"}])
    assert happened(changed(unfurled, typed())) is None
    assert happened(changed(unfurled)) is None
    edited_before = typed(edited=EDITED)
    assert happened(changed({**edited_before, **unfurled, "edited": EDITED}, edited_before)) is None


def test_a_second_edit_is_one_even_if_the_text_stays() -> None:
    again = {"user": "U1", "ts": "1700000010.000000"}
    edit = happened(changed(typed(edited=again), typed(edited=EDITED)))
    assert isinstance(edit, LineEdited)
    assert edit.edited_ts == "1700000010.000000"


def test_a_changed_text_without_a_time_takes_the_event_s() -> None:
    edit = happened(changed(typed(text="other"), typed()))
    assert isinstance(edit, LineEdited)
    assert edit.edited_ts == "1700000009.000900"


def test_an_edit_can_add_a_mention() -> None:
    edit = happened(changed(typed(text="<@U2>", edited=EDITED), typed()))
    assert isinstance(edit, LineEdited)
    assert (edit.text, edit.mentions_people) == ("@Bob", True)


@pytest.mark.parametrize(
    "sign", [{"bot_id": "B1"}, {"subtype": "bot_message"}, {"app_id": "A1"}, {"user": None}]
)
def test_our_own_and_other_bots_changes_are_nothing(sign: dict[str, Any]) -> None:
    message = typed(text="redrawn", edited=EDITED, **sign)
    assert happened(changed(message, typed(**sign))) is None


# --- deletions ---------------------------------------------------------------------------------------


def deleted(previous: dict[str, Any] | None, **more: Any) -> dict[str, Any]:
    event = {
        "type": "message",
        "subtype": "message_deleted",
        "hidden": True,
        "channel": "C1",
        "ts": "1700000009.000900",
        "deleted_ts": "1700000001.000100",
        **more,
    }
    return event if previous is None else {**event, "previous_message": previous}


GONE = LineDeleted(
    team_id="T1", channel_id="C1", ts="1700000001.000100", thread_ts="1700000000.000100", user_id="U1"
)


def test_a_deletion_names_the_line_and_who_wrote_it() -> None:
    assert happened(deleted(typed())) == GONE
    assert happened(deleted(typed(), deleted_ts=None)) == GONE


def test_a_deletion_without_the_old_message_still_names_the_line() -> None:
    gone = happened(deleted(None))
    assert isinstance(gone, LineDeleted)
    assert (gone.ts, gone.user_id, gone.thread_ts) == ("1700000001.000100", None, None)


def test_a_deleted_root_with_replies_comes_as_a_tombstone() -> None:
    tombstone = {"type": "message", "subtype": "tombstone", "ts": "1700000001.000100", "user": "USLACKBOT"}
    root = typed(thread_ts="1700000001.000100")
    gone = happened(changed(tombstone, root))
    assert isinstance(gone, LineDeleted)
    assert (gone.ts, gone.thread_ts, gone.user_id) == ("1700000001.000100", None, "U1")


def test_the_deletion_of_a_bot_s_message_is_nothing() -> None:
    assert happened(deleted(typed(bot_id="B1"))) is None
    assert happened(deleted(typed(subtype="bot_message", user=None))) is None
    assert happened(deleted(None, deleted_ts=None)) is None


# --- channels and the app ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("event", "what", "name"),
    [
        ({"type": "channel_archive", "channel": "C1", "user": "U1"}, "archived", None),
        ({"type": "group_archive", "channel": "C1", "user": "U1"}, "archived", None),
        ({"type": "channel_unarchive", "channel": "C1"}, "unarchived", None),
        ({"type": "channel_rename", "channel": {"id": "C1", "name": "help"}}, "renamed", "help"),
        ({"type": "group_rename", "channel": {"id": "C1", "name": "help"}}, "renamed", "help"),
        ({"type": "channel_deleted", "channel": "C1"}, "deleted", None),
        ({"type": "channel_left", "channel": "C1"}, "bot_left", None),
        ({"type": "group_left", "channel": "C1"}, "bot_left", None),
        ({"type": "member_joined_channel", "channel": "C1", "user": "UBOT"}, "bot_joined", None),
        ({"type": "member_left_channel", "channel": "C1", "user": "UBOT"}, "bot_left", None),
    ],
)
def test_what_happens_to_a_channel_is_told(event: dict[str, Any], what: str, name: str | None) -> None:
    state = happened(event)
    assert isinstance(state, ChannelState)
    assert (state.team_id, state.channel_id, state.what, state.name) == ("T1", "C1", what, name)


@pytest.mark.parametrize(
    "event",
    [
        {"type": "member_joined_channel", "channel": "C1", "user": "U1"},
        {"type": "member_left_channel", "channel": "C1", "user": "U1"},
        {"type": "channel_archive", "channel": None},
        {"type": "app_mention", "channel": "C1", "user": "U1", "text": "<@UBOT> hi", "ts": "1.2"},
        {"type": "reaction_added", "user": "U1"},
        {"type": "tokens_revoked", "tokens": {"oauth": ["U1"]}},
        {"type": ["message"]},
        {},
    ],
)
def test_everything_else_is_nothing(event: dict[str, Any]) -> None:
    assert happened(event) is None


@pytest.mark.parametrize(
    "event", [{"type": "app_uninstalled"}, {"type": "tokens_revoked", "tokens": {"bot": ["UBOT"]}}]
)
def test_the_app_being_removed_is_told(event: dict[str, Any]) -> None:
    assert happened(event) == AppRemoved(team_id="T1")


# --- names -------------------------------------------------------------------------------------------


def test_names_are_needed_for_lines_and_edits_only() -> None:
    message = typed(text="<@U2> in <#C2>")
    for event in (message, changed({**message, "edited": EDITED}, typed())):
        needed = needed_ids(envelope(event))
        assert (needed.users, needed.channels) == (frozenset({"U2"}), frozenset({"C2"}))
    for event in (deleted(message), {**message, "bot_id": "B1"}, {**message, "type": "app_mention"}):
        assert needed_ids(envelope(event)).users == frozenset()
    assert needed_ids({}).users == frozenset()


# --- recorded shapes and any shape -------------------------------------------------------------------


@pytest.mark.parametrize("path", sorted(PAYLOADS.glob("*.json")), ids=lambda path: path.stem)
def test_recorded_envelopes_give_what_is_written_beside_them(path: Path) -> None:
    recorded = json.loads(path.read_text())
    result = translate(recorded["body"], recorded["names"], received_at=NOW)
    told = (
        None
        if result is None
        else result.model_dump(mode="json", exclude={"received_at"}, exclude_defaults=True)
    )
    assert told == recorded["gives"]


_leaf = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=4)
    | st.sampled_from(
        [
            "message",
            "message_changed",
            "message_deleted",
            "channel_rename",
            "tokens_revoked",
            "tombstone",
            "U1",
        ]
    )
)
_names = st.sampled_from(
    [
        "event",
        "type",
        "subtype",
        "message",
        "previous_message",
        "channel",
        "user",
        "ts",
        "edited",
        "tokens",
        "authorizations",
        "team_id",
        "files",
        "blocks",
        "text",
        "thread_ts",
        "deleted_ts",
        "id",
        "bot",
    ]
)
_json = st.recursive(
    _leaf,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(_names, inner, max_size=6),
    max_leaves=25,
)


@given(st.dictionaries(_names, _json, max_size=6), st.dictionaries(_names, _json, max_size=8))
def test_any_json_gives_an_event_or_nothing(body: dict[str, Any], event: dict[str, Any]) -> None:
    for shape in (body, envelope(event), {**body, "event": event}):
        needed_ids(shape)
        translate(shape, {}, received_at=NOW)
