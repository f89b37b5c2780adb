"""Our replies, found again in Jollor: what settles an intent, and what turns out to be a double."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection

from bridge import intents
from bridge.content import CardState
from bridge.echo import is_same_text, match
from bridge.ids import ConversationId, MessageId, ProjectId
from bridge.intents import Intent, IntentState
from bridge.mapping import Origin, remember_message, thread_by_id
from bridge.model import Mark, Message
from bridge.relay.cards import Cards
from bridge.relay.marks import say, set_mark

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
        settled = set()
        for intent, message in matches.settled:
            if intents.confirm(conn, intent, now, message.id):
                self._confirmed(conn, now, intent, message, project, id_)
                settled.add(message.id)
        settled |= self._doubles(conn, now, project, id_, matches.others)
        confirmed = {intent.id for intent, _ in matches.settled}
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
        if intent.asked_at is not None:
            thread = thread_by_id(conn, intent.thread)
            assert thread is not None
            say(
                conn, now, thread, intent.line, "This one did arrive: it is in Jollor now.", quote=intent.text
            )

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
        found = set()
        for intent in intents.sent_more_than_once(conn, project, id_) if others else ():
            double = next((m for m in others if m.id not in found and is_same_text(intent, m)), None)
            if double is None or intent.first_sent_at is None:
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
