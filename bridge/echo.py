"""Recognises our own replies when they come back from Jollor. Pure.

The reply call answers `{}`, so an outgoing message in a list is compared with the intents that may have
become it: not in the intent's snapshot, not older than its send minus the clocks' tolerance, the same text;
oldest first, and one message settles one intent. Where Jollor accepted the reply for sure, networks are
allowed to have touched the text (links shortened, a signature added, the end cut off).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from bridge.intents import Intent, IntentState
from bridge.model import Message

CLOCK_TOLERANCE = timedelta(minutes=2)
LATEST = timedelta(hours=24)
"""A message that comes later than this after the send is somebody else's, whatever it says."""
SHORTEST_LENIENT = 12
"""Texts below this many characters are only matched as a whole."""

_LINK = re.compile(r"\b(?:https?://|www\.)\S+", re.IGNORECASE)
_INVISIBLE = re.compile("[\u200b-\u200f\u2060\ufeff\ufe0e\ufe0f]")
_SPACE = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class Matches:
    """Which intents are settled by which message; `others` matched nothing, oldest first."""

    settled: tuple[tuple[Intent, Message], ...]
    others: tuple[Message, ...]


def normalised(text: str) -> str:
    """Return `text` without what networks change at will: forms of characters, spaces, invisible ones."""
    plain = unicodedata.normalize("NFKC", _INVISIBLE.sub("", text))
    return _SPACE.sub(" ", plain).strip()


def match(outgoing: Sequence[Message], intents: Sequence[Intent]) -> Matches:
    """Settle `intents` (oldest first) by `outgoing` messages nobody has seen yet (oldest first)."""
    left = list(outgoing)
    settled: list[tuple[Intent, Message]] = []
    open_intents = list(intents)
    for is_same in (is_same_text, _leniently):
        for intent in list(open_intents):
            found = next((m for m in left if _is_possible(intent, m) and is_same(intent, m)), None)
            if found is not None:
                settled.append((intent, found))
                left.remove(found)
                open_intents.remove(intent)
    return Matches(tuple(settled), tuple(left))


def is_same_text(intent: Intent, message: Message) -> bool:
    """The message says what the intent said, spaces and invisible characters aside."""
    return normalised(intent.text) == normalised(message.text)


def _is_possible(intent: Intent, message: Message) -> bool:
    if message.is_incoming or intent.sent_at is None or message.id in (intent.snapshot or ()):
        return False
    since = intent.sent_at if intent.attempt < 2 else intent.first_sent_at or intent.sent_at
    return since - CLOCK_TOLERANCE <= message.sent_at <= intent.sent_at + LATEST


def is_double(intent: Intent, message: Message) -> bool:
    """The message may be another attempt at a reply that people had sent again."""
    since = intent.first_sent_at
    if message.is_incoming or since is None or intent.sent_at is None:
        return False
    is_in_time = since - CLOCK_TOLERANCE <= message.sent_at <= intent.sent_at + LATEST
    return is_in_time and is_same_text(intent, message)


def _leniently(intent: Intent, message: Message) -> bool:
    """Only where Jollor said yes: then the message must turn up somehow, and a near text is ours."""
    if intent.state is not IntentState.ACCEPTED:
        return False
    ours, theirs = _bare(intent.text), _bare(message.text)
    if ours == theirs:
        return bool(ours) or bool(_LINK.search(intent.text) and _LINK.search(message.text))
    shorter, longer = sorted((ours, theirs), key=len)
    return len(shorter) >= SHORTEST_LENIENT and longer.startswith(shorter.rstrip(".… "))


def _bare(text: str) -> str:
    return _SPACE.sub(" ", _LINK.sub("", normalised(text))).strip().casefold()
