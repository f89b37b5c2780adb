"""What can go wrong with Jollor, told by what comes next.

One rule holds for every caller: only `OutcomeUnknown` means that the call may have taken effect. Whatever
else is raised for a call that is not repeatable, nothing reached the customer. Jollor documents no error body
at all, so the class follows from the status and from how far the request got.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import ClassVar


class JollorError(Exception):
    """Any failure of a call to Jollor. `str()` is for the log: no texts, no secrets."""

    next_step: ClassVar[str] = "try again later"

    def __init__(self, operation: str, reason: str, *, status: int | None = None) -> None:
        super().__init__(f"{operation}: {reason}")
        self.operation = operation
        self.reason = reason
        self.status = status


class NotSent(JollorError):
    """The connection was never opened: nothing was sent, the call may be repeated as it is."""

    next_step = "repeat when Jollor can be reached"


class OutcomeUnknown(JollorError):
    """The request left, and no answer tells what became of it: look before sending it again."""

    next_step = "look whether it happened; never repeat it blindly"


class ServerDown(JollorError):
    """Jollor did not answer, or answered 5xx, to a call that is harmless to repeat.

    `status` is None when there was no answer at all. `retry_after` is what a 503 asked for, if it did.
    """

    next_step = "wait and repeat; Jollor is the cause, not this call"

    def __init__(
        self, operation: str, reason: str, *, status: int | None = None, retry_after: timedelta | None = None
    ) -> None:
        super().__init__(operation, reason, status=status)
        self.retry_after = retry_after


class RateLimited(JollorError):
    """Jollor answered 429: nothing was done. `retry_after` is None if it did not say how long to wait."""

    next_step = "wait, then repeat"

    def __init__(self, operation: str, reason: str, *, retry_after: timedelta | None = None) -> None:
        super().__init__(operation, reason, status=429)
        self.retry_after = retry_after


class Rejected(JollorError):
    """Jollor refused this call (4xx): repeating it cannot help. `body` is short and without secrets."""

    next_step = "give up and tell the author"

    def __init__(self, operation: str, reason: str, *, status: int | None = None, body: str = "") -> None:
        super().__init__(operation, f"{reason}: {body}" if body else reason, status=status)
        self.body = body


class Unauthorized(Rejected):
    """401, also after the token was renewed once."""

    next_step = "sign in again"


class Forbidden(Rejected):
    """403: the account or the token does not cover this project or action."""

    next_step = "check the account's access to the project"


class NotFound(Rejected):
    """404 or 410: the object is gone, or was never there."""

    next_step = "treat the object as gone"


class BadAnswer(JollorError):
    """A 2xx whose body cannot be used: no JSON, another shape, cut off or too large."""

    next_step = "count it against the object, then give up"


class CannotAsk(JollorError):
    """The request cannot be put into words, for instance because an id is empty: nothing was sent."""

    next_step = "give up; the value is at fault"


class SignInFailed(JollorError):
    """No token can be had until a person changes something. `str()` says what, in words for an operator."""

    next_step = "change the settings, then try again"


class CredentialsMissing(SignInFailed):
    """A setting that this grant needs is empty; `names` are the settings."""

    def __init__(self, names: tuple[str, ...]) -> None:
        super().__init__("sign-in", f"not possible yet: set {' and '.join(names)}")
        self.names = names


class ProjectRefused(SignInFailed):
    """Jollor gives no token for the project: the account cannot see it, or cannot any more."""

    next_step = "check the account's access to the project"


class SignInRefused(SignInFailed):
    """Jollor refused login and password; not asked again before `retry_at`, lest the account is locked."""

    def __init__(self, reason: str, *, retry_at: datetime, status: int | None = None) -> None:
        super().__init__("sign-in", reason, status=status)
        self.retry_at = retry_at
