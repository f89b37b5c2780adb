"""A process of its own that puts or works off jobs: `python -m tests.queue_process TASK`, TASK being JSON.

What it does is written to a ledger that several processes share: a line each, with a clock that is the same
for all of them.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from bridge.errors import TargetDown
from bridge.queue.jobs import Job, Jobs
from bridge.queue.worker import CONCURRENCY, LEASE_S, POLL_S, Handlers, Worker
from bridge.store.engine import Store
from tests.queue_support import name_of, without_lane

PROJECT = Path(__file__).parent.parent


class Task(BaseModel):
    """What a process is to do."""

    url: str
    ledger: str
    name: str
    puts: bool = False
    """Put jobs without end, with a line for each that was acknowledged; else work jobs off."""
    lease_s: float = LEASE_S
    takes_s: float = 0.0
    alone: bool = False
    scale: float = 1.0
    concurrency: int = CONCURRENCY
    poll_s: float = POLL_S
    up: str = ""
    """While this file does not exist the jobs' target is down."""


@dataclass(frozen=True)
class Line:
    """One line of the ledger."""

    at_s: float
    process: str
    what: str
    job: str


class Ledger:
    """A file that several processes append to."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, process: str, what: str, job: str = "-") -> None:
        line = f"{time.monotonic()} {process} {what} {job}\n"
        file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        try:
            os.write(file, line.encode())
        finally:
            os.close(file)

    def lines(self, what: str = "") -> list[Line]:
        """Return the lines about `what` (all by default) in the order of their time."""
        if not self.path.exists():
            return []
        parts = [line.split() for line in self.path.read_text().splitlines()]
        found = [Line(float(at), process, kind, job) for at, process, kind, job in parts]
        return sorted((line for line in found if what in ("", line.what)), key=lambda line: line.at_s)


class Process:
    """A process that does a task, for as long as this lasts."""

    def __init__(self, task: Task) -> None:
        self.name = task.name
        self._popen = subprocess.Popen(
            [sys.executable, "-m", "tests.queue_process", task.model_dump_json()], cwd=PROJECT
        )

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: object) -> None:
        if self._popen.poll() is None:
            self._popen.kill()
        self._popen.wait()

    def send(self, number: signal.Signals) -> None:
        self._popen.send_signal(number)

    def stop(self) -> int:
        """Ask it to stop and return its exit code."""
        self._popen.terminate()
        return self._popen.wait(timeout=30)


async def work(task: Task, ledger: Ledger) -> None:
    """Work jobs off until SIGTERM."""

    async def handle(event: Any, job: Job) -> None:
        ledger.write(task.name, "starts", name_of(event))
        if task.up and not Path(task.up).exists():
            raise TargetDown("no_connection", target="project:p1")
        await asyncio.sleep(task.takes_s)
        ledger.write(task.name, "ends", name_of(event))

    async with Store(task.url) as store:
        worker = Worker(
            store,
            Jobs(store, scale=task.scale),
            Handlers(dict.fromkeys(("conversation_changed", "profile_expired"), handle)),
            id_=task.name,
            lease_s=task.lease_s,
            scale=task.scale,
            concurrency=task.concurrency,
            poll_s=task.poll_s,
            alone=task.alone,
        )
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, worker.stop)
        ledger.write(task.name, "ready")
        await worker.run()


async def put(task: Task, ledger: Ledger) -> None:
    """Put jobs until killed, several at a time, with a line for each that was acknowledged."""

    async def put_some(jobs: Jobs, caller: int) -> None:
        number = 0
        while True:
            name = f"{caller}-{number}"
            await jobs.put(without_lane(name), unique_key=name)
            ledger.write(task.name, "acknowledged", name)
            number += 1

    async with Store(task.url) as store:
        jobs = Jobs(store)
        ledger.write(task.name, "ready")
        await asyncio.gather(*(put_some(jobs, caller) for caller in range(8)))


def main() -> None:
    task = Task.model_validate_json(sys.argv[1])
    asyncio.run((put if task.puts else work)(task, Ledger(Path(task.ledger))))


if __name__ == "__main__":
    main()
