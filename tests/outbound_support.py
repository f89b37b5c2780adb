"""What several scenarios about outgoing lines look at or do."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.engine import make_url

from sandbox.slack import Message
from sandbox.wire import Direction, End, WireEntry
from tests.scenario.stage import Stage, eventually, shown

A_SECOND = {"BRIDGE_UNDO_WINDOW_S": "20"}
"""An undo window of a second of the test's time, for lines that are typed in a burst: at the usual scale the
300 ms without a window are 15, and on a busy machine events overtake each other by more."""


def notices(stage: Stage, root: Message, words: str = "") -> list[Message]:
    """What the bridge itself said under `root`, as far as it holds `words`."""
    ours = [m for m in stage.replies(root) if m.metadata and m not in stage.transcript(root)]
    return [m for m in ours if words in shown(m)]


def told(stage: Stage, text: str) -> list[WireEntry]:
    """Slack's attempts to tell of the line `text`, as far as they are over."""
    attempts = stage.wire.entries(end=End.SLACK, direction=Direction.OUT, operation="message")
    return [entry for entry in attempts if text in entry.request and entry.finished]


def replies_sent(stage: Stage) -> list[WireEntry]:
    """The replies that Jollor was asked to send."""
    return stage.wire.entries(direction=Direction.IN, operation="createMessageReply")


async def commands(stage: Stage, text: str, answer: str) -> None:
    """Anna gives `/jollor TEXT`; wait for an answer to her that says `answer`."""
    reply = await stage.slack.slash_command(stage.anna.id, stage.support.id, "/jollor", text)
    assert reply.error is None
    await eventually(
        lambda: any(answer in str(seen.blocks) for seen in stage.slack.ephemerals(stage.anna.id)),
        what=f"{answer!r} as an answer to {text!r}",
        evidence=stage.evidence,
    )


@contextmanager
def locked(database_url: str) -> Iterator[None]:
    """Keep the SQLite file from being written to, as a backup program at the wrong moment would."""
    path = make_url(database_url).database
    assert path is not None
    other = sqlite3.connect(path, isolation_level=None, timeout=10)
    try:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")
    finally:
        other.close()
