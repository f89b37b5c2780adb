"""What a simulated Slack workspace consists of: people, channels, messages, installs.

Plain state with the JSON that Slack shows of it. Who may change what, and who hears of it, is decided in
`methods/` (what apps do) and `people.py` (what humans do).
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

Json = dict[str, Any]
"""A JSON object as it goes over the wire; built and read at the border only."""

SLACKBOT: Final = "USLACKBOT"
_ALPHABET: Final = "0123456789ABCDEFGHJKLMNPQRSTUVWXYZ"


class Ids:
    """Makes ids that look like Slack's, the same ones for the same seed."""

    def __init__(self, seed: int = 1) -> None:
        self._random = random.Random(seed)

    def new(self, prefix: str) -> str:
        return prefix + "0" + "".join(self._random.choices(_ALPHABET, k=9))

    def hex(self, length: int) -> str:
        return f"{self._random.getrandbits(length * 4):0{length}x}"

    def uuid(self) -> str:
        raw = self.hex(32)
        return f"{raw[:8]}-{raw[8:12]}-4{raw[13:16]}-a{raw[17:20]}-{raw[20:]}"


@dataclass
class User:
    """A person or a bot user. A stranger is one whose home is another team (Slack Connect)."""

    id: str
    team_id: str
    name: str
    real_name: str
    display_name: str = ""
    is_admin: bool = False
    is_owner: bool = False
    is_restricted: bool = False
    is_ultra_restricted: bool = False
    is_bot: bool = False
    deleted: bool = False
    is_stranger: bool = False
    updated: int = 0
    bot_id: str | None = None
    """Another app's bot has one; its lines carry it."""

    @property
    def shown_name(self) -> str:
        return self.display_name or self.real_name or self.name

    def as_json(self) -> Json:
        """The user object of `users.info`, `users.list` and `user_change`."""
        digest = hashlib.md5(self.id.encode(), usedforsecurity=False).hexdigest()
        shown: Json = {
            "id": self.id,
            "team_id": self.team_id,
            "name": self.name,
            "deleted": self.deleted,
            "color": digest[:6],
            "real_name": self.real_name,
            "tz": "Europe/Berlin",
            "tz_label": "Central European Time",
            "tz_offset": 3600,
            "profile": {
                "title": "",
                "phone": "",
                "real_name": self.real_name,
                "real_name_normalized": self.real_name,
                "display_name": self.display_name,
                "display_name_normalized": self.display_name,
                "avatar_hash": digest[:12],
                "image_72": f"https://avatars.example/{self.id}-72.png",
                "status_text": "",
                "status_emoji": "",
                "team": self.team_id,
            },
            "is_admin": self.is_admin,
            "is_owner": self.is_owner,
            "is_primary_owner": self.is_owner,
            "is_restricted": self.is_restricted,
            "is_ultra_restricted": self.is_ultra_restricted,
            "is_bot": self.is_bot,
            "is_app_user": False,
            "updated": self.updated,
            "who_can_share_contact_card": "EVERYONE",
        }
        if self.deleted:  # a deactivated account is shown without its roles
            for role in ("is_admin", "is_owner", "is_primary_owner", "is_restricted", "is_ultra_restricted"):
                del shown[role]
        if self.is_stranger:
            shown["is_stranger"] = True
        return shown


@dataclass
class Message:
    """One message of a channel. `ts` is its id there; `thread_ts` names its thread's root (or itself)."""

    ts: str
    channel: str
    text: str = ""
    user: str | None = None
    bot_id: str | None = None
    app_id: str | None = None
    bot_profile: Json | None = None
    username: str | None = None
    icons: Json | None = None
    subtype: str | None = None
    team: str | None = None
    blocks: list[Json] = field(default_factory=list)
    attachments: list[Json] = field(default_factory=list)
    files: list[Json] = field(default_factory=list)
    metadata: Json | None = None
    client_msg_id: str | None = None
    thread_ts: str | None = None
    parent_user_id: str | None = None
    is_broadcast: bool = False
    edited: Json | None = None
    inviter: str | None = None
    user_team: str | None = None
    """The author's home, if that is another organisation (Slack Connect)."""
    is_auto_parsed: bool = False
    """Posted with `link_names` or `parse: full`: Slack looks for names in the text."""
    is_plain: bool = False
    """Posted with `parse: none`: Slack makes no links of bare addresses in the text."""
    reactions: dict[str, list[str]] = field(default_factory=dict)
    is_tombstone: bool = False

    @property
    def is_reply(self) -> bool:
        return self.thread_ts is not None and self.thread_ts != self.ts

    @property
    def metadata_id(self) -> str | None:
        """The `id` in the message's metadata payload, if there is one: how a sender knows its own post
        again."""
        payload = (self.metadata or {}).get("event_payload") or {}
        found = payload.get("id")
        return None if found is None else str(found)

    def as_json(self, *, with_metadata: bool = False) -> Json:
        """The message as events, answers and histories show it, without what only a thread's root has."""
        shown: Json = {"type": "message"}
        for name in (
            "subtype",
            "user",
            "text",
            "ts",
            "client_msg_id",
            "bot_id",
            "app_id",
            "username",
            "icons",
        ):
            value = getattr(self, name)
            if value is not None:
                shown[name] = value
        for name in ("team", "bot_profile", "thread_ts", "parent_user_id", "edited", "inviter"):
            value = getattr(self, name)
            if value is not None:
                shown[name] = value
        for name in ("blocks", "attachments", "files"):
            value = getattr(self, name)
            if value:
                shown[name] = value
        if self.user_team is not None:
            shown |= {"user_team": self.user_team, "source_team": self.user_team}
        if self.files:
            shown |= {"upload": False, "display_as_bot": False}
        if self.reactions:
            shown["reactions"] = self.reactions_json()
        if self.is_tombstone:
            shown["hidden"] = True
        if with_metadata and self.metadata:
            shown["metadata"] = self.metadata
        return shown

    def reactions_json(self) -> list[Json]:
        return [
            {"name": name, "users": list(users), "count": len(users)}
            for name, users in self.reactions.items()
        ]


