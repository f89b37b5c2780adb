"""One run: traffic under kills and faults, then a time without new troubles, then the verdict."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random

from chaos import troubles
from chaos.evidence import Calls, collect
from chaos.people import People
from chaos.processes import LIVES_S, Killer, Process, processes_of
from chaos.story import tell
from chaos.verdict import Evidence, Rule, Verdict, judge
from tests.scenario.stage import Stage, open_stage

STORIES = 12
QUIET_S = 2.0
"""So long (real seconds) nothing may be missing or move before a run counts as settled."""
PATIENCE_REAL_S, PATIENCE_S = 40.0, 600.0
"""How long a run may take to settle after the last message: real seconds, and seconds of the sandbox."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run does. `messages` is the number each way, `per_s` their rate each way in real seconds."""

    messages: int = 150
    conversations: int = 12
    seed: int = 1
    scale: float = 25.0
    fault_rate: float = 0.05
    per_s: float = 7.5
    workers: int = 0
    lives_s: tuple[float, float] = LIVES_S
    broken: str | None = None
    patience: float = 1.0
    stop_at: frozenset[Rule] = frozenset()
    """Rules whose break is enough to know: what is broken for good need not be waited for."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run came to."""

    plan: Plan
    verdict: Verdict
    evidence: Evidence
    kills: int
    struck: Mapping[str, int]
    calls: Calls
    questions: int
    lost_by_slack: int
    has_settled: bool
    took_s: float
    story: str
    """Of what broke a promise."""
    log: str


async def run(plan: Plan, folder: Path, database_url: str) -> Outcome:
    """Make a run in `folder`, on a database that has all tables or (SQLite) does not exist yet."""
    began = time.monotonic()
    async with open_stage(folder, database_url, scale=plan.scale, start=False) as stage:
        processes = processes_of(stage, workers=plan.workers, broken=plan.broken)
        stage.service = processes[0]
        people = People(stage, Random(f"{plan.seed} people"), plan.conversations)
        calls = Calls()
        try:
            for process in processes:
                await process.start()
            await stage.link(stage.bakery, stage.support)
            dice = Random(f"{plan.seed} faults")
            rules = troubles.add_all(stage.faults, rate=plan.fault_rate, scale=plan.scale, dice=dice)
            with calls.watch(stage):

                def look() -> Evidence:
                    return collect(stage, people, calls)

                kills = await _traffic(plan, people, processes)
                people.cares.set()
                await _settle(plan, stage, people, look, quiet_s=0)  # what waited meets troubles, too
                struck = troubles.struck(rules)
                stage.faults.clear()
                has_settled = await _settle(plan, stage, people, look, quiet_s=QUIET_S)
            evidence = collect(stage, people, calls)
            verdict = judge(evidence)
            culprits = [what[:6] for whats in verdict.broken.values() for what in whats][:STORIES]
            await people.go_home()
            return Outcome(
                plan,
                verdict,
                evidence,
                kills,
                struck,
                calls,
                len(people.questions),
                len(stage.slack.courier.lost),
                has_settled,
                time.monotonic() - began,
                tell(stage, people, calls, dict.fromkeys(culprits)),
                "\n".join(process.said() for process in processes),
            )
        finally:
            await people.go_home()
            for process in processes:
                if process.process is not None:
                    await process.kill()


async def _traffic(plan: Plan, people: People, processes: list[Process]) -> int:
    """Let people write while processes are killed; return how often one was."""
    killers = [
        Killer(process, Random(f"{plan.seed} kills {number}"), plan.lives_s)
        for number, process in enumerate(processes)
    ]
    killing = [asyncio.ensure_future(killer.run()) for killer in killers]
    writing = asyncio.ensure_future(_write_both_ways(plan, people))
    tasks: list[asyncio.Future[None]] = [writing, *killing]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            if task.done():
                task.result()  # a killer never ends unless it fails
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for process in processes:  # one more for each, with everything in full swing; also ends a half start
        await process.kill()
        await process.start()
    return sum(killer.kills for killer in killers) + len(processes)


