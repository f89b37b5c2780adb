"""Collects what both ends really have, for the verdict. Looks at the sandbox alone."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from chaos.people import AGAIN, DROP, LINE, MESSAGE, People, kind_of
from chaos.troubles import SETTLED_LATEST_S
from chaos.verdict import Evidence, Line, Message, Received, Shown
from sandbox.ledger import Cause
from sandbox.wire import Direction, WireEntry, WireSubscription
from tests.scenario.stage import Stage, shown

LATE_WORDS = ("arrived late", "arrived while the bridge was away")
REPEAT_WORDS = ("possible repeat",)


@dataclass
class Calls:
    """What the bridge called.

    `ended_unclear`: when the first attempt at each line ended without a clear answer, on the monotonic clock.
    """

    ended_unclear: dict[str, float] = field(default_factory=dict)
    made: Counter[str] = field(default_factory=Counter)
    """Calls that the bridge made, by operation."""
    struck: Counter[str] = field(default_factory=Counter)
    """Those among them that a trouble struck."""
    replies: list[WireEntry] = field(default_factory=list)

    @contextmanager
    def watch(self, stage: Stage) -> Iterator[None]:
        """Take note of replies while it is open."""
        with stage.wire.subscribe() as entries:
            task = asyncio.ensure_future(self._follow(entries))
            try:
                yield
            finally:
                task.cancel()

    async def _follow(self, entries: WireSubscription) -> None:
        async for entry in entries:
            self.note(entry)

    def note(self, entry: WireEntry) -> None:
        """Take note of one entry of the wire."""
        if not entry.finished or entry.direction is not Direction.IN:
            return
        self.made[entry.operation] += 1
        self.struck[entry.operation] += entry.fault is not None
        if entry.operation != "createMessageReply":
            return
        self.replies.append(entry)
        is_unclear = entry.status is None or entry.status >= 500
        for line in LINE.findall(entry.request) if is_unclear else ():
            self.ended_unclear.setdefault(line, time.monotonic())


def collect(stage: Stage, people: People, calls: Calls) -> Evidence:
    """Return what is to be judged, as it is now."""
    asked = {line for question in people.questions.values() for line in question.lines}
    doubted = frozenset(q.subject for q in people.questions.values() if q.is_doubt)
    return Evidence(
        messages=[
            Message(id_, message.conversation.customer.name, _milliseconds(message.sent_at.timestamp()))
            for id_, message in people.messages.items()
        ],
        shown=list(_shown(stage, people)),
        cards=list(people.home.values()),
        lines=list(_lines(stage, people, asked)),
        received=list(_received(stage, people)),
        settleable=frozenset(_settleable(stage, calls)),
        doubted=doubted,
    )


def _milliseconds(seconds: float) -> int:
    """Jollor tells times in milliseconds."""
    return int(seconds * 1000)


def _shown(stage: Stage, people: People) -> Iterator[Shown]:
    for message in stage.slack.messages(stage.support.id):
        if message.bot_id is None or not message.is_reply or kind_of(message) != "message":
            continue
        text = shown(message)
        found = tuple(dict.fromkeys(MESSAGE.findall(text)))
        if found:
            yield Shown(
                people.home.get(message.thread_ts or ""),
                found,
                is_late=any(words in text for words in LATE_WORDS),
                is_repeat=any(words in text for words in REPEAT_WORDS),
            )


def _lines(stage: Stage, people: People, asked: set[str]) -> Iterator[Line]:
    acknowledged = set(stage.slack.courier.acknowledged)
    taken = {str(event.inner.get("ts")) for event in stage.slack.events.sent if event.id in acknowledged}
    for one in people.typed.values():
        yield Line(
            one.id,
            one.conversation,
            int(one.ts.replace(".", "")),
            is_internal=one.is_internal,
            is_taken=one.ts in taken,
            marks=tuple(stage.slack.marks(stage.support.id, one.ts)),
            is_asked=one.id in asked,
            again=people.pressed[one.id, AGAIN],
            is_gone=bool(people.pressed[one.id, DROP]),
        )


def _received(stage: Stage, people: People) -> Iterator[Received]:
    names = {
        message.conversation.id: message.conversation.customer.name for message in people.messages.values()
    }
    for receipt in stage.ledger.customers:
        found = LINE.search(receipt.sent_text)
        typed = people.typed.get(found[0]) if found else None
        is_whole = typed is not None and receipt.sent_text in (typed.text, typed.text.removeprefix("// "))
        yield Received(names.get(receipt.target, receipt.target), typed.id if typed and is_whole else None)


def _settleable(stage: Stage, calls: Calls) -> Iterator[str]:
    """Yield lines that arrived once, were unclear to the bridge, and were in lists in time."""
    listed: dict[str, list[float]] = {}
    for receipt in stage.ledger.customers:
        found = LINE.search(receipt.sent_text)
        if found and receipt.cause is Cause.API:
            message = stage.jollor.store.messages[receipt.message_id]
            listed.setdefault(found[0], []).append(message.listed_from)
    for line, moments in listed.items():
        ended = calls.ended_unclear.get(line)
        if ended is None or len(moments) > 1:
            continue
        if moments[0] <= ended + SETTLED_LATEST_S / stage.slack.clock.scale:
            yield line
