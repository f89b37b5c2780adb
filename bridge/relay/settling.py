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
from bridge.content import ActionId, Button, CardState
from bridge.errors import BridgeError, Snooze, StoreUnavailable, TargetDown
from bridge.events import ButtonPressed, SettleReply
from bridge.ids import IntentId
from bridge.intents import Intent, IntentState
from bridge.mapping import seen_messages, thread_by_id
from bridge.model import Mark, MessageList
from bridge.ports import Chat, Social
from bridge.queue.jobs import Job
from bridge.relay.cards import Cards
from bridge.relay.echoes import Echoes
from bridge.relay.marks import say, set_mark
from bridge.relay.presses import close, may_press
from bridge.relay.release import hold_behind, release, unhold
from bridge.store.engine import Store

log = logging.getLogger(__name__)

LOOKS_S = (0.0, 5.0, 15.0, 45.0, 120.0)
"""When the bridge looks, in seconds after the outcome became unknown (DESIGN 4)."""

NOT_AGAIN = "It is not sent again by itself."
LOOK_FIRST = "Look in Jollor or ask the customer, then decide here."
DOUBT = (
    f"It is not known whether this reached the customer; Jollor does not show it. {NOT_AGAIN} {LOOK_FIRST}"
)
SETTLED = "This is settled: it did arrive, it is in Jollor."
CUT = f"It cannot be told whether this reached the customer: Jollor's list is cut. {NOT_AGAIN} {LOOK_FIRST}"
TAKEN_BACK = "Its writer has taken this back meanwhile; nothing was sent."


