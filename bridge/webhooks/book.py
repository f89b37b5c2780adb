"""What is stored of each project's webhook: its secret, how it is, and the deliveries that it brought."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Protocol

from prometheus_client import Counter
from sqlalchemy import Connection, select, update

from bridge.errors import StoreUnavailable
from bridge.events import Event
from bridge.ids import ProjectId
from bridge.links import links_of
from bridge.mapping import insert_new
from bridge.model import Webhook
from bridge.ports import Social, WebhookSecret
from bridge.queue.jobs import Jobs, NewJob
from bridge.store.engine import Store
from bridge.store.tables import webhooks
from bridge.webhooks import proving
from bridge.webhooks.silence import learned

log = logging.getLogger(__name__)

SECRET_CACHE_S = 5.0
NOTED_EVERY_S = 1.0
"""How exact the time of a project's last event is: a flood of events shall not double the writes."""

FOREIGN = Counter(
    "bridge_webhook_foreign_items_total", "Webhook items dropped: of another or unlinked project"
)
KEPT = Counter("bridge_webhook_kept_total", "Webhook items that could not be read and were kept aside")
RECEIVED = Counter("bridge_webhook_events_total", "Webhook events taken in", ["kind"])


class WebhookState(StrEnum):
    """How a webhook is, beside Jollor's own words for it (of which "active" alone is documented)."""

    ACTIVE = "active"
    BEING_MADE = "being_made"
    """We asked Jollor to make it and have not heard its secret yet."""
    UNFINISHED = "unfinished"
    """Its set-up was begun and not brought to its end."""
    MISSING = "missing"
    """Jollor has none any more."""
    REPLACED = "replaced"
    """Jollor reports another secret than the one that is stored here."""


class Cipher(Protocol):
    """Authenticated encryption for what is stored."""

    def encrypt(self, text: str) -> str:
        """Return `text` encrypted."""
        ...

    def decrypt(self, stored: str) -> str:
        """Return what `encrypt` was given."""
        ...


@dataclass(frozen=True, slots=True)
class StoredWebhook:
    """A webhook as it is stored. `state` is a `WebhookState`, a word of Jollor's, or None if nobody said."""

    secret: str
    callback_url: str | None
    state: str | None
    is_foreign: bool
    last_event_at: datetime | None
    created_at: datetime
    usual_gap: timedelta | None = None
    """How long the project is usually silent; None as long as that is not known."""


