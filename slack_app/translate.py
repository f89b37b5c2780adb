"""An Events API envelope as Slack sent it becomes one of the bridge's events, or none.

Pure: names of people and channels come in from outside (`needed_ids` says which). Any JSON gives an event or
None, never an exception. Which threads are linked and what may go out is decided by the relay.
Source of the shapes: docs.slack.dev reference/events/message and apis/events-api.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from bridge.events import AppRemoved, ChannelState, LineDeleted, LineEdited, LineTyped
from bridge.ids import ChannelId, MessageTs, TeamId, ThreadRef
from slack_app.mrkdwn import Mentions, Names, mentions, to_plain

SlackHappening = LineTyped | LineEdited | LineDeleted | ChannelState | AppRemoved
Json = Mapping[str, Any]

# A file with its caption, a reply that also went to the channel and "/me waves" are typed by people; all
# other subtypes (bot_message, channel_join, channel_topic …) are not.
_TYPED_SUBTYPES = frozenset({None, "file_share", "thread_broadcast", "me_message"})

_ChannelFate = Literal["archived", "unarchived", "renamed", "deleted", "bot_joined", "bot_left"]
_CHANNEL_EVENTS: Mapping[str, _ChannelFate] = {
    "channel_archive": "archived",
    "channel_unarchive": "unarchived",
    "channel_rename": "renamed",
    "channel_deleted": "deleted",
    "channel_left": "bot_left",
    "group_archive": "archived",
    "group_unarchive": "unarchived",
    "group_rename": "renamed",
    "group_deleted": "deleted",
    "group_left": "bot_left",
}
_MEMBERSHIP_EVENTS: Mapping[str, _ChannelFate] = {
    "member_joined_channel": "bot_joined",
    "member_left_channel": "bot_left",
}


@dataclass(frozen=True, slots=True)
class _Envelope:
    """What stands around the event: whose installation it is for, and who we are there."""

    team: str
    enterprise: str | None
    own_users: frozenset[str]
    is_external: bool | None
    event: Json


def team_of(body: Json) -> TeamId | None:
    """Return the workspace whose installation `body` is for, None if it is no event."""
    envelope = _open(body)
    return None if envelope is None else TeamId(envelope.team)


def thread_of(body: Json) -> str | None:
    """Return the key of the thread that the message in `body` belongs to, None if it is about no message.

    A line, its edits and its deletion have the same key; a line outside of threads has one of its own.
    """
    envelope = _open(body)
    if envelope is None or envelope.event.get("type") != "message":
        return None
    event = envelope.event
    message, previous = _dict(event.get("message")), _dict(event.get("previous_message"))
    channel = _str(event.get("channel"))
    root = next(
        (
            found
            for source, name in (
                (event, "thread_ts"),
                (message, "thread_ts"),
                (previous, "thread_ts"),
                (event, "deleted_ts"),
                (message, "ts"),
                (previous, "ts"),
                (event, "ts"),
            )
            if (found := _str(source.get(name))) is not None
        ),
        None,
    )
    if channel is None or root is None:
        return None
    return ThreadRef(TeamId(envelope.team), ChannelId(channel), MessageTs(root)).key


def needed_ids(body: Json) -> Mentions:
    """Return the people and channels whose names `translate` would use: none where it gives no line."""
    envelope = _open(body)
    if envelope is None or envelope.event.get("type") != "message":
        return Mentions()
    message = _inner(envelope.event)
    return mentions(message) if message is not None and is_typed(message) else Mentions()


def translate(body: Json, names: Names, *, received_at: datetime) -> SlackHappening | None:
    """Return what `body` (an `event_callback`) reports, None if it is nothing for the bridge."""
    envelope = _open(body)
    if envelope is None:
        return None
    kind = envelope.event.get("type")
    if kind == "message":
        return _message(envelope, names, received_at)
    if kind == "app_uninstalled" or (kind == "tokens_revoked" and _lost_bot_token(envelope.event)):
        return AppRemoved(team_id=envelope.team)
    return _channel_state(envelope, str(kind))


def _open(body: Json) -> _Envelope | None:
    event = _dict(body.get("event"))
    authorizations = body.get("authorizations")
    installed = _dict(authorizations[0]) if isinstance(authorizations, list) and authorizations else {}
    # In a shared channel `team_id` may be the other side's; the installation's is ours (apis/events-api).
    team = _str(installed.get("team_id")) or _str(body.get("context_team_id")) or _str(body.get("team_id"))
    if not event or team is None:
        return None
    own = _str(installed.get("user_id")) if installed.get("is_bot") is not False else None
    external = body.get("is_ext_shared_channel")
    return _Envelope(
        team=team,
        enterprise=_str(installed.get("enterprise_id")) or _str(body.get("enterprise_id")),
        own_users=frozenset({own} if own else ()),
        is_external=external if isinstance(external, bool) else None,
        event=event,
    )


# --- messages ----------------------------------------------------------------------------------------


def _message(envelope: _Envelope, names: Names, received_at: datetime) -> SlackHappening | None:
    match envelope.event.get("subtype"):
        case "message_changed":
            return _changed(envelope, names)
        case "message_deleted":
            return _deleted(envelope)
        case _:
            return _typed(envelope, names, received_at)


def _typed(envelope: _Envelope, names: Names, received_at: datetime) -> LineTyped | None:
    event = envelope.event
    channel, ts, author = _str(event.get("channel")), _str(event.get("ts")), _author(envelope, event)
    if channel is None or ts is None or author is None or event.get("hidden") is True:
        return None
    return LineTyped(
        team_id=envelope.team,
        channel_id=channel,
        ts=ts,
        thread_ts=_thread(event, ts),
        user_id=author,
        text=to_plain(event, names),
        mentions_people=mentions(event).addresses_people,
        has_files=_has_files(event),
        is_broadcast=event.get("subtype") == "thread_broadcast",
        client_msg_id=_str(event.get("client_msg_id")),
        is_outsider=_is_outsider(envelope, event),
        is_under_ours=_str(event.get("parent_user_id")) in envelope.own_users,
        edited_ts=_edited_ts(event),
        received_at=received_at,
    )


def _changed(envelope: _Envelope, names: Names) -> LineEdited | LineDeleted | None:
    event = envelope.event
    message, previous = _dict(event.get("message")), _dict(event.get("previous_message"))
    channel, ts = _str(event.get("channel")), _str(message.get("ts"))
    if channel is None or ts is None:
        return None
    if message.get("subtype") == "tombstone":
        return _gone(envelope, channel, ts, previous)
    author = _author(envelope, message)
    if author is None or not _was_edited(message, previous):
        return None
    return LineEdited(
        team_id=envelope.team,
        channel_id=channel,
        ts=ts,
        thread_ts=_thread(message, ts),
        user_id=author,
        text=to_plain(message, names),
        mentions_people=mentions(message).addresses_people,
        has_files=_has_files(message),
        client_msg_id=_str(message.get("client_msg_id")),
        is_outsider=_is_outsider(envelope, message),
        edited_ts=_edited_ts(message) or _str(event.get("ts")) or ts,
    )


def _deleted(envelope: _Envelope) -> LineDeleted | None:
    event = envelope.event
    previous = _dict(event.get("previous_message"))
    channel = _str(event.get("channel"))
    ts = _str(event.get("deleted_ts")) or _str(previous.get("ts"))
    if channel is None or ts is None:
        return None
    return _gone(envelope, channel, ts, previous)


def _gone(envelope: _Envelope, channel: str, ts: str, previous: Json) -> LineDeleted | None:
    """A person's line is gone; Slack tells who wrote it (if `previous` came along), not who deleted it."""
    author = _author(envelope, previous)
    if previous and author is None:
        return None
    return LineDeleted(
        team_id=envelope.team, channel_id=channel, ts=ts, thread_ts=_thread(previous, ts), user_id=author
    )


