"""From Jollor into Slack: conversations and their messages.

A webhook is a hint. Whatever says that a conversation may have changed, the whole conversation is listed and
everything unseen is shown in `sent_at` order; a hinted message that the list lacks is read by its id.
Outgoing messages settle our intents; what matches none is somebody else's and shown once with that label.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from prometheus_client import Counter
from sqlalchemy import Connection

from bridge.errors import BridgeError, Snooze, StoreUnavailable, TargetDown
from bridge.events import ConversationChanged
from bridge.ids import ConversationId, MessageId, ProjectId
from bridge.links import links_of
from bridge.mapping import Origin as Whose
from bridge.mapping import (
    conversation,
    hold,
    remember_conversation,
    remember_message,
    seen_messages,
    update_conversation,
)
from bridge.model import LinkKind, Message, Target, TargetKind
from bridge.ports import Social
from bridge.queue.jobs import Job, NewJob, order_of, put_in
from bridge.relay.announced import is_test_delivery
from bridge.relay.cards import Cards
from bridge.relay.catchup import outage_at
from bridge.relay.echoes import HOLD, Echoes
from bridge.relay.hints import read_later
from bridge.relay.showing import Showing
from bridge.routing import choose
from bridge.store.engine import Store

log = logging.getLogger(__name__)

LOST = Counter("bridge_lost_webhooks_total", "Messages that only a sweep found while the bridge was there")

HOLD_LOOK = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class _Found:
    """What one look at a conversation found. `missing` are hinted ids that could not be read yet."""

    messages: tuple[Message, ...]
    hinted: frozenset[MessageId]
    missing: tuple[MessageId, ...]


class Inbound:
    """Shows in Slack what happens in Jollor."""

    def __init__(self, store: Store, social: Social, cards: Cards, *, scale: float = 1.0) -> None:
        self._store = store
        self._social = social
        self._scale = scale
        self._echoes = Echoes(cards, scale=scale)
        self._showing = Showing(cards)

    async def conversation_changed(self, event: ConversationChanged, job: Job) -> None:
        """List the conversation and show everything unseen, oldest first."""
        events = [event, *(e for _, e in job.followers if isinstance(e, ConversationChanged))]
        project = ProjectId(event.project_id)
        id_ = ConversationId(event.conversation_id)
        hinted = {MessageId(e.message_id): e.cause for e in events if e.message_id is not None}
        if not await self._is_linked(project, LinkKind.MESSAGE):
            return
        found = await self._look(project, id_, hinted)
        if all(e.cause == "sweep" for e in events):
            await self._count_lost(project, found)
        held = await self._store.write(lambda conn: self._show(conn, project, id_, found))
        if held:
            await self._look_again(project, id_)
        if found.missing and not await is_test_delivery(self._store, project):
            await read_later(self._store, project, id_, {hint: hinted[hint] for hint in found.missing})

    async def _is_linked(self, project: ProjectId, kind: LinkKind) -> bool:
        return bool(await self._store.read(lambda conn: choose(links_of(conn, project), kind)))

    async def _look(self, project: ProjectId, id_: ConversationId, hinted: Collection[MessageId]) -> _Found:
        listed = await self._social.messages(project, id_)
        messages = {message.id: message for message in listed.messages}
        lacking = [hint for hint in hinted if hint not in messages]
        known = await self._store.read(lambda conn: seen_messages(conn, project, lacking))
        missing = []
        for hint in lacking:
            if hint in known:
                continue
            try:
                messages[hint] = await self._social.message(project, hint)
            except (Snooze, TargetDown, StoreUnavailable):
                raise
            except BridgeError:
                missing.append(hint)  # one that cannot be read must not keep the others from being shown
        ordered = sorted(messages.values(), key=lambda message: message.sent_at)
        return _Found(tuple(ordered), frozenset(hinted), tuple(missing))

    def _show(self, conn: Connection, project: ProjectId, id_: ConversationId, found: _Found) -> bool:
        """Record and owe everything unseen in one transaction; return whether something is held back."""
        now = self._store.now(conn)
        links = choose(links_of(conn, project), LinkKind.MESSAGE)
        seen = seen_messages(conn, project, [message.id for message in found.messages])
        unseen = [message for message in found.messages if message.id not in seen]
        if not unseen or not links:
            self._move_mark(conn, project, id_, found.messages)
            return False
        target = Target(project, TargetKind.CONVERSATION, id_)
        known = conversation(conn, project, id_)
        mark = known.mark if known is not None else None
        oldest_link = min(link.linked_at for link in links)
        fresh = [m for m in unseen if m.sent_at >= oldest_link or m.id in found.hinted]
        for message in unseen:
            if message not in fresh:
                remember_message(conn, now, project, id_, message, Whose.BEFORE)
        owed, held = self._settle(conn, now, project, id_, fresh)
        if owed:
            remember_conversation(conn, now, project, id_, owed[0][0].provider, owed[0][0].customer)
            for link in links:
                taken = [(m, w) for m, w in owed if m.sent_at >= link.linked_at or m.id in found.hinted]
                if taken:
                    self._showing.show_in(conn, now, link, target, taken, found.messages, mark)
            self._showing.restate(conn, now, target, owed)
        self._move_mark(conn, project, id_, found.messages)
        return held

    def _move_mark(
        self, conn: Connection, project: ProjectId, id_: ConversationId, listed: Sequence[Message]
    ) -> None:
        """A sweep looks again only at conversations that have moved past their newest stored message."""
        stored = seen_messages(conn, project, [message.id for message in listed])
        known = conversation(conn, project, id_)
        newest = max((m.sent_at for m in listed if m.id in stored), default=None)
        if known is not None and not known.provider and listed and listed[-1].provider:
            update_conversation(conn, project, id_, provider=listed[-1].provider)
        if known is not None and newest is not None and (known.mark is None or newest > known.mark):
            update_conversation(conn, project, id_, mark=newest)

    async def _count_lost(self, project: ProjectId, found: _Found) -> None:
        """What only a sweep found, although the bridge was there, is a webhook that never came."""

        def count(conn: Connection) -> int:
            seen = seen_messages(conn, project, [message.id for message in found.messages])
            since = min((link.linked_at for link in links_of(conn, project)), default=None)
            return sum(
                1
                for m in found.messages
                if m.id not in seen and since and m.sent_at >= since and not outage_at(conn, m.sent_at)
            )

        lost = await self._store.read(count)
        if lost:
            LOST.inc(lost)
            log.warning("webhook.lost", extra={"project": project, "messages": lost})

    def _settle(
        self,
        conn: Connection,
        now: datetime,
        project: ProjectId,
        id_: ConversationId,
        fresh: Sequence[Message],
    ) -> tuple[list[tuple[Message, Whose]], bool]:
        """Return what is to be shown, with whose it is, and whether outgoing messages are held back.

        Echoes of our replies are recorded and not shown: the writer's own line stands in the thread.
        """
        echoes = self._echoes.settle(conn, now, project, id_, [m for m in fresh if not m.is_incoming])
        owed: list[tuple[Message, Whose]] = []
        held = False
        for message in fresh:
            if message.id in echoes.settled:
                continue
            if not message.is_incoming and echoes.more_may_come:
                since = hold(conn, now, project, id_, message.id)
                if now - since < HOLD / self._scale:
                    held = True
                    continue
            whose = Whose.CUSTOMER if message.is_incoming else Whose.ELSEWHERE
            if remember_message(conn, now, project, id_, message, whose):
                owed.append((message, whose))
        return owed, held

    async def _look_again(self, project: ProjectId, id_: ConversationId) -> None:
        """Come back for what is held, behind whatever happens until then."""

        def put(conn: Connection) -> None:
            now = self._store.now(conn)
            at = now + HOLD_LOOK / self._scale
            event = ConversationChanged(project_id=project, conversation_id=id_, cause="held")
            put_in(conn, [NewJob(event, run_at=at, order=order_of(at))], now)

        await self._store.write(put)
