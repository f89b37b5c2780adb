"""What Jollor holds: accounts, projects, conversations, posts. Mutable state, no behaviour but its own."""

import time
from dataclasses import dataclass, field
from datetime import datetime

from sandbox.ledger import Cause


@dataclass(frozen=True)
class Account:
    """A dashboard user."""

    id: str
    username: str
    password: str
    screen_name: str


@dataclass(frozen=True)
class Agency:
    """Owns projects; `accounts` are the ids of its members."""

    id: str
    name: str
    accounts: frozenset[str]


@dataclass(frozen=True)
class Project:
    """A workspace with connected profiles."""

    id: str
    name: str
    agency_id: str


@dataclass(frozen=True)
class Participant:
    """A customer or a connected profile."""

    id: str
    name: str


@dataclass
class Conversation:
    """A private conversation. Capabilities tell `reply_allowed` and `max_reply_length`; replies obey them."""

    id: str
    project: Project
    provider: str
    customer: Participant
    profile: Participant
    reply_allowed: bool = True
    max_reply_length: int = 2000
    messages: list["Message"] = field(default_factory=list)  # by sent_at
    dialogues: list["Dialogue"] = field(default_factory=list)

    @property
    def open_dialogue(self) -> "Dialogue | None":
        return next((dialogue for dialogue in reversed(self.dialogues) if dialogue.is_open), None)

    def last_message_at(self, *, counting_hidden: bool) -> datetime | None:
        """When the newest message was sent; None if there is none."""
        newest_first = reversed(self.messages)
        return next((m.sent_at for m in newest_first if counting_hidden or m.is_listed), None)


@dataclass
class Message:
    """A private message. `text` is what arrived, `sent_text` what was asked for.

    `listed_from` is the monotonic moment from which lists show it.
    """

    id: str
    conversation: Conversation
    sent_at: datetime
    is_incoming: bool
    text: str
    sent_text: str
    cause: Cause
    dialogue_id: str | None = None
    rating: str | None = None
    listed_from: float = 0.0

    @property
    def is_listed(self) -> bool:
        return time.monotonic() >= self.listed_from


@dataclass
class Dialogue:
    """A bounded stretch of a conversation."""

    id: str
    conversation: Conversation
    is_open: bool = True


@dataclass
class Post:
    """A post or comment. `html` is what render answers; None has it made from the text."""

    id: str
    project: Project
    provider: str
    is_incoming: bool
    author: Participant
    text: str
    published_at: datetime
    parent: "Post | None" = None
    html: str | None = None
    tags: frozenset[str] = frozenset()
    reply_allowed: bool = True
    reply_length: int = 2000
    listed_from: float = 0.0

    @property
    def is_listed(self) -> bool:
        return time.monotonic() >= self.listed_from


@dataclass
class Webhook:
    """A project's webhook. It delivers only while `status` is `active`."""

    project: Project
    verify_token: str
    status: str
    callback_url: str | None = None
    subscriptions: dict[str, bool] = field(default_factory=dict)

    @property
    def is_active(self) -> bool:
        return self.status == ACTIVE and self.callback_url is not None


ACTIVE = "active"


@dataclass(frozen=True)
class Event:
    """Something that the webhook tells."""

    type: str
    project_id: str
    post_id: str | None = None
    message_id: str | None = None
    conversation_id: str | None = None
    dialogue_id: str | None = None
    date: datetime | None = None
