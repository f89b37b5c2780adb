"""Slack's markup on the way out: escaping, and cutting without cutting a code in two.

Source: docs.slack.dev messaging/formatting-message-text (escape `&`, `<`, `>` and nothing else).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime

# A code, an entity or a character: what may not be cut in two.
_UNIT = re.compile(r"<[^<>\n]*>|&(?:amp|lt|gt);|.", re.DOTALL)
_CODE = re.compile(r"<([^<>\n]*)>|[<>]")
_LINK = re.compile(r"(?:https?://|mailto:|tel:)[^\s|]+(?:\|[^|]*)?")


def escaped(text: str) -> str:
    """Return `text` such that Slack shows it as it is (apart from `*`, `_`, `~` and backticks)."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def shortened(markup: str, limit: int) -> str:
    """Return `markup` within `limit` characters, an ellipsis standing for what was cut."""
    if len(markup) <= limit:
        return markup
    return next(_pieces(markup, limit - 1), "").rstrip() + "…"


def split(markup: str, limit: int) -> list[str]:
    """Return `markup` in pieces of at most `limit` characters, cut between lines or words if possible."""
    return [piece for piece in _pieces(markup, limit) if piece.strip()]


def links_only(markup: str) -> str:
    """Return `markup` without any code but links: no mention, no call to a channel can be in it."""
    return _CODE.sub(_link_or_text, markup)


def time_of(moment: datetime, form: str = "{date_short_pretty} {time}") -> str:
    """Return the markup for a time in the reader's own zone."""
    return f"<!date^{int(moment.timestamp())}^{form}|{moment:%Y-%m-%d %H:%M} UTC>"


def _link_or_text(match: re.Match[str]) -> str:
    body = match[1]
    return match.group() if body is not None and _LINK.fullmatch(body) else escaped(match.group())


def _pieces(markup: str, limit: int) -> Iterator[str]:
    while len(markup) > limit:
        end, after = _cut(markup, limit)
        if end:
            yield markup[:end].rstrip("\n")
        markup = markup[after:].lstrip("\n")
    yield markup


def _cut(markup: str, limit: int) -> tuple[int, int]:
    """Return where the first piece ends and where the next begins: a code longer than `limit` is left out."""
    end = 0
    for unit in _UNIT.finditer(markup):
        if unit.end() > limit:
            if end == 0:
                return 0, unit.end()
            break
        end = unit.end()
    for separator in ("\n", " "):
        cut = markup.rfind(separator, 0, end)
        if cut > limit // 2 and not _is_within_code(markup, cut):
            return cut, cut
    return end, end


def _is_within_code(markup: str, position: int) -> bool:
    return markup.rfind("<", 0, position) > markup.rfind(">", 0, position)
