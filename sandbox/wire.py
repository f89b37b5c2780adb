"""Everything that went over the wire at the sandbox, for the live page and for tests.

Secrets are masked before anything is kept, so the list may be shown as it is.
"""

import asyncio
import re
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from sandbox.clock import SandboxClock

EXCERPT_LENGTH = 400

current_number: ContextVar[int | None] = ContextVar("current_number", default=None)
"""Number of the wire entry that the running code serves; kept by tasks that it starts."""


class End(StrEnum):
    """Which of the two simulated services."""

    JOLLOR = "jollor"
    SLACK = "slack"


class Direction(StrEnum):
    """IN: the bridge called the sandbox. OUT: the sandbox called the bridge."""

    IN = "in"
    OUT = "out"


@dataclass(frozen=True)
class WireEntry:
    """One request and what came of it.

    `status` is None where no answer was given: still running if `finished` is False, else cut or hung up.
    """

    number: int
    at: datetime
    end: End
    direction: Direction
    method: str
    path: str
    operation: str
    request: str = ""
    status: int | None = None
    response: str = ""
    duration_s: float = 0.0
    fault: str | None = None
    finished: bool = False


class Wire:
    """An append-only list, bounded to the newest `capacity` entries, that can be watched."""

    def __init__(self, *, clock: SandboxClock, capacity: int = 5000) -> None:
        self._clock = clock
        self._capacity = capacity
        self._entries: OrderedDict[int, WireEntry] = OrderedDict()
        self._started: dict[int, float] = {}
        self._last_number = 0
        self._subscriptions: list[WireSubscription] = []

    def begin(
        self, end: End, direction: Direction, method: str, path: str, operation: str, *, request: str = ""
    ) -> int:
        """Note that a request started; returns its number for `finish`."""
        self._last_number += 1
        number = self._last_number
        self._started[number] = time.monotonic()
        entry = WireEntry(
            number=number,
            at=self._clock.now(),
            end=end,
            direction=direction,
            method=method,
            path=masked(path),
            operation=operation,
            request=excerpt(request),
        )
        self._keep(entry)
        return number

    def finish(
        self, number: int, *, status: int | None, response: str = "", fault: str | None = None
    ) -> None:
        """Note how the request ended. Entries that were already pushed out stay out."""
        started = self._started.pop(number, None)
        entry = self._entries.get(number)
        if entry is None or started is None:
            return
        self._keep(
            replace(
                entry,
                status=status,
                response=excerpt(response),
                duration_s=time.monotonic() - started,
                fault=fault,
                finished=True,
            )
        )

    def entries(
        self, *, end: End | None = None, direction: Direction | None = None, operation: str | None = None
    ) -> list[WireEntry]:
        """The kept entries in the order of their start."""
        return [
            entry
            for entry in self._entries.values()
            if (end is None or entry.end is end)
            and (direction is None or entry.direction is direction)
            and (operation is None or entry.operation == operation)
        ]

    @contextmanager
    def subscribe(self) -> Iterator["WireSubscription"]:
        """Watch from now on: each entry when it starts and again when it is finished (same number)."""
        subscription = WireSubscription()
        self._subscriptions.append(subscription)
        try:
            yield subscription
        finally:
            self._subscriptions.remove(subscription)

    async def wait_for(self, wanted: Callable[[WireEntry], bool], *, timeout_s: float = 10.0) -> WireEntry:
        """The first finished entry, kept or yet to come, that is `wanted`; TimeoutError if none comes."""
        with self.subscribe() as changes:
            for entry in self.entries():
                if entry.finished and wanted(entry):
                    return entry
            async with asyncio.timeout(timeout_s):
                async for entry in changes:
                    if entry.finished and wanted(entry):
                        return entry
        raise AssertionError("a subscription never ends by itself")

    def _keep(self, entry: WireEntry) -> None:
        self._entries[entry.number] = entry
        while len(self._entries) > self._capacity:
            dropped, _ = self._entries.popitem(last=False)
            self._started.pop(dropped, None)
        for subscription in self._subscriptions:
            subscription.put(entry)


class WireSubscription:
    """Entries for one watcher. A slow watcher loses the oldest ones and can see how many in `missed`."""

    def __init__(self, capacity: int = 2000) -> None:
        self._queue: asyncio.Queue[WireEntry] = asyncio.Queue(capacity)
        self.missed = 0

    def put(self, entry: WireEntry) -> None:
        if self._queue.full():
            self._queue.get_nowait()
            self.missed += 1
        self._queue.put_nowait(entry)

    async def next(self) -> WireEntry:
        """The next entry, as soon as there is one."""
        return await self._queue.get()

    def __aiter__(self) -> AsyncIterator[WireEntry]:
        return self._stream()

    async def _stream(self) -> AsyncIterator[WireEntry]:
        while True:
            yield await self.next()


_SECRET_NAMES = (
    "access_token|refresh_token|verify_token|client_secret|password|challenge"
    "|token|bot_token|code|ticket|signing_secret"
)
_IN_QUERY = re.compile(rf"(?P<name>(?:^|[?&])(?:{_SECRET_NAMES})=)[^&\s#\"]+")
_IN_JSON = re.compile(rf"(?P<name>\"(?:{_SECRET_NAMES})\"\s*:\s*\")[^\"]*")
_SLACK_TOKEN = re.compile(r"\bx(?:ox[a-z]|app|oxe\.xox[a-z])-[\w.-]+")
MASK = "•••"


def masked(text: str) -> str:
    """`text` with tokens and secrets in queries, forms and JSON replaced by dots."""
    text = _IN_QUERY.sub(rf"\g<name>{MASK}", text)
    text = _IN_JSON.sub(rf"\g<name>{MASK}", text)
    return _SLACK_TOKEN.sub(MASK, text)


def excerpt(text: str, length: int = EXCERPT_LENGTH) -> str:
    """The masked beginning of `text`, with an ellipsis if something was left out."""
    text = masked(text[: length * 4])
    return text if len(text) <= length else text[:length] + "…"
