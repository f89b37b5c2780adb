"""What Slack accepts as blocks of a message or a view, with the documented limits and its words for what is
wrong.

Checked are types, required members, lengths, counts and the uniqueness of ids; not every optional member.
Block types that exist but are not modelled here (`video`, `carousel` …) are refused with a problem that
says so, so that nothing slips through unchecked.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from sandbox.slack.model import Json

MAX_BLOCKS: Final = 50
MAX_VIEW_BLOCKS: Final = 100
MAX_TOTAL_CHARACTERS: Final = 13_200
"""Over all blocks; undocumented, seen in https://github.com/slackapi/bolt-js/issues/2509."""


@dataclass(frozen=True)
class Checked:
    """Blocks as Slack keeps them (ids filled in), and what is wrong with them in Slack's words."""

    blocks: list[Json]
    problems: list[str]
    characters: int


def check(
    blocks: object, *, limit: int = MAX_BLOCKS, pointer: str = "/blocks", new_id: Callable[[], str]
) -> Checked:
    """Return the blocks with ids filled in and every problem; never raises, whatever came over the wire."""
    checker = _Checker(new_id=new_id)
    if not isinstance(blocks, list):
        return Checked([], [f"[ERROR] must provide an array [json-pointer:{pointer}]"], 0)
    kept: list[Json] = [copy.deepcopy(block) for block in blocks]
    if len(kept) > limit:
        checker.problem(f"no more than {limit} items allowed", pointer)
    for index, block in enumerate(kept):
        checker.block(block, f"{pointer}/{index}")
    return Checked(kept, checker.problems, checker.characters)


@dataclass
class _Checker:
    new_id: Callable[[], str]
    problems: list[str] = field(default_factory=list)
    characters: int = 0
    block_ids: set[str] = field(default_factory=set)

    def problem(self, words: str, pointer: str) -> None:
        self.problems.append(f"[ERROR] {words} [json-pointer:{pointer}]")

    def block(self, block: Any, at: str) -> None:
        if not isinstance(block, dict):
            self.problem("must be an object", at)
            return
        check = _BLOCKS.get(str(block.get("type")))
        if check is None:
            self.problem(f"unsupported type: {block.get('type')}", f"{at}/type")
            return
        self._block_id(block, at)
        check(self, block, at)

    def _block_id(self, block: Json, at: str) -> None:
        block_id = block.setdefault("block_id", self.new_id())
        if not isinstance(block_id, str) or not 0 < len(block_id) <= 255:
            self.problem("must be a string of 1 to 255 characters", f"{at}/block_id")
        elif block_id in self.block_ids:
            self.problem(f"`block_id` {block_id} already exists", f"{at}/block_id")
        self.block_ids.add(str(block_id))

    # members

    def string(self, owner: Json, name: str, at: str, limit: int, *, required: bool = True) -> None:
        value = owner.get(name)
        if value is None and not required:
            return
        if not isinstance(value, str) or (required and not value):
            self.problem(f"missing required field: {name}", at)
        elif len(value) > limit:
            self.problem(f"must be less than {limit + 1} characters", f"{at}/{name}")

    def text(
        self, owner: Json, name: str, at: str, limit: int, *, plain_only: bool = False, required: bool = True
    ) -> None:
        """Check a text object; counts its characters towards the total."""
        if owner.get(name) is None and not required:
            return
        value = owner.get(name)
        if not isinstance(value, dict):
            self.problem(f"missing required field: {name}", at)
            return
        kind = value.get("type")
        if kind not in ("plain_text", "mrkdwn") or (plain_only and kind != "plain_text"):
            self.problem(f"unsupported type: {kind}", f"{at}/{name}/type")
        if kind == "plain_text":
            value.setdefault("emoji", True)
            if "verbatim" in value:
                self.problem("invalid additional property: verbatim", f"{at}/{name}")
        else:
            value.setdefault("verbatim", False)
            if "emoji" in value:
                self.problem("invalid additional property: emoji", f"{at}/{name}")
        content = value.get("text")
        if not isinstance(content, str) or not content:
            self.problem("must be more than 0 characters", f"{at}/{name}/text")
            return
        self.characters += len(content)
        if len(content) > limit:
            self.problem(f"must be less than {limit + 1} characters", f"{at}/{name}/text")

    def items(self, owner: Json, name: str, at: str, limit: int, *, required: bool = True) -> list[Any]:
        value = owner.get(name)
        if value is None and not required:
            return []
        if not isinstance(value, list) or (required and not value):
            self.problem(f"missing required field: {name}", at)
            return []
        if len(value) > limit:
            self.problem(f"no more than {limit} items allowed", f"{at}/{name}")
        return value

    def allowed(self, owner: Json, at: str, *names: str) -> None:
        for name in owner.keys() - set(names) - {"type", "block_id", "action_id"}:
            self.problem(f"invalid additional property: {name}", at)

    def element(self, element: Any, at: str, kinds: frozenset[str]) -> None:
        """Check an interactive element or an image inside a block."""
        if not isinstance(element, dict) or str(element.get("type")) not in kinds:
            found = element.get("type") if isinstance(element, dict) else element
            self.problem(f"unsupported type: {found}", f"{at}/type")
            return
        if element["type"] != "image":
            element.setdefault("action_id", self.new_id())
            self.string(element, "action_id", at, 255)
        _ELEMENTS[element["type"]](self, element, at)


