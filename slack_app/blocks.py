"""Block Kit as small functions that cannot build what Slack would refuse.

Each builder keeps the limits of its block by cutting with an ellipsis (slack_sdk 3.47 `models/blocks`,
docs.slack.dev block-kit), and none lets text be parsed that is not meant to be: `plain` and the rich-text
builders are never parsed, `mrkdwn` is always `verbatim`. What the texts say is left to the callers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NewType

from slack_app.markup import shortened

Block = NewType("Block", dict[str, Any])
"""A layout block, ready to be serialised."""
Element = NewType("Element", dict[str, Any])
"""What stands inside a block: a text object, a button, a piece of rich text."""

MAX_BLOCKS = 50
MAX_TOTAL = 13_200
"""Characters over all blocks of a message (observed: https://github.com/slackapi/bolt-js/issues/2509)."""
MAX_TEXT = 4_000
"""Characters of a message's top-level `text` that `chat.update` accepts."""
MAX_SECTION = 3_000
MAX_HEADER = 150
MAX_CONTEXT_ELEMENTS = 10
MAX_ACTIONS = 25
MAX_BUTTON_TEXT = 75
MAX_VALUE = 2_000
MAX_URL = 3_000
MAX_BLOCK_ID = 255


@dataclass(frozen=True, slots=True)
class RenderedMessage:
    """What a post, an update or an answer consists of. `text` is Slack's markup, escaped."""

    text: str
    blocks: tuple[Block, ...]
    username: str | None = None
    icon_emoji: str | None = None


def message(
    text: str, blocks: Iterable[Block], *, username: str | None = None, icon_emoji: str | None = None
) -> RenderedMessage:
    """Return a message within Slack's limits. `text` is escaped already.

    The views keep their own budgets; this is the net below them: what no longer fits is left out.
    """
    kept: list[Block] = []
    room = MAX_TOTAL
    for block in blocks:
        room -= size(block)
        if room < 0 or len(kept) == MAX_BLOCKS:
            break
        kept.append(block)
    return RenderedMessage(shortened(text, MAX_TEXT), tuple(kept), username, icon_emoji)


def size(block: Block) -> int:
    """Return how many characters of a message's total `block` takes, counted generously."""
    return sum(len(text) for text in _strings(block))


def _strings(node: object) -> Iterator[str]:
    if isinstance(node, str):
        yield node
    elif isinstance(node, list):
        for item in node:
            yield from _strings(item)
    elif isinstance(node, dict):
        for name, value in node.items():
            if name != "type":
                yield from _strings(value)


def clip(text: str, limit: int) -> str:
    """Return `text` within `limit` characters, an ellipsis standing for what was cut."""
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


# --- text objects ------------------------------------------------------------------------------------


def plain(text: str, limit: int = MAX_SECTION) -> Element:
    """Text that Slack shows as it is. `emoji: false` keeps a customer's ":smile:" as typed."""
    return Element({"type": "plain_text", "text": clip(text, limit) or " ", "emoji": False})


def mrkdwn(escaped: str) -> Element:
    """Slack's markup, already escaped and within the limit: cutting markup here could open what it closes."""
    assert len(escaped) <= MAX_SECTION
    return Element({"type": "mrkdwn", "text": escaped or " ", "verbatim": True})


# --- rich text ---------------------------------------------------------------------------------------


def run(text: str, *, bold: bool = False, italic: bool = False, code: bool = False) -> Element:
    """A run of text within a rich-text section."""
    element: dict[str, Any] = {"type": "text", "text": text or " "}
    style = {name: True for name, on in (("bold", bold), ("italic", italic), ("code", code)) if on}
    if style:
        element["style"] = style
    return Element(element)


def date(moment: datetime, form: str = "{date_short_pretty} {time}") -> Element:
    """A time in the reader's own zone. `form` is Slack's date format."""
    stamp = int(moment.timestamp())
    return Element({"type": "date", "timestamp": stamp, "format": form, "fallback": _utc(moment)})


def user(user_id: str) -> Element:
    """A person of the workspace; the caller has checked the id."""
    return Element({"type": "user", "user_id": user_id})


def channel(channel_id: str) -> Element:
    """A channel; the caller has checked the id."""
    return Element({"type": "channel", "channel_id": channel_id})


def section_of(*elements: Element) -> Element:
    """A paragraph of rich text."""
    return Element({"type": "rich_text_section", "elements": list(elements)})


def quote_of(*elements: Element) -> Element:
    """A quote: the bar on the left."""
    return Element({"type": "rich_text_quote", "elements": list(elements)})


def list_of(items: Iterable[Element]) -> Element:
    """A bullet list of sections."""
    return Element({"type": "rich_text_list", "style": "bullet", "indent": 0, "elements": list(items)})


def rich_text(*parts: Element) -> Block:
    """A block of rich text: sections, quotes and lists."""
    return Block({"type": "rich_text", "elements": list(parts)})


# --- blocks ------------------------------------------------------------------------------------------


def section(text: Element, accessory: Element | None = None, *, block_id: str | None = None) -> Block:
    """A text, with a button or menu beside it."""
    block: dict[str, Any] = {"type": "section", "text": text}
    if accessory is not None:
        block["accessory"] = accessory
    return _identified(block, block_id)


def header(text: str) -> Block:
    """A large line; plain text only."""
    return Block({"type": "header", "text": plain(text, MAX_HEADER)})


def context(*elements: Element) -> Block:
    """A small grey line of text objects."""
    return Block({"type": "context", "elements": list(elements[:MAX_CONTEXT_ELEMENTS])})


def actions(buttons: Sequence[Element], *, block_id: str | None = None) -> Block:
    """A row of buttons and menus."""
    return _identified({"type": "actions", "elements": list(buttons[:MAX_ACTIONS])}, block_id)


def button(
    label: str, action_id: str, *, value: str = "", url: str | None = None, style: str | None = None
) -> Element:
    """A button. An address that Slack would refuse is left out: the press is still reported."""
    element: dict[str, Any] = {
        "type": "button",
        "action_id": action_id,
        "text": {"type": "plain_text", "text": clip(label, MAX_BUTTON_TEXT) or "…", "emoji": True},
    }
    if value:
        element["value"] = value[:MAX_VALUE]
    if url is not None and is_link(url):
        element["url"] = url
    if style is not None:
        element["style"] = style
    return Element(element)


def channel_select(placeholder: str, action_id: str) -> Element:
    """A menu of the channels that the person can see, public and private, no direct messages."""
    return Element(
        {
            "type": "conversations_select",
            "action_id": action_id,
            "placeholder": plain(placeholder, 150),
            "filter": {"include": ["public", "private"], "exclude_bot_users": True},
        }
    )


def is_link(url: str) -> bool:
    """Slack takes `url` as the address of a button."""
    return (
        url.startswith(("https://", "http://")) and len(url) <= MAX_URL and not any(c.isspace() for c in url)
    )


def _identified(block: dict[str, Any], block_id: str | None) -> Block:
    if block_id is not None:
        block["block_id"] = block_id[:MAX_BLOCK_ID]
    return Block(block)


def _utc(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"
