"""Jollor's values as the bridge's, and what an absent member means."""

from datetime import UTC, datetime, timedelta

import pytest
from pydantic import JsonValue

from bridge.events import (
    ConversationChanged,
    DialogueChanged,
    MessageHinted,
    PostChanged,
    ProfileExpired,
)
from bridge.ids import MessageId, PostId, ProjectId
from bridge.model import Message, Post, Project, ReplyRules
from jollor.models import (
    WireCapabilities,
    WireConversation,
    WireMessage,
    WirePost,
    WireProject,
    WireWebhook,
    read_rows,
)
from jollor.translate import (
    to_conversations,
    to_events,
    to_message,
    to_message_list,
    to_post,
    to_project,
    to_reply_rules,
    to_webhook,
)
from jollor.webhooks import EVENT_TYPES, WebhookEvent

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
AT = datetime(2024, 5, 2, 9, 15, 30, tzinfo=UTC)
P = ProjectId("P")


def wire_message(**members: JsonValue) -> WireMessage:
    return WireMessage.model_validate({"id": "m1", **members})


def test_a_message_keeps_who_wrote_it_and_who_the_customer_is() -> None:
    people: dict[str, JsonValue] = {"sender": {"name": "Robin"}, "recipient": {"name": "Bakery"}}
    incoming = to_message(
        wire_message(is_incoming=True, provider="zalo", text="hi", sent_at="2024-05-02T09:15:30Z", **people),
        sent_at=NOW,
    )
    assert incoming == Message(MessageId("m1"), "zalo", AT, True, "Robin", "Robin", "hi")
    outgoing = to_message(wire_message(is_incoming=False, **people), sent_at=NOW)
    assert (outgoing.sender, outgoing.customer) == ("Robin", "Bakery")


def test_a_message_of_which_only_the_id_is_known_is_the_customers_and_of_now() -> None:
    message = to_message(wire_message(), sent_at=NOW)
    assert message == Message(MessageId("m1"), "", NOW, True, "Unknown customer", "Unknown customer", "")


def test_an_outgoing_message_without_people_names_nobody() -> None:
    message = to_message(wire_message(is_incoming=False), sent_at=NOW)
    assert (message.sender, message.customer) == ("Unknown sender", "Unknown customer")


def test_a_name_is_one_line_of_bounded_length() -> None:
    message = to_message(wire_message(sender={"name": " Robin\n\t Example " + "x" * 500}), sent_at=NOW)
    assert message.sender.startswith("Robin Example x")
    assert len(message.sender) == 120


def test_attachments_that_turn_up_are_noticed() -> None:
    assert to_message(wire_message(attachments=[{}]), sent_at=NOW).has_attachments


def listed(*rows: JsonValue, limit: int = 1000, last: datetime | None = None) -> tuple[list[str], bool, int]:
    found = to_message_list(read_rows(WireMessage, list(rows)), limit=limit, last_message_at=last, now=NOW)
    return [message.id for message in found.messages], found.is_cut, found.unreadable


def row(id_: str, minute: int | None) -> JsonValue:
    return {"id": id_, "sent_at": None if minute is None else f"2024-05-02T09:{minute:02}:00Z"}


def test_a_list_is_sorted_by_time_and_ties_keep_jollors_order() -> None:
    assert listed(row("c", 3), row("b", 2), row("b2", 2), row("a", 1)) == (["a", "b", "b2", "c"], False, 0)


def test_a_message_without_a_time_stays_beside_its_neighbour() -> None:
    assert listed(row("x", None), row("a", 1), row("b", 2), row("y", None), row("c", 3))[0] == [
        "x",
        "a",
        "b",
        "y",
        "c",
    ]
    assert listed(row("x", None), row("y", None))[0] == ["x", "y"]


def test_a_message_listed_twice_is_there_once() -> None:
    assert listed(row("a", 1), row("b", 2), row("a", 1))[0] == ["a", "b"]


def test_a_list_as_long_as_its_limit_counts_as_cut_bad_rows_included() -> None:
    assert listed(row("a", 1), row("b", 2), limit=3)[1] is False
    assert listed(row("a", 1), row("b", 2), limit=2)[1] is True
    assert listed(row("a", 1), None, limit=2) == (["a"], True, 1)


@pytest.mark.parametrize(("minutes", "is_cut"), [(0, False), (-1, False), (1, True)])
def test_a_list_that_ends_before_the_last_message_counts_as_cut(minutes: int, is_cut: bool) -> None:
    last = datetime(2024, 5, 2, 9, 2, tzinfo=UTC) + timedelta(minutes=minutes)
    assert listed(row("a", 1), row("b", 2), last=last)[1] is is_cut
    assert listed(last=last)[1] is True


