"""The Slack edge over HTTP: events, commands and presses from the simulated Slack, and what is refused."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator
from datetime import timedelta

import aiohttp
import pytest

from bridge.content import ActionId, Button, ChannelPicker, Notice
from bridge.events import ButtonPressed, CommandGiven, HoldBackChosen
from bridge.ids import ChannelId, DeliveryId, TeamId
from bridge.ports import Outgoing
from sandbox.faults import Fault, FaultKind
from sandbox.slack import Channel, User
from sandbox.slack.courier import signed
from sandbox.wire import Direction, End
from slack_app.chat import SlackChat
from slack_app.http import MAX_BODY_BYTES, SlackRoute
from slack_app.ids import HOLD_BACK
from slack_app.inbox import STORE_WITHIN_S
from slack_app.views.values import press_value
from tests.slack_stage import Bridge, bridge_over_http, now


@pytest.fixture
async def bridge() -> AsyncIterator[Bridge]:
    async with bridge_over_http() as bridge:
        yield bridge


@pytest.fixture
def anna(bridge: Bridge) -> User:
    return bridge.slack.add_user("Anna", is_admin=True)


@pytest.fixture
def support(bridge: Bridge, anna: User) -> Channel:
    return bridge.slack.add_channel("support", members=[anna])


async def post(bridge: Bridge, body: bytes, **headers: str) -> tuple[int, str]:
    """Post to the app as anybody on the internet could."""
    async with (
        aiohttp.ClientSession() as session,
        session.post(bridge.url, data=body, headers=headers) as answer,
    ):
        return answer.status, await answer.text()


def signature(bridge: Bridge, body: bytes, *, timestamp: int | None = None) -> dict[str, str]:
    return signed(body, bridge.slack.signing_secret, timestamp=timestamp)


# --- events ------------------------------------------------------------------------------------------


async def test_the_address_can_be_verified(bridge: Bridge) -> None:
    assert (await bridge.slack.verify_url()).ok


async def test_an_event_is_stored_as_it_came(bridge: Bridge, anna: User, support: Channel) -> None:
    ts = bridge.slack.say(anna.id, support.id, "hello")
    await bridge.slack.courier.idle()
    (stored,) = bridge.inbox.envelopes()
    assert stored.body == bridge.slack.events.of_message(support.id, ts).body
    assert abs(stored.received_at - now()) < timedelta(seconds=30)


async def test_an_event_is_stored_without_any_call_to_slack(
    bridge: Bridge, anna: User, support: Channel
) -> None:
    bridge.slack.faults.add(End.SLACK, Fault(FaultKind.STATUS, status=500), "*")
    bridge.slack.say(anna.id, support.id, "hello")
    await bridge.slack.courier.idle()
    assert len(bridge.inbox.envelopes()) == 1
    assert bridge.slack.wire.entries(direction=Direction.IN) == []


async def test_an_event_that_cannot_be_stored_is_answered_with_500_and_comes_again(
    bridge: Bridge, anna: User, support: Channel, caplog: pytest.LogCaptureFixture
) -> None:
    bridge.inbox.is_failing = True
    bridge.slack.say(anna.id, support.id, "hello")
    refused = await bridge.slack.wire.wait_for(lambda entry: entry.direction is Direction.OUT)
    assert refused.status == 500
    bridge.inbox.is_failing = False
    await bridge.slack.courier.idle()
    assert len(bridge.inbox.envelopes()) == 1


async def test_a_store_that_hangs_does_not_hold_slack_longer_than_it_waits(
    bridge: Bridge, anna: User, support: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert STORE_WITHIN_S < 3  # Slack's limit
    monkeypatch.setattr("slack_app.inbox.STORE_WITHIN_S", 0.1)
    bridge.inbox.gate.clear()
    bridge.slack.say(anna.id, support.id, "hello")
    refused = await bridge.slack.wire.wait_for(lambda entry: entry.direction is Direction.OUT)
    assert refused.status == 500
    bridge.inbox.gate.set()


async def test_an_event_delivered_twice_is_stored_once(bridge: Bridge, anna: User, support: Channel) -> None:
    ts = bridge.slack.say(anna.id, support.id, "hello")
    bridge.slack.repeat_event(support.id, ts, times=3)
    await bridge.slack.courier.idle()
    assert len(bridge.inbox.envelopes()) == 1


async def test_every_kind_of_event_is_answered_with_200(bridge: Bridge, anna: User, support: Channel) -> None:
    bridge.slack.react(anna.id, support.id, bridge.slack.say(anna.id, support.id, "hello"), "smile")
    bridge.slack.rename(support.id, "help")
    bridge.slack.uninstall()
    await bridge.slack.courier.idle()
    outgoing = bridge.slack.wire.entries(direction=Direction.OUT)
    assert len(outgoing) >= 4
    assert {entry.status for entry in outgoing} == {200}


async def test_news_of_withheld_events_is_answered_and_logged(
    bridge: Bridge, caplog: pytest.LogCaptureFixture
) -> None:
    body = json.dumps({"type": "app_rate_limited", "team_id": "T1", "minute_rate_limited": 1}).encode()
    status, _ = await post(bridge, body, **signature(bridge, body), **{"Content-Type": "application/json"})
    assert status == 200
    assert "slack.events_withheld" in caplog.text
    assert bridge.inbox.events == []


# --- what is refused ---------------------------------------------------------------------------------

BODY = json.dumps({"type": "event_callback", "event_id": "Ev1", "event": {}}).encode()


@pytest.mark.parametrize("stamp", ["", "abc", "-1", "12.5", "9" * 40, "１２３", "0"])
async def test_a_timestamp_that_is_none_or_old_is_refused_as_unauthorised(bridge: Bridge, stamp: str) -> None:
    headers = signature(bridge, BODY) | {"X-Slack-Request-Timestamp": stamp}
    status, _ = await post(bridge, BODY, **headers)
    assert status == 401
    assert bridge.inbox.events == []


async def test_a_right_signature_is_refused_once_it_is_stale(bridge: Bridge) -> None:
    six_minutes_ago = int(now().timestamp()) - 6 * 60
    status, _ = await post(bridge, BODY, **signature(bridge, BODY, timestamp=six_minutes_ago))
    assert status == 401


async def test_a_request_without_headers_is_refused(bridge: Bridge) -> None:
    status, _ = await post(bridge, BODY)
    assert status == 401


async def test_a_wrong_signature_is_refused_and_the_body_does_not_reach_the_log(
    bridge: Bridge, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    body = b'{"type": "event_callback", "event": {"text": "very private"}}'
    headers = signed(body, "another secret")
    status, _ = await post(bridge, body, **headers)
    assert status == 401
    assert "very private" not in caplog.text
    assert bridge.inbox.events == []


async def test_a_body_over_one_mebibyte_is_refused_with_and_without_a_length(bridge: Bridge) -> None:
    body = b'{"x": "' + b"x" * MAX_BODY_BYTES + b'"}'
    headers = signature(bridge, body)
    async with (
        aiohttp.ClientSession() as session,
        session.post(bridge.url, data=io.BytesIO(body), headers=headers) as answer,
    ):
        assert answer.status == 413

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 65536):
            yield body[start : start + 65536]

    async with (
        aiohttp.ClientSession() as session,
        session.post(bridge.url, data=chunks(), headers=signature(bridge, body)) as answer,
    ):
        assert answer.status == 413


@pytest.mark.parametrize(
    "body",
    [b"{", b"[1]", b"payload=%7B", b"payload=3", b"[" * 50_000, b'{"a": NaN' * 3],
)
async def test_a_signed_body_that_says_nothing_is_refused_not_crashed_on(bridge: Bridge, body: bytes) -> None:
    status, _ = await post(bridge, body, **signature(bridge, body))
    assert status == 400


async def test_a_body_that_is_no_text_is_not_from_slack(bridge: Bridge) -> None:
    status, _ = await post(bridge, b"\xff\xfe{}", **signature(bridge, b"\xff\xfe{}"))
    assert status == 401


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b'{"type": "event_callback"}',
        b'{"type": "event_callback", "event": 3, "authorizations": []}',
        b'{"type": "block_actions", "actions": 5, "user": null}',
        b'{"type": "block_actions", "actions": [], "user": null}',
    ],
)
async def test_a_signed_body_of_an_unknown_shape_never_gives_a_500(bridge: Bridge, body: bytes) -> None:
    headers = signature(bridge, body) | {"Content-Type": "application/json"}
    status, _ = await post(bridge, body, **headers)
    assert status < 500


async def test_without_a_signing_secret_nothing_is_served(bridge: Bridge) -> None:
    with pytest.raises(ValueError, match="signing secret"):
        SlackRoute(bridge.app, signing_secret="", now=now)


# --- commands ----------------------------------------------------------------------------------------


async def test_a_command_is_stored_and_acknowledged_at_once(
    bridge: Bridge, anna: User, support: Channel
) -> None:
    reply = await bridge.slack.slash_command(anna.id, support.id, "/jollor", "link Acme #support message")
    assert reply.error is None
    assert reply.text == "Linking…"
    (given,) = bridge.inbox.events
    assert isinstance(given, CommandGiven)
    assert (given.word, given.rest) == ("link", f"Acme <#{support.id}> message")
    assert (given.team_id, given.channel_id, given.user_id) == (bridge.slack.team.id, support.id, anna.id)
    assert given.response_url.startswith(bridge.slack.server.url)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "/jollor projects"),
        ("help", "/jollor projects"),
        ("porjects", "Did you mean /jollor projects?"),
        ("link", "Which project?"),
        ("admins add", "Whom?"),
    ],
)
async def test_what_needs_nobody_else_is_answered_at_once_and_not_stored(
    bridge: Bridge, anna: User, support: Channel, text: str, said: str
) -> None:
    reply = await bridge.slack.slash_command(anna.id, support.id, "/jollor", text)
    assert reply.error is None
    assert said in reply.text
    assert bridge.inbox.events == []


async def test_a_command_that_cannot_be_stored_is_answered_with_a_sentence(
    bridge: Bridge, anna: User, support: Channel, caplog: pytest.LogCaptureFixture
) -> None:
    bridge.inbox.is_failing = True
    reply = await bridge.slack.slash_command(anna.id, support.id, "/jollor", "status")
    assert reply.error is None
    assert "try again in a minute" in reply.text


async def test_a_command_works_before_slack_told_who_we_are(
    bridge: Bridge, anna: User, support: Channel
) -> None:
    bridge.slack.faults.add(End.SLACK, Fault(FaultKind.STATUS, status=503), "*")
    reply = await bridge.slack.slash_command(anna.id, support.id, "/jollor", "projects")
    assert reply.error is None
    assert len(bridge.inbox.events) == 1


# --- buttons and menus -------------------------------------------------------------------------------


async def posted_buttons(bridge: Bridge, support: Channel, *buttons: Button) -> str:
    chat = SlackChat(bridge.clients, now=now)
    outgoing = Outgoing(
        id=DeliveryId("d1"),
        kind="notice",
        team=TeamId(bridge.slack.team.id),
        channel=ChannelId(support.id),
        thread_ts=None,
        content=Notice(text="What now?", buttons=buttons),
    )
    return (await chat.post(outgoing)).ts


async def test_a_press_is_stored_with_what_the_button_carries(
    bridge: Bridge, anna: User, support: Channel
) -> None:
    button = Button(action=ActionId.SETTLE_SEND_AGAIN, label="Send again", value="i-42")
    ts = await posted_buttons(bridge, support, button)
    reply = await bridge.slack.press(anna.id, support.id, ts, ActionId.SETTLE_SEND_AGAIN)
    assert reply.error is None
    (pressed,) = [event for event in bridge.inbox.events if isinstance(event, ButtonPressed)]
    assert (pressed.action_id, pressed.value, pressed.user_id) == ("settle_send_again", "i-42", anna.id)
    assert (pressed.channel_id, pressed.message_ts, pressed.thread_ts) == (support.id, ts, None)
    assert pressed.response_url is not None


async def test_a_button_that_only_opens_a_page_is_acknowledged_and_not_stored(
    bridge: Bridge, anna: User, support: Channel
) -> None:
    button = Button(action=ActionId.OPEN_DASHBOARD, label="Open", url="https://app.jollor.com/")
    ts = await posted_buttons(bridge, support, button)
    reply = await bridge.slack.press(anna.id, support.id, ts, ActionId.OPEN_DASHBOARD)
    assert reply.error is None
    assert [event for event in bridge.inbox.events if isinstance(event, ButtonPressed)] == []


async def test_the_menu_of_channels_brings_the_choice_and_what_it_is_for(
    bridge: Bridge, anna: User, support: Channel
) -> None:
    chat = SlackChat(bridge.clients, now=now)
    picker = ChannelPicker(project_id="p1", project_name="Acme", kind="post")
    outgoing = Outgoing(
        DeliveryId("d1"), "picker", TeamId(bridge.slack.team.id), ChannelId(support.id), None, picker
    )
    ts = (await chat.post(outgoing)).ts
    reply = await bridge.slack.select(anna.id, support.id, ts, ActionId.PICK_CHANNEL, support.id)
    assert reply.error is None
    (pressed,) = [event for event in bridge.inbox.events if isinstance(event, ButtonPressed)]
    assert (pressed.selected, pressed.value) == (support.id, press_value("p1", kind="post"))


async def test_a_press_that_cannot_be_stored_is_acknowledged_with_a_sentence(
    bridge: Bridge, anna: User, support: Channel, caplog: pytest.LogCaptureFixture
) -> None:
    ts = await posted_buttons(bridge, support, Button(action=ActionId.SEND_ANYWAY, label="Send", value="i-1"))
    await bridge.slack.courier.idle()
    bridge.inbox.is_failing = True
    reply = await bridge.slack.press(anna.id, support.id, ts, ActionId.SEND_ANYWAY)
    assert reply.error is None
    (seen,) = await bridge.slack.until(lambda: bridge.slack.ephemerals(anna.id))
    assert "press again" in seen.text


async def test_hold_back_is_stored_with_the_line_and_its_writer(
    bridge: Bridge, anna: User, support: Channel
) -> None:
    root = bridge.slack.say(anna.id, support.id, "Price?")
    line = bridge.slack.say(anna.id, support.id, "4 euros", thread_ts=root)
    reply = await bridge.slack.message_shortcut(anna.id, support.id, line, HOLD_BACK)
    assert reply.error is None
    (chosen,) = [event for event in bridge.inbox.events if isinstance(event, HoldBackChosen)]
    assert (chosen.ts, chosen.thread_ts, chosen.channel_id) == (line, root, support.id)
    assert (chosen.user_id, chosen.writer_id, chosen.is_typed) == (anna.id, anna.id, True)


async def test_hold_back_that_cannot_be_stored_is_acknowledged_with_what_works_instead(
    bridge: Bridge, anna: User, support: Channel
) -> None:
    line = bridge.slack.say(anna.id, support.id, "4 euros")
    await bridge.slack.courier.idle()
    bridge.inbox.is_failing = True
    reply = await bridge.slack.message_shortcut(anna.id, support.id, line, HOLD_BACK)
    assert reply.error is None
    (seen,) = await bridge.slack.until(lambda: bridge.slack.ephemerals(anna.id))
    assert "Delete the line instead" in seen.text


async def test_a_shortcut_that_names_no_message_is_acknowledged_and_logged(
    bridge: Bridge, caplog: pytest.LogCaptureFixture
) -> None:
    payload = {"type": "message_action", "callback_id": HOLD_BACK, "team": {"id": bridge.slack.team.id}}
    body = f"payload={json.dumps(payload)}".encode()
    headers = signature(bridge, body) | {"Content-Type": "application/x-www-form-urlencoded"}
    status, _ = await post(bridge, body, **headers)
    assert status == 200
    assert "slack.unreadable_shortcut" in caplog.text
    assert bridge.inbox.events == []


async def test_an_unknown_button_is_acknowledged_and_logged(
    bridge: Bridge, caplog: pytest.LogCaptureFixture
) -> None:
    payload = json.dumps(
        {
            "type": "block_actions",
            "team": {"id": bridge.slack.team.id},
            "user": {"id": "U1"},
            "actions": [{"type": "button", "action_id": "from_last_year", "value": "{broken"}],
        }
    )
    body = f"payload={payload}".encode()
    headers = signature(bridge, body) | {"Content-Type": "application/x-www-form-urlencoded"}
    status, _ = await post(bridge, body, **headers)
    assert status == 200
    assert "slack.unknown_action" in caplog.text
    assert bridge.inbox.events == []