async def _write_both_ways(plan: Plan, people: People) -> None:
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_write(plan, "customers", people.customer_writes, lambda: True))
        tasks.create_task(_write(plan, "colleagues", people.colleague_types, people.can_answer))


async def _write(plan: Plan, who: str, act: Callable[[], None], can: Callable[[], bool]) -> None:
    dice = Random(f"{plan.seed} {who}")
    done = 0
    while done < plan.messages:
        await asyncio.sleep(dice.expovariate(plan.per_s))
        if can():
            act()
            done += 1


async def _settle(
    plan: Plan, stage: Stage, people: People, look: Callable[[], Evidence], *, quiet_s: float
) -> bool:
    """Wait until nothing is missing, nobody decides and nothing moves for `quiet_s`.

    False if that takes too long.
    """
    patience_s = (PATIENCE_REAL_S + PATIENCE_S / plan.scale) * plan.patience
    deadline = time.monotonic() + patience_s
    before: object = None
    quiet_since = time.monotonic()
    while time.monotonic() < deadline:
        verdict = await asyncio.to_thread(judge, look())
        if plan.stop_at & verdict.broken.keys():
            return False
        now = (
            len(stage.ledger.customers),
            len(stage.ledger.channels),
            tuple((rule, len(whats)) for rule, whats in verdict.broken.items()),
        )
        is_busy = bool(
            people.are_deciding or stage.slack.courier.under_way or stage.jollor.webhooks.under_way()
        )
        if is_busy or now != before or not verdict.is_kept:
            quiet_since = time.monotonic()
        elif time.monotonic() - quiet_since >= quiet_s:
            return True
        before = now
        await asyncio.sleep(0.5)
    return False


def _by_operation(calls: Calls) -> str:
    return ", ".join(f"{name} {times}/{calls.struck[name]}" for name, times in calls.made.most_common(8))


def table(outcome: Outcome) -> str:
    """Return the outcome for people: every rule, then what the run was made of."""
    verdict, evidence = outcome.verdict, outcome.evidence
    rows = [
        (rule.value, str(len(verdict.broken.get(rule, ())))) for rule in Rule if rule is not Rule.UNSETTLED
    ]
    rows.append(
        (
            "unknown outcomes settled without a person",
            f"{verdict.settled} of {verdict.settleable} visible in lists",
        )
    )
    marks = Counter(line.marks[0] if line.marks else "none" for line in evidence.lines)
    rows += [
        (
            "– messages of customers / lines of colleagues",
            f"{len(evidence.messages)} / {len(evidence.lines)}",
        ),
        ("– arrived at customers", str(len({r.line for r in evidence.received}))),
        ("– marks", ", ".join(f"{name} {times}" for name, times in marks.most_common())),
        ("– marked as late / as possible repeats in Slack", f"{verdict.late} / {verdict.repeats}"),
        ("– questions to people", str(outcome.questions)),
        (
            "– deliveries that Slack gave up / lines that no event told of",
            f"{outcome.lost_by_slack} / {len(verdict.not_taken)}",
        ),
        ("– SIGKILLs", str(outcome.kills)),
        ("– calls of the bridge / struck", f"{outcome.calls.made.total()} / {outcome.calls.struck.total()}"),
        ("– by operation", _by_operation(outcome.calls)),
        ("– troubles", ", ".join(f"{name} {times}" for name, times in outcome.struck.items())),
        ("– real seconds, settled", f"{outcome.took_s:.0f}, {'yes' if outcome.has_settled else 'no'}"),
    ]
    lines = ["| | |", "| --- | --- |", *(f"| {name} | {value} |" for name, value in rows)]
    for rule, whats in verdict.broken.items():
        lines.append(f"\n**{rule.value}**: {', '.join(whats[:20])}{' …' if len(whats) > 20 else ''}")
    return "\n".join([*lines, outcome.story])
