"""The short form of the chaos run, and bridges that are broken on purpose: the verdict has to notice."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaos.run import Plan, run, table
from chaos.verdict import Rule

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
