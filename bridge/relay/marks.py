"""The one mark that a line carries, and the sentence that goes with it.

A line has at most one mark at a time; changing it owes the new reaction first, then the removal of the old.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, select, update

from bridge.content import Button, Notice
from bridge.deliveries import put_mark, put_notice
from bridge.ids import LineRef
from bridge.model import Mark, Thread
from bridge.store.tables import lines


def set_mark(conn: Connection, now: datetime, line: LineRef, mark: Mark) -> None:
    """Owe `line` the mark `mark` in place of the one that it has; the same again owes nothing."""
    at = (lines.c.team == line.team, lines.c.channel_id == line.channel, lines.c.ts == line.ts)
    old = conn.execute(select(lines.c.mark).where(*at)).scalar()
    if old == mark:
        return
    conn.execute(update(lines).where(*at).values(mark=mark))
    put_mark(conn, now, line, mark)
    if old is not None:
        put_mark(conn, now, line, Mark(old), add=False)


def clear_mark(conn: Connection, now: datetime, line: LineRef) -> None:
    """Owe `line` the removal of the mark that it has."""
    at = (lines.c.team == line.team, lines.c.channel_id == line.channel, lines.c.ts == line.ts)
    old = conn.execute(select(lines.c.mark).where(*at)).scalar()
    if old is not None:
        conn.execute(update(lines).where(*at).values(mark=None))
        put_mark(conn, now, line, Mark(old), add=False)


def say(
    conn: Connection,
    now: datetime,
    thread: Thread,
    line: LineRef,
    sentence: str,
    *,
    quote: str | None = None,
    buttons: tuple[Button, ...] = (),
) -> None:
    """Owe the thread a sentence about one of its lines."""
    put_notice(conn, now, thread, Notice(text=sentence, quote=quote, buttons=buttons), about=line)
