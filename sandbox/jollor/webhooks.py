"""Webhook calls: verification, deliveries, repetition for a day, disabling."""

import asyncio
import json
import time
from collections import defaultdict
from collections.abc import Coroutine
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from itertools import chain, repeat

import aiohttp
from pydantic import JsonValue
from yarl import URL

from sandbox.clock import SandboxClock
from sandbox.faults import ABANDONING_KINDS, Call, Faults
from sandbox.jollor.model import Event, Webhook
from sandbox.jollor.shapes import Shapes
from sandbox.jollor.store import Store
from sandbox.jollor.switches import PayloadForm
from sandbox.wire import Direction, End, Wire

LEAST_ABANDONED_S = 0.05  # real seconds: enough to have sent the whole call before hanging up
SHOWN_BODY_BYTES = 4096


class DeliveryState(StrEnum):
    """What became of a delivery."""

    UNDER_WAY = "under way"
    DELIVERED = "delivered"
    GIVEN_UP = "given up"  # and the webhook disabled
    ABANDONED = "abandoned"  # the webhook was deleted or stopped being active meanwhile


@dataclass(frozen=True)
class Attempt:
    """One call. `status` None means that there was no answer; `problem` None that it counted as success."""

    at: datetime
    status: int | None
    problem: str | None


@dataclass
class Delivery:
    """One body on its way to the callback address, with every attempt."""

    project_id: str
    events: tuple[Event, ...]
    body: JsonValue
    state: DeliveryState = DeliveryState.UNDER_WAY
    attempts: list[Attempt] = field(default_factory=list)


@dataclass
class Announcement:
    """An event that happened. `withheld` says why the webhook does not tell it, None if it does.

    `attempted` is set after the first attempt of its first copy, or at once if there is none.
    """

    event: Event
    withheld: str | None = None
    attempted: asyncio.Event = field(default_factory=asyncio.Event)


