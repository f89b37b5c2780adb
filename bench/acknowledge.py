"""Acknowledgements per second: the bridge, which commits before it answers, against a bare handler.

Both run in processes of their own on the same machine, under the same load, in turns within one run; what
counts is the ratio of each pair. Every webhook names another message, so none is dropped as a repetition.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import tempfile
from pathlib import Path

from bench.load import Load, post_all
from tests.scenario.stage import Stage, free_port, open_stage

CONNECTIONS = 64


async def measure(*, rounds: int, seconds: float) -> str:
    """Return a table: each side's median rate and p99, and the ratio bridge/bare pair by pair."""
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite+aiosqlite:///{folder}/bridge.db"
        async with open_stage(Path(folder), url, scale=1.0) as stage, _bare() as bare_url:
            # Without a worker: acknowledging is measured, not the work that follows.
            await stage.service.stop()
            stage.service.command = ("serve", "--no-worker")
            await stage.service.start(until_ready=False)
            await _listening(stage.service.port)
            pairs = []
            for number in range(rounds + 1):
                bare = await _round(stage, bare_url, f"bare-{number}", seconds)
                ours = await _round(stage, stage.service.url, f"ours-{number}", seconds)
                if number:  # the first pair warms up
                    pairs.append((ours, bare))
    return _table(pairs)


class _bare:
    """The bare handler as a process."""

    async def __aenter__(self) -> str:
        port = free_port()
        self._process = await asyncio.create_subprocess_exec(sys.executable, "-m", "bench.bare", str(port))
        await _listening(port)
        return f"http://127.0.0.1:{port}"

    async def __aexit__(self, *_: object) -> None:
        self._process.terminate()
        await self._process.wait()


async def _listening(port: int) -> None:
    async with asyncio.timeout(20):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)  # not up yet
            else:
                writer.close()
                return


async def _round(stage: Stage, base: str, name: str, seconds: float) -> Load:
    project = stage.bakery.id
    webhook = stage.jollor.webhook(stage.bakery)
    assert webhook is not None

    def body(number: int) -> bytes:
        return json.dumps(
            {
                "event_type": "message_received",
                "project_id": project,
                "message_id": f"{name}-{number}",
                "conversation_id": f"conversation-{number % 200}",
            }
        ).encode()

    url = f"{base}/webhooks/jollor/{project}?challenge={webhook.verify_token}"
    return await post_all(url, body, connections=CONNECTIONS, seconds=seconds)


def _table(pairs: list[tuple[Load, Load]]) -> str:
    ratios = sorted(ours.per_second / bare.per_second for ours, bare in pairs)
    ours = [pair[0] for pair in pairs]
    bare = [pair[1] for pair in pairs]
    return "\n".join(
        [
            f"Webhook acknowledgements, {CONNECTIONS} connections, SQLite, {len(pairs)} pairs of rounds",
            "",
            "| | per second (median) | p50 | p99 |",
            "| --- | --- | --- | --- |",
            _row("bare aiohttp handler", bare),
            _row("bridge, committed before the 200", ours),
            "",
            f"ratio bridge/bare: median {statistics.median(ratios):.2f}, "
            f"from {ratios[0]:.2f} to {ratios[-1]:.2f}",
        ]
    )


def _row(name: str, loads: list[Load]) -> str:
    def median(values: list[float]) -> float:
        return statistics.median(values)

    return (
        f"| {name} | {median([load.per_second for load in loads]):,.0f} "
        f"| {median([load.quantile(0.5) for load in loads]) * 1000:.1f} ms "
        f"| {median([load.quantile(0.99) for load in loads]) * 1000:.1f} ms |"
    )
