"""Values that both edges and the relay speak of: people, messages, posts, projects, links, threads.

Frozen and free of I/O. Jollor's words for Jollor's things, Slack's for Slack's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import ClassVar

from bridge.ids import (
    ChannelId,
    ConversationId,
    LinkId,
    MessageId,
    MessageTs,
    PostId,
    ProjectId,
    TeamId,
    ThreadId,
    UserId,
)

Clock = Callable[[], datetime]
"""Returns the current time, aware, in UTC."""


# --- Jollor's side -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Project:
    """A Jollor project that the account can see."""

    id: ProjectId
    name: str


@dataclass(frozen=True, slots=True)
class Conversation:
    """A private conversation as Jollor lists it; it names no participant."""

    id: ConversationId
    provider: str
    last_message_at: datetime | None


@dataclass(frozen=True, slots=True)
class Message:
    """One private message. `text` is as the network has it and may be empty (a picture, for instance).

    `customer` is the person on the other side, whichever direction the message went; `sender` wrote it.
    """

    id: MessageId
    provider: str
    sent_at: datetime
    is_incoming: bool
    sender: str
    customer: str
    text: str
    has_attachments: bool = False


@dataclass(frozen=True, slots=True)
class MessageList:
    """The messages of one conversation, oldest first. `is_cut` tells that some may be missing."""

    messages: tuple[Message, ...]
    is_cut: bool
    unreadable: int = 0


@dataclass(frozen=True, slots=True)
class Post:
    """A post or comment. `mrkdwn` is Slack-ready text made from Jollor's rendering, "" if there is none."""

    id: PostId
    provider: str
    is_incoming: bool
    author: str
    text: str
    mrkdwn: str
    published_at: datetime | None


@dataclass(frozen=True, slots=True)
class ReplyRules:
    """What Jollor says about replying to a message. None means "not known"."""

    is_allowed: bool | None
    max_length: int | None


@dataclass(frozen=True, slots=True)
class Webhook:
    """The webhook of a project as Jollor reports it. `subscriptions` holds the subscribed event types."""

    secret: str
    callback_url: str | None
    status: str | None
    subscriptions: frozenset[str] | None

    @property
    def is_active(self) -> bool:
        """Only "active" is documented; anything else counts as not delivering. Unknown is taken as active."""
        return self.status is None or self.status == "active"


# --- Slack's side ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Person:
    """A Slack user as far as the bridge needs to know."""

    id: UserId
    name: str
    is_bot: bool = False
    is_guest: bool = False
    is_outsider: bool = False
    is_admin: bool = False


@dataclass(frozen=True, slots=True)
class Channel:
    """A Slack channel. `is_member` tells whether the bot is in it."""

    id: ChannelId
    name: str
    is_archived: bool = False
    is_member: bool = True
    is_private: bool = False


class Reading(StrEnum):
    """How much Slack lets us read of channels and threads (slack-facts 3)."""

    FULL = "full"
    RESTRICTED = "restricted"
    """One read a minute, fifteen messages each."""


class Mark(StrEnum):
    """The reactions that tell what became of a line. Names are Slack's emoji names (CONTRACT)."""

    INTERNAL = "lock"
    WAITING = "hourglass_flowing_sand"
    ACCEPTED = "white_check_mark"
    DOUBT = "warning"
    FAILED = "x"


# --- Ours --------------------------------------------------------------------------------------------


class LinkKind(StrEnum):
    """What a link routes: everything, private messages, posts, or alerts."""

    ALL = "all"
    MESSAGE = "message"
    POST = "post"
    ALERT = "alert"

    def takes(self, wanted: LinkKind) -> bool:
        """A link of kind `all` takes everything."""
        return self is LinkKind.ALL or self is wanted


@dataclass(frozen=True, slots=True)
class UndoWindow:
    """How long a line waits in which its writer can take it back. `seconds` None: as the bridge is set."""

    seconds: float | None
    MOST_S: ClassVar[int] = 600
    DEFAULT: ClassVar[str] = "default"

    @classmethod
    def read(cls, text: str) -> UndoWindow | None:
        """Return what a person wrote (seconds, or "default"), None if it is neither."""
        text = text.strip().lower()
        if text == cls.DEFAULT:
            return cls(None)
        try:
            seconds = float(text)
        except ValueError:
            return None
        return cls(seconds) if 0 <= seconds <= cls.MOST_S else None

    @property
    def sentence(self) -> str:
        """What this means for lines that are written in the channel."""
        if self.seconds is None:
            return "Lines written there wait as long as the bridge's own undo window."
        if self.seconds == 0:
            return "Lines written there go to the customer at once."
        return f"Lines written there go to the customer {self.seconds:g} s later."


@dataclass(frozen=True, slots=True)
class Link:
    """A project routed to a Slack channel."""

    id: LinkId
    team: TeamId
    project: ProjectId
    channel: ChannelId
    kind: LinkKind
    linked_at: datetime
    undo_window_s: float | None = None
    problem: str | None = None


class TargetKind(StrEnum):
    """What a thread stands for."""

    CONVERSATION = "conversation"
    POST = "post"


@dataclass(frozen=True, slots=True)
class Target:
    """A conversation or a post of a project: what a Slack thread stands for and a reply goes to."""

    project: ProjectId
    kind: TargetKind
    id: str

    @property
    def conversation(self) -> ConversationId:
        """The id as a conversation's; only for targets of that kind."""
        assert self.kind is TargetKind.CONVERSATION
        return ConversationId(self.id)

    def lane(self, direction: str) -> str:
        """Return the lane ("in" or "out") in which the work of this target is done in order."""
        return f"{direction}:{self.project}:{self.kind}:{self.id}"


@dataclass(frozen=True, slots=True)
class Thread:
    """A Slack thread of a target in one linked channel. `root_ts` is None until the root card is posted."""

    id: ThreadId
    team: TeamId
    channel: ChannelId
    target: Target
    root_ts: MessageTs | None
    joined_at: datetime | None
    """When a human last wrote in the thread."""
    active_at: datetime | None
    """When anything was last shown in it."""
