"""May this line go out to the customer? Pure decisions, with the sentence for the person if not."""

from __future__ import annotations

from dataclasses import dataclass

from bridge.events import LineTyped
from bridge.model import Person, ReplyRules, TargetKind

INTERNAL_MARKS = ("//", "🔇")


@dataclass(frozen=True, slots=True)
class Internal:
    """An internal note: stays in Slack."""


@dataclass(frozen=True, slots=True)
class Refuse:
    """Meant for the customer, but may not go out; `sentence` says why and what to do."""

    sentence: str


@dataclass(frozen=True, slots=True)
class Reply:
    """Goes to the customer."""


Decision = Internal | Refuse | Reply


def is_internal(text: str, mentions_people: bool) -> bool:
    """`//`, 🔇 or a mention of a colleague: talk among the team (CONTRACT, "In Slack")."""
    return mentions_people or text.lstrip().startswith(INTERNAL_MARKS)


def decide(line: LineTyped, person: Person, target: TargetKind) -> Decision:
    """Return what becomes of a line that a person typed in a linked thread."""
    if is_internal(line.text, line.mentions_people) or target is TargetKind.POST:
        return Internal()
    if person.is_outsider or line.is_outsider:
        return Refuse("People from other organisations cannot answer customers from here. Nothing was sent.")
    if person.is_guest:
        return Refuse("Guests cannot answer customers from here. Nothing was sent; ask a full member to.")
    if line.has_files:
        return Refuse("Files are not sent yet; nothing was sent. Send the text as a line of its own.")
    if not line.text.strip():
        return Refuse("There is no text in this line that could be sent. Nothing was sent.")
    return Reply()


def why_not(text: str, rules: ReplyRules) -> str | None:
    """Return why `text` may not go out by what Jollor says of the conversation, None if it may.

    Source: openapi.yaml, MessageCapabilities; "not known" lets it pass, Jollor decides then.
    """
    if rules.is_allowed is False:
        return (
            "Jollor does not allow a reply to this conversation at the moment (networks close the "
            "window some time after the customer's last message). Nothing was sent."
        )
    if rules.max_length is not None and len(text) > rules.max_length:
        over = len(text) - rules.max_length
        return (
            f"This is {over} character{'' if over == 1 else 's'} too long; at most {rules.max_length} are "
            "possible here. Nothing was sent. Shorten it and send it again."
        )
    return None
