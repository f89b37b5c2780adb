"""Wire models: only an id is required, whatever else is missing, null or of another type."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import JsonValue, ValidationError

from jollor.models import (
    NotJson,
    Wire,
    WireAgency,
    WireCapabilities,
    WireConversation,
    WireMediaTicket,
    WireMessage,
    WirePost,
    WireProject,
    WireReplyCreated,
    WireSuggestion,
    WireToken,
    WireUser,
    WireWebhook,
    parse_json,
    read_rows,
    to_id,
    to_moment,
)

AT = datetime(2024, 5, 2, 9, 15, 30, tzinfo=UTC)

any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
MODELS: list[type[Wire]] = [
    WireAgency,
    WireCapabilities,
    WireConversation,
    WireMediaTicket,
    WireMessage,
    WirePost,
    WireProject,
    WireReplyCreated,
    WireSuggestion,
    WireToken,
    WireUser,
    WireWebhook,
]


def test_a_message_as_documented_is_read_whole() -> None:
    message = WireMessage.model_validate(
        {
            "id": "64b0c0ffee00112233448801",
            "provider": "facebook",
            "sent_at": "2024-05-02T09:15:30.000Z",
            "is_incoming": True,
            "sender": {"id": "64b0c0ffee00112233449901", "name": "Robin Example"},
            "recipient": {"id": "64b0c0ffee00112233449902", "name": "Harbour Bakery"},
            "text": "Are you open on Sunday?",
            "_links": {"self": {"href": "/public/v1/messages/64b0c0ffee00112233448801"}},
            "something_new": [1],
        }
    )
    assert message.sent_at == AT
    assert message.sender is not None
    assert message.sender.name == "Robin Example"
    assert (message.text, message.attachments) == ("Are you open on Sunday?", 0)


@pytest.mark.parametrize(
    "model", [WireMessage, WirePost, WireConversation, WireUser, WireAgency, WireProject]
)
@pytest.mark.parametrize("wrong", [None, {}, [], True, 1.5, "", "nonsense", [{}], {"id": {}}])
def test_every_member_but_the_id_may_be_of_any_type(model: type[Wire], wrong: JsonValue) -> None:
    id_name = "conversation_id" if model is WireConversation else "id"
    members: dict[str, JsonValue] = {
        field.alias or name: wrong for name, field in model.model_fields.items() if name != id_name
    }
    assert getattr(model.model_validate({**members, id_name: 7}), id_name) == "7"


@pytest.mark.parametrize("model", MODELS)
@given(data=st.data())
def test_any_members_give_a_model_or_a_validation_error(model: type[Wire], data: st.DataObject) -> None:
    names = [field.alias or name for name, field in model.model_fields.items()]
    value = data.draw(st.fixed_dictionaries({}, optional=dict.fromkeys(names, any_json)))
    shown = ""
    try:
        model.model_validate(value).model_dump_json()
    except ValidationError as error:
        shown = str(error)
    assert "input_value" not in shown


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("64b0", "64b0"),
        ("t_5/550=+", "t_5/550=+"),
        (42, "42"),
        (42.0, "42"),
        (0, "0"),
        (True, None),
        (1.5, None),
        (1e300, None),
        (10**80, None),
        (None, None),
        ("", None),
        ("  ", None),
        ("a\x00b", None),
        ("\ud800", None),
        ("x" * 1501, None),
        ({}, None),
    ],
)
def test_an_id_is_a_usable_string_or_a_whole_number(value: object, found: str | None) -> None:
    assert to_id(value) == found


@given(any_json)
def test_any_value_is_a_moment_or_none(value: JsonValue) -> None:
    moment = to_moment(value)
    assert moment is None or moment.utcoffset() == timedelta(0)


def test_a_bad_row_is_left_out_and_counted() -> None:
    rows = read_rows(WirePost, [{"id": "p1"}, {"id": None}, None, "p2", {"provider": "zalo"}, {"id": 3}])
    assert [row.id for row in rows] == ["p1", "3"]
    assert (len(rows), rows.left_out) == (2, 4)


@pytest.mark.parametrize(
    ("value", "text"),
    [("hi", "hi"), (42, "42"), (4.5, "4.5"), (True, None), ({}, None), ("a\x00b", "ab"), ("\ud800", "?")],
)
def test_a_text_can_be_stored_and_encoded(value: JsonValue, text: str | None) -> None:
    assert WireMessage.model_validate({"id": "m", "text": value}).text == text


@pytest.mark.parametrize(
    ("value", "is_incoming"),
    [
        (True, True),
        (False, False),
        (1, True),
        (0, False),
        ("TRUE", True),
        ("false", False),
        (2, None),
        ("?", None),
    ],
)
def test_a_flag_is_also_read_from_numbers_and_words(value: JsonValue, is_incoming: bool | None) -> None:
    assert WireMessage.model_validate({"id": "m", "is_incoming": value}).is_incoming is is_incoming


def test_a_participant_may_be_a_bare_name() -> None:
    message = WireMessage.model_validate({"id": "m", "sender": "Robin"})
    assert message.sender is not None
    assert message.sender.name == "Robin"


@pytest.mark.parametrize(
    ("capabilities", "longest"),
    [
        ({"max_reply_length": 2000, "reply": {"reply_length": 10}}, 2000),
        ({"reply": {"allowed": True, "max_reply_length": 900}}, 900),
        ({"reply": {"allowed": True, "reply_length": 800}}, 800),
        ({"max_reply_length": "700"}, 700),
        ({"max_reply_length": 0}, None),
        ({"max_reply_length": -1, "reply": {"reply_length": 800}}, None),
        ({"reply": None}, None),
        ({"reply": "yes", "attachment_formats": 7}, None),
        ({}, None),
    ],
)
def test_the_longest_reply_is_read_wherever_jollor_puts_it(
    capabilities: JsonValue, longest: int | None
) -> None:
    assert WireCapabilities.model_validate(capabilities).longest_reply == longest


@pytest.mark.parametrize(
    ("members", "lifetime"),
    [
        ({"expire_in": 1800}, 1800),
        ({"expires_in": 1800}, 1800),
        ({"expire_in": "1800"}, 1800),
        ({"expire_in": 0}, 3600),
        ({"expire_in": -5, "expires_in": 60}, 60),
        ({"expire_in": None}, 3600),
        ({"expire_in": "soon"}, 3600),
        ({}, 3600),
    ],
)
def test_the_lifetime_is_read_in_every_spelling_and_is_an_hour_by_default(
    members: dict[str, JsonValue], lifetime: int
) -> None:
    token = WireToken.model_validate({"access_token": "uat_1", **members})
    assert token.lifetime == timedelta(seconds=lifetime)


@pytest.mark.parametrize(
    ("scope", "words"),
    [
        (["profile", "project"], ("profile", "project")),
        ("profile project", ("profile", "project")),
        (["profile", "profile"], ("profile",)),
        (None, ()),
        ({}, ()),
        ([1, None], ("1",)),
    ],
)
def test_a_scope_is_an_array_or_a_string(scope: JsonValue, words: tuple[str, ...]) -> None:
    assert WireToken.model_validate({"access_token": "uat_1", "scope": scope}).scope == words


@pytest.mark.parametrize("token", [None, "", " ", "a\nb", "ä", 7, "x" * 8001, " padded "])
def test_a_token_that_no_header_takes_is_none(token: JsonValue) -> None:
    with pytest.raises(ValidationError):
        WireToken.model_validate({"access_token": token})
    assert WireToken.model_validate({"access_token": "a", "refresh_token": token}).refresh_token is None


def test_a_token_longer_than_any_id_is_fine() -> None:
    assert WireToken.model_validate({"access_token": "x" * 4000}).access_token == "x" * 4000


def test_secrets_stay_out_of_the_representation() -> None:
    token = WireToken.model_validate({"access_token": "tok-a", "refresh_token": "tok-r"})
    webhook = WireWebhook.model_validate({"verify_token": "tok-v"})
    assert "tok-" not in f"{token!r} {token} {webhook!r} {webhook}"


@pytest.mark.parametrize(
    ("value", "subscriptions"),
    [({"a": True, "b": 0, "c": "?"}, {"a": True, "b": False}), ({}, {}), (None, None), (["a"], None)],
)
def test_subscriptions_that_are_not_told_are_none(value: JsonValue, subscriptions: JsonValue) -> None:
    assert WireWebhook.model_validate({"subscriptions": value}).subscriptions == subscriptions


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 100_000, b"9" * 5000, "\ud800"])
def test_what_is_not_json_says_so_and_nothing_of_itself(body: bytes | str) -> None:
    with pytest.raises(NotJson) as caught:
        parse_json(body)
    assert str(caught.value) == "not JSON"
