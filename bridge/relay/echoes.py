"""Our replies, found again in Jollor: what settles an intent, and what turns out to be a double."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection

from bridge import intents
from bridge.content import CardState
from bridge.echo import is_double, match
from bridge.ids import ConversationId, MessageId, ProjectId
from bridge.intents import Intent, IntentState
from bridge.links import links_of
from bridge.mapping import Origin, remember_message, thread_by_id, threads_of
from bridge.model import Mark, Message
from bridge.relay.cards import Cards
from bridge.relay.marks import say, set_mark
from bridge.relay.release import release, unhold
from bridge.relay.transcript import put_message

HOLD = timedelta(seconds=60)
"""How long an outgoing message that matches nothing waits while a reply of ours may still turn up."""


@dataclass(frozen=True, slots=True)
class Echoed:
    """Which messages are ours, and whether more of ours may still come."""

    settled: frozenset[MessageId]
    more_may_come: bool


class Echoes:
    """Matches outgoing messages with intents, within the transaction that records them."""

    def __init__(self, cards: Cards, *, scale: float = 1.0) -> None:
        self._cards = cards
        self._scale = scale

    def settle(
        self,
        conn: Connection,
        now: datetime,
        project: ProjectId,
        id_: ConversationId,
        outgoing: Sequence[Message],
    ) -> Echoed:
        """Confirm the intents that `outgoing` (unseen, oldest first) shows to have arrived."""
        candidates = intents.may_echo(conn, project, id_)
        matches = match(outgoing, candidates)
        settled: set[MessageId] = set()
        confirmed: set[str] = set()
        for candidate, message in matches.settled:
            # As it is now: people may have been asked about it since we looked, and others wait for that.
            intent = intents.by_id(conn, candidate.id, lock=True)
            if intent is not None and intents.confirm(conn, intent, now, message.id):
                self._confirmed(conn, now, intent, message, project, id_)
                settled.add(message.id)
                confirmed.add(intent.id)
        settled |= self._doubles(conn, now, project, id_, matches.others)
        return Echoed(
            frozenset(settled),
            any(self._may_come(c, now) for c in candidates if c.id not in confirmed),
        )

    def _confirmed(
        self,
        conn: Connection,
        now: datetime,
        intent: Intent,
        message: Message,
        project: ProjectId,
        id_: ConversationId,
    ) -> None:
        remember_message(conn, now, project, id_, message, Origin.TEAM, intent.id)
        set_mark(conn, now, intent.line, Mark.ACCEPTED)
        self._cards.set_state(conn, now, intent.target, CardState.ANSWERED)
        self._show_elsewhere(conn, now, intent, message)
        if intent.asked_at is not None:
            thread = thread_by_id(conn, intent.thread)
            assert thread is not None
            say(
                conn, now, thread, intent.line, "This one did arrive: it is in Jollor now.", quote=intent.text
            )
            release(conn, now, unhold(conn, now, intent))

    def _show_elsewhere(self, conn: Connection, now: datetime, intent: Intent, message: Message) -> None:
        """The writer's line stands in one thread; other channels of the conversation get to see it, too."""
        linked = {(link.team, link.channel) for link in links_of(conn, intent.target.project)}
        for thread in threads_of(conn, intent.target):
            if thread.id != intent.thread and (thread.team, thread.channel) in linked:
                put_message(conn, now, thread, message, Origin.TEAM, also_to_channel=False, note=None)

    def _may_come(self, intent: Intent, now: datetime) -> bool:
        if intent.state is IntentState.SENDING:
            return True
        return intent.sent_at is not None and now - intent.sent_at < HOLD / self._scale

    def _doubles(
        self,
        conn: Connection,
        now: datetime,
        project: ProjectId,
        id_: ConversationId,
        others: Sequence[Message],
    ) -> set[MessageId]:
        """Report a message that arrived twice because people had it sent again, once."""
        found: set[MessageId] = set()
        for intent in intents.sent_more_than_once(conn, project, id_) if others else ():
            double = next((m for m in others if m.id not in found and is_double(intent, m)), None)
            if double is None:
                continue
            found.add(double.id)
            remember_message(conn, now, project, id_, double, Origin.TEAM, intent.id)
            intents.change(conn, intent.id, doubled=True)
            thread = thread_by_id(conn, intent.thread)
            assert thread is not None
            say(
                conn,
                now,
                thread,
                intent.line,
                "This one arrived twice: the first attempt had reached the customer after all.",
                quote=intent.text,
            )
        return found
