"""Operations as requests, answers as models or errors."""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import JsonValue

from jollor import operations as op
from jollor.errors import (
    BadAnswer,
    CannotAsk,
    Forbidden,
    JollorError,
    NotFound,
    OutcomeUnknown,
    RateLimited,
    Rejected,
    ServerDown,
    Unauthorized,
)
from jollor.models import WireReplyCreated, WireWebhook
from jollor.protocol import Answer, Base, Bearer, Call, Request, check, retry_after
from jollor.redaction import MAX_LENGTH, shortened

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
AnyCall = Call[object]


def answer(body: JsonValue = None, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    return Answer(status, headers or {}, json.dumps(body).encode())


def calls() -> dict[str, tuple[AnyCall, str, str]]:
    """Every operation of the API description: the call, its method, and its path with `P` for the project."""
    listed: list[tuple[AnyCall, str, str]] = [
        (op.get_current_user(), "GET", "/users/me"),
        (op.list_agencies(), "GET", "/agencies"),
        (op.get_agency("a/1"), "GET", "/agencies/a%2F1"),
        (op.list_agency_projects("a1"), "GET", "/agencies/a1/projects"),
        (op.get_project("P"), "GET", "/projects/P"),
        (op.list_conversations("P"), "GET", "/projects/P/conversations"),
        (
            op.list_conversation_messages("P", "t_1/2=+ü?#%", 1000),
            "GET",
            "/projects/P/conversations/t_1%2F2%3D%2B%C3%BC%3F%23%25/messages?limit=1000",
        ),
        (
            op.create_message_reply("P", "zalo oa", "c:1", "hi"),
            "POST",
            "/projects/P/zalo%20oa/conversations/c%3A1/messages",
        ),
        (op.list_dialogue_messages("P", "d1", 5), "GET", "/projects/P/dialogues/d1/messages?limit=5"),
        (op.close_dialogue("P", "d1"), "PUT", "/projects/P/dialogues/d1/close"),
        (op.get_message("P", "m1"), "GET", "/messages/m1"),
        (op.get_message_capabilities("P", "m1"), "GET", "/messages/m1/capabilities"),
        (op.list_incoming_posts("P"), "GET", "/projects/P/posts/incoming"),
        (op.list_tagged_posts("P", "a b"), "GET", "/projects/P/posts/tagged?tag=a b"),
        (op.get_post("P", "p1"), "GET", "/posts/p1"),
        (op.get_post_capabilities("P", "p1"), "GET", "/posts/p1/capabilities"),
        (op.create_post_reply("P", "p1", "hi"), "POST", "/post/p1/replies"),
        (op.render_message("P", "m1", ["facebook"]), "POST", "/render/message/m1"),
        (op.render_post("P", "p1", []), "POST", "/render/post/p1"),
        (op.get_suggestions("P", "m1", "official"), "GET", "/suggestions/m1?style=official"),
        (op.rate_automatic_reply("P", "m1", is_good=False), "PUT", "/ratings/m1?rating=bad"),
        (op.translate_text("P", "Hallo", "en"), "POST", "/projects/P/translate"),
        (op.new_media("P", "fb", "jpg"), "GET", "/projects/P/media/new?purpose=fb&extension=jpg"),
        (op.enable_webhook("P"), "POST", "/projects/P/webhook"),
        (op.get_webhook("P"), "GET", "/projects/P/webhook"),
        (op.update_webhook("P", "https://b.example"), "PUT", "/projects/P/webhook"),
        (op.delete_webhook("P"), "DELETE", "/projects/P/webhook"),
        (op.subscribe_event("P", "e"), "POST", "/projects/P/webhook/subscriptions?object_type=e"),
        (op.unsubscribe_event("P", "e"), "DELETE", "/projects/P/webhook/subscriptions?object_type=e"),
        (op.get_test_webhook("P", "e"), "GET", "/projects/P/webhook/test?object_type=e"),
        (op.send_test_webhook("P", "e"), "POST", "/projects/P/webhook/test?object_type=e"),
    ]
    return {call.request.operation: (call, method, path) for call, method, path in listed}


@pytest.mark.parametrize("operation", calls())
def test_an_operation_has_its_method_and_path_with_every_id_encoded(operation: str) -> None:
    call, method, path = calls()[operation]
    request = call.request
    query = "&".join(f"{name}={value}" for name, value in request.query)
    assert (request.method, request.path + (f"?{query}" if query else "")) == (method, "/public/v1" + path)
    assert request.base is Base.APP


def test_users_and_agencies_need_the_users_token_all_else_the_projects() -> None:
    of_user = {name for name, (call, _, _) in calls().items() if call.request.bearer is Bearer.USER}
    assert of_user == {"getCurrentUser", "listAgencies", "getAgency", "listAgencyProjects"}
    others = [call.request for name, (call, _, _) in calls().items() if name not in of_user]
    assert {(request.bearer, request.project_id) for request in others} == {(Bearer.PROJECT, "P")}
    assert op.get_current_user("P").request.bearer is Bearer.PROJECT


def test_only_what_would_be_there_twice_is_not_repeatable() -> None:
    assert {name for name, (call, _, _) in calls().items() if not call.request.is_repeatable} == {
        "createMessageReply",
        "createPostReply",
        "enableWebhook",
    }


def test_bodies_hold_what_the_reference_shows() -> None:
    assert op.create_message_reply("P", "zalo", "c", "hi").request.json == {"text": "hi"}
    assert op.create_post_reply("P", "p", "hi").request.json == {"text": "hi"}
    assert op.render_post("P", "p", ["zalo"]).request.json == {"pending_selected_providers": ["zalo"]}
    assert op.translate_text("P", "a", "en").request.json == {"text": "a", "out_lang_code": "en"}
    assert op.update_webhook("P", "u").request.json == {"callback_url": "u"}
    assert op.close_dialogue("P", "d").request.json is None
    assert op.enable_webhook("P").request.json is None


def test_optional_parameters_are_left_out() -> None:
    assert op.list_tagged_posts("P").request.query == ()
    assert op.get_suggestions("P", "m").request.query == ()


@pytest.mark.parametrize("bad", ["", ".", "..", "\ud800"])
def test_an_id_that_would_change_the_path_is_not_asked_for(bad: str) -> None:
    with pytest.raises(CannotAsk):
        op.get_message("P", bad)


def test_grants_are_json_at_the_auth_server_and_only_the_password_has_a_basic_header() -> None:
    password = op.password_grant("id", "se", "robin@x.example", "pä:ss").request
    exchange = op.exchange_grant("id", "se", "P", "uat").request
    refresh = op.refresh_grant("id", "se", "profile project", "prt").request
    client = {"client_id": "id", "client_secret": "se"}
    assert password.headers == {"Authorization": "Basic cm9iaW5AeC5leGFtcGxlOnDDpDpzcw=="}
    assert password.json == client | {"scope": "profile agency"}
    assert exchange.json == client | {"scope": "profile project", "project_id": "P", "access_token": "uat"}
    assert refresh.json == client | {"scope": "profile project", "refresh_token": "prt"}
    assert exchange.headers == refresh.headers == {}
    for request, grant in [(password, "password"), (exchange, "token_exchange"), (refresh, "refresh_token")]:
        assert (request.base, request.path, request.bearer) == (Base.AUTH, "/oauth2/token", Bearer.NONE)
        assert request.query == (("grant_type", grant),)


def test_a_request_does_not_show_texts_or_secrets() -> None:
    shown = repr(
        [op.password_grant("id", "s3cret", "u", "pw"), op.create_message_reply("P", "x", "c", "private")]
    )
    assert not any(hidden in shown for hidden in ("s3cret", "Basic", "private"))


REPEATABLE = op.get_message("P", "m").request
REPLY = op.create_message_reply("P", "zalo", "c", "the customer's words").request


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_any_2xx_is_a_success(status: int) -> None:
    check(REPLY, answer(status=status), now=NOW)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (301, ServerDown),
        (400, Rejected),
        (401, Unauthorized),
        (403, Forbidden),
        (404, NotFound),
        (408, ServerDown),
        (409, Rejected),
        (410, NotFound),
        (422, Rejected),
        (429, RateLimited),
        (500, ServerDown),
        (503, ServerDown),
        (999, ServerDown),
    ],
)
def test_the_status_tells_what_comes_next(status: int, kind: type[JollorError]) -> None:
    with pytest.raises(JollorError) as caught:
        check(REPEATABLE, answer(status=status), now=NOW)
    assert type(caught.value) is kind
    assert caught.value.status == status
    assert kind.next_step


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (302, OutcomeUnknown),
        (400, Rejected),
        (401, Unauthorized),
        (404, NotFound),
        (408, OutcomeUnknown),
        (429, RateLimited),
        (500, OutcomeUnknown),
        (502, OutcomeUnknown),
        (504, OutcomeUnknown),
    ],
)
def test_a_reply_that_a_server_failed_over_may_have_been_sent(status: int, kind: type[JollorError]) -> None:
    with pytest.raises(JollorError) as caught:
        check(REPLY, answer(status=status), now=NOW)
    assert type(caught.value) is kind


