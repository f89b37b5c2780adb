"""Webhook bodies in all their shapes."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import JsonValue

from jollor.webhooks import (
    EVENT_TYPES,
    Delivery,
    Reason,
    WebhookEvent,
    is_challenge,
    read_delivery,
    read_events,
)

PAYLOADS = Path(__file__).parent.parent / "payloads" / "jollor"
PROJECT = "64b0c0ffee00112233445566"
POST = "64b0c0ffee00112233447701"
MESSAGE = "64b0c0ffee00112233448801"
DIALOGUE = "64b0c0ffee0011223344aa01"

any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
event_like = st.fixed_dictionaries(
    {},
    optional={
        "event_type": st.sampled_from(EVENT_TYPES) | any_json,
        "project_id": st.just(PROJECT) | any_json,
        "post_id": any_json,
        "message_id": any_json,
        "conversation_id": any_json,
        "dialogue_id": any_json,
        "date": any_json,
        "events": any_json,
        "message_received": any_json,
    },
)


def read_payload(name: str) -> Delivery:
    return read_delivery((PAYLOADS / f"{name}.json").read_bytes())


@pytest.mark.parametrize(
    ("name", "event"),
    [
        ("flat_post_received", WebhookEvent("post_received", PROJECT, post_id=POST)),
        (
            "flat_message_received",
            WebhookEvent(
                "message_received", PROJECT, message_id=MESSAGE, conversation_id="t_5550001112223334"
            ),
        ),
        ("flat_token_expired", WebhookEvent("token_expired", PROJECT)),
        (
            "flat_dialogue_started",
            WebhookEvent(
                "dialogue_started",
                PROJECT,
                conversation_id="t_5550001112223334",
                dialogue_id=DIALOGUE,
                date=datetime(2024, 5, 2, 9, 15, 30, tzinfo=UTC),
            ),
        ),
    ],
)
def test_the_flat_form_of_the_guide_is_one_event(name: str, event: WebhookEvent) -> None:
    assert read_payload(name) == Delivery(events=(event,))


def test_the_items_of_an_envelope_take_over_its_project() -> None:
    delivery = read_payload("envelope")
    assert [event.type for event in delivery.events] == [
        "message_received",
        "dialogue_human_agent_needed",
        "token_expired",
    ]
    assert {event.project_id for event in delivery.events} == {PROJECT}
    assert delivery.events[0].dialogue_id == DIALOGUE


def test_in_the_keyed_form_the_name_is_the_type_and_tells_whose_id_it_is() -> None:
    assert read_payload("keyed_envelope").events == (
        WebhookEvent("post_received", PROJECT, post_id=POST),
        WebhookEvent("message_received", PROJECT, message_id=MESSAGE),
        WebhookEvent(
            "dialogue_ended",
            PROJECT,
            dialogue_id=DIALOGUE,
            date=datetime(2024, 5, 2, 10, 15, 31, tzinfo=UTC),
        ),
        WebhookEvent("token_expired", PROJECT),
    )


def test_a_bare_list_is_a_list_of_events_in_either_form() -> None:
    assert [(event.type, event.project_id) for event in read_payload("bare_list").events] == [
        ("post_published", PROJECT),
        ("post_created", None),
    ]


def test_an_item_may_name_another_project_than_its_envelope() -> None:
    body: JsonValue = {"project_id": "p1", "events": [{"event_type": "token_expired", "project_id": "p2"}]}
    assert read_events(body).events == (WebhookEvent("token_expired", "p2"),)


def test_a_bare_string_is_taken_as_the_id_of_a_keyed_item() -> None:
    assert read_events({"events": [{"post_received": "p9"}]}).events == (
        WebhookEvent("post_received", post_id="p9"),
    )


def test_a_keyed_item_may_carry_the_full_names_as_well() -> None:
    item: JsonValue = {"message_sent": {"message_id": "m1", "conversation_id": "c1"}, "project_id": "p1"}
    assert read_events([item]).events == (
        WebhookEvent("message_sent", "p1", message_id="m1", conversation_id="c1"),
    )


def test_numbers_are_taken_as_ids() -> None:
    assert read_events({"event_type": "post_received", "post_id": 77, "project_id": 5}).events == (
        WebhookEvent("post_received", "5", post_id="77"),
    )


def test_a_message_event_with_only_its_conversation_is_hint_enough() -> None:
    event: JsonValue = {"event_type": "message_sent", "conversation_id": "c1"}
    assert read_events(event).events == (WebhookEvent("message_sent", conversation_id="c1"),)


@pytest.mark.parametrize(
    ("date", "expected"),
    [
        ("2024-05-02T09:15:30.000Z", datetime(2024, 5, 2, 9, 15, 30, tzinfo=UTC)),
        ("2024-05-02T11:15:30+02:00", datetime(2024, 5, 2, 9, 15, 30, tzinfo=UTC)),
        ("2024-05-02T09:15:30", datetime(2024, 5, 2, 9, 15, 30, tzinfo=UTC)),
        (1714641330, datetime(2024, 5, 2, 9, 15, 30, tzinfo=UTC)),
        (1714641330000, datetime(2024, 5, 2, 9, 15, 30, tzinfo=UTC)),
        ("1714641330", datetime(2024, 5, 2, 9, 15, 30, tzinfo=UTC)),
        ("yesterday", None),
        (None, None),
        (True, None),
        (1e300, None),
        ({}, None),
    ],
)
def test_a_date_is_read_as_iso_or_as_epoch_seconds_or_milliseconds(
    date: JsonValue, expected: datetime | None
) -> None:
    (event,) = read_events({"event_type": "dialogue_ended", "dialogue_id": "d", "date": date}).events
    assert event.date == expected


@pytest.mark.parametrize(
    ("body", "reason", "about"),
    [
        (b"", Reason.NOT_JSON, ""),
        (b"\xff\xfe\x00", Reason.NOT_JSON, ""),
        (b"[" * 100_000, Reason.NOT_JSON, ""),
        (b"1" * 5_000, Reason.NOT_JSON, ""),
        (b"null", Reason.UNKNOWN_SHAPE, "NoneType"),
        (b'"hi"', Reason.UNKNOWN_SHAPE, "str"),
        (b"{}", Reason.UNKNOWN_SHAPE, ""),
        (b'{"a": 1, "b": 2}', Reason.UNKNOWN_SHAPE, "a, b"),
        (b'{"events": {"event_type": "token_expired"}}', Reason.UNKNOWN_TYPE, "events"),
        (b'[[{"event_type": "token_expired"}]]', Reason.UNKNOWN_SHAPE, "list"),
        (b'{"event_type": "post_eaten", "post_id": "p"}', Reason.UNKNOWN_TYPE, "post_eaten"),
        (b'{"event_type": "evil\\nline", "post_id": "p"}', Reason.UNKNOWN_TYPE, "evil?line"),
        (b'{"event_type": 7}', Reason.UNKNOWN_TYPE, "int"),
        (b'{"event_type": "post_received"}', Reason.MISSING_ID, "post_received"),
        (b'{"event_type": "post_received", "post_id": ""}', Reason.MISSING_ID, "post_received"),
        (b'{"event_type": "post_received", "post_id": "a\\u0000"}', Reason.MISSING_ID, "post_received"),
        (b'{"event_type": "post_received", "post_id": "\\ud800"}', Reason.MISSING_ID, "post_received"),
        (b'{"event_type": "dialogue_ended", "conversation_id": "c"}', Reason.MISSING_ID, "dialogue_ended"),
    ],
)
def test_what_is_no_event_is_left_over_with_the_reason(body: bytes, reason: Reason, about: str) -> None:
    delivery = read_delivery(body)
    assert delivery.events == ()
    assert [(leftover.reason, leftover.about) for leftover in delivery.leftovers] == [(reason, about)]


def test_one_bad_item_does_not_spoil_the_others() -> None:
    items: JsonValue = [
        {"event_type": "token_expired"},
        None,
        {"event_type": "nonsense"},
        {"token_expired": 1},
    ]
    delivery = read_events({"events": items})
    assert [event.type for event in delivery.events] == ["token_expired", "token_expired"]
    assert [leftover.reason for leftover in delivery.leftovers] == [Reason.UNKNOWN_SHAPE, Reason.UNKNOWN_TYPE]


def test_a_leftover_shows_names_and_keeps_the_item_for_a_look() -> None:
    (leftover,) = read_events({"event_type": "brand_new", "post_id": "p1"}).leftovers
    assert str(leftover) == "unknown_type: brand_new"
    assert json.loads(leftover.item) == {"event_type": "brand_new", "post_id": "p1"}
    assert "p1" not in repr(leftover)


@given(any_json | event_like | st.lists(event_like) | st.fixed_dictionaries({"events": st.lists(event_like)}))
def test_any_json_gives_events_or_leftovers(value: JsonValue) -> None:
    delivery = read_events(value)
    for event in delivery.events:
        assert event.type in EVENT_TYPES
        ids = (event.project_id, event.post_id, event.message_id, event.conversation_id, event.dialogue_id)
        assert all(one is None or one.encode() for one in ids)


@given(st.binary())
def test_any_bytes_give_events_or_leftovers(body: bytes) -> None:
    delivery = read_delivery(body)
    assert delivery.events or delivery.leftovers or body.strip() in (b"[]",)


@pytest.mark.parametrize(
    ("given_", "secret", "matches"),
    [
        ("0123", "0123", True),
        ("0123", "0124", False),
        ("", "0123", False),
        ("", "", False),
        ("é", "é", True),
        ("\udcff", "0123", False),
    ],
)
def test_only_the_secret_itself_is_the_challenge(given_: str, secret: str, matches: bool) -> None:
    assert is_challenge(given_, secret) is matches