@dataclass
class Channel:
    """A public or private channel or a direct message, with its members and messages."""

    id: str
    team_id: str
    name: str
    creator: str
    created: int
    is_private: bool = False
    is_im: bool = False
    is_archived: bool = False
    is_ext_shared: bool = False
    is_deleted: bool = False
    topic: str = ""
    previous_names: list[str] = field(default_factory=list)
    members: dict[str, None] = field(default_factory=dict)
    messages: dict[str, Message] = field(default_factory=dict)
    replies: dict[str, list[str]] = field(default_factory=dict)
    last_us: int = 0

    @property
    def kind(self) -> str:
        """What events call `channel_type`."""
        return "im" if self.is_im else "group" if self.is_private else "channel"

    @property
    def scope_stem(self) -> str:
        """The first half of the scopes that open this kind of channel."""
        return {"im": "im", "group": "groups", "channel": "channels"}[self.kind]

    def next_ts(self, now_us: int) -> str:
        """A `ts` at or after `now_us` (microseconds since the epoch) that this channel has not used."""
        self.last_us = max(now_us, self.last_us + 1)
        return f"{self.last_us // 1_000_000}.{self.last_us % 1_000_000:06d}"

    def add(self, message: Message) -> None:
        self.messages[message.ts] = message
        if message.is_reply and message.thread_ts is not None:
            self.replies.setdefault(message.thread_ts, []).append(message.ts)
            self.messages[message.thread_ts].thread_ts = message.thread_ts

    def remove(self, message: Message) -> None:
        del self.messages[message.ts]
        if message.is_reply and message.thread_ts is not None:
            left = self.replies[message.thread_ts]
            left.remove(message.ts)
            if not left:
                del self.replies[message.thread_ts]
                self._end_thread(message.thread_ts)

    def _end_thread(self, root_ts: str) -> None:
        root = self.messages.get(root_ts)
        if root is not None:
            root.thread_ts = None
            if root.is_tombstone:
                del self.messages[root_ts]

    def thread(self, root_ts: str) -> list[Message]:
        """The root and its replies, oldest first; only the message itself if it has no replies."""
        return [self.messages[ts] for ts in (root_ts, *self.replies.get(root_ts, ())) if ts in self.messages]

    def timeline(self) -> Iterator[Message]:
        """What the channel itself shows, oldest first: no thread replies except broadcast ones."""
        return (m for m in self.messages.values() if not m.is_reply or m.is_broadcast)

    def shown(self, message: Message, *, with_metadata: bool = False) -> Json:
        """The message with what a thread's root additionally tells about its replies."""
        shown = message.as_json(with_metadata=with_metadata)
        replies = self.replies.get(message.ts)
        if replies:
            users = list(dict.fromkeys(self._author(self.messages[ts]) for ts in replies))
            shown |= {
                "reply_count": len(replies),
                "reply_users_count": len(users),
                "latest_reply": replies[-1],
                "reply_users": users[:5],
                "is_locked": False,
                "subscribed": False,
            }
        if message.is_broadcast and message.thread_ts in self.messages:
            shown["root"] = self.messages[message.thread_ts].as_json()
        return shown

    @staticmethod
    def _author(message: Message) -> str:
        return message.user or message.bot_id or SLACKBOT

    def as_json(self, *, seen_by: str, num_members: bool = False) -> Json:
        """The channel object of `conversations.info` and `conversations.list`."""
        if self.is_im:
            other = next((m for m in self.members if m != seen_by), seen_by)
            return {
                "id": self.id,
                "created": self.created,
                "is_im": True,
                "user": other,
                "is_archived": False,
            }
        shown: Json = {
            "id": self.id,
            "name": self.name,
            "name_normalized": self.name,
            "is_channel": True,
            "is_group": False,
            "is_im": False,
            "is_mpim": False,
            "is_private": self.is_private,
            "is_archived": self.is_archived,
            "is_general": self.name == "general",
            "is_shared": self.is_ext_shared,
            "is_ext_shared": self.is_ext_shared,
            "is_org_shared": False,
            "is_pending_ext_shared": False,
            "is_member": seen_by in self.members,
            "created": self.created,
            "creator": self.creator,
            "unlinked": 0,
            "updated": self.created * 1000,
            "context_team_id": self.team_id,
            "shared_team_ids": [self.team_id],
            "topic": {"value": self.topic, "creator": "", "last_set": 0},
            "purpose": {"value": "", "creator": "", "last_set": 0},
            "previous_names": list(self.previous_names),
        }
        if num_members:
            shown["num_members"] = len(self.members)
        return shown


@dataclass
class Install:
    """The app's install in one workspace: its token, bot user and granted scopes."""

    token: str
    bot_user: str
    bot_id: str
    scopes: frozenset[str]
    revoked_because: str | None = None
    """None while the token works; else the error that every call gets: `token_revoked`,
    `account_inactive`."""


@dataclass
class Team:
    """A workspace with its people, channels and the install of the app."""

    id: str
    name: str
    domain: str
    install: Install
    users: dict[str, User] = field(default_factory=dict)
    channels: dict[str, Channel] = field(default_factory=dict)

    @property
    def bot(self) -> User:
        return self.users[self.install.bot_user]

    def channel_named(self, name: str) -> Channel | None:
        wanted = name.removeprefix("#")
        return next((c for c in self.channels.values() if c.name == wanted and not c.is_deleted), None)
