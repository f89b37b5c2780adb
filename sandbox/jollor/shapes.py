"""Jollor's objects as JSON: the documented members and no others, bent as the switches say."""

from datetime import UTC, datetime
from html import escape

from pydantic import JsonValue

from sandbox.jollor.model import (
    Agency,
    Conversation,
    Event,
    Message,
    Participant,
    Post,
    Project,
    Webhook,
)
from sandbox.jollor.paths import quoted
from sandbox.jollor.switches import DateForm, LengthAt, PayloadForm, Switches

JsonObject = dict[str, JsonValue]

ZERO_LIMITS: JsonObject = {"max_count": 0, "max_width": 0, "max_height": 0, "max_size_bytes": 0}
ATTACHMENT_TYPES = ("image/jpeg", "image/png", "video/mp4")


class Shapes:
    """Builds answers. Every object passes through `bent`, named by its schema in the API description."""

    def __init__(self, switches: Switches) -> None:
        self._switches = switches

    # ---- accounts and projects

    def user(self, user_id: str, screen_name: str) -> JsonObject:
        return self.bent("User", {"id": self._id(user_id), "screen_name": screen_name})

    def agency(self, agency: Agency) -> JsonObject:
        path = f"/public/v1/agencies/{agency.id}"
        return self.bent(
            "Agency",
            {
                "id": self._id(agency.id),
                "name": agency.name,
                "screen_name": agency.name,
                "roles": ["member"],
                "_links": _links(self=path, projects=f"{path}/projects"),
            },
        )

    def project_summary(self, project: Project) -> JsonObject:
        links = _links(self=f"/public/v1/projects/{project.id}")
        return self.bent(
            "ProjectSummary", {"id": self._id(project.id), "name": project.name, "_links": links}
        )

    def project(self, project: Project) -> JsonObject:
        path = f"/public/v1/projects/{project.id}"
        links = _links(
            self=path, conversations=f"{path}/conversations", incoming_posts=f"{path}/posts/incoming"
        )
        return self.bent("Project", {"id": self._id(project.id), "name": project.name, "_links": links})

    # ---- conversations

    def conversation(self, conversation: Conversation) -> JsonObject:
        at = conversation.last_message_at(counting_hidden=self._switches.last_message_at_counts_hidden)
        path = f"/public/v1/projects/{conversation.project.id}/conversations/{quoted(conversation.id)}"
        return self.bent(
            "Conversation",
            {
                "conversation_id": conversation.id,
                "provider": conversation.provider,
                "last_message_at": None if at is None else timestamp(at),
                "_links": _links(self=path, messages=f"{path}/messages"),
            },
        )

    def message(self, message: Message) -> JsonObject:
        conversation = message.conversation
        customer, profile = self._participant(conversation.customer), self._participant(conversation.profile)
        path = f"/public/v1/messages/{message.id}"
        return self.bent(
            "Message",
            {
                "id": self._id(message.id),
                "provider": conversation.provider,
                "sent_at": timestamp(message.sent_at),
                "is_incoming": message.is_incoming,
                "sender": customer if message.is_incoming else profile,
                "recipient": profile if message.is_incoming else customer,
                "text": message.text,
                "_links": _links(self=path, capabilities=f"{path}/capabilities"),
            },
        )

    def message_capabilities(self, message: Message) -> JsonObject:
        conversation = message.conversation
        shape: JsonObject = {"message_id": self._id(message.id)}
        shape |= self._reply_part(
            conversation.reply_allowed, conversation.max_reply_length, self._switches.message_length_at
        )
        return self.bent("MessageCapabilities", shape | {"attachment_formats": _attachment_formats()})

    # ---- posts

    def post(self, post: Post, *, in_list: bool) -> JsonObject:
        path = f"/public/v1/posts/{post.id}"
        links = _links(self=path)
        if not in_list:
            links |= _links(reply=f"/public/v1/post/{post.id}/replies", capabilities=f"{path}/capabilities")
        shape: JsonObject = {
            "id": self._id(post.id),
            "provider": post.provider,
            "is_incoming": post.is_incoming,
            "_links": links,
        }
        if self._switches.post_members:
            shape |= {
                "text": post.text,
                "author": self._participant(post.author),
                "published_at": timestamp(post.published_at),
            }
        return self.bent("Post", shape)

    def post_as_message(self, post: Post) -> JsonObject:
        """A reply to a post, read through the link of the answer that made it."""
        audience = post.author if post.parent is None else post.parent.author
        path = f"/public/v1/messages/{post.id}"
        return self.bent(
            "Message",
            {
                "id": self._id(post.id),
                "provider": post.provider,
                "sent_at": timestamp(post.published_at),
                "is_incoming": post.is_incoming,
                "sender": self._participant(post.author),
                "recipient": self._participant(audience),
                "text": post.text,
                "_links": _links(self=path, capabilities=f"{path}/capabilities"),
            },
        )

    def post_capabilities(self, post: Post) -> JsonObject:
        shape: JsonObject = {"post_id": self._id(post.id)}
        shape |= self._reply_part(post.reply_allowed, post.reply_length, self._switches.post_length_at)
        return self.bent("PostCapabilities", shape | {"attachment_formats": _attachment_formats()})

    def post_reply(self, post: Post) -> JsonObject:
        links = _links(self=f"/public/v1/messages/{post.id}")
        return self.bent("PostReplyCreated", {"id": self._id(post.id), "_links": links})

    # ---- webhook

    def webhook(self, webhook: Webhook, *, complete: bool) -> JsonObject:
        shape: JsonObject = {
            "verify_token": webhook.verify_token,
            "_links": _links(self=f"/public/v1/projects/{webhook.project.id}/webhook"),
        }
        if complete or self._switches.webhook_shows_all:
            shape |= {
                "callback_url": webhook.callback_url,
                "status": webhook.status,
                "subscriptions": dict(webhook.subscriptions),
            }
        return self.bent("WebhookConfig", shape)

    def delivery(self, project_id: str, events: list[Event], form: PayloadForm) -> JsonValue:
        """The body of a webhook call. The flat form carries the first event only."""
        match form:
            case PayloadForm.FLAT:
                return self._event(events[0], with_project=True)
            case PayloadForm.ENVELOPE:
                inner: list[JsonValue] = [self._event(event, with_project=False) for event in events]
                return self.bent("WebhookEnvelope", {"project_id": self._id(project_id), "events": inner})
            case PayloadForm.KEYED:
                keyed: list[JsonValue] = [self._keyed(event) for event in events]
                return self.bent("WebhookEnvelope", {"project_id": self._id(project_id), "events": keyed})
            case PayloadForm.LIST:
                return [self._event(event, with_project=True) for event in events]

    def _event(self, event: Event, *, with_project: bool) -> JsonObject:
        shape: JsonObject = {"event_type": event.type}
        for name, value in (("post_id", event.post_id), ("message_id", event.message_id)):
            if value is not None:
                shape[name] = self._id(value)
        if event.conversation_id is not None:
            shape["conversation_id"] = event.conversation_id
        if event.dialogue_id is not None:
            shape["dialogue_id"] = self._id(event.dialogue_id)
        if event.date is not None:
            shape["date"] = self._date(event.date)
        if with_project:
            shape["project_id"] = self._id(event.project_id)
        return self.bent("Event", shape)

    def _keyed(self, event: Event) -> JsonObject:
        found = event.post_id or event.message_id or event.dialogue_id
        concerned: JsonObject = {} if found is None else {"id": self._id(found)}
        return {event.type: concerned}

    # ---- parts

    def _participant(self, participant: Participant) -> JsonObject:
        return self.bent("Participant", {"id": self._id(participant.id), "name": participant.name})

    def _reply_part(self, allowed: bool, length: int, at: LengthAt) -> JsonObject:
        reply: JsonObject = {"allowed": allowed}
        part: JsonObject = {"reply": reply}
        match at:
            case LengthAt.TOP:
                part["max_reply_length"] = length
            case LengthAt.REPLY_MAX:
                reply["max_reply_length"] = length
            case LengthAt.REPLY:
                reply["reply_length"] = length
            case LengthAt.NOWHERE:
                pass
        return part

    def _date(self, date: datetime) -> JsonValue:
        match self._switches.date_form:
            case DateForm.ISO:
                return timestamp(date)
            case DateForm.EPOCH_S:
                return int(date.timestamp())
            case DateForm.EPOCH_MS:
                return int(date.timestamp() * 1000)

    def _id(self, value: str) -> JsonValue:
        return int(value) if self._switches.numeric_ids and value.isdecimal() else value

    def bent(self, schema: str, members: JsonObject) -> JsonObject:
        """`members` with what the switches drop, null, mistype or add."""
        bent: JsonObject = {}
        for name, value in members.items():
            names = {f"{schema}.{name}", f"*.{name}"}
            if names & self._switches.missing_members:
                continue
            if names & self._switches.null_members:
                bent[name] = None
            elif names & self._switches.mistyped_members:
                bent[name] = mistyped(value)
            else:
                bent[name] = value
        if self._switches.unknown_members:
            bent["x_not_in_the_reference"] = {"nested": [1, "two", None]}
        return bent


def mistyped(value: JsonValue) -> JsonValue:
    """A value of a type that nobody expects in place of `value`."""
    match value:
        case bool():
            return "perhaps"
        case str():
            return {"value": value}
        case int() | float():
            return "many"
        case _:
            return 7


def timestamp(at: datetime) -> str:
    """ISO 8601 with milliseconds and a Z suffix."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def html_of(text: str) -> str:
    """Plain text as the markup that render answers: a paragraph per block, breaks inside."""
    blocks = [block for block in text.split("\n\n") if block]
    return "".join(f"<p>{escape(block).replace(chr(10), '<br>')}</p>" for block in blocks)


def _links(**targets: str) -> JsonObject:
    return {name: {"href": href} for name, href in targets.items()}


def _attachment_formats() -> JsonObject:
    return {kind: dict(ZERO_LIMITS) for kind in ATTACHMENT_TYPES}
