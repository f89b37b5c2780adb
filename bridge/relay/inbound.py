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

from prometheus_client import Counter
from sqlalchemy import Connection

from bridge.content import (
    CardState,
    Context,
    Entry,
    Origin,
)
from bridge.deliveries import put_reply, put_root
from bridge.errors import BridgeError, PermanentError, Snooze, StoreUnavailable, TargetDown
from bridge.events import ConversationChanged, MessageHinted, MessageMissing
from bridge.ids import ConversationId, JobId, MessageId, ProjectId
from bridge.links import links_of
from bridge.mapping import (
    Heard,
    conversation,
    hold,
    open_thread,
    remember_conversation,
    remember_message,
    seen_messages,
    shown,
    update_conversation,
)
from bridge.mapping import (
    Origin as Whose,
)
from bridge.model import Link, LinkKind, Message, Target, TargetKind, Thread
from bridge.ports import Social
from bridge.queue.jobs import Job, NewJob, order_of, put_in
from bridge.relay.announced import is_test_delivery
from bridge.relay.cards import Cards
from bridge.relay.catchup import outage_at
from bridge.relay.echoes import HOLD, Echoes
from bridge.relay.transcript import put_message
from bridge.routing import choose
from bridge.store.engine import Store

log = logging.getLogger(__name__)

LOST = Counter("bridge_lost_webhooks_total", "Messages that only a sweep found while the bridge was there")

CONTEXT_MESSAGES = 5
CARD_TEXT_CHARS = 1_500
IDLE = timedelta(days=1)
HOLD_LOOK = timedelta(seconds=5)
TEST_WINDOW = timedelta(minutes=10)
LISTED = "list"
"""The cause of what stood in the list beside a message that was announced."""
SEARCHED_CONVERSATIONS = 30
"""How many conversations are searched for a message that came without its own."""


@dataclass(frozen=True, slots=True)
class _Found:
    """What one look at a conversation found. `missing` are hinted ids that could not be read yet.

    `hinted` tells how each message that was announced was heard of, `otherwise` how all others were found.
    """

    messages: tuple[Message, ...]
    hinted: Mapping[MessageId, Heard]
    otherwise: Heard
    missing: tuple[MessageId, ...]

    def heard(self, message: Message) -> Heard:
        """Return how the bridge learned of `message`."""
        return self.hinted.get(message.id, self.otherwise)


