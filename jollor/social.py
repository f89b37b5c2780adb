"""The `Social` port on Jollor's API: calls, translates values, and turns errors into what comes next.

Whether a failing server is to blame on Jollor or on one object is found out here: where reading one object
fails and the project itself can be read, the object counts as the cause.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import ParamSpec, TypeVar

from bridge.errors import BridgeError, PermanentError, Snooze, TargetDown, UnconfirmedError
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
from jollor import operations
from jollor.client import JollorClient
from jollor.errors import (
    BadAnswer,
    CannotAsk,
    Forbidden,
    JollorError,
    NotFound,
    NotSent,
    OutcomeUnknown,
    RateLimited,
    Rejected,
    ServerDown,
    SignInFailed,
    Unauthorized,
)
from jollor.models import WirePost, WireWebhook
from jollor.protocol import Call
from jollor.text import markup_of, to_mrkdwn
from jollor.translate import (
    to_conversations,
    to_message,
    to_message_list,
    to_post,
    to_project,
    to_reply_rules,
    to_webhook,
)

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

MESSAGE_LIMIT = 1000
"""How many messages a list asks for: the only value that Jollor's reference shows."""

_DEFAULT_WAIT = timedelta(seconds=10)  # after a 429 that names no time
_REPLY = "createMessageReply"
_NOT_OF_AN_OBJECT = {"getProject", "listConversations", "listIncomingPosts", _REPLY}
_QUESTION_TAKES_S = 3.0
_SHORTEST_WAIT = timedelta(seconds=1)


