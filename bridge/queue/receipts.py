"""Committing what comes in from outside: receipts that wait at the same time share one commit."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection, insert

from bridge.errors import StoreUnavailable
from bridge.queue.job import NewJob, put_in, storable
from bridge.store.engine import Store
from bridge.store.tables import kept_bodies

log = logging.getLogger(__name__)

MAX_BATCH = 500


@dataclass(frozen=True, slots=True)
class _Receipt:
    jobs: tuple[NewJob, ...]
    kept: tuple[tuple[str, str], ...]
    done: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def answer(self, error: Exception | None = None) -> None:
        """Tell the caller; one that hung up has its receipt committed all the same."""
        if self.done.done():
            return
        if error is None:
            self.done.set_result(None)
        else:
            self.done.set_exception(error)
            self.done.exception()  # a caller that is being cancelled just now never asks


class Receipts:
    """Where receipts wait for their commit. `committed` is called after each one."""

    def __init__(self, store: Store, committed: Callable[[], None]) -> None:
        self._store = store
        self._committed = committed
        self._waiting: list[_Receipt] = []
        self._under_way: list[_Receipt] = []
        self._flusher: asyncio.Task[None] | None = None

    async def take(self, new: Sequence[NewJob], kept: Sequence[tuple[str, str]]) -> None:
        """Return after the commit; see `Jobs.receive`."""
        receipt = _Receipt(tuple(new), tuple(kept))
        self._waiting.append(receipt)
        if self._flusher is None or self._flusher.done():
            self._flusher = asyncio.create_task(self._flush(), name="receipts")
            self._flusher.add_done_callback(self._flushed)
        await receipt.done

    async def _flush(self) -> None:
        while self._waiting:
            self._under_way, self._waiting = self._waiting[:MAX_BATCH], self._waiting[MAX_BATCH:]
            await self._commit(self._under_way)
            self._committed()

    def _flushed(self, flusher: asyncio.Task[None]) -> None:
        """Leave nobody waiting for a flusher that was cancelled, perhaps before it began."""
        if not flusher.cancelled() and flusher.exception() is None:
            return
        for receipt in [*self._under_way, *self._waiting]:
            receipt.answer(StoreUnavailable("store_closed"))
        self._waiting.clear()

    async def _commit(self, batch: Sequence[_Receipt]) -> None:
        """Commit these together; halve what the database refuses until the bad one stands alone."""
        try:
            await self._store.write(lambda conn: self._insert(conn, batch))
        except StoreUnavailable as error:
            for receipt in batch:  # each its own: a raised exception belongs to one traceback
                receipt.answer(StoreUnavailable(error.code, user_message=error.user_message))
        except Exception as error:  # noqa: BLE001 - belongs to the caller, who is waiting for it
            if len(batch) == 1:
                log.warning("receipt.refused", extra={"error": type(error).__name__})
                batch[0].answer(error)
                return
            middle = len(batch) // 2
            await self._commit(batch[:middle])
            await self._commit(batch[middle:])
        else:
            for receipt in batch:
                receipt.answer()

    def _insert(self, conn: Connection, batch: Sequence[_Receipt]) -> None:
        now = self._store.now(conn)
        put_in(conn, [job for receipt in batch for job in receipt.jobs], now)
        kept = [
            {"project_id": project, "received_at": now, "body": storable(body)}
            for receipt in batch
            for project, body in receipt.kept
        ]
        if kept:
            conn.execute(insert(kept_bodies), kept)
