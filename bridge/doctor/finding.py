"""What a check found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """What a check found."""

    OK = "ok"
    PROBLEM = "problem"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was looked at, what was found, and what to do about it ("" if nothing)."""

    check: str
    state: State
    says: str
    advice: str = ""


def fine(name: str, says: str) -> Finding:
    return Finding(name, State.OK, says)


def problem(name: str, says: str, advice: str) -> Finding:
    return Finding(name, State.PROBLEM, says, advice)


def skipped(name: str, says: str) -> Finding:
    return Finding(name, State.SKIPPED, says)


def wrong_settings(problems: Sequence[str]) -> list[Finding]:
    """Return a finding for each variable that is missing or wrong."""
    return [problem("settings", says, "Set it in the environment or in .env.") for says in problems]
