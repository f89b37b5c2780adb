"""What the page shows, as JSON in sections; only sections that changed travel to the page."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from pydantic import JsonValue

from sandbox.demo.scene import NETWORKS
from sandbox.demo.stage import Stage
from sandbox.jollor.model import Conversation, Message, Post
from sandbox.ledger import Cause, CustomerReceipt
from sandbox.slack.model import Channel, User
from sandbox.slack.model import Message as SlackMessage
from sandbox.slack.state import Ephemeral
from sandbox.wire import Direction, End, WireEntry

MOST_MESSAGES = 300
"""Per conversation and per channel: the newest ones."""
PARTNERS = {End.JOLLOR: "Jollor", End.SLACK: "Slack"}
Section = dict[str, JsonValue]


def sections(stage: Stage) -> Section:
    """Every section by its name; the same state makes the same JSON."""
    shown: Section = {
        "setting": _setting(stage),
        "customers": [*_conversations(stage), *_posts(stage)],
        "people": {user.id: _person(user) for user in stage.slack.team.users.values()},
        "channels": [_channel(channel) for channel in stage.slack.team.channels.values()],
        "ephemerals": [_ephemeral(seen) for seen in stage.slack.state.ephemerals[-MOST_MESSAGES:]],
        "chosen": _chosen(stage),
        "troubles": stage.troubles.as_json(),
        "bridge": _bridge(stage),
    }
    for channel in stage.slack.team.channels.values():
        shown[f"messages:{channel.id}"] = _messages(channel)
    return shown


def wire_entry(entry: WireEntry) -> Section:
    """One line of the wire."""
    partner = PARTNERS[entry.end]
    called = entry.direction is Direction.IN
    return {
        "number": entry.number,
        "at": entry.at.isoformat(),
        "end": entry.end.value,
        "source": "Bridge" if called else partner,
        "target": partner if called else "Bridge",
        "method": entry.method,
        "path": entry.path,
        "operation": entry.operation,
        "status": entry.status,
        "ms": round(entry.duration_s * 1000, 1),
        "fault": entry.fault,
        "finished": entry.finished,
        "request": entry.request,
        "response": entry.response,
    }


def _setting(stage: Stage) -> JsonValue:
    return {
        "workspace": stage.slack.team.name,
        "personas": [person.id for person in stage.scene.people],
        "projects": [
            {"id": place.project.id, "name": place.project.name, "channel": place.channel.id}
            for place in stage.scene.places
        ],
        "networks": list(NETWORKS),
        "socket_mode": stage.socket_mode,
        "bot": stage.slack.team.bot.id,
        "shortcuts": [{"id": id_, "name": name} for id_, name in stage.slack.app.message_shortcuts],
    }


def _bridge(stage: Stage) -> JsonValue:
    bridge = stage.bridge
    log: list[JsonValue] = [*list(bridge.log)[-80:]]
    return {"state": bridge.state.value, "pid": bridge.pid, "ended": bridge.ended, "log": log}


# --- customers


def conversation_key(conversation: Conversation) -> str:
    """By what the page knows a conversation."""
    return f"message:{conversation.project.id}:{conversation.id}"


def post_key(post: Post) -> str:
    """By what the page knows a post and everything under it."""
    return f"post:{_root(post).id}"


def _conversations(stage: Stage) -> Iterator[JsonValue]:
    for conversation in stage.jollor.store.conversations.values():
        receipts = {
            receipt.message_id: receipt
            for receipt in stage.ledger.of_customer(conversation.id, project=conversation.project.id)
        }
        messages = conversation.messages[-MOST_MESSAGES:]
        yield {
            "key": conversation_key(conversation),
            "kind": "message",
            "id": conversation.id,
            "project": conversation.project.id,
            "provider": conversation.provider,
            "customer": conversation.customer.name,
            "last_at": _latest(message.sent_at for message in messages),
            "messages": [_private(message, receipts.get(message.id)) for message in messages],
        }


def _private(message: Message, receipt: CustomerReceipt | None) -> JsonValue:
    return {
        "id": message.id,
        "at": message.sent_at.isoformat(),
        "text": message.text,
        "is_customer": message.is_incoming,
        "via": message.cause.value,
        "request": None if receipt is None else receipt.request,
    }


def _posts(stage: Stage) -> Iterator[JsonValue]:
    posts = list(stage.jollor.store.posts.values())
    for post in posts:
        if post.parent is None:
            line = [post, *(other for other in posts if _root(other) is post and other is not post)]
            yield {
                "key": post_key(post),
                "kind": "post",
                "id": post.id,
                "project": post.project.id,
                "provider": post.provider,
                "customer": post.author.name,
                "last_at": _latest(each.published_at for each in line),
                "messages": [_public(each) for each in line[-MOST_MESSAGES:]],
            }


def _root(post: Post) -> Post:
    while post.parent is not None:
        post = post.parent
    return post


def _public(post: Post) -> JsonValue:
    return {
        "id": post.id,
        "at": post.published_at.isoformat(),
        "text": post.text,
        "is_customer": post.is_incoming,
        "via": (Cause.NETWORK if post.is_incoming else Cause.API).value,
        "request": None,
    }


def _latest(moments: Iterator[datetime]) -> str | None:
    latest = max(moments, default=None)
    return None if latest is None else latest.isoformat()


# --- Slack


def _person(user: User) -> JsonValue:
    return {
        "id": user.id,
        "name": user.shown_name,
        "full_name": user.real_name,
        "handle": user.name,
        "role": _role(user),
        "is_bot": user.is_bot,
    }


def _role(user: User) -> str:
    if user.is_bot:
        return "app"
    if user.is_admin:
        return "admin"
    return "guest" if user.is_restricted or user.is_stranger else "member"


def _channel(channel: Channel) -> JsonValue:
    return {
        "id": channel.id,
        "name": channel.name,
        "topic": channel.topic,
        "is_private": channel.is_private,
        "is_archived": channel.is_archived,
        "members": list(channel.members),
    }


def _messages(channel: Channel) -> list[JsonValue]:
    newest = list(channel.messages.values())[-MOST_MESSAGES:]
    return [_message(channel, message) for message in newest]


def _message(channel: Channel, message: SlackMessage) -> JsonValue:
    """The message as Slack shows it to people: without metadata."""
    shown: JsonValue = channel.shown(message)
    return shown


def _ephemeral(seen: Ephemeral) -> JsonValue:
    return {
        "ts": seen.ts,
        "user": seen.user,
        "channel": seen.channel,
        "thread_ts": seen.thread_ts,
        "text": seen.text,
        "blocks": [*seen.blocks],
        "via": seen.via,
    }


def _chosen(stage: Stage) -> JsonValue:
    """What stands in the menus of messages, by channel, message, block and action."""
    return {
        f"{channel}:{ts}": {block: dict(actions) for block, actions in blocks.items()}
        for (channel, ts), blocks in stage.slack.state.message_values.items()
    }
