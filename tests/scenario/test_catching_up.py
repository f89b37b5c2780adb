"""What webhooks have missed is found by sweeps: on start and at intervals."""

from __future__ import annotations

from pathlib import Path

import aiohttp

from sandbox.faults import Fault, FaultKind
from sandbox.wire import End
from tests.scenario.stage import Stage, eventually, open_stage, shown

SCALE = 100.0


async def metric(stage: Stage, name: str) -> float:
    async with aiohttp.ClientSession() as session, session.get(f"{stage.service.url}/metrics") as answer:
        lines = (await answer.text()).splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(name))


async def test_a_message_whose_webhook_was_lost_is_shown_and_counted(
    tmp_path: Path, migrated_sqlite_url: str
) -> None:
    async with open_stage(tmp_path, migrated_sqlite_url, scale=SCALE) as stage:
        stage.faults.add(End.JOLLOR, Fault(FaultKind.DROP), "message_*")
        stage.writes("does anybody read this?")
        root = await stage.thread("does anybody read this?")
        stage.writes("and this?")
        await stage.line(root, "and this?")
        while await metric(stage, "bridge_lost_webhooks_total") < 2:
            await stage.slack.clock.sleep(60)  # until their webhooks cannot merely be late any more


async def test_what_came_while_the_bridge_was_away_is_shown_in_order_and_says_so(
    tmp_path: Path, migrated_sqlite_url: str
) -> None:
    async with open_stage(tmp_path, migrated_sqlite_url, scale=SCALE) as stage:
        stage.writes("before")
        root = await stage.thread("before")
        await stage.line(root, "before")
        await stage.service.kill()
        stage.faults.add(End.JOLLOR, Fault(FaultKind.DROP), "*_received")
        for number in range(3):
            stage.writes(f"meanwhile {number}")
        stage.jollor.comment(stage.bakery, "instagram", "Mia", "a comment meanwhile")
        await stage.slack.clock.sleep(3 * 60)
        await stage.service.start()
        last = await stage.line(root, "meanwhile 2")
        assert "arrived while the bridge was away" in shown(last)
        texts = [shown(m) for m in stage.transcript(root)]
        assert [n for n in range(3) for t in texts if f"meanwhile {n}" in t] == [0, 1, 2]
        await eventually(
            lambda: [m for m in stage.seen("Instagram") if not m.is_reply],
            what="the post",
            evidence=stage.evidence,
        )
        assert await metric(stage, "bridge_lost_webhooks_total") == 0


async def test_posts_from_before_the_link_are_not_shown(tmp_path: Path, migrated_sqlite_url: str) -> None:
    async with open_stage(tmp_path, migrated_sqlite_url, scale=SCALE, link=False) as stage:
        stage.jollor.comment(stage.bakery, "instagram", "Mia", "an old comment")
        stage.writes("an old message", customer="Old")
        await stage.link(stage.bakery, stage.support)
        stage.jollor.comment(stage.bakery, "facebook", "Tom", "a new comment")
        await eventually(lambda: stage.seen("Facebook"), what="the new post", evidence=stage.evidence)
        swept = stage.wire.entries(end=End.JOLLOR)
        await eventually(
            lambda: (
                sum(e.operation == "listIncomingPosts" for e in stage.wire.entries(end=End.JOLLOR))
                > sum(e.operation == "listIncomingPosts" for e in swept) + 1
            ),
            what="two more sweeps",
            evidence=stage.evidence,
        )
        assert not stage.seen("Instagram")
        assert not stage.seen("an old message")