class Inbound:
    """Shows in Slack what happens in Jollor."""

    def __init__(self, store: Store, social: Social, cards: Cards, *, scale: float = 1.0) -> None:
        self._store = store
        self._social = social
        self._cards = cards
        self._scale = scale
        self._echoes = Echoes(cards, scale=scale)

    # --- conversations -------------------------------------------------------------------------------

    async def conversation_changed(self, event: ConversationChanged, job: Job) -> None:
        """List the conversation and show everything unseen, oldest first."""
        later = [(id_, e) for id_, e in job.followers if isinstance(e, ConversationChanged)]
        events = [event, *(e for _, e in later)]
        project = ProjectId(event.project_id)
        id_ = ConversationId(event.conversation_id)
        hinted = _hints([(job.id, event), *later], job)
        if not await self._is_linked(project, LinkKind.MESSAGE):
            return
        otherwise = Heard(job.id, event.cause if event.message_id is None else LISTED, _since(event, job))
        found = await self._look(project, id_, hinted, otherwise)
        if all(e.cause == "sweep" for e in events):
            await self._count_lost(project, found)
        held = await self._store.write(lambda conn: self._show(conn, project, id_, found))
        if held:
            await self._look_again(project, id_)
        if found.missing and not await is_test_delivery(self._store, project):
            await self._read_later(project, id_, {hint: hinted[hint] for hint in found.missing})

    async def _read_later(
        self, project: ProjectId, id_: ConversationId, missing: Mapping[MessageId, Heard]
    ) -> None:
        """Have what was announced and cannot be read be tried on its own: nothing else waits for it."""
        new = [
            NewJob(
                MessageMissing(
                    project_id=project,
                    conversation_id=id_,
                    message_id=hint,
                    cause=heard.cause or "hint",
                    since=heard.at,
                ),
                unique_key=f"missing:{project}:{hint}",
            )
            for hint, heard in missing.items()
        ]
        await self._store.write(lambda conn: put_in(conn, new, self._store.now(conn)))

    async def message_missing(self, event: MessageMissing, job: Job) -> None:
        """Read an announced message that the list lacks; once it can be read, the conversation shows it."""
        project, wanted = ProjectId(event.project_id), MessageId(event.message_id)
        if await self._store.read(lambda conn: seen_messages(conn, project, [wanted])):
            return
        try:
            await self._social.message(project, wanted)
        except PermanentError as error:
            raise BridgeError(
                "message_not_readable", user_message="A message was announced that Jollor does not show."
            ) from error
        found = ConversationChanged(
            project_id=project,
            conversation_id=event.conversation_id,
            message_id=wanted,
            cause=event.cause,
            since=event.since or job.created_at,
        )
        await self._put(NewJob(found))

    async def _is_linked(self, project: ProjectId, kind: LinkKind) -> bool:
        return bool(await self._store.read(lambda conn: choose(links_of(conn, project), kind)))

    async def _look(
        self, project: ProjectId, id_: ConversationId, hinted: Mapping[MessageId, Heard], otherwise: Heard
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
        return _Found(tuple(ordered), hinted, otherwise, tuple(missing))

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
                heard = found.heard(message)
                remember_message(conn, now, project, id_, message, Whose.BEFORE, heard=heard)
        owed, held = self._settle(conn, now, project, id_, fresh, found)
        if owed:
            remember_conversation(conn, now, project, id_, owed[0][0].provider, owed[0][0].customer)
            for link in links:
                taken = [(m, w) for m, w in owed if m.sent_at >= link.linked_at or m.id in found.hinted]
                if taken:
                    self._show_in(conn, now, link, target, taken, found.messages, mark)
            self._restate(conn, now, target, owed)
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

    def _show_in(
        self,
        conn: Connection,
        now: datetime,
        link: Link,
        target: Target,
        owed: Sequence[tuple[Message, Whose]],
        listed: Sequence[Message],
        mark: datetime | None,
    ) -> None:
        thread, is_new = open_thread(conn, now, link, target)
        if is_new:
            self._open(conn, now, thread, owed[0][0], listed)
        to_channel = not is_new and _wants_notice(thread, now, IDLE)
        for message, whose in owed:
            note = self._note(conn, message, mark)
            put_message(conn, now, thread, message, whose, also_to_channel=to_channel, note=note)
            to_channel = False
        shown(conn, thread.id, now)

    def _note(self, conn: Connection, message: Message, mark: datetime | None) -> str | None:
        away = outage_at(conn, message.sent_at)
        if away is not None:
            return f"arrived while the bridge was away, {away[0]:%H:%M}–{away[1]:%H:%M} UTC"
        return "arrived late" if mark is not None and message.sent_at < mark else None

    def _open(
        self, conn: Connection, now: datetime, thread: Thread, first: Message, listed: Sequence[Message]
    ) -> None:
        card = self._cards.card(
            conn,
            thread.target,
            provider=first.provider,
            customer=first.customer,
            text=first.text[:CARD_TEXT_CHARS],
            state=CardState.NEW if first.is_incoming else CardState.ANSWERED,
        )
        put_root(conn, now, thread, "root", card)
        earlier = [m for m in listed if m.sent_at < first.sent_at and m.id != first.id][-CONTEXT_MESSAGES:]
        if earlier:
            entries = tuple(
                Entry(
                    author=m.sender,
                    origin=Origin.CUSTOMER if m.is_incoming else Origin.ELSEWHERE,
                    text=m.text[:CARD_TEXT_CHARS],
                    sent_at=m.sent_at,
                )
                for m in earlier
            )
            put_reply(conn, now, thread, "context", Context(provider=first.provider, entries=entries))

    def _restate(
        self, conn: Connection, now: datetime, target: Target, owed: Sequence[tuple[Message, Whose]]
    ) -> None:
        newest = max(owed, key=lambda pair: pair[0].sent_at)[0]
        known = conversation(conn, target.project, target.conversation)
        if known is None or (known.state is CardState.NEW and newest.is_incoming):
            return
        state = CardState.WAITING if newest.is_incoming else CardState.ANSWERED
        self._cards.set_state(conn, now, target, state)

    async def _look_again(self, project: ProjectId, id_: ConversationId) -> None:
        """Come back for what is held, behind whatever happens until then."""

        def put(conn: Connection) -> None:
            now = self._store.now(conn)
            at = now + HOLD_LOOK / self._scale
            event = ConversationChanged(project_id=project, conversation_id=id_, cause="held")
            put_in(conn, [NewJob(event, run_at=at, order=order_of(at))], now)

        await self._store.write(put)

    async def _put(self, job: NewJob) -> None:
        await self._store.write(lambda conn: put_in(conn, [job], self._store.now(conn)))

    async def message_hinted(self, event: MessageHinted, job: Job) -> None:
        """Find the conversation of a message that came without: the recently active ones, newest first."""
        project, wanted = ProjectId(event.project_id), MessageId(event.message_id)
        known = await self._store.read(lambda conn: seen_messages(conn, project, [wanted]))
        if known:
            return
        listed = await self._social.conversations(project)
        for candidate in listed[:SEARCHED_CONVERSATIONS]:
            messages = await self._social.messages(project, candidate.id)
            if any(message.id == wanted for message in messages.messages):
                found = ConversationChanged(
                    project_id=project,
                    conversation_id=candidate.id,
                    message_id=wanted,
                    cause=event.cause,
                    since=job.created_at,
                )
                await self._put(NewJob(found))
                return
        if not await is_test_delivery(self._store, project):
            raise BridgeError(
                "conversation_not_found",
                user_message="A message was announced, but no recent conversation has it.",
            )


def _since(event: ConversationChanged, job: Job) -> datetime:
    return event.since or job.created_at


def _hints(events: Sequence[tuple[JobId, ConversationChanged]], job: Job) -> dict[MessageId, Heard]:
    """Return how each announced message was heard of, first."""
    hinted: dict[MessageId, Heard] = {}
    for id_, event in events:
        if event.message_id is not None:
            hinted.setdefault(MessageId(event.message_id), Heard(id_, event.cause, _since(event, job)))
    return hinted


def _wants_notice(thread: Thread, now: datetime, idle: timedelta) -> bool:
    """A thread that nobody has joined, or that was quiet for long, does not reach people by itself."""
    if thread.joined_at is None:
        return True
    last = max(filter(None, (thread.active_at, thread.joined_at)))
    return now - last > idle
