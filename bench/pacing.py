"""How much of a channel's allowance (a post a second) is used under a backlog, and how often Slack says 429.

The whole service on SQLite against the simulated Slack with its documented limits, in real time. When the
backlog stands, somebody else uses up what Slack lets pass at once, so that the next post is refused: what is
measured is how the bridge goes on from there.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from sandbox.wire import Direction, End, WireEntry
from tests.scenario.stage import Stage, open_stage

RUN_UP = 10
"""Posts before the measurement begins."""
MESSAGES_EACH = 4
"""Per conversation: of two authors in turns, so that no two are joined."""


@dataclass
class Measured:
    """What the wire of the simulated Slack shows."""

    posts: int = 0
    took_s: float = 0.0
    limited: int = 0

    @property
    def used(self) -> float:
        """The share of one post a second."""
        return (self.posts - 1) / self.took_s


async def measure(*, posts: int) -> str:
    """Return a table: posts, how long they took on Slack's clock, the share, and the 429s."""
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite+aiosqlite:///{folder}/bridge.db"
        async with open_stage(Path(folder), url, scale=1.0) as stage:
            measured = await backlog(stage, posts)
    return "\n".join(
        [
            f"A backlog of {posts} posts in one channel",
            "",
            "| posts | seconds | share of the allowance | 429s |",
            "| --- | --- | --- | --- |",
            f"| {measured.posts} | {measured.took_s:.1f} | {measured.used:.1%} | {measured.limited} |",
        ]
    )


async def backlog(stage: Stage, posts: int) -> Measured:
    """Let customers write far more than the channel takes, and follow until it is all there."""
    measured = Measured()
    seen = 0
    first = last = None
    with stage.wire.subscribe() as entries:
        for number in range((posts + RUN_UP) // (1 + MESSAGES_EACH) + 1):
            await _conversation(stage, number)
        async for entry in entries:
            if not _is_post(entry):
                continue
            seen += entry.status == 200
            if seen == RUN_UP and entry.status == 200:
                await _use_up_the_burst(stage)
            if entry.status == 429:
                measured.limited += seen >= RUN_UP
            if entry.status != 200 or seen <= RUN_UP:
                continue
            first = first or entry.at
            last = entry.at
            measured.posts += 1
            if measured.posts >= posts:
                break
    assert first is not None
    assert last is not None
    measured.took_s = (last - first).total_seconds()
    return measured


async def _use_up_the_burst(stage: Stage) -> None:
    """Take all there is, and what comes in the next two seconds."""
    until = time.monotonic() + stage.slack.clock.seconds(2)
    while time.monotonic() < until:
        stage.slack.pacing.wait_for(stage.slack.team.id, "chat.postMessage", None, stage.support.id)
        await asyncio.sleep(0.02)


async def _conversation(stage: Stage, number: int) -> None:
    name = f"Customer {number}"
    conversation = stage.writes(f"{name} begins", customer=name)
    for turn in range(1, MESSAGES_EACH):
        if turn % 2:
            stage.jollor.dashboard_replies(conversation, f"{name} is answered, {turn}")
        else:
            stage.writes(f"{name} goes on, {turn}", customer=name)
    await asyncio.sleep(0)


def _is_post(entry: WireEntry) -> bool:
    return (
        entry.finished
        and entry.end is End.SLACK
        and entry.direction is Direction.IN
        and entry.operation == "chat.postMessage"
    )
