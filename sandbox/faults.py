"""The fault script: which calls go wrong, how, how often.

The two servers ask it at each call (`take`) and let it act (`run`); it knows nothing of either service. Its
words are in `sandbox.rules` and can be had from here.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from random import Random
from typing import TypeVar

from aiohttp import web

from sandbox.clock import SandboxClock
from sandbox.rules import (
    ABANDONING_KINDS,
    HIDING_KINDS,
    MADE_KINDS,
    RECEIVED_KINDS,
    Call,
    CallerGets,
    Fault,
    FaultKind,
    Plan,
    Rule,
)
from sandbox.wire import End

__all__ = [
    "ABANDONING_KINDS",
    "HIDING_KINDS",
    "MADE_KINDS",
    "RECEIVED_KINDS",
    "Call",
    "CallerGets",
    "ConnectionCut",
    "Fault",
    "FaultKind",
    "Faults",
    "Plan",
    "Rule",
    "cut",
]

log = logging.getLogger(__name__)

Answer = TypeVar("Answer")


class Faults:
    """The script of one sandbox, shared by both ends."""

    def __init__(self, *, clock: SandboxClock, seed: int = 0) -> None:
        self._clock = clock
        self._random = Random(seed)
        self._rules: dict[str, Rule] = {}
        self._last_id = 0
        self._effects: set[asyncio.Task[object]] = set()
        self._released = asyncio.Event()

    # ---- the script

    def add(
        self,
        end: End,
        fault: Fault | FaultKind,
        operation: str = "*",
        *,
        path: str | None = None,
        where: Mapping[str, str] | None = None,
        predicate: Callable[[Call], bool] | None = None,
        times: int | None = None,
        probability: float = 1.0,
        enabled: bool = True,
        rule_id: str | None = None,
    ) -> Rule:
        """Add a rule; older rules win. A given `rule_id` replaces the rule of that id, in its place."""
        if rule_id is None:
            self._last_id += 1
            rule_id = f"fault-{self._last_id}"
        rule = Rule(
            id=rule_id,
            end=end,
            fault=fault if isinstance(fault, Fault) else Fault(fault),
            operation=operation,
            path=path,
            where=where or {},
            predicate=predicate,
            times=times,
            probability=probability,
            enabled=enabled,
        )
        self._rules[rule_id] = rule
        return rule

    def remove(self, rule_id: str) -> None:
        """Take a rule out; unknown ids are fine."""
        self._rules.pop(rule_id, None)

    def clear(self) -> None:
        """Take all rules out. Effects that are already under way still come."""
        self._rules.clear()

    def switch(self, rule_id: str, on: bool) -> Rule:
        """Switch a rule on, with its full number of times again, or off. KeyError if there is none."""
        rule = self._rules[rule_id]
        rule.enabled = on
        if on:
            rule.applied = 0
        return rule

    def rules(self) -> list[Rule]:
        return list(self._rules.values())

    # ---- asked by the servers

    def take(self, call: Call, kinds: frozenset[FaultKind] = RECEIVED_KINDS) -> Rule | None:
        """The first rule of these kinds that strikes `call` now, counted as applied."""
        for rule in self._rules.values():
            if rule.fault.kind in kinds and self._strikes(rule, call):
                return rule
        return None

    def hidden_for_s(self, call: Call) -> float:
        """For how many real seconds what `call` makes stays out of lists."""
        rule = self.take(call, HIDING_KINDS)
        return 0.0 if rule is None else self._clock.seconds(rule.fault.seconds)

    def plan(self, call: Call) -> Plan:
        """When, and how often, an outgoing `call` is to be made. All rules that strike add up."""
        struck = [
            rule
            for rule in self._rules.values()
            if rule.fault.kind in MADE_KINDS and self._strikes(rule, call)
        ]
        copies, dropped = 1, False
        for rule in struck:
            match rule.fault.kind:
                case FaultKind.DUPLICATE:
                    copies *= rule.fault.copies
                case FaultKind.DROP:
                    dropped = True
                case _:
                    pass
        delays = () if dropped else tuple(self._delay_s(struck) for _ in range(copies))
        return Plan(delays, "+".join(rule.fault.kind.value for rule in struck) or None)

    async def run(
        self,
        request: web.Request,
        rule: Rule | None,
        act: Callable[[], Coroutine[object, object, web.StreamResponse]],
    ) -> web.StreamResponse:
        """Answer `request` by `act`, or as `rule` wants it.

        Once begun, `act` is carried through even if the caller hangs up. Raises ConnectionCut after the
        connection was cut.
        """
        if rule is None:
            return await self._carried_through(act())
        fault = rule.fault
        match fault.kind:
            case FaultKind.DELAY:
                await self._clock.sleep(fault.seconds)
                return await self._carried_through(act())
            case FaultKind.STATUS:
                return fault.response()
            case FaultKind.STATUS_AFTER:
                await self._carried_through(act())
                return fault.response()
            case FaultKind.CUT_BEFORE:
                raise cut(request)
            case FaultKind.CUT_AFTER:
                await self._carried_through(act())
                raise cut(request)
            case FaultKind.HANG:
                return await self.hang(request)
            case FaultKind.HANG_AFTER:
                await self._carried_through(act())
                return await self.hang(request)
            case FaultKind.LATE:
                self._own(self._after(fault.seconds, act))
                return await self._without_effect(request, fault)
            case _:
                raise ValueError(f"{fault.kind} is no fault of a received call")

    async def hang(self, request: web.Request) -> web.StreamResponse:
        """Never answer: ends by cancellation (the caller hung up) or ConnectionCut (the sandbox stops)."""
        await self._released.wait()
        raise cut(request)

    async def stop(self) -> None:
        """Let hanging calls go; late effects that have not come by now never come."""
        self._released.set()
        effects = list(self._effects)
        for effect in effects:
            effect.cancel()
        await asyncio.gather(*effects, return_exceptions=True)

    # ---- inside

    def _strikes(self, rule: Rule, call: Call) -> bool:
        if not rule.matches(call):
            return False
        if rule.probability < 1.0 and self._random.random() >= rule.probability:
            return False
        rule.applied += 1
        return True

    def _delay_s(self, struck: list[Rule]) -> float:
        delay = 0.0
        for rule in struck:
            match rule.fault.kind:
                case FaultKind.POSTPONE:
                    delay += rule.fault.seconds
                case FaultKind.SHUFFLE:
                    delay += self._random.uniform(0, rule.fault.seconds)
                case _:
                    pass
        return self._clock.seconds(delay)

    async def _without_effect(self, request: web.Request, fault: Fault) -> web.StreamResponse:
        match fault.caller_gets:
            case CallerGets.NOTHING:
                return await self.hang(request)
            case CallerGets.CUT:
                raise cut(request)
            case CallerGets.STATUS:
                return fault.response()

    async def _after(
        self, seconds: float, act: Callable[[], Coroutine[object, object, web.StreamResponse]]
    ) -> web.StreamResponse:
        await self._clock.sleep(seconds)
        return await act()

    async def _carried_through(self, effect: Coroutine[object, object, Answer]) -> Answer:
        return await asyncio.shield(self._own(effect))

    def _own(self, effect: Coroutine[object, object, Answer]) -> "asyncio.Task[Answer]":
        task = asyncio.ensure_future(effect)
        self._effects.add(task)
        task.add_done_callback(self._forget)
        return task

    def _forget(self, task: "asyncio.Task[object]") -> None:
        self._effects.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, web.HTTPException):
            log.error("sandbox.effect_failed", exc_info=error)  # perhaps nobody waits for it any more


class ConnectionCut(Exception):
    """The connection under the request is gone; there is nobody to answer."""


def cut(request: web.Request) -> ConnectionCut:
    """Reset the connection of `request` at once; raise what is returned."""
    if request.transport is not None:
        request.transport.abort()
    return ConnectionCut()
