"""What Slack makes of a line that a person types: the `rich_text` block and the `mrkdwn` text of the event.

Understood are the composer's own signs (`*bold*`, `_italic_`, `~strike~`, `` `code` ``, fenced code, `>
quote`, bullet and numbered lists, `:emoji:` and emoji characters), bare links, `[label](url)` and Slack's
codes for what a person picks from a menu: `<@U…>`, `<#C…>`, `<!here>`, `<!subteam^S…>`,
`<https://…|label>`. Everything else is text, with `&`, `<` and `>` escaped in the event's `text` and left
alone in the block.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import emoji

from sandbox.slack.model import Json

_STYLES: Final = {"*": "bold", "_": "italic", "~": "strike", "`": "code"}
_TONES: Final = {chr(0x1F3FB + n): n + 2 for n in range(5)}
_INLINE: Final = re.compile(
    r"<@(?P<user>[UW][A-Z0-9]+)>"
    r"|<#(?P<channel>C[A-Z0-9]+)(?:\|[^>]*)?>"
    r"|<!(?P<range>here|channel|everyone)>"
    r"|<!subteam\^(?P<group>S[A-Z0-9]+)(?:\|[^>]*)?>"
    r"|<(?P<url>(?:https?://|mailto:)[^\s|>]+)(?:\|(?P<label>[^>]+))?>"
    r"|\[(?P<mdlabel>[^\]\n]+)\]\((?P<mdurl>https?://[^\s)]+)\)"
    r"|(?P<bare>https?://[^\s<>|]*[^\s<>|.,;:!?)\]'\"*_~`])"
    r"|:(?P<emoji>[a-z0-9_'-]*[a-z][a-z0-9_'-]*|[+-]1|100|1234):(?::skin-tone-(?P<tone>[2-6]):)?"
    r"|(?P<style>(?<![\w*_~`])(?P<sign>[*_~`])(?=\S)(?P<inner>[^\n]*?\S)(?P=sign)(?![\w*_~`]))"
)
_CHANNEL_MENTION: Final = re.compile(r"(?<!\S)@(here|channel|everyone)\b")
_BULLET: Final = re.compile(r"^(?P<indent> *)(?:[-•*]|(?P<number>\d+)\.) +(?P<item>.*)$")


@dataclass(frozen=True)
class Typed:
    """One line as Slack stores it."""

    text: str
    blocks: list[Json]


def typed(line: str, *, block_id: str = "b1") -> Typed:
    """Return what Slack sends for a line that a person typed."""
    line = _CHANNEL_MENTION.sub(r"<!\1>", line)
    texts: list[str] = []
    elements: list[Json] = []
    for text, element in _paragraphs(line):
        texts.append(text)
        elements.append(element)
    blocks: list[Json] = (
        [{"type": "rich_text", "block_id": block_id, "elements": elements}] if elements else []
    )
    return Typed("\n".join(texts), blocks)


def escaped(text: str) -> str:
    """Escape the three characters that Slack escapes, and no others."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def plain(blocks: list[Json]) -> str:
    """All text in the blocks, for a person's eye; used where a test asks what a message shows."""
    return " ".join(part for block in blocks for part in _texts(block)).strip()


def _texts(node: object) -> Iterator[str]:
    if isinstance(node, list):
        for item in node:
            yield from _texts(item)
    elif isinstance(node, dict):
        if isinstance(node.get("text"), str):
            yield node["text"]
        elif node.get("type") == "link":
            yield str(node.get("url"))
        elif node.get("type") == "emoji":
            yield f":{node.get('name')}:"
        for name, value in node.items():
            if name in _SHOWN and not isinstance(value, str):
                yield from _texts(value)


_SHOWN: Final = frozenset({"text", "fields", "elements", "accessory", "rows", "title", "label"})


def _paragraphs(line: str) -> Iterator[tuple[str, Json]]:
    """Cut the line into code fences, quotes, lists and sections, as the composer does."""
    for index, part in enumerate(line.split("```")):
        if index % 2:
            code = part.strip("\n")
            element = {
                "type": "rich_text_preformatted",
                "border": 0,
                "elements": [{"type": "text", "text": code}],
            }
            yield f"```{escaped(code)}```", element
        elif part.strip("\n") or (index == 0 and "```" not in line):
            yield from _blocks_of_lines(part.strip("\n").split("\n"))


def _blocks_of_lines(lines: list[str]) -> Iterator[tuple[str, Json]]:
    position = 0
    while position < len(lines):
        kind = _kind(lines[position])
        end = position
        while end < len(lines) and _kind(lines[end]) == kind:
            end += 1
        yield _BUILDERS[kind[0]](lines[position:end])
        position = end


def _kind(line: str) -> tuple[str, int]:
    if line.startswith(("> ", ">")) and not line.startswith(">>"):
        return "quote", 0
    bullet = _BULLET.match(line)
    if bullet and bullet["item"]:
        return ("ordered" if bullet["number"] else "bullet"), len(bullet["indent"]) // 4
    return "section", 0