@pytest.mark.parametrize(
    ("header", "wait"),
    [
        (None, None),
        ("7", timedelta(seconds=7)),
        (" 0 ", timedelta(0)),
        ("999999999999999999", timedelta(hours=1)),
        ("Mon, 23 Nov 2026 12:00:30 GMT", timedelta(seconds=30)),
        ("Mon, 23 Nov 2026 12:00:30 -0000", timedelta(seconds=30)),
        ("Mon, 23 Nov 2020 12:00:30 GMT", timedelta(0)),
        ("soon", None),
        ("-5", None),
        ("²", None),
        ("", None),
    ],
)
def test_retry_after_is_seconds_or_a_date_within_reason(header: str | None, wait: timedelta | None) -> None:
    assert retry_after(header, NOW) == wait


def test_how_long_to_wait_comes_with_429_and_503() -> None:
    for status in (429, 503):
        with pytest.raises(JollorError) as caught:
            check(REPEATABLE, answer(status=status, headers={"retry-after": "3"}), now=NOW)
        assert isinstance(caught.value, RateLimited | ServerDown)
        assert caught.value.retry_after == timedelta(seconds=3)


def test_a_refusal_keeps_a_short_body_without_secrets_and_texts() -> None:
    body: JsonValue = {
        "error": "bad",
        "access_token": "other",
        "given": "tok-1",
        "text": "the customer's words, all",
    }
    with pytest.raises(Rejected) as caught:
        check(REPLY, answer(body, status=422), now=NOW, secrets=["tok-1"])
    assert '"error": "bad"' in str(caught.value)
    assert not any(hidden in str(caught.value) for hidden in ("other", "tok-1", "customer"))


