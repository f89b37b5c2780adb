"""Processes of the service: forked from one that has everything imported, where the system allows it."""

from __future__ import annotations

import asyncio
import atexit
import functools
import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

CAN_FOLLOW = hasattr(os, "pidfd_open")
"""Linux tells the end of a process that is no child of ours."""


class Running(Protocol):
    """A process as `asyncio.subprocess` and `fork` give it."""

    @property
    def pid(self) -> int: ...
    @property
    def returncode(self) -> int | None: ...
    def send_signal(self, signal: int) -> None: ...
    async def wait(self) -> int: ...


@dataclass(frozen=True)
class Streams:
    """The files that a process reads and writes."""

    stdout: Path
    stderr: Path
    stdin: Path = Path(os.devnull)


async def start(
    arguments: Sequence[str], *, environment: Mapping[str, str], folder: Path, streams: Streams
) -> Running:
    """Start `jollor-slack` with these arguments."""
    if CAN_FOLLOW:
        return _warm().start(arguments, environment=environment, folder=folder, streams=streams)
    return await execute(("bridge", *arguments), environment=environment, folder=folder, streams=streams)


async def execute(
    module: Sequence[str], *, environment: Mapping[str, str], folder: Path, streams: Streams
) -> Running:
    """Start `python -m` with a module and its arguments."""
    with (
        streams.stdin.open("rb") as stdin,
        streams.stdout.open("ab") as out,
        streams.stderr.open("ab") as err,
    ):
        return await asyncio.create_subprocess_exec(
            sys.executable, "-m", *module, env=environment, cwd=folder, stdin=stdin, stdout=out, stderr=err
        )


class Forked:
    """A process that is no child of ours; it ends as one that was executed does."""

    def __init__(self, warm: _Warm, pid: int) -> None:
        self._warm = warm
        self._fd = os.pidfd_open(pid)
        self._code: int | None = None
        self.pid = pid

    @property
    def returncode(self) -> int | None:
        """How it ended, None while it runs."""
        if self._code is None and select.select([self._fd], [], [], 0)[0]:
            self._code = self._warm.code_of(self.pid)
            os.close(self._fd)
        return self._code

    def send_signal(self, signal_: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.returncode is None:
            signal.pidfd_send_signal(self._fd, signal_)

    async def wait(self) -> int:
        """Wait for its end."""
        while (code := self.returncode) is None:
            ended = asyncio.Event()
            loop = asyncio.get_running_loop()
            loop.add_reader(self._fd, ended.set)
            try:
                await ended.wait()
            finally:
                loop.remove_reader(self._fd)
        return code


class _Warm:
    """The process that is forked; one for all tests of this process."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.scenario.warm", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                cwd=Path(__file__).parents[2],
                stdin=subprocess.DEVNULL,
            )
        self._link = ours
        self._lines = ours.makefile("rw")
        atexit.register(self.close)

    def start(
        self, arguments: Sequence[str], *, environment: Mapping[str, str], folder: Path, streams: Streams
    ) -> Forked:
        wanted = {
            "arguments": list(arguments),
            "environment": dict(environment),
            "folder": str(folder),
            "stdin": str(streams.stdin),
            "stdout": str(streams.stdout),
            "stderr": str(streams.stderr),
        }
        return Forked(self, self._ask({"start": wanted}))

    def code_of(self, pid: int) -> int:
        return self._ask({"code_of": pid})

    def _ask(self, question: Mapping[str, object]) -> int:
        self._lines.write(f"{json.dumps(question)}\n")
        self._lines.flush()
        return int(self._lines.readline())

    def close(self) -> None:
        self._lines.close()
        self._link.close()
        self._process.wait(30)


@functools.cache
def _warm() -> _Warm:
    return _Warm()
