"""`/healthz`, `/readyz`, `/metrics`: whether this process lives, whether work gets done, and how much of it.

What all processes share is counted in the database when somebody asks; what one process counts by itself are
ordinary Prometheus metrics beside the code that they count.
"""

from __future__ import annotations

import asyncio
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import Column, ColumnElement, Connection, func, select, update
from sqlalchemy.engine import make_url

from bridge.deliveries import State
from bridge.errors import StoreUnavailable
from bridge.intents import IntentState
from bridge.mapping import insert_new
from bridge.queue.job import JobState
from bridge.store import pauses
from bridge.store.engine import Store
from bridge.store.tables import alerts, counters, deliveries, intents, jobs, workers
from bridge.webhooks import lost

WORKER_SILENT_S = 30.0
"""Workers give a sign of life every few seconds; after this they count as gone."""

PROBE_TAKES_S = 5.0
PROBE = "readiness_probes"
ALERT_KINDS = ("profile_expired", "jollor_away", "webhook_off", "webhook_elsewhere", "webhook_silent")


class Health:
    """Answers for the whole service on `store`. Add it to an application with `add_to`."""

    def __init__(self, store: Store, *, probe_takes_s: float = PROBE_TAKES_S) -> None:
        self._store = store
        self._probe_takes_s = probe_takes_s
        self._probe: asyncio.Task[str | None] | None = None

    def add_to(self, app: web.Application) -> None:
        """Add the three routes."""
        app.router.add_get("/healthz", self.alive)
        app.router.add_get("/readyz", self.ready)
        app.router.add_get("/metrics", self.metrics)
        app.on_cleanup.append(self._finish)

    async def alive(self, request: web.Request) -> web.Response:
        """200: the process answers."""
        return web.Response(text="alive\n")

    async def ready(self, request: web.Request) -> web.Response:
        """200 if events are stored and worked on, else 503 with the reasons."""
        reasons = await self.reasons()
        if reasons:
            return web.Response(status=503, text="".join(f"{reason}\n" for reason in reasons))
        return web.Response(text="ready\n")

    async def reasons(self) -> list[str]:
        """Return why the service is not ready, as sentences."""
        # One probe at a time: while the database hangs, those who ask must not pile up before it.
        if self._probe is None or self._probe.done():
            self._probe = asyncio.create_task(self._look(), name="readiness-probe")
        try:
            reason = await asyncio.wait_for(asyncio.shield(self._probe), self._probe_takes_s)
        except TimeoutError:
            reason = f"The database has taken no write for {self._probe_takes_s:g} seconds."
        return [] if reason is None else [reason]

    async def _look(self) -> str | None:
        try:
            return await self._store.write(self._write_and_look)
        except StoreUnavailable as error:
            return error.user_message

    def _write_and_look(self, conn: Connection) -> str | None:
        if not insert_new(conn, counters, name=PROBE, value=1):
            conn.execute(update(counters).where(counters.c.name == PROBE).values(value=counters.c.value + 1))
        seen_at: datetime | None = conn.execute(select(func.max(workers.c.seen_at))).scalar()
        if seen_at is None:
            return "No worker has run yet: start jollor-slack serve or worker."
        silent = self._store.now(conn) - seen_at
        if silent > timedelta(seconds=WORKER_SILENT_S):
            return f"No worker has given a sign of life for {silent.total_seconds():.0f} seconds."
        return None

    async def metrics(self, request: web.Request) -> web.Response:
        """Prometheus text; with the database away what this process knows by itself."""
        try:
            families = await self._store.read(self._families)
        except StoreUnavailable:
            families = [_gauge("bridge_database_up", "Whether the database answers", 0)]
        shared = CollectorRegistry()
        shared.register(_Families(families))
        return web.Response(
            body=generate_latest(REGISTRY) + generate_latest(shared),
            headers={"Content-Type": CONTENT_TYPE_LATEST},
        )

    def _families(self, conn: Connection) -> list[Metric]:
        now = self._store.now(conn)
        return [
            _gauge("bridge_database_up", "Whether the database answers", 1),
            _by_state(conn, "bridge_jobs", "Jobs", jobs.c.state, JobState),
            _by_state(conn, "bridge_deliveries", "What is owed to Slack", deliveries.c.state, State),
            _by_state(conn, "bridge_intents", "Replies to Jollor", intents.c.state, IntentState),
            _oldest_waiting(conn, now),
            _dead_letters(conn),
            *_pauses(conn, now),
            _workers(conn, now),
            _open_alerts(conn),
            _lost_webhooks(conn),
            *self._disk(),
        ]

    def _disk(self) -> Iterator[Metric]:
        database = make_url(self._store.url).database
        if self._store.is_sqlite and database is not None:
            free = shutil.disk_usage(Path(database).parent).free
            yield _gauge("bridge_disk_free_bytes", "Room left where the SQLite file is", free)

    async def _finish(self, app: web.Application) -> None:
        if self._probe is not None:
            await asyncio.wait([self._probe])


