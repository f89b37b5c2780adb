"""What stood in the channel, as people saw it: the roots in order, below each its thread, with marks."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator

from sandbox.slack import Message
from tests.scenario.stage import Stage

WIDTH = 110
LONGEST_THREAD = 14
"""So many lines of a thread are told, the first and the last ones."""


def seen_by_people(stage: Stage, scale: float) -> str:
    """Return the channel as text; times count from the first message, in the time that is simulated."""
    place = stage.support.id
    roots = [message for message in stage.slack.messages(place) if not message.is_reply]
    if not roots:
        return "(nothing)"
    start = float(roots[0].ts)
    return "\n".join(line for root in roots for line in _thread(stage, root, start, scale))


def _thread(stage: Stage, root: Message, start: float, scale: float) -> Iterator[str]:
    replies = stage.slack.thread(stage.support.id, root.ts)[1:]
    yield _line(stage, root, start, scale)
    half = LONGEST_THREAD // 2
    left_out = len(replies) - LONGEST_THREAD
    for number, reply in enumerate(replies):
        if left_out > 0 and number == half:
            yield f"             … {left_out} more …"
        if left_out <= 0 or number < half or number >= len(replies) - half:
            yield f"    {_line(stage, reply, start, scale)}"


def _line(stage: Stage, message: Message, start: float, scale: float) -> str:
    minutes = round((float(message.ts) - start) * scale / 60)
    marks = " ".join(f":{name}:" for name in stage.slack.marks(stage.support.id, message.ts))
    text = re.sub(r"\s+", " ", _read(stage, message.text)).strip()
    buttons = [
        f"[{element['text']['text']}]"
        for block in message.blocks
        for element in block.get("elements", [])
        if element.get("type") == "button"
    ]
    said = f"{minutes // 60:2d}:{minutes % 60:02d}  {text[:WIDTH]}{'…' if len(text) > WIDTH else ''}"
    return " ".join([said, *buttons, marks]).rstrip()


def _read(stage: Stage, text: str) -> str:
    """Return a message's text as Slack shows it: dates, people and signs instead of codes."""
    text = re.sub(r"<!date\^[^|>]*\|([^>]*)>", r"\1", text)
    for user in (stage.anna, stage.ben):
        text = text.replace(f"<@{user.id}>", f"@{user.name}")
    return html.unescape(text)
