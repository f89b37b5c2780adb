"""Tells what happened to a line, from the sandbox's records: what to read when a promise broke."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from chaos.evidence import Calls
from chaos.people import LINE, People
from tests.scenario.stage import Stage

NEIGHBOURS = 3
"""So many lines of the conversation before and after are told, too."""


def tell(stage: Stage, people: People, calls: Calls, lines: Iterable[str]) -> str:
    """Return, for each of `lines`, its story and that of its neighbours, in order of time."""
    return "\n\n".join(
        "\n".join(_about(stage, people, calls, line)) for line in lines if line in people.typed
    )


def _about(stage: Stage, people: People, calls: Calls, line: str) -> Iterator[str]:
    same = [one for one in people.typed.values() if one.conversation == people.typed[line].conversation]
    at = next(number for number, one in enumerate(same) if one.id == line)
    near = {one.id for one in same[max(0, at - NEIGHBOURS) : at + NEIGHBOURS + 1]}
    happened = [*_typed(people, near), *_called(calls, near), *_received(stage, near), *_asked(people, near)]
    yield f"{line} in the thread of {people.typed[line].conversation}:"
    for when, what in sorted(happened):
        yield f"  {when:%H:%M:%S.%f} {what}"


def _typed(people: People, lines: set[str]) -> Iterator[tuple[datetime, str]]:
    for id_ in lines:
        yield datetime.fromtimestamp(float(people.typed[id_].ts), UTC), f"{id_} typed"


def _called(calls: Calls, lines: set[str]) -> Iterator[tuple[datetime, str]]:
    for entry in calls.replies:
        for id_ in set(LINE.findall(entry.request)) & lines:
            answer = entry.status or "no answer"
            yield entry.at, f"{id_} sent: {answer} after {entry.duration_s:.2f} s {entry.fault or ''}"


def _received(stage: Stage, lines: set[str]) -> Iterator[tuple[datetime, str]]:
    for receipt in stage.ledger.customers:
        for id_ in set(LINE.findall(receipt.sent_text)) & lines:
            yield receipt.at, f"{id_} arrived"


def _asked(people: People, lines: set[str]) -> Iterator[tuple[datetime, str]]:
    for question in people.questions.values():
        if set(question.lines) & lines:
            labels = "/".join(sorted(question.labels))
            yield (
                datetime.fromtimestamp(float(question.ts), UTC),
                f"asked about {question.subject} ({labels}), showing {', '.join(question.lines)}; "
                f"pressed: {question.choice or 'nothing'}",
            )
