"""Operations on accounts, projects, conversations, dialogues and messages."""

import asyncio
from collections.abc import Callable

from aiohttp import web
from pydantic import JsonValue

from sandbox.clock import SandboxClock
from sandbox.jollor.answers import Refused, json_object, query, text_member
from sandbox.jollor.auth import Access
from sandbox.jollor.inbox import Inbox
from sandbox.jollor.model import Agency, Conversation, Dialogue, Message, Post
from sandbox.jollor.shapes import Shapes
from sandbox.jollor.store import Store
from sandbox.jollor.switches import Echo
from sandbox.ledger import Cause

UNANSWERED_ECHO_S = (
    0.1  # real seconds after which an echo no longer waits for an answer that may never go out
)
ECHO_PATIENCE_S = 5.0  # real seconds that an answer waits for its echo at most


class InboxRoutes:
    """Handlers named like their operationId."""

    def __init__(
        self, store: Store, shapes: Shapes, access: Access, inbox: Inbox, *, clock: SandboxClock
    ) -> None:
        self._store = store
        self._shapes = shapes
        self._access = access
        self._inbox = inbox
        self._clock = clock

    # ---- accounts and projects

    async def get_current_user(self, request: web.Request) -> JsonValue:
        account = self._access.token(request).account
        return self._shapes.user(account.id, account.screen_name)

    async def list_agencies(self, request: web.Request) -> JsonValue:
        account = self._access.account(request)
        return [self._shapes.agency(agency) for agency in self._store.agencies_of(account)]

    async def get_agency(self, request: web.Request) -> JsonValue:
        return self._shapes.agency(self._agency(request))

    async def list_agency_projects(self, request: web.Request) -> JsonValue:
        agency = self._agency(request)
        return [
            self._shapes.project_summary(project)
            for project in self._store.projects.values()
            if project.agency_id == agency.id
        ]

    async def get_project(self, request: web.Request) -> JsonValue:
        return self._shapes.project(self._access.project(request))

    # ---- conversations

    async def list_conversations(self, request: web.Request) -> JsonValue:
        project = self._access.project(request)
        return [self._shapes.conversation(found) for found in self._store.conversations_of(project)]

    async def list_conversation_messages(self, request: web.Request) -> JsonValue:
        conversation = self._conversation(request)
        return self._listed(conversation.messages, _limit(request))

    async def create_message_reply(self, request: web.Request) -> web.StreamResponse:
        conversation = self._conversation(request)
        if request.match_info["provider"] != conversation.provider:
            raise Refused(404, "no such conversation on this network")
        text = text_member(await json_object(request), "text")
        switches = self._store.switches
        if not conversation.reply_allowed:
            raise Refused(switches.not_allowed_status, "this conversation cannot be answered now")
        if len(text) > conversation.max_reply_length:
            raise Refused(switches.too_long_status, f"longer than {conversation.max_reply_length} characters")
        message = self._inbox.send(conversation, text, cause=Cause.API, operation="createMessageReply")
        if switches.echo in (Echo.BEFORE, Echo.TWICE):
            await self._echo_now(message)
        answer = _AnswerThen(status=switches.reply_status)
        if switches.echo in (Echo.AFTER, Echo.TWICE):
            answer.then = _once(lambda: self._echo_later(message))
            asyncio.get_running_loop().call_later(UNANSWERED_ECHO_S, answer.then)
        return answer

    # ---- dialogues

    async def list_dialogue_messages(self, request: web.Request) -> JsonValue:
        dialogue = self._dialogue(request)
        messages = [m for m in dialogue.conversation.messages if m.dialogue_id == dialogue.id]
        return self._listed(messages, _limit(request))

    async def close_dialogue(self, request: web.Request) -> JsonValue:
        dialogue = self._dialogue(request)
        if dialogue.is_open:
            self._inbox.end_dialogue(dialogue, announced=self._store.switches.close_announces)
        elif self._store.switches.close_twice_status >= 400:
            raise Refused(self._store.switches.close_twice_status, "the dialogue is closed already")
        return {}

    # ---- messages

    async def get_message(self, request: web.Request) -> JsonValue:
        found = self._message_or_post_reply(request)
        return (
            self._shapes.message(found) if isinstance(found, Message) else self._shapes.post_as_message(found)
        )

    async def get_message_capabilities(self, request: web.Request) -> JsonValue:
        return self._shapes.message_capabilities(self.message(request))

    async def rate_automatic_reply(self, request: web.Request) -> JsonValue:
        message = self.message(request)
        rating = query(request, "rating")
        if rating not in ("good", "bad"):
            raise Refused(400, "rating has to be good or bad")
        message.rating = rating
        return {}

    def message(self, request: web.Request) -> Message:
        """The private message in the path; 404 if unknown, 403 if it belongs to another project."""
        project = self._access.project(request)
        message = self._store.messages.get(request.match_info["message_id"])
        if message is None:
            raise Refused(404, "no such message")
        if message.conversation.project is not project:
            raise Refused(403, "the message belongs to another project")
        return message

    # ---- inside

    def _message_or_post_reply(self, request: web.Request) -> Message | Post:
        project = self._access.project(request)
        post = self._store.posts.get(request.match_info["message_id"])
        is_own_reply = post is not None and post.parent is not None and not post.is_incoming
        if post is not None and is_own_reply and self._store.switches.post_reply_is_message:
            if post.project is not project:
                raise Refused(403, "the message belongs to another project")
            return post
        return self.message(request)

    def _agency(self, request: web.Request) -> Agency:
        account = self._access.account(request)
        agency = self._store.agencies.get(request.match_info["agency_id"])
        if agency is None:
            raise Refused(404, "no such agency")
        if account.id not in agency.accounts:
            raise Refused(403, "the user does not belong to the agency")
        return agency

    def _conversation(self, request: web.Request) -> Conversation:
        project = self._access.project(request)
        found = self._store.conversations.get((project.id, request.match_info["conversation_id"]))
        if found is None:
            raise Refused(404, "no such conversation")
        return found

    def _dialogue(self, request: web.Request) -> Dialogue:
        project = self._access.project(request)
        dialogue = self._store.dialogues.get(request.match_info["dialogue_id"])
        if dialogue is None or dialogue.conversation.project is not project:
            raise Refused(404, "no such dialogue")
        return dialogue

    def _listed(self, messages: list[Message], limit: int) -> JsonValue:
        return [self._shapes.message(message) for message in self._store.listed_messages(messages, limit)]

    async def _echo_now(self, message: Message) -> None:
        announcements = self._inbox.announce_sent(message)
        try:
            async with asyncio.timeout(ECHO_PATIENCE_S):
                for announcement in announcements:
                    await announcement.attempted.wait()
        except TimeoutError:
            pass  # the receiver is slow: the answer does not wait for ever, the delivery goes on

    def _echo_later(self, message: Message) -> None:
        delay_s = self._clock.seconds(self._store.switches.echo_delay_s)
        asyncio.get_running_loop().call_later(delay_s, self._inbox.announce_sent, message)


class _AnswerThen(web.Response):
    """An empty object as answer; `then` runs once it was handed to the network."""

    def __init__(self, *, status: int) -> None:
        has_body = status not in (204, 205)
        super().__init__(
            status=status,
            text="{}" if has_body else None,
            content_type="application/json" if has_body else None,
        )
        self.then: Callable[[], None] | None = None

    async def write_eof(self, data: bytes = b"") -> None:
        await super().write_eof(data)
        if self.then is not None:
            self.then()


def _once(action: Callable[[], None]) -> Callable[[], None]:
    done = False

    def act() -> None:
        nonlocal done
        if not done:
            done = True
            action()

    return act


def _limit(request: web.Request) -> int:
    given = query(request, "limit")
    if not given.isascii() or not given.isdecimal() or int(given) < 1:
        raise Refused(400, "limit has to be a positive integer")
    return int(given)