# blocks


def _section(c: _Checker, block: Json, at: str) -> None:
    c.allowed(block, at, "text", "fields", "accessory", "expand")
    if block.get("text") is None and not block.get("fields"):
        c.problem("missing required field: text", at)
    c.text(block, "text", at, 3000, required=False)
    fields = c.items(block, "fields", at, 10, required=False)
    for index in range(len(fields)):
        c.text({"text": fields[index]}, "text", f"{at}/fields/{index}", 2000)
    if block.get("accessory") is not None:
        c.element(block["accessory"], f"{at}/accessory", _ACCESSORIES)


def _header(c: _Checker, block: Json, at: str) -> None:
    c.allowed(block, at, "text", "level")
    c.text(block, "text", at, 150, plain_only=True)


def _divider(c: _Checker, block: Json, at: str) -> None:
    c.allowed(block, at)


def _context(c: _Checker, block: Json, at: str) -> None:
    c.allowed(block, at, "elements")
    for index, element in enumerate(c.items(block, "elements", at, 10)):
        here = f"{at}/elements/{index}"
        if isinstance(element, dict) and element.get("type") == "image":
            c.element(element, here, frozenset({"image"}))
        else:
            c.text({"text": element}, "text", here, 3000)


def _actions(c: _Checker, block: Json, at: str) -> None:
    c.allowed(block, at, "elements")
    ids: set[object] = set()
    for index, element in enumerate(c.items(block, "elements", at, 25)):
        c.element(element, f"{at}/elements/{index}", _IN_ACTIONS)
        action_id = str(element.get("action_id")) if isinstance(element, dict) else None
        if action_id is not None and action_id in ids:
            c.problem(f"`action_id` {action_id} already exists", f"{at}/elements/{index}/action_id")
        ids.add(action_id)


def _context_actions(c: _Checker, block: Json, at: str) -> None:
    c.allowed(block, at, "elements")
    for index, element in enumerate(c.items(block, "elements", at, 5)):
        c.element(element, f"{at}/elements/{index}", frozenset({"feedback_buttons", "icon_button"}))


def _image(c: _Checker, block: Json, at: str) -> None:
    c.allowed(block, at, "image_url", "slack_file", "alt_text", "title")
    _image_source(c, block, at)
    c.text(block, "title", at, 2000, plain_only=True, required=False)


def _markdown(c: _Checker, block: Json, at: str) -> None:
    c.allowed(block, at, "text")
    c.string(block, "text", at, 12_000)
    c.characters += len(str(block.get("text", "")))


def _input(c: _Checker, block: Json, at: str) -> None:
    c.allowed(block, at, "label", "element", "hint", "optional", "dispatch_action")
    c.text(block, "label", at, 2000, plain_only=True)
    c.text(block, "hint", at, 2000, plain_only=True, required=False)
    c.element(block.get("element"), f"{at}/element", _IN_INPUT)


def _rich_text(c: _Checker, block: Json, at: str) -> None:
    c.allowed(block, at, "elements")
    for index, element in enumerate(c.items(block, "elements", at, 1000)):
        _rich_part(c, element, f"{at}/elements/{index}")


def _rich_part(c: _Checker, element: Any, at: str) -> None:
    kind = str(element.get("type")) if isinstance(element, dict) else None
    if kind not in _RICH_PARTS:
        c.problem(f"unsupported type: {kind}", f"{at}/type")
        return
    for index, inner in enumerate(c.items(element, "elements", at, 5000)):
        here = f"{at}/elements/{index}"
        if kind == "rich_text_list":
            _rich_part(c, inner, here)
        else:
            _rich_leaf(c, inner, here)


def _rich_leaf(c: _Checker, leaf: Any, at: str) -> None:
    kind = leaf.get("type") if isinstance(leaf, dict) else None
    required = _RICH_LEAVES.get(str(kind))
    if required is None:
        c.problem(f"unsupported type: {kind}", f"{at}/type")
        return
    c.string(leaf, required, at, 30_000)
    c.characters += len(str(leaf.get("text", leaf.get("url", ""))))
    style = leaf.get("style", {})
    if not isinstance(style, dict) or set(style) - _STYLES:
        c.problem("invalid style", f"{at}/style")


def _table(c: _Checker, block: Json, at: str) -> None:
    c.allowed(block, at, "rows", "column_settings")
    for index, row in enumerate(c.items(block, "rows", at, 100)):
        if not isinstance(row, list) or len(row) > 20:
            c.problem("no more than 20 items allowed", f"{at}/rows/{index}")


def _alert(c: _Checker, block: Json, at: str) -> None:
    c.allowed(block, at, "text", "level")
    c.text(block, "text", at, 3000)
    if block.get("level", "default") not in ("default", "info", "warning", "error", "success"):
        c.problem("invalid level", f"{at}/level")


