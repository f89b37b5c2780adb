"""A Jollor in memory behind the `Social` port: what customers received is state, failures are scripted."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum

from bridge.errors import PermanentError
from bridge.ids import ConversationId, MessageId, PostId, ProjectId
from bridge.model import (
    Clock,
    Conversation,
    Message,
    MessageList,
    Post,
    Project,
    ReplyRules,
    Webhook,
)

_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


class When(StrEnum):
    """When a scripted failure strikes."""

    BEFORE = "before"  # no effect
    AFTER = "after"  # it took effect, the caller does not learn of it


@dataclass
class FakeConversation:
    """A conversation with its messages, oldest first, and what may be replied."""

    project: ProjectId
    id: ConversationId
    provider: str
    customer: str
    messages: list[Message] = field(default_factory=list)
    rules: ReplyRules = field(default_factory=lambda: ReplyRules(is_allowed=True, max_length=2000))
    received: list[str] = field(default_factory=list)
    """What the customer got, whoever sent it."""


@dataclass
class _Failure:
    error: Exception
    method: str
    when: When


@dataclass
class FakeSocial:
    """Implements `bridge.ports.Social`. Projects and conversations are unknown until they are added."""

    now: Clock = field(default=lambda: datetime.now(UTC))
    calls: list[str] = field(default_factory=list)
    away: Exception | None = None
    """While this is set, every call raises it and nothing takes effect."""
    test_arrives: Callable[[ProjectId, str], Awaitable[None]] | None = None
    """What a test delivery that Jollor is asked for does; None: it never arrives."""
    is_cut: bool = False
    """Message lists look as if something were missing."""
    _projects: dict[ProjectId, Project] = field(default_factory=dict)
    _conversations: dict[tuple[ProjectId, ConversationId], FakeConversation] = field(default_factory=dict)
    _posts: dict[PostId, tuple[ProjectId, Post]] = field(default_factory=dict)
    _webhooks: dict[ProjectId, Webhook] = field(default_factory=dict)
    _failures: deque[_Failure] = field(default_factory=deque)
    _last_id: int = 0

    # --- setting the scene ---------------------------------------------------------------------------

    def add_project(self, project: Project) -> Project:
        self._projects[project.id] = project
        return project

    def customer_writes(
        self,
        project: ProjectId,
        conversation: ConversationId,
        text: str,
        *,
        customer: str = "Robin",
        provider: str = "facebook",
        at: datetime | None = None,
    ) -> Message:
        """A private message comes in; its conversation is made with the first one."""
        key = (project, conversation)
        if key not in self._conversations:
            self._conversations[key] = FakeConversation(project, conversation, provider, customer)
        return self._add(self._conversations[key], text, is_incoming=True, at=at)

    def dashboard_replies(self, project: ProjectId, conversation: ConversationId, text: str) -> Message:
        """Somebody else answers, in Jollor."""
        known = self.conversation(project, conversation)
        known.received.append(text)
        return self._add(known, text, is_incoming=False)

    def add_post(self, project: ProjectId, post: Post) -> Post:
        self._posts[post.id] = (project, post)
        return post

    def fail_next(self, error: Exception, *, method: str, when: When = When.BEFORE, times: int = 1) -> None:
        """Let the next call of `method` raise `error`."""
        self._failures.extend(_Failure(error, method, when) for _ in range(times))

    def set_webhook(self, project: ProjectId, webhook: Webhook | None) -> None:
        """Somebody has changed the webhook in Jollor, or Jollor has by itself."""
        if webhook is None:
            self._webhooks.pop(project, None)
        else:
            self._webhooks[project] = webhook

    def webhook_of(self, project: ProjectId) -> Webhook | None:
        return self._webhooks.get(project)

    # --- looking -------------------------------------------------------------------------------------

    def conversation(self, project: ProjectId, conversation: ConversationId) -> FakeConversation:
        """Return what is there; KeyError if nobody wrote there."""
        return self._conversations[project, conversation]

    # --- the port ------------------------------------------------------------------------------------

    async def projects(self) -> Sequence[Project]:
        self._end(self._begin("projects"))
        return list(self._projects.values())

    async def conversations(self, project: ProjectId) -> Sequence[Conversation]:
        self._end(self._begin("conversations"))
        self._need_project(project)
        found = [
            Conversation(one.id, one.provider, max(message.sent_at for message in one.messages))
            for one in self._conversations.values()
            if one.project == project
        ]
        return sorted(found, key=lambda one: one.last_message_at or _LONG_AGO, reverse=True)

    async def messages(
        self, project: ProjectId, conversation: ConversationId, *, last_message_at: datetime | None = None
    ) -> MessageList:
        self._end(self._begin("messages"))
        listed = sorted(self._known(project, conversation).messages, key=lambda message: message.sent_at)
        is_old = last_message_at is not None and (not listed or listed[-1].sent_at < last_message_at)
        return MessageList(tuple(listed), is_cut=self.is_cut or is_old)

    async def message(self, project: ProjectId, message: MessageId) -> Message:
        self._end(self._begin("message"))
        return self._find(project, message)[1]

    async def post(self, project: ProjectId, post: PostId) -> Post:
        self._end(self._begin("post"))
        owner, found = self._posts.get(post, (None, None))
        if found is None or owner != project:
            raise _not_found()
        return found

    async def incoming_posts(self, project: ProjectId) -> Sequence[PostId]:
        self._end(self._begin("incoming_posts"))
        self._need_project(project)
        return [post.id for owner, post in self._posts.values() if owner == project and post.is_incoming]

    async def reply_rules(self, project: ProjectId, message: MessageId) -> ReplyRules:
        self._end(self._begin("reply_rules"))
        return self._find(project, message)[0].rules

    async def reply(
        self, project: ProjectId, conversation: ConversationId, provider: str, text: str, *, timeout_s: float
    ) -> None:
        assert timeout_s > 0
        failure = self._begin("reply")
        known = self._known(project, conversation)
        if provider != known.provider:
            raise _not_found()
        limit = known.rules.max_length
        if known.rules.is_allowed is False or (limit is not None and len(text) > limit):
            raise PermanentError("jollor_rejected_400", user_message="Jollor refused it.")
        known.received.append(text)
        self._add(known, text, is_incoming=False)
        self._end(failure)

    async def webhook(self, project: ProjectId) -> Webhook | None:
        self._end(self._begin("webhook"))
        return self._webhooks.get(project)

    async def enable_webhook(self, project: ProjectId) -> Webhook:
        failure = self._begin("enable_webhook")
        self._need_project(project)
        made = Webhook(f"secret-of-{project}", None, "inactive", None)
        made = self._webhooks.setdefault(project, made)
        self._end(failure)
        return made

    async def point_webhook(self, project: ProjectId, callback_url: str) -> Webhook:
        failure = self._begin("point_webhook")
        known = self._need_webhook(project)
        changed = replace(known, callback_url=callback_url, status="active")
        self._webhooks[project] = changed
        self._end(failure)
        return changed

    async def subscribe(self, project: ProjectId, event_type: str) -> None:
        failure = self._begin("subscribe")
        known = self._need_webhook(project)
        subscribed = (known.subscriptions or frozenset()) | {event_type}
        self._webhooks[project] = replace(known, subscriptions=subscribed)
        self._end(failure)

    async def send_test(self, project: ProjectId, event_type: str) -> None:
        failure = self._begin("send_test")
        self._need_webhook(project)
        if self.test_arrives is not None:
            await self.test_arrives(project, event_type)
        self._end(failure)

    # --- inside --------------------------------------------------------------------------------------

    def _begin(self, method: str) -> _Failure | None:
        self.calls.append(method)
        if self.away is not None:
            raise self.away
        failure = next((one for one in self._failures if one.method == method), None)
        if failure is not None:
            self._failures.remove(failure)
            if failure.when is When.BEFORE:
                raise failure.error
        return failure

    @staticmethod
    def _end(failure: _Failure | None) -> None:
        if failure is not None:
            raise failure.error

    def _add(
        self, known: FakeConversation, text: str, *, is_incoming: bool, at: datetime | None = None
    ) -> Message:
        self._last_id += 1
        message = Message(
            id=MessageId(f"{self._last_id:024x}"),
            provider=known.provider,
            sent_at=at or self.now(),
            is_incoming=is_incoming,
            sender=known.customer if is_incoming else "Our page",
            customer=known.customer,
            text=text,
        )
        known.messages.append(message)
        return message

    def _known(self, project: ProjectId, conversation: ConversationId) -> FakeConversation:
        known = self._conversations.get((project, conversation))
        if known is None:
            raise _not_found()
        return known

    def _find(self, project: ProjectId, id_: MessageId) -> tuple[FakeConversation, Message]:
        for known in self._conversations.values():
            for message in known.messages:
                if known.project == project and message.id == id_:
                    return known, message
        raise _not_found()

    def _need_project(self, project: ProjectId) -> None:
        if project not in self._projects:
            raise PermanentError("jollor_forbidden", user_message="Jollor does not allow us to do that.")

    def _need_webhook(self, project: ProjectId) -> Webhook:
        known = self._webhooks.get(project)
        if known is None:
            raise _not_found()
        return known


def _not_found() -> PermanentError:
    return PermanentError("jollor_not_found", user_message="Jollor does not have it any more.")
