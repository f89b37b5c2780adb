"""Showing messages in the threads of a conversation: the card, what came before, the lines, the state."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection

from bridge.content import CardState, Context, Entry, Origin
from bridge.deliveries import put_reply, put_root
from bridge.mapping import Origin as Whose
from bridge.mapping import conversation, open_thread, shown
from bridge.model import Link, Message, Target, Thread
from bridge.queue.presence import Outage, outages_between
from bridge.relay.cards import Cards
from bridge.relay.floods import KEPT, flood_of, fold
from bridge.relay.transcript import put_message

CONTEXT_MESSAGES = 5
CARD_TEXT_CHARS = 1_500
IDLE = timedelta(days=1)


class Showing:
    """Owes Slack what was found."""

    def __init__(self, cards: Cards) -> None:
        self._cards = cards

    def show_in(
        self,
        conn: Connection,
        now: datetime,
        link: Link,
        target: Target,
        owed: Sequence[tuple[Message, Whose]],
        listed: Sequence[Message],
        mark: datetime | None,
        *,
        swept: bool,
    ) -> None:
        """Owe the target's thread in one channel what is `owed`, oldest first; a flood is folded."""
        thread, is_new = open_thread(conn, now, link, target)
        if is_new:
            self._open(conn, now, thread, owed[0][0], listed)
        to_channel = not is_new and _wants_notice(thread, now, IDLE)
        outages = outages_between(conn, owed[0][0].sent_at, owed[-1][0].sent_at)
        flood = flood_of(owed, outages, swept=swept)
        folded = {message.id for message in flood[:-KEPT]}
        kept = [(m, whose, _note(m, mark, outages, folded=True)) for m, whose in owed if m.id in folded]
        for message, whose in owed:
            if message.id not in folded:
                note = _note(message, mark, outages)
                put_message(conn, now, thread, message, whose, also_to_channel=to_channel, note=note)
                to_channel = False
            elif message.id == kept[0][0].id:
                fold(conn, now, thread, kept, flood[-1], outages)
        shown(conn, thread.id, now)

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

    def restate(
        self, conn: Connection, now: datetime, target: Target, owed: Sequence[tuple[Message, Whose]]
    ) -> None:
        newest = max(owed, key=lambda pair: pair[0].sent_at)[0]
        known = conversation(conn, target.project, target.conversation)
        if known is None or (known.state is CardState.NEW and newest.is_incoming):
            return
        state = CardState.WAITING if newest.is_incoming else CardState.ANSWERED
        self._cards.set_state(conn, now, target, state)


def _note(
    message: Message, mark: datetime | None, outages: Sequence[Outage], *, folded: bool = False
) -> str | None:
    away = next((outage for outage in outages if outage.covers(message.sent_at)), None)
    if away is not None:
        return f"arrived while the bridge was away, {away.span}"
    return "arrived late" if folded or (mark is not None and message.sent_at < mark) else None


def _wants_notice(thread: Thread, now: datetime, idle: timedelta) -> bool:
    """A thread that nobody has joined, or that was quiet for long, does not reach people by itself."""
    if thread.joined_at is None:
        return True
    last = max(filter(None, (thread.active_at, thread.joined_at)))
    return now - last > idle
