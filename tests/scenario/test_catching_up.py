"""What webhooks have missed is found by sweeps: on start and at intervals."""

from __future__ import annotations

import re
from pathlib import Path

import aiohttp

from sandbox.faults import Fault, FaultKind
from sandbox.slack import Message
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


def meanwhile(stage: Stage, root: Message) -> list[int]:
    """Return the numbers of the messages that came meanwhile, in the order of the thread."""
    text = " ".join(shown_text for m in stage.transcript(root) if (shown_text := m.text))
    return [int(number) for number in re.findall(r"meanwhile (\d\d)", text)]


async def test_what_came_while_the_bridge_was_away_is_shown_in_order_and_says_so(
    tmp_path: Path, migrated_sqlite_url: str
) -> None:
    async with open_stage(tmp_path, migrated_sqlite_url, scale=SCALE) as stage:
        stage.writes("before")
        root = await stage.thread("before")
        await stage.line(root, "before")
        await stage.service.kill()
        stage.faults.add(End.JOLLOR, Fault(FaultKind.DROP), "*_received")
        for number in range(25):
            stage.writes(f"meanwhile {number:02d}")
        stage.jollor.comment(stage.bakery, "instagram", "Mia", "a comment meanwhile")
        await stage.slack.clock.sleep(3 * 60)
        await stage.service.start()
        last = await stage.line(root, "meanwhile 24")
        assert "arrived while the bridge was away" in shown(last)
        assert meanwhile(stage, root) == [20, 21, 22, 23, 24]
        summary = await stage.line(root, "25 messages came while the bridge was away")
        (told,) = stage.seen("The bridge was away")
        assert "own posts, dialogues and lost profile connections" in shown(told)
        for _ in range(2):
            await stage.slack.press(stage.ben.id, stage.support.id, summary.ts, "load_all")
        loaded = await stage.line(root, "meanwhile 19")
        assert "arrived while the bridge was away" in shown(loaded)
        assert meanwhile(stage, root) == [*range(20, 25), *range(20)]
        await stage.line(root, f"<@{stage.ben.id}> had all of them loaded")
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


async def test_a_backfill_has_a_running_bridge_fetch_what_was_missed(
    tmp_path: Path, migrated_sqlite_url: str
) -> None:
    async with open_stage(tmp_path, migrated_sqlite_url) as stage:
        stage.faults.add(End.JOLLOR, Fault(FaultKind.DROP), "*_received")
        stage.writes("does anybody read this?")
        stage.jollor.comment(stage.bakery, "instagram", "Mia", "nor this?")
        code, said, complained = await stage.run("backfill", "Harbour Bakery", "--since", "1h")
        assert (code, complained) == (0, "")
        assert said.startswith("2 conversations and posts to look through.\n")
        assert said.endswith("Done: what was missed is in Slack, or on its way there.\n")
        await stage.thread("does anybody read this?")
        await eventually(lambda: stage.seen("Instagram"), what="the post", evidence=stage.evidence)
        code, _, complained = await stage.run("backfill", "--since", "2099-01-01")
        assert code == 2
        assert "a time that has passed" in complained
