"""The bridge's processes: started, killed without warning at random moments, started again."""

from __future__ import annotations

import asyncio
import os
import signal
from dataclasses import dataclass
from random import Random

from tests.scenario.processes import Streams, execute, start
from tests.scenario.stage import Service, Stage

LIVES_S = (3.0, 10.0)
"""How long a process lives after it is ready, in real seconds."""
A_WORKER_STARTS_S = 2.0
"""A worker serves no `/readyz`: so long after its start it counts as ready."""


@dataclass
class Process(Service):
    """`jollor-slack`, or one that is broken on purpose (`chaos.broken`)."""

    broken: str | None = None

    async def start(self, *, until_ready: bool = True) -> None:
        """Start it; return once it is ready."""
        streams = Streams(self.log, self.log)
        if self.broken is None:
            self.process = await start(
                self.command, environment=self.environment, folder=self.folder, streams=streams
            )
        else:
            self.process = await execute(
                ("chaos.broken", self.broken, *self.command),
                environment=self.environment,
                folder=self.folder,
                streams=streams,
            )
        if self.command != ("serve",):
            await asyncio.sleep(A_WORKER_STARTS_S)
            assert self.process.returncode is None, self.said()
        elif until_ready:
            await self.ready()


@dataclass
class Killer:
    """Kills a process again and again; `kills` counts."""

    process: Process
    dice: Random
    lives_s: tuple[float, float] = LIVES_S
    kills: int = 0

    async def run(self) -> None:
        """Until cancelled; may be cancelled while the process is starting."""
        while True:
            await asyncio.sleep(self.dice.uniform(*self.lives_s))
            assert self.process.process is not None
            assert self.process.process.returncode is None, f"it ended by itself:\n{self.process.said()}"
            os.kill(self.process.pid, signal.SIGKILL)
            await self.process.process.wait()
            self.kills += 1
            await self.process.start()


def processes_of(stage: Stage, *, workers: int, broken: str | None) -> list[Process]:
    """Return `serve`, and so many processes of workers alone."""
    service = stage.service
    commands: list[tuple[str, ...]] = [("serve",), *[("worker",)] * workers]
    return [
        Process(service.environment, service.folder, service.port + number, command=command, broken=broken)
        for number, command in enumerate(commands)
    ]
