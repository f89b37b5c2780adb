"""The answer to `/jollor trace`: one line for each hop, oldest first."""

from __future__ import annotations

from datetime import datetime

from bridge.content import TraceAnswer, TraceHop
from slack_app import blocks as b
from slack_app.blocks import Element, RenderedMessage
from slack_app.markup import escaped
from slack_app.names import clean
from slack_app.views.notice import in_words, plain_words

_MAX_HOPS = 40
_MAX_WORDS = 240


def trace_answer(answer: TraceAnswer) -> RenderedMessage:
    """What it is, its hops, and what they cannot show. Of very many hops the middle ones are left out."""
    title = f"{clean(answer.about)} · times are UTC"
    first, last = _ends(answer.hops)
    left_out = len(answer.hops) - len(first) - len(last)
    remarks = [clean(remark) for remark in answer.remarks]
    if left_out:
        remarks.append(f"{left_out} hops in the middle are left out here.")
    lines = [_line(hop) for hop in (*first, *last)]
    parts: list[Element] = [b.section_of(b.run(title, bold=True))]
    if lines:
        parts.append(
            b.list_of(b.section_of(b.run(f"{when}  ", code=True), *in_words(what)) for when, what in lines)
        )
    blocks = [b.rich_text(*parts), *(b.context(b.plain(remark)) for remark in remarks)]
    said = "\n".join(f"{when} {plain_words(what)}" for when, what in lines)
    return b.message("\n".join([escaped(title), said, *map(escaped, remarks)]).strip(), blocks)


def _ends(hops: tuple[TraceHop, ...]) -> tuple[tuple[TraceHop, ...], tuple[TraceHop, ...]]:
    if len(hops) <= _MAX_HOPS:
        return hops, ()
    return hops[: _MAX_HOPS // 2], hops[-_MAX_HOPS // 2 :]


def _line(hop: TraceHop) -> tuple[str, str]:
    attempt = f" (attempt {hop.attempt})" if hop.attempt is not None else ""
    times = f", {hop.times} times until {_time(hop.until)}" if hop.until is not None else ""
    reason = f": {hop.reason}" if hop.reason else ""
    return _time(hop.at), b.clip(clean(f"{hop.what}{attempt}{times}{reason}"), _MAX_WORDS)


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}"
