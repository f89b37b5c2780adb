"""What became of a reply stands on its line: one mark, and where something is left to do, words."""

from __future__ import annotations

from pathlib import Path

from sandbox.faults import CallerGets, Fault, FaultKind
from sandbox.wire import End
from tests.outbound_support import A_SECOND, notices, replies_sent
from tests.scenario.stage import eventually, open_stage, shown

REPLY = "createMessageReply"


async def test_what_jollor_does_not_take_is_refused_with_words_a_quote_and_a_way_on(
    tmp_path: Path, migrated_url: str
) -> None:
    async with open_stage(tmp_path, migrated_url) as stage:
        robin = stage.writes("Tell me")
        root = await stage.thread("Tell me")
        fine = stage.types("Gladly.", root)
        await stage.marked(fine, "white_check_mark")

        robin.max_reply_length = 20
        long = stage.types("This is 5 over twenty 🙂 .", root)
        await stage.marked(long, "x")
        said = await stage.line(root, "characters too long")
        assert "This is 5 characters too long; at most 20" in shown(said)
        assert "This is 5 over twenty" in shown(said)
        robin.reply_allowed = False
        closed = stage.types("Hello?", root)
        await stage.marked(closed, "x")
        await stage.line(root, "does not allow a reply")
        assert len(replies_sent(stage)) == 1

        robin.reply_allowed = True
        stage.faults.add(End.JOLLOR, Fault(FaultKind.STATUS, status=422, body="{}"), REPLY, times=1)
        refused = stage.types("No luck", root)
        await stage.marked(refused, "x")
        said = await stage.line(root, "Jollor refused it")
        assert "No luck" in shown(said)
        assert "Open in Jollor" in shown(said)
        again = stage.types("Good luck", root)
        await stage.marked(again, "white_check_mark")
        assert stage.received(robin) == ["Gladly.", "Good luck"]
        assert len(replies_sent(stage)) == 3
        assert len(notices(stage, root)) == 3
        for ts, mark in ((fine, "white_check_mark"), (long, "x"), (closed, "x"), (refused, "x")):
            assert stage.slack.marks(stage.support.id, ts) == [mark]


async def test_what_surely_was_not_sent_goes_out_later_by_itself(
    tmp_path: Path, migrated_sqlite_url: str
) -> None:
    async with open_stage(tmp_path, migrated_sqlite_url, environment=A_SECOND) as stage:
        robin = stage.writes("Are you there?")
        root = await stage.thread("Are you there?")
        stage.faults.add(End.JOLLOR, Fault(FaultKind.STATUS, status=429, retry_after=30), REPLY, times=1)
        limited = stage.types("Not so fast", root)
        behind = stage.types("And this", root)
        await stage.marked(limited, "hourglass_flowing_sand")
        await stage.marked(behind, "hourglass_flowing_sand")
        assert stage.received(robin) == []
        await stage.customer_has(robin, "Not so fast", "And this")
        for ts in (limited, behind):
            await stage.marked(ts, "white_check_mark")

        await stage.jollor.down()
        away = stage.types("Anybody?", root)
        await stage.marked(away, "hourglass_flowing_sand")
        await stage.jollor.up()
        await stage.marked(away, "white_check_mark")
        stage.jollor.expire_tokens()
        renewed = stage.types("With a new token", root)
        await stage.marked(renewed, "white_check_mark")
        assert stage.received(robin) == ["Not so fast", "And this", "Anybody?", "With a new token"]
        assert not notices(stage, root)


async def test_an_unknown_outcome_is_never_repeated_and_ends_as_what_it_turned_out_to_be(
    tmp_path: Path, migrated_sqlite_url: str
) -> None:
    arrived = {
        "cut-after": Fault(FaultKind.CUT_AFTER),
        "hang-after": Fault(FaultKind.HANG_AFTER),
        "500-after": Fault(FaultKind.STATUS_AFTER, status=500),
        "late": Fault(FaultKind.LATE, seconds=30, caller_gets=CallerGets.CUT),
    }
    not_there = {
        "cut": Fault(FaultKind.CUT_BEFORE),
        "hang": Fault(FaultKind.HANG),
        "502": Fault(FaultKind.STATUS, status=502),
    }
    async with open_stage(tmp_path, migrated_sqlite_url, scale=60) as stage:
        lines = {}
        for name, fault in {**arrived, **not_there}.items():
            stage.faults.add(End.JOLLOR, fault, REPLY, where={"text": f"^{name}$"}, times=1)
            stage.writes(f"I am {name}.", customer=name)
        for name in (*arrived, *not_there):
            lines[name] = stage.types(name, await stage.thread(f"I am {name}."))
        for name in arrived:
            await stage.marked(lines[name], "white_check_mark")
        for name in not_there:
            await stage.marked(lines[name], "warning")
        for name in (*arrived, *not_there):
            has = stage.received(stage.writes("Thanks", customer=name))
            assert has == ([name] if name in arrived else [])
        assert len(replies_sent(stage)) == len(lines)
        questions = [m for m in stage.seen("Send again") if m.is_reply]
        assert len(questions) == len(not_there)
        await eventually(
            lambda: all(len(stage.slack.marks(stage.support.id, ts)) == 1 for ts in lines.values()),
            what="one mark on each line",
            evidence=stage.evidence,
        )
