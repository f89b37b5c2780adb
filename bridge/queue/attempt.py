"""One attempt of one job: its handler runs, and what became of it is recorded.

The one place that catches broadly. A database that is away stops nobody: what happened is recorded when it
answers again, if the job is still ours by then.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar

from prometheus_client import Counter, Histogram

from bridge.errors import BridgeError, PermanentError, StoreUnavailable
from bridge.logs import bound
from bridge.queue.jobs import Job, Jobs
from bridge.queue.retry import Discard, after_failure, reason_of
from bridge.store.engine import Store

T = TypeVar("T")

log = logging.getLogger(__name__)

MAX_LOST = 20
"""Workers that may be lost over one job before it is taken for the reason."""
RECORD_AGAIN_S = 0.5
POSTPONED = timedelta(seconds=1)

Handler = Callable[[Any, Job], Awaitable[None]]
"""Does one job; called with the event and the job. Raises `bridge.errors` to say what comes next."""

Farewell = Callable[[Any, str], Awaitable[None]]
"""Told when a job is about to become a dead letter: the event and the reason, a sentence for people."""

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


@dataclass(frozen=True, slots=True)
class Handlers:
    """What does which kind of job. `coalesced` kinds also get the later jobs of their lane."""

    by_kind: Mapping[str, Handler]
    coalesced: frozenset[str] = frozenset()
    farewells: Mapping[str, Farewell] = field(default_factory=dict)


class Attempts:
    """Makes attempts. `handling` holds the tasks in which a handler runs just now."""

    def __init__(
        self, store: Store, jobs: Jobs, handlers: Handlers, *, lease: timedelta, scale: float
    ) -> None:
        self._store = store
        self._jobs = jobs
        self._handlers = handlers
        self._lease = lease
        self._scale = scale
        self._jitter = random.Random()
        self.handling: set[asyncio.Task[Any]] = set()

    async def make(self, job: Job) -> None:
        """Do the job and record what became of it; raises nothing but a cancellation from outside."""
        started = time.monotonic()
        kind = job.event.kind
        if job.attempt == 1:
            WAITED.labels(kind).observe(max(0.0, time.time() - job.created_at.timestamp()))
        with bound(job=job.id, lane=job.lane):
            outcome, reason = await self._outcome(job)
            took = time.monotonic() - started
            SECONDS.labels(kind).observe(took)
            ATTEMPTS.labels(kind, outcome).inc()
            log.info(
                "job.attempted",
                extra={
                    "kind": kind,
                    "attempt": job.attempt,
                    "outcome": outcome,
                    "reason": reason,
                    "ms": round(took * 1000),
                },
            )

    async def _outcome(self, job: Job) -> tuple[str, str]:
        try:
            await self._handle(job)
        except StoreUnavailable as error:
            # The database refused the handler: as if never claimed, as soon as that can be written.
            await self._recorded(lambda: self._jobs.hand_back([job], delay=POSTPONED))
            return "store_unavailable", error.user_message
        except Exception as error:  # noqa: BLE001 - the one place that catches broadly
            return await self._failed(job, error)
        held = await self._recorded(lambda: self._jobs.complete(job))
        return ("completed", "") if held else ("lease_lost", "")

    async def _handle(self, job: Job) -> None:
        handler = self._handlers.by_kind.get(job.event.kind)
        if handler is None:
            raise PermanentError("no_handler", user_message=f"Nothing handles {job.event.kind}.")
        if job.lost >= MAX_LOST:
            raise PermanentError(
                "worker_lost", user_message=f"The bridge stopped {job.lost} times while it worked on this."
            )
        task = asyncio.current_task()
        assert task is not None
        self.handling.add(task)
        try:
            await handler(job.event, job)
        except asyncio.CancelledError as error:
            if task.cancelling():
                raise
            # Something that the handler waited for was cancelled, not the handler.
            raise BridgeError("cancelled_inside") from error
        finally:
            self.handling.discard(task)

    async def _failed(self, job: Job, error: Exception) -> tuple[str, str]:
        if not isinstance(error, BridgeError):
            log.error("job.broke", exc_info=error)
        reason = reason_of(error)

        async def record() -> tuple[bool, str]:
            verdict = after_failure(
                error,
                attempt=job.attempt,
                max_attempts=job.max_attempts,
                now=await self._store.read(self._store.now),
                jitter=self._jitter,
                scale=self._scale,
            )
            if isinstance(verdict, Discard) and not await self._said_farewell(job, error):
                return False, ""
            return await self._jobs.fail(job, verdict, reason), type(verdict).__name__.lower()

        held, outcome = await self._recorded(record) or (False, "")
        return (outcome, reason) if held else ("lease_lost", reason)

    async def _said_farewell(self, job: Job, error: Exception) -> bool:
        """Tell people, before it is recorded: a crash between the two must not keep it from them.

        False if the job is not ours any more: somebody else may yet succeed.
        """
        if not await self._jobs.keep([job], self._lease):
            return False
        farewell = self._handlers.farewells.get(job.event.kind)
        if farewell is None:
            return True
        sentence = error.user_message if isinstance(error, BridgeError) else "Something broke on our side."
        try:
            await farewell(job.event, sentence)
        except StoreUnavailable:
            raise
        except Exception:
            log.exception("job.farewell_broke")
        return True

    async def _recorded(self, record: Callable[[], Awaitable[T]]) -> T | None:
        """Return what `record` returns, tried again while the database is away; None if it cannot be done."""
        while True:
            try:
                return await record()
            except StoreUnavailable as error:
                log.warning("job.not_recorded", extra={"error": str(error), "reason": error.user_message})
            except Exception:
                # Whatever became of the row, its lease runs out and it is looked at again.
                log.exception("job.record_broke")
                return None
            await asyncio.sleep(RECORD_AGAIN_S)
