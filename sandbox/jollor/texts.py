"""What may become of a reply's text on its way to the customer."""

import hashlib
import re

from sandbox.jollor.switches import Rewriting, Switches

_LINK = re.compile(r"https?://[^\s<>]+")


def rewritten(text: str, switches: Switches) -> str:
    """`text` as it arrives with the rewritings that are switched on."""
    if Rewriting.SHORTEN_LINKS in switches.rewriting:
        text = _LINK.sub(lambda link: f"https://jol.lr/{_short(link.group())}", text)
    if Rewriting.WHITESPACE in switches.rewriting:
        text = "\n".join(" ".join(line.split()) for line in text.strip().splitlines())
    if Rewriting.CUT_END in switches.rewriting and len(text) > switches.cut_end_at:
        text = text[: switches.cut_end_at] + "…"
    if Rewriting.SIGNATURE in switches.rewriting:
        text += switches.signature
    return text


def _short(link: str) -> str:
    return hashlib.sha256(link.encode()).hexdigest()[:7]
