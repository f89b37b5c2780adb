"""May this line go out to the customer? Pure decisions, with the sentence for the person if not."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import dropwhile, islice

from bridge.events import LineTyped
from bridge.ids import ts_order
from bridge.model import Person, ReplyRules, TargetKind

INTERNAL_MARKS = ("//", "🔇")
LATE_AFTER = timedelta(minutes=10)
"""A line that reaches the bridge later than this after it was typed does not go out by itself (DESIGN 4)."""
UNSURE_LENGTH = 2000
"""Characters that networks are likely to take where Jollor tells no limit: a warning, never a refusal."""
OVERTAKEN = "A line that was typed after this one went out before it. Send this one all the same?"

FORGOTTEN = "I do not know any more whether this went out: my database does not have it. Send it now?"


@dataclass(frozen=True, slots=True)
class Internal:
    """An internal note: stays in Slack."""


class Step(StrEnum):
    """The one thing that a person can do about a line that was not sent; all but the first are buttons."""

    REWRITE = "rewrite"
    """Write another line, or have somebody else write it: the sentence says so."""
    SHORTEN = "shorten"
    SEND_AGAIN = "send_again"
    OPEN = "open"
    """Only Jollor can help."""
    RECONNECT = "reconnect"


@dataclass(frozen=True, slots=True)
class Refuse:
    """Meant for the customer, but may not go out; `sentence` says why and what to do."""

    sentence: str
    step: Step = Step.REWRITE


@dataclass(frozen=True, slots=True)
class Reply:
    """Goes to the customer."""


UNLINKED = Refuse(
    "This project is not linked to the channel any more. Nothing was sent; answer in Jollor.", Step.OPEN
)

Decision = Internal | Refuse | Reply


def is_internal(text: str, mentions_people: bool) -> bool:
    """`//`, 🔇 or a mention of somebody in Slack: talk among the team (CONTRACT, "In Slack").

    A colleague, a group, `@here` and the app itself count; a channel does not. In doubt a line stays inside:
    a note with 🔒 can be sent again as a reply, a reply cannot be taken back.
    """
    return mentions_people or _beginning(text).startswith(INTERNAL_MARKS)


def _beginning(text: str) -> str:
    """Return the first signs of `text` as they were meant: wide forms of Asian keyboards are narrow ones."""
    visible = dropwhile(lambda sign: sign.isspace() or unicodedata.category(sign) == "Cf", text)
    return unicodedata.normalize("NFKC", "".join(islice(visible, 2)))


def decide(line: LineTyped, person: Person, target: TargetKind, *, is_linked: bool) -> Decision:
    """Return what becomes of a line that a person typed in a thread of ours.

    `is_linked` tells whether the thread's project still goes to its channel.
    """
    if is_internal(line.text, line.mentions_people) or target is TargetKind.POST:
        return Internal()
    if not is_linked:
        return UNLINKED
    if person.is_outsider or line.is_outsider:
        return Refuse(
            "People from other organisations cannot answer customers from here. Nothing was sent; ask "
            "somebody of this workspace to."
        )
    if person.is_guest:
        return Refuse("Guests cannot answer customers from here. Nothing was sent; ask a full member to.")
    if line.has_files:
        # Jollor's interface has no way to send one (NOTES 4), whatever `attachment_formats` says.
        return Refuse(
            "Files cannot be sent from Slack: what Jollor takes from here is text. Nothing was sent. Send "
            "the file in Jollor, or write the text as a line of its own.",
            Step.OPEN,
        )
    if not line.text.strip():
        return Refuse("There is no text in this line that could be sent. Nothing was sent; write a new line.")
    return Reply()


def may_answer(person: Person) -> bool:
    """Whether somebody may write to customers, and so may also decide about what others wrote to them."""
    return not (person.is_guest or person.is_outsider or person.is_bot)


def why_ask(line: LineTyped, *, is_overtaken: bool, scale: float, was_away: bool = False) -> str | None:
    """Return the question to be asked before a reply that comes late is sent, None if it is not late.

    `is_overtaken`: a line that was typed later is on its way to the customer already. `was_away`: the bridge
    was not there when it was typed.
    """
    if line.mark is not None:
        return FORGOTTEN
    late = line.received_at - typed_at(line)
    if late > LATE_AFTER / scale:
        if line.is_found and was_away:
            return f"This was typed {_long_words(late)} ago while I was away. Send it now?"
        if line.is_found:
            return f"This was typed {_long_words(late)} ago, and Slack did not tell me then. Send it now?"
        return f"This was typed {_in_words(late)} before it reached the bridge. Send it now?"
    if is_overtaken:
        return OVERTAKEN
    return None


def typed_at(line: LineTyped) -> datetime:
    """Return when a line was typed, by Slack's clock."""
    return datetime.fromtimestamp(ts_order(line.ts) / 1_000_000, line.received_at.tzinfo)


def _in_words(span: timedelta) -> str:
    minutes = round(span.total_seconds() / 60)
    if minutes < 1:
        return f"{round(span.total_seconds())} s"
    return f"{minutes} min" if minutes < 120 else f"{round(minutes / 60)} h"


def _long_words(span: timedelta) -> str:
    seconds = span.total_seconds()
    units = (("day", 86_400, 2), ("hour", 3_600, 1), ("minute", 60, 1), ("second", 1, 1))
    for unit, length, least in units:
        if seconds >= least * length:
            count = round(seconds / length)
            return f"{count} {unit}{'' if count == 1 else 's'}"
    return "a moment"


def why_not(text: str, rules: ReplyRules) -> Refuse | None:
    """Return why `text` may not go out by what Jollor says of the conversation, None if it may.

    Source: openapi.yaml, MessageCapabilities; "not known" lets it pass, Jollor decides then.
    """
    if rules.is_allowed is False:
        return Refuse(
            "Jollor does not allow a reply to this conversation at the moment (networks close the "
            "window some time after the customer's last message). Nothing was sent; see in Jollor what is "
            "possible.",
            Step.OPEN,
        )
    if rules.max_length is not None and len(text) > rules.max_length:
        over = len(text) - rules.max_length
        return Refuse(
            f"This is {over} character{'' if over == 1 else 's'} too long; at most {rules.max_length} are "
            "possible here. Nothing was sent. Edit the line to make it shorter, then press “Send again”.",
            Step.SHORTEN,
        )
    return None
