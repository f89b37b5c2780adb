"""Lines of which Slack has stopped telling: found by reading threads, sent or offered, each once."""

from __future__ import annotations

from pathlib import Path

from sandbox.faults import Fault, FaultKind
from sandbox.slack import Limits
from sandbox.wire import End
from tests.outbound_support import notices
from tests.scenario.stage import eventually, open_stage, shown


async def test_a_line_that_slack_stopped_telling_of_is_sent_once_while_it_is_young(
    tmp_path: Path, migrated_sqlite_url: str
) -> None:
    async with open_stage(tmp_path, migrated_sqlite_url) as stage:
        robin = stage.writes("Open?")
        root = await stage.thread("Open?")
        told_of = stage.types("In a moment", root)
        await stage.marked(told_of, "white_check_mark")
        await stage.service.kill()
        stage.faults.add(End.SLACK, Fault(FaultKind.DROP), "message")
        young = stage.types("Until noon", root)
        note = stage.types("// ask the baker", root)
        await stage.service.start()
        await stage.customer_has(robin, "In a moment", "Until noon")
        await stage.marked(young, "white_check_mark")
        await stage.marked(note, "lock")
        assert not notices(stage, root)
        stage.faults.clear()
        for ts in (told_of, young, note):
            stage.slack.repeat_event(stage.support.id, ts, times=2, new_event_id=True)
        after = stage.types("Bye", root)
        await stage.marked(after, "white_check_mark")
        await stage.slack.courier.idle()
        assert stage.received(robin) == ["In a moment", "Until noon", "Bye"]


async def test_a_line_that_slack_gave_up_while_the_bridge_was_away_for_long_is_offered(
    tmp_path: Path, migrated_sqlite_url: str
) -> None:
    async with open_stage(tmp_path, migrated_sqlite_url, scale=100.0) as stage:
        slack, place = stage.slack, stage.support.id
        robin = stage.writes("Open?")
        root = await stage.thread("Open?")
        await stage.line(root, "Open?")
        await stage.service.kill()
        line = stage.types("Yes, from eight", root)
        await eventually(lambda: slack.courier.lost, what="Slack gives up", evidence=stage.evidence)
        await slack.clock.sleep(5 * 60)
        await stage.service.start()
        await stage.marked(line, "hourglass_flowing_sand")
        (question,) = await eventually(
            lambda: notices(stage, root, "while I was away"), what="the question", evidence=stage.evidence
        )
        assert "Yes, from eight" in shown(question)
        assert stage.received(robin) == []
        await slack.press(stage.ben.id, place, question.ts, "send_anyway")
        await stage.marked(line, "white_check_mark")
        await stage.service.kill()
        await stage.service.start()
        slack.repeat_event(place, line, new_event_id=True)
        await slack.courier.idle()
        await eventually(
            lambda: not notices(stage, root, "while I was away"), what="no question", evidence=stage.evidence
        )
        assert stage.received(robin) == ["Yes, from eight"]


async def test_an_install_with_one_read_a_minute_finds_what_it_can_and_doctor_names_the_way_out(
    tmp_path: Path, migrated_sqlite_url: str
) -> None:
    limits = Limits(reads_are_restricted=True)
    async with open_stage(tmp_path, migrated_sqlite_url, limits=limits) as stage:
        robin = stage.writes("Open?")
        root = await stage.thread("Open?")
        await stage.line(root, "Open?")
        for number in range(20):
            stage.slack.say(stage.ben.id, stage.support.id, f"talk {number}")
        stage.faults.add(End.SLACK, Fault(FaultKind.DROP), "message")
        await stage.service.kill()
        line = stage.types("Yes.", root)
        await stage.service.start()
        await stage.marked(line, "white_check_mark")
        assert stage.received(robin) == ["Yes."]
        _, said, _ = await stage.run("doctor")
        (reading,) = [row for row in said.splitlines() if "Slack reading" in row]
        assert "one read a minute" in reading
        assert "Delayed Events" in reading
