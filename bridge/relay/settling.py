"""Replies whose outcome is unknown: the bridge looks in Jollor a few times, then people decide.

Looked at once, then after 5, 15, 45 and 120 seconds. What is found settles the reply; what is not gets ⚠️ and
a question, and the lines that wait behind it are offered in the same notice. Nothing here sends by itself:
pressing puts an intent back in its lane. Pressing twice, or late, changes nothing.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from sqlalchemy import Connection

from bridge import intents
from bridge.content import ActionId, Button, CardState, Notice
from bridge.deliveries import put_update
from bridge.errors import Snooze
from bridge.events import ButtonPressed, SendReply, SettleReply
from bridge.ids import ChannelId, IntentId, MessageTs, TeamId, new_id, ts_order
from bridge.intents import Intent, IntentState
from bridge.mapping import seen_messages, thread_by_id
from bridge.model import Mark, MessageList
from bridge.ports import Social
from bridge.queue.jobs import Job, NewJob, put_in
from bridge.relay.cards import Cards
from bridge.relay.echoes import Echoes
from bridge.relay.marks import say, set_mark
from bridge.store.engine import Store

log = logging.getLogger(__name__)

LOOKS_S = (0.0, 5.0, 15.0, 45.0, 120.0)
"""When the bridge looks, in seconds after the outcome became unknown (DESIGN 4)."""

NOT_AGAIN = "It is not sent again by itself."
DOUBT = f"It is not known whether this reached the customer; Jollor does not show it. {NOT_AGAIN}"
CUT = f"It cannot be told whether this reached the customer: Jollor's list is cut. {NOT_AGAIN}"


class Settling:
    """Finds out, or asks."""

    def __init__(self, store: Store, social: Social, cards: Cards, *, scale: float = 1.0) -> None:
        self._store = store
        self._social = social
        self._cards = cards
        self._scale = scale
        self._echoes = Echoes(cards, scale=scale)

    async def settle_reply(self, event: SettleReply, job: Job) -> None:
        """Look once; come back for the next look, or ask after the last."""
        id_ = IntentId(event.intent_id)
        intent = await self._store.read(lambda conn: intents.by_id(conn, id_))
        if intent is None or intent.state is not IntentState.UNKNOWN or intent.asked_at is not None:
            return
        listed = await self._list(intent)
        wait = await self._store.write(lambda conn: self._look(conn, id_, listed))
        if wait is not None:
            raise Snooze("look_again", delay=wait)

    async def _list(self, intent: Intent) -> MessageList:
        project, id_ = intent.target.project, intent.target.conversation
        is_last = intent.looks + 1 >= len(LOOKS_S)
        last_message_at = None
        if is_last:  # whether the list may be cut matters only where nothing is found
            for known in await self._social.conversations(project):
                if known.id == id_:
                    last_message_at = known.last_message_at
        return await self._social.messages(project, id_, last_message_at=last_message_at)

    def _look(self, conn: Connection, id_: IntentId, listed: MessageList) -> timedelta | None:
        """Settle what the list settles; return how long to wait for the next look, None if this is over."""
        now = self._store.now(conn)
        intent = intents.by_id(conn, id_)
        assert intent is not None
        project, conversation = intent.target.project, intent.target.conversation
        outgoing = [message for message in listed.messages if not message.is_incoming]
        seen = seen_messages(conn, project, [message.id for message in outgoing])
        self._echoes.settle(conn, now, project, conversation, [m for m in outgoing if m.id not in seen])
        intent = intents.by_id(conn, id_)
        assert intent is not None
        if intent.state is not IntentState.UNKNOWN or intent.asked_at is not None:
            return None
        looks = intent.looks + 1
        intents.change(conn, id_, looks=looks)
        if looks < len(LOOKS_S):
            return timedelta(seconds=LOOKS_S[looks] - LOOKS_S[looks - 1])
        self._ask(conn, now, intent, CUT if listed.is_cut else DOUBT)
        return None

    def _ask(self, conn: Connection, now: datetime, intent: Intent, sentence: str) -> None:
        waiting = intents.waiting_behind(conn, intent)
        for other in waiting:
            intents.move(
                conn,
                other.id,
                now,
                frm=[IntentState.PENDING],
                to=IntentState.HELD,
                reason="waits for a reply in doubt",
                held_for=f"doubt:{intent.id}",
            )
        quote = intent.text
        if waiting:
            sentence += (
                "\nWhat waits behind it goes out in order once you have decided; it stands below, too."
            )
            quote = "\n\n".join([intent.text, *(f"⏳ {other.text}" for other in waiting)])
        intents.change(conn, intent.id, asked_at=now)
        set_mark(conn, now, intent.line, Mark.DOUBT)
        thread = thread_by_id(conn, intent.thread)
        assert thread is not None
        buttons = (
            Button(action=ActionId.SETTLE_ARRIVED, label="It did arrive", value=intent.id, style="primary"),
            Button(action=ActionId.SETTLE_SEND_AGAIN, label="Send again", value=intent.id),
            Button(action=ActionId.SETTLE_DROP, label="Drop", value=intent.id, style="danger"),
            self._cards.button(intent.target.project),
        )
        say(conn, now, thread, intent.line, sentence, quote=quote, buttons=buttons)

    # --- what people decide --------------------------------------------------------------------------

    async def arrived(self, event: ButtonPressed, job: Job) -> None:
        """A person has seen it in Jollor or at the customer's."""
        await self._store.write(
            lambda conn: self._decide(conn, event, IntentState.ACCEPTED, "arrived", "says that it did arrive")
        )

    async def send_again(self, event: ButtonPressed, job: Job) -> None:
        """A person takes the risk of a double."""
        await self._store.write(
            lambda conn: self._decide(conn, event, IntentState.PENDING, "again", "has it sent again")
        )

    async def drop(self, event: ButtonPressed, job: Job) -> None:
        """A person lets it go."""
        await self._store.write(
            lambda conn: self._decide(conn, event, IntentState.DROPPED, "drop", "dropped it")
        )

    def _decide(
        self, conn: Connection, event: ButtonPressed, to: IntentState, decision: str, words: str
    ) -> None:
        now = self._store.now(conn)
        intent = intents.by_id(conn, IntentId(event.value))
        if intent is None or intent.asked_at is None:
            return
        frm = [IntentState.UNKNOWN] if intent.state is IntentState.UNKNOWN else [IntentState.HELD]
        moved = intents.move(
            conn,
            intent.id,
            now,
            frm=frm,
            to=to,
            reason=f"{decision} by a person",
            decision=decision,
            decided_by=event.user_id,
            asked_at=None,
            held_for=None,
            **({"due_at": now} if to is IntentState.PENDING else {}),
        )
        if not moved:
            return
        if to is IntentState.ACCEPTED:
            set_mark(conn, now, intent.line, Mark.ACCEPTED)
            self._cards.set_state(conn, now, intent.target, CardState.ANSWERED)
        released = [intent] if to is IntentState.PENDING else []
        self._release(conn, now, [*released, *self._unhold(conn, now, intent)])
        self._close_question(conn, now, event, intent, words)

    async def send_anyway(self, event: ButtonPressed, job: Job) -> None:
        """A person has a line sent that was held back."""
        await self._store.write(
            lambda conn: self._decide(conn, event, IntentState.PENDING, "anyway", "has it sent")
        )

    def _unhold(self, conn: Connection, now: datetime, intent: Intent) -> list[Intent]:
        waiting = intents.held_for(conn, f"doubt:{intent.id}")
        for other in waiting:
            intents.move(
                conn,
                other.id,
                now,
                frm=[IntentState.HELD],
                to=IntentState.PENDING,
                reason="goes on after a person's decision",
                held_for=None,
                due_at=now,
            )
        return waiting

    def _release(self, conn: Connection, now: datetime, released: list[Intent]) -> None:
        """Put intents back in their lane, in the order of their lines."""
        new = [
            NewJob(
                SendReply(project_id=one.target.project, intent_id=one.id, out_lane=one.target.lane("out")),
                unique_key=f"send:{one.id}:{new_id()}",
                order=ts_order(one.line.ts),
            )
            for one in released
        ]
        put_in(conn, new, now)

    def _close_question(
        self, conn: Connection, now: datetime, event: ButtonPressed, intent: Intent, words: str
    ) -> None:
        """Redraw the notice without its buttons, with who decided what."""
        if event.message_ts is None:
            return
        notice = Notice(text=f"<@{event.user_id}> {words}.", quote=intent.text)
        put_update(
            conn,
            now,
            TeamId(event.team_id),
            ChannelId(event.channel_id),
            MessageTs(event.message_ts),
            "notice",
            notice,
        )
