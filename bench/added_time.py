"""What the bridge adds between a webhook and `chat.postMessage`, against a direct relay without storage.

Both relay messages of the same simulated Jollor to the same simulated Slack, in turns within one run, one
message at a time. The time runs from the moment the customer writes to the moment Slack has the message.
The bridge's pacing (a post a second) is scaled away: it is Slack's limit, not the bridge's cost.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from pathlib import Path

import aiohttp

from sandbox.jollor.model import ACTIVE, Project, Webhook
from sandbox.slack import Channel, Limits
from tests.scenario.stage import Stage, free_port, open_stage, shown

SCALE = 1000.0


async def measure(*, rounds: int, messages: int) -> str:
    """Return a table: each side's median and p95, and what the bridge adds."""
    ours: list[float] = []
    direct: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite+aiosqlite:///{folder}/bridge.db"
        limits = Limits(enabled=False)
        async with open_stage(Path(folder), url, scale=SCALE, limits=limits) as stage:
            stage.jollor.switches.access_token_lifetime_s *= SCALE  # an hour for the yardstick, too
            other = stage.jollor.add_project("Direct")
            channel = stage.slack.add_channel("direct")
            process = await _direct(stage, other, channel)
            try:
                for number in range(rounds + 1):
                    a = await _times(stage, stage.bakery, stage.support, f"ours {number}", messages)
                    b = await _times(stage, other, channel, f"direct {number}", messages)
                    if number:  # the first pair warms up
                        ours += a
                        direct += b
            finally:
                process.terminate()
                await process.wait()
    return _table(sorted(ours), sorted(direct), rounds)


async def _direct(stage: Stage, project: Project, channel: Channel) -> asyncio.subprocess.Process:
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.direct", str(port), project.id, channel.id, env=stage.service.environment
    )
    await _point(stage, project, f"http://127.0.0.1:{port}/hook")
    return process


async def _point(stage: Stage, project: Project, callback: str) -> None:
    """Set the webhook up as a person in the dashboard would."""
    async with asyncio.timeout(20):
        async with aiohttp.ClientSession() as session:
            while True:
                try:
                    async with session.get(f"{callback}?challenge=up"):
                        break
                except aiohttp.ClientError:
                    await asyncio.sleep(0.05)  # not up yet
    stage.jollor.store.webhooks[project.id] = Webhook(
        project, "bench", ACTIVE, callback, {"message_received": True}
    )


async def _times(stage: Stage, project: Project, channel: Channel, name: str, messages: int) -> list[float]:
    times = []
    for number in range(messages):
        text = f"{name} message {number}"
        started = time.perf_counter()
        stage.writes(text, customer=f"{project.name} {number % 5}", project=project)
        seen = len(stage.slack.messages(channel.id))
        await stage.slack.until(lambda at=seen, text=text: _has(stage, channel, at, text))  # type: ignore[misc]
        times.append(time.perf_counter() - started)
        await stage.slack.courier.idle()
    return times


def _has(stage: Stage, channel: Channel, at: int, text: str) -> bool:
    return any(text in shown(message) for message in stage.slack.messages(channel.id)[at:])


def _table(ours: list[float], direct: list[float], rounds: int) -> str:
    added = statistics.median(ours) - statistics.median(direct)
    return "\n".join(
        [
            f"From the customer's message to Slack's chat.postMessage, SQLite, {len(ours)} messages a side, "
            f"{rounds} rounds in turns",
            "",
            "| | median | p95 |",
            "| --- | --- | --- |",
            _row("direct relay, nothing stored", direct),
            _row("bridge", ours),
            "",
            f"the bridge adds {added * 1000:.1f} ms "
            f"(ratio {statistics.median(ours) / statistics.median(direct):.1f})",
        ]
    )


def _row(name: str, times: list[float]) -> str:
    p95 = times[int(0.95 * len(times))]
    return f"| {name} | {statistics.median(times) * 1000:.1f} ms | {p95 * 1000:.1f} ms |"
