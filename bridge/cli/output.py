"""How answers look: a table for people, JSON for programs, nothing that a terminal would obey."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime

from rich.console import Console
from rich.table import Table
from rich.text import Text

Value = str | int | float | bool | datetime | None | Sequence["Value"] | Mapping[str, "Value"]
Row = Mapping[str, Value]

NO_TERMINAL_WIDTH = 10_000


def show(rows: Sequence[Row], *, as_json: bool, empty: str) -> None:
    """Print `rows`, which all have the same members, or the sentence `empty` if there are none."""
    if as_json:
        show_json(rows)
    elif rows:
        table = Table(*(name.replace("_", " ") for name in rows[0]), box=None, pad_edge=False)
        for row in rows:
            table.add_row(*(Text(plain(words(value))) for value in row.values()))
        console().print(table)
    else:
        print(empty)


def show_json(value: Value) -> None:
    """Print `value` as JSON; times as ISO 8601."""
    print(json.dumps(value, indent=2, ensure_ascii=False, default=_written))


def words(value: Value) -> str:
    """Return a value as people read it in a table."""
    match value:
        case None:
            return ""
        case datetime():
            return f"{value:%Y-%m-%d %H:%M:%S}"
        case str():
            return value
        case Sequence():
            return ", ".join(words(item) for item in value)
        case _:
            return str(value)


def plain(text: str) -> str:
    """Return `text` without characters that a terminal would obey: names and reasons come from outside."""
    named = re.sub(r"<#(\w+)>", r"\1", text)  # Slack alone draws a channel's name for this
    return "".join(char if char.isprintable() else " " for char in named)


def console() -> Console:
    """Return where tables go; in a pipe no line is broken."""
    width = None if sys.stdout.isatty() else NO_TERMINAL_WIDTH
    return Console(width=width, highlight=False, soft_wrap=width is not None)


def _written(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(type(value).__name__)
