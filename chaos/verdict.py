"""What the bridge promises, as rules over what customers and Slack channels really have. Pure.

The evidence comes from the sandbox's ledger and state (`chaos.evidence`), never from the bridge's database.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

ACCEPTED, DOUBT, FAILED, WAITING, INTERNAL = (
    "white_check_mark",
    "warning",
    "x",
    "hourglass_flowing_sand",
    "lock",
)
"""The marks of a line, by Slack's names."""

ENOUGH_SETTLED = 0.99
"""Of the replies whose outcome was unknown and whose effect lists showed in time."""


class Rule(StrEnum):
    """What must not happen."""

    MESSAGE_LOST = "customers' messages lost"
    MESSAGE_DOUBLED = "messages twice in Slack, not marked as possible repeats"
    MESSAGE_MISPLACED = "messages in another conversation's thread"
    MESSAGE_UNORDERED = "messages out of order in Slack, not marked as late"
    CARD_DOUBLED = "threads opened twice"
    LINE_LOST = "lines lost"
    LINE_REPEATED = "lines repeated to a customer without a person's word"
    LINE_UNORDERED = "lines out of order at a customer, nobody asked"
    LINE_LEAKED = "internal lines at a customer"
    LINE_CHANGED = "texts at a customer that nobody typed"
    LINE_UNMARKED = "lines without a mark"
    LINE_AMBIGUOUS = "lines with more than one mark"
    MARK_FALSE = "marks that are not true"
    UNSETTLED = f"unknown outcomes settled without a person below {ENOUGH_SETTLED:.0%}"


@dataclass(frozen=True, slots=True)
class Message:
    """A customer's message. `order` grows with its time within the conversation; equal means no order."""

    id: str
    conversation: str
    order: int


@dataclass(frozen=True, slots=True)
class Shown:
    """A post of the bridge that shows messages, in the thread of `conversation` (None: in no known one)."""

    conversation: str | None
    messages: tuple[str, ...]
    is_late: bool = False
    is_repeat: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    """A line that a person typed in the thread of `conversation`.

    `is_taken`: the bridge has answered Slack's event with 200; else it has to find the line itself. `marks`
    are the bot's at the end. `is_asked`: the bridge has asked people about it or offered it behind one that
    it asked about. `again` counts how often people had it sent again. `is_gone`: a person decided against it.
    """

    id: str
    conversation: str
    order: int
    is_internal: bool = False
    is_taken: bool = True
    marks: tuple[str, ...] = ()
    is_asked: bool = False
    again: int = 0
    is_gone: bool = False


@dataclass(frozen=True, slots=True)
class Received:
    """A text that arrived at a customer; `line` None if nobody typed it so."""

    conversation: str
    line: str | None


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything, in the order in which it took effect. `cards` names each opened thread's conversation.

    `settleable`: lines whose outcome was unknown to the bridge, and whose effect lists showed in time;
    `doubted`: lines of which people were asked whether they arrived.
    """

    messages: Sequence[Message] = ()
    shown: Sequence[Shown] = ()
    cards: Sequence[str] = ()
    lines: Sequence[Line] = ()
    received: Sequence[Received] = ()
    settleable: frozenset[str] = frozenset()
    doubted: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was broken, each with what it was broken by; `late` and `repeats` count what is allowed."""

    broken: Mapping[Rule, tuple[str, ...]]
    settled: int
    settleable: int
    late: int = 0
    repeats: int = 0
    not_taken: tuple[str, ...] = field(default=())

    @property
    def is_kept(self) -> bool:
        """Every promise was kept."""
        return not any(self.broken.values())


def judge(evidence: Evidence) -> Verdict:
    """Hold the evidence against every rule."""
    broken: defaultdict[Rule, list[str]] = defaultdict(list)
    for rule, what in (*_of_messages(evidence), *_of_lines(evidence)):
        broken[rule].append(what)
    unsettled = sorted(evidence.settleable & evidence.doubted)
    total = len(evidence.settleable)
    if total and (total - len(unsettled)) / total < ENOUGH_SETTLED:
        broken[Rule.UNSETTLED] += unsettled
    return Verdict(
        {rule: tuple(whats) for rule, whats in broken.items()},
        settled=total - len(unsettled),
        settleable=total,
        late=sum(post.is_late for post in evidence.shown),
        repeats=sum(post.is_repeat for post in evidence.shown),
        not_taken=tuple(line.id for line in evidence.lines if not line.is_taken),
    )


