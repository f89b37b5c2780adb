"""Lines of the transcript: messages of a conversation as what a thread is owed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from sqlalchemy import Connection

from bridge.content import Line, Origin
from bridge.deliveries import Shown, put_reply
from bridge.mapping import Origin as Whose
from bridge.model import Message, Thread
from bridge.parts import split


def lines_of(message: Message, whose: Whose, note: str | None) -> Iterator[Line]:
    """Yield a message as lines: one, or numbered parts if it is long."""
    parts = split(message.text)
    origin = {Whose.CUSTOMER: Origin.CUSTOMER, Whose.TEAM: Origin.TEAM}.get(whose, Origin.ELSEWHERE)
    for number, text in enumerate(parts, start=1):
        yield Line(
            author=message.sender,
            provider=message.provider,
            origin=origin,
            text=text,
            sent_at=message.sent_at,
            part=number,
            parts=len(parts),
            has_attachments=message.has_attachments and number == len(parts),
            note=note if number == 1 else None,
        )


def put_message(
    conn: Connection,
    now: datetime,
    thread: Thread,
    message: Message,
    whose: Whose,
    *,
    also_to_channel: bool,
    note: str | None,
) -> None:
    """Owe `thread` a message, in numbered parts if it is long."""
    for line in lines_of(message, whose, note):
        put_reply(
            conn,
            now,
            thread,
            "message",
            line,
            shows=[Shown(thread.target.project, message.id, line.part)],
            also_to_channel=also_to_channel and line.part == 1,
        )
