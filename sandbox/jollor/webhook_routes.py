"""Operations on the project's webhook, of which there is one."""

from aiohttp import web
from pydantic import JsonValue
from yarl import URL

from sandbox.jollor.answers import Refused, json_object, query, text_member
from sandbox.jollor.auth import Access
from sandbox.jollor.model import ACTIVE, Event, Project, Webhook
from sandbox.jollor.shapes import JsonObject, Shapes
from sandbox.jollor.store import Store
from sandbox.jollor.switches import PayloadForm
from sandbox.jollor.webhooks import Webhooks


class WebhookRoutes:
    """Handlers named like their operationId."""

    def __init__(self, store: Store, shapes: Shapes, access: Access, webhooks: Webhooks) -> None:
        self._store = store
        self._shapes = shapes
        self._access = access
        self._webhooks = webhooks

    async def enable_webhook(self, request: web.Request) -> JsonValue:
        """Make the webhook, or switch an existing one on again."""
        project = self._access.project(request)
        webhook = self._store.webhooks.get(project.id)
        if webhook is None:
            webhook = Webhook(project, self._store.ids.secret(), self._store.switches.unverified_status)
            self._store.webhooks[project.id] = webhook
        else:
            if self._store.switches.enabling_again_changes_secret:
                webhook.verify_token = self._store.ids.secret()
            if webhook.callback_url is not None:
                webhook.status = ACTIVE
        return self._shapes.webhook(webhook, complete=False)

    async def get_webhook(self, request: web.Request) -> JsonValue:
        return self._shapes.webhook(self._webhook(request), complete=False)

    async def update_webhook(self, request: web.Request) -> JsonValue:
        """Set the address, after it answered the verification call. Nothing changes if it does not."""
        webhook = self._webhook(request)
        body = await json_object(request)
        callback_url = text_member(body, "callback_url")
        if not _is_address(callback_url):
            raise Refused(400, "callback_url is no http address")
        secret, subscriptions = self._also_updated(webhook, body)
        problem = await self._webhooks.verify(callback_url, secret)
        if problem is not None:
            raise Refused(400, f"the address did not pass the verification: {problem}")
        webhook.callback_url = callback_url
        webhook.verify_token = secret
        webhook.subscriptions = subscriptions
        webhook.status = ACTIVE
        return self._shapes.webhook(webhook, complete=True)

    async def delete_webhook(self, request: web.Request) -> JsonValue:
        del self._store.webhooks[self._webhook(request).project.id]
        return {}

    async def subscribe_event(self, request: web.Request) -> JsonValue:
        self._webhook(request).subscriptions[self._object_type(request)] = True
        return {}

    async def unsubscribe_event(self, request: web.Request) -> JsonValue:
        self._webhook(request).subscriptions[self._object_type(request)] = False
        return {}

    async def get_test_webhook(self, request: web.Request) -> JsonValue:
        """A sample, keyed by type as the reference shows it, whatever form deliveries have."""
        project = self._access.project(request)
        sample = self._sample(project, self._object_type(request))
        return self._shapes.delivery(project.id, [sample], PayloadForm.KEYED)

    async def send_test_webhook(self, request: web.Request) -> JsonValue:
        webhook = self._webhook(request)
        object_type = self._object_type(request)
        if webhook.callback_url is None:
            raise Refused(400, "the webhook has no address")
        await self._webhooks.test(webhook, self._sample(webhook.project, object_type))
        return {}

    def _also_updated(self, webhook: Webhook, body: JsonObject) -> tuple[str, dict[str, bool]]:
        secret, subscriptions = webhook.verify_token, webhook.subscriptions
        if self._store.switches.update_takes_all:
            given_secret, given_subscriptions = body.get("verify_token"), body.get("subscriptions")
            if isinstance(given_secret, str):
                secret = given_secret
            if isinstance(given_subscriptions, dict):
                subscriptions = {name: bool(wanted) for name, wanted in given_subscriptions.items()}
        return secret, subscriptions

    def _webhook(self, request: web.Request) -> Webhook:
        project = self._access.project(request)
        webhook = self._store.webhooks.get(project.id)
        if webhook is None:
            raise Refused(404, "the project has no webhook")
        return webhook

    def _object_type(self, request: web.Request) -> str:
        object_type = query(request, "object_type")
        subscribable = self._store.switches.subscribable
        if subscribable is not None and object_type not in subscribable:
            raise Refused(400, f"unknown object_type {object_type}")
        return object_type

    def _sample(self, project: Project, object_type: str) -> Event:
        """An event of the type about the newest object there is, or about one that does not exist."""
        real = self._store.switches.test_names_real_objects
        family = object_type.partition("_")[0]
        if family == "post":
            posts = [post for post in self._store.posts.values() if post.project is project] if real else []
            return Event(object_type, project.id, post_id=posts[-1].id if posts else self._store.new_id())
        if family == "message":
            messages = [
                message
                for message in self._store.messages.values()
                if message.conversation.project is project
            ]
            newest = messages[-1] if real and messages else None
            return Event(
                object_type,
                project.id,
                message_id=self._store.new_id() if newest is None else newest.id,
                conversation_id=(
                    self._store.ids.conversation_id("facebook") if newest is None else newest.conversation.id
                ),
            )
        if family == "dialogue":
            return Event(
                object_type,
                project.id,
                conversation_id=self._store.ids.conversation_id("facebook"),
                dialogue_id=self._store.new_id(),
                date=self._store.clock.now(),
            )
        return Event(object_type, project.id)


def _is_address(callback_url: str) -> bool:
    try:
        url = URL(callback_url)
    except ValueError:
        return False
    return url.scheme in ("http", "https") and bool(url.host)
