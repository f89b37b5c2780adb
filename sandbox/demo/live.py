"""The live stream to the page: everything once, then what changed, by server-sent events."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator

from sandbox.demo.snapshot import sections, wire_entry
from sandbox.demo.stage import Stage
from sandbox.ledger import ChannelReceipt, CustomerReceipt
from sandbox.wire import WireEntry

GATHER_S = 0.03
"""Changes that come together travel together."""
BEAT_S = 15.0
FIRST_ENTRIES = 200


class Live:
    """Watches the stage and tells every open page. Made by `start`, ended by `stop`."""

    def __init__(self, stage: Stage, *, beat_s: float = BEAT_S) -> None:
        """`beat_s` is how long a page hears nothing before it gets a sign of life."""
        self._stage = stage
        self._beat_s = beat_s
        self._run = secrets.token_hex(4)
        self._told: dict[str, str] = {}
        self._dirty = asyncio.Event()
        self._pages: set[_Page] = set()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        self._told = self._look()
        self._stage.slack.watch(self.touch)
        self._stage.ledger.watch(self._received)
        self._stage.bridge.watchers.append(self.touch)
        self._tasks = [
            asyncio.create_task(self._tell_changes(), name="demo-changes"),
            asyncio.create_task(self._tell_wire(), name="demo-wire"),
        ]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for page in self._pages:
            page.close()

    def touch(self) -> None:
        """Something may have changed: look soon."""
        self._dirty.set()

    async def stream(self) -> AsyncIterator[str]:
        """Events for one page, as they are written to it; ends when the demo stops."""
        page = _Page(self._beat_s)
        page.put(self._told, self._stage.wire.entries()[-FIRST_ENTRIES:])
        self._pages.add(page)
        try:
            yield f"retry: 700\nevent: begin\ndata: {json.dumps({'run': self._run})}\n\n"
            while (text := await page.next()) is not None:
                yield text
        finally:
            self._pages.discard(page)

    def _look(self) -> dict[str, str]:
        """Every section as text: comparable, whatever happens to the state that it came from."""
        return {name: json.dumps(value, ensure_ascii=False) for name, value in sections(self._stage).items()}

    def _received(self, receipt: CustomerReceipt | ChannelReceipt) -> None:
        self.touch()

    async def _tell_changes(self) -> None:
        while True:
            await self._dirty.wait()
            await asyncio.sleep(GATHER_S)
            self._dirty.clear()
            now = self._look()
            changed = {name: value for name, value in now.items() if self._told.get(name) != value}
            self._told = now
            if changed:
                for page in self._pages:
                    page.put(changed, [])

    async def _tell_wire(self) -> None:
        with self._stage.wire.subscribe() as entries:
            async for entry in entries:
                self.touch()  # whatever was asked for over the wire may have changed something
                for page in self._pages:
                    page.put({}, [entry])


class _Page:
    """What one open page has not been told yet. A slow page gets less often more, and never less in all."""

    def __init__(self, beat_s: float) -> None:
        self._beat_s = beat_s
        self._sections: dict[str, str] = {}
        self._entries: dict[int, WireEntry] = {}
        self._filled = asyncio.Event()
        self._closed = False

    def put(self, changed: dict[str, str], entries: list[WireEntry]) -> None:
        self._sections |= changed
        self._entries |= {entry.number: entry for entry in entries}
        while len(self._entries) > FIRST_ENTRIES * 5:
            del self._entries[next(iter(self._entries))]
        self._filled.set()

    def close(self) -> None:
        self._closed = True
        self._filled.set()

    async def next(self) -> str | None:
        """The next event, or a sign of life after a while; None if there will be no more."""
        try:
            async with asyncio.timeout(self._beat_s):
                await self._filled.wait()
        except TimeoutError:
            return ": alive\n\n"
        if self._closed:
            return None
        self._filled.clear()
        changed = ",".join(f"{json.dumps(name)}:{text}" for name, text in self._sections.items())
        wire = json.dumps([wire_entry(entry) for entry in self._entries.values()], ensure_ascii=False)
        self._sections, self._entries = {}, {}
        return f'event: change\ndata: {{"sections":{{{changed}}},"wire":{wire}}}\n\n'
