"""Hostile text and addresses made harmless for Slack's mrkdwn; pure."""

from __future__ import annotations

import re
from urllib.parse import quote, urlsplit

_MAX_URL = 2_000
_MAX_LABEL = 200

_ZERO_WIDTH = "\u200b"
_LOOKALIKE_BACKTICK = "\u02cb"

# controls, and those that turn the direction of writing
_UNSEEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069]")
_FORMATTING = re.compile(r"[*_~]+")
_BROADCAST = re.compile(r"@(?=(?:here|channel|everyone|group)\b)", re.IGNORECASE)
_LINE_START_QUOTE = re.compile(r"(?m)^([ \t]*)&gt;")
_HOST_LIKE = re.compile(r"(?i)\b(?:[a-z0-9-]+\.)+[a-z]{2,}\b")
_NOT_IN_URL = re.compile(r"[\x00-\x20<>|\"`\\^{}]")


def escape(text: str) -> str:
    """Return plain `text` so that mrkdwn shows it as it is: no mention, link, quote or emphasis in it."""
    text = _BROADCAST.sub(f"@{_ZERO_WIDTH}", code(text))
    return _LINE_START_QUOTE.sub(rf"\1{_ZERO_WIDTH}&gt;", _FORMATTING.sub(_defused, text))


def code(text: str) -> str:
    """Return `text` as it may stand between backticks: entities escaped, no backtick that would end it."""
    text = _UNSEEN.sub("", text)
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return text.replace("`", _LOOKALIKE_BACKTICK)


def _defused(run: re.Match[str]) -> str:
    """Return a run of formatting characters that opens and closes nothing.

    Between letters or between spaces it does nothing in Slack either. Elsewhere a zero-width space on both
    sides is a word to one neighbour and a gap to the other, so neither "opens here" nor "closes here" holds.
    """
    before = run.string[run.start() - 1] if run.start() else "x"
    after = run.string[run.end()] if run.end() < len(run.string) else "x"
    at_edge = run.start() == 0 or run.end() == len(run.string)
    is_inert = (before.isalnum() and after.isalnum()) or (before.isspace() and after.isspace())
    return run[0] if is_inert and not at_edge else f"{_ZERO_WIDTH}{run[0]}{_ZERO_WIDTH}"


def label(text: str) -> str:
    """Return a link's label: one line of bounded length, no pipe that would end the address again."""
    text = " ".join(text.split())
    text = text if len(text) <= _MAX_LABEL else text[: _MAX_LABEL - 1] + "…"
    return escape(text).replace("|", "¦")


def link(address: str, name: str) -> str:
    """Return `<address|name>` for a name made by `label`, or the name alone if the address is unsafe.

    A name that names another host than the one it leads to is followed by the true one.
    """
    address = "".join(address.split())
    host = _safe_host(address)
    if host is None:
        return name
    name = name or label(address)
    named = {found.lower().removeprefix("www.") for found in _HOST_LIKE.findall(name)}
    is_honest = all(host == found or host.endswith(f".{found}") for found in named)
    target = _NOT_IN_URL.sub(lambda char: quote(char[0], safe=""), _UNSEEN.sub("", address))
    return f"<{target.replace('&', '&amp;')}|{name}>" + ("" if is_honest else f" ({escape(host)})")


def _safe_host(address: str) -> str | None:
    """Return the host that a safe address leads to, None for an address that is not to be followed."""
    if not 0 < len(address) <= _MAX_URL:
        return None
    try:
        parts = urlsplit(address)
        host = parts.hostname or ""
    except ValueError:
        return None
    if parts.scheme == "mailto":
        return parts.path.rpartition("@")[2].lower() or None
    return host.removeprefix("www.") if parts.scheme in {"http", "https"} and host else None
