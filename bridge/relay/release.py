"""Replies that wait for a decision: held in order, back in their lane in order; late lines asked about."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection

from bridge import intents
from bridge.content import ActionId, Button
from bridge.events import SendReply
from bridge.ids import IntentId, LineRef, new_id, ts_order
from bridge.intents import Intent, IntentState
from bridge.mapping import thread_by_id
from bridge.model import Mark, Thread
from bridge.queue.jobs import NewJob, put_in
from bridge.relay.marks import say, set_mark

WAITING_AFTER = timedelta(seconds=2)
"""How long after it was due a reply may be on its way before its line says that it waits."""
WAITS = "This waits until people have decided about an earlier reply to the same customer."


def hold_behind(conn: Connection, now: datetime, waiting: Intent, first: Intent | IntentId) -> bool:
    """Hold `waiting` until people have decided about `first`; say so where its writer looks."""
    held = intents.move(
        conn,
        waiting.id,
        now,
        frm=[IntentState.PENDING],
        to=IntentState.HELD,
        reason="waits for a decision about an earlier reply",
        held_for=intents.behind(first),
    )
    if held:
        set_mark(conn, now, waiting.line, Mark.WAITING)
        asked = first if isinstance(first, Intent) else intents.by_id(conn, first)
        thread = thread_by_id(conn, waiting.thread)
        if thread is not None and (asked is None or asked.thread != waiting.thread):
            say(conn, now, thread, waiting.line, WAITS, quote=waiting.text)
    return held


def unhold(conn: Connection, now: datetime, decided: Intent) -> list[Intent]:
    """Make the replies that waited for a decision about `decided` pending again; return them in order."""
    waiting = intents.held_for(conn, intents.behind(decided))
    for other in waiting:
        intents.move(
            conn,
            other.id,
            now,
            frm=[IntentState.HELD],
            to=IntentState.PENDING,
            reason="goes on after a decision",
            held_for=None,
            due_at=now,
        )
    return waiting


def release(conn: Connection, now: datetime, pending: Sequence[Intent]) -> None:
    """Put replies back in their lane, in the order of their lines."""
    new = [
        NewJob(
            SendReply(project_id=one.target.project, intent_id=one.id, out_lane=one.target.lane("out")),
            unique_key=f"send:{one.id}:{new_id()}",
            order=ts_order(one.line.ts),
        )
        for one in pending
    ]
    put_in(conn, new, now)


def ask_late(
    conn: Connection,
    now: datetime,
    thread: Thread,
    line: LineRef,
    intent: IntentId,
    text: str,
    question: str,
) -> None:
    """Hold a line that comes late until a person says that it still holds."""
    intents.move(
        conn,
        intent,
        now,
        frm=[IntentState.PENDING],
        to=IntentState.HELD,
        reason="came late",
        held_for="late",
        asked_at=now,
    )
    set_mark(conn, now, line, Mark.WAITING)
    buttons = (
        Button(action=ActionId.SEND_ANYWAY, label="Send", value=intent, style="primary"),
        Button(action=ActionId.SETTLE_DROP, label="Drop", value=intent),
    )
    say(conn, now, thread, line, question, quote=text, buttons=buttons)
