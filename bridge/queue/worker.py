"""The worker: claims jobs, runs their handlers, and is the one place that catches broadly.

It keeps the leases of what it runs, takes back what lost workers held, and on stopping takes no more,
finishes what runs within a grace time and hands the rest back by letting the leases run out.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import secrets
import socket
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from prometheus_client import Counter, Histogram
from sqlalchemy import Connection, delete
from sqlalchemy.dialects import postgresql, sqlite

from bridge.errors import BridgeError, PermanentError, StoreUnavailable
from bridge.logs import bound
from bridge.queue.jobs import CHANNEL, Job, Jobs
from bridge.queue.retry import Discard, after_failure
from bridge.store.engine import Store
from bridge.store.tables import workers

log = logging.getLogger(__name__)

CONCURRENCY = 16
LEASE_S = 15.0
POLL_S = 1.0
STOP_GRACE_S = 20.0

Handler = Callable[[Any, Job], Awaitable[None]]
"""Does one job; called with the event and the job. Raises `bridge.errors` to say what comes next."""

Farewell = Callable[[Any, str], Awaitable[None]]
"""Told when a job became a dead letter: the event and the reason, a sentence for people."""

ATTEMPTS = Counter("bridge_job_attempts_total", "Attempts of jobs", ["kind", "outcome"])
SECONDS = Histogram(
    "bridge_job_seconds", "How long an attempt took", ["kind"], buckets=(0.01, 0.05, 0.25, 1, 5, 15, 60)
)
WAITED = Histogram(
    "bridge_job_wait_seconds",
    "From putting a job to the start of its first attempt",
    ["kind"],
    buckets=(0.01, 0.05, 0.25, 1, 5, 30, 300, 3600),
)


def worker_id() -> str:
    """Return a name that no other worker has."""
    return f"{socket.gethostname()[:32]}:{os.getpid()}:{secrets.token_hex(4)}"


@dataclass(frozen=True, slots=True)
class Handlers:
    """What does which kind of job. `coalesced` kinds also get the later jobs of their lane."""

    by_kind: Mapping[str, Handler]
    coalesced: frozenset[str] = frozenset()
    farewells: Mapping[str, Farewell] = field(default_factory=dict)


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
    ) -> None:
        self.id = id_ or worker_id()
        self._store = store
        self._jobs = jobs
        self._handlers = handlers
        self._scale = scale
        self._lease = timedelta(seconds=lease_s)
        self._concurrency = concurrency
        self._alone = alone
        self._running: dict[asyncio.Task[None], Job] = {}
        self._stopping = False
        self.last_beat = time.monotonic()

    @property
    def lease(self) -> timedelta:
        """How long a job stays ours without a sign of life."""
        return self._lease

    async def run(self) -> None:
        """Run until `stop`; returns when what was running has finished or the grace time is over."""
        try:
            await self._recover()
        except StoreUnavailable as error:
            log.warning("worker.recover_failed", extra={"error": str(error)})
        async with asyncio.TaskGroup() as tasks:
            side = [
                tasks.create_task(self._beat(), name="worker-beat"),
                tasks.create_task(self._listen(), name="worker-listen"),
            ]
            while not self._stopping:
                await self._round(tasks)
            if self._running:
                await asyncio.wait(self._running, timeout=STOP_GRACE_S)
            for task in [*side, *self._running]:
                task.cancel()

    def stop(self) -> None:
        """Take no more jobs; `run` returns once the running ones are done."""
        self._stopping = True
        self._jobs.woken.set()

    async def run_until_idle(self) -> None:
        """Run everything that is due now and return; for tests and one-off commands."""
        while claimed := await self._claim():
            await asyncio.gather(*(self._attempt(job) for job in claimed))

    async def _round(self, tasks: asyncio.TaskGroup) -> None:
        self._jobs.woken.clear()
        claimed: list[Job] = []
        try:
            claimed = await self._claim()
        except StoreUnavailable as error:
            log.warning("worker.claim_failed", extra={"error": str(error), "reason": error.user_message})
        for job in claimed:
            task = tasks.create_task(self._attempt(job), name=f"job-{job.id}")
            self._running[task] = job
            task.add_done_callback(self._finished)
        if not claimed:
            await self._wait()

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._running.pop(task, None)
        self._jobs.woken.set()

    async def _claim(self) -> list[Job]:
        free = self._concurrency - len(self._running)
        if free <= 0:
            return []
        return await self._jobs.claim(
            self.id, limit=free, lease=self._lease, coalesced=self._handlers.coalesced
        )

    async def _wait(self) -> None:
        """Until woken, until the next job is due, or for the polling time that is the safety net."""
        pause = POLL_S
        try:
            due = await self._jobs.next_due()
            if due is not None:
                now = await self._store.read(self._store.now)
                pause = min(pause, max(0.0, (due - now).total_seconds()))
        except StoreUnavailable as error:
            log.warning("worker.look_failed", extra={"error": str(error)})
        try:
            await asyncio.wait_for(self._jobs.woken.wait(), timeout=max(pause, 0.002))
        except TimeoutError:
            pass  # time to look again

    async def _attempt(self, job: Job) -> None:
        started = time.monotonic()
        event = job.event
        if job.attempt == 1:
            WAITED.labels(event.kind).observe(max(0.0, time.time() - job.created_at.timestamp()))
        with bound(job=job.id, lane=job.lane):
            outcome, reason = await self._run(job)
            took = time.monotonic() - started
            SECONDS.labels(event.kind).observe(took)
            ATTEMPTS.labels(event.kind, outcome).inc()
            log.info(
                "job.attempted",
                extra={
                    "kind": event.kind,
                    "attempt": job.attempt,
                    "outcome": outcome,
                    "reason": reason,
                    "ms": round(took * 1000),
                },
            )

    async def _run(self, job: Job) -> tuple[str, str]:
        try:
            await self._handle(job)
            held = await self._jobs.complete(job)
        except StoreUnavailable as error:
            # Nothing can be recorded now; the lease runs out and the job is looked at again.
            return "store_unavailable", error.user_message
        except Exception as error:  # noqa: BLE001 - the one place that catches broadly
            return await self._failed(job, error)
        return ("completed", "") if held else ("lease_lost", "")

    async def _handle(self, job: Job) -> None:
        handler = self._handlers.by_kind.get(job.event.kind)
        if handler is None:
            raise PermanentError("no_handler", user_message=f"Nothing handles {job.event.kind}.")
        await handler(job.event, job)

    async def _failed(self, job: Job, error: Exception) -> tuple[str, str]:
        reason = f"{error.code}: {error.user_message}" if isinstance(error, BridgeError) else repr(error)
        if not isinstance(error, BridgeError):
            log.error("job.broke", exc_info=error)
        try:
            now = await self._store.read(self._store.now)
            verdict = after_failure(
                error,
                attempt=job.attempt,
                max_attempts=job.max_attempts,
                now=now,
                jitter=random.Random(),
                scale=self._scale,
            )
            if isinstance(verdict, Discard):
                await self._say_farewell(job, error)
            held = await self._jobs.fail(job, verdict, reason)
        except StoreUnavailable as trouble:
            return "store_unavailable", trouble.user_message
        return (type(verdict).__name__.lower(), reason) if held else ("lease_lost", reason)

    async def _say_farewell(self, job: Job, error: Exception) -> None:
        farewell = self._handlers.farewells.get(job.event.kind)
        if farewell is None:
            return
        sentence = error.user_message if isinstance(error, BridgeError) else "Something broke on our side."
        try:
            await farewell(job.event, sentence)
        except StoreUnavailable:
            raise
        except Exception:
            log.exception("job.farewell_broke")

    # --- side tasks ----------------------------------------------------------------------------------

    async def _recover(self) -> None:
        """On SQLite a process is alone with its file: what "runs" for others is lost, take it at once."""
        if self._alone:
            await self._jobs.rescue(of_other_processes=self.id)

    async def _beat(self) -> None:
        """Keep our leases, take back lost ones, show that we live."""
        pause_s = self._lease.total_seconds() / 4
        while True:
            try:
                await self._jobs.keep(list(self._running.values()), self._lease)
                if await self._jobs.rescue():
                    self._jobs.woken.set()
                await self._store.write(self._sign_of_life)
                self.last_beat = time.monotonic()
            except StoreUnavailable as error:
                log.warning("worker.beat_failed", extra={"error": str(error), "reason": error.user_message})
            await asyncio.sleep(pause_s)

    def _sign_of_life(self, conn: Connection) -> None:
        now = self._store.now(conn)
        dialect = sqlite if conn.dialect.name == "sqlite" else postgresql
        statement = dialect.insert(workers).values(id=self.id, started_at=now, seen_at=now)
        conn.execute(statement.on_conflict_do_update(index_elements=[workers.c.id], set_={"seen_at": now}))
        conn.execute(delete(workers).where(workers.c.seen_at < now - timedelta(days=1)))

    async def _listen(self) -> None:
        """Wake on PostgreSQL's notifications, over a connection of its own; polling goes on regardless."""
        if self._store.is_sqlite:
            return
        while True:
            try:
                async with self._store.raw() as connection:
                    lost = asyncio.Event()
                    connection.add_termination_listener(lambda *_: lost.set())
                    await connection.add_listener(CHANNEL, lambda *_: self._jobs.woken.set())
                    await lost.wait()
            except (StoreUnavailable, OSError) as error:
                log.warning("worker.listen_failed", extra={"error": repr(error)})
            await asyncio.sleep(POLL_S)
