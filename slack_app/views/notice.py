"""A sentence of the bridge, with the next steps as buttons."""

from __future__ import annotations

from collections.abc import Iterable

from bridge.content import Button, Notice
from slack_app import blocks as b
from slack_app.blocks import Block, Element, RenderedMessage
from slack_app.markup import escaped
from slack_app.names import clean_text

_MAX_WORDS = 2_800
_MAX_QUOTE = 2_800


def notice(content: Notice) -> RenderedMessage:
    """The sentence, the text it speaks of set apart, and the buttons."""
    words = b.clip(clean_text(content.text).strip(), _MAX_WORDS) or "…"
    quote = b.clip(clean_text(content.quote or "").strip(), _MAX_QUOTE)
    parts = [b.section_of(b.run(words))]
    if quote:
        parts.append(b.quote_of(b.run(quote)))
    blocks = [b.rich_text(*parts)]
    blocks += button_rows(content.buttons)
    return b.message(escaped(f"{words}\n{quote}".strip()), blocks)


def button_rows(wanted: Iterable[Button]) -> list[Block]:
    """The buttons in rows. Slack wants an action only once in a row, so a second one begins the next row."""
    rows: list[list[Button]] = []
    for button in wanted:
        if not rows or button.action in {other.action for other in rows[-1]}:
            rows.append([])
        rows[-1].append(button)
    return [b.actions([_element(button) for button in row]) for row in rows]


def _element(button: Button) -> Element:
    return b.button(button.label, button.action, value=button.value, url=button.url, style=button.style)
