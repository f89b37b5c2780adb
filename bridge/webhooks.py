"""The webhook that feeds a project: set up, recognised when it calls, and its deliveries taken in.

Looks before it acts: an existing webhook of somebody else is only taken over when told so, and the secret is
stored before Jollor verifies, because another process may be the one that answers.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from prometheus_client import Counter
from sqlalchemy import Connection, select, update

from bridge.errors import BridgeError, PermanentError
from bridge.events import Event
from bridge.ids import ProjectId
from bridge.links import links_of
from bridge.mapping import insert_new
from bridge.model import Webhook
from bridge.ports import Social, WebhookSecret
from bridge.queue.jobs import Jobs, NewJob
from bridge.store.engine import Store
from bridge.store.tables import webhooks

EVENT_TYPES = (
    "message_received",
    "message_created",
    "message_sent",
    "post_received",
    "post_created",
    "post_published",
    "token_expired",
    "dialogue_started",
    "dialogue_ended",
    "dialogue_human_agent_needed",
)
OPTIONAL_TYPES = frozenset({"dialogue_human_agent_needed"})
"""Known from Jollor's example only: a refusal to subscribe is no failure. Source: NOTES 6."""

TEST_TYPE = "post_received"
"""The only `object_type` that Jollor shows. Source: openapi.yaml, ObjectType."""

SECRET_CACHE_S = 5.0

FOREIGN = Counter("bridge_webhook_foreign_items_total", "Webhook items that named another project")
KEPT = Counter("bridge_webhook_kept_total", "Webhook items that could not be read and were kept aside")
RECEIVED = Counter("bridge_webhook_events_total", "Webhook events taken in", ["kind"])


class Cipher(Protocol):
    """Authenticated encryption for what is stored."""

    def encrypt(self, text: str) -> str:
        """Return `text` encrypted."""
        ...

    def decrypt(self, stored: str) -> str:
        """Return what `encrypt` was given."""
        ...


@dataclass(slots=True)
class Steps:
    said: list[str] = field(default_factory=list)
    is_incomplete: bool = False

    def problem(self, sentence: str) -> None:
        self.said.append(sentence)
        self.is_incomplete = True


