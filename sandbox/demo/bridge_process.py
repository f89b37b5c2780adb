"""The real bridge as an operating-system process of its own, which can be killed and started again."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from pathlib import Path

import aiohttp

from sandbox.wire import masked

SERVE: tuple[str, ...] = (sys.executable, "-m", "bridge", "serve")
START_LIMIT_S = 60.0
STOP_LIMIT_S = 10.0
LOOK_EVERY_S = 0.2
OWN_PREFIXES = ("BRIDGE_", "SLACK_", "JOLLOR_")
IMPORTS_FROM = Path(__file__).parents[2]
"""Where the packages lie, installed or not; the process runs elsewhere, so that it reads nobody's `.env`."""


class BridgeFailed(Exception):
    """The bridge ended by itself, or did not get ready; says why."""


class BridgeState(StrEnum):
    """What the process does."""

    STOPPED = "stopped"
    STARTING = "starting"
    RUNNING = "running"


class BridgeProcess:
    """One bridge: `start`, `kill`, `stop`, always with the same settings and the same address."""

    def __init__(self, settings: Mapping[str, str], folder: Path, *, command: Sequence[str] = SERVE) -> None:
        """`folder` holds the database; `settings` come on top of what is needed to run at all."""
        self.port = _free_port()
        self._settings = settings
        self._folder = folder
        self._command = command
        self._process: asyncio.subprocess.Process | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self.state = BridgeState.STOPPED
        self.ended: str | None = None
        """Why it is not running, in words; None while it runs or if it never did."""
        self.log: deque[str] = deque(maxlen=200)
        self.watchers: list[Callable[[], None]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    async def start(self) -> None:
        """Start the process, unless it is there. Does not wait until it is ready."""
        if self._process is not None:
            return
        self._tell(BridgeState.STARTING, None)
        self._process = await asyncio.create_subprocess_exec(
            *self._command,
            cwd=self._folder,
            env=self._environment(),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for the demo, which stops the bridge in its own time
        )
        self._tasks = [
            asyncio.create_task(self._follow(self._process), name="bridge-log"),
            asyncio.create_task(self._look_until_ready(), name="bridge-ready"),
        ]

    async def ready(self, *, within_s: float = START_LIMIT_S) -> None:
        """Wait until it answers; BridgeFailed if it ended or takes too long."""
        changed = asyncio.Event()
        self.watchers.append(changed.set)
        try:
            async with asyncio.timeout(within_s):
                while self.state is not BridgeState.RUNNING:
                    if self.state is BridgeState.STOPPED:
                        raise BridgeFailed("\n".join([self.ended or "it is not running", *self.log]))
                    changed.clear()
                    await changed.wait()
        except TimeoutError:
            raise BridgeFailed("\n".join(["it does not get ready", *self.log])) from None
        finally:
            self.watchers.remove(changed.set)

    async def kill(self) -> None:
        """End it at once with SIGKILL, in the middle of whatever it does."""
        await self._end(signal.SIGKILL, "killed (SIGKILL)", STOP_LIMIT_S)

    async def stop(self, *, within_s: float = STOP_LIMIT_S) -> None:
        """Ask it to finish; kill it if it does not."""
        await self._end(signal.SIGTERM, "stopped", within_s)

    async def _end(self, how: signal.Signals, words: str, within_s: float) -> None:
        process = self._process
        if process is None:
            return
        follow, look = self._tasks
        look.cancel()
        self.ended = words
        with contextlib.suppress(ProcessLookupError):  # it ended by itself just now
            process.send_signal(how)
        try:
            await asyncio.wait_for(process.wait(), within_s)
        except TimeoutError:
            process.kill()
        await asyncio.gather(follow, look, return_exceptions=True)

    async def _follow(self, process: asyncio.subprocess.Process) -> None:
        """Keep what it says, and note its end."""
        assert process.stdout is not None, "it was started with a pipe"
        async for line in process.stdout:
            self.log.append(masked(line.decode(errors="replace").rstrip())[:500])
        code = await process.wait()
        self._process = None
        self._tell(BridgeState.STOPPED, self.ended or f"ended by itself with exit code {code}")

    async def _look_until_ready(self) -> None:
        limit = aiohttp.ClientTimeout(total=5.0)
        async with aiohttp.ClientSession(timeout=limit) as session:
            while True:
                if await _answers(session, f"{self.url}/readyz"):
                    break
                await asyncio.sleep(LOOK_EVERY_S)
        self._tell(BridgeState.RUNNING, None)

    def _tell(self, state: BridgeState, ended: str | None) -> None:
        self.state, self.ended = state, ended
        for watcher in list(self.watchers):
            watcher()

    def _environment(self) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(OWN_PREFIXES)}
        paths = [str(IMPORTS_FROM), *filter(None, [inherited.get("PYTHONPATH")])]
        own = {
            "BRIDGE_HOST": "127.0.0.1",
            "BRIDGE_PORT": str(self.port),
            "BRIDGE_PUBLIC_URL": self.url,
            "BRIDGE_DATABASE_URL": f"sqlite+aiosqlite:///{self._folder / 'bridge.db'}",
            "PYTHONPATH": os.pathsep.join(paths),
            "PYTHONUNBUFFERED": "1",
        }
        return inherited | own | dict(self._settings)


async def _answers(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with session.get(url) as response:
            return response.status == 200
    except (aiohttp.ClientError, TimeoutError):
        return False


def _free_port() -> int:
    """A port that nobody listens on now; the bridge keeps it over its restarts."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port: int = bound.getsockname()[1]
        return port
