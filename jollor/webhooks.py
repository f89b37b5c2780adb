"""What Jollor's webhook deliveries say: any body in, events and leftovers out, never an exception.

Three shapes are known (flat, envelope, envelope keyed by type) and a bare list is taken, too; NOTES 6 has the
rules. Nothing is authenticated by the body: an event is a hint to read the object through the API.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from pydantic import JsonValue

from jollor.models import NotJson, parse_json, to_id, to_moment

_KEPT = 1_000  # octets of an item that was not understood

_KEYED_ID = {"post": "post_id", "message": "message_id", "dialogue": "dialogue_id"}

_NEEDED_IDS: Mapping[str, tuple[str, ...]] = {
    "post_received": ("post_id",),
    "post_created": ("post_id",),
    "post_published": ("post_id",),
    # The conversation alone is hint enough: it says what may have changed.
    "message_received": ("message_id", "conversation_id"),
    "message_created": ("message_id", "conversation_id"),
    "message_sent": ("message_id", "conversation_id"),
    "token_expired": (),
    "dialogue_started": ("dialogue_id",),
    "dialogue_ended": ("dialogue_id",),
    "dialogue_human_agent_needed": ("dialogue_id",),
}
"""Of each known type the ids of which one has to be there."""

EVENT_TYPES: tuple[str, ...] = tuple(_NEEDED_IDS)
"""The nine documented types, and `dialogue_human_agent_needed` from Jollor's integrator example."""


@dataclass(frozen=True, slots=True)
class WebhookEvent:
    """One event of a known type with the ids it needs. `project_id` is None if the body has none for it."""

    type: str
    project_id: str | None = None
    post_id: str | None = None
    message_id: str | None = None
    conversation_id: str | None = None
    dialogue_id: str | None = None
    date: datetime | None = None


class Reason(StrEnum):
    """Why something in a delivery is no event."""

    NOT_JSON = "not_json"
    UNKNOWN_SHAPE = "unknown_shape"
    UNKNOWN_TYPE = "unknown_type"
    MISSING_ID = "missing_id"


@dataclass(frozen=True, slots=True)
class Leftover:
    """Something in a delivery that is no event; `about` holds names of types or members, never values.

    `item` is what it was, as JSON, for somebody to look at; not for a log.
    """

    reason: Reason
    about: str = ""
    item: bytes = field(default=b"", repr=False)

    def __str__(self) -> str:
        return f"{self.reason}: {self.about}" if self.about else str(self.reason)


@dataclass(frozen=True, slots=True)
class Delivery:
    """A delivery, read. Both parts keep the order of the body."""

    events: tuple[WebhookEvent, ...] = ()
    leftovers: tuple[Leftover, ...] = ()


def is_challenge(given: str, secret: str) -> bool:
    """Tell in constant time whether `given` is the webhook's secret. An empty secret matches nothing."""
    return bool(secret) and hmac.compare_digest(_octets(given), _octets(secret))


def _octets(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def read_delivery(body: bytes) -> Delivery:
    """Return what the body of a delivery says, whatever bytes it has."""
    try:
        return read_events(parse_json(body))
    except NotJson:
        return Delivery(leftovers=(Leftover(Reason.NOT_JSON, item=body[:_KEPT]),))


def read_events(value: JsonValue) -> Delivery:
    """Return the events and leftovers of a delivery that has been parsed."""
    events: list[WebhookEvent] = []
    leftovers: list[Leftover] = []
    for found in _walk(value):
        if isinstance(found, WebhookEvent):
            events.append(found)
        else:
            leftovers.append(found)
    return Delivery(tuple(events), tuple(leftovers))


def _walk(value: JsonValue) -> Iterator[WebhookEvent | Leftover]:
    match value:
        case {"events": list(items), **envelope}:
            for item in items:
                yield from _read_item(item, to_id(envelope.get("project_id")))
        case list(items):
            for item in items:
                yield from _read_item(item, None)
        case _:
            yield from _read_item(value, None)


def _read_item(item: JsonValue, project_id: str | None) -> Iterator[WebhookEvent | Leftover]:
    if not isinstance(item, dict):
        yield Leftover(Reason.UNKNOWN_SHAPE, type(item).__name__, _kept(item))
        return
    project_id = to_id(item.get("project_id")) or project_id
    if "event_type" in item:
        yield _read_members(item["event_type"], item, project_id)
        return
    keyed = [name for name in item if name in _NEEDED_IDS] or (list(item) if len(item) == 1 else [])
    if not keyed:
        yield Leftover(Reason.UNKNOWN_SHAPE, _names(item), _kept(item))
    for name in keyed:
        yield _read_members(name, _keyed_members(name, item[name]), project_id)


def _keyed_members(name: str, value: JsonValue) -> dict[str, JsonValue]:
    """Return the members of a keyed item with its bare `id` under the name that the flat form has for it."""
    members: dict[str, JsonValue] = value if isinstance(value, dict) else {"id": value}
    id_name = _KEYED_ID.get(name.partition("_")[0])
    if id_name is None or to_id(members.get(id_name)) is not None:
        return members
    return {**members, id_name: members.get("id")}


def _read_members(
    event_type: JsonValue, members: Mapping[str, JsonValue], project_id: str | None
) -> WebhookEvent | Leftover:
    if not isinstance(event_type, str) or event_type not in _NEEDED_IDS:
        about = _printable(event_type) if isinstance(event_type, str) else type(event_type).__name__
        return Leftover(Reason.UNKNOWN_TYPE, about, _kept(dict(members)))
    event = WebhookEvent(
        type=event_type,
        project_id=to_id(members.get("project_id")) or project_id,
        post_id=to_id(members.get("post_id")),
        message_id=to_id(members.get("message_id")),
        conversation_id=to_id(members.get("conversation_id")),
        dialogue_id=to_id(members.get("dialogue_id")),
        date=to_moment(members.get("date")),
    )
    needed = _NEEDED_IDS[event_type]
    if needed and not any(getattr(event, name) for name in needed):
        return Leftover(Reason.MISSING_ID, event_type, _kept(dict(members)))
    return event


def _kept(item: JsonValue) -> bytes:
    return json.dumps(item).encode()[:_KEPT]


def _names(item: Mapping[str, JsonValue]) -> str:
    """Return the first member names of an item, for the log."""
    return _printable(", ".join(sorted(item)[:10]))


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in text[:80])