_BLOCKS: Final[dict[str, Callable[[_Checker, Json, str], None]]] = {
    "section": _section,
    "header": _header,
    "divider": _divider,
    "context": _context,
    "actions": _actions,
    "context_actions": _context_actions,
    "image": _image,
    "markdown": _markdown,
    "input": _input,
    "rich_text": _rich_text,
    "table": _table,
    "alert": _alert,
}
_STYLES: Final = frozenset(
    {"bold", "italic", "strike", "code", "underline", "client_highlight", "highlight", "unlink"}
)
_RICH_PARTS: Final = frozenset(
    {"rich_text_section", "rich_text_list", "rich_text_quote", "rich_text_preformatted"}
)
_RICH_LEAVES: Final = {
    "text": "text",
    "link": "url",
    "user": "user_id",
    "channel": "channel_id",
    "usergroup": "usergroup_id",
    "emoji": "name",
    "broadcast": "range",
    "date": "format",
    "color": "value",
    "team": "team_id",
}


# elements


def _image_source(c: _Checker, image: Json, at: str) -> None:
    c.string(image, "alt_text", at, 2000)
    if image.get("slack_file") is None:
        c.string(image, "image_url", at, 3000)
    elif image.get("image_url") is not None:
        c.problem("only one of image_url and slack_file is allowed", at)


def _image_element(c: _Checker, image: Json, at: str) -> None:
    c.allowed(image, at, "image_url", "slack_file", "alt_text")
    _image_source(c, image, at)


def _button(c: _Checker, button: Json, at: str) -> None:
    c.allowed(button, at, "text", "url", "value", "style", "confirm", "accessibility_label")
    c.text(button, "text", at, 75, plain_only=True)
    c.string(button, "url", at, 3000, required=False)
    c.string(button, "value", at, 2000, required=False)
    if button.get("style") not in (None, "primary", "danger"):
        c.problem("invalid style", f"{at}/style")
    _confirm(c, button, at)


def _confirm(c: _Checker, element: Json, at: str) -> None:
    confirm = element.get("confirm")
    if confirm is not None and not isinstance(confirm, dict):
        c.problem("must be an object", f"{at}/confirm")
    elif confirm is not None:
        c.text(confirm, "title", f"{at}/confirm", 100, plain_only=True)
        c.text(confirm, "text", f"{at}/confirm", 300)
        c.text(confirm, "confirm", f"{at}/confirm", 30, plain_only=True)
        c.text(confirm, "deny", f"{at}/confirm", 30, plain_only=True)


def _options(limit: int) -> Callable[[_Checker, Json, str], None]:
    def check_options(c: _Checker, menu: Json, at: str) -> None:
        c.text(menu, "placeholder", at, 150, plain_only=True, required=False)
        groups = c.items(menu, "option_groups", at, 100, required=False)
        options = c.items(menu, "options", at, limit, required=not groups)
        inside = [o for g in groups if isinstance(g, dict) for o in c.items(g, "options", at, limit)]
        for index, option in enumerate([*options, *inside]):
            here = f"{at}/options/{index}"
            if not isinstance(option, dict):
                c.problem("must be an object", here)
                continue
            c.text(option, "text", here, 75)
            c.string(option, "value", here, 150)
        _confirm(c, menu, at)

    return check_options


def _menu(c: _Checker, menu: Json, at: str) -> None:
    c.text(menu, "placeholder", at, 150, plain_only=True, required=False)
    _confirm(c, menu, at)


def _anything(_c: _Checker, _element: Json, _at: str) -> None:
    """Elements whose members are not modelled beyond their type and `action_id`."""


_ELEMENTS: Final[dict[str, Callable[[_Checker, Json, str], None]]] = {
    "image": _image_element,
    "button": _button,
    "static_select": _options(100),
    "multi_static_select": _options(100),
    "overflow": _options(5),
    "radio_buttons": _options(10),
    "checkboxes": _options(10),
    "external_select": _menu,
    "users_select": _menu,
    "conversations_select": _menu,
    "channels_select": _menu,
    "multi_users_select": _menu,
    "multi_conversations_select": _menu,
    "multi_channels_select": _menu,
    "plain_text_input": _menu,
    "email_text_input": _menu,
    "url_text_input": _menu,
    "number_input": _menu,
    "rich_text_input": _menu,
    "datepicker": _menu,
    "timepicker": _menu,
    "datetimepicker": _anything,
    "file_input": _anything,
    "feedback_buttons": _anything,
    "icon_button": _anything,
}
_MENUS: Final = frozenset(n for n in _ELEMENTS if n.endswith("select"))
_PICKERS: Final = frozenset({"datepicker", "timepicker", "datetimepicker", "radio_buttons", "checkboxes"})
_IN_ACTIONS: Final = _PICKERS | {"button", "overflow"} | {n for n in _MENUS if not n.startswith("multi_")}
_ACCESSORIES: Final = _PICKERS | _MENUS | {"button", "overflow", "image"}
_IN_INPUT: Final = _PICKERS | _MENUS | {n for n in _ELEMENTS if n.endswith("_input")}
