"""What a person typed, out of what Slack makes of it: plain text without one of Slack's codes.

A message comes twice, as `rich_text` blocks (exact) and as `text` in Slack's markup (the fallback: mobile
clients, `/me`, other apps). Emphasis goes, mentions become names, links stay readable, `:smile:` becomes the
emoji, lists and quotes keep their marks. Any input gives a text, never an exception.
Source: docs.slack.dev messaging/formatting-message-text; slack_sdk 3.47 `models/blocks`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from slack_app.emoji_names import from_code_points, to_character, to_characters

Names = Mapping[str, str]
"""Display names by Slack id, without "@" or "#"."""
Json = Mapping[str, Any]

_NOBODY = "someone"
_NOWHERE = "channel"
_SOME_TEAM = "team"


@dataclass(frozen=True, slots=True)
class Mentions:
    """Whom and what a message names. `addresses_people`: a person, a group or everybody here is called."""

    users: frozenset[str] = frozenset()
    channels: frozenset[str] = frozenset()
    addresses_people: bool = False


def to_plain(message: Json, names: Names) -> str:
    """Return `message` (the inner event, or a message of a history) as a person would have typed it."""
    rich = _rich_text(message)
    if rich is not None:
        try:
            return _tidy(_Walker(names).blocks(rich))
        except _Unknown:
            pass  # an element of a later Slack: its `text` says all of it, if less exactly
    text = message.get("text")
    return mrkdwn_to_plain(text, names) if isinstance(text, str) else ""


def mentions(message: Json) -> Mentions:
    """Return whom `message` names, in its blocks as well as in its text."""
    found = _Found()
    for node in _nodes(_rich_text(message) or []):
        found.add_element(node)
    text = message.get("text")
    if isinstance(text, str):
        for match in _ENTITY.finditer(text):
            found.add_entity(match["body"])
    return Mentions(frozenset(found.users), frozenset(found.channels), found.addresses_people)


@dataclass
class _Found:
    users: set[str] = field(default_factory=set)
    channels: set[str] = field(default_factory=set)
    addresses_people: bool = False

    def add_element(self, node: Json) -> None:
        match node.get("type"):
            case "user":
                self.users |= _strings(node.get("user_id"))
                self.addresses_people = True
            case "channel":
                self.channels |= _strings(node.get("channel_id"))
            case "usergroup" | "broadcast":
                self.addresses_people = True
            case _:
                pass

    def add_entity(self, body: str) -> None:
        code, _, _ = body.partition("|")
        if code.startswith("@"):
            self.users.add(code[1:])
            self.addresses_people = True
        elif code.startswith("#"):
            self.channels.add(code[1:])
        elif code in _BROADCASTS or code.startswith("!subteam^"):
            self.addresses_people = True


# --- rich text ---------------------------------------------------------------------------------------


class _Unknown(Exception):
    """An element that says something we cannot read."""


class _Walker:
    """Walks rich text. Not a member of it is trusted to be there or to be of its type."""

    def __init__(self, names: Names) -> None:
        self._names = names

    def blocks(self, blocks: Iterable[Json]) -> str:
        parts = [part for block in blocks for part in _dicts(block.get("elements"))]
        return "\n".join(self._part(part).removesuffix("\n") for part in parts)

    def _part(self, part: Json) -> str:
        match part.get("type"):
            case "rich_text_section" | "rich_text_preformatted":
                return self._inline(part)
            case "rich_text_quote":
                return "\n".join(f"> {line}" for line in self._inline(part).removesuffix("\n").split("\n"))
            case "rich_text_list":
                return self._list(part)
            case other:
                raise _Unknown(other)

    def _list(self, part: Json) -> str:
        indent = "    " * _small_int(part.get("indent"))
        start = _small_int(part.get("offset")) + 1
        is_ordered = part.get("style") == "ordered"
        lines = []
        for number, item in enumerate(_dicts(part.get("elements")), start):
            sign = f"{number}." if is_ordered else "•"
            text = self._part(item).removesuffix("\n").replace("\n", "\n" + indent + "  ")
            lines.append(f"{indent}{sign} {text}")
        return "\n".join(lines)

    def _inline(self, part: Json) -> str:
        return "".join(self._element(element) for element in _dicts(part.get("elements")))

    def _element(self, element: Json) -> str:
        match element.get("type"):
            case "text":
                return _text(element, "text")
            case "link":
                return _link(_text(element, "url"), _text(element, "text"))
            case "user":
                return "@" + self._names.get(_text(element, "user_id"), _NOBODY)
            case "channel":
                return "#" + self._names.get(_text(element, "channel_id"), _NOWHERE)
            case "usergroup":
                return "@" + self._names.get(_text(element, "usergroup_id"), _SOME_TEAM)
            case "broadcast":
                return "@" + (_text(element, "range") or "channel")
            case "emoji":
                return _emoji(element)
            case "date":
                return _text(element, "fallback") or _date(_text(element, "timestamp"))
            case "color":
                return _text(element, "value")
            case other:
                raise _Unknown(other)


def _emoji(element: Json) -> str:
    name = _text(element, "name")
    character = from_code_points(_text(element, "unicode"))
    if character is None:
        character = to_character(name, _text(element, "skin_tone") or None)
    return character or f":{name}:"


def _rich_text(message: Json) -> list[Json] | None:
    """The message's rich-text blocks, None if it has none."""
    return [block for block in _dicts(message.get("blocks")) if block.get("type") == "rich_text"] or None


