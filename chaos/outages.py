"""`python -m chaos.outages`: one end away for minutes, hours or more than a day, and what people saw of it.

The other troubles of the chaos run stay off: what is asked here is whether everything that can be listed is
there afterwards, in order, and what stood in the channel meanwhile. The verdict is the same as the chaos
run's, with one thing more: a line that Slack gave up for good has to be found as well.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

from bridge.store import schema
from chaos.evidence import Calls, collect
from chaos.people import People
from chaos.processes import Process, processes_of
from chaos.seen import seen_by_people
from chaos.verdict import Evidence, Verdict, judge
from sandbox.faults import Fault, FaultKind
from sandbox.wire import End
from tests.scenario.stage import Stage, eventually, open_stage, shown

CUSTOMERS = 4
BEFORE, DURING, AFTER = 8, 40, 8
"""How many messages customers write (and colleagues type) before, during and after."""
SETTLES_REAL_S, SETTLES_S = 60.0, 900.0
QUIET_S = 3.0


@dataclass(frozen=True, slots=True)
class Outage:
    """`who` is away for `hours`; `scale` divides all waiting times of both ends."""

    who: str
    hours: float
    scale: float

    @property
    def name(self) -> str:
        """In words."""
        span = f"{self.hours * 60:.0f} minutes" if self.hours < 1 else f"{self.hours:g} hours"
        return f"{self.who} away for {span}"


OUTAGES = (
    Outage("bridge", 1 / 6, 30),
    Outage("slack", 1 / 6, 30),
    Outage("jollor", 1 / 6, 30),
    Outage("bridge", 10, 1200),
    Outage("slack", 10, 1200),
    Outage("jollor", 10, 1200),
    Outage("bridge", 30, 2400),
)


@dataclass(frozen=True, slots=True)
class Aftermath:
    """How it ended. `missing` names what is not there although it can be listed."""

    outage: Outage
    verdict: Verdict
    missing: tuple[str, ...]
    has_settled: bool
    channel: str
    log: str

    @property
    def is_well(self) -> bool:
        """Everything is there, every promise was kept."""
        return self.verdict.is_kept and not self.missing and self.has_settled


async def go_through(outage: Outage, folder: Path, database_url: str, *, seed: int = 1) -> Aftermath:
    """Go through one outage on a database that has all tables."""
    async with open_stage(folder, database_url, scale=outage.scale, start=False) as stage:
        stage.jollor.switches.post_members = (
            True  # comments come with their text, so that they can be told apart
        )
        process = processes_of(stage, workers=0, broken=None)[0]
        stage.service = process
        people = People(stage, Random(f"{seed} people"), CUSTOMERS)
        people.cares.set()
        calls = Calls()
        comments: list[str] = []
        try:
            await process.start()
            await stage.link(stage.bakery, stage.support)
            with calls.watch(stage):

                def look() -> Evidence:
                    return _strictly(collect(stage, people, calls))

                await _write(stage, people, comments, BEFORE, 120.0)
                await _settled(outage, stage, people, comments, look)
                async with _away(outage, stage, process):
                    can_type = outage.who != "slack"
                    await _write(stage, people, comments, DURING, outage.hours * 3600, can_type=can_type)
                await _write(stage, people, comments, AFTER, 60.0)
                has_settled = await _settled(outage, stage, people, comments, look)
            verdict = judge(look())
            return Aftermath(
                outage,
                verdict,
                tuple(_missing(stage, comments)),
                has_settled,
                seen_by_people(stage, outage.scale),
                process.said(),
            )
        finally:
            await people.go_home()
            if process.process is not None:
                await process.kill()


@contextlib.asynccontextmanager
async def _away(outage: Outage, stage: Stage, process: Process) -> AsyncIterator[None]:
    match outage.who:
        case "bridge":
            await process.kill()
            yield
            await process.start()
        case "slack":
            await stage.slack.down()
            yield
            await stage.slack.up()
        case _:
            # What happens at the networks meanwhile gets into Jollor later, and it announces nothing.
            rule = stage.faults.add(End.JOLLOR, Fault(FaultKind.DROP), "*")
            await stage.jollor.down()
            yield
            await stage.jollor.up()
            stage.faults.remove(rule.id)


async def _write(
    stage: Stage,
    people: People,
    comments: list[str],
    many: int,
    within_s: float,
    *,
    can_type: bool = True,
) -> None:
    """Let customers write and comment, and colleagues answer, evenly spread over `within_s`."""
    for number in range(many):
        people.customer_writes()
        if can_type and people.can_answer():
            people.colleague_types()
        if number % 4 == 0:
            comments.append(f"K{len(comments):05d} nice bread")
            stage.jollor.comment(stage.bakery, "facebook", "Sam", comments[-1])
        await stage.slack.clock.sleep(within_s / many)


def _strictly(evidence: Evidence) -> Evidence:
    """A line that Slack gave up for good counts like any other: it stands in a thread that can be read."""
    return replace(evidence, lines=[replace(line, is_taken=True) for line in evidence.lines])


def _missing(stage: Stage, comments: list[str]) -> list[str]:
    roots = [shown(root) for root in stage.slack.roots(stage.support.id)]
    webhook = stage.jollor.webhook(stage.bakery)
    off = [] if webhook is not None and webhook.is_active else ["a webhook that is switched on"]
    return [*off, *(text for text in comments if sum(text in root for root in roots) != 1)]


async def _settled(
    outage: Outage, stage: Stage, people: People, comments: list[str], look: Callable[[], Evidence]
) -> bool:
    """Wait until nothing is missing and nothing moves; False if that takes too long."""
    loop = asyncio.get_running_loop()
    quiet_since, before = loop.time(), object()

    def is_quiet() -> bool:
        nonlocal quiet_since, before
        now: object = (len(stage.ledger.customers), len(stage.ledger.channels))
        is_well = judge(look()).is_kept and not _missing(stage, comments) and not people.are_deciding
        if now != before or not is_well:
            quiet_since, before = loop.time(), now
        return loop.time() - quiet_since >= QUIET_S

    try:
        await eventually(is_quiet, within_s=SETTLES_REAL_S + SETTLES_S / outage.scale)
    except AssertionError:
        return False
    return True


def main() -> None:
    """Go through the outages, or those of one end; print what came of each and what the channel showed."""
    parser = argparse.ArgumentParser(prog="python -m chaos.outages", description=main.__doc__)
    parser.add_argument("--who", choices=("bridge", "slack", "jollor"))
    parser.add_argument("--hours", type=float, help="only the outages of about this length")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--channel", action="store_true", help="print what people saw, too")
    chosen = parser.parse_args()
    are_well = True
    for outage in OUTAGES:
        if chosen.who not in (None, outage.who):
            continue
        if chosen.hours is not None and abs(outage.hours - chosen.hours) > 0.1:
            continue
        with tempfile.TemporaryDirectory(prefix="outage-") as folder:
            url = f"sqlite+aiosqlite:///{folder}/bridge.db"
            asyncio.run(schema.migrate(url))
            after = asyncio.run(go_through(outage, Path(folder), url, seed=chosen.seed))
        are_well = are_well and after.is_well
        sys.stdout.write(f"{_told(after, with_channel=chosen.channel)}\n")
        sys.stdout.flush()
    raise SystemExit(0 if are_well else 1)


def _told(after: Aftermath, *, with_channel: bool) -> str:
    broken = "; ".join(f"{rule}: {', '.join(whats[:6])}" for rule, whats in after.verdict.broken.items())
    words = "everything is there, in order" if after.is_well else f"NOT WELL {broken}"
    if after.missing:
        words += f"; missing: {', '.join(after.missing[:6])}"
    if not after.has_settled:
        words += "; not settled in time"
    late = f"{after.verdict.late} messages marked as late, {after.verdict.repeats} as possible repeats"
    told = f"{after.outage.name} (time scale {after.outage.scale:g}): {words}; {late}"
    if not after.is_well:
        told += f"\n{after.log[-3000:]}"
    return f"{told}\n\n{after.channel}\n" if with_channel else told


if __name__ == "__main__":
    main()
