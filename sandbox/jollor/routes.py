"""The table of operations, and how a request is named for fault rules and the wire."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from json import JSONDecodeError, loads

from aiohttp import web
from pydantic import JsonValue

from sandbox.faults import Call
from sandbox.jollor.answers import Handler, Refused, answering
from sandbox.jollor.auth import AuthServer
from sandbox.jollor.inbox_routes import InboxRoutes
from sandbox.jollor.paths import API, AUTH_PREFIX
from sandbox.jollor.post_routes import PostRoutes
from sandbox.jollor.store import Store
from sandbox.jollor.switches import Switches
from sandbox.jollor.webhook_routes import WebhookRoutes
from sandbox.wire import End


@dataclass(frozen=True)
class Operation:
    """One operation. The flags name the headers that the reference marks as required."""

    name: str
    method: str
    path: str
    handler: Handler
    content_type: bool = False
    accept: bool = False


def operations(
    auth: AuthServer, inbox: InboxRoutes, posts: PostRoutes, webhook: WebhookRoutes
) -> list[Operation]:
    """Every operation of the API, by the names of its description."""
    project = f"{API}/projects/{{project_id}}"
    conversation = "conversations/{conversation_id}/messages"
    message, post = f"{API}/messages/{{message_id}}", f"{API}/posts/{{post_id}}"
    agency, dialogue = f"{API}/agencies/{{agency_id}}", f"{project}/dialogues/{{dialogue_id}}"
    hook = f"{project}/webhook"

    def read(name: str, path: str, handler: Handler) -> Operation:
        return Operation(name, "GET", path, handler, content_type=True)

    return [
        Operation("createToken", "POST", f"{AUTH_PREFIX}/oauth2/token", auth.create_token),
        read("getCurrentUser", f"{API}/users/me", inbox.get_current_user),
        read("listAgencies", f"{API}/agencies", inbox.list_agencies),
        read("getAgency", agency, inbox.get_agency),
        read("listAgencyProjects", f"{agency}/projects", inbox.list_agency_projects),
        read("getProject", project, inbox.get_project),
        read("listConversations", f"{project}/conversations", inbox.list_conversations),
        read("listConversationMessages", f"{project}/{conversation}", inbox.list_conversation_messages),
        Operation(
            "createMessageReply", "POST", f"{project}/{{provider}}/{conversation}", inbox.create_message_reply
        ),
        read("listDialogueMessages", f"{dialogue}/messages", inbox.list_dialogue_messages),
        Operation("closeDialogue", "PUT", f"{dialogue}/close", inbox.close_dialogue),
        read("getMessage", message, inbox.get_message),
        read("getMessageCapabilities", f"{message}/capabilities", inbox.get_message_capabilities),
        read("listIncomingPosts", f"{project}/posts/incoming", posts.list_incoming_posts),
        Operation("listTaggedPosts", "GET", f"{project}/posts/tagged", posts.list_tagged_posts),
        Operation("getPost", "GET", post, posts.get_post),
        Operation("getPostCapabilities", "GET", f"{post}/capabilities", posts.get_post_capabilities),
        Operation("createPostReply", "POST", f"{API}/post/{{post_id}}/replies", posts.create_post_reply),
        Operation("renderMessage", "POST", f"{API}/render/message/{{message_id}}", posts.render_message),
        Operation("renderPost", "POST", f"{API}/render/post/{{post_id}}", posts.render_post),
        Operation("getSuggestions", "GET", f"{API}/suggestions/{{message_id}}", posts.get_suggestions),
        Operation("rateAutomaticReply", "PUT", f"{API}/ratings/{{message_id}}", inbox.rate_automatic_reply),
        Operation("translateText", "POST", f"{project}/translate", posts.translate_text),
        Operation("newMedia", "GET", f"{project}/media/new", posts.new_media),
        Operation("enableWebhook", "POST", hook, webhook.enable_webhook),
        read("getWebhook", hook, webhook.get_webhook),
        Operation("updateWebhook", "PUT", hook, webhook.update_webhook, content_type=True, accept=True),
        Operation("deleteWebhook", "DELETE", hook, webhook.delete_webhook),
        Operation("subscribeEvent", "POST", f"{hook}/subscriptions", webhook.subscribe_event),
        Operation("unsubscribeEvent", "DELETE", f"{hook}/subscriptions", webhook.unsubscribe_event),
        Operation("getTestWebhook", "GET", f"{hook}/test", webhook.get_test_webhook, accept=True),
        Operation("sendTestWebhook", "POST", f"{hook}/test", webhook.send_test_webhook, accept=True),
    ]


def add_routes(app: web.Application, table: list[Operation], switches: Switches) -> None:
    """Serve the operations of `table`."""
    for operation in table:
        handler = answering(_with_headers(operation, switches), switches)
        app.router.add_route(operation.method, operation.path, handler, name=operation.name)


def describe(store: Store) -> Callable[[web.Request, bytes], Call]:
    """How fault rules see a request: its operationId and what it is about."""

    def call(request: web.Request, body: bytes) -> Call:
        info = request.match_info
        facts = {name.removesuffix("_id"): value for name, value in info.items()}
        facts |= _text_fact(body)
        if "grant_type" in request.query:
            facts["grant_type"] = request.query["grant_type"]
        if (message := store.messages.get(facts.get("message", ""))) is not None:
            facts |= {"project": message.conversation.project.id, "conversation": message.conversation.id}
        if (post := store.posts.get(facts.get("post", ""))) is not None:
            facts["project"] = post.project.id
        return Call(End.JOLLOR, info.route.name or "unknown", request.raw_path, facts=facts)

    return call


def _with_headers(operation: Operation, switches: Switches) -> Handler:
    def checked(request: web.Request) -> Awaitable[JsonValue | web.StreamResponse]:
        if switches.require_headers:
            if operation.content_type and request.content_type != "application/json":
                raise Refused(400, "the header Content-Type: application/json is required")
            if operation.accept and "application/json" not in request.headers.get("Accept", ""):
                raise Refused(400, "the header Accept: application/json is required")
        return operation.handler(request)

    return checked


def _text_fact(body: bytes) -> dict[str, str]:
    try:
        decoded: JsonValue = loads(body)
    except (JSONDecodeError, UnicodeDecodeError):
        return {}
    text = decoded.get("text") if isinstance(decoded, dict) else None
    return {"text": text} if isinstance(text, str) else {}