def test_conversations_come_most_recently_active_first_unknown_times_last() -> None:
    rows = read_rows(
        WireConversation,
        [
            {"conversation_id": "none"},
            {"conversation_id": "old", "last_message_at": "2024-05-02T09:00:00Z", "provider": "zalo"},
            {"conversation_id": "new", "last_message_at": "2024-05-02T10:00:00Z"},
        ],
    )
    assert [one.id for one in to_conversations(rows)] == ["new", "old", "none"]


def test_a_project_without_a_name_goes_by_its_id() -> None:
    assert to_project(WireProject.model_validate({"id": "p", "name": " "})) == Project(ProjectId("p"), "p")


def test_a_post_uses_text_author_and_time_if_they_turn_up() -> None:
    documented = to_post(WirePost.model_validate({"id": "p1", "provider": "twitter"}), mrkdwn="*x*")
    assert documented == Post(PostId("p1"), "twitter", True, "", "", "*x*", None)
    rich = to_post(
        WirePost.model_validate(
            {
                "id": "p1",
                "is_incoming": False,
                "text": "hello",
                "author": {"name": "Robin"},
                "published_at": 1714641330,
            }
        ),
        mrkdwn="",
    )
    assert rich == Post(PostId("p1"), "", False, "Robin", "hello", "", AT)


def test_reply_rules_keep_what_is_not_known_as_none() -> None:
    assert to_reply_rules(WireCapabilities()) == ReplyRules(None, None)
    known = WireCapabilities.model_validate({"reply": {"allowed": False, "reply_length": 280}})
    assert to_reply_rules(known) == ReplyRules(False, 280)


def test_a_webhook_with_neither_secret_nor_address_is_none() -> None:
    assert to_webhook(WireWebhook()) is None
    found = to_webhook(
        WireWebhook.model_validate({"verify_token": "s", "subscriptions": {"a": True, "b": False}})
    )
    assert found is not None
    assert (found.secret, found.callback_url, found.subscriptions) == ("s", None, frozenset({"a"}))
    elsewhere = to_webhook(WireWebhook.model_validate({"callback_url": "https://x.example", "status": "off"}))
    assert elsewhere is not None
    assert (elsewhere.secret, elsewhere.subscriptions, elsewhere.is_active) == ("", None, False)


@pytest.mark.parametrize(
    ("event", "meant"),
    [
        (
            WebhookEvent("post_received", post_id="p"),
            PostChanged(project_id="P", post_id="p", what="received"),
        ),
        (WebhookEvent("post_created", post_id="p"), PostChanged(project_id="P", post_id="p", what="created")),
        (
            WebhookEvent("post_published", post_id="p"),
            PostChanged(project_id="P", post_id="p", what="published"),
        ),
        (
            WebhookEvent("message_received", message_id="m", conversation_id="c"),
            ConversationChanged(
                project_id="P", conversation_id="c", message_id="m", cause="message_received", since=NOW
            ),
        ),
        (
            WebhookEvent("message_sent", conversation_id="c"),
            ConversationChanged(project_id="P", conversation_id="c", cause="message_sent", since=NOW),
        ),
        (
            WebhookEvent("message_created", message_id="m"),
            MessageHinted(project_id="P", message_id="m", cause="message_created"),
        ),
        (
            WebhookEvent("dialogue_started", dialogue_id="d", conversation_id="c", date=AT),
            DialogueChanged(project_id="P", dialogue_id="d", conversation_id="c", what="started", at=AT),
        ),
        (
            WebhookEvent("dialogue_ended", dialogue_id="d"),
            DialogueChanged(project_id="P", dialogue_id="d", what="ended", at=NOW),
        ),
        (
            WebhookEvent("dialogue_human_agent_needed", dialogue_id="d"),
            DialogueChanged(project_id="P", dialogue_id="d", what="human_agent_needed", at=NOW),
        ),
        (WebhookEvent("token_expired"), ProfileExpired(project_id="P", at=NOW)),
        (WebhookEvent("token_expired", "P", date=AT), ProfileExpired(project_id="P", at=AT)),
    ],
)
def test_each_event_type_has_its_meaning(event: WebhookEvent, meant: object) -> None:
    assert to_events([event], P, received_at=NOW) == ([meant], 0)


def test_every_known_type_is_translated() -> None:
    everything = [WebhookEvent(kind, "P", "p", "m", "c", "d") for kind in EVENT_TYPES]
    assert len(to_events(everything, P, received_at=NOW)[0]) == len(EVENT_TYPES)


def test_items_of_another_project_are_dropped_and_counted() -> None:
    mixed = [
        WebhookEvent("token_expired", "P"),
        WebhookEvent("token_expired", "Q"),
        WebhookEvent("token_expired"),
    ]
    events, foreign = to_events(mixed, P, received_at=NOW)
    assert (len(events), foreign) == (2, 1)


def test_an_event_without_its_ids_is_a_mistake_of_ours() -> None:
    with pytest.raises(ValueError, match="post_received"):
        to_events([WebhookEvent("post_received")], P, received_at=NOW)
