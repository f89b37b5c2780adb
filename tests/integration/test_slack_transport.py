"""Odd answers of a real server to the real SDK: each becomes one of the bridge's errors, asked for once."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import pytest
from aiohttp import web

from bridge.content import Notice
from bridge.errors import (
    BridgeError,
    CannotTell,
    PermanentError,
    RootGone,
    Snooze,
    TargetDown,
    UnconfirmedError,
)
from bridge.ids import ChannelId, DeliveryId, MessageTs, TeamId, UserId
from bridge.model import Mark
from bridge.ports import Outgoing
from slack_app.chat import SlackChat
from slack_app.clients import Clients, OneToken
from tests.slack_stage import a_line, now

TEAM, CHANNEL = TeamId("T1"), ChannelId("C1")
Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class OddSlack:
    """Answers each method as scripted; an empty script means `ok`."""

    url: str = ""
    script: dict[str, list[Answer]] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, object]]] = field(default_factory=list)

    def answers(self, method: str, *answers: Answer) -> None:
        self.script.setdefault(method, []).extend(answers)

    def times(self, method: str) -> int:
        return sum(asked == method for asked, _ in self.asked)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        method = request.match_info["method"]
        body = (
            await request.json()
            if request.can_read_body and request.content_type == "application/json"
            else {}
        )
        self.asked.append((method, {**request.query, **body}))
        waiting = self.script.get(method)
        if waiting:
            return await (waiting.pop(0) if len(waiting) > 1 else waiting[0])(request)
        return web.json_response(
            {"ok": True, "team_id": TEAM, "user_id": "UBOT", "bot_id": "B1", "ts": "1.000001", "message": {}}
        )


@pytest.fixture
async def odd() -> AsyncIterator[OddSlack]:
    odd = OddSlack()
    app = web.Application()
    app.router.add_route("*", "/api/{method}", odd.handle)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    odd.url = f"http://127.0.0.1:{runner.addresses[0][1]}/api/"
    yield odd
    await runner.cleanup()


@pytest.fixture
async def chat(odd: OddSlack) -> AsyncIterator[SlackChat]:
    async with Clients(OneToken("xoxb-1"), api_url=odd.url, timeout_s=0.5) as clients:
        yield SlackChat(clients, now=now)


def outgoing(thread_ts: str | None = None, **more: object) -> Outgoing:
    thread = MessageTs(thread_ts) if thread_ts else None
    content = more.get("content") or Notice(text="hi")
    return Outgoing(DeliveryId("d1"), "notice", TEAM, CHANNEL, thread, content)  # type: ignore[arg-type]


def says(body: object, headers: dict[str, str] | None = None, *, status: int = 200) -> Answer:
    async def answer(request: web.Request) -> web.StreamResponse:
        return web.json_response(body, status=status, headers=headers)

    return answer


def page(text: str, *, status: int, kind: str) -> Answer:
    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(text=text, status=status, content_type=kind)

    return answer


def raw(body: bytes, kind: str) -> Answer:
    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(body=body, content_type=kind)

    return answer


async def cut(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def hang(request: web.Request) -> web.StreamResponse:
    await asyncio.Event().wait()
    return web.Response()


ODD_ANSWERS = [
    page("<html>Bad Gateway</html>", status=502, kind="text/html"),
    page("upstream error", status=503, kind="text/plain"),
    page("fine", status=200, kind="text/plain"),
    page("<html>Login</html>", status=200, kind="text/html"),
    raw(b'{"ok": tru', "application/json"),
    raw(b"\xff\xfe{}", "application/json"),
    raw(b"[1]", "application/json"),
    raw(b"null", "application/json"),
    raw(b"{}", "application/json"),
    says({"ok": False, "error": "fatal_error"}),
    cut,
    hang,
]


@pytest.mark.parametrize("answer", ODD_ANSWERS)
async def test_a_post_without_a_clear_answer_is_in_doubt_and_made_once(
    odd: OddSlack, chat: SlackChat, answer: Answer
) -> None:
    odd.answers("chat.postMessage", answer)
    with pytest.raises(UnconfirmedError):
        await chat.post(outgoing())
    assert odd.times("chat.postMessage") == 1


@pytest.mark.parametrize("answer", ODD_ANSWERS)
async def test_a_mark_without_a_clear_answer_is_one_of_our_errors(
    odd: OddSlack, chat: SlackChat, answer: Answer
) -> None:
    odd.answers("reactions.add", answer)
    with pytest.raises(BridgeError):
        await chat.add_mark(TEAM, CHANNEL, MessageTs("1.000001"), Mark.ACCEPTED)
    assert odd.times("reactions.add") == 1


async def test_slack_that_cannot_be_reached_has_posted_nothing() -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{reserved.getsockname()[1]}/api/"
        async with Clients(OneToken("xoxb-1"), api_url=url, timeout_s=2) as clients:
            with pytest.raises(TargetDown, match="slack_unreachable"):
                await SlackChat(clients, now=now).post(outgoing())


async def test_the_pause_that_slack_asks_for_is_handed_on(odd: OddSlack, chat: SlackChat) -> None:
    odd.answers(
        "chat.postMessage", says({"ok": False, "error": "ratelimited"}, {"Retry-After": "12"}, status=429)
    )
    with pytest.raises(Snooze) as caught:
        await chat.post(outgoing())
    assert caught.value.delay.total_seconds() == 12
    assert odd.times("chat.postMessage") == 1


@pytest.mark.parametrize("code", ["thread_not_found", "cannot_reply_to_message"])
async def test_a_refused_thread_means_that_its_root_is_gone(
    odd: OddSlack, chat: SlackChat, code: str
) -> None:
    odd.answers("chat.postMessage", says({"ok": False, "error": code}))
    with pytest.raises(RootGone):
        await chat.post(outgoing(thread_ts="1.000001"))


async def test_without_the_scope_for_names_the_author_stands_in_the_message(
    odd: OddSlack, chat: SlackChat
) -> None:
    refused = says(
        {"ok": False, "error": "missing_scope", "needed": "chat:write.customize", "provided": "chat:write"}
    )
    fine = says({"ok": True, "ts": "1.000002", "message": {}})
    odd.answers("chat.postMessage", refused, fine)
    await chat.post(outgoing(content=a_line()))
    await chat.post(outgoing(content=a_line()))
    posts = [body for method, body in odd.asked if method == "chat.postMessage"]
    assert [post.get("username") for post in posts] == ["Maria · Instagram", None, None]
    assert "Maria · Instagram" in str(posts[1]["blocks"])


async def test_another_missing_scope_stops_the_workspace_with_its_name(
    odd: OddSlack, chat: SlackChat
) -> None:
    odd.answers("chat.postMessage", says({"ok": False, "error": "missing_scope", "needed": "chat:write"}))
    with pytest.raises(TargetDown) as caught:
        await chat.post(outgoing(content=a_line()))
    assert "chat:write" in caught.value.user_message
    assert odd.times("chat.postMessage") == 1


async def test_names_are_left_out_from_the_start_if_the_scope_is_known_to_be_missing(
    odd: OddSlack, chat: SlackChat
) -> None:
    identity = {"ok": True, "team_id": TEAM, "user_id": "UBOT", "bot_id": "B1"}
    odd.answers("auth.test", says(identity, {"x-oauth-scopes": "chat:write,users:read"}))
    await chat.post(outgoing(content=a_line()))
    (post,) = [body for method, body in odd.asked if method == "chat.postMessage"]
    assert "username" not in post


@pytest.mark.parametrize("code", ["invalid_blocks", "msg_blocks_too_long"])
async def test_what_slack_does_not_draw_is_posted_as_text(
    odd: OddSlack, chat: SlackChat, code: str, caplog: pytest.LogCaptureFixture
) -> None:
    odd.answers("chat.postMessage", says({"ok": False, "error": code}), says({"ok": True, "ts": "1.000002"}))
    posted = await chat.post(outgoing(content=a_line("Where is it?")))
    first, second = (body for method, body in odd.asked if method == "chat.postMessage")
    assert posted.ts == "1.000002"
    assert "blocks" in first
    assert "blocks" not in second
    assert second["text"] == "Maria · Instagram: Where is it?"
    assert "slack.blocks_refused" in caplog.text


async def test_an_update_that_slack_does_not_draw_becomes_text(
    odd: OddSlack, chat: SlackChat, caplog: pytest.LogCaptureFixture
) -> None:
    odd.answers("chat.update", says({"ok": False, "error": "invalid_blocks"}), says({"ok": True}))
    await chat.update(TEAM, CHANNEL, MessageTs("1.000001"), outgoing())
    assert [body["blocks"] == [] for method, body in odd.asked if method == "chat.update"] == [False, True]
    odd.script["chat.update"] = [says({"ok": False, "error": "cant_update_message"})]
    with pytest.raises(PermanentError):
        await chat.update(TEAM, CHANNEL, MessageTs("1.000001"), outgoing())


async def test_text_that_is_refused_as_well_is_given_up(
    odd: OddSlack, chat: SlackChat, caplog: pytest.LogCaptureFixture
) -> None:
    odd.answers("chat.postMessage", says({"ok": False, "error": "invalid_blocks"}))
    with pytest.raises(PermanentError):
        await chat.post(outgoing())
    assert odd.times("chat.postMessage") == 2


async def test_an_answer_that_does_not_say_where_the_post_is_leaves_it_in_doubt(
    odd: OddSlack, chat: SlackChat
) -> None:
    odd.answers("chat.postMessage", says({"ok": True}))
    with pytest.raises(UnconfirmedError, match="answer_without_ts"):
        await chat.post(outgoing())


async def test_calls_to_this_machine_go_around_a_proxy(
    odd: OddSlack, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with Clients(OneToken("xoxb-1"), api_url=odd.url) as clients:
        await SlackChat(clients, now=now).post(outgoing())
        assert clients.proxy is None
    async with Clients(OneToken("xoxb-1")) as clients:
        assert clients.proxy == "http://127.0.0.1:9"


# --- looking back ------------------------------------------------------------------------------------


def message(n: int, **more: object) -> dict[str, object]:
    return {"ts": f"{n}.000000", "text": "x", "user": "U1", **more}


def history(count: int, *, cursor: str = "") -> Answer:
    messages = [message(n) for n in range(count)]
    return says({"ok": True, "messages": messages, "response_metadata": {"next_cursor": cursor}})


LIMITED = says({"ok": False, "error": "ratelimited"}, {"Retry-After": "60"}, status=429)


async def test_a_missing_scope_means_that_nobody_can_tell(odd: OddSlack, chat: SlackChat) -> None:
    odd.answers(
        "conversations.history", says({"ok": False, "error": "missing_scope", "needed": "channels:history"})
    )
    with pytest.raises(CannotTell, match="missing_scope"):
        await chat.find(outgoing(), since=now())


async def test_fifteen_messages_a_minute_are_too_few_to_tell(odd: OddSlack, chat: SlackChat) -> None:
    odd.answers("conversations.history", history(15, cursor="next"), LIMITED)
    with pytest.raises(CannotTell, match="restricted_history"):
        await chat.find(outgoing(), since=now())


async def test_an_ordinary_limit_is_waited_out(odd: OddSlack, chat: SlackChat) -> None:
    odd.answers("conversations.history", LIMITED)
    with pytest.raises(Snooze):
        await chat.find(outgoing(), since=now())


async def test_a_history_without_end_is_not_read_to_its_end(odd: OddSlack, chat: SlackChat) -> None:
    odd.answers("conversations.replies", history(200, cursor="next"))
    with pytest.raises(CannotTell, match="history_too_long"):
        await chat.find(outgoing(thread_ts="1.000001"), since=now())
    assert odd.times("conversations.replies") == 10


async def test_our_posts_without_metadata_mean_that_nobody_can_tell(odd: OddSlack, chat: SlackChat) -> None:
    ours = {"ok": True, "messages": [message(1, bot_id="B1")]}
    odd.answers("conversations.history", says(ours))
    with pytest.raises(CannotTell, match="metadata_unreadable"):
        await chat.find(outgoing(), since=now())


async def test_a_delivery_on_a_later_page_is_found(odd: OddSlack, chat: SlackChat) -> None:
    metadata = {"event_type": "jollor_bridge", "event_payload": {"kind": "notice", "id": "d1"}}
    found = says({"ok": True, "messages": [message(9, metadata=metadata, thread_ts="1.000001")]})
    odd.answers("conversations.replies", history(3, cursor="next"), found)
    posted = await chat.find(outgoing(thread_ts="1.000001"), since=now())
    assert posted is not None
    assert (posted.ts, posted.thread_ts) == ("9.000000", "1.000001")
    assert odd.asked[-1][1]["cursor"] == "next"


async def test_somebody_elses_metadata_is_not_ours(odd: OddSlack, chat: SlackChat) -> None:
    foreign = {"event_type": "other_app", "event_payload": {"id": "d1"}}
    shapeless = {"event_type": "jollor_bridge", "event_payload": "d1"}
    messages = [message(1, metadata=foreign), message(2, metadata=shapeless), message(3, metadata=None), "?"]
    odd.answers("conversations.history", says({"ok": True, "messages": messages}))
    assert await chat.find(outgoing(), since=now()) is None


# --- people, channels, answers -----------------------------------------------------------------------


async def test_people_and_channels_are_asked_for_once_in_a_while(odd: OddSlack, chat: SlackChat) -> None:
    person = {"id": "U1", "team_id": TEAM, "profile": {"display_name": "", "real_name": "Ana Lima"}}
    odd.answers("users.info", says({"ok": True, "user": person}))
    odd.answers("conversations.info", says({"ok": True, "channel": {"id": CHANNEL, "name": "help"}}))
    for _ in range(3):
        assert (await chat.person(TEAM, UserId("U1"))).name == "Ana Lima"
        assert (await chat.channel(TEAM, CHANNEL)).name == "help"
    assert (odd.times("users.info"), odd.times("conversations.info")) == (1, 1)
    await chat.join(TEAM, CHANNEL)
    await chat.channel(TEAM, CHANNEL)
    assert odd.times("conversations.info") == 2


async def test_a_failed_question_is_not_remembered(odd: OddSlack, chat: SlackChat) -> None:
    odd.answers(
        "users.info",
        says({"ok": False, "error": "ratelimited"}),
        says({"ok": True, "user": {"id": "U1", "name": "ana"}}),
    )
    with pytest.raises(Snooze):
        await chat.person(TEAM, UserId("U1"))
    assert (await chat.person(TEAM, UserId("U1"))).name == "ana"


async def test_channels_are_searched_page_by_page_and_without_the_private_ones_if_need_be(
    odd: OddSlack, chat: SlackChat
) -> None:
    refused = says({"ok": False, "error": "missing_scope", "needed": "groups:read"})
    first = says(
        {"ok": True, "channels": [{"id": "C1", "name": "a"}], "response_metadata": {"next_cursor": "n"}}
    )
    second = says({"ok": True, "channels": [{"id": "C2", "name": "sales"}]})
    odd.answers("conversations.list", refused, first, second)
    found = await chat.find_channel(TEAM, "#sales")
    assert found is not None
    assert found.id == "C2"
    assert [asked["types"] for _, asked in odd.asked] == [
        "public_channel,private_channel",
        "public_channel",
        "public_channel",
    ]


@pytest.mark.parametrize(
    ("code", "error", "sentence"),
    [
        ("method_not_supported_for_channel_type", PermanentError, "Invite me there"),
        ("is_archived", PermanentError, "archived"),
        ("missing_scope", PermanentError, "Invite me there"),
        ("token_revoked", TargetDown, "Install the app again"),
    ],
)
async def test_a_channel_that_cannot_be_joined_says_what_to_do(
    odd: OddSlack, chat: SlackChat, code: str, error: type[BridgeError], sentence: str
) -> None:
    odd.answers("conversations.join", says({"ok": False, "error": code}))
    with pytest.raises(error) as caught:
        await chat.join(TEAM, CHANNEL)
    assert sentence in caught.value.user_message


async def test_a_search_for_channels_that_fails_says_so(odd: OddSlack, chat: SlackChat) -> None:
    odd.answers("conversations.list", says({"ok": False, "error": "invalid_arguments"}))
    with pytest.raises(PermanentError, match="invalid_arguments"):
        await chat.find_channel(TEAM, "sales")


async def test_an_answer_that_never_left_is_no_doubt() -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{reserved.getsockname()[1]}/"
        async with Clients(OneToken("xoxb-1"), api_url=url, timeout_s=2) as clients:
            with pytest.raises(BridgeError, match="slack_unreachable"):
                await SlackChat(clients, now=now).answer(url + "response", Notice(text="hi"))


async def test_a_workspace_with_too_many_channels_asks_to_pick_one(odd: OddSlack, chat: SlackChat) -> None:
    endless = says(
        {"ok": True, "channels": [{"id": "C1", "name": "a"}], "response_metadata": {"next_cursor": "n"}}
    )
    odd.answers("conversations.list", endless)
    with pytest.raises(PermanentError) as caught:
        await chat.find_channel(TEAM, "sales")
    assert "Pick yours" in caught.value.user_message


async def test_an_answer_goes_to_slack_only(odd: OddSlack, chat: SlackChat) -> None:
    for elsewhere in (
        "https://evil.example/x",
        "http://hooks.slack.com/x",
        "https://slack.com.evil.example/",
        "?",
        "",
    ):
        with pytest.raises(PermanentError, match="response_url_not_slack"):
            await chat.answer(elsewhere, Notice(text="hi"))
    await chat.answer(odd.url + "response", Notice(text="hi"), replace=True)
    (_, body) = odd.asked[-1]
    assert (body["response_type"], body["replace_original"], body["text"]) == ("ephemeral", True, "hi")


@pytest.mark.parametrize(
    ("answer", "error", "code"),
    [
        (says({"ok": False, "error": "used_url"}, status=404), PermanentError, "response_url_gone"),
        (says({"ok": False, "error": "expired_url"}, status=400), PermanentError, "response_url_gone"),
        (says({"ok": False, "error": "invalid_payload"}, status=400), PermanentError, "http_400"),
        (LIMITED, Snooze, "ratelimited"),
        (page("oops", status=503, kind="text/html"), UnconfirmedError, "http_503"),
        (cut, UnconfirmedError, "slack_timeout"),
        (hang, UnconfirmedError, "slack_timeout"),
    ],
)
async def test_an_answer_that_fails_says_how(
    odd: OddSlack, chat: SlackChat, answer: Answer, error: type[BridgeError], code: str
) -> None:
    odd.answers("response", answer)
    with pytest.raises(error) as caught:
        await chat.answer(odd.url + "response", Notice(text="hi"))
    assert caught.value.code == code
    assert odd.times("response") == 1
