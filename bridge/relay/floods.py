"""Floods: where many messages of one conversation are found at once, the newest are shown and the rest kept.

A line in the thread says how many there were; *Load all* shows the others, in order, each with its own time.
All of them are stored when they are found, so nothing depends on that press.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, delete, insert, select, update
from sqlalchemy.engine import RowMapping

from bridge.content import ActionId, Button, Notice, from_json, to_json
from bridge.deliveries import Shown, put_reply, put_update, shown_in
from bridge.events import ButtonPressed
from bridge.ids import MessageTs, ThreadId, new_id
from bridge.mapping import Origin as Whose
from bridge.mapping import thread_by_id, threads_of
from bridge.model import Message, Thread
from bridge.queue.jobs import Job
from bridge.queue.presence import Outage, span
from bridge.relay.transcript import lines_of
from bridge.store.engine import Store
from bridge.store.tables import floods, folded_lines

FLOOD = 20
"""More messages than this at once are a flood."""

KEPT = 5
"""So many of them are shown, the newest."""


def flood_of(
    owed: Sequence[tuple[Message, Whose]], outages: Sequence[Outage], *, swept: bool
) -> list[Message]:
    """Return the messages of a flood, oldest first; none without one.

    What a sweep found may be one, and what came while the bridge was away: not what people write right now.
    """
    late = [m for m, _ in owed if swept or any(outage.covers(m.sent_at) for outage in outages)]
    return late if len(late) > FLOOD else []


def fold(
    conn: Connection,
    now: datetime,
    thread: Thread,
    folded: Sequence[tuple[Message, Whose, str | None]],
    newest: Message,
    outages: Sequence[Outage],
) -> None:
    """Keep these messages, each with whose it is and its note, and owe the thread the line that says so."""
    id_ = new_id()
    summary = _summary([m for m, _, _ in folded], newest, outages)
    values = {"thread_id": thread.id, "summary": summary, "folded": len(folded), "created_at": now}
    conn.execute(insert(floods).values(id=id_, **values))
    lines = [(m, line) for m, whose, note in folded for line in lines_of(m, whose, note)]
    rows = [
        {
            "flood_id": id_,
            "number": number,
            "project_id": thread.target.project,
            "message_id": message.id,
            "part": line.part,
            "content": to_json(line),
        }
        for number, (message, line) in enumerate(lines)
    ]
    conn.execute(insert(folded_lines), rows)
    button = Button(action=ActionId.LOAD_ALL, label="Load all", value=id_)
    text = f"{summary}; the last {KEPT} are below."
    put_reply(conn, now, thread, "notice", Notice(text=text, buttons=(button,)))


def _summary(folded: Sequence[Message], newest: Message, outages: Sequence[Outage]) -> str:
    count = len(folded) + KEPT
    first, last = folded[0].sent_at, newest.sent_at
    away = next((one for one in outages if one.covers(first) and one.covers(last)), None)
    if away is not None:
        return f"{count} messages came while the bridge was away, {away.span}"
    return f"{count} messages were found at once, sent {span(first, last)}"


class Floods:
    """Does what the buttons ask for."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def load_all(self, event: ButtonPressed, job: Job) -> None:
        """Show what was kept. Pressing again, or late, shows nothing twice."""
        await self._store.write(lambda conn: self._load(conn, event))

    def _load(self, conn: Connection, event: ButtonPressed) -> None:
        now = self._store.now(conn)
        thread = _thread_of(conn, event)
        if thread is None:
            return
        claim = update(floods).where(floods.c.id == event.value, floods.c.loaded_at.is_(None))
        if conn.execute(claim.values(loaded_at=now, loaded_by=event.user_id)).rowcount:
            _show(conn, now, thread, event.value)
        if event.message_ts is not None:
            row = _flood(conn, event.value)
            words = f"{row['summary']}. <@{row['loaded_by']}> had all of them loaded; they stand below."
            ts = MessageTs(event.message_ts)
            put_update(conn, now, thread.team, thread.channel, ts, "notice", Notice(text=words))


def _thread_of(conn: Connection, event: ButtonPressed) -> Thread | None:
    """Return the thread of the flood whose button was pressed, None if that is not where it was pressed.

    What was said of it in a channel that closed may stand in another one now, in the same target's thread.
    """
    of = select(floods.c.thread_id).where(floods.c.id == event.value)
    id_ = conn.execute(of).scalar()
    thread = None if id_ is None else thread_by_id(conn, ThreadId(id_))
    if thread is None:
        return None
    here = (event.team_id, event.channel_id)
    return next((one for one in threads_of(conn, thread.target) if (one.team, one.channel) == here), None)


def _flood(conn: Connection, id_: str) -> RowMapping:
    return conn.execute(select(floods).where(floods.c.id == id_)).mappings().one()


def _show(conn: Connection, now: datetime, thread: Thread, flood: str) -> None:
    kept = folded_lines.c.flood_id == flood
    rows = conn.execute(select(folded_lines).where(kept).order_by(folded_lines.c.number)).mappings()
    known = shown_in(conn, thread.id)  # in another channel than the flood was found for
    for row in rows.all():
        shown = Shown(row["project_id"], row["message_id"], row["part"])
        if shown not in known:
            put_reply(conn, now, thread, "message", from_json(row["content"]), shows=[shown])
    conn.execute(delete(folded_lines).where(kept))
