"""The two network edges as the bridge needs them, and what the receivers need from the bridge.

`slack_app.chat` implements `Chat`, `jollor.social` implements `Social`; `tests/fakes` has both with state.
Every method raises only `bridge.errors`: `Snooze` (rate limit), `TargetDown` (no connection, 5xx, revoked
token, channel gone: nothing took effect), `PermanentError` (this object), `UnconfirmedError` (may have taken
effect), `CannotTell`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from bridge.content import Content
from bridge.events import Event, LineTyped
from bridge.ids import (
    ChannelId,
    ConversationId,
    DeliveryId,
    MessageId,
    MessageTs,
    PostId,
    ProjectId,
    TeamId,
    UserId,
)
from bridge.model import (
    Channel,
    Conversation,
    Mark,
    Message,
    MessageList,
    Person,
    Post,
    Project,
    Reading,
    ReplyRules,
    Webhook,
)


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A post that the bridge owes Slack. `thread_ts` None makes it a root.

    Its metadata is `{"event_type": "jollor_bridge", "event_payload": {"kind": kind, "id": id}}`.
    """

    id: DeliveryId
    kind: str
    team: TeamId
    channel: ChannelId
    thread_ts: MessageTs | None
    content: Content
    also_to_channel: bool = False
    possible_repeat: bool = False


@dataclass(frozen=True, slots=True)
class Posted:
    """Where a post landed. `thread_ts` differs from the wanted one (None) when its root was gone."""

    ts: MessageTs
    thread_ts: MessageTs | None


@dataclass(frozen=True, slots=True)
class ThreadNews:
    """A thread as its channel lists it: its root, and the newest reply."""

    root: MessageTs
    latest_reply: MessageTs


@dataclass(frozen=True, slots=True)
class ChannelThreads:
    """The threads of a channel, newest roots first.

    `back_to` is the oldest message that was looked at, None if none is older. `reading` is what the answer
    showed of Slack's limits, None if nothing.
    """

    threads: tuple[ThreadNews, ...]
    back_to: MessageTs | None
    reading: Reading | None


@dataclass(frozen=True, slots=True)
class ThreadLines:
    """What people typed in a thread, oldest first. `read_to` is None if nothing newer is left to read.

    `present` holds all that stands there, whoever wrote it, as far as it was read.
    """

    lines: tuple[LineTyped, ...]
    present: frozenset[MessageTs]
    read_to: MessageTs | None
    reading: Reading | None


READS_LIMITED = "reads_limited"
"""The code of the `Snooze` with which Slack refuses a read of a channel or thread."""


class Chat(Protocol):
    """Slack."""

    async def post(self, outgoing: Outgoing) -> Posted:
        """Post once; the SDK's own retries are off."""
        ...

    async def update(self, team: TeamId, channel: ChannelId, ts: MessageTs, outgoing: Outgoing) -> None:
        """Redraw our own message in place."""
        ...

    async def delete(self, team: TeamId, channel: ChannelId, ts: MessageTs) -> None:
        """Delete our own message; one that is gone already is fine."""
        ...

    async def add_mark(self, team: TeamId, channel: ChannelId, ts: MessageTs, mark: Mark) -> None:
        """React; having reacted already is fine."""
        ...

    async def remove_mark(self, team: TeamId, channel: ChannelId, ts: MessageTs, mark: Mark) -> None:
        """Take a reaction back; not having reacted is fine."""
        ...

    async def find(self, outgoing: Outgoing, *, since: datetime) -> Posted | None:
        """Return where the delivery `outgoing.id` landed, looked up by its metadata; None: it did not.

        Raises `CannotTell` if reading back is not possible.
        """
        ...

    async def threads(self, team: TeamId, channel: ChannelId) -> ChannelThreads:
        """Return the threads of a channel, as far back as is cheap. `Snooze("reads_limited")`: not now."""
        ...

    async def lines(
        self, team: TeamId, channel: ChannelId, root: MessageTs, *, since: MessageTs
    ) -> ThreadLines | None:
        """Return what people typed in a thread after `since`, as it stands now; None: the thread is gone.

        One read: `read_to` tells where the next goes on. `Snooze("reads_limited")`: not now.
        """
        ...

    async def whisper(
        self,
        team: TeamId,
        channel: ChannelId,
        user: UserId,
        content: Content,
        *,
        thread_ts: MessageTs | None = None,
    ) -> None:
        """Show `content` to one person only (not guaranteed by Slack: never for what must be seen)."""
        ...

    async def answer(self, response_url: str, content: Content, *, replace: bool = False) -> None:
        """Answer a command or press through its `response_url` (5 times in 30 minutes)."""
        ...

    async def person(self, team: TeamId, user: UserId) -> Person:
        """Return who that is, from a cache of some minutes."""
        ...

    async def channel(self, team: TeamId, channel: ChannelId) -> Channel:
        """Return what that is, joining a public one on the way is left to `join`."""
        ...

    async def join(self, team: TeamId, channel: ChannelId) -> None:
        """Join a public channel. `PermanentError` with a sentence where a human must invite the bot."""
        ...

    async def find_channel(self, team: TeamId, name: str) -> Channel | None:
        """Return the channel of that name (without "#") among those that the bot can see."""
        ...

    async def permalink(self, team: TeamId, channel: ChannelId, ts: MessageTs) -> str | None:
        """Return the address of a message, None if there is none."""
        ...