# --- to Slack ----------------------------------------------------------------------------------------


def _of_messages(evidence: Evidence) -> Iterator[tuple[Rule, str]]:
    home = {message.id: message.conversation for message in evidence.messages}
    placed = {id_ for post in evidence.shown for id_ in post.messages if home.get(id_) == post.conversation}
    for message in evidence.messages:
        if message.id not in placed:
            yield Rule.MESSAGE_LOST, message.id
    for post in evidence.shown:
        for id_ in post.messages:
            if home.get(id_) != post.conversation:
                yield Rule.MESSAGE_MISPLACED, id_
    for conversation, times in Counter(evidence.cards).items():
        if times > 1:
            yield Rule.CARD_DOUBLED, conversation
    yield from _doubled(evidence.shown)
    yield from _unordered_posts(evidence)


def _doubled(shown: Iterable[Shown]) -> Iterator[tuple[Rule, str]]:
    unmarked = Counter(id_ for post in shown if not post.is_repeat for id_ in post.messages)
    for id_, times in unmarked.items():
        if times > 1:
            yield Rule.MESSAGE_DOUBLED, id_


def _unordered_posts(evidence: Evidence) -> Iterator[tuple[Rule, str]]:
    order = {message.id: message.order for message in evidence.messages}
    newest: dict[str | None, int] = {}
    seen: set[str] = set()
    for post in evidence.shown:
        for id_ in post.messages:
            if id_ in seen or id_ not in order:
                continue
            seen.add(id_)
            last = newest.get(post.conversation, order[id_])
            if order[id_] < last and not post.is_late:
                yield Rule.MESSAGE_UNORDERED, id_
            newest[post.conversation] = max(last, order[id_])


# --- to customers ------------------------------------------------------------------------------------


def _of_lines(evidence: Evidence) -> Iterator[tuple[Rule, str]]:
    lines = {line.id: line for line in evidence.lines}
    arrived: Counter[str] = Counter()
    for receipt in evidence.received:
        line = lines.get(receipt.line or "")
        if line is None or line.conversation != receipt.conversation:
            yield Rule.LINE_CHANGED, f"{receipt.line or 'unknown'} in {receipt.conversation}"
        else:
            arrived[line.id] += 1
    for line in evidence.lines:
        yield from _of_line(line, arrived[line.id])
    yield from _unordered_lines(lines, evidence.received)


def _of_line(line: Line, times: int) -> Iterator[tuple[Rule, str]]:
    marks = set(line.marks)
    said = f"{line.id} ({', '.join(line.marks) or 'no mark'})"
    if line.is_internal:
        if times:
            yield Rule.LINE_LEAKED, said
        elif marks - {INTERNAL}:
            yield Rule.MARK_FALSE, said
    else:
        if times > 1 + line.again:
            yield Rule.LINE_REPEATED, f"{said}: {times} times"
        if not times and not _is_told(line, marks):
            yield Rule.LINE_LOST, said
        if (times and marks & {FAILED, INTERNAL}) or (not times and ACCEPTED in marks):
            yield Rule.MARK_FALSE, f"{said}: arrived {times} times"
    if not marks:
        yield Rule.LINE_UNMARKED, line.id
    if len(marks) > 1:
        yield Rule.LINE_AMBIGUOUS, said


def _is_told(line: Line, marks: set[str]) -> bool:
    """The writer knows that it may not have arrived: it is refused, or people were asked about it."""
    return FAILED in marks or line.is_gone or (line.is_asked and bool(marks & {DOUBT, WAITING}))


def _unordered_lines(lines: Mapping[str, Line], received: Iterable[Received]) -> Iterator[tuple[Rule, str]]:
    newest: dict[str, int] = {}
    seen: set[str] = set()
    for receipt in received:
        line = lines.get(receipt.line or "")
        if line is None or line.id in seen:
            continue
        seen.add(line.id)
        last = newest.get(receipt.conversation, line.order)
        if line.order < last and not line.is_asked:
            yield Rule.LINE_UNORDERED, line.id
        newest[receipt.conversation] = max(last, line.order)
