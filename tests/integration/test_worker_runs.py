"""A worker over time: it wakes, keeps leases, stops well, and outlives a database that does not."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from bridge.errors import StoreUnavailable
from bridge.queue.jobs import Job, Jobs, NewJob
from bridge.queue.worker import Handlers, Worker, worker_id
from bridge.store import sqlite as sqlite_store
from bridge.store.engine import Store
from bridge.store.tables import workers
from tests.databases import PostgresServer
from tests.queue_support import HandClock, claim, name_of, put, running, state_of, until, without_lane

NEVER_S = 3600.0


class Site:
    """Handlers that do nothing, or take as long as `gate` is closed, and remember what ran."""

    def __init__(self) -> None:
        self.started: list[str] = []
        self.ended: list[str] = []
        self.cut_off: list[str] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def handle(self, event: Any, job: Job) -> None:
        name = name_of(event)
        self.started.append(name)
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cut_off.append(name)
            raise
        self.ended.append(name)

    @property
    def handlers(self) -> Handlers:
        return Handlers(dict.fromkeys(("conversation_changed", "profile_expired"), self.handle))


@pytest.fixture
async def site() -> Site:
    return Site()


@pytest.fixture
def jobs(store: Store) -> Jobs:
    return Jobs(store)


async def test_what_is_put_in_this_process_starts_at_once_without_polling(
    store: Store, jobs: Jobs, site: Site
) -> None:
    async with running(Worker(store, jobs, site.handlers, poll_s=NEVER_S)):
        for number in range(5):
            await jobs.put(without_lane(str(number)))
            await until(lambda: len(site.ended) == number + 1)  # noqa: B023


async def test_a_lane_goes_on_as_soon_as_its_job_is_done(store: Store, jobs: Jobs, site: Site) -> None:
    async with running(Worker(store, jobs, site.handlers, poll_s=NEVER_S)):
        await put(jobs, *"abcdefgh")
        await until(lambda: site.ended == list("abcdefgh"))


async def test_what_is_put_for_later_starts_when_it_is_due(store: Store, jobs: Jobs, site: Site) -> None:
    due = await store.read(store.now) + timedelta(seconds=0.3)
    async with running(Worker(store, jobs, site.handlers, poll_s=NEVER_S)):
        await jobs.receive([NewJob(without_lane("later"), run_at=due)])
        await until(lambda: bool(site.ended))
    assert await store.read(store.now) >= due


async def test_no_more_run_at_a_time_than_allowed_and_none_is_forgotten(
    store: Store, jobs: Jobs, site: Site
) -> None:
    site.gate.clear()
    async with running(Worker(store, jobs, site.handlers, concurrency=3, poll_s=NEVER_S)):
        for number in range(10):
            await jobs.put(without_lane(str(number)))
        await until(lambda: len(site.started) == 3)
        await asyncio.sleep(0.05)
        assert len(site.started) == 3
        site.gate.set()
        await until(lambda: len(site.ended) == 10)


async def test_what_is_put_while_the_worker_looks_is_not_overlooked(
    store: Store, jobs: Jobs, site: Site
) -> None:
    async with running(Worker(store, jobs, site.handlers, poll_s=NEVER_S)):
        for number in range(150):
            await asyncio.gather(jobs.put(without_lane(f"x{number}")), asyncio.sleep(0.001 * (number % 4)))
        await until(lambda: len(site.ended) == 150)


async def test_stopping_finishes_what_runs_and_starts_nothing(store: Store, jobs: Jobs, site: Site) -> None:
    site.gate.clear()
    worker = Worker(store, jobs, site.handlers, poll_s=NEVER_S)
    task = asyncio.create_task(worker.run())
    await put(jobs, "a", "b")
    await until(lambda: site.started == ["a"])
    worker.stop()
    await asyncio.sleep(0.05)
    assert not task.done()
    site.gate.set()
    await task
    assert site.ended == ["a"]
    assert await jobs.counts() == {"completed": 1, "available": 1}


async def test_stopping_an_idle_worker_takes_no_time(store: Store, jobs: Jobs, site: Site) -> None:
    worker = Worker(store, jobs, site.handlers, poll_s=NEVER_S)
    task = asyncio.create_task(worker.run())
    await asyncio.sleep(0.1)
    began = time.monotonic()
    worker.stop()
    await task
    assert time.monotonic() - began < 1


async def test_stopping_before_it_ran_is_stopping(store: Store, jobs: Jobs, site: Site) -> None:
    worker = Worker(store, jobs, site.handlers, poll_s=NEVER_S)
    await jobs.put(without_lane("a"))
    worker.stop()
    await worker.run()
    assert site.started == []


async def test_what_outlasts_the_grace_time_is_cut_off_and_may_start_elsewhere_at_once(
    store: Store, jobs: Jobs, site: Site
) -> None:
    site.gate.clear()
    worker = Worker(store, jobs, site.handlers, poll_s=NEVER_S, grace_s=0.1)
    task = asyncio.create_task(worker.run())
    await put(jobs, "a")
    await until(lambda: site.started == ["a"])
    worker.stop()
    await task
    assert site.cut_off == ["a"]
    [job] = await claim(jobs, "successor")
    assert job.attempt == 1


async def test_a_worker_that_is_cancelled_hands_back_what_it_ran(
    store: Store, jobs: Jobs, site: Site
) -> None:
    site.gate.clear()
    task = asyncio.create_task(Worker(store, jobs, site.handlers, poll_s=NEVER_S).run())
    await put(jobs, "a")
    await until(lambda: site.started == ["a"])
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await jobs.counts() == {"available": 1}


async def test_cancelling_a_worker_that_is_woken_at_that_moment_is_not_lost(
    store: Store, jobs: Jobs, site: Site
) -> None:
    for _ in range(10):
        task = asyncio.create_task(Worker(store, jobs, site.handlers, poll_s=NEVER_S).run())
        await asyncio.sleep(0.03)
        jobs.woken.set()
        task.cancel()
        async with asyncio.timeout(5):
            await asyncio.wait([task])
        assert task.cancelled()


async def test_leases_are_kept_however_long_a_job_takes(store: Store, jobs: Jobs, site: Site) -> None:
    site.gate.clear()
    async with running(Worker(store, jobs, site.handlers, lease_s=0.4, poll_s=0.05)):
        await put(jobs, "a")
        await until(lambda: site.started == ["a"])
        other = Jobs(store)
        for _ in range(12):
            await asyncio.sleep(0.1)
            assert await other.rescue() == 0
        site.gate.set()
        await until(lambda: site.ended == ["a"])
    assert site.started == ["a"]


async def test_a_worker_takes_back_what_a_lost_one_held(store: Store, jobs: Jobs, site: Site) -> None:
    await put(jobs, "a")
    await jobs.claim("lost", limit=1, lease=timedelta(seconds=0.2))
    async with running(Worker(store, jobs, site.handlers, lease_s=0.4, poll_s=NEVER_S)):
        await until(lambda: site.ended == ["a"])


async def test_alone_with_its_file_a_worker_starts_with_what_the_former_one_left(
    store: Store, jobs: Jobs, site: Site
) -> None:
    await put(jobs, "a")
    await jobs.claim("former", limit=1, lease=timedelta(hours=1))
    async with running(Worker(store, jobs, site.handlers, poll_s=NEVER_S, alone=True)):
        await until(lambda: site.ended == ["a"])


async def test_a_worker_shows_that_it_lives(store: Store, jobs: Jobs, site: Site) -> None:
    worker = Worker(store, jobs, site.handlers, id_="alive", lease_s=0.4)
    began = worker.last_beat
    async with running(worker):
        await until(lambda: worker.last_beat > began)
        first_beat = worker.last_beat
        await until(lambda: worker.last_beat > first_beat)
    [row] = await store.read(lambda conn: conn.execute(select(workers)).all())
    assert row.id == "alive"
    assert row.seen_at > row.started_at


async def test_a_job_that_becomes_due_between_two_looks_is_not_overlooked(
    clocked: Store, clock: HandClock
) -> None:
    jobs = Jobs(clocked)
    await jobs.receive([NewJob(without_lane("soon"), run_at=clock() + timedelta(seconds=1))])
    assert await claim(jobs) == []
    clock.moves(3)
    assert await jobs.due_in() == timedelta(seconds=-2)
    assert len(await claim(jobs)) == 1
    assert await jobs.due_in() is None


def test_no_two_workers_have_the_same_name() -> None:
    assert len({worker_id() for _ in range(100)}) == 100


async def test_two_workers_share_the_work_and_nothing_runs_twice(migrated_url: str, site: Site) -> None:
    async with Store(migrated_url) as first, Store(migrated_url) as second:
        queues = [Jobs(first), Jobs(second)]
        both = [
            Worker(store, jobs, site.handlers, concurrency=4)
            for store, jobs in zip((first, second), queues, strict=True)
        ]
        async with running(both[0]), running(both[1]):
            await asyncio.gather(
                *(
                    put(queues[lane % 2], *(f"{lane}-{n}" for n in range(6)), lane=str(lane))
                    for lane in range(8)
                )
            )
            await until(lambda: len(site.ended) >= 48, timeout_s=30)
        assert len(site.started) == 48
        for lane in range(8):
            ran = [name for name in site.started if name.startswith(f"{lane}-")]
            assert ran == sorted(ran)


async def test_a_worker_outlives_what_breaks_beneath_it(
    store: Store, jobs: Jobs, site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(*_: Any, **__: Any) -> Any:
        raise KeyError("a mistake of ours")

    with monkeypatch.context() as patch:
        for name in ("claim", "due_in", "rescue"):
            patch.setattr(jobs, name, broken)
        async with running(Worker(store, jobs, site.handlers, lease_s=0.2, poll_s=0.02)):
            await until(
                lambda: (
                    {"worker.claim_failed", "worker.look_failed", "worker.beat_failed"}
                    <= set(caplog.messages)
                )
            )
            patch.undo()
            await put(jobs, "a")
            await until(lambda: site.ended == ["a"])


@pytest.mark.parametrize("name", ["rescue", "hand_back"])
async def test_a_worker_that_can_neither_take_back_nor_hand_back_says_so_and_leaves_it_to_the_lease(
    store: Store,
    jobs: Jobs,
    site: Site,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    name: str,
) -> None:
    async def refused(*_: Any, **__: Any) -> Any:
        raise StoreUnavailable("locked", user_message="The database is locked.")

    monkeypatch.setattr(jobs, name, refused)
    site.gate.clear()
    worker = Worker(store, jobs, site.handlers, poll_s=NEVER_S, grace_s=0.05, alone=True)
    async with running(worker):
        await put(jobs, "a")
        await until(lambda: site.started == ["a"])
    assert {"rescue": "worker.recover_failed", "hand_back": "worker.hand_back_failed"}[
        name
    ] in caplog.messages
    assert await jobs.counts() == {"rescue": {"available": 1}, "hand_back": {"running": 1}}[name]


async def test_a_worker_outlives_a_locked_file(
    migrated_sqlite_url: str, tmp_path: Path, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_store, "BUSY_TIMEOUT_MS", 50)
    async with Store(migrated_sqlite_url) as store:
        jobs = Jobs(store)
        site.gate.clear()
        async with running(Worker(store, jobs, site.handlers, lease_s=0.4, poll_s=0.05)):
            await put(jobs, "a", "b")
            await until(lambda: site.started == ["a"])
            with contextlib.closing(sqlite3.connect(tmp_path / "bridge.db", isolation_level=None)) as other:
                other.execute("begin immediate")
                site.gate.set()
                await until(lambda: site.ended == ["a"])
                with pytest.raises(StoreUnavailable):
                    await jobs.put(without_lane("c"))
                other.execute("rollback")
            await until(lambda: site.ended == ["a", "b"])
            assert site.started == ["a", "b"]


@pytest.mark.postgres
async def test_a_worker_outlives_a_server_that_is_stopped(
    postgres: PostgresServer, migrated_postgres_url: str, site: Site
) -> None:
    async with Store(migrated_postgres_url) as store:
        jobs = Jobs(store)
        site.gate.clear()
        async with running(Worker(store, jobs, site.handlers, poll_s=0.2)):
            await put(jobs, "a", "b")
            await until(lambda: site.started == ["a"])
            postgres.stop()
            try:
                site.gate.set()
                await until(lambda: site.ended == ["a"])
                await asyncio.sleep(0.5)
            finally:
                postgres.start()
            await until(lambda: site.ended == ["a", "b"], timeout_s=20)
            assert site.started == ["a", "b"]
        assert await jobs.counts() == {"completed": 2}


@pytest.mark.postgres
async def test_a_notification_wakes_the_worker_of_another_process_without_polling(
    migrated_postgres_url: str, site: Site
) -> None:
    async with Store(migrated_postgres_url) as store, Store(migrated_postgres_url) as other:
        async with running(Worker(store, Jobs(store), site.handlers, poll_s=NEVER_S)):
            far = Jobs(other)
            await until_listening(store)
            for number in range(3):
                await far.put(without_lane(str(number)))
                await until(lambda: len(site.ended) == number + 1, timeout_s=2)  # noqa: B023


@pytest.mark.postgres
async def test_a_lost_listener_listens_again_and_hears_what_was_said_meanwhile(
    postgres: PostgresServer, migrated_postgres_url: str, site: Site
) -> None:
    async with Store(migrated_postgres_url) as store, Store(migrated_postgres_url) as other:
        async with running(Worker(store, Jobs(store), site.handlers, poll_s=NEVER_S)):
            await until_listening(store)
            await postgres.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity where query ilike 'listen%'"
            )
            await Jobs(other).put(without_lane("meanwhile"))
            await until(lambda: site.ended == ["meanwhile"], timeout_s=5)
            await until_listening(store)
            await Jobs(other).put(without_lane("after"))
            await until(lambda: site.ended == ["meanwhile", "after"], timeout_s=2)


async def until_listening(store: Store) -> None:
    """Return once one connection of this database listens."""
    query = (
        "select count(*) from pg_stat_activity where datname = current_database() and query ilike 'listen%'"
    )
    async with asyncio.timeout(5):
        while not await store.read(lambda conn: conn.exec_driver_sql(query).scalar_one()):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_the_state_of_a_job_is_running_while_it_runs(store: Store, jobs: Jobs, site: Site) -> None:
    site.gate.clear()
    async with running(Worker(store, jobs, site.handlers, poll_s=NEVER_S)):
        await put(jobs, "a")
        await until(lambda: site.started == ["a"])
        [view] = await jobs.listed(["running"])
        assert await state_of(jobs, view.id) == "running"
        site.gate.set()
