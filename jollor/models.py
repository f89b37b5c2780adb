"""What Jollor's JSON looks like on the wire, read tolerantly.

Nothing but an id is required: any other member may be missing, null or of another type, which reads as None
(or as an empty collection). Unknown members are ignored, enumerations are open, numbers are taken as ids.
What an absent member means for people is decided in `translate`, not here.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Generic, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, ValidationError

MAX_ID_LENGTH = 1500
"""Ids above this are taken for damage: no server accepts them in a path, no database in an index."""

DEFAULT_LIFETIME = timedelta(hours=1)
"""Of an access token, when the answer does not say. Source: getting-started guide, "currently"."""

_EPOCH_MS_FROM = 1e11  # as seconds this would be the year 5138, as milliseconds it is 1973


class NotJson(ValueError):
    """The bytes are no JSON that can be held in memory (syntax, encoding, nesting or number size)."""


def parse_json(body: bytes | str) -> JsonValue:
    """Return the value that `body` spells. Raises `NotJson`, and nothing else, for any other bytes."""
    try:
        value: JsonValue = json.loads(body)
    except (ValueError, RecursionError):
        raise NotJson("not JSON") from None  # the original carries the document, hence texts
    return value


def clean_text(text: str) -> str:
    """Return `text` as every database and encoder takes it: no NUL, no half surrogate pairs."""
    return text.replace("\x00", "").encode("utf-8", "replace").decode("utf-8")


def to_id(value: object) -> str | None:
    """Return an id as a string, a number as its digits; None if `value` cannot be an id."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return str(value) if abs(value) < 10**60 else None
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 2**53 else None
    if not isinstance(value, str) or not value.strip() or len(value) > MAX_ID_LENGTH:
        return None
    return value if clean_text(value) == value else None


def to_token(value: object) -> str | None:
    """Return a token or secret as it can be put into a header; None for anything else."""
    usable = isinstance(value, str) and value.isascii() and value.isprintable() and 0 < len(value) <= 8000
    return str(value) if usable and value == str(value).strip() else None


def to_text(value: object) -> str | None:
    """Return a string member; a number as its digits; None for anything else."""
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return str(value) if isinstance(value, float) or abs(value) < 10**60 else None


def to_flag(value: object) -> bool | None:
    """Return true or false also for 0, 1 and the words; None for anything else."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        return bool(value) if value in (0, 1) else None
    if isinstance(value, str):
        return {"true": True, "1": True, "false": False, "0": False}.get(value.strip().lower())
    return None


def to_count(value: object) -> int | None:
    """Return a whole number, also from a numeric string; None for anything else."""
    number = _to_number(value)
    return None if number is None else int(number)


def to_moment(value: object) -> datetime | None:
    """Return an aware UTC time from ISO 8601, epoch seconds or epoch milliseconds; None for anything else.

    A time without a zone is read as UTC: every documented sample ends in Z.
    """
    number = _to_number(value)
    try:
        if number is not None:
            return datetime.fromtimestamp(number / 1000 if abs(number) >= _EPOCH_MS_FROM else number, tz=UTC)
        if not isinstance(value, str):
            return None
        moment = datetime.fromisoformat(value.strip())
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _to_number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if isinstance(value, str) and not (value.isascii() and len(value) <= 32):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _required_id(value: object) -> str:
    found = to_id(value)
    if found is None:
        raise ValueError("not an id")
    return found


def _required_token(value: object) -> str:
    found = to_token(value)
    if found is None:
        raise ValueError("not a token")
    return found


def _words(value: object) -> tuple[str, ...]:
    parts = value.split() if isinstance(value, str) else value if isinstance(value, list) else []
    return tuple(dict.fromkeys(part for part in map(to_text, parts) if part))


def _flags(value: object) -> dict[str, bool] | None:
    if not isinstance(value, Mapping):
        return None
    return {str(name): flag for name, raw in value.items() if (flag := to_flag(raw)) is not None}


def _hrefs(value: object) -> dict[str, str]:
    if not isinstance(value, Mapping):
        return {}
    hrefs = {str(name): link.get("href") for name, link in value.items() if isinstance(link, Mapping)}
    return {name: href for name, href in hrefs.items() if isinstance(href, str)}


def _object(value: object) -> object:
    return value if isinstance(value, Mapping) else {}


def _objects(value: object) -> dict[str, object]:
    return {str(name): _object(part) for name, part in value.items()} if isinstance(value, Mapping) else {}


def _size(value: object) -> int:
    return len(value) if isinstance(value, list) else 0


Id = Annotated[str, BeforeValidator(_required_id)]
MaybeId = Annotated[str | None, BeforeValidator(to_id)]
MaybeText = Annotated[str | None, BeforeValidator(to_text)]
MaybeFlag = Annotated[bool | None, BeforeValidator(to_flag)]
MaybeCount = Annotated[int | None, BeforeValidator(to_count)]
MaybeMoment = Annotated[datetime | None, BeforeValidator(to_moment)]
Words = Annotated[tuple[str, ...], BeforeValidator(_words)]
Hrefs = Annotated[dict[str, str], BeforeValidator(_hrefs)]


class Wire(BaseModel):
    """What every answer has in common: unknown members are ignored, inputs never appear in an error."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True, populate_by_name=True)


class WireUser(Wire):
    """Answer of `getCurrentUser`."""

    id: Id
    screen_name: MaybeText = None