@pytest.mark.parametrize(
    ("body", "secrets", "texts", "shown"),
    [
        (b"plain words", [], [], "plain words"),
        (b"", [], [], ""),
        (b"\xff\n  two   spaces", [], [], "\ufffd two spaces"),
        (b"Bearer abc.def= was wrong", [], [], "Bearer … was wrong"),
        (b"challenge=abc&x=1", [], [], "challenge=…&x=1"),
        (b'{"verify_token":"abc"}', [], [], '{"verify_token":…}'),
        (b'{"password": "never closed', [], [], '{"password": …'),
        (b"you sent p%C3%A4ss", ["p\u00e4ss"], [], "you sent …"),
        (b'you sent "p\\u00e4ss"', ["p\u00e4ss"], [], 'you sent "…"'),
        (b"ab is no secret", ["ab"], [], "ab is no secret"),
        (b"cannot send 'Dear Mrs Example, your or", [], ["Dear Mrs Example, your order"], "cannot send '…"),
        (b"no: hello", [], ["hello"], "no: …"),
    ],
)
def test_an_error_body_is_made_fit_for_a_log(
    body: bytes, secrets: list[str], texts: list[str], shown: str
) -> None:
    assert shortened(body, secrets, texts) == shown


def test_an_error_body_is_short() -> None:
    assert len(shortened(b"x" * 10_000)) == MAX_LENGTH