class Webhooks:
    """The webhooks of all projects; implements `bridge.ports.WebhookBook`."""

    def __init__(
        self, store: Store, jobs: Jobs, cipher: Cipher, social: Social, *, public_url: str | None
    ) -> None:
        self._store = store
        self._jobs = jobs
        self._cipher = cipher
        self._social = social
        self._public_url = public_url
        self._secrets: dict[ProjectId, tuple[float, WebhookSecret]] = {}

    def callback_url(self, project: ProjectId) -> str | None:
        """Return the address for Jollor to call, without its secret; None without BRIDGE_PUBLIC_URL."""
        if self._public_url is None:
            return None
        return f"{self._public_url.rstrip('/')}/webhooks/jollor/{project}"

    async def set_up(
        self, project: ProjectId, steps: Steps, *, replace: bool = False, secret: str | None = None
    ) -> None:
        """See to the project's webhook and say in `steps` what was done, or what is left to do.

        `secret` is that of a webhook which was made in the dashboard: it is stored, and Jollor is not asked.
        """
        callback = self.callback_url(project)
        if secret is not None:
            await self._remember(project, Webhook(secret, callback, None, None), callback)
            steps.said.append("The webhook's secret is stored.")
        elif callback is None:
            steps.problem(
                "No webhook was set up: BRIDGE_PUBLIC_URL is not set, so Jollor cannot reach this bridge."
            )
        else:
            await self._set_up(project, callback, steps, replace=replace)

    async def _set_up(self, project: ProjectId, callback: str, steps: Steps, *, replace: bool) -> None:
        try:
            webhook = await self._social.webhook(project)
            if webhook is None:
                webhook = await self._social.enable_webhook(project)
            elif not replace and not await self._is_ours(project, webhook, callback):
                where = webhook.callback_url or "an address that Jollor does not tell"
                await self._mark_foreign(project)
                steps.problem(
                    f"The project's webhook points to {where}. It was left as it is; "
                    "link again with --replace to take it over."
                )
                return
            # Before Jollor verifies: the process that answers reads the secret from the database.
            await self._remember(project, webhook, callback)
            if webhook.callback_url != callback or not webhook.is_active:
                await self._social.point_webhook(project, callback)
            await self._subscribe(project, webhook, steps)
            await self._store.write(
                lambda conn: (
                    conn.execute(
                        update(webhooks)
                        .where(webhooks.c.project_id == project)
                        .values(tested_at=self._store.now(conn), status="active")
                    )
                    and None
                )
            )
            await self._social.send_test(project, TEST_TYPE)
        except BridgeError as error:
            steps.problem(f"The webhook is not ready yet: {error.user_message} Link again to retry.")
        else:
            steps.said.append("Its webhook is set up and was tested.")

    async def _subscribe(self, project: ProjectId, webhook: Webhook, steps: Steps) -> None:
        for event_type in EVENT_TYPES:
            if webhook.subscriptions is not None and event_type in webhook.subscriptions:
                continue
            try:
                await self._social.subscribe(project, event_type)
            except PermanentError:
                if event_type not in OPTIONAL_TYPES:
                    raise

    async def _is_ours(self, project: ProjectId, webhook: Webhook, callback: str) -> bool:
        if webhook.callback_url is not None:
            return webhook.callback_url == callback
        stored = await self.secret(project, fresh=True)
        return stored is not None and stored.secret == webhook.secret

    async def _remember(self, project: ProjectId, webhook: Webhook, callback: str | None) -> None:
        sealed = self._cipher.encrypt(webhook.secret)

        def store(conn: Connection) -> None:
            now = self._store.now(conn)
            values = {"secret": sealed, "callback_url": callback, "is_foreign": False}
            if not insert_new(conn, webhooks, project_id=project, created_at=now, **values):
                conn.execute(update(webhooks).where(webhooks.c.project_id == project).values(**values))

        await self._store.write(store)
        self._secrets.pop(project, None)

    async def _mark_foreign(self, project: ProjectId) -> None:
        await self._store.write(
            lambda conn: (
                conn.execute(update(webhooks).where(webhooks.c.project_id == project).values(is_foreign=True))
                and None
            )
        )

    def forget_secrets(self) -> None:
        """Read secrets again: links have changed."""
        self._secrets.clear()

    # --- the webhook receiver's side -----------------------------------------------------------------

    async def secret(self, project: ProjectId, *, fresh: bool = False) -> WebhookSecret | None:
        """See `bridge.ports.WebhookBook`."""
        cached = self._secrets.get(project)
        if cached is not None and not fresh and time.monotonic() - cached[0] < SECRET_CACHE_S:
            return cached[1]

        def look(conn: Connection) -> tuple[str, bool] | None:
            sealed = conn.execute(select(webhooks.c.secret).where(webhooks.c.project_id == project)).scalar()
            return None if sealed is None else (sealed, bool(links_of(conn, project)))

        found = await self._store.read(look)
        if found is None:
            return None
        known = WebhookSecret(self._cipher.decrypt(found[0]), is_linked=found[1])
        self._secrets[project] = (time.monotonic(), known)
        return known

    async def accept(
        self, project: ProjectId, events: Sequence[Event], leftovers: Sequence[str], *, foreign: int
    ) -> None:
        """See `bridge.ports.WebhookBook`."""
        new = [NewJob(event, unique_key=_webhook_key(event)) for event in events]
        await self._jobs.receive(new, [(project, body) for body in leftovers])
        for event in events:
            RECEIVED.labels(event.kind).inc()
        KEPT.inc(len(leftovers))
        FOREIGN.inc(foreign)


def _webhook_key(event: Event) -> str | None:
    """The key under which a repeated delivery of the same event is dropped; None where there is no id.

    Source: NOTES 7.
    """
    match event.kind:
        case "conversation_changed" if event.message_id is not None:
            return f"jollor:{event.project_id}:{event.cause}:{event.conversation_id}:{event.message_id}"
        case "message_hinted":
            return f"jollor:{event.project_id}:{event.cause}:{event.message_id}"
        case "post_changed":
            return f"jollor:{event.project_id}:post_{event.what}:{event.post_id}"
        case "dialogue_changed":
            return f"jollor:{event.project_id}:{event.what}:{event.dialogue_id}"
    return None
