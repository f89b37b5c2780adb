"""Recurring work: at set intervals a job is put, and that is all; a worker does the rest.

Every process has a schedule. The job carries the period that it is for as its unique key, so each period gets
one job, however many processes there are.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Self

from apscheduler.schedulers.asyncio import AsyncIOScheduler

from bridge.errors import StoreUnavailable
from bridge.events import (
    CleanUp,
    Event,
    LookForDelays,
    ReadBackAll,
    RemindOfAlerts,
    RenewTokens,
    SweepAll,
    TellOfOutages,
    WatchWebhooks,
)
from bridge.model import Clock
from bridge.ports import Inbox
from bridge.store.engine import utc_now

log = logging.getLogger(__name__)

LONGEST_TICK = timedelta(hours=1)
"""A period that could not be served (the database was away) is tried again no later than this."""

SHORTEST_PERIOD = timedelta(milliseconds=200)
"""However much the time is scaled, so that a test does not do nothing but this."""


@dataclass(frozen=True, slots=True)
class Recurring:
    """Work of which each period gets one job."""

    event: Event
    period: timedelta

    def key(self, now: datetime, scale: float) -> str:
        """Return the unique key of the period that `now` lies in: kind and the period's start."""
        length = self.scaled(scale).total_seconds()
        start = datetime.fromtimestamp(now.timestamp() // length * length, UTC)
        return f"{self.event.kind}:{start.isoformat(timespec='milliseconds').removesuffix('+00:00')}"

    def scaled(self, scale: float) -> timedelta:
        """Return the period's length on a clock that runs `scale` times as fast."""
        return max(self.period / scale, SHORTEST_PERIOD)


RECURRING: tuple[Recurring, ...] = (
    Recurring(RenewTokens(), timedelta(minutes=1)),
    Recurring(SweepAll(), timedelta(minutes=5)),
    Recurring(LookForDelays(), timedelta(seconds=15)),
    Recurring(WatchWebhooks(), timedelta(minutes=10)),
    Recurring(TellOfOutages(), timedelta(minutes=1)),
    Recurring(ReadBackAll(is_routine=True), timedelta(minutes=30)),
    Recurring(RemindOfAlerts(), timedelta(hours=1)),
    Recurring(CleanUp(), timedelta(days=1)),
)


class Schedule:
    """Puts the jobs of `recurring` while it is open, the first of each at once."""

    def __init__(
        self,
        inbox: Inbox,
        *,
        scale: float = 1.0,
        now: Clock = utc_now,
        recurring: Sequence[Recurring] = RECURRING,
    ) -> None:
        self._inbox = inbox
        self._scale = scale
        self._now = now
        self._scheduler = AsyncIOScheduler(timezone=UTC)
        self._ticks: set[asyncio.Task[None]] = set()
        for work in recurring:
            self._scheduler.add_job(
                self._tick,
                "interval",
                args=[work],
                id=work.event.kind,
                seconds=min(work.scaled(scale), LONGEST_TICK).total_seconds(),
                next_run_time=datetime.now(UTC),
                misfire_grace_time=None,  # late is better than never
                coalesce=True,
                max_instances=2,  # a put that hangs must not skip the next
            )

    async def __aenter__(self) -> Self:
        self._scheduler.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._scheduler.pause()
        await asyncio.gather(*self._ticks, return_exceptions=True)
        self._scheduler.shutdown(wait=False)
        await asyncio.sleep(0)  # the scheduler stops in the loop's next round

    @property
    def is_running(self) -> bool:
        """Whether further jobs will be put."""
        return bool(self._scheduler.running)

    async def _tick(self, work: Recurring) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._ticks.add(task)
        try:
            await self._inbox.put(work.event, unique_key=work.key(self._now(), self._scale))
        except StoreUnavailable as trouble:
            log.warning("schedule.not_put", extra={"kind": work.event.kind, "reason": trouble.user_message})
        finally:
            self._ticks.discard(task)