class _Families(Collector):
    """What was read for one answer, in the form that the library prints."""

    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        """Return the families."""
        return self._families


def _gauge(name: str, help_: str, value: float) -> Metric:
    return GaugeMetricFamily(name, help_, value=value)


def _by_state(
    conn: Connection, name: str, help_: str, state: Column[str], states: Iterable[str]
) -> GaugeMetricFamily:
    counts = {row[0]: row[1] for row in conn.execute(select(state, func.count()).group_by(state))}
    family = GaugeMetricFamily(name, f"{help_} by state", labels=["state"])
    for one in states:
        family.add_metric([str(one)], counts.get(one, 0))
    return family


def _oldest_waiting(conn: Connection, now: datetime) -> Metric:
    oldest = conn.execute(
        select(func.min(jobs.c.scheduled_at)).where(
            jobs.c.state == JobState.AVAILABLE, jobs.c.scheduled_at <= now
        )
    ).scalar()
    age = 0.0 if oldest is None else (now - oldest).total_seconds()
    return _gauge("bridge_oldest_waiting_job_seconds", "How long the job that is due longest waits", age)


def _dead_letters(conn: Connection) -> Metric:
    family = GaugeMetricFamily("bridge_dead_letters", "What was given up", labels=["of"])
    family.add_metric(["jobs"], _count(conn, jobs.c.state == JobState.DISCARDED))
    family.add_metric(["deliveries"], _count(conn, deliveries.c.state == State.REFUSED))
    return family


def _pauses(conn: Connection, now: datetime) -> Iterator[Metric]:
    current = pauses.current(conn)
    kinds = Counter(pause.target.partition(":")[0] for pause in current)
    family = GaugeMetricFamily("bridge_pauses", "Targets that are away", labels=["target"])
    for kind in ("jollor", "project", "team", "channel"):
        family.add_metric([kind], kinds[kind])
    yield family
    longest = max(((now - pause.since).total_seconds() for pause in current), default=0.0)
    yield _gauge("bridge_longest_pause_seconds", "How long the target that is away longest is away", longest)


def _workers(conn: Connection, now: datetime) -> Metric:
    alive = _count(conn, workers.c.seen_at > now - timedelta(seconds=WORKER_SILENT_S))
    return _gauge("bridge_workers", "Workers that gave a sign of life lately", alive)


def _open_alerts(conn: Connection) -> Metric:
    open_ = select(alerts.c.kind, func.count()).where(alerts.c.cleared_at.is_(None)).group_by(alerts.c.kind)
    counts = {row[0]: row[1] for row in conn.execute(open_)}
    family = GaugeMetricFamily("bridge_open_alerts", "Alerts not cleared", labels=["kind"])
    for kind in ALERT_KINDS:
        family.add_metric([kind], counts.get(kind, 0))
    return family


def _lost_webhooks(conn: Connection) -> Metric:
    help_ = "Messages and posts that only a sweep found while the bridge was there"
    return CounterMetricFamily("bridge_lost_webhooks_total", help_, value=lost.total(conn))


def _count(conn: Connection, condition: ColumnElement[bool]) -> int:
    return conn.execute(select(func.count()).where(condition)).scalar_one()
