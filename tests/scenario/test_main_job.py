"""The main job over real HTTP: a private message becomes a thread, a thread reply reaches the customer."""

from __future__ import annotations

from pathlib import Path

from tests.scenario.stage import open_stage


async def test_a_dm_becomes_a_thread_and_a_thread_reply_reaches_the_customer(
    tmp_path: Path, migrated_url: str
) -> None:
    async with open_stage(tmp_path, migrated_url) as stage:
        robin = stage.writes("Are you open on Sunday?")
        root = await stage.thread("Are you open on Sunday?")
        await stage.line(root, "Are you open on Sunday?")
        ts = stage.types("Yes, from eight to noon.", root)
        await stage.customer_has(robin, "Yes, from eight to noon.")
        await stage.marked(ts, "white_check_mark")