class Social(Protocol):
    """Jollor."""

    async def projects(self) -> Sequence[Project]:
        """Return all projects of all agencies that the account can see."""
        ...

    async def conversations(self, project: ProjectId) -> Sequence[Conversation]:
        """Return the project's conversations, most recently active first (unknown times last)."""
        ...

    async def messages(
        self, project: ProjectId, conversation: ConversationId, *, last_message_at: datetime | None = None
    ) -> MessageList:
        """Return a conversation's messages, oldest first.

        `is_cut` if as many came as the limit, or the newest is older than `last_message_at`.
        """
        ...

    async def message(self, project: ProjectId, message: MessageId) -> Message:
        """Return one message."""
        ...

    async def post(self, project: ProjectId, post: PostId) -> Post:
        """Return one post, rendered if Jollor renders it."""
        ...

    async def incoming_posts(self, project: ProjectId) -> Sequence[PostId]:
        """Return the ids of the posts in the inbox, in Jollor's order."""
        ...

    async def reply_rules(self, project: ProjectId, message: MessageId) -> ReplyRules:
        """Return whether and how long a reply to `message` may be."""
        ...

    async def reply(
        self, project: ProjectId, conversation: ConversationId, provider: str, text: str, *, timeout_s: float
    ) -> None:
        """Send a private reply, once, over a fresh connection, answered within `timeout_s` or in doubt."""
        ...

    async def webhook(self, project: ProjectId) -> Webhook | None:
        """Return the project's webhook, None if there is none."""
        ...

    async def enable_webhook(self, project: ProjectId) -> Webhook:
        """Switch the webhook on; the answer has its secret."""
        ...

    async def point_webhook(self, project: ProjectId, callback_url: str) -> Webhook:
        """Set the address; Jollor verifies it during this call."""
        ...

    async def subscribe(self, project: ProjectId, event_type: str) -> None:
        """Have the webhook called for `event_type`."""
        ...

    async def send_test(self, project: ProjectId, event_type: str) -> None:
        """Have Jollor make a test delivery."""
        ...


class Inbox(Protocol):
    """What a receiver needs: put events where nothing loses them."""

    async def put(self, event: Event, *, unique_key: str | None = None) -> None:
        """Return after the commit. Raises `StoreUnavailable` if it cannot be stored.

        An event whose `unique_key` was put before is dropped.
        """
        ...


@dataclass(frozen=True, slots=True)
class WebhookSecret:
    """The secret of a project's webhook; `is_linked` tells whether the project still has a link."""

    secret: str
    is_linked: bool


class WebhookBook(Protocol):
    """What the webhook receiver asks of and leaves with the bridge, besides its events."""

    async def secret(self, project: ProjectId, *, fresh: bool = False) -> WebhookSecret | None:
        """Return the stored secret of a project, None if it was never linked.

        It may be some seconds old; look again with `fresh` before refusing a challenge.
        """
        ...

    async def accept(
        self, project: ProjectId, events: Sequence[Event], leftovers: Sequence[str], *, foreign: int
    ) -> None:
        """Commit one delivery: its events as jobs, what could not be read kept aside, foreign items counted.

        Raises `StoreUnavailable`.
        """
        ...
