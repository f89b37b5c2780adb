"""What goes wrong during a run: every way that the sandbox knows, each with its share of all calls.

Dice are the run's own, seeded. The order in which calls arrive depends on the machine, so a seed repeats the
same load of troubles, not the same second-by-second story.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Callable
from random import Random

from sandbox.faults import Call, CallerGets, Fault, FaultKind, Faults
from sandbox.rules import Rule
from sandbox.wire import End

CALL_LIMIT_REAL_S = 5.0
"""No call of the bridge lasts longer, however the time is scaled."""

DUPLICATED = ((11, 0.02), (5, 0.05), (2, 0.20))
"""So many copies in all, for this share of webhooks and events."""
SHUFFLED, SHUFFLED_S = 0.15, 20.0
DROPPED = 0.05
"""Webhooks only: what Slack drops for good is lost by Slack, until lines are read back from its threads."""
ABANDONED = 0.03

EVENTS = {End.JOLLOR: "message_*", End.SLACK: "message*"}
SETTLED_LATEST_S = 100.0
"""What is in lists this long after an outcome became unknown has to be found: the last look is at 120 s."""


def add_all(faults: Faults, *, rate: float, scale: float, dice: Random) -> list[Rule]:
    """Let the share `rate` of all received calls fail, and calls made be repeated, shuffled, dropped."""
    rules = []
    for end in End:
        kinds = _failures(end, scale)
        rules += [_with_chance(faults, end, fault, "*", rate / len(kinds), dice) for fault in kinds]
        rules += _of_made_calls(faults, end, dice)
    for operation in ("createMessageReply", "message_received"):
        for seconds in (3.0, 20.0, 60.0):
            hidden = Fault(FaultKind.HIDDEN, seconds=seconds)
            rules.append(_with_chance(faults, End.JOLLOR, hidden, operation, rate / 3, dice))
    hidden = Fault(FaultKind.HIDDEN, seconds=5)
    rules.append(_with_chance(faults, End.SLACK, hidden, "chat.postMessage", rate, dice))
    return rules


def _failures(end: End, scale: float) -> list[Fault]:
    after_giving_up_s = (CALL_LIMIT_REAL_S + 0.5) * scale
    common = [
        Fault(FaultKind.DELAY, seconds=5),
        Fault(FaultKind.STATUS, status=429, retry_after=3),
        Fault(FaultKind.STATUS, status=429),
        Fault(FaultKind.STATUS, status=500),
        Fault(FaultKind.STATUS, status=503),
        Fault(FaultKind.STATUS_AFTER, status=502),
        Fault(FaultKind.CUT_BEFORE),
        Fault(FaultKind.CUT_AFTER),
        Fault(FaultKind.HANG),
        Fault(FaultKind.HANG_AFTER),
    ]
    if end is End.SLACK:
        broken = '{"ok": false, "error": "internal_error"}'
        return [
            *common,
            Fault(FaultKind.STATUS_AFTER, status=200, body=broken),
            # Half a minute after its attempt the bridge takes a post as not made: Slack is not later.
            Fault(FaultKind.LATE, seconds=15, caller_gets=CallerGets.CUT),
            Fault(FaultKind.LATE, seconds=20, caller_gets=CallerGets.STATUS),
        ]
    return [
        *common,
        Fault(FaultKind.LATE, seconds=30, caller_gets=CallerGets.CUT),
        Fault(FaultKind.LATE, seconds=60, caller_gets=CallerGets.STATUS),
        Fault(FaultKind.LATE, seconds=after_giving_up_s, caller_gets=CallerGets.NOTHING),
        # later than the bridge's last look: people are asked, and then it arrives
        Fault(FaultKind.LATE, seconds=300, caller_gets=CallerGets.CUT),
    ]


def _of_made_calls(faults: Faults, end: End, dice: Random) -> list[Rule]:
    events = EVENTS[end]
    rules, lower = [], 0.0
    for copies, share in DUPLICATED:
        fault = Fault(FaultKind.DUPLICATE, copies=copies)
        rules.append(faults.add(end, fault, events, predicate=_drawn_between(lower, lower + share)))
        lower += share
    shuffle = Fault(FaultKind.SHUFFLE, seconds=SHUFFLED_S)
    rules.append(_with_chance(faults, end, shuffle, events, SHUFFLED, dice))
    rules.append(_with_chance(faults, end, Fault(FaultKind.ABANDON), events, ABANDONED, dice))
    if end is End.JOLLOR:
        rules.append(_with_chance(faults, end, Fault(FaultKind.DROP), events, DROPPED, dice))
    return rules


def _with_chance(faults: Faults, end: End, fault: Fault, operation: str, chance: float, dice: Random) -> Rule:
    return faults.add(end, fault, operation, predicate=lambda _: dice.random() < chance)


def _drawn_between(low: float, high: float) -> Callable[[Call], bool]:
    """One draw per event, so that none gets two shares of copies."""

    def is_in(call: Call) -> bool:
        name = "".join(call.facts.get(fact, "") for fact in ("message", "event_id"))
        return low <= zlib.crc32(f"{call.operation}{name}".encode()) / 2**32 < high

    return is_in


def struck(rules: list[Rule]) -> Counter[str]:
    """Return how often each kind of trouble struck."""
    counted: Counter[str] = Counter()
    for rule in rules:
        counted[rule.fault.kind.value] += rule.applied
    return counted
