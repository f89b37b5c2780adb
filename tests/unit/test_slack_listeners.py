"""Presses as Slack reports them, and the small parts around them: nothing old or strange raises."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bridge.content import ActionId
from bridge.ids import ChannelId, TeamId, UserId, to_ts
from slack_app.cache import Cache
from slack_app.channels import to_channel
from slack_app.ids import is_channel_id, is_user_id
from slack_app.listeners.buttons import presses
from slack_app.listeners.shortcuts import choice
from slack_app.people import stranger, to_person
from slack_app.views.values import channel_in, menu_block_id, press_value, value_of_menu


def body(*actions: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "type": "block_actions",
        "team": {"id": "T1"},
        "user": {"id": "U1", "team_id": "T1"},
        "channel": {"id": "C1"},
        "container": {"channel_id": "C1", "message_ts": "1.000001", "thread_ts": "0.000001"},
        "response_url": "https://hooks.slack.com/actions/x",
        "actions": list(actions),
        **more,
    }


def button(action: str = ActionId.SEND_ANYWAY, **more: Any) -> dict[str, Any]:
    return {
        "type": "button",
        "action_id": action,
        "block_id": "b1",
        "action_ts": "2.5",
        "value": "i1",
        **more,
    }


def test_a_press_knows_where_it_was_and_what_it_is_for() -> None:
    ((press, key),) = presses(body(button()))
    assert (press.team_id, press.channel_id, press.user_id) == ("T1", "C1", "U1")
    assert (press.action_id, press.value, press.selected) == ("send_anyway", "i1", None)
    assert (press.message_ts, press.thread_ts) == ("1.000001", "0.000001")
    assert key == "slack-action:U1:send_anyway:2.5"


def test_a_second_press_has_another_key_and_a_repetition_the_same() -> None:
    first, again = presses(body(button()))[0][1], presses(body(button()))[0][1]
    assert first == again
    assert presses(body(button(action_ts="2.6")))[0][1] != first
    assert presses(body(button(action_ts=None)))[0][1] is None


@pytest.mark.parametrize(
    ("chosen", "selected"),
    [
        ({"selected_conversation": "C2"}, "C2"),
        ({"selected_channel": "C3"}, "C3"),
        ({"selected_user": "U2"}, "U2"),
        ({"selected_option": {"value": "x"}}, "x"),
        ({"selected_option": None}, None),
    ],
)
def test_a_menu_brings_its_choice_and_the_value_of_its_block(
    chosen: dict[str, Any], selected: str | None
) -> None:
    menu = {"action_id": ActionId.PICK_CHANNEL, "block_id": menu_block_id('{"project_id": "p1"}'), **chosen}
    ((press, _),) = presses(body(menu))
    assert (press.selected, press.value) == (selected, '{"project_id": "p1"}')


def test_a_button_that_stands_for_a_channel_selects_it() -> None:
    value = press_value("p1", channel_id="C9")
    ((press, _),) = presses(body(button(ActionId.UNLINK_CHANNEL, value=value)))
    assert (press.selected, press.value) == ("C9", value)


@pytest.mark.parametrize("value", ["", "{", "[]", "3", '{"channel_id": 3}', "[" * 100_000])
def test_a_value_of_another_time_stands_for_no_channel(value: str) -> None:
    assert channel_in(value) is None
    assert value_of_menu(value) == ""


def test_buttons_that_only_open_pages_and_unknown_ones_are_no_presses(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert presses(body(button(ActionId.OPEN_DASHBOARD), button("from_last_year"))) == []
    assert "slack.unknown_action" in caplog.text


def a_choice(**more: Any) -> dict[str, Any]:
    return {
        "type": "message_action",
        "callback_id": "hold_back",
        "team": {"id": "T1"},
        "user": {"id": "U1", "team_id": "T1"},
        "channel": {"id": "C1"},
        "message": {"type": "message", "user": "U2", "ts": "1.5", "thread_ts": "1.0", "text": "4 euros"},
        "message_ts": "1.5",
        "action_ts": "2.5",
        "response_url": "https://hooks.slack.com/actions/x",
        **more,
    }


def test_a_shortcut_knows_the_line_its_writer_and_who_chose_it() -> None:
    chosen = choice(a_choice())
    assert chosen is not None
    assert (chosen.team_id, chosen.channel_id, chosen.ts, chosen.thread_ts) == ("T1", "C1", "1.5", "1.0")
    assert (chosen.user_id, chosen.writer_id, chosen.is_typed) == ("U1", "U2", True)
    assert chosen.response_url == "https://hooks.slack.com/actions/x"
    assert chosen.lane == "slack:T1:C1:1.0"


@pytest.mark.parametrize(
    "message",
    [
        {"ts": "1.5", "thread_ts": "1.5", "bot_id": "B1", "user": "U0BOT"},
        {"ts": "1.5", "subtype": "bot_message", "username": "Mai"},
    ],
)
def test_a_shortcut_on_an_apps_message_is_on_no_line(message: dict[str, Any]) -> None:
    chosen = choice(a_choice(message=message))
    assert chosen is not None
    assert (chosen.is_typed, chosen.thread_ts, chosen.lane) == (False, None, None)


@pytest.mark.parametrize("member", ["user", "channel", "team"])
def test_a_shortcut_without_its_place_or_person_is_none(member: str) -> None:
    strange = a_choice(**{member: None})
    strange["user"] = strange["user"] and {"id": "U1"}
    assert choice(strange) is None


_json = st.recursive(
    st.none() | st.text(max_size=5) | st.integers() | st.sampled_from(list(ActionId)),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(
                ["id", "action_id", "value", "block_id", "selected_option", "user", "ts", "action_ts"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=10,
)


@given(
    st.dictionaries(
        st.sampled_from(["actions", "team", "user", "channel", "container", "message", "response_url"]), _json
    )
)
@example({"actions": [{"action_id": []}]})
def test_any_body_gives_presses_or_none(strange: dict[str, Any]) -> None:
    choice(strange)
    presses(strange)


# --- people and channels -----------------------------------------------------------------------------

TEAM = TeamId("T1")


@pytest.mark.parametrize(
    ("user", "name"),
    [
        ({"profile": {"display_name": "ana", "real_name": "Ana Lima"}}, "ana"),
        ({"profile": {"display_name": "", "real_name": "Ana Lima"}}, "Ana Lima"),
        ({"profile": None, "real_name": "Ana"}, "Ana"),
        ({"name": "ana.lima"}, "ana.lima"),
        ({"profile": {"display_name": "\u200b"}}, "someone"),
        ({}, "someone"),
    ],
)
def test_a_person_is_called_as_they_call_themselves(user: dict[str, Any], name: str) -> None:
    assert to_person({"id": "U1", **user}, TEAM).name == name


@pytest.mark.parametrize(
    ("user", "is_outsider"),
    [
        ({"team_id": "T1"}, False),
        ({}, False),
        ({"team_id": "T2"}, True),
        ({"team_id": "T1", "is_stranger": True}, True),
        ({"team_id": "T1", "is_external": True}, True),
        ({"team_id": "T2", "enterprise_user": {"teams": ["T1", "T2"]}}, False),
        ({"team_id": "T2", "enterprise_user": {"teams": ["T2"]}}, True),
    ],
)
def test_who_is_not_of_this_workspace_or_organisation_is_an_outsider(
    user: dict[str, Any], is_outsider: bool
) -> None:
    assert to_person({"id": "U1", **user}, TEAM).is_outsider is is_outsider


@pytest.mark.parametrize("role", ["is_admin", "is_owner", "is_primary_owner"])
def test_admins_and_owners_are_admins(role: str) -> None:
    assert to_person({"id": "U1", role: True}, TEAM).is_admin
    assert not to_person({"id": "U1", role: "yes"}, TEAM).is_admin


def test_bots_and_guests_are_known_and_strangers_have_no_rights() -> None:
    assert to_person({"id": "U1", "is_bot": True}, TEAM).is_bot
    assert to_person({"id": "USLACKBOT"}, TEAM).is_bot
    assert to_person({"id": "U1", "is_ultra_restricted": True}, TEAM).is_guest
    somebody = stranger(UserId("U9"))
    assert somebody.is_outsider
    assert not somebody.is_admin


def test_a_channel_that_slack_hardly_describes_is_taken_as_closed() -> None:
    channel = to_channel({}, ChannelId("C1"))
    assert (channel.id, channel.name, channel.is_member, channel.is_archived) == (
        "C1",
        "channel",
        False,
        False,
    )


# --- ids and the cache -------------------------------------------------------------------------------


def test_ids_are_recognised_by_their_shape() -> None:
    assert is_user_id("U123ABC")
    assert is_user_id("W123ABC")
    assert is_channel_id("C123ABC")
    for not_one in ("", "C", "u123abc", "U123ABC>", "X123ABC", "U123ABC\n"):
        assert not is_user_id(not_one)
        assert not is_channel_id(not_one)


def test_a_time_is_written_as_slack_writes_it() -> None:
    assert to_ts(datetime(2026, 11, 23, 10, 0, 0, 250, tzinfo=UTC)) == "1795428000.000250"


def test_the_cache_forgets_what_is_old_or_too_much() -> None:
    time = [datetime(2026, 11, 23, tzinfo=UTC)]
    cache: Cache[str, int] = Cache(lifetime=timedelta(minutes=5), capacity=2, now=lambda: time[0])
    for number, key in enumerate("abc"):
        assert cache.put(key, number) == number
    assert (cache.get("a"), cache.get("b"), cache.get("c")) == (None, 1, 2)
    cache.forget("b")
    cache.forget("never")
    assert cache.get("b") is None
    time[0] += timedelta(minutes=5)
    assert cache.get("c") is None
