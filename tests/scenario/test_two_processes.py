"""The queue between operating-system processes: nothing twice at a time, nothing lost, whatever befalls them.

On SQLite a second worker is refused in production; two of them here show that even then nothing breaks.
"""

from __future__ import annotations

import signal
import time
from collections import defaultdict
from pathlib import Path

import pytest

from bridge.queue.jobs import Jobs, NewJob
from bridge.store.engine import Store
from tests.queue_process import Ledger, Process, Task
from tests.queue_support import in_lane, put, until, without_lane

STARTS_WITHIN_S = 20.0


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "ledger")


def process(store: Store, ledger: Ledger, name: str, **how: object) -> Process:
    return Process(Task.model_validate({"url": store.url, "ledger": str(ledger.path), "name": name, **how}))


async def ready(ledger: Ledger, count: int) -> None:
    await until(lambda: len(ledger.lines("ready")) >= count, timeout_s=STARTS_WITHIN_S)


async def test_three_processes_run_every_job_once_and_every_lane_in_order(
    store: Store, ledger: Ledger
) -> None:
    jobs = Jobs(store)
    lanes, each = 20, 8
    how = {"takes_s": 0.03, "poll_s": 0.02, "concurrency": 4}
    with (
        process(store, ledger, "A", **how),
        process(store, ledger, "B", **how),
        process(store, ledger, "C", **how),
    ):
        await ready(ledger, 3)
        for number in range(each):
            await jobs.receive([NewJob(in_lane(f"{lane}/{number}", f"lane{lane}")) for lane in range(lanes)])
        await until(lambda: len(ledger.lines("ends")) >= lanes * each, timeout_s=40)
    runs = ledger.lines()
    starts, ends = ledger.lines("starts"), ledger.lines("ends")
    assert len(starts) == len({line.job for line in starts}) == lanes * each
    assert len({line.process for line in starts}) > 1, "the work was not shared"
    by_lane = defaultdict(list)
    for line in runs:
        by_lane[line.job.partition("/")[0]].append((line.what, line.job))
    for lane in range(lanes):
        names = [f"{lane}/{number}" for number in range(each)]
        assert by_lane[str(lane)] == [(what, name) for name in names for what in ("starts", "ends")]
    assert len(ends) == len(starts)


@pytest.mark.postgres
@pytest.mark.timeout(120)
async def test_jobs_of_a_killed_process_run_again_within_30_seconds(
    migrated_postgres_url: str, ledger: Ledger
) -> None:
    """The real lease, the real clock."""
    async with Store(migrated_postgres_url) as store:
        jobs = Jobs(store)
        with process(store, ledger, "victim", takes_s=3600) as victim:
            await ready(ledger, 1)
            for number in range(3):
                await jobs.put(in_lane(f"job{number}", f"lane{number}"))
            await until(lambda: len(ledger.lines("starts")) == 3)
            with process(store, ledger, "heir") as heir:
                await ready(ledger, 2)
                victim.send(signal.SIGKILL)
                killed_at = time.monotonic()
                await until(lambda: len(ledger.lines("ends")) == 3, timeout_s=35)
                assert heir.stop() == 0
        assert max(line.at_s - killed_at for line in ledger.lines("ends")) < 30
        assert {line.process for line in ledger.lines("ends")} == {"heir"}
        assert await jobs.counts() == {"completed": 3}


async def test_a_process_alone_with_its_file_goes_on_at_once_after_a_kill(
    migrated_sqlite_url: str, ledger: Ledger
) -> None:
    async with Store(migrated_sqlite_url) as store:
        await Jobs(store).put(in_lane("job"))
        with process(store, ledger, "victim", takes_s=3600, alone=True) as victim:
            await until(lambda: len(ledger.lines("starts")) == 1, timeout_s=STARTS_WITHIN_S)
            victim.send(signal.SIGKILL)
            killed_at = time.monotonic()
        with process(store, ledger, "heir", alone=True) as heir:
            await until(lambda: len(ledger.lines("ends")) == 1, timeout_s=STARTS_WITHIN_S)
            assert heir.stop() == 0
        [ready_at] = [line.at_s for line in ledger.lines("ready") if line.process == "heir"]
        [ended_at] = [line.at_s for line in ledger.lines("ends")]
        assert ended_at - killed_at < 30
        assert ended_at - ready_at < 5
        assert await Jobs(store).counts() == {"completed": 1}


