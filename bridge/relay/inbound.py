"""From Jollor into Slack: conversations and their messages.

A webhook is a hint. Whatever says that a conversation may have changed, the whole conversation is listed and
everything unseen is shown in `sent_at` order; a hinted message that the list lacks is read by its id.
Outgoing messages settle our intents; what matches none is somebody else's and shown once with that label.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection

from bridge.errors import BridgeError, Snooze, StoreUnavailable, TargetDown
from bridge.events import SWEEPS, ConversationChanged
from bridge.ids import ConversationId, JobId, MessageId, ProjectId
from bridge.links import links_of
from bridge.mapping import (
    Heard,
    conversation,
    hold,
    remember_conversation,
    remember_message,
    seen_messages,
    update_conversation,
)
from bridge.mapping import Origin as Whose
from bridge.model import LinkKind, Message, Target, TargetKind
from bridge.ports import Social
from bridge.queue.jobs import Job, NewJob, order_of, put_in
from bridge.queue.presence import gap, outages_between
from bridge.relay.cards import Cards
from bridge.relay.echoes import HOLD, Echoes
from bridge.relay.hints import read_later
from bridge.relay.showing import Showing
from bridge.routing import choose
from bridge.store.engine import Store
from bridge.webhooks.lost import announced, found_by_sweep, of_message

log = logging.getLogger(__name__)

HOLD_LOOK = timedelta(seconds=5)
LISTED = "list"
"""The cause of what stood in the list beside a message that was announced."""


@dataclass(frozen=True, slots=True)
class _Found:
    """What one look at a conversation found. `missing` are hinted ids that could not be read yet.

    `hinted` tells how each message that was announced was heard of, `otherwise` how all others were found.
    """

    messages: tuple[Message, ...]
    hinted: Mapping[MessageId, Heard]
    otherwise: Heard
    missing: tuple[MessageId, ...]
    looked_at: datetime

    def heard(self, message: Message) -> Heard:
        """Return how the bridge learned of `message`."""
        return self.hinted.get(message.id, self.otherwise)


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
        later = [(id_, e) for id_, e in job.followers if isinstance(e, ConversationChanged)]
        events = [event, *(e for _, e in later)]
        project = ProjectId(event.project_id)
        id_ = ConversationId(event.conversation_id)
        hinted = _hints([(job.id, event), *later], job)
        is_linked, looked_at = await self._store.read(lambda conn: self._before_looking(conn, project))
        if not is_linked:
            return
        otherwise = Heard(job.id, event.cause if event.message_id is None else LISTED, _since(event, job))
        found = await self._look(project, id_, hinted, otherwise, looked_at)
        swept = any(e.cause in SWEEPS for e in events)
        held = await self._store.write(lambda conn: self._show(conn, project, id_, found, swept=swept))
        if held:
            await self._look_again(project, id_)
        if found.missing:
            await read_later(self._store, project, id_, {hint: hinted[hint] for hint in found.missing})

    def _before_looking(self, conn: Connection, project: ProjectId) -> tuple[bool, datetime]:
        return bool(choose(links_of(conn, project), LinkKind.MESSAGE)), self._store.now(conn)

    async def _look(
        self,
        project: ProjectId,
        id_: ConversationId,
        hinted: Mapping[MessageId, Heard],
        otherwise: Heard,
        looked_at: datetime,
    ) -> _Found:
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
        return _Found(tuple(ordered), hinted, otherwise, tuple(missing), looked_at)

    def _show(
        self, conn: Connection, project: ProjectId, id_: ConversationId, found: _Found, *, swept: bool
    ) -> bool:
        """Record and owe everything unseen in one transaction; return whether something is held back."""
        now = self._store.now(conn)
        announced(conn, project, map(of_message, found.hinted))
        links = choose(links_of(conn, project), LinkKind.MESSAGE)
        seen = seen_messages(conn, project, [message.id for message in found.messages])
        unseen = [message for message in found.messages if message.id not in seen]
        if not unseen or not links:
            self._move_mark(conn, project, id_, found)
            return False
        target = Target(project, TargetKind.CONVERSATION, id_)
        known = conversation(conn, project, id_)
        mark = known.mark if known is not None else None
        oldest_link = min(link.linked_at for link in links)
        fresh = [m for m in unseen if m.sent_at >= oldest_link or m.id in found.hinted]
        for message in unseen:
            if message not in fresh:
                heard = found.heard(message)
                remember_message(conn, now, project, id_, message, Whose.BEFORE, heard=heard)
        owed, held = self._settle(conn, now, project, id_, fresh, found)
        if swept:
            self._note_unannounced(conn, now, project, [m for m, _ in owed if m.id not in found.hinted])
        if owed:
            remember_conversation(conn, now, project, id_, owed[0][0].provider, owed[0][0].customer)
            for link in links:
                taken = [(m, w) for m, w in owed if m.sent_at >= link.linked_at or m.id in found.hinted]
                if taken:
                    self._showing.show_in(conn, now, link, target, taken, found.messages, mark, swept=swept)
            self._showing.restate(conn, now, target, owed)
        self._move_mark(conn, project, id_, found)
        return held

    def _move_mark(self, conn: Connection, project: ProjectId, id_: ConversationId, found: _Found) -> None:
        """A sweep looks again at what has moved past its newest stored message, or may still show more."""
        stored = seen_messages(conn, project, [message.id for message in found.messages])
        known = conversation(conn, project, id_)
        if known is None:
            return
        marks = [m.sent_at for m in found.messages if m.id in stored]
        marks += [known.mark] if known.mark is not None else []
        provider = known.provider or (found.messages[-1].provider if found.messages else "")
        update_conversation(
            conn,
            project,
            id_,
            provider=provider,
            mark=max(marks, default=None),
            looked_at=found.looked_at,
        )

    def _note_unannounced(
        self, conn: Connection, now: datetime, project: ProjectId, messages: Sequence[Message]
    ) -> None:
        """What a sweep found, although the bridge was there, may be a webhook that never comes."""
        if not messages:
            return
        around = gap(self._scale)
        times = [m.sent_at for m in messages]
        outages = outages_between(conn, min(times) - around, max(times) + around)
        missed = [m for m in messages if not any(one.covers(m.sent_at, margin=around) for one in outages)]
        found_by_sweep(conn, now, project, [of_message(m.id) for m in missed])

    def _settle(
        self,
        conn: Connection,
        now: datetime,
        project: ProjectId,
        id_: ConversationId,
        fresh: Sequence[Message],
        found: _Found,
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
            if remember_message(conn, now, project, id_, message, whose, heard=found.heard(message)):
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


def _since(event: ConversationChanged, job: Job) -> datetime:
    return event.since or job.created_at


def _hints(events: Sequence[tuple[JobId, ConversationChanged]], job: Job) -> dict[MessageId, Heard]:
    """Return how each announced message was heard of, first."""
    hinted: dict[MessageId, Heard] = {}
    for id_, event in events:
        if event.message_id is not None:
            hinted.setdefault(MessageId(event.message_id), Heard(id_, event.cause, _since(event, job)))
    return hinted