def _section(lines: list[str]) -> tuple[str, Json]:
    text, elements = _inline("\n".join(lines))
    return text, {"type": "rich_text_section", "elements": elements}


def _quote(lines: list[str]) -> tuple[str, Json]:
    text, elements = _inline("\n".join(line[1:].removeprefix(" ") for line in lines))
    quoted = "\n".join(f"&gt; {line}" for line in text.split("\n"))
    return quoted, {"type": "rich_text_quote", "elements": elements}


def _list(lines: list[str]) -> tuple[str, Json]:
    texts: list[str] = []
    items: list[Json] = []
    style, indent = _kind(lines[0])
    for number, line in enumerate(lines, start=1):
        match = _BULLET.match(line)
        assert match is not None
        text, elements = _inline(match["item"])
        sign = f"{number}." if style == "ordered" else "•" if indent % 2 == 0 else "◦"
        texts.append("    " * indent + f"{sign} {text}")
        items.append({"type": "rich_text_section", "elements": elements})
    return "\n".join(texts), {
        "type": "rich_text_list",
        "style": style,
        "indent": indent,
        "border": 0,
        "elements": items,
    }


_BUILDERS: Final[dict[str, Callable[[list[str]], tuple[str, Json]]]] = {
    "section": _section,
    "quote": _quote,
    "bullet": _list,
    "ordered": _list,
}


def _inline(source: str, style: frozenset[str] = frozenset()) -> tuple[str, list[Json]]:
    text: list[str] = []
    elements: list[Json] = []
    end = 0
    source = _emoji_codes(source)
    for match in _INLINE.finditer(source):
        _plain(source[end : match.start()], style, text, elements)
        _token(match, style, text, elements)
        end = match.end()
    _plain(source[end:], style, text, elements)
    return "".join(text), elements


def _plain(source: str, style: frozenset[str], text: list[str], elements: list[Json]) -> None:
    if source:
        text.append(escaped(source))
        elements.append(_styled({"type": "text", "text": source}, style))


def _token(match: re.Match[str], style: frozenset[str], text: list[str], elements: list[Json]) -> None:
    sign = match["sign"]
    if sign == "`":
        text.append(f"`{escaped(match['inner'])}`")
        elements.append(_styled({"type": "text", "text": match["inner"]}, style | {"code"}))
    elif sign:
        inner_text, inner_elements = _inline(match["inner"], style | {_STYLES[sign]})
        text.append(f"{sign}{inner_text}{sign}")
        elements.extend(inner_elements)
    else:
        element = _element(match)
        text.append(_code(match))
        elements.append(_styled(element, style))


def _element(match: re.Match[str]) -> Json:
    if match["user"]:
        return {"type": "user", "user_id": match["user"]}
    if match["channel"]:
        return {"type": "channel", "channel_id": match["channel"]}
    if match["range"]:
        return {"type": "broadcast", "range": match["range"]}
    if match["group"]:
        return {"type": "usergroup", "usergroup_id": match["group"]}
    if match["emoji"]:
        named: Json = {"type": "emoji", "name": match["emoji"]}
        return named | ({"skin_tone": int(match["tone"])} if match["tone"] else {})
    url, label = _link(match)
    return {"type": "link", "url": url} | ({"text": label} if label else {})


def _link(match: re.Match[str]) -> tuple[str, str | None]:
    return match["url"] or match["mdurl"] or match["bare"], match["label"] or match["mdlabel"]


def _code(match: re.Match[str]) -> str:
    """The `mrkdwn` code of a mention, a link or an emoji."""
    if match["emoji"]:
        return match[0]
    url, label = _link(match)
    if url:
        return f"<{escaped(url)}|{escaped(label)}>" if label else f"<{escaped(url)}>"
    if match["channel"]:
        return f"<#{match['channel']}|>"
    return match[0]


def _styled(element: Json, style: frozenset[str]) -> Json:
    return element | {"style": dict.fromkeys(sorted(style), True)} if style else element


def _emoji_codes(source: str) -> str:
    """Replace emoji characters by Slack's codes, skin tones apart: 👍🏽 becomes `:+1::skin-tone-4:`."""
    if source.isascii():
        return source
    return emoji.replace_emoji(source, replace=_emoji_code)


def _emoji_code(character: str, _data: dict[str, str]) -> str:
    tone = next((_TONES[c] for c in character if c in _TONES), None)
    base = "".join(c for c in character if c not in _TONES)
    named = emoji.demojize(base, language="alias")
    if not named.startswith(":"):
        return character
    name = _SLACK_NAMES.get(named, named)
    return name + (f":skin-tone-{tone}:" if tone else "")


_SLACK_NAMES: Final = {
    ":thumbs_up:": ":+1:",
    ":thumbsup:": ":+1:",
    ":thumbs_down:": ":-1:",
    ":thumbsdown:": ":-1:",
    ":red_heart:": ":heart:",
    ":clinking_beer_mugs:": ":beers:",
    ":party_popper:": ":tada:",
    ":folded_hands:": ":pray:",
}