class Webhooks:
    """The webhooks of all projects; implements `bridge.ports.WebhookBook`."""

    def __init__(
        self,
        store: Store,
        jobs: Jobs,
        cipher: Cipher,
        social: Social,
        *,
        public_url: str | None,
        scale: float = 1.0,
    ) -> None:
        self._store = store
        self._jobs = jobs
        self._cipher = cipher
        self._social = social
        self._public_url = public_url
        self._scale = scale
        self._secrets: dict[ProjectId, tuple[float, WebhookSecret]] = {}
        self._noted: dict[ProjectId, float] = {}

    def callback_url(self, project: ProjectId) -> str | None:
        """Return the address for Jollor to call, without its secret; None without BRIDGE_PUBLIC_URL."""
        if self._public_url is None:
            return None
        return f"{self._public_url.rstrip('/')}/webhooks/jollor/{project}"

    # --- stored facts --------------------------------------------------------------------------------

    async def stored(self, project: ProjectId) -> StoredWebhook | None:
        """Return what is stored, None if the project was never linked."""

        def look(conn: Connection) -> Any:
            return conn.execute(select(webhooks).where(webhooks.c.project_id == project)).mappings().first()

        row = await self._store.read(look)
        if row is None:
            return None
        return StoredWebhook(
            self._cipher.decrypt(row["secret"]),
            row["callback_url"],
            row["status"],
            row["is_foreign"],
            row["last_event_at"],
            row["created_at"],
            None if row["usual_gap_s"] is None else timedelta(seconds=row["usual_gap_s"]),
        )

    async def remember(
        self, project: ProjectId, secret: str, callback_url: str | None, state: str | None
    ) -> None:
        """Store a webhook of ours; another process that answers for us reads it from there."""
        sealed = self._cipher.encrypt(secret)
        values = {"secret": sealed, "callback_url": callback_url, "is_foreign": False, "status": state}

        def store(conn: Connection) -> None:
            if not insert_new(conn, webhooks, project_id=project, created_at=self._store.now(conn), **values):
                conn.execute(update(webhooks).where(webhooks.c.project_id == project).values(**values))

        await self._store.write(store)
        self._secrets.pop(project, None)

    async def note_being_made(self, project: ProjectId) -> None:
        """Store that we are about to ask for a webhook: one whose secret gets lost is known as ours then."""
        nobody_knows = secrets.token_urlsafe(32)
        await self.remember(project, nobody_knows, None, WebhookState.BEING_MADE)

    async def note(self, project: ProjectId, *, state: str | None, is_foreign: bool = False) -> None:
        """Store how the webhook is and whether it points elsewhere, if there is one."""
        values = {"status": state, "is_foreign": is_foreign}

        def store(conn: Connection) -> None:
            conn.execute(update(webhooks).where(webhooks.c.project_id == project).values(**values))

        await self._store.write(store)

    async def note_test(self, project: ProjectId, object_type: str) -> tuple[int, datetime]:
        """Store that a test delivery is asked for now; return its id and that time."""

        def store(conn: Connection) -> tuple[int, datetime]:
            now = self._store.now(conn)
            return proving.ask(conn, now, project, object_type), now

        return await self._store.write(store)

    async def note_no_test(self, test: int, *, is_refused: bool) -> None:
        """Store that Jollor made no test delivery: it refused, or could not be asked."""
        note = proving.refuse if is_refused else proving.withdraw
        await self._store.write(lambda conn: note(conn, test))

    async def examine(self, project: ProjectId) -> None:
        """Ask Jollor how the webhook is, and store that. Raises what `Social.webhook` raises."""
        ours = await self.stored(project)
        if ours is None:
            return
        await self.note_examined(project, ours, await self._social.webhook(project))

    async def note_examined(self, project: ProjectId, ours: StoredWebhook, theirs: Webhook | None) -> None:
        """Store how the webhook is by what Jollor tells."""
        state, is_foreign = examined(ours, theirs, self.callback_url(project))
        if (state, is_foreign) != (ours.state, ours.is_foreign):
            await self.note(project, state=state, is_foreign=is_foreign)

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

        found = None if "\0" in project else await self._store.read(look)
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
        if new or leftovers:
            await self._jobs.receive(new, [(project, body) for body in leftovers])
        for event in events:
            RECEIVED.labels(event.kind).inc()
        KEPT.inc(len(leftovers))
        FOREIGN.inc(foreign)
        await self._note_event(project)

    async def _note_event(self, project: ProjectId) -> None:
        """Store when the webhook last called; the events themselves are committed by now."""
        now = time.monotonic()
        if now - self._noted.get(project, -NOTED_EVERY_S) < NOTED_EVERY_S:
            return
        self._noted[project] = now

        def store(conn: Connection) -> None:
            at = self._store.now(conn)
            learned = self._learned(conn, project, at)
            conn.execute(
                update(webhooks).where(webhooks.c.project_id == project).values(last_event_at=at, **learned)
            )

        try:
            await self._store.write(store)
        except StoreUnavailable as error:
            log.warning("webhook.time_not_stored", extra={"reason": error.user_message})

    def _learned(self, conn: Connection, project: ProjectId, at: datetime) -> dict[str, float]:
        """Return how the usual gap changes by an event that comes at `at`, if it does.

        A test delivery tells nothing: it comes when it was asked for.
        """
        known = select(webhooks.c.last_event_at, webhooks.c.usual_gap_s).where(
            webhooks.c.project_id == project
        )
        row = conn.execute(known).first()
        if row is None or row[0] is None:
            return {}
        before = None if row[1] is None else timedelta(seconds=row[1])
        usual = learned(before, at - row[0], scale=self._scale)
        if usual is None or usual == before or proving.is_awaited(conn, project):
            return {}
        return {"usual_gap_s": usual.total_seconds()}


def examined(
    ours: StoredWebhook, theirs: Webhook | None, callback_url: str | None
) -> tuple[str | None, bool]:
    """Return the state, and whether the webhook points elsewhere, by what Jollor tells. Pure.

    What Jollor does not tell stays as it was: reading a webhook is shown without address and status.
    """
    if theirs is None:
        return WebhookState.MISSING, False
    is_foreign = ours.is_foreign
    if theirs.callback_url is not None and callback_url is not None:
        is_foreign = theirs.callback_url != callback_url
    if theirs.secret and theirs.secret != ours.secret:
        return WebhookState.REPLACED, is_foreign
    if theirs.status is not None:
        return theirs.status, is_foreign
    cured = (WebhookState.MISSING, WebhookState.REPLACED)
    return (None if ours.state in cured else ours.state), is_foreign


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
