"""The sender: takes deliveries, keeps their leases, takes back what lost senders held, stops in order."""

from __future__ import annotations

import asyncio
import logging
import time
from datetime import timedelta

from prometheus_client import Counter, Histogram

from bridge.deliveries import Deliveries, Delivery
from bridge.errors import StoreUnavailable
from bridge.ids import DeliveryId
from bridge.logs import bound
from bridge.ports import Chat
from bridge.sender.acts import Acts, RootCard
from bridge.store.engine import Store

log = logging.getLogger(__name__)

CONCURRENCY = 8
LEASE_S = 15.0
"""Extended while a call lasts; what a killed process held is taken over after this long."""
POLL_S = 1.0
STOP_GRACE_S = 20.0

SENT = Counter("bridge_deliveries_total", "Deliveries by outcome", ["act", "outcome"])
SECONDS = Histogram("bridge_delivery_seconds", "How long a call to Slack took", ["act"])


class Sender:
    """Sends until it is stopped. Several may run, in this process or others."""

    def __init__(
        self,
        store: Store,
        deliveries: Deliveries,
        chat: Chat,
        *,
        worker: str,
        root_card: RootCard,
        scale: float = 1.0,
        alone: bool = False,
        lease_s: float = LEASE_S,
        grace_s: float = STOP_GRACE_S,
    ) -> None:
        """`alone` says that no other process sends from this database: what others held is lost for sure."""
        self._store = store
        self._deliveries = deliveries
        self._acts = Acts(store, deliveries, chat, root_card=root_card, scale=scale)
        self._worker = worker
        self._alone = alone
        self._lease = timedelta(seconds=lease_s)
        self._grace_s = grace_s
        self._running: dict[asyncio.Task[None], Delivery] = {}
        self._held_until: dict[DeliveryId, float] = {}
        self._stopping = False
        self.woken = asyncio.Event()

    async def run(self) -> None:
        """Send until `stop`; returns when what was under way is done or the grace time is over."""
        try:
            await self._deliveries.rescue(alone=self._worker if self._alone else None)
        except StoreUnavailable as error:
            log.warning("sender.recover_failed", extra={"error": str(error)})
        async with asyncio.TaskGroup() as tasks:
            beat = tasks.create_task(self._beat(), name="sender-beat")
            while not self._stopping:
                await self._round(tasks)
            if self._running:
                await asyncio.wait(self._running, timeout=self._grace_s)
            for task in [beat, *self._running]:
                task.cancel()

    def stop(self) -> None:
        """Claim no more."""
        self._stopping = True
        self.woken.set()

    async def run_until_idle(self) -> None:
        """Send everything that may go now and return; for tests and one-off commands."""
        while claimed := await self._claim():
            await asyncio.gather(*(self._send(one) for one in claimed))

    async def _round(self, tasks: asyncio.TaskGroup) -> None:
        self.woken.clear()
        claimed: list[Delivery] = []
        try:
            claimed = await self._claim()
        except StoreUnavailable as error:
            log.warning("sender.claim_failed", extra={"error": str(error), "reason": error.user_message})
        except Exception:  # the sender outlives whatever one round meets
            log.exception("sender.claim_broke")
        for one in claimed:
            task = tasks.create_task(self._send(one), name=f"delivery-{one.id}")
            self._running[task] = one
            task.add_done_callback(self._finished)
        if not claimed:
            await self._wait()

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._running.pop(task, None)
        self.woken.set()

    async def _claim(self) -> list[Delivery]:
        free = CONCURRENCY - len(self._running)
        if free <= 0 or self._stopping:
            return []
        asked = time.monotonic()
        claimed = await self._deliveries.claim(self._worker, limit=free, lease=self._lease)
        for one in claimed:
            self._held_until[one.id] = asked + self._lease.total_seconds()
        return claimed

    async def _wait(self) -> None:
        pause = POLL_S
        try:
            due = await self._deliveries.next_due()
            if due is not None:
                now = await self._store.read(self._store.now)
                pause = min(pause, max(0.0, (due - now).total_seconds()))
        except StoreUnavailable as error:
            log.warning("sender.look_failed", extra={"error": str(error)})
        try:
            await asyncio.wait_for(self.woken.wait(), timeout=max(pause, 0.002))
        except TimeoutError:
            pass  # time to look again

    async def _beat(self) -> None:
        """Keep our leases, take back lost ones."""
        while True:
            await asyncio.sleep(self._lease.total_seconds() / 4)
            try:
                await self._keep()
                if await self._deliveries.rescue():
                    self.woken.set()
            except StoreUnavailable as error:
                log.warning("sender.beat_failed", extra={"error": str(error)})

    async def _keep(self) -> None:
        running = list(self._running.values())
        asked = time.monotonic()
        # What has run out is not ours to keep: somebody else may be about to look after it.
        held = [one for one in running if self._is_ours(one)]
        await self._deliveries.keep(held, self._lease)
        for one in held:
            if one.id in self._held_until:
                self._held_until[one.id] = asked + self._lease.total_seconds()

    def _is_ours(self, one: Delivery) -> bool:
        return time.monotonic() < self._held_until.get(one.id, 0.0)

    async def _send(self, one: Delivery) -> None:
        started = time.monotonic()
        with bound(delivery=one.id, team=one.team, channel=one.channel):
            try:
                outcome = await self._acts.attempt(one, lambda: self._is_ours(one))
            except StoreUnavailable as error:
                outcome = "store_unavailable"  # in doubt by its row; the lease runs out, somebody looks
                log.warning("delivery.not_recorded", extra={"error": str(error)})
            except Exception:  # the row is left to whoever takes over its lease
                outcome = "broke"
                log.exception("delivery.not_recorded")
            finally:
                self._held_until.pop(one.id, None)
            took = time.monotonic() - started
            SENT.labels(one.act, outcome).inc()
            SECONDS.labels(one.act).observe(took)
            log.info(
                "delivery.attempted",
                extra={"act": one.act, "kind": one.kind, "outcome": outcome, "ms": round(took * 1000)},
            )
