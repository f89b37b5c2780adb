"""Replies whose outcome is unknown: looked for, asked about, never repeated by the bridge alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandbox.faults import Fault, FaultKind
from sandbox.jollor.switches import Echo
from sandbox.slack import Message
from sandbox.wire import End
from tests.scenario.stage import Stage, eventually, open_stage, shown

SCALE = 60.0
REPLY = "createMessageReply"


async def question(stage: Stage, root: Message, text: str) -> Message:
    """Wait for the notice that asks what to do about `text`."""

    def look() -> Message | None:
        found = [m for m in stage.replies(root) if "Send again" in shown(m) and text in shown(m)]
        return found[0] if found else None

    return await eventually(look, what=f"a question about {text!r}", evidence=stage.evidence)


def sweeps(stage: Stage) -> int:
    return len(stage.wire.entries(end=End.JOLLOR, operation="listIncomingPosts"))


def looks(stage: Stage) -> int:
    return len(stage.wire.entries(end=End.JOLLOR, operation="listConversationMessages"))


@pytest.mark.parametrize("kind", [FaultKind.CUT_AFTER, FaultKind.HANG_AFTER, FaultKind.STATUS_AFTER])
async def test_a_reply_that_arrived_without_an_answer_is_found_and_not_repeated(
    tmp_path: Path, migrated_sqlite_url: str, kind: FaultKind
) -> None:
    async with open_stage(tmp_path, migrated_sqlite_url, scale=SCALE) as stage:
        stage.jollor.switches.echo = Echo.NEVER
        robin = stage.writes("Open?")
        root = await stage.thread("Open?")
        stage.faults.add(End.JOLLOR, Fault(kind, status=502), REPLY, times=1)
        ts = stage.types("Yes.", root)
        await stage.marked(ts, "white_check_mark")
        assert stage.received(robin) == ["Yes."]
        assert not [m for m in stage.replies(root) if "Send again" in shown(m)]


async def test_a_reply_that_is_not_found_is_asked_about_and_what_waits_goes_on_after_the_decision(
    tmp_path: Path, migrated_sqlite_url: str
) -> None:
    async with open_stage(tmp_path, migrated_sqlite_url, scale=SCALE) as stage:
        robin = stage.writes("Open?")
        root = await stage.thread("Open?")
        stage.faults.add(End.JOLLOR, Fault(FaultKind.CUT_BEFORE), REPLY, times=1)
        first = stage.types("Yes, we are.", root)
        await stage.marked(first, "hourglass_flowing_sand")
        second = stage.types("Until noon.", root)
        asked = await question(stage, root, "Yes, we are.")
        await stage.marked(first, "warning")
        assert "Until noon." in shown(asked)
        assert stage.received(robin) == []
        for _ in range(2):
            await stage.slack.press(stage.ben.id, stage.support.id, asked.ts, "settle_send_again")
        await stage.customer_has(robin, "Yes, we are.", "Until noon.")
        await stage.marked(first, "white_check_mark")
        await stage.marked(second, "white_check_mark")
        await eventually(
            lambda: "Send again" not in shown(asked) and stage.ben.id in shown(asked),
            what="the question is closed with who decided",
            evidence=stage.evidence,
        )
        assert stage.received(robin) == ["Yes, we are.", "Until noon."]


async def test_a_person_can_say_that_it_arrived_or_drop_it(tmp_path: Path, migrated_sqlite_url: str) -> None:
    async with open_stage(tmp_path, migrated_sqlite_url, scale=SCALE) as stage:
        robin = stage.writes("Open?")
        root = await stage.thread("Open?")
        stage.faults.add(End.JOLLOR, Fault(FaultKind.CUT_BEFORE), REPLY, times=2)
        one = stage.types("It is one.", root)
        asked = await question(stage, root, "It is one.")
        await stage.slack.press(stage.ben.id, stage.support.id, asked.ts, "settle_arrived")
        await stage.marked(one, "white_check_mark")
        two = stage.types("It is two.", root)
        asked = await question(stage, root, "It is two.")
        await stage.slack.press(stage.ben.id, stage.support.id, asked.ts, "settle_drop")
        await eventually(lambda: "dropped" in shown(asked), what="dropped", evidence=stage.evidence)
        await stage.marked(two, "warning")
        three = stage.types("It is three.", root)
        await stage.marked(three, "white_check_mark")
        assert stage.received(robin) == ["It is three."]


async def test_a_late_effect_after_sending_again_is_reported_as_the_double_it_is(
    tmp_path: Path, migrated_sqlite_url: str
) -> None:
    async with open_stage(tmp_path, migrated_sqlite_url, scale=SCALE) as stage:
        robin = stage.writes("Open?")
        root = await stage.thread("Open?")
        stage.faults.add(End.JOLLOR, Fault(FaultKind.LATE, seconds=SCALE * 8), REPLY, times=1)
        ts = stage.types("Yes, we are.", root)
        asked = await question(stage, root, "Yes, we are.")
        assert stage.received(robin) == []
        await stage.slack.press(stage.ben.id, stage.support.id, asked.ts, "settle_send_again")
        await stage.marked(ts, "white_check_mark")
        await stage.customer_has(robin, "Yes, we are.", "Yes, we are.")
        await stage.line(root, "arrived twice")
        assert not stage.transcript(root)[1:], "neither is shown as somebody else's"


async def test_an_answer_from_elsewhere_that_nobody_here_saw_stops_the_send(
    tmp_path: Path, migrated_sqlite_url: str
) -> None:
    async with open_stage(
        tmp_path, migrated_sqlite_url, scale=SCALE, environment={"BRIDGE_UNDO_WINDOW_S": "60"}
    ) as stage:
        robin = stage.writes("Open?")
        root = await stage.thread("Open?")
        stage.faults.add(End.JOLLOR, Fault(FaultKind.DROP), "message_*")
        swept, looked = sweeps(stage), looks(stage)  # after these nobody hears of what comes now for a while
        await eventually(
            lambda: sweeps(stage) > swept and looks(stage) > looked,
            what="a sweep, and its look at a lively conversation",
            evidence=stage.evidence,
        )
        stage.types("Yes, from eight.", root)
        stage.jollor.dashboard_replies(robin, "No, closed today.")

        def look() -> Message | None:
            found = [m for m in stage.replies(root) if "Send anyway" in shown(m)]
            return found[0] if found else None

        asked = await eventually(look, what="a question", evidence=stage.evidence)
        assert "No, closed today." in shown(asked)
        assert stage.received(robin) == ["No, closed today."]
        await stage.slack.press(stage.ben.id, stage.support.id, asked.ts, "send_anyway")
        await stage.customer_has(robin, "No, closed today.", "Yes, from eight.")
