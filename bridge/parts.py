"""Splits long text into numbered parts that end where a sentence, a line or at least a word ends. Pure."""

from __future__ import annotations

import re

MAX_PART_CHARS = 2_500
"""Well below Slack's 3,000 characters of a section, since escaping makes text longer."""

# Best first: between paragraphs, lines, sentences, words.
_ENDS = (
    re.compile(r"\n\s*\n"),
    re.compile(r"\n"),
    re.compile(r"[.!?…。！？]+[\"'”’)\]]*\s+|[。！？]"),
    re.compile(r"\s+"),
)


def split(text: str, max_chars: int = MAX_PART_CHARS) -> list[str]:
    """Return `text` in parts of at most `max_chars` characters; only white space at cuts is dropped."""
    parts = []
    rest = text.strip()
    while len(rest) > max_chars:
        cut = _cut(rest, max_chars)
        parts.append(rest[:cut].rstrip())
        rest = rest[cut:].lstrip()
    parts.append(rest)
    return [part for part in parts if part] or [""]


def _cut(text: str, max_chars: int) -> int:
    """Return where to cut: the last good end in the second half of what fits, else the hard limit."""
    window = text[:max_chars]
    for end in _ENDS:
        cuts = [match.end() for match in end.finditer(window)]
        if cuts and cuts[-1] > max_chars // 2:
            return cuts[-1]
    return max_chars
