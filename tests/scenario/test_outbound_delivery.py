"""Slack's events over HTTP when they cannot be stored: refused, sent again by Slack, done once."""

from __future__ import annotations

from pathlib import Path

from tests.outbound_support import locked, told
from tests.scenario.stage import eventually, open_stage


async def test_a_line_that_cannot_be_stored_is_answered_with_500_and_sent_once_when_slack_repeats_it(
    tmp_path: Path, migrated_sqlite_url: str
) -> None:
    async with open_stage(tmp_path, migrated_sqlite_url) as stage:
        robin = stage.writes("Open?")
        root = await stage.thread("Open?")
        await stage.line(root, "Open?")
        with locked(migrated_sqlite_url):
            line = stage.types("In bad times", root)
            await eventually(lambda: told(stage, "In bad times"), what="an answer")
            assert stage.received(robin) == []
        await stage.marked(line, "white_check_mark")
        assert [entry.status for entry in told(stage, "In bad times")] == [500, 200]
        stage.slack.repeat_event(stage.support.id, line, times=3)
        after = stage.types("In good times", root)
        await stage.marked(after, "white_check_mark")
        await stage.slack.courier.idle()
        assert stage.received(robin) == ["In bad times", "In good times"]
        assert not stage.slack.courier.lost
