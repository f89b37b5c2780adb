"""What can go wrong at the push of a button, in words for people who see it for the first time."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from pydantic import JsonValue

from sandbox.faults import Fault, FaultKind, Faults
from sandbox.jollor.simulated import SimulatedJollor
from sandbox.server import DownMode
from sandbox.slack import SimulatedSlack
from sandbox.wire import End

RETRY_AFTER_S = 3
COPIES = 3


class Trouble(StrEnum):
    """A switch: on until it is switched off, or until it struck (`ANSWER_LOST`)."""

    SLACK_BUSY = "slack_busy"
    SLACK_DOWN = "slack_down"
    JOLLOR_DOWN = "jollor_down"
    ANSWER_LOST = "answer_lost"
    TRIPLE = "triple"


class Mishap(StrEnum):
    """A push button: happens once."""

    PROFILE_EXPIRED = "profile_expired"
    TOKENS_EXPIRED = "tokens_expired"


WORDS: dict[Trouble | Mishap, tuple[str, str]] = {
    Trouble.SLACK_BUSY: (
        "Slack answers 429",
        f"Every post is told to come back in {RETRY_AFTER_S} seconds. Messages wait; none is lost.",
    ),
    Trouble.SLACK_DOWN: (
        "Slack is down",
        "Nobody listens at Slack's address. What customers write is kept until it is back.",
    ),
    Trouble.JOLLOR_DOWN: (
        "Jollor is down",
        "Nobody listens at Jollor's address. Answers wait with ⏳ and go out later.",
    ),
    Trouble.ANSWER_LOST: (
        "Lose the answer to the next reply",
        "The customer gets it, the bridge does not hear so. It looks in Jollor and never sends twice.",
    ),
    Trouble.TRIPLE: (
        "Everything arrives three times",
        "Webhooks and events are repeated. Each message still appears once.",
    ),
    Mishap.PROFILE_EXPIRED: (
        "A social profile expires",
        "Jollor says token_expired; the channel gets an alert that somebody has to clear.",
    ),
    Mishap.TOKENS_EXPIRED: (
        "Jollor’s API tokens expire",
        "The next call is refused with 401; the bridge signs in again by itself.",
    ),
}


@dataclass(frozen=True)
class Troubles:
    """The switches and buttons, acting on both ends."""

    jollor: SimulatedJollor
    slack: SimulatedSlack
    faults: Faults

    async def switch(self, trouble: Trouble, on: bool) -> None:
        """Switch one on or off; doing it twice changes nothing."""
        match trouble:
            case Trouble.SLACK_DOWN:
                await (self.slack.server.down(DownMode.REFUSED) if on else self.slack.server.up())
            case Trouble.JOLLOR_DOWN:
                await (self.jollor.down(DownMode.REFUSED) if on else self.jollor.up())
            case Trouble.SLACK_BUSY:
                busy = Fault(
                    FaultKind.STATUS,
                    status=429,
                    retry_after=RETRY_AFTER_S,
                    body='{"ok":false,"error":"ratelimited"}',
                )
                self._rule(trouble, on, (End.SLACK, busy, "chat.postMessage", None))
            case Trouble.ANSWER_LOST:
                self._rule(trouble, on, (End.JOLLOR, Fault(FaultKind.CUT_AFTER), "createMessageReply", 1))
            case Trouble.TRIPLE:
                triple = Fault(FaultKind.DUPLICATE, copies=COPIES)
                self._rule(trouble, on, (End.JOLLOR, triple, "*", None), (End.SLACK, triple, "*", None))

    def happen(self, mishap: Mishap, project_id: str | None) -> None:
        """Let it happen. KeyError for a project that there is not."""
        match mishap:
            case Mishap.PROFILE_EXPIRED:
                self.jollor.expire_profile(self.jollor.project(project_id or ""))
            case Mishap.TOKENS_EXPIRED:
                self.jollor.expire_tokens()

    def is_on(self, trouble: Trouble) -> bool:
        match trouble:
            case Trouble.SLACK_DOWN:
                return self.slack.server.is_down is not None
            case Trouble.JOLLOR_DOWN:
                return self.jollor.server.is_down is not None
            case _:
                return any(
                    rule.id.startswith(f"{trouble}:") and (rule.times is None or rule.applied < rule.times)
                    for rule in self.faults.rules()
                )

    def as_json(self) -> JsonValue:
        """Every switch and button with its words and its state."""
        switches: list[JsonValue] = [
            {
                "id": trouble.value,
                "label": WORDS[trouble][0],
                "hint": WORDS[trouble][1],
                "on": self.is_on(trouble),
            }
            for trouble in Trouble
        ]
        buttons: list[JsonValue] = [
            {
                "id": mishap.value,
                "label": WORDS[mishap][0],
                "hint": WORDS[mishap][1],
                "of_project": mishap is Mishap.PROFILE_EXPIRED,
            }
            for mishap in Mishap
        ]
        return {"switches": switches, "buttons": buttons}

    def _rule(self, trouble: Trouble, on: bool, *rules: tuple[End, Fault, str, int | None]) -> None:
        for end, fault, operation, times in rules:
            rule_id = f"{trouble}:{end}"
            if on:
                self.faults.add(end, fault, operation, times=times, rule_id=rule_id)
            else:
                self.faults.remove(rule_id)
