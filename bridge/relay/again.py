"""Second tries on a person's word: a refused line sent again, an edited one sent as a correction."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection

from bridge import intents
from bridge.content import ActionId, Button
from bridge.events import ButtonPressed, MarkWaiting
from bridge.ids import ChannelId, IntentId, LineRef, MessageTs, TeamId, UserId, new_id
from bridge.intents import Intent, IntentState
from bridge.mapping import Fate, KnownLine, line_at, remember_line
from bridge.ports import Chat
from bridge.queue.jobs import Job, NewJob, put_in
from bridge.relay.presses import Version, close, may_press
from bridge.relay.release import WAITING_AFTER, release
from bridge.store.engine import Store

TAKEN_BACK = "This line was taken back meanwhile; nothing was sent."
CHANGED_AGAIN = "This line was changed again meanwhile; the note about its latest change counts."


def correction_button(known: KnownLine, edited_ts: str) -> Button:
    """Return the button that sends what a line says since the edit `edited_ts`."""
    assert known.intent is not None
    value = Version.of(known.intent, edited_ts).model_dump_json()
    return Button(action=ActionId.SEND_CORRECTION, label="Send correction", value=value, style="primary")


class SecondTries:
    """Does what *Send again* under ❌ and *Send correction* ask for; twice, or late, they ask for nothing."""

    def __init__(self, store: Store, chat: Chat, *, scale: float = 1.0) -> None:
        self._store = store
        self._chat = chat
        self._scale = scale

    def _put_in_lane(self, conn: Connection, now: datetime, intent: Intent) -> None:
        release(conn, now, [intent])
        late = NewJob(MarkWaiting(intent_id=intent.id), run_at=now + WAITING_AFTER / self._scale)
        put_in(conn, [late], now)

    async def send_again(self, event: ButtonPressed, job: Job) -> None:
        """Put a refused reply back in its lane, with the text that its line has now."""
        pressed = Version.read(event.value)
        if pressed is not None and await may_press(self._chat, event):
            await self._store.write(lambda conn: self._send_again(conn, event, pressed))

    def _send_again(self, conn: Connection, event: ButtonPressed, pressed: Version) -> None:
        now = self._store.now(conn)
        intent = intents.by_id(conn, IntentId(pressed.intent_id), lock=True)
        if intent is None:
            return
        if intent.state is IntentState.CANCELLED:
            close(conn, now, event, TAKEN_BACK, quote=intent.text)
        if intent.state is not IntentState.REFUSED or intent.held_for != intents.refusal(pressed.version):
            return
        intents.move(
            conn,
            intent.id,
            now,
            frm=[IntentState.REFUSED],
            to=IntentState.PENDING,
            reason=f"sent again by {event.user_id}",
            decision="resend",
            decided_by=event.user_id,
            held_for=None,
            asked_at=None,
            finished_at=None,
            due_at=now,
        )
        self._put_in_lane(conn, now, intent)
        close(conn, now, event, f"<@{event.user_id}> has it sent again.", quote=intent.text)

    async def send_correction(self, event: ButtonPressed, job: Job) -> None:
        """Send what a line says since it was edited, as a reply of its own. The note gets its mark."""
        pressed = Version.read(event.value)
        if pressed is not None and event.message_ts is not None and await may_press(self._chat, event):
            await self._store.write(lambda conn: self._send_correction(conn, event, pressed))

    def _send_correction(self, conn: Connection, event: ButtonPressed, pressed: Version) -> None:
        now = self._store.now(conn)
        first = intents.by_id(conn, IntentId(pressed.intent_id))
        known = None if first is None else line_at(conn, first.line)
        if first is None or known is None:
            return
        note = LineRef(TeamId(event.team_id), ChannelId(event.channel_id), MessageTs(event.message_ts or ""))
        if line_at(conn, note) is not None:
            return  # pressed before
        if known.deleted or known.edited_ts != pressed.version:
            close(conn, now, event, TAKEN_BACK if known.deleted else CHANGED_AGAIN)
            return
        correction = self._plan(conn, event, first, known, note)
        self._put_in_lane(conn, now, correction)
        close(conn, now, event, f"<@{event.user_id}> has this correction sent.", quote=known.text)

    def _plan(
        self, conn: Connection, event: ButtonPressed, first: Intent, known: KnownLine, note: LineRef
    ) -> Intent:
        """Store the correction. Its line is the note that shows it: there it has its place and its mark."""
        now, id_, by = self._store.now(conn), IntentId(new_id()), UserId(event.user_id)
        remember_line(
            conn,
            now,
            note,
            thread=first.thread,
            user=by,
            fate=Fate.REPLY,
            text=known.text,
            client_msg_id=None,
            intent=id_,
        )
        intents.plan(
            conn,
            now,
            id_,
            note,
            thread=first.thread,
            target=first.target,
            provider=first.provider,
            author=by,
            text=known.text,
            due_at=now,
            corrects=first.id,
            decision=intents.CORRECTION,
            decided_by=by,
        )
        planned = intents.by_id(conn, id_)
        assert planned is not None, "it was just stored, under a line that was new"
        return planned
