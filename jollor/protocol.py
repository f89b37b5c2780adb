"""What a request and an answer are, and what an answer means: a model or an error; no I/O.

A `Call` is a request together with how to read its answer; `operations` builds one for everything that
`openapi.yaml` lists. Sending is left to `client`, tokens to `auth`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Generic, TypeVar

from pydantic import JsonValue, ValidationError

from jollor.errors import (
    BadAnswer,
    Forbidden,
    JollorError,
    NotFound,
    OutcomeUnknown,
    RateLimited,
    Rejected,
    ServerDown,
    Unauthorized,
)
from jollor.models import (
    NotJson,
    Rows,
    WireReplyCreated,
    WireT,
    WireWebhook,
    parse_json,
    read_rows,
    to_text,
)
from jollor.redaction import shortened

T_co = TypeVar("T_co", covariant=True)

LONGEST_WAIT = timedelta(hours=1)
"""A larger Retry-After is not believed."""


class Base(StrEnum):
    """Which of the two servers a request goes to."""

    APP = "app"
    AUTH = "auth"


class Bearer(StrEnum):
    """Which token a request carries."""

    USER = "user"
    PROJECT = "project"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request. `path` is percent-encoded already and appended to the base as a string.

    `is_repeatable` tells that doing it twice is as good as once, so an unknown outcome needs no care.
    `project_id` is whose token it carries, where `bearer` is `PROJECT`.
    """

    operation: str
    method: str
    path: str
    base: Base = Base.APP
    query: tuple[tuple[str, str], ...] = ()
    json: Mapping[str, JsonValue] | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    bearer: Bearer = Bearer.PROJECT
    project_id: str | None = None
    is_repeatable: bool = True


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. Header names are lower case; `is_complete` is False for a body cut off or too large."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    is_complete: bool = True


@dataclass(frozen=True, slots=True)
class Call(Generic[T_co]):
    """A request together with how to read a 2xx answer to it."""

    request: Request
    read: Callable[[Answer], T_co]


# --- reading answers ---------------------------------------------------------------------------------


def check(request: Request, answer: Answer, *, now: datetime, secrets: Sequence[str] = ()) -> None:
    """Return if `answer` is a success (any 2xx), else raise what its status means for `request`.

    `secrets` are values that must not appear in the error, besides those in the request itself.
    """
    if not 200 <= answer.status < 300:
        raise _failure(request, answer, now, secrets)


def _failure(request: Request, answer: Answer, now: datetime, secrets: Sequence[str]) -> JollorError:
    name, status = request.operation, answer.status
    wait = retry_after(answer.headers.get("retry-after"), now)
    if status == 429:
        return RateLimited(name, "too many requests", retry_after=wait)
    if status >= 500 or status == 408 or status < 400:
        reason = (
            "answered with a redirect; check the address" if 300 <= status < 400 else f"answered {status}"
        )
        if not request.is_repeatable:
            return OutcomeUnknown(name, reason, status=status)
        return ServerDown(name, reason, status=status, retry_after=wait)
    kind = {401: Unauthorized, 403: Forbidden, 404: NotFound, 410: NotFound}.get(status, Rejected)
    body = shortened(answer.body, [*secrets, *request.headers.values()], [*_strings(request.json)])
    return kind(name, f"refused with {status}", status=status, body=body)


def _strings(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, Mapping):
        return [text for part in value.values() for text in _strings(part)]
    return [text for part in value for text in _strings(part)] if isinstance(value, list) else []


def retry_after(header: str | None, now: datetime) -> timedelta | None:
    """Return how long `Retry-After` asks to wait (seconds or a date), up to an hour; None if unreadable."""
    if header is None:
        return None
    text = header.strip()
    if text.isascii() and text.isdigit():
        return timedelta(seconds=min(int(text[:9]), LONGEST_WAIT.total_seconds()))
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    return min(max(moment - now, timedelta(0)), LONGEST_WAIT)


def json_of(operation: str, answer: Answer) -> JsonValue:
    if not answer.is_complete:
        raise BadAnswer(operation, "the answer was cut off or too large", status=answer.status)
    try:
        return parse_json(answer.body)
    except NotJson as error:
        raise BadAnswer(operation, "the answer is not JSON", status=answer.status) from error


def one(operation: str, model: type[WireT]) -> Callable[[Answer], WireT]:
    def read(answer: Answer) -> WireT:
        try:
            return model.model_validate(json_of(operation, answer))
        except ValidationError as error:
            members = ", ".join(str(part) for detail in error.errors() for part in detail["loc"]) or "object"
            raise BadAnswer(operation, f"the answer lacks: {members}", status=answer.status) from error

    return read


def rows(operation: str, model: type[WireT]) -> Callable[[Answer], Rows[WireT]]:
    def read(answer: Answer) -> Rows[WireT]:
        value = json_of(operation, answer)
        if not isinstance(value, list):
            raise BadAnswer(operation, "the answer is not a list", status=answer.status)
        return read_rows(model, value)

    return read


def nothing(answer: Answer) -> None:
    """Read nothing: a 2xx alone says that it was done, whatever its body."""


def reply_created(answer: Answer) -> WireReplyCreated:
    """Return the id of what was made, if the answer tells; a 2xx counts as done even if it cannot be read."""
    try:
        return WireReplyCreated.model_validate(parse_json(answer.body))
    except (NotJson, ValidationError):
        return WireReplyCreated()


def webhook_made(answer: Answer) -> WireWebhook:
    """Return what the answer tells of the webhook; a 2xx counts as done even if it cannot be read."""
    try:
        return WireWebhook.model_validate(parse_json(answer.body))
    except (NotJson, ValidationError):
        return WireWebhook()


def any_json(operation: str) -> Callable[[Answer], JsonValue]:
    return lambda answer: json_of(operation, answer)


def markup(answer: Answer) -> JsonValue:
    """Return rendered markup in any of its forms: JSON, or the body itself where it is no JSON."""
    try:
        return parse_json(answer.body)
    except NotJson:
        return to_text(answer.body.decode("utf-8", "replace"))


def translation(answer: Answer) -> str:
    value = json_of("translateText", answer)
    if isinstance(value, dict):
        value = next((text for text in value.values() if isinstance(text, str)), None)
    text = to_text(value)
    if text is None:
        raise BadAnswer("translateText", "the answer holds no text", status=answer.status)
    return text