def _nodes(blocks: Iterable[Json]) -> Iterator[Json]:
    for block in blocks:
        yield block
        yield from _nodes(_dicts(block.get("elements")))


# --- markup ------------------------------------------------------------------------------------------

_ENTITY = re.compile(r"<(?P<body>[^<>\n]+)>")
_BROADCASTS = frozenset({"!here", "!channel", "!everyone"})
_FENCED = re.compile(r"```(?P<code>.*?)```", re.DOTALL)
_CODE = re.compile(r"(?<![\w`])`(?P<code>[^`\n]+)`(?![\w`])")
_ESCAPES = {"&amp;": "&", "&lt;": "<", "&gt;": ">"}
_ESCAPED = re.compile("&(?:amp|lt|gt);")
# A marker opens after a non-word character and closes before one, hugging what it marks: 5*3*2 and
# snake_case stay as they are. The length is bounded so that a line of lone markers costs no square of time.
_EMPHASIS = tuple(
    re.compile(
        rf"(?<!{word})(?<!{sign}){sign}(?=[^\s{sign}])(?P<inner>[^\n]{{0,2000}}?)(?<=[^\s{sign}]){sign}(?!{word})(?!{sign})"
    )
    for sign, word in ((r"\*", r"[^\W_]"), ("~", r"[^\W_]"), ("_", r"\w"))
)
_KEPT = re.compile("\x00(?P<number>[0-9]+)\x00")


def mrkdwn_to_plain(text: str, names: Names) -> str:
    """Return Slack's markup `text` as a person would have typed it."""
    kept = _Kept()
    text = text.replace("\x00", "")
    text = _FENCED.sub(lambda match: kept.keep(_literal(match["code"].strip("\n"), names)), text)
    text = _CODE.sub(lambda match: kept.keep(_literal(match["code"], names)), text)
    text = _ENTITY.sub(lambda match: kept.keep(_entity(match["body"], names)), text)
    for emphasis in _EMPHASIS:
        text = emphasis.sub(lambda match: match["inner"], text)
    return _tidy(kept.restore(_unescaped(to_characters(text))))


class _Kept:
    """Pieces that are finished: set aside so that nothing after them touches them again."""

    def __init__(self) -> None:
        self._pieces: list[str] = []

    def keep(self, piece: str) -> str:
        self._pieces.append(piece)
        return f"\x00{len(self._pieces) - 1}\x00"

    def restore(self, text: str) -> str:
        # A finished piece may hold an earlier one (a link within code): the numbers only fall.
        while (restored := _KEPT.sub(lambda match: self._pieces[int(match["number"])], text)) != text:
            text = restored
        return text


def _literal(code: str, names: Names) -> str:
    """The inside of code: no emphasis and no emoji, but Slack links addresses and escapes there, too."""
    return _unescaped(_ENTITY.sub(lambda match: _entity(match["body"], names, escape=True), code))


def _entity(body: str, names: Names, *, escape: bool = False) -> str:
    """Return what stands for `<body>`. `escape` for where the result is unescaped once more."""
    code, _, label = body.partition("|")
    shown = _shown(code, label, names)
    return _escaped(shown) if escape else shown


def _shown(code: str, label: str, names: Names) -> str:
    label = _unescaped(label)
    if code.startswith("@"):
        return "@" + (names.get(code[1:]) or label.removeprefix("@") or _NOBODY)
    if code.startswith("#"):
        return "#" + (names.get(code[1:]) or label.removeprefix("#") or _NOWHERE)
    if code in _BROADCASTS:
        return "@" + code[1:]
    if code.startswith("!subteam^"):
        return "@" + (names.get(code.removeprefix("!subteam^")) or label.removeprefix("@") or _SOME_TEAM)
    if code.startswith("!date^"):
        return label or _date(code.split("^")[1])
    if code.startswith("!"):
        return label
    return _link(_unescaped(code), label)


def _unescaped(text: str) -> str:
    return _ESCAPED.sub(lambda match: _ESCAPES[match.group()], text)


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


# --- both --------------------------------------------------------------------------------------------


def _link(url: str, label: str) -> str:
    """Return a link as typed: the address where the label is only that, else the label and the address."""
    address = url.removeprefix("mailto:").removeprefix("tel:")
    if not label:
        return address
    if url.startswith("tel:"):
        return label
    if not address or _bare(label) == _bare(address):
        return label
    return f"{label} ({address})"


def _bare(address: str) -> str:
    return address.strip().lower().removeprefix("https://").removeprefix("http://").rstrip("/")


def _date(stamp: str) -> str:
    """Return a time in seconds since 1970 as UTC, as it stands if it is none."""
    try:
        return f"{datetime.fromtimestamp(int(stamp), UTC):%Y-%m-%d %H:%M} UTC"
    except (ValueError, OverflowError, OSError):
        return stamp


_TRAILING = re.compile(r"[ \t]+$", re.MULTILINE)


def _tidy(text: str) -> str:
    return _TRAILING.sub("", text.replace("\r\n", "\n")).strip("\n").strip()


def _dicts(value: object) -> list[Json]:
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []


def _text(element: Json, name: str) -> str:
    value = element.get(name)
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        return ""
    return str(value)


def _small_int(value: object) -> int:
    return value if isinstance(value, int) and 0 <= value <= 1000 else 0


def _strings(value: object) -> set[str]:
    return {value} if isinstance(value, str) else set()
