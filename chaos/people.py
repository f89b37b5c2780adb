"""The people of a run: customers who write, colleagues who answer and decide what the bridge asks them."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass, field
from random import Random

from sandbox.jollor.model import Message
from sandbox.ledger import ChannelAction, ChannelReceipt, CustomerReceipt
from sandbox.slack import Message as SlackMessage
from sandbox.slack.people import NotPossible
from tests.scenario.stage import Stage, shown

MESSAGE = re.compile(r"\bQ\d{5}\b")
LINE = re.compile(r"\bA\d{5}\b")
CUSTOMER = re.compile(r"\bCustomer \d{3}\b")

ARRIVED, AGAIN, DROP, ANYWAY, SEND = "It did arrive", "Send again", "Drop", "Send anyway", "Send"
LOAD_ALL = "Load all"
DECISIONS = frozenset({ARRIVED, AGAIN, DROP, ANYWAY, SEND})
"""What buttons of a question are called."""

INTERNAL_SHARE = 0.08
AS_TWO_EVENTS = 0.04
"""So many lines arrive as a second event with an id of its own."""
UNDECIDED = 0.1
"""So many questions nobody answers while there is traffic."""
PRESSES = 20
"""So often at most, if the buttons stay."""
THINKS_S = (5.0, 30.0)
"""How long a person takes to decide, in seconds of the sandbox."""


@dataclass(frozen=True, slots=True)
class Typed:
    """A line as it was typed."""

    id: str
    ts: str
    conversation: str
    text: str
    is_internal: bool


@dataclass
class Question:
    """A notice with buttons; `subject` is the line that they decide about, `lines` all that it shows."""

    ts: str
    subject: str
    lines: tuple[str, ...]
    labels: frozenset[str]
    is_doubt: bool
    choice: str | None = None


@dataclass
class People:
    """Acts, and remembers who did what. Conversations are known by their customers' names."""

    stage: Stage
    dice: Random
    conversations: int
    messages: dict[str, Message] = field(default_factory=dict)
    typed: dict[str, Typed] = field(default_factory=dict)
    roots: dict[str, str] = field(default_factory=dict)
    """Root's `ts` by customer: the newest, where there are several."""
    home: dict[str, str] = field(default_factory=dict)
    """Customer by root's `ts`, of all roots."""
    questions: dict[str, Question] = field(default_factory=dict)
    arrived: Counter[str] = field(default_factory=Counter)
    cares: asyncio.Event = field(default_factory=asyncio.Event)
    """From when on nobody leaves a question open."""
    pressed: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(line, what was pressed about it), also if nobody heard the press."""
    _deciding: set[asyncio.Task[None]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.stage.ledger.watch(self._see)

    # --- writing -------------------------------------------------------------------------------------

    def customer_writes(self) -> None:
        """Somebody writes; the first customers write most (Zipf)."""
        number = self.dice.choices(range(self.conversations), self._weights(self.conversations))[0]
        id_ = f"Q{len(self.messages):05d}"
        name = f"Customer {number:03d}"
        conversation = self.stage.writes(f"{id_} are you open <on> Sunday & Monday?", customer=name)
        self.messages[id_] = conversation.messages[-1]

    def can_answer(self) -> bool:
        """Some thread is to be seen."""
        return bool(self.roots)

    def colleague_types(self) -> None:
        """Somebody answers in one of the threads that are to be seen."""
        known = sorted(self.roots)
        name = self.dice.choices(known, self._weights(len(known)))[0]
        id_ = f"A{len(self.typed):05d}"
        is_internal = self.dice.random() < INTERNAL_SHARE
        text = f"// {id_} ask the baker first" if is_internal else f"{id_} yes, from eight & until noon"
        ts = self.stage.types(text, self.roots[name])
        self.typed[id_] = Typed(id_, ts, name, text, is_internal)
        if self.dice.random() < AS_TWO_EVENTS:
            self.stage.slack.repeat_event(self.stage.support.id, ts, new_event_id=True)

    def _weights(self, many: int) -> list[float]:
        return [1 / (rank + 1) for rank in range(many)]

    # --- seeing --------------------------------------------------------------------------------------

    def _see(self, receipt: CustomerReceipt | ChannelReceipt) -> None:
        if isinstance(receipt, CustomerReceipt):
            self.arrived.update(LINE.findall(receipt.sent_text))
        elif receipt.action is ChannelAction.POSTED and receipt.metadata_id is not None:
            message = self.stage.slack.message(receipt.channel, receipt.ts)
            if not message.is_reply:
                self._see_root(message)
            else:
                self._see_question(message)
                self._see_flood(message)

    def _see_root(self, message: SlackMessage) -> None:
        found = CUSTOMER.search(shown(message))
        if found and kind_of(message) == "root":
            self.roots[found[0]] = message.ts
            self.home[message.ts] = found[0]

    def _see_question(self, message: SlackMessage) -> None:
        labels = frozenset(label for label, _ in _buttons(message)) & DECISIONS
        lines = tuple(dict.fromkeys(LINE.findall(shown(message))))
        if not labels or not lines:
            return
        is_collision = ANYWAY in labels  # shows the other answer first
        question = Question(message.ts, lines[-1 if is_collision else 0], lines, labels, ARRIVED in labels)
        self.questions[message.ts] = question
        self._begin(self._decide(question))

    def _see_flood(self, message: SlackMessage) -> None:
        if LOAD_ALL in dict(_buttons(message)):
            self._begin(self._load_all(message.ts))

    async def _load_all(self, ts: str) -> None:
        """Press until the button is gone: somebody wants to read all of it."""
        for _ in range(PRESSES):
            await self.stage.slack.clock.sleep(self.dice.uniform(*THINKS_S))
            actions = dict(_buttons(self.stage.slack.message(self.stage.support.id, ts)))
            if LOAD_ALL not in actions:
                return
            try:
                await self.stage.slack.press(self.stage.ben.id, self.stage.support.id, ts, actions[LOAD_ALL])
            except (NotPossible, KeyError, LookupError, AssertionError):
                return  # redrawn meanwhile

    def _begin(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.ensure_future(work)
        self._deciding.add(task)
        task.add_done_callback(self._deciding.discard)

    # --- deciding ------------------------------------------------------------------------------------

    async def _decide(self, question: Question) -> None:
        """Press until the buttons are gone; some questions nobody answers until the end."""
        if self.dice.random() < UNDECIDED:
            await self.cares.wait()
        for _ in range(PRESSES):
            await self.stage.slack.clock.sleep(self.dice.uniform(*THINKS_S))
            message = self.stage.slack.message(self.stage.support.id, question.ts)
            actions = dict(_buttons(message))
            if not DECISIONS & actions.keys():
                return
            if question.choice is None or question.choice == AGAIN:
                question.choice = self._choice(question)
            self.pressed[question.subject, question.choice] += 1
            try:
                await self.stage.slack.press(
                    self.stage.ben.id, self.stage.support.id, question.ts, actions[question.choice]
                )
            except (NotPossible, KeyError, LookupError, AssertionError):
                return  # redrawn meanwhile

    def _choice(self, question: Question) -> str:
        if question.is_doubt and self.arrived[question.subject]:
            return ARRIVED
        offered = sorted(question.labels & {AGAIN, ANYWAY, SEND})
        return offered[0] if self.dice.random() < 0.75 or DROP not in question.labels else DROP

    @property
    def are_deciding(self) -> bool:
        """Somebody has not pressed yet, or the buttons are still there."""
        return bool(self._deciding)

    async def go_home(self) -> None:
        """Stop deciding."""
        tasks = list(self._deciding)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def kind_of(message: SlackMessage) -> str:
    """Return the kind that the bridge wrote into the message's metadata."""
    return str(message.metadata["event_payload"]["kind"]) if message.metadata else ""


def _buttons(message: SlackMessage) -> Iterator[tuple[str, str]]:
    """Yield label and `action_id` of a message's buttons."""
    for block in message.blocks:
        for element in block.get("elements", []):
            if element.get("type") == "button":
                yield str(element["text"]["text"]), str(element["action_id"])
