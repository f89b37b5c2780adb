"""What Slack makes of a message when it shows it: whom it notifies, which addresses become links.

A judge for tests with hostile customer text. In doubt it says that something is parsed: codes count wherever
`mrkdwn` is read, bare names and addresses wherever Slack parses by itself.
Source: docs.slack.dev, messaging/formatting-message-text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from sandbox.slack.model import Json, Message

_CODE: Final = re.compile(r"<([^<>]+)>")
_BARE_NAME: Final = re.compile(r"(?<![\w<!])@(here|channel|everyone)\b")
_BARE_LINK: Final = re.compile(r"(?<![\w<|])(?:https?://|www\.)[^\s<>|]+")


@dataclass(frozen=True)
class _Text:
    """A text that Slack reads as `mrkdwn`, and whether it looks for bare names and addresses in it, too."""

    content: str
    names: bool
    addresses: bool


def pings(message: Message) -> set[str]:
    """Ids of people and groups, and `here`, `channel`, `everyone`, that the message notifies."""
    found: set[str] = set()
    for text in _texts(message):
        for code in _CODE.findall(text.content):
            found |= _pinged(code.split("|")[0])
        if text.names:
            found |= set(_BARE_NAME.findall(text.content))
    for leaf in _leaves(message.blocks):
        named = {"user": "user_id", "usergroup": "usergroup_id", "broadcast": "range"}.get(leaf["type"])
        if named:
            found.add(leaf[named])
    return found


def links(message: Message) -> set[str]:
    """Addresses that can be clicked in the message's text; buttons are not counted."""
    found: set[str] = set()
    for text in _texts(message):
        targets = (code.split("|")[0] for code in _CODE.findall(text.content))
        found |= {target for target in targets if target[0] not in "@#!"}
        if text.addresses:
            found |= set(_BARE_LINK.findall(text.content))
    return found | {leaf["url"] for leaf in _leaves(message.blocks) if leaf["type"] == "link"}


def _pinged(code: str) -> set[str]:
    if code.startswith("@"):
        return {code[1:]}
    if code.startswith("!subteam^"):
        return {code.removeprefix("!subteam^")}
    return {code[1:]} if code in ("!here", "!channel", "!everyone") else set()


def _texts(message: Message) -> Iterator[_Text]:
    yield _Text(message.text, names=message.is_auto_parsed, addresses=not message.is_plain)
    for block in message.blocks:
        if block["type"] == "markdown":
            yield _Text(block["text"], names=True, addresses=True)
        elif block["type"] != "rich_text":
            yield from _text_objects(block)


def _text_objects(node: Any) -> Iterator[_Text]:
    if isinstance(node, list):
        for item in node:
            yield from _text_objects(item)
    elif isinstance(node, dict):
        if node.get("type") == "mrkdwn":
            parsed = not node.get("verbatim", False)
            yield _Text(str(node["text"]), names=parsed, addresses=parsed)
        else:
            yield from _text_objects(list(node.values()))


def _leaves(blocks: list[Json]) -> Iterator[Json]:
    """The innermost elements of all `rich_text` blocks."""
    waiting: list[Any] = [block for block in blocks if block["type"] == "rich_text"]
    while waiting:
        node = waiting.pop()
        if "elements" in node:
            waiting += node["elements"]
        else:
            yield node
