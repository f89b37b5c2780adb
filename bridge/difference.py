"""What an edit changed, in words that can be read as plain text. Pure."""

from __future__ import annotations

import re
from difflib import SequenceMatcher

MOST_SHOWN = 1_000
"""Characters of each text that are shown; both fit into one quote."""
AROUND = 60
"""Characters that are shown before the first change of a text that is too long to be shown whole."""
FEW_WORDS = 8
"""Of a text with fewer words nothing needs to be pointed out."""
MOST_CHANGES = 3
MOST_CHANGED = 0.5
"""As a part of the words that were sent: more than that is another text."""

_WORDS = re.compile(r"\S+")


def difference(sent: str, now: str) -> str:
    """Return what was sent and what the line says now; few and small changes are named, too."""
    start = _first_change(sent, now)
    shown = f"Sent: {_excerpt(sent, start)}\nNow: {_excerpt(now, start)}"
    changes = _changes(sent, now)
    return f"{shown}\nChanged: {changes}" if changes else shown


def _first_change(sent: str, now: str) -> int:
    pairs = enumerate(zip(sent, now, strict=False))
    return next((at for at, (old, new) in pairs if old != new), min(len(sent), len(now)))


def _excerpt(text: str, start: int) -> str:
    """Return `text`, or so much of it from shortly before `start` as is shown."""
    if len(text) <= MOST_SHOWN:
        return text
    begin = max(0, start - AROUND)
    end = begin + MOST_SHOWN
    return f"{'…' if begin else ''}{text[begin:end]}{'…' if end < len(text) else ''}"


def _changes(sent: str, now: str) -> str:
    """Return the changed words, "" where reading the texts is easier: they are short, or differ much."""
    old, new = _WORDS.findall(sent), _WORDS.findall(now)
    blocks = [op for op in SequenceMatcher(None, old, new, autojunk=False).get_opcodes() if op[0] != "equal"]
    changed = sum(j - i + m - k for _, i, j, k, m in blocks)
    if not 0 < len(blocks) <= MOST_CHANGES or changed > MOST_CHANGED * len(old) or len(old) < FEW_WORDS:
        return ""
    told = [(" ".join(old[i:j]), " ".join(new[k:m])) for _, i, j, k, m in blocks]
    return ", ".join(_change(before, after) for before, after in told)


def _change(before: str, after: str) -> str:
    if not before:
        return f"added “{after}”"
    if not after:
        return f"left out “{before}”"
    return f"“{before}” → “{after}”"