def _inner(event: Json) -> Json | None:
    """The message that `event` is about, None where its text does not matter."""
    match event.get("subtype"):
        case "message_changed":
            return _dict(event.get("message")) or None
        case "message_deleted":
            return None
        case _:
            return event


def is_typed(message: Json) -> bool:
    """`message` was typed by a person: no bot, no app, no notice of Slack's own."""
    subtype = message.get("subtype")
    is_automatic = any(message.get(name) for name in ("bot_id", "app_id", "bot_profile"))
    return (subtype is None or isinstance(subtype, str)) and subtype in _TYPED_SUBTYPES and not is_automatic


def _author(envelope: _Envelope, message: Json) -> str | None:
    """The person who typed `message`, None if none did."""
    user = _str(message.get("user"))
    if user is None or user in envelope.own_users or user == "USLACKBOT" or not is_typed(message):
        return None
    return user


def _was_edited(message: Json, previous: Json) -> bool:
    """A person changed it. Unfurling changes attachments alone, and leaves no `edited` of its own."""
    if not previous:
        return _edited_ts(message) is not None
    return _edited_ts(message) != _edited_ts(previous) or message.get("text") != previous.get("text")


def _edited_ts(message: Json) -> str | None:
    return _str(_dict(message.get("edited")).get("ts"))


def _thread(message: Json, ts: str) -> str | None:
    """The thread that `message` replies in; None for a root, which names itself once it has replies."""
    thread = _str(message.get("thread_ts"))
    return None if thread == ts else thread


def _has_files(message: Json) -> bool:
    return bool(message.get("files")) or message.get("subtype") == "file_share"


def _is_outsider(envelope: _Envelope, message: Json) -> bool:
    """The author belongs to another organisation (Slack Connect).

    Within one Enterprise Grid the workspaces differ, too; there a channel that is not shared externally holds
    no outsiders. In doubt: outsider.
    """
    teams = {_str(message.get(name)) for name in ("user_team", "team", "source_team")} - {None}
    if teams <= {envelope.team} or (
        envelope.enterprise is not None and teams <= {envelope.team, envelope.enterprise}
    ):
        return False
    return not (envelope.enterprise is not None and envelope.is_external is False)


# --- everything else ---------------------------------------------------------------------------------


def _channel_state(envelope: _Envelope, kind: str) -> ChannelState | None:
    event = envelope.event
    fate = _CHANNEL_EVENTS.get(kind)
    if fate is None and _str(event.get("user")) in envelope.own_users:
        fate = _MEMBERSHIP_EVENTS.get(kind)
    described = _dict(event.get("channel"))  # channel_rename brings an object, the others an id
    channel = _str(event.get("channel")) or _str(described.get("id"))
    if fate is None or channel is None:
        return None
    return ChannelState(
        team_id=envelope.team, channel_id=channel, what=fate, name=_str(described.get("name"))
    )


def _lost_bot_token(event: Json) -> bool:
    return bool(_dict(event.get("tokens")).get("bot"))


def _dict(value: object) -> Json:
    return value if isinstance(value, Mapping) else {}


def _str(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
