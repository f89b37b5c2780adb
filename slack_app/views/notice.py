"""A sentence of the bridge, with the next steps as buttons."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from bridge.content import Button, Notice
from slack_app import blocks as b
from slack_app.blocks import Block, Element, RenderedMessage
from slack_app.markup import escaped
from slack_app.names import clean_text

_MAX_WORDS = 2_800
_MAX_QUOTE = 2_800


def notice(content: Notice) -> RenderedMessage:
    """The sentence, the text it speaks of set apart, and the buttons.

    Within the sentence `<#C…>`, `<@U…>` and `` `code` `` are drawn; within the quote nothing is.
    """
    words = b.clip(clean_text(content.text).strip(), _MAX_WORDS) or "…"
    quote = b.clip(clean_text(content.quote or "").strip(), _MAX_QUOTE)
    parts = [b.section_of(*in_words(words))]
    if quote:
        parts.append(b.quote_of(b.run(quote)))
    blocks = [b.rich_text(*parts)]
    blocks += button_rows(content.buttons)
    return b.message(f"{plain_words(words)}\n{escaped(quote)}".strip(), blocks)


_CODE = re.compile(r"<#(?P<channel>[CG][A-Z0-9]{2,30})>|<@(?P<user>[UW][A-Z0-9]{2,30})>|`(?P<code>[^`\n]+)`")


def in_words(words: str) -> Iterator[Element]:
    """A sentence of ours as rich text."""
    end = 0
    for match in _CODE.finditer(words):
        if match.start() > end:
            yield b.run(words[end : match.start()])
        if match["channel"]:
            yield b.channel(match["channel"])
        elif match["user"]:
            yield b.user(match["user"])
        else:
            yield b.run(match["code"], code=True)
        end = match.end()
    if end < len(words):
        yield b.run(words[end:])


def plain_words(words: str) -> str:
    """For notifications: mentions as they are, everything else escaped."""
    end, parts = 0, []
    for match in _CODE.finditer(words):
        is_mention = match["code"] is None
        parts += [
            escaped(words[end : match.start()]),
            match.group() if is_mention else escaped(match["code"]),
        ]
        end = match.end()
    return "".join([*parts, escaped(words[end:])])


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
