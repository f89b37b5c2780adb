"""Jobs that the operator runs again or cancels, with what they stand for settled in the same transaction.

A reply whose job is cancelled is not sent, and its line says so. A reply that was given up has told its
writer that nothing was sent: running its job again asks in the thread before anything goes out.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection

from bridge import intents
from bridge.content import ActionId, Button
from bridge.events import SendReply, SettleReply
from bridge.ids import IntentId, JobId
from bridge.intents import Intent, IntentState
from bridge.mapping import line_at, thread_by_id
from bridge.model import Mark
from bridge.queue.job import NewJob, put_in
from bridge.queue.mend import cancel_in, retry_in
from bridge.relay.marks import say, set_mark
from bridge.store.attempts import BY_OPERATOR
from bridge.store.engine import Store

CANCELLED = f"This was cancelled {BY_OPERATOR}. Nothing was sent; write it again if it is still to go out."
OFFERED = "This was given up earlier, and nothing was sent. It can be tried again now: send it?"
GIVEN_UP = (IntentState.REFUSED, IntentState.CANCELLED)


class Mending:
    """Retries and cancels jobs."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def retry(self, ids: Sequence[JobId]) -> int:
        """Make dead letters available again; return how many."""

        def retry(conn: Connection) -> int:
            now = self._store.now(conn)
            events = retry_in(conn, now, ids)
            for event in events:
                if isinstance(event, SendReply):
                    _offer_again(conn, now, IntentId(event.intent_id))
            return len(events)

        return await self._store.write(retry)

    async def cancel(self, ids: Sequence[JobId]) -> int:
        """Cancel jobs that are not running; return how many. Their lanes go on."""

        def cancel(conn: Connection) -> int:
            now = self._store.now(conn)
            events = cancel_in(conn, now, ids)
            for event in events:
                if isinstance(event, SendReply):
                    _settle_cancelled(conn, now, IntentId(event.intent_id))
            return len(events)

        return await self._store.write(cancel)


def _settle_cancelled(conn: Connection, now: datetime, id_: IntentId) -> None:
    intent = intents.by_id(conn, id_, lock=True)
    if intent is None:
        return
    reason = f"its job was cancelled {BY_OPERATOR}"
    pending, was_sent = [IntentState.PENDING], intent.attempt > 0
    if not was_sent and intents.move(conn, id_, now, frm=pending, to=IntentState.CANCELLED, reason=reason):
        _tell(conn, now, intent, Mark.FAILED, CANCELLED)
        return
    half_way = [IntentState.SENDING, *(pending if was_sent else ())]
    if intents.move(conn, id_, now, frm=half_way, to=IntentState.UNKNOWN, reason=reason, looks=0):
        # An attempt of it may have arrived, and its lane looks after it no more.
        look = SettleReply(project_id=intent.target.project, intent_id=id_)
        put_in(conn, [NewJob(look)], now)


def _offer_again(conn: Connection, now: datetime, id_: IntentId) -> None:
    intent = intents.by_id(conn, id_, lock=True)
    if intent is None or intent.attempt > 0:
        return  # what may have reached the customer is not for a queue to repeat
    line = line_at(conn, intent.line)
    if line is None or line.deleted:
        return
    offered = intents.move(
        conn,
        id_,
        now,
        frm=GIVEN_UP,
        to=IntentState.HELD,
        reason=f"put back {BY_OPERATOR}",
        held_for="late",
        asked_at=now,
        finished_at=None,
    )
    if offered:
        buttons = (
            Button(action=ActionId.SEND_ANYWAY, label="Send", value=id_, style="primary"),
            Button(action=ActionId.SETTLE_DROP, label="Drop", value=id_),
        )
        _tell(conn, now, intent, Mark.WAITING, OFFERED, buttons)


def _tell(
    conn: Connection,
    now: datetime,
    intent: Intent,
    mark: Mark,
    sentence: str,
    buttons: tuple[Button, ...] = (),
) -> None:
    set_mark(conn, now, intent.line, mark)
    thread = thread_by_id(conn, intent.thread)
    if thread is not None:
        say(conn, now, thread, intent.line, sentence, quote=intent.text, buttons=buttons)
