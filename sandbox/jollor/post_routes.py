"""Operations on posts, rendering, AI and media."""

from aiohttp import web
from pydantic import JsonValue

from sandbox.jollor.answers import Refused, json_object, query, text_member
from sandbox.jollor.auth import Access
from sandbox.jollor.inbox import Inbox
from sandbox.jollor.inbox_routes import InboxRoutes
from sandbox.jollor.model import Post
from sandbox.jollor.shapes import Shapes, html_of
from sandbox.jollor.store import Store
from sandbox.jollor.switches import RenderForm

SUGGESTIONS = ("Thank you for writing, we will look into it.", "Good day! How can we help?")


class PostRoutes:
    """Handlers named like their operationId."""

    def __init__(
        self, store: Store, shapes: Shapes, access: Access, inbox: Inbox, inbox_routes: InboxRoutes
    ) -> None:
        self._store = store
        self._shapes = shapes
        self._access = access
        self._inbox = inbox
        self._inbox_routes = inbox_routes

    async def list_incoming_posts(self, request: web.Request) -> JsonValue:
        project = self._access.project(request)
        return [self._shapes.post(post, in_list=True) for post in self._store.incoming_posts(project)]

    async def list_tagged_posts(self, request: web.Request) -> JsonValue:
        project = self._access.project(request)
        wanted = request.query.get("tag")
        return [
            self._shapes.post(post, in_list=True)
            for post in self._store.incoming_posts(project)
            if (wanted in post.tags if wanted is not None else post.tags)
        ]

    async def get_post(self, request: web.Request) -> JsonValue:
        return self._shapes.post(self._post(request), in_list=False)

    async def get_post_capabilities(self, request: web.Request) -> JsonValue:
        return self._shapes.post_capabilities(self._post(request))

    async def create_post_reply(self, request: web.Request) -> JsonValue:
        post = self._post(request)
        text = text_member(await json_object(request), "text")
        switches = self._store.switches
        if not post.reply_allowed:
            raise Refused(switches.not_allowed_status, "this post cannot be answered")
        if len(text) > post.reply_length:
            raise Refused(switches.too_long_status, f"longer than {post.reply_length} characters")
        reply = self._inbox.reply_to_post(post, text)
        self._inbox.announce_post("post_created", reply)
        self._inbox.announce_post("post_published", reply)
        return self._shapes.post_reply(reply)

    async def render_message(self, request: web.Request) -> JsonValue | web.StreamResponse:
        message = self._inbox_routes.message(request)
        await json_object(request, required=False)
        return self._rendered(html_of(message.text))

    async def render_post(self, request: web.Request) -> JsonValue | web.StreamResponse:
        post = self._post(request)
        await json_object(request, required=False)
        return self._rendered(html_of(post.text) if post.html is None else post.html)

    async def get_suggestions(self, request: web.Request) -> JsonValue:
        self._inbox_routes.message(request)
        return [self._shapes.bent("Suggestion", {"suggestion": text}) for text in SUGGESTIONS]

    async def translate_text(self, request: web.Request) -> JsonValue | web.StreamResponse:
        self._access.project(request)
        body = await json_object(request)
        text, language = text_member(body, "text"), text_member(body, "out_lang_code")
        translation = f"[{language}] {text}"
        return {"text": translation} if self._store.switches.translation_as_object else translation

    async def new_media(self, request: web.Request) -> JsonValue:
        self._access.project(request)
        query(request, "purpose")
        extension = query(request, "extension")
        if not self._store.switches.media_ticket:
            return {}
        medium_id = self._store.new_id()
        return {"id": medium_id, "url": f"https://media.jollor.invalid/{medium_id}.{extension}"}

    def _rendered(self, html: str) -> JsonValue | web.StreamResponse:
        match self._store.switches.render_form:
            case RenderForm.EMPTY:
                return {}
            case RenderForm.STRING:
                return html
            case RenderForm.OBJECT:
                return {"html": html}
            case RenderForm.HTML:
                return web.Response(text=html, content_type="text/html")

    def _post(self, request: web.Request) -> Post:
        project = self._access.project(request)
        post = self._store.posts.get(request.match_info["post_id"])
        is_reply = post is not None and post.parent is not None and not post.is_incoming
        if post is None or (is_reply and not self._store.switches.post_reply_is_post):
            raise Refused(404, "no such post")
        if post.project is not project:
            raise Refused(403, "the post belongs to another project")
        return post
