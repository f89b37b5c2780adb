"""HTML from Jollor's render endpoint as text in Slack's mrkdwn; no I/O, never an exception.

The markup may hold what a customer wrote, so it is hostile: whatever is not a known element loses its markup,
what can run or load is dropped, and the text itself is escaped so that it can neither mention nor link nor
format. The result is for a text object with `verbatim: true`. Only http, https and mailto links survive.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator

from bs4 import BeautifulSoup, MarkupResemblesLocatorWarning, Tag
from bs4.element import NavigableString, PageElement, PreformattedString
from markdownify import MarkdownConverter
from pydantic import JsonValue

from jollor.escaping import code, escape, label, link
from jollor.models import clean_text

MAX_MARKUP = 40_000
"""Characters of markup that are read; what follows is left out and said so."""

_CUT_NOTE = "\n\n… (shortened)"
_MAX_DEPTH = 40  # elements within elements; deeper ones lose their markup, not their text
_MAX_URL = 2_000
_MARKUP_MEMBERS = ("html", "markup", "rendered", "content", "body", "text")

_DROPPED = frozenset(
    (
        *(
            "script",
            "style",
            "iframe",
            "frame",
            "frameset",
            "object",
            "embed",
            "applet",
            "template",
            "noscript",
        ),
        *("title", "meta", "link", "base", "svg", "math", "canvas", "audio", "area"),
        *("input", "button", "select", "option", "textarea"),
    )
)
_TOKEN = re.compile(
    r"""(?ix) < (?: (!--)  # comment
                  | (!doctype[^<>]*> | !\[CDATA\[[^<>]*> | \?[^<>]*>)  # declaration
                  | (/?) ([a-z][^\s/<>]*) [^<>]*>  # tag
                  | )"""  # text
)
_BLANK_LINES = re.compile(r"\n(?:[ \t]*\n)+")


def markup_of(rendered: JsonValue, *, depth: int = 4) -> str | None:
    """Return the markup in an answer of the render operations, None if there is none.

    A string is it; of an object the member with a likely name, else the first that holds any; also nested.
    """
    if isinstance(rendered, str):
        return rendered if rendered.strip() else None
    if depth == 0:
        return None
    if isinstance(rendered, dict):
        likely = [rendered[name] for name in _MARKUP_MEMBERS if name in rendered]
        others = rendered.keys() - {*_MARKUP_MEMBERS, "_links", "id"}
        rest = [value for name, value in rendered.items() if name in others]
        rendered = [*likely, *rest]
    if not isinstance(rendered, list):
        return None
    found = (markup_of(value, depth=depth - 1) for value in rendered)
    return next((markup for markup in found if markup is not None), None)


def to_mrkdwn(markup: str) -> str:
    """Return `markup` in Slack's mrkdwn, escaped, "" if nothing of it can be shown."""
    is_cut = len(markup) > MAX_MARKUP
    with warnings.catch_warnings():
        # a text that is only an address is text all the same
        warnings.simplefilter("ignore", MarkupResemblesLocatorWarning)
        soup = BeautifulSoup(_tamed(clean_text(markup[:MAX_MARKUP])), "html.parser")
    text = _SlackConverter().convert_soup(soup)
    lines = (line.rstrip() for line in text.split("\n"))
    text = _BLANK_LINES.sub("\n\n", "\n".join(lines)).strip()
    return text + _CUT_NOTE if is_cut else text


# --- before the parser: nothing that makes it slow or refuse ------------------------------------------


def _tamed(markup: str) -> str:
    """Return `markup` with each "<" that begins no closed tag as text, without comments and declarations.

    The standard library's parser takes quadratic time over unclosed tags and raises at some declarations.
    """
    return "".join(_tamed_parts(markup.replace("\r\n", "\n")))


def _tamed_parts(markup: str) -> Iterator[str]:
    lists: list[bool] = []  # of each open list, whether an item is open in it
    at = 0
    while (found := _TOKEN.search(markup, at)) is not None:
        yield markup[at : found.start()]
        at = found.end()
        comment, declaration, slash, name = found.groups()
        if comment:
            end = markup.find("-->", at)
            at = len(markup) if end < 0 else end + 3
        elif name:
            yield _closed_item(lists, slash + name.lower()) + found[0]
        elif not declaration:
            yield "&lt;"
    yield markup[at:]


def _closed_item(lists: list[bool], tag: str) -> str:
    """Return the end tag of a list item that `tag` ends silently: HTML allows that, the parser nests."""
    match tag:
        case "ul" | "ol":
            lists.append(False)
        case "li" if lists:
            was_open, lists[-1] = lists[-1], True
            return "</li>" if was_open else ""
        case "/li" if lists:
            lists[-1] = False
        case "/ul" | "/ol" if lists:
            return "</li>" if lists.pop() else ""
    return ""


# --- the converter -----------------------------------------------------------------------------------


class _SlackConverter(MarkdownConverter):
    """Writes mrkdwn where markdownify would write Markdown; skips what is unsafe, flattens what is deep."""

    def __init__(self) -> None:
        super().__init__()
        self._depth = 0
        self._counted_list = 0
        self._counted: dict[int, int] = {}

    def process_element(self, node: PageElement, parent_tags: set[str] | None = None) -> str:
        """Return one node's text; of a subtree that is too deep only the text."""
        if isinstance(node, PreformattedString) or (isinstance(node, Tag) and _is_dropped(node)):
            return ""
        if not isinstance(node, Tag):
            return str(super().process_element(node, parent_tags))  # type: ignore[misc]  # not in its stub
        if self._depth >= _MAX_DEPTH:
            return escape(node.get_text())
        self._depth += 1
        try:
            return str(super().process_element(node, parent_tags))  # type: ignore[misc]  # not in its stub
        finally:
            self._depth -= 1

    def process_text(self, el: NavigableString, parent_tags: set[str] | None = None) -> str:
        """Return a text node escaped, within code, too (there `escape` is not called)."""
        text = str(super().process_text(el, parent_tags))  # type: ignore[misc]  # not in its stub
        return code(text) if "_noformat" in (parent_tags or ()) else text

    def escape(self, text: str, parent_tags: set[str]) -> str:
        """Return text outside code, escaped."""
        return escape(text)

    def convert_a(self, el: Tag, text: str, parent_tags: set[str]) -> str:
        """`<url|label>`; the label alone if the address is not one that people may be sent to."""
        if "_noformat" in parent_tags or "a" in parent_tags:
            return text
        name = label(el.get_text()) or label(" ".join(_alts(el)))
        return link(str(el.get("href") or ""), name)

    def convert_img(self, el: Tag, text: str, parent_tags: set[str]) -> str:
        """A named link: Slack shows no picture inside a text."""
        name = label(str(el.get("alt") or el.get("title") or "")) or "picture"
        if parent_tags & {"a", "_noformat"}:
            return name
        return link(str(el.get("src") or ""), name)

    def convert_video(self, el: Tag, text: str, parent_tags: set[str]) -> str:
        """A named link."""
        source = el.find("source")
        address = el.get("src") or (source.get("src") if isinstance(source, Tag) else "") or ""
        return text if parent_tags & {"a", "_noformat"} else link(str(address), "video")

    def convert_b(self, el: Tag, text: str, parent_tags: set[str]) -> str:
        """`*bold*`"""
        return _marked("*", text, parent_tags, "b", "strong", "_inline")

    convert_strong = convert_b

    def convert_em(self, el: Tag, text: str, parent_tags: set[str]) -> str:
        """`_emphasis_`"""
        return _marked("_", text, parent_tags, "em", "i")

    convert_i = convert_em

    def convert_del(self, el: Tag, text: str, parent_tags: set[str]) -> str:
        """`~struck~`"""
        return _marked("~", text, parent_tags, "del", "s", "strike")

    convert_s = convert_del
    convert_strike = convert_del

    def convert_hN(self, n: int, el: Tag, text: str, parent_tags: set[str]) -> str:
        """A bold line: mrkdwn has no headings."""
        return f"\n\n{_marked('*', ' '.join(text.split()), parent_tags, 'b', 'strong')}\n\n"

    def convert_p(self, el: Tag, text: str, parent_tags: set[str]) -> str:
        """A paragraph: a blank line before and after."""
        return text if "_noformat" in parent_tags else _block(text)

    convert_div = convert_p
    convert_article = convert_p
    convert_section = convert_p
    convert_table = convert_p
    convert_caption = convert_p
    convert_figcaption = convert_p
    convert_dl = convert_p
    convert_dd = convert_p
    convert_dt = convert_p

    def convert_br(self, el: Tag, text: str, parent_tags: set[str]) -> str:
        """A new line."""
        return "\n" + text

    def convert_hr(self, el: Tag, text: str, parent_tags: set[str]) -> str:
        """A line of dashes."""
        return f"\n\n———\n\n{text}"

    def convert_q(self, el: Tag, text: str, parent_tags: set[str]) -> str:
        """A quote within a line."""
        return f"“{text}”"

    def convert_blockquote(self, el: Tag, text: str, parent_tags: set[str]) -> str:
        """`> ` before each line; mrkdwn has one level of quotes."""
        text = text.strip()
        if not text or parent_tags & {"blockquote", "_noformat"}:
            return _block(text)
        return _block("\n".join(f"> {line}" for line in text.split("\n")))

    def convert_code(self, el: Tag, text: str, parent_tags: set[str]) -> str:
        """Code within a line."""
        text = " ".join(text.split())
        return text if "_noformat" in parent_tags or not text else f"`{text}`"

    convert_kbd = convert_code
    convert_samp = convert_code

    def convert_pre(self, el: Tag, text: str, parent_tags: set[str]) -> str:
        """A block of code."""
        text = text.strip("\n")
        return text if "_noformat" in parent_tags or not text.strip() else f"\n\n```\n{text}\n```\n\n"

    def convert_list(self, el: Tag, text: str, parent_tags: set[str]) -> str:
        """Items on lines of their own; a list within an item stays with it."""
        return "\n" + text.strip("\n") if "li" in parent_tags else _block(text)

    convert_ul = convert_list
    convert_ol = convert_list

    def convert_li(self, el: Tag, text: str, parent_tags: set[str]) -> str:
        """A bullet or number, further lines indented: mrkdwn has no lists, so they are drawn."""
        text = _BLANK_LINES.sub("\n", text.strip())
        if not text or "_noformat" in parent_tags:
            return f"{text}\n"
        sign = self._number(el) if el.parent is not None and el.parent.name == "ol" else _bullet(el)
        return f"{sign} {text}".replace("\n", "\n    ") + "\n"

    def _number(self, el: Tag) -> str:
        return f"{self._numbers(el.parent).get(id(el), 1)}."

    def _numbers(self, parent: Tag | None) -> dict[int, int]:
        """Return the number of each item of a list, counted once per list."""
        if parent is None or id(parent) != self._counted_list:
            items = [] if parent is None else [c for c in parent.children if getattr(c, "name", "") == "li"]
            first = _start(parent)
            self._counted_list = id(parent)
            self._counted = {id(item): first + place for place, item in enumerate(items)}
        return self._counted

    def convert_td(self, el: Tag, text: str, parent_tags: set[str]) -> str:
        """A cell, separated from the next."""
        return " ".join(text.split()) + " | "

    convert_th = convert_td

    def convert_tr(self, el: Tag, text: str, parent_tags: set[str]) -> str:
        """A row on a line of its own."""
        return text.strip().removesuffix("|").rstrip() + "\n"


def _is_dropped(tag: Tag) -> bool:
    style = str(tag.get("style") or "").replace(" ", "").lower()
    is_hidden = tag.has_attr("hidden") or "display:none" in style or "visibility:hidden" in style
    return tag.name in _DROPPED or is_hidden


def _block(text: str) -> str:
    text = text.strip()
    return f"\n\n{text}\n\n" if text else ""


def _marked(sign: str, text: str, parent_tags: set[str], *not_within: str) -> str:
    """Return each line of `text` between `sign`s, spaces outside; as it is where that cannot be."""
    if "```" in text or parent_tags & {*not_within, "_noformat"}:
        return text
    return "\n".join(_marked_line(sign, line) for line in text.split("\n"))


def _marked_line(sign: str, line: str) -> str:
    core = line.strip()
    if not core:
        return line
    return line.replace(core, f"{sign}{core}{sign}", 1)


def _bullet(el: Tag) -> str:
    depth = sum(1 for parent in _near_parents(el) if parent.name == "ul")
    return "•◦▪"[(depth - 1) % 3] if depth else "•"


def _near_parents(el: Tag) -> Iterator[Tag]:
    parent = el.parent
    while parent is not None:
        yield parent
        parent = parent.parent


def _start(parent: Tag | None) -> int:
    start = str(parent.get("start") or "1") if parent is not None else "1"
    return int(start) if start.isascii() and start.isdigit() and len(start) < 7 else 1


def _alts(el: Tag) -> Iterator[str]:
    return (str(image.get("alt") or "picture") for image in el.find_all("img"))