class WireAgency(Wire):
    """The account that owns projects. `roles` is an open set without repeats."""

    id: Id
    name: MaybeText = None
    screen_name: MaybeText = None
    roles: Words = ()


class WireProject(Wire):
    """A project, in an agency's list and by itself."""

    id: Id
    name: MaybeText = None


class WireConversation(Wire):
    """A private conversation; the member is `conversation_id`, and no participant is told."""

    conversation_id: Id
    provider: MaybeText = None
    last_message_at: MaybeMoment = None


class WireParticipant(Wire):
    """Sender or recipient: the customer or the connected profile."""

    id: MaybeId = None
    name: MaybeText = None


def _participant(value: object) -> WireParticipant | None:
    if isinstance(value, WireParticipant):
        return value
    if isinstance(value, str):
        return WireParticipant(name=value)
    return WireParticipant.model_validate(value) if isinstance(value, Mapping) else None


MaybeParticipant = Annotated[WireParticipant | None, BeforeValidator(_participant)]


class WireMessage(Wire):
    """One private message. It tells neither its conversation nor its dialogue: the caller knows them."""

    id: Id
    provider: MaybeText = None
    sent_at: MaybeMoment = None
    is_incoming: MaybeFlag = None
    sender: MaybeParticipant = None
    recipient: MaybeParticipant = None
    text: MaybeText = None
    attachments: Annotated[int, BeforeValidator(_size)] = 0
    """Number of attachments, should Jollor ever list them; their form is not described."""


class WirePost(Wire):
    """A post or comment. Text, author and time are documented nowhere: used if they turn up."""

    id: Id
    provider: MaybeText = None
    is_incoming: MaybeFlag = None
    text: MaybeText = None
    author: MaybeParticipant = None
    published_at: MaybeMoment = None
    links: Hrefs = Field(default_factory=dict, alias="_links")


class WireReplyPermission(Wire):
    """`allowed` is None if Jollor does not say: try, and report the failure."""

    allowed: MaybeFlag = None
    max_reply_length: MaybeCount = None
    reply_length: MaybeCount = None


class WireAttachmentLimits(Wire):
    """Limits of one media type; 0 reads as "cannot attach" (every sample shows zeros)."""

    max_count: MaybeCount = None
    max_width: MaybeCount = None
    max_height: MaybeCount = None
    max_size_bytes: MaybeCount = None


class WireCapabilities(Wire):
    """What can be done with a message or a post; the two differ in where they keep the length."""

    reply: Annotated[WireReplyPermission, BeforeValidator(_object)] = WireReplyPermission()
    max_reply_length: MaybeCount = None
    attachment_formats: Annotated[dict[str, WireAttachmentLimits], BeforeValidator(_objects)] = Field(
        default_factory=dict
    )

    @property
    def longest_reply(self) -> int | None:
        """Characters that a reply may have; None if unknown. The first present place decides (NOTES 4)."""
        places = (self.max_reply_length, self.reply.max_reply_length, self.reply.reply_length)
        first = next((length for length in places if length is not None), 0)
        return first if first > 0 else None


class WireReplyCreated(Wire):
    """Answer to a reply. A private reply is answered `{}`, so there the id is always None."""

    id: MaybeId = None


class WireSuggestion(Wire):
    """One proposal of the AI service."""

    suggestion: Annotated[str, BeforeValidator(to_text)]


class WireMediaTicket(Wire):
    """Answer of `newMedia`; every member is a guess, the documented answer is `{}`."""

    id: MaybeId = None
    url: MaybeText = None


class WireWebhook(Wire):
    """A project's webhook. Only the answer to an update shows more than the secret."""

    verify_token: Annotated[MaybeText, Field(repr=False)] = None
    callback_url: MaybeText = None
    status: MaybeText = None
    subscriptions: Annotated[dict[str, bool] | None, BeforeValidator(_flags)] = None


class WireToken(Wire):
    """Answer to every grant. The documented spelling is `expire_in`; the usual one is accepted, too."""

    access_token: Annotated[str, BeforeValidator(_required_token), Field(repr=False)]
    refresh_token: Annotated[str | None, BeforeValidator(to_token), Field(repr=False)] = None
    scope: Words = ()
    expire_in: MaybeCount = None
    expires_in: MaybeCount = None

    @property
    def lifetime(self) -> timedelta:
        """How long the access token lives; an hour if that is not said or makes no sense."""
        seconds = next((s for s in (self.expire_in, self.expires_in) if s is not None and s > 0), None)
        return DEFAULT_LIFETIME if seconds is None else timedelta(seconds=min(seconds, 10**8))


WireT = TypeVar("WireT", bound=Wire)


@dataclass(frozen=True, slots=True)
class Rows(Generic[WireT]):
    """The usable rows of a list; `left_out` counts those that were not (no id, not an object)."""

    items: tuple[WireT, ...]
    left_out: int = 0

    def __iter__(self) -> Iterator[WireT]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)


def read_rows(model: type[WireT], value: list[JsonValue]) -> Rows[WireT]:
    """Return every row of `value` that is a `model`; one bad row does not fail the list."""
    items = tuple(row for row in (_read_row(model, raw) for raw in value) if row is not None)
    return Rows(items, len(value) - len(items))


def _read_row(model: type[WireT], raw: JsonValue) -> WireT | None:
    try:
        return model.model_validate(raw)
    except ValidationError:
        return None
