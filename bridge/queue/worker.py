"""The worker: claims jobs and has them attempted, as many at a time as it may.

It keeps the leases of what it runs, takes back what lost workers held, and on stopping takes no more,
finishes what runs within a grace time and hands the rest back.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import socket
import time
from datetime import timedelta

from sqlalchemy import Connection

from bridge.errors import StoreUnavailable
from bridge.queue.attempt import Attempts, Farewell, Handler, Handlers
from bridge.queue.jobs import CHANNEL, Job, Jobs
from bridge.queue.presence import gap, give_sign
from bridge.store.engine import Store

__all__ = ["Farewell", "Handler", "Handlers", "Worker", "worker_id"]

log = logging.getLogger(__name__)

CONCURRENCY = 16
LEASE_S = 15.0
POLL_S = 1.0
STOP_GRACE_S = 20.0


def worker_id() -> str:
    """Return a name that no other worker has."""
    return f"{socket.gethostname()[:32]}:{os.getpid()}:{secrets.token_hex(4)}"


class Worker:
    """Runs jobs until it is stopped."""

    def __init__(
        self,
        store: Store,
        jobs: Jobs,
        handlers: Handlers,
        *,
        id_: str | None = None,
        scale: float = 1.0,
        lease_s: float = LEASE_S,
        concurrency: int = CONCURRENCY,
        alone: bool = False,
        poll_s: float = POLL_S,
        grace_s: float = STOP_GRACE_S,
    ) -> None:
        self.id = id_ or worker_id()
        self._store = store
        self._jobs = jobs
        self._coalesced = handlers.coalesced
        self._lease = timedelta(seconds=lease_s)
        self._gap = max(gap(scale), self._lease)  # a busy machine may be late with a sign
        self._attempts = Attempts(store, jobs, handlers, lease=self._lease, scale=scale)
        self._concurrency = concurrency
        self._alone = alone
        self._poll_s = poll_s
        self._grace_s = grace_s
        self._running: dict[asyncio.Task[None], Job] = {}
        self._left: dict[asyncio.Task[None], Job] = {}
        self._stopping = False
        self.last_beat = time.monotonic()

    @property
    def lease(self) -> timedelta:
        """How long a job stays ours without a sign of life."""
        return self._lease

    async def run(self) -> None:
        """Run until `stop`; returns when what was running has finished or the grace time is over."""
        await self._recover()
        try:
            async with asyncio.TaskGroup() as tasks:
                side = [
                    tasks.create_task(self._beat(), name="worker-beat"),
                    tasks.create_task(self._listen(), name="worker-listen"),
                ]
                while not self._stopping:
                    await self._round(tasks)
                if self._running:
                    await asyncio.wait(self._running, timeout=self._grace_s)
                for task in [*side, *self._running]:
                    task.cancel()
        finally:
            await self._hand_back()

    def stop(self) -> None:
        """Take no more jobs; `run` returns once the running ones are done."""
        self._stopping = True
        self._jobs.woken.set()

    async def run_until_idle(self) -> None:
        """Run everything that is due now and return; for tests and one-off commands."""
        while claimed := await self._claim():
            await asyncio.gather(*(self._attempts.make(job) for job in claimed))

    async def _round(self, tasks: asyncio.TaskGroup) -> None:
        # Cleared before looking: what is put while we look wakes us again.
        self._jobs.woken.clear()
        claimed: list[Job] = []
        try:
            claimed = await self._claim()
        except Exception as error:  # noqa: BLE001 - while jobs cannot be had, the rest of us goes on
            _warn("worker.claim_failed", error)
        for job in claimed:
            task = tasks.create_task(self._attempts.make(job), name=f"job-{job.id}")
            self._running[task] = job
            task.add_done_callback(self._finished)
        if not claimed:
            await self._wait()

    def _finished(self, task: asyncio.Task[None]) -> None:
        job = self._running.pop(task)
        if task.cancelled():
            self._left[task] = job
        self._jobs.woken.set()

    async def _claim(self) -> list[Job]:
        free = self._concurrency - len(self._running)
        if free <= 0:
            return []
        return await self._jobs.claim(self.id, limit=free, lease=self._lease, coalesced=self._coalesced)

    async def _wait(self) -> None:
        """Until woken, until the next job is due, or for the polling time that is the safety net."""
        try:
            # Not wait_for: before Python 3.12 it loses a cancellation that comes with the wake-up.
            async with asyncio.timeout(await self._pause_s()):
                await self._jobs.woken.wait()
        except TimeoutError:
            pass  # time to look again

    async def _pause_s(self) -> float:
        if len(self._running) >= self._concurrency:
            return self._poll_s  # nothing can start before something ends, which wakes us
        try:
            due_in = await self._jobs.due_in()
        except Exception as error:  # noqa: BLE001 - as above
            _warn("worker.look_failed", error)
            return self._poll_s
        return self._poll_s if due_in is None else min(self._poll_s, max(0.002, due_in.total_seconds()))

    # --- side tasks ----------------------------------------------------------------------------------

    async def _recover(self) -> None:
        """On SQLite a process is alone with its file: what "runs" for others is lost, take it at once."""
        if not self._alone:
            return
        try:
            await self._jobs.rescue(of_other_processes=self.id)
        except StoreUnavailable as error:
            _warn("worker.recover_failed", error)

    async def _hand_back(self) -> None:
        """Give up what was cut off, so that others need not wait for its lease to run out."""
        left = [*self._left.values(), *self._running.values()]
        self._left.clear()
        if not left:
            return
        try:
            await self._jobs.hand_back(left)
        except StoreUnavailable as error:
            _warn("worker.hand_back_failed", error)

    async def _beat(self) -> None:
        """Keep our leases, take back lost ones, show that we live."""
        pause_s = self._lease.total_seconds() / 4
        while True:
            try:
                await self._keep()
                if await self._jobs.rescue():
                    self._jobs.woken.set()
                await self._store.write(self._sign_of_life)
                self.last_beat = time.monotonic()
            except Exception as error:  # noqa: BLE001 - a worker without a beat would lose all it runs
                _warn("worker.beat_failed", error)
            await asyncio.sleep(pause_s)

    async def _keep(self) -> None:
        """Extend our leases; stop what somebody else has taken over: nothing may run twice at a time."""
        running = dict(self._running)
        held = await self._jobs.keep(list(running.values()), self._lease)
        for task, job in running.items():
            if not any(job is kept for kept in held) and task in self._attempts.handling:
                log.warning("job.taken_over", extra={"job": job.id, "kind": job.event.kind})
                task.cancel()

    def _sign_of_life(self, conn: Connection) -> None:
        give_sign(conn, self._store.now(conn), self.id, self._gap)

    async def _listen(self) -> None:
        """Wake on PostgreSQL's notifications, over a connection of its own; polling goes on regardless."""
        if self._store.is_sqlite:
            return
        while True:
            try:
                await self._listen_until_lost()
            except Exception as error:  # noqa: BLE001 - whatever it is, polling goes on and we try again
                _warn("worker.listen_failed", error)
            await asyncio.sleep(POLL_S)

    async def _listen_until_lost(self) -> None:
        lost = asyncio.Event()
        async with self._store.raw() as connection:
            connection.add_termination_listener(lambda *_: lost.set())
            await connection.add_listener(CHANNEL, lambda *_: self._jobs.woken.set())
            self._jobs.woken.set()  # for what was said while nobody listened
            await lost.wait()


def _warn(event: str, error: Exception) -> None:
    if isinstance(error, StoreUnavailable):
        log.warning(event, extra={"error": str(error), "reason": error.user_message})
    else:
        log.error(event, exc_info=error)
