"""The short form of the chaos run, and bridges that are broken on purpose: the verdict has to notice."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaos.run import Plan, run, table
from chaos.verdict import Rule
from sandbox.faults import Fault, FaultKind
from sandbox.wire import End
from tests.scenario.stage import open_stage

pytestmark = pytest.mark.timeout(300)


async def test_three_hundred_messages_under_kills_and_faults_are_neither_lost_nor_repeated(
    tmp_path: Path, migrated_sqlite_url: str
) -> None:
    outcome = await run(Plan(messages=150, conversations=12, seed=1), tmp_path, migrated_sqlite_url)
    told = f"{table(outcome)}\n{outcome.log}"
    assert outcome.verdict.is_kept, told
    assert outcome.has_settled, told
    # what was judged is what was meant to be judged
    assert outcome.kills >= 2, told
    assert outcome.calls.struck.total() >= 20, told
    assert len(outcome.evidence.received) >= 75, told


@pytest.mark.parametrize(
    ("broken", "rule"),
    [
        ("acknowledge-before-commit", Rule.LINE_LOST),
        ("repeat-on-time-out", Rule.LINE_REPEATED),
        ("one-lane-for-all", Rule.MESSAGE_MISPLACED),
    ],
)
async def test_a_bridge_that_is_broken_on_purpose_is_found_out(
    broken: str, rule: Rule, tmp_path: Path, migrated_sqlite_url: str
) -> None:
    irreparable = {rule} - {Rule.LINE_LOST}  # a line may still come
    plan = Plan(
        messages=60,
        conversations=6,
        fault_rate=0.2,
        broken=broken,
        patience=0.2,
        stop_at=frozenset(irreparable),
    )
    outcome = await run(plan, tmp_path, migrated_sqlite_url)
    assert outcome.verdict.broken.get(rule), f"{table(outcome)}\n{outcome.log}"


async def test_a_line_that_comes_while_jollor_is_slow_to_answer_for_the_next_one_still_goes_first(
    tmp_path: Path, migrated_sqlite_url: str
) -> None:
    """What the chaos run found: its place was lost while the later line was being prepared for long."""
    async with open_stage(tmp_path, migrated_sqlite_url) as stage:
        robin = stage.writes("Two questions")
        root = await stage.thread("Two questions")
        await stage.line(root, "Two questions")
        slow = Fault(FaultKind.DELAY, seconds=3.5 * stage.slack.clock.scale)
        for operation in ("getMessageCapabilities", "listConversationMessages"):
            stage.faults.add(End.JOLLOR, slow, operation, times=1)
        late = Fault(FaultKind.POSTPONE, seconds=0.5 * stage.slack.clock.scale)
        stage.faults.add(End.SLACK, late, "message", where={"text": "first"})
        first, second = stage.types("the first", root), stage.types("the second", root)
        await stage.customer_has(robin, "the first", "the second")
        for ts in (first, second):
            await stage.marked(ts, "white_check_mark")
