"""Pages of `conversations.history` and `conversations.replies`, and what they show of Slack's limits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from slack_sdk.web.async_slack_response import AsyncSlackResponse

from bridge.model import Reading

PER_PAGE = 200
"""What we ask for."""
RESTRICTED_PAGE = 15
"""What an app that is sold outside the Marketplace gets at most (slack-facts 3)."""
THREAD_GONE = frozenset({"thread_not_found", "message_not_found"})


def messages_of(page: AsyncSlackResponse) -> list[Mapping[str, Any]]:
    """Return the messages of a page, in Slack's order."""
    messages = page.get("messages")
    return [m for m in messages if isinstance(m, Mapping)] if isinstance(messages, list) else []


def next_cursor(page: AsyncSlackResponse) -> str | None:
    """Return what leads to the next page. Empty, null and absent all mean the end; a short page does not."""
    metadata = page.get("response_metadata")
    cursor = metadata.get("next_cursor") if isinstance(metadata, Mapping) else None
    return cursor if isinstance(cursor, str) and cursor else None


def reading_of(count: int, *, has_more: bool) -> Reading | None:
    """Return what a page of `count` messages shows of the limits; None if any install may get it."""
    if count > RESTRICTED_PAGE + 1:  # some count the root of a thread, some do not
        return Reading.FULL
    return Reading.RESTRICTED if has_more and count in (RESTRICTED_PAGE, RESTRICTED_PAGE + 1) else None
