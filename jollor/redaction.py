"""Error bodies made fit for a log: short, without secrets, without what people wrote."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from urllib.parse import quote

MAX_LENGTH = 200
_LOOKED_AT = 4000  # characters of the body; more is never worth keeping
_ECHO_LENGTH = 12  # a text counts as echoed from this many of its first characters on

_SECRET_MEMBERS = re.compile(
    r"""(?ix) (["']?(?:access_token|refresh_token|verify_token|client_secret|password|challenge|authorization
        |secret|token)["']?\s*[:=]\s*) ("[^"]*"?|'[^']*'?|[^\s,&}"']+)"""
)
_CREDENTIALS = re.compile(r"(?i)\b(bearer|basic)\s+[\w.~+/=-]+")
_SPACE = re.compile(r"\s+")


def shortened(body: bytes, secrets: Sequence[str] = (), texts: Sequence[str] = ()) -> str:
    """Return the beginning of an error body without any of `secrets` and without echoes of `texts`.

    A text is cut off from its first characters on, whatever follows: servers like to quote what they refuse.
    """
    found = _SPACE.sub(" ", body[:_LOOKED_AT].decode("utf-8", "replace")).strip()
    for secret in secrets:
        for spelling in _spellings(secret):
            found = found.replace(spelling, "…")
    found = _CREDENTIALS.sub(r"\1 …", _SECRET_MEMBERS.sub(r"\1…", found))
    for text in texts:
        found = _without_echo(found, _SPACE.sub(" ", text).strip())
    return found if len(found) <= MAX_LENGTH else found[: MAX_LENGTH - 1] + "…"


def _spellings(value: str) -> set[str]:
    """Return how a server may write `value`: as it is, as JSON, percent-encoded; {} if too short to tell."""
    if len(value) < 3:
        return set()
    return {value, json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1], _quoted(value)}


def _quoted(value: str) -> str:
    return quote(value.encode("utf-8", "replace"))


def _without_echo(found: str, text: str) -> str:
    for start in _spellings(text[:_ECHO_LENGTH]):
        at = found.find(start)
        if at >= 0:
            found = found[:at] + "…"
    return found
