"""The words of the fault script: what can go wrong, with which figures, for which calls."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from fnmatch import fnmatchcase

from aiohttp import web
from pydantic import JsonValue

from sandbox.wire import Direction, End


class FaultKind(StrEnum):
    """What goes wrong. `seconds` below are those of the fault, in the sandbox's time."""

    # calls that the sandbox receives
    DELAY = "delay"  # waits for `seconds`, then acts as usual; a caller who hangs up meanwhile stops it
    STATUS = "status"  # answers `status`; no effect
    STATUS_AFTER = "status_after"  # takes effect, answers `status` all the same
    CUT_BEFORE = "cut_before"  # cuts the connection; no effect
    CUT_AFTER = "cut_after"  # takes effect, cuts the connection instead of answering
    HANG = "hang"  # never answers; no effect
    HANG_AFTER = "hang_after"  # takes effect, never answers
    LATE = "late"  # takes effect after `seconds` whatever the caller does; `caller_gets` says what it sees
    HIDDEN = (
        "hidden"  # what the call makes appears in lists only after `seconds` (together with any of the above)
    )
    # calls that the sandbox makes: webhooks and events
    DUPLICATE = "duplicate"  # made `copies` times in all
    SHUFFLE = "shuffle"  # each waits for a random time of up to `seconds`, so that later ones overtake
    POSTPONE = "postpone"  # waits for `seconds`
    DROP = "drop"  # never made
    ABANDON = "abandon"  # made, but hung up after `seconds` without reading the answer: counts as failed


RECEIVED_KINDS = frozenset(
    {
        FaultKind.DELAY,
        FaultKind.STATUS,
        FaultKind.STATUS_AFTER,
        FaultKind.CUT_BEFORE,
        FaultKind.CUT_AFTER,
        FaultKind.HANG,
        FaultKind.HANG_AFTER,
        FaultKind.LATE,
    }
)
HIDING_KINDS = frozenset({FaultKind.HIDDEN})
MADE_KINDS = frozenset({FaultKind.DUPLICATE, FaultKind.SHUFFLE, FaultKind.POSTPONE, FaultKind.DROP})
ABANDONING_KINDS = frozenset({FaultKind.ABANDON})


class CallerGets(StrEnum):
    """What the caller sees of a call that takes effect late."""

    NOTHING = "nothing"  # no answer, the connection stays open
    CUT = "cut"
    STATUS = "status"


@dataclass(frozen=True)
class Fault:
    """What goes wrong, with its figures. Members that the kind does not use are ignored."""

    kind: FaultKind
    seconds: float = 0.0
    status: int = 503
    retry_after: int | None = None  # seconds in the Retry-After header; None leaves the header out
    body: str = ""
    content_type: str = "application/json"
    caller_gets: CallerGets = CallerGets.NOTHING
    copies: int = 2

    def response(self) -> web.Response:
        """The answer of STATUS, STATUS_AFTER and of LATE that answers a status."""
        headers = {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}
        return web.Response(
            status=self.status, text=self.body, content_type=self.content_type, headers=headers
        )


@dataclass(frozen=True)
class Call:
    """A call as rules see it.

    `operation` is an operationId of Jollor's API, a Slack method (`chat.postMessage`), or the type of the
    event sent. `facts` are what rules may ask for by name: project, conversation, provider, channel, text …
    """

    end: End
    operation: str
    path: str = ""
    direction: Direction = Direction.IN
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Rule:
    """A fault and the calls that it applies to.

    `operation` may hold the wildcards `*` and `?`; `path` and the values of `where` are regular expressions
    that are searched for. `times` None means without end; `applied` counts.
    """

    id: str
    end: End
    fault: Fault
    operation: str = "*"
    path: str | None = None
    where: Mapping[str, str] = field(default_factory=dict)
    predicate: Callable[[Call], bool] | None = None
    times: int | None = None
    probability: float = 1.0
    enabled: bool = True
    applied: int = 0

    def matches(self, call: Call) -> bool:
        """Whether the rule is switched on, not used up, and meant for `call` (chance aside)."""
        return (
            self.enabled
            and (self.times is None or self.applied < self.times)
            and call.end is self.end
            and fnmatchcase(call.operation, self.operation)
            and (self.path is None or re.search(self.path, call.path) is not None)
            and all(re.search(regex, call.facts.get(name, "")) for name, regex in self.where.items())
            and (self.predicate is None or self.predicate(call))
        )

    def as_json(self) -> dict[str, JsonValue]:
        """The rule for the page. A predicate is only said to be there."""
        return {
            "id": self.id,
            "end": self.end.value,
            "kind": self.fault.kind.value,
            "seconds": self.fault.seconds,
            "status": self.fault.status,
            "retry_after": self.fault.retry_after,
            "caller_gets": self.fault.caller_gets.value,
            "copies": self.fault.copies,
            "operation": self.operation,
            "path": self.path,
            "where": dict(self.where),
            "has_predicate": self.predicate is not None,
            "times": self.times,
            "probability": self.probability,
            "enabled": self.enabled,
            "applied": self.applied,
        }


@dataclass(frozen=True)
class Plan:
    """How an outgoing call is to be made: once per delay (real seconds), not at all if there is none."""

    delays_s: tuple[float, ...]
    fault: str | None  # names of the rules, for the wire