@pytest.mark.postgres
async def test_a_process_that_was_stopped_beyond_its_lease_completes_nothing(
    migrated_postgres_url: str, ledger: Ledger
) -> None:
    async with Store(migrated_postgres_url) as store:
        jobs = Jobs(store)
        with process(store, ledger, "stalled", takes_s=1, lease_s=1) as stalled:
            await ready(ledger, 1)
            await put(jobs, "job", "next")
            await until(lambda: len(ledger.lines("starts")) == 1)
            stalled.send(signal.SIGSTOP)
            with process(store, ledger, "heir", takes_s=3, lease_s=1) as heir:
                await until(lambda: len(ledger.lines("starts")) == 2, timeout_s=STARTS_WITHIN_S)
                # Awake, it finds its second over while the heir is at it: it must not end the heir's job.
                stalled.send(signal.SIGCONT)
                await until(lambda: len(ledger.lines("starts")) == 3, timeout_s=STARTS_WITHIN_S)
                by_heir = [line for line in ledger.lines("ends") if line.process == "heir"]
                assert [line.job for line in by_heir] == ["job"]
                assert ledger.lines("starts")[2].job == "next"
                assert ledger.lines("starts")[2].at_s >= by_heir[0].at_s
                assert stalled.stop() == 0
                await until(lambda: "next" in [line.job for line in ledger.lines("ends")])
                assert heir.stop() == 0
        assert await jobs.counts() == {"completed": 2}
        shown = await jobs.shown((await jobs.listed(["completed"]))[0].id)
        assert shown is not None
        assert [attempt.outcome for attempt in shown[1]] == ["lost"]


async def test_a_paused_target_gets_one_probe_at_a_time_from_two_processes(
    store: Store, ledger: Ledger, tmp_path: Path
) -> None:
    jobs = Jobs(store)
    up = tmp_path / "up"
    # scaled: probes go 0.2 s, 0.4 s, 0.8 s … after what failed before
    how = {"up": str(up), "scale": 10.0, "concurrency": 2, "takes_s": 0.05, "poll_s": 0.02}
    with (
        process(store, ledger, "A", **how),
        process(store, ledger, "B", **how),
    ):
        await ready(ledger, 2)
        await jobs.receive([NewJob(in_lane(f"job{number}", f"lane{number}")) for number in range(12)])
        await until(lambda: len(ledger.lines("starts")) >= 6, timeout_s=20)
        tried = [line.at_s for line in ledger.lines("starts")]
        up.touch()
        await until(lambda: len(ledger.lines("ends")) == 12, timeout_s=20)
    # Four may have been under way before anybody knew; each one after them had its own turn as the probe.
    waited = [at - tried[0] for at in tried[4:]]
    assert all(wait > 0.9 * 0.2 * (2**turn - 1) for turn, wait in enumerate(waited, start=1)), waited
    assert {line.process for line in ledger.lines("ends")} == {"A", "B"}


async def test_what_was_acknowledged_before_a_kill_is_there_afterwards(store: Store, ledger: Ledger) -> None:
    with process(store, ledger, "receiver", puts=True) as receiver:
        await until(lambda: len(ledger.lines("acknowledged")) > 200, timeout_s=STARTS_WITHIN_S)
        receiver.send(signal.SIGKILL)
    acknowledged = {line.job for line in ledger.lines("acknowledged")}
    waiting = await Jobs(store).listed(["available"], limit=1_000_000)
    stored = {view.args.partition('"project_id":"')[2].partition('"')[0] for view in waiting}
    assert acknowledged <= stored
    assert len(stored) == len(waiting)


async def test_a_process_that_is_asked_to_stop_finishes_its_job_and_leaves_the_rest(
    store: Store, ledger: Ledger
) -> None:
    jobs = Jobs(store)
    with process(store, ledger, "A", takes_s=0.5) as worker:
        await put(jobs, "job", "next")
        await jobs.put(without_lane("other"))
        await until(lambda: len(ledger.lines("starts")) == 2, timeout_s=STARTS_WITHIN_S)
        assert worker.stop() == 0
    assert sorted(line.job for line in ledger.lines("ends")) == ["job", "other"]
    assert await jobs.counts() == {"completed": 2, "available": 1}
