"""The sandbox's clock: real time of day, waiting times divided by a scale."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True)
class SandboxClock:
    """Real time for what is written down, scaled time for what is waited for.

    `scale` 60 makes a minute of retries, lifetimes and delays pass in a second.
    """

    scale: float = 1.0

    def __post_init__(self) -> None:
        if self.scale <= 0:
            raise ValueError(f"the time scale must be positive, not {self.scale}")

    def now(self) -> datetime:
        """The real time, aware, in UTC."""
        return datetime.now(UTC)

    def seconds(self, simulated_s: float) -> float:
        """How many real seconds `simulated_s` seconds of the sandbox take."""
        return simulated_s / self.scale

    async def sleep(self, simulated_s: float) -> None:
        """Wait for `simulated_s` seconds of the sandbox."""
        await asyncio.sleep(self.seconds(simulated_s))
