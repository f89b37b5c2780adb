"""Lines reach the customer once each and in the order in which they were typed, whatever Slack does."""

from __future__ import annotations

from pathlib import Path

from sandbox.faults import Fault, FaultKind
from sandbox.wire import End
from tests.outbound_support import A_SECOND, notices, replies_sent
from tests.scenario.stage import eventually, open_stage, shown


async def test_lines_go_out_in_their_order_and_once_though_events_are_shuffled_and_come_eleven_times(
    tmp_path: Path, migrated_url: str
) -> None:
    window = {"BRIDGE_UNDO_WINDOW_S": "60"}
    async with open_stage(tmp_path, migrated_url, environment=window) as stage:
        robin = stage.writes("Tell me everything")
        root = await stage.thread("Tell me everything")
        stage.faults.add(End.SLACK, Fault(FaultKind.SHUFFLE, seconds=10), "message", where={"text": "line"})
        stage.faults.add(End.SLACK, Fault(FaultKind.DUPLICATE, copies=11), "message", where={"text": "4|5|6"})
        texts = [f"line {number}" for number in range(1, 7)]
        lines = [stage.types(text, root, by=[stage.anna, stage.ben][n % 2]) for n, text in enumerate(texts)]
        await stage.customer_has(robin, *texts)
        for line in lines:
            await stage.marked(line, "white_check_mark")

        # The same events again, the same lines as other events, and one line as two: nothing new.
        stage.slack.repeat_event(stage.support.id, lines[0], times=2)
        stage.slack.repeat_event(stage.support.id, lines[1], new_event_id=True, times=3)
        for _ in range(2):
            stage.slack.say(
                stage.ben.id, stage.support.id, "once only", thread_ts=root.ts, client_msg_id="one-line"
            )
        last = stage.types("the end", root)
        await stage.marked(last, "white_check_mark")
        await stage.slack.courier.idle()
        assert stage.received(robin) == [*texts, "once only", "the end"]
        assert len(replies_sent(stage)) == len(texts) + 2


async def test_a_line_that_comes_after_a_later_one_went_out_is_offered_and_not_sent_by_itself(
    tmp_path: Path, migrated_sqlite_url: str
) -> None:
    async with open_stage(tmp_path, migrated_sqlite_url) as stage:
        robin = stage.writes("Two questions")
        root = await stage.thread("Two questions")
        hold = stage.faults.add(
            End.SLACK, Fault(FaultKind.POSTPONE, seconds=30), "message", where={"text": "first|dropped"}
        )
        first, dropped = stage.types("the first", root), stage.types("to be dropped", root)
        second = stage.types("the second", root)
        await stage.marked(second, "white_check_mark")
        question = await eventually(lambda: notices(stage, root, "the first"), what="a question")
        other = await eventually(lambda: notices(stage, root, "to be dropped"), what="another question")
        assert stage.received(robin) == ["the second"]
        assert "before it" in shown(question[0])
        await stage.marked(first, "hourglass_flowing_sand")

        hold.enabled = False
        await stage.slack.press(stage.anna.id, stage.support.id, question[0].ts, "send_anyway")
        await stage.slack.press(stage.anna.id, stage.support.id, other[0].ts, "settle_drop")
        await stage.customer_has(robin, "the second", "the first")
        await stage.marked(first, "white_check_mark")
        third = stage.types("the third", root)
        await stage.marked(third, "white_check_mark")
        assert stage.received(robin) == ["the second", "the first", "the third"]
        assert len(stage.slack.marks(stage.support.id, dropped)) <= 1


async def test_a_reply_that_hangs_in_one_thread_does_not_hold_up_another(
    tmp_path: Path, migrated_sqlite_url: str
) -> None:
    async with open_stage(tmp_path, migrated_sqlite_url, environment=A_SECOND) as stage:
        slow, quick = stage.writes("I am slow", customer="Slow"), stage.writes("I am quick", customer="Quick")
        slow_root, quick_root = await stage.thread("I am slow"), await stage.thread("I am quick")
        stage.faults.add(
            End.JOLLOR, Fault(FaultKind.HANG_AFTER), "createMessageReply", where={"text": "stuck"}, times=1
        )
        stuck = stage.types("stuck", slow_root)
        await eventually(lambda: stage.received(slow), what="the stuck reply at the customer's")
        behind = stage.types("behind the stuck one", slow_root)
        answers = [stage.types(text, quick_root) for text in ("one", "two")]
        await stage.customer_has(quick, "one", "two")
        assert stage.received(slow) == ["stuck"]
        for ts in (*answers, stuck, behind):
            await stage.marked(ts, "white_check_mark")
        assert stage.received(slow) == ["stuck", "behind the stuck one"]
