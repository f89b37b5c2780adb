"""A trace as data."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Hop:
    """One thing that happened. `what` and `reason` are words for people; they may hold `<@U…>` and `<#C…>`.

    `times` and `until` tell of a hop that repeated itself, `at` is the first time then. What `begins` a trace
    goes first whatever its time: it is told by another clock than ours.
    """

    at: datetime
    what: str
    attempt: int | None = None
    reason: str = ""
    times: int = 1
    until: datetime | None = None
    begins: bool = False


@dataclass(frozen=True, slots=True)
class Trace:
    """What became of one message: `about` says what it is, `remarks` what the hops cannot show."""

    about: str
    hops: tuple[Hop, ...]
    remarks: tuple[str, ...] = ()


def in_order(hops: Iterable[Hop]) -> tuple[Hop, ...]:
    """Return hops by time; those of the same moment stay as they came. Repetitions become one hop."""
    ordered: list[Hop] = []
    for hop in sorted(hops, key=lambda hop: (not hop.begins, hop.at)):
        last = ordered[-1] if ordered else None
        if last is not None and (last.what, last.reason) == (hop.what, hop.reason):
            ordered[-1] = replace(last, times=last.times + hop.times, until=hop.until or hop.at)
        else:
            ordered.append(hop)
    return tuple(ordered)
