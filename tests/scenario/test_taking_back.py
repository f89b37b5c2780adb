"""Second thoughts: a line held back from its menu, a correction after sending, a refused line sent again."""

from __future__ import annotations

from pathlib import Path

from sandbox.faults import Fault, FaultKind
from sandbox.wire import End
from tests.outbound_support import A_SECOND, commands, notices
from tests.scenario.stage import Stage, eventually, open_stage, shown


async def whispered(stage: Stage, words: str, *, times: int = 1) -> None:
    """Wait until Ben alone was shown `words` so many times."""

    def seen() -> int:
        return sum(words in str(one.blocks) for one in stage.slack.ephemerals(stage.ben.id))

    await eventually(lambda: seen() >= times, what=f"{words!r} for Ben", evidence=stage.evidence)
    assert seen() == times


async def test_a_line_is_held_back_in_time_and_corrected_or_sent_again_afterwards(
    tmp_path: Path, migrated_sqlite_url: str
) -> None:
    async with open_stage(tmp_path, migrated_sqlite_url, environment=A_SECOND) as stage:
        slack, place = stage.slack, stage.support.id
        robin = stage.writes("Price?")
        root = await stage.thread("Price?")
        fool = stage.types("You fool", root)
        reply = await slack.message_shortcut(stage.ben.id, place, fool, "hold_back")
        assert reply.error is None
        await stage.marked(fool, "lock")
        await whispered(stage, "Held back")

        line = stage.types("It is 4 euros", root)
        await stage.marked(line, "white_check_mark")
        await whispered(stage, "goes to the customer 20 s later")
        assert (await slack.message_shortcut(stage.ben.id, place, line, "hold_back")).error is None
        await whispered(stage, "Too late to hold this back")
        slack.edit(place, line, "It is 5 euros")
        note = await stage.line(root, "edited in Slack after it was sent")
        assert "Sent: It is 4 euros" in shown(note)
        assert "Now: It is 5 euros" in shown(note)
        for _ in range(2):
            await slack.press(stage.anna.id, place, note.ts, "send_correction")
        await stage.customer_has(robin, "It is 4 euros", "It is 5 euros")
        await stage.marked(note.ts, "white_check_mark")
        note = await stage.line(root, "has this correction sent")
        assert "send_correction" not in str(note.blocks)

        stage.faults.add(
            End.JOLLOR, Fault(FaultKind.STATUS, status=422, body="{}"), "createMessageReply", times=1
        )
        refused = stage.types("And a cent", root)
        await stage.marked(refused, "x")
        refusal = await stage.line(root, "Jollor refused it")
        await slack.press(stage.ben.id, place, refusal.ts, "send_again")
        await stage.marked(refused, "white_check_mark")
        assert stage.received(robin) == ["It is 4 euros", "It is 5 euros", "And a cent"]
        assert len(notices(stage, root)) == 2
        await whispered(stage, "goes to the customer 20 s later")
        assert slack.marks(place, line) == ["white_check_mark"]

        await commands(stage, f"link {stage.bakery.name} <#{place}> undo 0", "go to the customer at once")
        await commands(stage, "projects", "undo window 0 s")
        code, said, _ = await stage.run("link", stage.bakery.id, place, "--undo-window", "7.5")
        assert (code, "go to the customer 7.5 s later" in said) == (0, True)