class Settling:
    """Finds out, or asks."""

    def __init__(self, store: Store, chat: Chat, social: Social, cards: Cards, *, scale: float = 1.0) -> None:
        self._store = store
        self._chat = chat
        self._social = social
        self._cards = cards
        self._scale = scale
        self._echoes = Echoes(cards, scale=scale)

    async def could_not_settle(self, event: SettleReply, reason: str) -> None:
        """Looking failed for good: people decide."""

        def ask(conn: Connection) -> None:
            intent = intents.by_id(conn, IntentId(event.intent_id), lock=True)
            if intent is not None and intent.state is IntentState.UNKNOWN and intent.asked_at is None:
                self.ask(conn, self._store.now(conn), intent, CUT)

        await self._store.write(ask)

    async def look_and_ask(self, event: SettleReply) -> None:
        """Look a last time, then ask: the bridge itself may have been away since it last looked, if ever."""
        intent = await self._store.read(lambda conn: intents.by_id(conn, IntentId(event.intent_id)))
        if intent is None or intent.state is not IntentState.UNKNOWN or intent.asked_at is not None:
            return
        try:
            listed = await self._list(intent, is_last=True)
        except (Snooze, TargetDown, StoreUnavailable):
            raise  # while Jollor is away, nothing of this lane could go out either
        except BridgeError:
            await self.could_not_settle(event, "looking took too long")
            return
        await self._store.write(lambda conn: self._look(conn, intent.id, listed, is_last=True))

    async def settle_reply(self, event: SettleReply, job: Job) -> None:
        """Look once; come back for the next look, or ask after the last."""
        id_ = IntentId(event.intent_id)
        intent = await self._store.read(lambda conn: intents.by_id(conn, id_))
        if intent is None or intent.state is not IntentState.UNKNOWN or intent.asked_at is not None:
            return
        is_last = intent.looks + 1 >= len(LOOKS_S)
        listed = await self._list(intent, is_last=is_last)
        wait = await self._store.write(lambda conn: self._look(conn, id_, listed, is_last=is_last))
        if wait is not None:
            raise Snooze("look_again", delay=wait)

    async def _list(self, intent: Intent, *, is_last: bool) -> MessageList:
        project, id_ = intent.target.project, intent.target.conversation
        last_message_at = None
        if is_last:  # whether the list may be cut matters only where nothing is found
            for known in await self._social.conversations(project):
                if known.id == id_:
                    last_message_at = known.last_message_at
        return await self._social.messages(project, id_, last_message_at=last_message_at)

    def _look(
        self, conn: Connection, id_: IntentId, listed: MessageList, *, is_last: bool
    ) -> timedelta | None:
        """Settle what the list settles; return how long to wait for the next look, None if this is over."""
        now = self._store.now(conn)
        intent = intents.by_id(conn, id_)
        assert intent is not None
        project, conversation = intent.target.project, intent.target.conversation
        outgoing = [message for message in listed.messages if not message.is_incoming]
        seen = seen_messages(conn, project, [message.id for message in outgoing])
        self._echoes.settle(conn, now, project, conversation, [m for m in outgoing if m.id not in seen])
        intent = intents.by_id(conn, id_, lock=True)  # what settles it just now goes before asking
        assert intent is not None
        if intent.state is not IntentState.UNKNOWN or intent.asked_at is not None:
            return None
        looks = intent.looks + 1
        intents.change(conn, id_, looks=looks)
        intents.note(conn, intent, now, "looked", f"look {looks} of {len(LOOKS_S)}")
        if not is_last and looks < len(LOOKS_S):
            return timedelta(seconds=LOOKS_S[looks] - LOOKS_S[looks - 1])
        self.ask(conn, now, intent, CUT if listed.is_cut else DOUBT)
        return None

    def ask(self, conn: Connection, now: datetime, intent: Intent, sentence: str) -> None:
        """Mark the line and ask what became of it; what waits behind it is held until that is decided."""
        waiting = [
            other for other in intents.waiting_behind(conn, intent) if hold_behind(conn, now, other, intent)
        ]
        quote = intent.text
        if waiting:
            sentence += "\nWhat waits behind it goes out in order once you have decided."
            here = [f"⏳ {other.text}" for other in waiting if other.thread == intent.thread]
            quote = "\n\n".join([intent.text, *here])
        intents.change(conn, intent.id, asked_at=now)
        intents.note(conn, intent, now, "asked")
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
        await self._pressed(event, IntentState.ACCEPTED, "arrived", "says that it did arrive")

    async def send_again(self, event: ButtonPressed, job: Job) -> None:
        """A person takes the risk of a double."""
        await self._pressed(event, IntentState.PENDING, intents.AGAIN, "has it sent again")

    async def drop(self, event: ButtonPressed, job: Job) -> None:
        """A person lets it go."""
        await self._pressed(event, IntentState.DROPPED, "drop", "dropped it")

    async def _pressed(self, event: ButtonPressed, to: IntentState, decision: str, words: str) -> None:
        if await may_press(self._chat, event):
            await self._store.write(lambda conn: self._decide(conn, event, to, decision, words))

    def _decide(
        self, conn: Connection, event: ButtonPressed, to: IntentState, decision: str, words: str
    ) -> None:
        now = self._store.now(conn)
        intent = intents.by_id(conn, IntentId(event.value), lock=True)
        if intent is None or intent.asked_at is None:
            if intent is not None and intent.state is IntentState.CONFIRMED and intent.decision is None:
                # found after people were asked, before anybody decided
                close(conn, now, event, SETTLED, quote=intent.text)
            return
        if intent.state is IntentState.CANCELLED:
            close(conn, now, event, TAKEN_BACK, quote=intent.text)
            return
        frm = [IntentState.UNKNOWN] if intent.state is IntentState.UNKNOWN else [IntentState.HELD]
        moved = intents.move(
            conn,
            intent.id,
            now,
            frm=frm,
            to=to,
            reason=f"<@{event.user_id}> {words}",
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
        elif to is IntentState.DROPPED and intents.may_have_arrived(conn, intent):
            set_mark(conn, now, intent.line, Mark.DOUBT)
            words += "; whether it arrived stays unknown"
        elif to is IntentState.DROPPED:
            set_mark(conn, now, intent.line, Mark.FAILED)
            words += "; it was not sent. To send it after all, write it again"
        released = [intent] if to is IntentState.PENDING else []
        release(conn, now, [*released, *unhold(conn, now, intent)])
        close(conn, now, event, f"<@{event.user_id}> {words}.", quote=intent.text)

    async def send_anyway(self, event: ButtonPressed, job: Job) -> None:
        """A person has a line sent that was held back."""
        await self._pressed(event, IntentState.PENDING, intents.ANYWAY, "has it sent")