class JollorSocial:
    """Implements `bridge.ports.Social` for one Jollor account."""

    def __init__(self, client: JollorClient, *, now: Clock) -> None:
        self._client = client
        self._now = now

    async def projects(self) -> Sequence[Project]:
        """Return all projects of all agencies, each once; an agency that cannot be read is left out."""
        found: dict[ProjectId, Project] = {}
        for agency in await self._ask(None, operations.list_agencies):
            try:
                projects = await self._ask(None, operations.list_agency_projects, agency.id)
            except PermanentError as error:
                log.warning("jollor.agency_unreadable", extra={"agency": agency.id, "reason": error.code})
                continue
            found.update((project.id, project) for project in map(to_project, projects))
        return list(found.values())

    async def conversations(self, project: ProjectId) -> Sequence[Conversation]:
        """Return the project's conversations, most recently active first."""
        return to_conversations(await self._ask(project, operations.list_conversations, project))

    async def messages(
        self, project: ProjectId, conversation: ConversationId, *, last_message_at: datetime | None = None
    ) -> MessageList:
        """Return a conversation's messages, oldest first."""
        rows = await self._ask(
            project, operations.list_conversation_messages, project, conversation, MESSAGE_LIMIT
        )
        return to_message_list(rows, limit=MESSAGE_LIMIT, last_message_at=last_message_at, now=self._now())

    async def message(self, project: ProjectId, message: MessageId) -> Message:
        """Return one message; one without a time is taken to be of now."""
        wire = await self._ask(project, operations.get_message, project, message)
        return to_message(wire, sent_at=self._now())

    async def post(self, project: ProjectId, post: PostId) -> Post:
        """Return one post; rendered by Jollor if it does not come with its text."""
        wire = await self._ask(project, operations.get_post, project, post)
        return to_post(wire, mrkdwn="" if wire.text else await self._rendered(project, wire))

    async def incoming_posts(self, project: ProjectId) -> Sequence[PostId]:
        """Return the ids of the posts in the inbox, in Jollor's order."""
        return [PostId(wire.id) for wire in await self._ask(project, operations.list_incoming_posts, project)]

    async def reply_rules(self, project: ProjectId, message: MessageId) -> ReplyRules:
        """Return whether and how long a reply may be."""
        return to_reply_rules(await self._ask(project, operations.get_message_capabilities, project, message))

    async def reply(
        self, project: ProjectId, conversation: ConversationId, provider: str, text: str, *, timeout_s: float
    ) -> None:
        """Send a private reply once. `UnconfirmedError` is the only error after which it may have arrived."""
        await self._send(
            project,
            lambda: operations.create_message_reply(project, provider, conversation, text),
            timeout_s=timeout_s,
        )

    async def webhook(self, project: ProjectId) -> Webhook | None:
        """Return the project's webhook, None if there is none."""
        try:
            return to_webhook(await self._client.send(operations.get_webhook(project)))
        except NotFound:
            return None
        except JollorError as error:
            raise await self._translated(project, error) from error

    async def enable_webhook(self, project: ProjectId) -> Webhook:
        """Switch the webhook on; where it is in doubt whether that happened, look."""
        try:
            made = await self._ask(project, operations.enable_webhook, project)
        except UnconfirmedError:
            found = await self.webhook(project)
            if found is None or not found.secret:
                raise
            return found
        return await self._with_secret(project, made)

    async def point_webhook(self, project: ProjectId, callback_url: str) -> Webhook:
        """Set the address, which Jollor verifies during this call."""
        changed = await self._ask(project, operations.update_webhook, project, callback_url)
        return await self._with_secret(project, changed)

    async def subscribe(self, project: ProjectId, event_type: str) -> None:
        """Have the webhook called for `event_type`."""
        await self._ask(project, operations.subscribe_event, project, event_type)

    async def send_test(self, project: ProjectId, event_type: str) -> None:
        """Have Jollor make a test delivery."""
        await self._ask(project, operations.send_test_webhook, project, event_type)

    async def _with_secret(self, project: ProjectId, wire: WireWebhook) -> Webhook:
        """Return a webhook that was just changed, read again if the answer did not tell its secret."""
        changed = to_webhook(wire)
        if changed is None or not changed.secret:
            changed = await self.webhook(project)
        if changed is None or not changed.secret:
            raise PermanentError(
                "webhook_without_secret",
                user_message="Jollor does not tell the webhook's secret; take it from Jollor's dashboard.",
            )
        return changed

    async def _rendered(self, project: ProjectId, wire: WirePost) -> str:
        """Return the post as Jollor renders it, "" if it does not: the operation is half documented."""
        providers = [wire.provider] if wire.provider else []
        try:
            rendered = await self._client.send(operations.render_post(project, wire.id, providers))
        except (NotSent, RateLimited, SignInFailed) as error:
            raise await self._translated(project, error) from error
        except JollorError as error:
            log.info("jollor.not_rendered", extra={"project": project, "reason": str(error)})
            return ""
        markup = markup_of(rendered)
        return "" if markup is None else to_mrkdwn(markup)

    # --- calls and errors ----------------------------------------------------------------------------

    async def _ask(
        self, project: ProjectId | None, operation: Callable[P, Call[T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        return await self._send(project, lambda: operation(*args, **kwargs))

    async def _send(
        self, project: ProjectId | None, build: Callable[[], Call[T]], *, timeout_s: float | None = None
    ) -> T:
        try:
            return await self._client.send(build(), timeout_s=timeout_s)
        except JollorError as error:
            raise await self._translated(project, error) from error

    async def _translated(self, project: ProjectId | None, error: JollorError) -> BridgeError:
        """Return what `error` means for the bridge; see `bridge.errors`."""
        match error:
            case RateLimited():
                wait = _DEFAULT_WAIT if error.retry_after is None else max(error.retry_after, _SHORTEST_WAIT)
                return Snooze("jollor_rate_limited", delay=wait, user_message="Jollor asks us to slow down.")
            case OutcomeUnknown():
                return UnconfirmedError(
                    "jollor_unanswered", user_message="Jollor did not say whether it was sent."
                )
            case SignInFailed():
                return _down(project, "jollor_sign_in", f"Jollor does not let us in: {error.reason}.")
            case Unauthorized() if project is not None and await self._refuses_replies_alone(project, error):
                return PermanentError(
                    "jollor_unauthorized_reply",
                    user_message="Jollor lets the bridge read here but not send: give its account that right "
                    "in Jollor, then send it again.",
                )
            case Unauthorized():
                return _down(project, "jollor_unauthorized", "Jollor refuses our token.")
            case NotSent():
                return _down(project, "jollor_unreachable", "Jollor cannot be reached.")
            case ServerDown() | BadAnswer() if error.operation.startswith("createToken"):
                return _down(project, "jollor_sign_in", "Jollor's sign-in is having trouble.")
            case ServerDown():
                if project is not None and await self._is_alive(project, error):
                    return BridgeError(
                        "jollor_object_failed", user_message="Jollor could not process this one."
                    )
                return _down(project, "jollor_down", "Jollor is having trouble.")
            case BadAnswer():
                return BridgeError(
                    "jollor_bad_answer", user_message="Jollor's answer could not be understood."
                )
        return _permanent(error)

    async def _refuses_replies_alone(self, project: ProjectId, error: JollorError) -> bool:
        """Tell whether a token that was renewed for a reply, and refused again, is good for reading.

        Then waiting helps nobody: the account lacks a right, and whoever wrote the reply has to know.
        """
        if error.operation != _REPLY:
            return False
        try:
            await self._client.send(operations.get_project(project), timeout_s=_QUESTION_TAKES_S)
        except JollorError:
            return False
        return True

    async def _is_alive(self, project: ProjectId, error: JollorError) -> bool:
        """Tell whether the project can be read although reading one thing of it failed.

        A cheap question right after the failure: 5xx everywhere is Jollor's trouble, 5xx here the object's.
        """
        if error.operation in _NOT_OF_AN_OBJECT:  # a reply has no time for a question, and was not sent
            return False
        try:
            await self._client.send(operations.get_project(project))
        except JollorError:
            return False
        return True


def _down(project: ProjectId | None, code: str, user_message: str) -> TargetDown:
    target = "jollor" if project is None else f"project:{project}"
    return TargetDown(code, target=target, user_message=user_message)


def _permanent(error: JollorError) -> BridgeError:
    match error:
        case NotFound():
            return PermanentError("jollor_not_found", user_message="Jollor does not have it any more.")
        case Forbidden():
            return PermanentError("jollor_forbidden", user_message="Jollor does not allow us to do that.")
        case CannotAsk():
            return PermanentError("jollor_unaskable", user_message="Jollor cannot be asked about this one.")
        case Rejected():
            return PermanentError(
                f"jollor_rejected_{error.status}", user_message="Jollor refused it.", may_pass_later=True
            )
    return BridgeError("jollor_failed")  # a kind of error that is new here
