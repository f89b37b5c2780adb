"""What can fail, as what comes next.

Adapters translate a vendor's error at the call and raise one of these `from` it. `str(error)` is for the
log; `user_message` is a sentence for people. Neither ever holds a token, a secret or a customer's text.
"""

from __future__ import annotations

from datetime import timedelta


class BridgeError(Exception):
    """Something failed; try again with growing pauses, give up after a bounded number of attempts."""

    def __init__(self, code: str, *, user_message: str | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.user_message = user_message or "Something went wrong on the way."


class Snooze(BridgeError):
    """Not now: try again after `delay`. Not an attempt."""

    def __init__(self, code: str, *, delay: timedelta, user_message: str | None = None) -> None:
        super().__init__(code, user_message=user_message)
        self.delay = delay


class TargetDown(BridgeError):
    """The other side is away, not the object at fault: pause `target`, consume no tries, probe later.

    `target` is "project:ID", "team:ID" or "channel:TEAM:ID". Nothing has taken effect.
    """

    def __init__(self, code: str, *, target: str, user_message: str | None = None) -> None:
        super().__init__(code, user_message=user_message)
        self.target = target


class PermanentError(BridgeError):
    """The object is at fault and will stay so: discard, and tell the person.

    `may_pass_later`: the other side gave no reason that must stay, so a person may want to try once more.
    """

    def __init__(self, code: str, *, user_message: str | None = None, may_pass_later: bool = False) -> None:
        super().__init__(code, user_message=user_message)
        self.may_pass_later = may_pass_later


class UnconfirmedError(BridgeError):
    """Sent, but no answer came: it may have happened. Look before sending again, or ask a person.

    `is_suspect`: the other side did answer, with trouble of its own, so what was sent may be what breaks it.
    """

    def __init__(self, code: str, *, user_message: str | None = None, is_suspect: bool = False) -> None:
        super().__init__(code, user_message=user_message)
        self.is_suspect = is_suspect


class CannotTell(BridgeError):
    """Looking back is not possible here (no scope, no history, a list that is cut)."""


class StoreUnavailable(BridgeError):
    """The database did not take it: answer 503 or 500 so that the sender repeats."""


class RootGone(BridgeError):
    """The thread's root was deleted; nothing was posted, or what was posted stands alone."""