# --- reading -----------------------------------------------------------------------------------------


def test_a_list_says_how_many_rows_were_left_out() -> None:
    rows = op.list_conversations("P").read(answer([{"conversation_id": "c1"}, {"id": "c2"}]))
    assert ([row.conversation_id for row in rows], rows.left_out) == (["c1"], 1)


@pytest.mark.parametrize("body", [{}, None, "x", {"data": []}])
def test_a_list_that_is_none_is_a_bad_answer_not_an_empty_one(body: JsonValue) -> None:
    with pytest.raises(BadAnswer):
        op.list_conversations("P").read(answer(body))


@pytest.mark.parametrize("body", [b'{"id": null}', b"[]", b"null", b"<html>", b""])
def test_an_object_without_its_id_is_a_bad_answer(body: bytes) -> None:
    with pytest.raises(BadAnswer) as caught:
        op.get_message("P", "m").read(Answer(200, {}, body))
    assert "getMessage" in str(caught.value)


@pytest.mark.parametrize("read", [op.get_message("P", "m").read, op.list_conversations("P").read])
def test_a_body_that_was_cut_off_is_a_bad_answer(read: Callable[[Answer], object]) -> None:
    with pytest.raises(BadAnswer):
        read(Answer(200, {}, b"[]", is_complete=False))


@pytest.mark.parametrize("body", [b"", b"{}", b"<html>", b'{"id": {}}', b"[1]"])
def test_a_reply_counts_as_accepted_whatever_the_body(body: bytes) -> None:
    assert op.create_message_reply("P", "x", "c", "t").read(Answer(200, {}, body)) == WireReplyCreated()
    assert op.enable_webhook("P").read(Answer(200, {}, body)) == WireWebhook()
    for call in (op.close_dialogue("P", "d"), op.subscribe_event("P", "e"), op.delete_webhook("P")):
        call.read(Answer(200, {}, body))


def test_a_post_reply_tells_its_id() -> None:
    assert op.create_post_reply("P", "p", "t").read(answer({"id": 5})).id == "5"


@pytest.mark.parametrize(
    ("body", "text"), [('"a"', "a"), ('{"x": 1, "text": "b"}', "b"), ("7", "7"), ('""', "")]
)
def test_a_translation_is_a_string_or_the_string_in_an_object(body: str, text: str) -> None:
    assert op.translate_text("P", "t", "en").read(Answer(200, {}, body.encode())) == text


@pytest.mark.parametrize("body", ["{}", "null", "[]", "<p>"])
def test_a_translation_without_a_string_is_a_bad_answer(body: str) -> None:
    with pytest.raises(BadAnswer):
        op.translate_text("P", "t", "en").read(Answer(200, {}, body.encode()))


@pytest.mark.parametrize(
    ("body", "markup"),
    [
        (b"<p>a</p>", "<p>a</p>"),
        (b'"<p>a</p>"', "<p>a</p>"),
        (b'{"html": "a"}', {"html": "a"}),
        (b"\xff", "\ufffd"),
    ],
)
def test_rendered_markup_is_json_or_the_body_itself(body: bytes, markup: JsonValue) -> None:
    assert op.render_post("P", "p", []).read(Answer(200, {}, body)) == markup


def test_a_request_says_what_it_is() -> None:
    assert repr(Request("getX", "GET", "/x")).startswith("Request(operation='getX', method='GET', path='/x'")
