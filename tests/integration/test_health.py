"""The three routes for whoever watches the service, on both databases."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from sqlalchemy import Connection, delete, insert, select

from bridge.deliveries import put_mark
from bridge.events import CleanUp, ConversationChanged, RenewTokens
from bridge.health import Health
from bridge.ids import ChannelId, LineRef, MessageTs, TeamId
from bridge.model import Mark
from bridge.queue.job import NewJob
from bridge.queue.jobs import Jobs
from bridge.store import pauses
from bridge.store.engine import Store
from bridge.store.tables import counters, deliveries, jobs, workers

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


@asynccontextmanager
async def client_of(
    store: Store, *, probe_takes_s: float = 5.0
) -> AsyncIterator[TestClient[web.Request, web.Application]]:
    app = web.Application()
    Health(store, probe_takes_s=probe_takes_s).add_to(app)
    async with TestClient(TestServer(app)) as client:
        yield client


async def get(store: Store, path: str) -> tuple[int, str]:
    async with client_of(store) as client:
        answer = await client.get(path)
        return answer.status, await answer.text()


async def worker_seen(store: Store, ago: timedelta) -> None:
    def write(conn: Connection) -> None:
        at = store.now(conn) - ago
        conn.execute(delete(workers))
        conn.execute(insert(workers).values(id="w1", started_at=at, seen_at=at))

    await store.write(write)


async def test_a_process_that_answers_is_alive(store: Store) -> None:
    assert await get(store, "/healthz") == (200, "alive\n")


async def test_it_is_ready_once_a_worker_lives_and_the_database_takes_writes(store: Store) -> None:
    await worker_seen(store, timedelta(seconds=3))
    assert await get(store, "/readyz") == (200, "ready\n")
    assert await get(store, "/readyz") == (200, "ready\n")
    assert await store.read(lambda conn: conn.execute(select(counters.c.value)).scalars().all()) == [2]


async def test_without_any_worker_it_says_which_command_is_missing(store: Store) -> None:
    status, text = await get(store, "/readyz")
    assert status == 503
    assert "jollor-slack serve or worker" in text


async def test_a_worker_that_fell_silent_is_the_reason(store: Store) -> None:
    await worker_seen(store, timedelta(minutes=5))
    status, text = await get(store, "/readyz")
    assert status == 503
    assert "No worker has given a sign of life for 300 seconds." in text


async def test_a_database_that_is_gone_is_the_reason(store: Store) -> None:
    await worker_seen(store, timedelta(0))
    async with client_of(store) as client:
        await store.__aexit__(None, None, None)
        answer = await client.get("/readyz")
        assert answer.status == 503


async def test_a_locked_database_is_the_reason_and_askers_do_not_pile_up(
    migrated_sqlite_url: str, tmp_path: Path
) -> None:
    async with Store(migrated_sqlite_url) as store:
        await worker_seen(store, timedelta(0))
        lock = sqlite3.connect(tmp_path / "bridge.db", isolation_level=None)
        try:
            lock.execute("begin immediate")
            async with client_of(store, probe_takes_s=0.2) as client:
                answers = await asyncio.gather(*(client.get("/readyz") for _ in range(5)))
                assert [answer.status for answer in answers] == [503] * 5
                assert "has taken no write for 0.2 seconds" in await answers[0].text()
                lock.execute("rollback")
        finally:
            lock.close()
        values = await store.read(lambda conn: conn.execute(select(counters.c.value)).scalars().all())
        assert values == [1]


async def test_a_read_only_database_is_the_reason(migrated_sqlite_url: str) -> None:
    async with Store(f"{migrated_sqlite_url.replace('///', '///file:')}?mode=ro&uri=true") as store:
        status, text = await get(store, "/readyz")
    assert status == 503
    assert "readonly database" in text


async def metrics(store: Store) -> dict[str, float]:
    status, text = await get(store, "/metrics")
    assert status == 200
    lines = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in lines}


async def test_metrics_count_what_is_in_the_database(store: Store) -> None:
    queue = Jobs(store)
    await queue.receive(
        [
            NewJob(CleanUp()),
            NewJob(RenewTokens(), run_at=NOW + timedelta(days=10_000)),
            NewJob(ConversationChanged(project_id="p1", conversation_id="c1")),
        ]
    )

    def write(conn: Connection) -> None:
        now = store.now(conn)
        conn.execute(
            jobs.update()
            .where(jobs.c.kind == "conversation_changed")
            .values(state="discarded", finished_at=now)
        )
        conn.execute(
            jobs.update().where(jobs.c.kind == "clean_up").values(scheduled_at=now - timedelta(minutes=10))
        )
        pauses.pause(conn, "project:p1", "503", now - timedelta(hours=1), 1.0)
        pauses.pause(conn, "channel:T1:C1", "archived", now, 1.0)
        put_mark(conn, now, LineRef(TeamId("T1"), ChannelId("C1"), MessageTs("1.1")), Mark.FAILED)
        conn.execute(deliveries.update().values(state="refused", finished_at=now))

    await store.write(write)
    await worker_seen(store, timedelta(0))
    found = await metrics(store)
    assert found["bridge_database_up"] == 1
    assert found['bridge_jobs{state="available"}'] == 2
    assert found['bridge_jobs{state="discarded"}'] == 1
    assert found['bridge_jobs{state="running"}'] == 0
    assert found['bridge_deliveries{state="refused"}'] == 1
    assert found['bridge_intents{state="unknown"}'] == 0
    assert 600 <= found["bridge_oldest_waiting_job_seconds"] < 660
    assert found['bridge_dead_letters{of="jobs"}'] == 1
    assert found['bridge_dead_letters{of="deliveries"}'] == 1
    assert found['bridge_pauses{target="project"}'] == 1
    assert found['bridge_pauses{target="channel"}'] == 1
    assert 3600 <= found["bridge_longest_pause_seconds"] < 3660
    assert found["bridge_workers"] == 1
    assert found['bridge_open_alerts{kind="webhook_silent"}'] == 0


async def test_metrics_of_an_empty_database_are_zeros(store: Store) -> None:
    found = await metrics(store)
    assert found["bridge_oldest_waiting_job_seconds"] == 0
    assert found["bridge_longest_pause_seconds"] == 0
    assert found["bridge_workers"] == 0


async def test_metrics_say_how_much_room_a_file_has(migrated_sqlite_url: str) -> None:
    async with Store(migrated_sqlite_url) as store:
        assert (await metrics(store))["bridge_disk_free_bytes"] > 0


async def test_metrics_answer_while_the_database_is_away() -> None:
    async with Store("postgresql+asyncpg://nobody@127.0.0.1:1/nothing") as store:
        found = await metrics(store)
    assert found["bridge_database_up"] == 0
    assert "bridge_workers" not in found


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
async def test_answers_are_text(store: Store, path: str) -> None:
    async with client_of(store) as client:
        answer = await client.get(path)
        assert answer.content_type == "text/plain"
