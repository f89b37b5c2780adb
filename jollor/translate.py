"""Jollor's wire values as the bridge's: the one place that decides what an absent member means. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from bridge.events import (
    ConversationChanged,
    DialogueChanged,
    Event,
    MessageHinted,
    PostChanged,
    ProfileExpired,
)
from bridge.ids import ConversationId, MessageId, PostId, ProjectId
from bridge.model import Conversation, Message, MessageList, Post, Project, ReplyRules, Webhook
from jollor.models import (
    Rows,
    WireCapabilities,
    WireConversation,
    WireMessage,
    WirePost,
    WireProject,
    WireWebhook,
)
from jollor.webhooks import WebhookEvent

UNKNOWN_CUSTOMER = "Unknown customer"
UNKNOWN_SENDER = "Unknown sender"

_MAX_NAME = 120


def to_project(wire: WireProject) -> Project:
    """Return a project; one without a name goes by its id."""
    return Project(id=ProjectId(wire.id), name=_one_line(wire.name) or wire.id)


def to_conversations(wires: Rows[WireConversation]) -> list[Conversation]:
    """Return the conversations, most recently active first, those without a time last."""
    found = [
        Conversation(ConversationId(wire.conversation_id), wire.provider or "", wire.last_message_at)
        for wire in wires
    ]
    return sorted(
        found, key=lambda one: one.last_message_at.timestamp() if one.last_message_at else 0.0, reverse=True
    )


def to_message(wire: WireMessage, *, sent_at: datetime) -> Message:
    """Return a message; `sent_at` is for one that does not tell its own.

    Without a direction it counts as the customer's: shown as such it misleads less than hidden as ours.
    `provider` is "" if Jollor does not tell it.
    """
    is_incoming = wire.is_incoming is not False
    customer = wire.sender if is_incoming else wire.recipient
    sender_name = _one_line(wire.sender.name if wire.sender else None)
    return Message(
        id=MessageId(wire.id),
        provider=wire.provider or "",
        sent_at=wire.sent_at or sent_at,
        is_incoming=is_incoming,
        sender=sender_name or (UNKNOWN_CUSTOMER if is_incoming else UNKNOWN_SENDER),
        customer=_one_line(customer.name if customer else None) or UNKNOWN_CUSTOMER,
        text=wire.text or "",
        has_attachments=wire.attachments > 0,
    )


def to_message_list(
    wires: Rows[WireMessage], *, limit: int, last_message_at: datetime | None, now: datetime
) -> MessageList:
    """Return the messages, oldest first, one per id; ties keep Jollor's order.

    `is_cut` if as many rows came as were asked for, or none as young as `last_message_at`.
    """
    messages = list({wire.id: to_message(wire, sent_at=at) for wire, at in _timed(wires.items, now)}.values())
    messages.sort(key=lambda message: message.sent_at)
    is_old = last_message_at is not None and (not messages or messages[-1].sent_at < last_message_at)
    return MessageList(
        messages=tuple(messages),
        is_cut=len(wires) + wires.left_out >= limit or is_old,
        unreadable=wires.left_out,
    )


def _timed(wires: Sequence[WireMessage], now: datetime) -> list[tuple[WireMessage, datetime]]:
    """Return each message with its time; one without it is as old as its neighbour in the list."""
    known = [wire.sent_at for wire in wires if wire.sent_at is not None]
    at = known[0] if known else now
    timed = []
    for wire in wires:
        at = wire.sent_at or at
        timed.append((wire, at))
    return timed


def to_post(wire: WirePost, *, mrkdwn: str) -> Post:
    """Return a post; without a direction it counts as one that came in."""
    return Post(
        id=PostId(wire.id),
        provider=wire.provider or "",
        is_incoming=wire.is_incoming is not False,
        author=_one_line(wire.author.name if wire.author else None),
        text=wire.text or "",
        mrkdwn=mrkdwn,
        published_at=wire.published_at,
    )


def to_reply_rules(wire: WireCapabilities) -> ReplyRules:
    """Return what may be replied; what Jollor does not say stays None."""
    return ReplyRules(is_allowed=wire.reply.allowed, max_length=wire.longest_reply)


def to_webhook(wire: WireWebhook) -> Webhook | None:
    """Return the webhook, None if the answer names neither a secret nor an address."""
    if wire.verify_token is None and wire.callback_url is None:
        return None
    names = None if wire.subscriptions is None else [name for name, on in wire.subscriptions.items() if on]
    return Webhook(
        secret=wire.verify_token or "",
        callback_url=wire.callback_url,
        status=wire.status,
        subscriptions=None if names is None else frozenset(names),
    )


def to_events(
    webhook_events: Sequence[WebhookEvent], project: ProjectId, *, received_at: datetime
) -> tuple[list[Event], int]:
    """Return what a delivery for `project` means, and how many of its items were another project's."""
    own = [event for event in webhook_events if event.project_id in (None, project)]
    return [_to_event(event, project, received_at) for event in own], len(webhook_events) - len(own)


def _to_event(event: WebhookEvent, project: ProjectId, received_at: datetime) -> Event:
    match event:
        case WebhookEvent(post_id=str(post_id)) if event.type.startswith("post_"):
            return PostChanged(project_id=project, post_id=post_id, what=_post_what(event.type))
        case WebhookEvent(dialogue_id=str(dialogue_id)) if event.type.startswith("dialogue_"):
            return DialogueChanged(
                project_id=project,
                dialogue_id=dialogue_id,
                conversation_id=event.conversation_id,
                what=_dialogue_what(event.type),
                at=event.date or received_at,
            )
        case WebhookEvent(conversation_id=str(conversation_id)) if event.type.startswith("message_"):
            return ConversationChanged(
                project_id=project,
                conversation_id=conversation_id,
                message_id=event.message_id,
                cause=event.type,
                since=received_at,
            )
        case WebhookEvent(message_id=str(message_id)) if event.type.startswith("message_"):
            return MessageHinted(project_id=project, message_id=message_id, cause=event.type)
        case WebhookEvent(type="token_expired"):
            return ProfileExpired(project_id=project, at=event.date or received_at)
    raise ValueError(f"webhooks lets no {event.type} through without its ids")


def _post_what(event_type: str) -> Literal["received", "created", "published"]:
    match event_type:
        case "post_created":
            return "created"
        case "post_published":
            return "published"
    return "received"


def _dialogue_what(event_type: str) -> Literal["started", "ended", "human_agent_needed"]:
    match event_type:
        case "dialogue_started":
            return "started"
        case "dialogue_ended":
            return "ended"
    return "human_agent_needed"


def _one_line(name: str | None) -> str:
    """Return a name as one line of bounded length; escaping is left to whoever draws it."""
    return " ".join((name or "").split())[:_MAX_NAME]
