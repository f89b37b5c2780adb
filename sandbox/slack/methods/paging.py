"""Cursors, as all of Slack's lists have them."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import TypeVar

from sandbox.slack.calls import ApiCall, ApiError
from sandbox.slack.model import Json

Item = TypeVar("Item")


def page(call: ApiCall, items: Sequence[Item], *, default: int, most: int) -> tuple[list[Item], Json]:
    """Return one page and the `response_metadata` that leads to the next (an empty cursor at the end)."""
    limit = call.args.number("limit", default, most=most)
    start = _offset(call.args.text("cursor"))
    short = call.state.switches.short_pages
    size = limit if short is None else min(limit, short)
    end = start + size
    following = _cursor(end) if end < len(items) else ""
    return list(items[start:end]), {"next_cursor": following}


def is_first_page(call: ApiCall) -> bool:
    return not call.args.text("cursor")


def _cursor(offset: int) -> str:
    return base64.b64encode(f"next:{offset}".encode()).decode()


def _offset(cursor: str | None) -> int:
    if not cursor:
        return 0
    try:
        return int(base64.b64decode(cursor, validate=True).decode().removeprefix("next:"))
    except (ValueError, binascii.Error):
        raise ApiError("invalid_cursor") from None
