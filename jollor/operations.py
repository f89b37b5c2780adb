"""Every operation of `openapi.yaml` as a `Call`, under its operationId in snake case; the grants last."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from urllib.parse import quote

from pydantic import JsonValue

from jollor.errors import CannotAsk
from jollor.models import (
    Rows,
    WireAgency,
    WireCapabilities,
    WireConversation,
    WireMediaTicket,
    WireMessage,
    WirePost,
    WireProject,
    WireReplyCreated,
    WireSuggestion,
    WireToken,
    WireUser,
    WireWebhook,
)
from jollor.protocol import (
    Base,
    Bearer,
    Call,
    Request,
    any_json,
    markup,
    nothing,
    one,
    reply_created,
    rows,
    translation,
    webhook_made,
)


def _request(
    operation: str,
    method: str,
    *segments: str,
    project_id: str | None = None,
    query: Mapping[str, str] | None = None,
    json: Mapping[str, JsonValue] | None = None,
    is_repeatable: bool = True,
) -> Request:
    """Return a request below `/public/v1`, every segment percent-encoded; the user's token if no project.

    Raises `CannotAsk` for a segment that cannot be encoded (half surrogate pairs) or that would change the
    path's meaning: "", "." and ".." (proxies and servers resolve dots even when they are encoded).
    """
    if any(segment in {"", ".", ".."} for segment in segments):
        raise CannotAsk(operation, "an id is empty or a path by itself")
    try:
        path = "/public/v1/" + "/".join(quote(segment, safe="") for segment in segments)
    except UnicodeEncodeError as error:
        raise CannotAsk(operation, "an id cannot be encoded") from error
    return Request(
        operation=operation,
        method=method,
        path=path,
        query=tuple((query or {}).items()),
        json=json,
        bearer=Bearer.USER if project_id is None else Bearer.PROJECT,
        project_id=project_id,
        is_repeatable=is_repeatable,
    )


def get_current_user(project_id: str | None = None) -> Call[WireUser]:
    """Who the token belongs to. Which kind of token is accepted is not stated; both scopes hold `profile`."""
    name = "getCurrentUser"
    return Call(_request(name, "GET", "users", "me", project_id=project_id), one(name, WireUser))


def list_agencies() -> Call[Rows[WireAgency]]:
    """Agencies of the user. The path is derived from the answer's own links."""
    return Call(_request("listAgencies", "GET", "agencies"), rows("listAgencies", WireAgency))


def get_agency(agency_id: str) -> Call[WireAgency]:
    """One agency."""
    return Call(_request("getAgency", "GET", "agencies", agency_id), one("getAgency", WireAgency))


def list_agency_projects(agency_id: str) -> Call[Rows[WireProject]]:
    """Projects of an agency."""
    name = "listAgencyProjects"
    return Call(_request(name, "GET", "agencies", agency_id, "projects"), rows(name, WireProject))


def get_project(project_id: str) -> Call[WireProject]:
    """One project, with its own token."""
    name = "getProject"
    return Call(_request(name, "GET", "projects", project_id, project_id=project_id), one(name, WireProject))


def list_conversations(project_id: str) -> Call[Rows[WireConversation]]:
    """Private conversations; neither order nor completeness is promised."""
    name = "listConversations"
    request = _request(name, "GET", "projects", project_id, "conversations", project_id=project_id)
    return Call(request, rows(name, WireConversation))


def list_conversation_messages(project_id: str, conversation_id: str, limit: int) -> Call[Rows[WireMessage]]:
    """Messages of a conversation, in any order; nobody says which end `limit` cuts."""
    name = "listConversationMessages"
    path = ("projects", project_id, "conversations", conversation_id, "messages")
    request = _request(name, "GET", *path, project_id=project_id, query={"limit": str(limit)})
    return Call(request, rows(name, WireMessage))


def create_message_reply(
    project_id: str, provider: str, conversation_id: str, text: str
) -> Call[WireReplyCreated]:
    """A private reply. Not repeatable; the answer is `{}`, so the id of the new message stays unknown."""
    path = ("projects", project_id, provider, "conversations", conversation_id, "messages")
    request = _request(
        "createMessageReply", "POST", *path, project_id=project_id, json={"text": text}, is_repeatable=False
    )
    return Call(request, reply_created)


def list_dialogue_messages(project_id: str, dialogue_id: str, limit: int) -> Call[Rows[WireMessage]]:
    """Messages of one dialogue, in the form of a conversation's."""
    name = "listDialogueMessages"
    path = ("projects", project_id, "dialogues", dialogue_id, "messages")
    request = _request(name, "GET", *path, project_id=project_id, query={"limit": str(limit)})
    return Call(request, rows(name, WireMessage))


