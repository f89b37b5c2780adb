"""Changes of lines that were typed: what they still change, and what is said if they come too late."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection

from bridge import intents
from bridge.difference import difference
from bridge.events import LineDeleted, LineEdited
from bridge.ids import IntentId, UserId, ts_order
from bridge.intents import Intent, IntentState
from bridge.mapping import Fate, KnownLine, line_at, remember_line, thread_by_id, update_line
from bridge.model import Mark, Thread
from bridge.policy import Refuse, is_internal
from bridge.queue.jobs import Job
from bridge.relay.again import correction_button
from bridge.relay.cards import Cards
from bridge.relay.marks import clear_mark, say, set_mark
from bridge.relay.outbound import Outbound
from bridge.relay.places import Place, link_of, ref_of
from bridge.relay.refusals import refuse_line
from bridge.relay.release import release, unhold
from bridge.store.engine import Store

PERHAPS_RECEIVED = (*intents.IN_FLIGHT, *intents.NOT_OUT, IntentState.DROPPED)
NOTHING_LEFT = Refuse("There is no text left in this line. Nothing was sent; write a new line.")
NO_CHANGE = "networks do not take changes back."


class Changes:
    """Deals with edits and deletions. What they overtook goes the way of `outbound`."""

    def __init__(self, store: Store, outbound: Outbound, cards: Cards) -> None:
        self._store = store
        self._outbound = outbound
        self._cards = cards

    async def line_edited(self, event: LineEdited, job: Job) -> None:
        """An edit within the undo window changes what is sent; later it only gets an honest note."""
        place = await self._outbound.place(event)
        is_known = await self._store.write(lambda conn: self._edit(conn, event))
        if not is_known and place is not None:
            # The edit overtook its line, and says all that the line says; that one is known when it comes.
            typed = event.as_typed(job.created_at)
            await self._outbound.line_in(place, typed, job.id, edited_ts=event.edited_ts)

    def _edit(self, conn: Connection, event: LineEdited) -> bool:
        """Return False if the line itself has not been seen yet."""
        now, line = self._store.now(conn), ref_of(event)
        known = line_at(conn, line)
        if known is None:
            return False
        if known.edited_ts is not None and ts_order(known.edited_ts) >= ts_order(event.edited_ts):
            return True
        update_line(conn, line, edited_ts=event.edited_ts, text=event.text)
        if known.fate is not Fate.INTERNAL and known.intent is not None and event.text != known.text:
            intent = intents.by_id(conn, known.intent)
            assert intent is not None, "a reply's line is stored with its intent"
            self._change(conn, now, event, known, intent)
        return True

    def _change(
        self, conn: Connection, now: datetime, event: LineEdited, known: KnownLine, intent: Intent
    ) -> None:
        """Have an edit count if its line has not gone out, else say that it does not."""
        if is_internal(event.text, event.mentions_people):
            if cancel(conn, now, intent, "edited into an internal note"):
                update_line(conn, known.ref, fate=Fate.INTERNAL)
                set_mark(conn, now, known.ref, Mark.INTERNAL)
                return
            self._note_edit(conn, now, event, known, intent, can_correct=False)
        elif not event.text.strip():
            if cancel(conn, now, intent, "edited until nothing was left"):
                update_line(conn, known.ref, fate=Fate.REFUSED)
                refuse_line(conn, now, _thread_of(conn, known), known.ref, NOTHING_LEFT, self._cards)
                return
            self._note_edit(conn, now, event, known, intent, can_correct=False)
        elif not intents.change_text(conn, intent.id, event.text, self._due_again(conn, now, known, intent)):
            self._note_edit(conn, now, event, known, intent, can_correct=True)

    def _due_again(self, conn: Connection, now: datetime, known: KnownLine, intent: Intent) -> datetime:
        """The first edit starts the undo window anew, later ones do not: nothing is put off for ever."""
        if known.edited_ts is not None or intent.state is not IntentState.PENDING:
            return intent.due_at
        return now + self._outbound.window(link_of(conn, _thread_of(conn, known)))

    def _note_edit(
        self,
        conn: Connection,
        now: datetime,
        event: LineEdited,
        known: KnownLine,
        intent: Intent,
        *,
        can_correct: bool,
    ) -> None:
        """Say that an edit came too late, what it changed, and how the customer can still learn of it."""
        last = _last_sent(conn, intent.id)
        if last is None or last.text == event.text:
            return
        buttons = (correction_button(known, event.edited_ts),) if can_correct else ()
        say(
            conn,
            now,
            _thread_of(conn, known),
            known.ref,
            f"A line was edited in Slack after it was sent. The customer {_has(last)} it as it was; "
            f"{NO_CHANGE}",
            quote=difference(last.text, event.text),
            buttons=buttons,
        )

    async def line_deleted(self, event: LineDeleted, job: Job) -> None:
        """A deletion within the undo window cancels; later it only gets an honest note."""
        place = await self._outbound.place(event)
        await self._store.write(lambda conn: self._delete(conn, event, place))

    def _delete(self, conn: Connection, event: LineDeleted, place: Place | None) -> None:
        now, line = self._store.now(conn), ref_of(event)
        known = line_at(conn, line)
        if known is None:
            if place is not None:  # the deletion overtook its line: that one must not go out any more
                _remember_deleted(conn, now, event, place)
            return
        if known.deleted:
            return
        update_line(conn, line, deleted=True)
        intent = None if known.intent is None else intents.by_id(conn, known.intent)
        if intent is None:
            return
        if cancel(conn, now, intent, "deleted before it was sent"):
            update_line(conn, line, fate=Fate.CANCELLED)
        else:
            self._note_deletion(conn, now, known, intent)

    def _note_deletion(self, conn: Connection, now: datetime, known: KnownLine, intent: Intent) -> None:
        """Say that a deletion came too late; a correction that has not gone out yet does not any more."""
        corrections = intents.corrections_of(conn, intent.id)
        taken_back = [one for one in corrections if cancel(conn, now, one, "its line was deleted")]
        for one in taken_back:
            clear_mark(conn, now, one.line)
        last = _last_sent(conn, intent.id)
        if last is None:
            return
        too = " Its correction is not sent any more." if taken_back else ""
        say(
            conn,
            now,
            _thread_of(conn, known),
            known.ref,
            f"A line was deleted in Slack after it was sent. The customer {_has(last)} it as it was; "
            f"{NO_CHANGE}{too}",
            quote=last.text,
        )


def cancel(conn: Connection, now: datetime, intent: Intent, reason: str, **values: str) -> bool:
    """Keep a reply from going out, and let what waited behind it go on; False if it may have arrived."""
    to = IntentState.DROPPED if intents.may_have_arrived(conn, intent) else IntentState.CANCELLED
    if intents.move(conn, intent.id, now, frm=intents.NOT_OUT, to=to, reason=reason, **values):
        if to is IntentState.DROPPED:
            set_mark(conn, now, intent.line, Mark.DOUBT)
        release(conn, now, unhold(conn, now, intent))
        return to is IntentState.CANCELLED
    return False


def _last_sent(conn: Connection, id_: IntentId) -> Intent | None:
    """Return what the customer has of a line, or may have: its latest correction, or itself."""
    itself = intents.by_id(conn, id_)
    assert itself is not None
    tried = (*intents.corrections_of(conn, id_), itself)
    return next((one for one in tried if intents.may_have_arrived(conn, one)), None)


def _has(intent: Intent) -> str:
    return "may have received" if intent.state in PERHAPS_RECEIVED else "received"


def _thread_of(conn: Connection, known: KnownLine) -> Thread:
    thread = thread_by_id(conn, known.thread)
    assert thread is not None, "a line is stored with its thread"
    return thread


def _remember_deleted(conn: Connection, now: datetime, event: LineDeleted, place: Place) -> None:
    line = ref_of(event)
    remember_line(
        conn,
        now,
        line,
        thread=place.thread.id,
        user=UserId(event.user_id or ""),
        fate=Fate.CANCELLED,
        text="",
        client_msg_id=None,
    )
    update_line(conn, line, deleted=True)
