"""Events about one thread have one key, so that they are read in the order of their arrival."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.events import Event, SlackEventReceived
from slack_app.inbox import store_event
from slack_app.translate import thread_of

ROOT, LINE = "1700000000.000100", "1700000001.000100"
NOW = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)


def envelope(event: dict[str, Any]) -> dict[str, Any]:
    return {"type": "event_callback", "event_id": "Ev1", "team_id": "T1", "event": event}


def message(**more: Any) -> dict[str, Any]:
    return {"type": "message", "channel": "C1", "ts": LINE, **more}


@pytest.mark.parametrize(
    "event",
    [
        message(user="U1", thread_ts=ROOT),
        message(ts="1700000009.0", subtype="message_changed", message={"ts": LINE, "thread_ts": ROOT}),
        message(
            ts="1700000009.0",
            subtype="message_deleted",
            deleted_ts=LINE,
            previous_message={"ts": LINE, "thread_ts": ROOT},
        ),
        message(ts=ROOT, user="U1"),
        message(ts=ROOT, user="U1", thread_ts=ROOT),
        message(ts="1700000009.0", subtype="message_changed", message={"ts": ROOT}),
        message(ts="1700000009.0", subtype="message_deleted", deleted_ts=ROOT, previous_message={"ts": ROOT}),
    ],
)
def test_a_line_its_edit_its_deletion_and_its_root_share_a_key(event: dict[str, Any]) -> None:
    assert thread_of(envelope(event)) == f"T1:C1:{ROOT}"


@pytest.mark.parametrize(
    "event",
    [
        {"type": "channel_rename", "channel": {"id": "C1", "name": "n"}},
        {"type": "app_mention", "channel": "C1", "ts": LINE},
        message(channel=None),
        {"type": "message", "channel": "C1"},
    ],
)
def test_what_is_about_no_message_has_no_key(event: dict[str, Any]) -> None:
    assert thread_of(envelope(event)) is None


_names = st.sampled_from(["type", "channel", "ts", "thread_ts", "message", "previous_message", "deleted_ts"])
_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_names, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(_names, _json, max_size=7))
def test_any_json_has_a_key_or_none(event: dict[str, Any]) -> None:
    found = thread_of(envelope({"type": "message", **event}))
    assert found is None or found.startswith("T1:")


class Inbox:
    def __init__(self) -> None:
        self.stored: list[Event] = []

    async def put(self, event: Event, *, unique_key: str | None = None) -> None:
        self.stored.append(event)


async def test_a_stored_event_waits_its_turn_in_the_lane_of_its_thread() -> None:
    inbox = Inbox()
    await store_event(inbox, envelope(message(user="U1", thread_ts=ROOT)), now=lambda: NOW)
    await store_event(inbox, envelope({"type": "app_uninstalled"}), now=lambda: NOW)
    first, second = inbox.stored
    assert isinstance(first, SlackEventReceived)
    assert isinstance(second, SlackEventReceived)
    assert (first.lane, second.lane) == (f"slack:T1:C1:{ROOT}", None)