def close_dialogue(project_id: str, dialogue_id: str) -> Call[None]:
    """End a dialogue. What closing twice does is not stated; a 404 may mean "closed already"."""
    path = ("projects", project_id, "dialogues", dialogue_id, "close")
    return Call(_request("closeDialogue", "PUT", *path, project_id=project_id), nothing)


def get_message(project_id: str, message_id: str) -> Call[WireMessage]:
    """One message; its path does not name the project."""
    name = "getMessage"
    request = _request(name, "GET", "messages", message_id, project_id=project_id)
    return Call(request, one(name, WireMessage))


def get_message_capabilities(project_id: str, message_id: str) -> Call[WireCapabilities]:
    """Whether and how long a reply to a message may be."""
    name = "getMessageCapabilities"
    request = _request(name, "GET", "messages", message_id, "capabilities", project_id=project_id)
    return Call(request, one(name, WireCapabilities))


def list_incoming_posts(project_id: str) -> Call[Rows[WirePost]]:
    """Posts and comments in the inbox; neither order nor completeness is promised."""
    name = "listIncomingPosts"
    request = _request(name, "GET", "projects", project_id, "posts", "incoming", project_id=project_id)
    return Call(request, rows(name, WirePost))


def list_tagged_posts(project_id: str, tag: str | None = None) -> Call[Rows[WirePost]]:
    """Posts with a tag. Path and parameter are guesses: do not build on it before it has been tried."""
    name = "listTaggedPosts"
    query = {} if tag is None else {"tag": tag}
    request = _request(
        name, "GET", "projects", project_id, "posts", "tagged", project_id=project_id, query=query
    )
    return Call(request, rows(name, WirePost))


def get_post(project_id: str, post_id: str) -> Call[WirePost]:
    """One post or comment."""
    name = "getPost"
    return Call(_request(name, "GET", "posts", post_id, project_id=project_id), one(name, WirePost))


def get_post_capabilities(project_id: str, post_id: str) -> Call[WireCapabilities]:
    """Whether and how long a reply to a post may be."""
    name = "getPostCapabilities"
    request = _request(name, "GET", "posts", post_id, "capabilities", project_id=project_id)
    return Call(request, one(name, WireCapabilities))


def create_post_reply(project_id: str, post_id: str, text: str) -> Call[WireReplyCreated]:
    """A public reply to a post or comment (the path says `post`, singular). Not repeatable."""
    name = "createPostReply"
    request = _request(
        name,
        "POST",
        "post",
        post_id,
        "replies",
        project_id=project_id,
        json={"text": text},
        is_repeatable=False,
    )
    return Call(request, reply_created)


def render_message(project_id: str, message_id: str, providers: Sequence[str]) -> Call[JsonValue]:
    """A message as markup, in whatever form it comes: never show it before `text` has cleaned it."""
    return Call(_render("renderMessage", project_id, "message", message_id, providers), markup)


def render_post(project_id: str, post_id: str, providers: Sequence[str]) -> Call[JsonValue]:
    """A post as markup, in whatever form it comes: never show it before `text` has cleaned it."""
    return Call(_render("renderPost", project_id, "post", post_id, providers), markup)


def _render(name: str, project_id: str, kind: str, object_id: str, providers: Sequence[str]) -> Request:
    body: dict[str, JsonValue] = {"pending_selected_providers": list(providers)}
    return _request(name, "POST", "render", kind, object_id, project_id=project_id, json=body)


def get_suggestions(project_id: str, message_id: str, style: str | None = None) -> Call[Rows[WireSuggestion]]:
    """Proposals for a reply. Only the style "official" is shown."""
    name = "getSuggestions"
    query = {} if style is None else {"style": style}
    request = _request(name, "GET", "suggestions", message_id, project_id=project_id, query=query)
    return Call(request, rows(name, WireSuggestion))


def rate_automatic_reply(project_id: str, message_id: str, *, is_good: bool) -> Call[None]:
    """Tell whether a reply that the AI sent was good. In development at Jollor."""
    query = {"rating": "good" if is_good else "bad"}
    request = _request("rateAutomaticReply", "PUT", "ratings", message_id, project_id=project_id, query=query)
    return Call(request, nothing)


def translate_text(project_id: str, text: str, language: str) -> Call[str]:
    """`text` in another language (code as "en"; its standard is not stated)."""
    body: dict[str, JsonValue] = {"text": text, "out_lang_code": language}
    request = _request(
        "translateText", "POST", "projects", project_id, "translate", project_id=project_id, json=body
    )
    return Call(request, translation)


