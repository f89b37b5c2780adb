"""*Hold back* in a message's menu: keeps a line from going out, or says privately why it is too late."""

from __future__ import annotations

import logging

from sqlalchemy import Connection

from bridge import intents
from bridge.content import Notice
from bridge.errors import BridgeError
from bridge.events import HoldBackChosen
from bridge.ids import TeamId, UserId
from bridge.intents import Intent, IntentState
from bridge.mapping import Fate, KnownLine, line_at, remember_line, thread_by_id, update_line
from bridge.model import Mark, TargetKind
from bridge.policy import may_answer
from bridge.ports import Chat
from bridge.queue.jobs import Job
from bridge.relay.changes import cancel
from bridge.relay.marks import say, set_mark
from bridge.relay.outbound import Outbound
from bridge.relay.places import Place, ref_of
from bridge.store.engine import Store

log = logging.getLogger(__name__)

HELD = "Held back: this line stays here as an internal note, and nothing was sent."
NOT_YOURS = "Guests and people from other organisations cannot hold back replies to customers."
NO_REPLY = "Only a line on its way to a customer can be held back; this is none."
INTERNAL = "This line is an internal note: it is not sent anyway."
NOT_SENT = "This line was not sent, and is not on its way: there is nothing to hold back."
PERHAPS_RECEIVED = (
    "Too late to hold this back: it may have reached the customer already. The mark on the line tells what "
    "is known about it."
)
RECEIVED = (
    "Too late to hold this back: the customer has received it, and networks do not take messages back. Edit "
    "the line, and you can send the new text as a correction; or write another line."
)


class HoldingBack:
    """Holds lines back. Who may answer customers may hold back what others wrote to them, too."""

    def __init__(self, store: Store, chat: Chat, outbound: Outbound) -> None:
        self._store = store
        self._chat = chat
        self._outbound = outbound

    async def hold_back(self, event: HoldBackChosen, job: Job) -> None:
        """Cancel the pending reply of a line and tell the person what came of it."""
        place = await self._outbound.place(event)
        if event.user_id == event.writer_id or await self._may(event):
            words = await self._store.write(lambda conn: self._hold(conn, event, place))
        else:
            words = NOT_YOURS
        await self._tell(event, words)

    async def could_not_hold_back(self, event: HoldBackChosen, reason: str) -> None:
        """It was given up: say what works instead."""
        await self._tell(event, f"That did not work: {reason} Delete the line, and it is not sent.")

    async def _may(self, event: HoldBackChosen) -> bool:
        """The writer need not be looked up: taking one's own line back harms nobody, and is in a hurry."""
        return may_answer(await self._chat.person(TeamId(event.team_id), UserId(event.user_id)))

    async def _tell(self, event: HoldBackChosen, words: str) -> None:
        """Answer whom it concerns. The thread's other news wait for this: not worth a second try."""
        if event.response_url is None:
            return
        try:
            await self._chat.answer(event.response_url, Notice(text=words))
        except BridgeError as error:
            log.info("hold_back.not_answered", extra={"error": str(error)})

    def _hold(self, conn: Connection, event: HoldBackChosen, place: Place | None) -> str:
        """Return what to tell the person."""
        line = ref_of(event)
        known = line_at(conn, line)
        if known is None:
            return self._before_it_came(conn, event, place)
        intent = None if known.intent is None else intents.by_id(conn, known.intent, lock=True)
        if intent is None or intent.state is IntentState.CANCELLED:
            return HELD if known.fate is Fate.INTERNAL and intent else _nothing_to_hold(known)
        if self._cancel(conn, event, known, intent):
            return HELD
        if not intents.may_have_arrived(conn, intent):
            return NOT_SENT
        return RECEIVED if intent.state in (IntentState.ACCEPTED, IntentState.CONFIRMED) else PERHAPS_RECEIVED

    def _cancel(self, conn: Connection, event: HoldBackChosen, known: KnownLine, intent: Intent) -> bool:
        now = self._store.now(conn)
        if intent.state not in intents.WAITING:
            return False
        by = {"decision": "hold_back", "decided_by": event.user_id}
        if not cancel(conn, now, intent, "held back by a person", **by):
            return False
        update_line(conn, known.ref, fate=Fate.INTERNAL)
        set_mark(conn, now, known.ref, Mark.INTERNAL)
        thread = thread_by_id(conn, known.thread)
        if event.user_id != known.user and thread is not None:
            say(
                conn,
                now,
                thread,
                known.ref,
                f"<@{event.user_id}> held back a line of <@{known.user}>: nothing was sent.",
                quote=intent.text,
            )
        return True

    def _before_it_came(self, conn: Connection, event: HoldBackChosen, place: Place | None) -> str:
        """Slack has not told of the line yet, or never will: if it comes, it stays inside."""
        is_ours = place is not None and place.thread.target.kind is TargetKind.CONVERSATION
        if place is None or not is_ours or not event.is_typed:
            return NO_REPLY
        now, line = self._store.now(conn), ref_of(event)
        remember_line(
            conn,
            now,
            line,
            thread=place.thread.id,
            user=UserId(event.writer_id),
            fate=Fate.INTERNAL,
            text="",
            client_msg_id=None,
        )
        set_mark(conn, now, line, Mark.INTERNAL)
        return HELD


def _nothing_to_hold(known: KnownLine) -> str:
    return INTERNAL if known.fate is Fate.INTERNAL else NOT_SENT
