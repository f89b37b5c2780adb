"""What Slack's refusals and silences mean: who waits, who gives up, who looks before posting again."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import aiohttp
import pytest
from slack_sdk.errors import SlackApiError, SlackRequestError
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.web.async_slack_response import AsyncSlackResponse

from bridge.errors import BridgeError, PermanentError, Snooze, TargetDown, UnconfirmedError
from bridge.ids import ChannelId, TeamId
from slack_app.errors import retry_after, to_bridge_error

TEAM, CHANNEL = TeamId("T1"), ChannelId("C1")


def refused(
    error: str | None, *, status: int = 200, headers: dict[str, str] | None = None, **more: Any
) -> SlackApiError:
    response = AsyncSlackResponse(
        client=AsyncWebClient("xoxb-1"),
        http_verb="POST",
        api_url="https://slack.com/api/chat.postMessage",
        req_args={},
        data={"ok": False, "error": error, **more} if error is not None else {},
        headers=headers or {},
        status_code=status,
    )
    return SlackApiError("refused", response)  # type: ignore[no-untyped-call]


def of_post(error: Exception) -> BridgeError:
    return to_bridge_error(error, team=TEAM, channel=CHANNEL, is_repeatable=False)


def of_mark(error: Exception) -> BridgeError:
    return to_bridge_error(error, team=TEAM, channel=CHANNEL, is_repeatable=True)


@pytest.mark.parametrize("code", ["ratelimited", "rate_limited", "message_limit_exceeded"])
def test_slower_please_is_a_snooze(code: str) -> None:
    error = of_post(refused(code))
    assert isinstance(error, Snooze)
    assert error.delay == timedelta(seconds=5)


def test_a_429_without_a_readable_body_is_a_snooze_too() -> None:
    error = of_post(refused(None, status=429, headers={"Retry-After": "30"}))
    assert isinstance(error, Snooze)
    assert error.delay == timedelta(seconds=30)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "30"}, 30),
        ({"retry-after": " 7 "}, 7),
        ({"Retry-After": "0"}, 1),
        ({"Retry-After": "-5"}, 1),
        ({"Retry-After": "99999999999999999999"}, 900),
        ({"Retry-After": "soon"}, 5),
        ({"Retry-After": "1.5"}, 5),
        ({}, 5),
        (None, 5),
    ],
)
def test_the_pause_is_always_a_sensible_one(headers: object, seconds: int) -> None:
    assert retry_after(headers) == timedelta(seconds=seconds)


@pytest.mark.parametrize("code", ["token_revoked", "account_inactive", "invalid_auth", "token_expired"])
def test_a_workspace_that_refuses_us_is_down(code: str) -> None:
    for error in (of_post(refused(code)), of_mark(refused(code))):
        assert isinstance(error, TargetDown)
        assert (error.target, error.code) == ("team:T1", code)
        assert error.user_message


@pytest.mark.parametrize("code", ["channel_not_found", "is_archived", "not_in_channel", "restricted_action"])
def test_a_channel_that_refuses_us_is_down(code: str) -> None:
    error = of_post(refused(code))
    assert isinstance(error, TargetDown)
    assert (error.target, error.code) == ("channel:T1:C1", code)
    assert error.user_message != "Something went wrong on the way."


def test_a_channel_code_without_a_channel_is_the_request_s_fault() -> None:
    error = to_bridge_error(refused("channel_not_found"), team=TEAM, is_repeatable=True)
    assert isinstance(error, PermanentError)


@pytest.mark.parametrize(
    "code", ["msg_too_long", "invalid_blocks", "message_not_found", "msg_blocks_too_long"]
)
def test_what_is_wrong_with_the_message_stays_wrong(code: str) -> None:
    assert isinstance(of_post(refused(code)), PermanentError)
    assert isinstance(of_mark(refused(code)), PermanentError)


def test_a_missing_scope_is_named_and_stops_posts_but_not_because_of_a_mark() -> None:
    post = of_post(refused("missing_scope", needed="chat:write", provided="users:read"))
    assert isinstance(post, TargetDown)
    assert "chat:write" in post.user_message
    mark = of_mark(refused("missing_scope", needed="reactions:write"))
    assert isinstance(mark, PermanentError)
    assert "reactions:write" in mark.user_message
    assert "permission" in of_mark(refused("missing_scope")).user_message


@pytest.mark.parametrize("code", ["fatal_error", "internal_error", "service_unavailable"])
def test_slack_breaking_leaves_a_post_in_doubt_and_lets_tries_count_elsewhere(code: str) -> None:
    assert isinstance(of_post(refused(code)), UnconfirmedError)
    assert type(of_mark(refused(code))) is BridgeError


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_an_html_page_leaves_a_post_in_doubt_and_pauses_everything_else(status: int) -> None:
    assert isinstance(of_post(refused(None, status=status)), UnconfirmedError)
    error = of_mark(refused(None, status=status))
    assert isinstance(error, TargetDown)
    assert (error.target, error.code) == ("team:T1", f"http_{status}")


@pytest.mark.parametrize(
    "silence",
    [
        TimeoutError(),
        aiohttp.ServerDisconnectedError(),
        aiohttp.ClientPayloadError(),
        aiohttp.SocketTimeoutError(),
        ConnectionResetError(),
        AttributeError("'str' object has no attribute 'get'"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"),
        SlackRequestError("broken"),
    ],
)
def test_no_readable_answer_leaves_a_post_in_doubt_and_pauses_everything_else(silence: Exception) -> None:
    assert isinstance(of_post(silence), UnconfirmedError)
    assert isinstance(of_mark(silence), TargetDown)


@pytest.mark.parametrize(
    "never",
    [
        aiohttp.ConnectionTimeoutError(),
        aiohttp.InvalidURL("http://"),
        aiohttp.ClientConnectorDNSError(None, OSError()),  # type: ignore[arg-type]
    ],
)
def test_a_connection_that_was_never_opened_posted_nothing(never: Exception) -> None:
    error = of_post(never)
    assert isinstance(error, TargetDown)
    assert (error.target, error.code) == ("team:T1", "slack_unreachable")


def test_a_code_of_a_later_slack_is_tried_again_a_few_times() -> None:
    error = of_post(refused("brand_new_code"))
    assert type(error) is BridgeError
    assert error.code == "brand_new_code"
    assert type(of_post(refused(None, status=403))) is BridgeError