def new_media(project_id: str, purpose: str, extension: str) -> Call[WireMediaTicket]:
    """A ticket for an upload, presumably; how it is used is not described."""
    name = "newMedia"
    query = {"purpose": purpose, "extension": extension}
    request = _request(
        name, "GET", "projects", project_id, "media", "new", project_id=project_id, query=query
    )
    return Call(request, one(name, WireMediaTicket))


def enable_webhook(project_id: str) -> Call[WireWebhook]:
    """Switch the webhook on. Not repeatable, as a second call may make a second secret: look instead."""
    request = _request(
        "enableWebhook", "POST", "projects", project_id, "webhook", project_id=project_id, is_repeatable=False
    )
    return Call(request, webhook_made)


def get_webhook(project_id: str) -> Call[WireWebhook]:
    """The webhook, shown with its secret and links only."""
    name = "getWebhook"
    request = _request(name, "GET", "projects", project_id, "webhook", project_id=project_id)
    return Call(request, one(name, WireWebhook))


def update_webhook(project_id: str, callback_url: str) -> Call[WireWebhook]:
    """Set the address. Jollor verifies it during this call (inferred), so it has to be up."""
    name = "updateWebhook"
    body: dict[str, JsonValue] = {"callback_url": callback_url}
    request = _request(name, "PUT", "projects", project_id, "webhook", project_id=project_id, json=body)
    return Call(request, one(name, WireWebhook))


def delete_webhook(project_id: str) -> Call[None]:
    """Remove the webhook."""
    request = _request("deleteWebhook", "DELETE", "projects", project_id, "webhook", project_id=project_id)
    return Call(request, nothing)


def subscribe_event(project_id: str, object_type: str) -> Call[None]:
    """Have the webhook called for an event type."""
    return Call(_about("subscribeEvent", "POST", project_id, "subscriptions", object_type), nothing)


def unsubscribe_event(project_id: str, object_type: str) -> Call[None]:
    """Have the webhook called for an event type no longer."""
    return Call(_about("unsubscribeEvent", "DELETE", project_id, "subscriptions", object_type), nothing)


def get_test_webhook(project_id: str, object_type: str) -> Call[JsonValue]:
    """What a delivery of the type looks like; `webhooks.read_events` understands it."""
    name = "getTestWebhook"
    return Call(_about(name, "GET", project_id, "test", object_type), any_json(name))


def send_test_webhook(project_id: str, object_type: str) -> Call[None]:
    """Have Jollor make a test delivery."""
    return Call(_about("sendTestWebhook", "POST", project_id, "test", object_type), nothing)


def _about(name: str, method: str, project_id: str, what: str, object_type: str) -> Request:
    path = ("projects", project_id, "webhook", what)
    return _request(name, method, *path, project_id=project_id, query={"object_type": object_type})


# --- tokens ------------------------------------------------------------------------------------------

USER_SCOPE = "profile agency"
PROJECT_SCOPE = "profile project"


def password_grant(client_id: str, client_secret: str, username: str, password: str) -> Call[WireToken]:
    """Sign in as a dashboard user: the only grant with a Basic header. Gives the user token."""
    basic = b64encode(f"{username}:{password}".encode()).decode()
    return _grant("password", client_id, client_secret, USER_SCOPE, {}, {"Authorization": f"Basic {basic}"})


def exchange_grant(
    client_id: str, client_secret: str, project_id: str, user_access_token: str
) -> Call[WireToken]:
    """Exchange the user token for a token of one project."""
    body: dict[str, JsonValue] = {"project_id": project_id, "access_token": user_access_token}
    return _grant("token_exchange", client_id, client_secret, PROJECT_SCOPE, body, {})


def refresh_grant(client_id: str, client_secret: str, scope: str, refresh_token: str) -> Call[WireToken]:
    """A fresh pair. Whether the old refresh token lives on is not stated: keep the newest."""
    return _grant("refresh_token", client_id, client_secret, scope, {"refresh_token": refresh_token}, {})


def _grant(
    grant: str,
    client_id: str,
    client_secret: str,
    scope: str,
    body: Mapping[str, JsonValue],
    headers: Mapping[str, str],
) -> Call[WireToken]:
    """Return a token request. Repeatable: at worst a refresh token is spent, and another grant takes over."""
    name = f"createToken/{grant}"
    request = Request(
        operation=name,
        method="POST",
        path="/oauth2/token",
        base=Base.AUTH,
        query=(("grant_type", grant),),
        json={"client_id": client_id, "client_secret": client_secret, "scope": scope, **body},
        headers=headers,
        bearer=Bearer.NONE,
    )
    return Call(request, one(name, WireToken))