class Webhooks:
    """Calls the projects' webhooks. Deliveries run beside each other, in no promised order."""

    def __init__(
        self, store: Store, shapes: Shapes, *, clock: SandboxClock, wire: Wire, faults: Faults
    ) -> None:
        self._store = store
        self._shapes = shapes
        self._clock = clock
        self._wire = wire
        self._faults = faults
        self._session: aiohttp.ClientSession | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()
        self._lines: dict[tuple[str, int], asyncio.Semaphore] = {}
        self._batches: defaultdict[str, list[Announcement]] = defaultdict(list)
        self.announcements: list[Announcement] = []
        self.deliveries: list[Delivery] = []

    async def start(self) -> None:
        # no jar, no proxy from the environment: calls go straight to the address that was set
        self._session = aiohttp.ClientSession(
            cookie_jar=aiohttp.DummyCookieJar(), connector=aiohttp.TCPConnector(limit=0), trust_env=False
        )

    async def stop(self) -> None:
        """Stop calling. What was under way stays so."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    # ---- events

    def announce(self, event: Event) -> Announcement:
        """Tell the project's webhook of `event` if it is active and subscribed to the type."""
        announcement = Announcement(event, withheld=self._withheld(event))
        self.announcements.append(announcement)
        if announcement.withheld is not None:
            announcement.attempted.set()
            return announcement
        plan = self._faults.plan(_call(event))
        if not plan.delays_s:
            announcement.withheld = f"fault: {plan.fault}"
            announcement.attempted.set()
        for delay_s in plan.delays_s:
            self._own(self._send_after(delay_s, announcement))
        return announcement

    async def verify(self, callback_url: str, secret: str) -> str | None:
        """Why the address does not pass the verification call, None if it does."""
        attempt = await self._request("GET", callback_url, secret, "verifyWebhookEndpoint", None)
        if attempt.problem is None or not attempt.problem.startswith("body"):
            return attempt.problem
        return attempt.problem if self._store.switches.check_verification_body else None

    async def test(self, webhook: Webhook, event: Event) -> Delivery:
        """Call the webhook once for `event`, whatever its status and subscriptions."""
        delivery = self._delivery([event])
        problem = await self._attempt(webhook, delivery)
        delivery.state = DeliveryState.DELIVERED if problem is None else DeliveryState.GIVEN_UP
        return delivery

    def retry_now(self) -> None:
        """Make every delivery that waits for its next attempt try at once."""
        self._wake.set()
        self._wake = asyncio.Event()

    def under_way(self) -> list[Delivery]:
        return [delivery for delivery in self.deliveries if delivery.state is DeliveryState.UNDER_WAY]

    # ---- inside

    def _withheld(self, event: Event) -> str | None:
        webhook = self._store.webhooks.get(event.project_id)
        if webhook is None:
            return "no webhook"
        if not webhook.is_active:
            return f"webhook is {webhook.status}"
        return None if webhook.subscriptions.get(event.type) else "not subscribed"

    async def _send_after(self, delay_s: float, announcement: Announcement) -> None:
        if delay_s > 0:
            await asyncio.sleep(delay_s)
        switches = self._store.switches
        if switches.batch_window_s <= 0 or switches.payload_form is PayloadForm.FLAT:
            await self._deliver([announcement])
            return
        batch = self._batches[announcement.event.project_id]
        batch.append(announcement)
        if len(batch) == 1:
            await self._clock.sleep(switches.batch_window_s)
            await self._deliver(self._batches.pop(announcement.event.project_id))

    async def _deliver(self, announcements: list[Announcement]) -> None:
        delivery = self._delivery([announcement.event for announcement in announcements])
        started = time.monotonic()
        switches = self._store.switches
        for interval_s in chain(switches.retry_intervals_s, repeat(switches.retry_intervals_s[-1])):
            webhook = self._store.webhooks.get(delivery.project_id)
            if webhook is None or not webhook.is_active:
                delivery.state = DeliveryState.ABANDONED
                break
            async with self._line(delivery.project_id):
                problem = await self._attempt(webhook, delivery)
            for announcement in announcements:
                announcement.attempted.set()
            if problem is None:
                delivery.state = DeliveryState.DELIVERED
                return
            left_s = switches.give_up_after_s - (time.monotonic() - started) * self._clock.scale
            if left_s <= 0:
                delivery.state = DeliveryState.GIVEN_UP
                webhook.status = switches.disabled_status
                return
            await self._pause(min(interval_s, left_s))
        for announcement in announcements:
            announcement.attempted.set()

    async def _attempt(self, webhook: Webhook, delivery: Delivery) -> str | None:
        assert webhook.callback_url is not None, "only webhooks with an address are called"
        operation = ",".join(dict.fromkeys(event.type for event in delivery.events))
        abandoned_after_s = self._abandoned_after_s(delivery.events)
        attempt = await self._request(
            "POST",
            webhook.callback_url,
            webhook.verify_token,
            operation,
            delivery.body,
            abandoned_after_s=abandoned_after_s,
        )
        problem = attempt.problem
        if (
            problem is not None
            and problem.startswith("body")
            and not self._store.switches.check_delivery_body
        ):
            problem = None
        delivery.attempts.append(Attempt(attempt.at, attempt.status, problem))
        return problem

    def _abandoned_after_s(self, events: tuple[Event, ...]) -> float | None:
        rule = self._faults.take(_call(events[0]), ABANDONING_KINDS)
        return None if rule is None else max(self._clock.seconds(rule.fault.seconds), LEAST_ABANDONED_S)

    async def _request(
        self,
        method: str,
        callback_url: str,
        secret: str,
        operation: str,
        body: JsonValue | None,
        *,
        abandoned_after_s: float | None = None,
    ) -> Attempt:
        """Call the address with the secret. A problem with the answer's text alone begins with `body`."""
        assert self._session is not None, "start() comes first"
        url = URL(callback_url).extend_query(challenge=secret)
        data = None if body is None else json.dumps(body)
        number = self._wire.begin(End.JOLLOR, Direction.OUT, method, str(url), operation, request=data or "")
        at = self._clock.now()
        status, shown, problem = None, "", None
        fault = None if abandoned_after_s is None else "abandon"
        timeout_s = abandoned_after_s if abandoned_after_s is not None else self._timeout_s()
        try:
            async with asyncio.timeout(timeout_s):
                async with self._session.request(
                    method,
                    url,
                    data=data,
                    headers={"Content-Type": "application/json"} if data is not None else {},
                    allow_redirects=False,
                ) as response:
                    answered = await response.content.read(SHOWN_BODY_BYTES)
                    status, shown = response.status, answered.decode("utf-8", errors="replace")
            if status != 200:
                problem = f"status {status}"
            elif shown.strip() != secret:
                problem = "body is not the shared secret"
        except TimeoutError:
            problem = "no answer in time" if abandoned_after_s is None else "hung up (fault)"
        except aiohttp.ClientError as error:
            problem = type(error).__name__
        finally:
            self._wire.finish(number, status=status, response=shown.replace(secret, "•••"), fault=fault)
        return Attempt(at, status, problem)

    def _timeout_s(self) -> float:
        switches = self._store.switches
        return max(self._clock.seconds(switches.delivery_timeout_s), switches.least_timeout_s)

    async def _pause(self, simulated_s: float) -> None:
        wake = self._wake
        try:
            async with asyncio.timeout(self._clock.seconds(simulated_s)):
                await wake.wait()
        except TimeoutError:
            pass  # the ordinary way: nobody hurried it

    def _delivery(self, events: list[Event]) -> Delivery:
        project_id = events[0].project_id
        body = self._shapes.delivery(project_id, events, self._store.switches.payload_form)
        delivery = Delivery(project_id, tuple(events), body)
        self.deliveries.append(delivery)
        return delivery

    def _line(self, project_id: str) -> asyncio.Semaphore:
        key = (project_id, self._store.switches.parallel_deliveries)
        return self._lines.setdefault(key, asyncio.Semaphore(key[1]))

    def _own(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _call(event: Event) -> Call:
    facts = {
        "project": event.project_id,
        "conversation": event.conversation_id,
        "message": event.message_id,
        "post": event.post_id,
        "dialogue": event.dialogue_id,
    }
    return Call(
        End.JOLLOR,
        event.type,
        direction=Direction.OUT,
        facts={name: value for name, value in facts.items() if value is not None},
    )
