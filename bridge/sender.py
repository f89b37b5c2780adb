"""Sends deliveries: claims rows as their buckets open, calls Slack, records what became of each.

A delivery in doubt is looked up before it is posted again, always by the row's state. Where reading back is
not possible it is posted once more, marked as a possible repeat.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

from prometheus_client import Counter, Histogram
from sqlalchemy import Connection

from bridge.content import Content
from bridge.deliveries import Act, Deliveries, Delivery
from bridge.errors import (
    BridgeError,
    CannotTell,
    PermanentError,
    RootGone,
    Snooze,
    StoreUnavailable,
    TargetDown,
    UnconfirmedError,
)
from bridge.ids import MessageTs
from bridge.logs import bound
from bridge.mapping import replace_root
from bridge.ports import Chat, Outgoing, Posted
from bridge.queue.retry import backoff_s
from bridge.store.engine import Store

log = logging.getLogger(__name__)

CONCURRENCY = 8
LEASE_S = 60.0
POLL_S = 1.0
MAX_ATTEMPTS = 8
FIRST_LOOK = timedelta(seconds=3)
"""After a doubt: time for a post that Slack took late to become visible."""
LOOK_UNTIL = timedelta(seconds=30)
"""Looked up again until this long after the attempt, then taken as not posted."""
CLOCK_TOLERANCE = timedelta(minutes=2)
STOP_GRACE_S = 20.0

SENT = Counter("bridge_deliveries_total", "Deliveries by outcome", ["act", "outcome"])
SECONDS = Histogram("bridge_delivery_seconds", "How long a call to Slack took", ["act"])

RootCard = Callable[[Connection, Delivery], Content]
"""Returns the card for a thread whose root was deleted."""


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
    ) -> None:
        self._store = store
        self._deliveries = deliveries
        self._chat = chat
        self._worker = worker
        self._root_card = root_card
        self._scale = scale
        self._alone = alone
        self._lease = timedelta(seconds=lease_s)
        self._running: set[asyncio.Task[None]] = set()
        self._stopping = False
        self._jitter = random.Random()
        self.woken = asyncio.Event()

    async def run(self) -> None:
        """Send until `stop`; returns when what was under way is done or the grace time is over."""
        try:
            await self._deliveries.rescue(alone=self._worker if self._alone else None)
        except StoreUnavailable as error:
            log.warning("sender.recover_failed", extra={"error": str(error)})
        async with asyncio.TaskGroup() as tasks:
            rescuer = tasks.create_task(self._rescue(), name="sender-rescue")
            while not self._stopping:
                await self._round(tasks)
            if self._running:
                await asyncio.wait(self._running, timeout=STOP_GRACE_S)
            for task in [rescuer, *self._running]:
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
        for one in claimed:
            task = tasks.create_task(self._send(one), name=f"delivery-{one.id}")
            self._running.add(task)
            task.add_done_callback(self._finished)
        if not claimed:
            await self._wait()

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self.woken.set()

    async def _claim(self) -> list[Delivery]:
        free = CONCURRENCY - len(self._running)
        if free <= 0:
            return []
        return await self._deliveries.claim(self._worker, limit=free, lease=self._lease)

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

    async def _rescue(self) -> None:
        while True:
            await asyncio.sleep(self._lease.total_seconds() / 4)
            try:
                if await self._deliveries.rescue():
                    self.woken.set()
            except StoreUnavailable as error:
                log.warning("sender.rescue_failed", extra={"error": str(error)})

    # --- one delivery --------------------------------------------------------------------------------

    async def _send(self, one: Delivery) -> None:
        started = time.monotonic()
        with bound(delivery=one.id, team=one.team, channel=one.channel):
            try:
                outcome = await self._attempt(one)
            except StoreUnavailable as error:
                outcome = "store_unavailable"  # in doubt by its row; the lease runs out, somebody looks
                log.warning("delivery.not_recorded", extra={"error": str(error)})
            took = time.monotonic() - started
            SENT.labels(one.act, outcome).inc()
            SECONDS.labels(one.act).observe(took)
            log.info(
                "delivery.attempted",
                extra={"act": one.act, "kind": one.kind, "outcome": outcome, "ms": round(took * 1000)},
            )

    async def _attempt(self, one: Delivery) -> str:
        try:
            return await self._call(one)
        except Snooze as error:
            await self._deliveries.limited(one, error.delay)
            return "limited"
        except TargetDown as error:
            await self._deliveries.paused(one, error.target, error.user_message)
            return "paused"
        except RootGone:
            await self._deliveries.root_gone(one, lambda conn, now: self._remap(conn, now, one))
            return "root_gone"
        except PermanentError as error:
            await self._deliveries.refused(one, f"{error.code}: {error.user_message}")
            return "refused"
        except UnconfirmedError as error:
            await self._deliveries.uncertain(one, str(error), delay=FIRST_LOOK)
            return "uncertain"
        except StoreUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 - one broken row must not stop the others
            return await self._failed(one, error)

    async def _failed(self, one: Delivery, error: Exception) -> str:
        if not isinstance(error, BridgeError):
            log.error("delivery.broke", exc_info=error)
        if one.attempt >= MAX_ATTEMPTS:
            await self._deliveries.refused(one, repr(error))
            return "refused"
        pause = timedelta(seconds=backoff_s(one.attempt, self._jitter))
        await self._deliveries.again(one, repr(error), delay=pause)
        return "failed"

    async def _call(self, one: Delivery) -> str:
        acts: dict[Act, Callable[[Delivery], Awaitable[str]]] = {
            Act.POST: self._post,
            Act.UPDATE: self._update,
            Act.DELETE: self._delete,
            Act.ADD_MARK: self._add_mark,
            Act.REMOVE_MARK: self._remove_mark,
        }
        return await acts[one.act](one)

    async def _post(self, one: Delivery) -> str:
        outgoing = self._outgoing(one)
        if one.in_doubt:
            found, is_repeat = await self._find(one, outgoing)
            if found is not None:
                await self._deliveries.done(one, found.ts)
                return "found"
            if not is_repeat and self._may_still_appear(one):
                await self._deliveries.again(one, "not seen yet", delay=FIRST_LOOK * 3, is_attempt=False)
                return "not_seen"
            outgoing = self._outgoing(one, possible_repeat=is_repeat)
        posted = await self._chat.post(outgoing)
        if outgoing.thread_ts is not None and posted.thread_ts != outgoing.thread_ts:
            # The root was deleted: Slack put the reply into the channel, where nobody will understand it.
            await self._chat.delete(one.team, one.channel, posted.ts)
            raise RootGone("root_gone")
        await self._deliveries.done(one, posted.ts)
        return "done"

    async def _find(self, one: Delivery, outgoing: Outgoing) -> tuple[Posted | None, bool]:
        """Return where the post in doubt landed, and whether that could not be found out."""
        assert one.sent_at is not None
        try:
            return await self._chat.find(outgoing, since=one.sent_at - CLOCK_TOLERANCE), False
        except CannotTell as error:
            log.warning("delivery.cannot_tell", extra={"reason": str(error)})
            return None, True

    def _may_still_appear(self, one: Delivery) -> bool:
        assert one.sent_at is not None
        return datetime.now(UTC) - one.sent_at < LOOK_UNTIL / self._scale

    def _outgoing(self, one: Delivery, *, possible_repeat: bool = False) -> Outgoing:
        assert one.content is not None
        under: MessageTs | None = None if one.is_root or one.thread is None else one.root_ts
        if one.thread is not None and not one.is_root and under is None:
            raise BridgeError("no_root_yet", user_message="The thread's first message is not there yet.")
        return Outgoing(
            id=one.id,
            kind=one.kind,
            team=one.team,
            channel=one.channel,
            thread_ts=under,
            content=one.content,
            also_to_channel=one.also_to_channel,
            possible_repeat=possible_repeat,
        )

    def _remap(self, conn: Connection, now: datetime, one: Delivery) -> None:
        if one.thread is not None and one.root_ts is not None:
            replace_root(conn, now, one.thread, one.root_ts, self._root_card(conn, one))

    async def _update(self, one: Delivery) -> str:
        assert one.line_ts is not None
        assert one.content is not None
        outgoing = Outgoing(one.id, one.kind, one.team, one.channel, None, one.content)
        try:
            await self._chat.update(one.team, one.channel, one.line_ts, outgoing)
        except RootGone:
            # What was to be redrawn is deleted; a thread notices when it posts next.
            await self._deliveries.refused(one, "the message is gone")
            return "refused"
        except UnconfirmedError as error:
            # Drawing the same twice changes nothing.
            await self._deliveries.again(one, str(error), delay=timedelta(seconds=1))
            return "repeated"
        await self._deliveries.done(one, None)
        return "done"

    async def _delete(self, one: Delivery) -> str:
        assert one.line_ts is not None
        return await self._idempotent(one, self._chat.delete(one.team, one.channel, one.line_ts))

    async def _add_mark(self, one: Delivery) -> str:
        assert one.line_ts is not None
        assert one.mark is not None
        return await self._idempotent(one, self._chat.add_mark(one.team, one.channel, one.line_ts, one.mark))

    async def _remove_mark(self, one: Delivery) -> str:
        assert one.line_ts is not None
        assert one.mark is not None
        return await self._idempotent(
            one, self._chat.remove_mark(one.team, one.channel, one.line_ts, one.mark)
        )

    async def _idempotent(self, one: Delivery, call: Awaitable[None]) -> str:
        try:
            await call
        except UnconfirmedError as error:
            await self._deliveries.again(one, str(error), delay=timedelta(seconds=1))
            return "repeated"
        await self._deliveries.done(one, None)
        return "done"
