"""Edits and deletions: they count within the undo window, and are honestly said to come late after it."""

from __future__ import annotations

from pathlib import Path

from sandbox.faults import Fault, FaultKind
from sandbox.wire import End
from tests.outbound_support import A_SECOND, notices
from tests.scenario.stage import open_stage, shown


async def test_within_the_undo_window_an_edit_changes_and_a_deletion_cancels_what_is_sent(
    tmp_path: Path, migrated_sqlite_url: str
) -> None:
    async with open_stage(tmp_path, migrated_sqlite_url, environment=A_SECOND) as stage:
        slack, place = stage.slack, stage.support.id
        robin = stage.writes("Price?")
        root = await stage.thread("Price?")
        edited, deleted = stage.types("It is 4 euros", root), stage.types("You fool", root)
        hushed, tagged = stage.types("He is difficult", root), stage.types("Who knows?", root)
        unfurled = stage.types("See https://example.com/list", root)
        slack.edit(place, edited, "It is *5* euros &amp; a cent")
        slack.delete(place, deleted)
        slack.edit(place, hushed, "// He is difficult")
        slack.edit(place, tagged, f"<@{stage.anna.id}> who knows?")
        slack.people.unfurl(place, unfurled)
        for ts in (edited, unfurled):
            await stage.marked(ts, "white_check_mark")
        for ts in (hushed, tagged):
            await stage.marked(ts, "lock")
        assert stage.received(robin) == ["It is 5 euros &amp; a cent", "See https://example.com/list"]
        assert not notices(stage, root)

        # Too late now. What the bridge has not been told of the change before it sent, it says so.
        slack.people.unfurl(place, edited)
        slack.edit(place, edited, "It is 6 euros")
        said = await stage.line(root, "edited in Slack after it was sent")
        assert "It is 5 euros" in shown(said)
        slack.delete(place, unfurled)
        said = await stage.line(root, "deleted in Slack after it was sent")
        assert "https://example.com/list" in shown(said)
        slack.delete(place, hushed)
        slack.edit(place, tagged, "nobody knows")
        await slack.courier.idle()
        last = stage.types("Anything else?", root)
        await stage.marked(last, "white_check_mark")
        assert stage.received(robin)[2:] == ["Anything else?"]
        assert len(notices(stage, root)) == 2
        assert slack.marks(place, edited) == ["white_check_mark"]
        assert slack.marks(place, tagged) == ["lock"]


async def test_a_change_that_overtakes_its_line_counts(tmp_path: Path, migrated_sqlite_url: str) -> None:
    async with open_stage(tmp_path, migrated_sqlite_url, environment=A_SECOND) as stage:
        slack, place = stage.slack, stage.support.id
        robin = stage.writes("Price?")
        root = await stage.thread("Price?")
        stage.faults.add(End.SLACK, Fault(FaultKind.POSTPONE, seconds=20), "message", where={"text": "first"})
        edited, deleted = stage.types("at first 4", root), stage.types("at first wrong", root)
        slack.edit(place, edited, "now 5")
        slack.delete(place, deleted)
        await stage.marked(edited, "white_check_mark")
        await slack.courier.idle()
        last = stage.types("All said", root)
        await stage.marked(last, "white_check_mark")
        assert stage.received(robin) == ["now 5", "All said"]
        assert not notices(stage, root)
