"""The bridge's codes in words. Pure. A code that is new here is shown as it is, never an error."""

from __future__ import annotations

import re
from collections.abc import Mapping

from bridge.deliveries import Act
from bridge.model import Mark

_CODE = re.compile(r"^(?P<code>[a-z0-9_]+): (?P<sentence>.*)$", re.DOTALL)
_BROKE = re.compile(r"^[A-Za-z_.]*(Error|Exception|Group|Exit|Lost|Interrupt)( in [^,]+, line \d+)?$")
_BROKE_WORDS = "Something broke inside the bridge; its log says what."

_CODES: Mapping[str, str] = {
    "undo_window": "the undo window was still open",
    "in_doubt": "it was not known yet what became of the reply",
    "look_again": "Jollor did not show it yet",
    "changed_meanwhile": "something else of the conversation came first",
    "other_call_may_go_on": "an earlier attempt might still have been under way",
    "root_not_known_yet": "the thread's first message was just being posted",
    "command_waits": "what was asked for was not to be had yet",
    "cancelled_inside": _BROKE_WORDS,
}
"""Why something waited, where the code says more than the sentence behind it."""

_CAUSES: Mapping[str, str] = {
    "": "Its conversation was looked at",
    "sweep": "Found by looking through the inbox; no webhook had told of it",
    "backfill": "Found by a backfill; no webhook had told of it",
    "list": "Found beside another message that a webhook told of",
    "held": "Found when a message that was held back was looked at again",
    "hint": "It was announced",
    "dialogue": "Found when a dialogue of its conversation was told of",
    "unknown": "Jollor told that something happened, not what",
}

_JOBS: Mapping[str, str] = {
    "conversation_changed": "Reading a conversation in Jollor",
    "message_hinted": "Finding the conversation of a message",
    "message_missing": "Reading a message that was announced",
    "post_changed": "Reading a post in Jollor",
    "dialogue_changed": "Showing what happened to a dialogue",
    "profile_expired": "Telling of a lost profile connection",
    "slack_event": "Reading an event from Slack",
    "line_typed": "Dealing with a line in a thread",
    "line_edited": "Dealing with an edit in a thread",
    "line_deleted": "Dealing with a deletion in a thread",
    "line_found": "Dealing with a line that was found by reading its thread",
    "hold_back_chosen": "Holding a line back",
    "advice_due": "Explaining something to one person",
    "channel_state": "Noting what happened to a channel",
    "app_removed": "Noting that the app was removed",
    "command_given": "Answering a command",
    "button_pressed": "Doing what a button asks for",
    "send_reply": "Sending a reply to Jollor",
    "settle_reply": "Finding out what became of a reply",
    "mark_waiting": "Marking a line that waits",
    "sweep_all": "Looking through all inboxes",
    "sweep": "Looking through an inbox",
    "came_back": "Telling that the bridge was away",
    "read_back_all": "Looking through all channels for lines that Slack did not tell of",
    "read_channel": "Looking through a channel for lines that Slack did not tell of",
    "read_thread": "Reading a thread for lines that Slack did not tell of",
    "watch_webhooks": "Looking how all webhooks are",
    "watch_webhook": "Looking how a webhook is",
    "take_over_webhook": "Taking over a webhook",
    "tell_of_outages": "Telling that Jollor is away, or back",
    "look_for_delays": "Looking which channels are behind",
    "renew_tokens": "Renewing sign-ins to Jollor",
    "remind_of_alerts": "Reminding of alerts",
    "clean_up": "Removing what is past its keeping time",
}

_JOB_OUTCOMES: Mapping[str, str] = {
    "failed": "It failed, and was to be tried again",
    "snoozed": "It had to wait",
    "paused": "It had to wait: the other side was away",
    "lost": "The process that did it stopped or stalled; it was taken up again",
    "discarded": "It was given up",
    "retried": "It was put back to be tried again",
    "cancelled": "It was cancelled",
}

_DELIVERY_OUTCOMES: Mapping[str, str] = {
    "failed": "Slack did not take it; it was to be tried again",
    "snoozed": "It had to wait",
    "limited": "Slack asked to slow down",
    "paused": "It had to wait: Slack or the channel was away",
    "unconfirmed": "Slack did not answer: it was done again",
    "uncertain": "It was sent, and Slack did not answer: to be looked for there",
    "lost": "The process that sent it stopped or stalled: to be looked for in Slack",
    "root_gone": "The thread's first message had been deleted: a new one goes first",
    "not_there": "It was looked for in Slack and is not there: sent again",
    "separated": "Slack did not take it together with others: each was tried by itself",
    "joined": "It was put into one post with the message before it",
    "repeated": "It could not be looked for in Slack: sent once more, marked as a possible repeat",
    "refused": "It was given up",
    "retried": "It was put back to be sent again",
    "cancelled": "It was cancelled",
}

_INTENT_OUTCOMES: Mapping[str, str] = {
    "pending": "It was to be sent",
    "sending": "Sending it to Jollor began",
    "accepted": "Jollor accepted it",
    "confirmed": "Jollor shows it: it has arrived there",
    "refused": "It was not sent",
    "unknown": "It was not known whether it had arrived",
    "cancelled": "It was taken back before it was sent",
    "held": "It was held back until people decide",
    "dropped": "It was dropped",
    "looked": "It was looked for in Jollor and not found there",
    "asked": "People were asked in the thread",
}

_KINDS: Mapping[str, str] = {
    "message": "a message in a thread",
    "context": "earlier messages in a thread",
    "root": "the first message of a thread",
    "post": "the card of a post",
    "card": "the card of a thread",
    "notice": "a sentence of the bridge",
    "dialogue": "a line about a dialogue",
    "alert": "an alert",
    "delayed": "a note that messages are delayed",
}

MARKS: Mapping[str, str] = {
    Mark.INTERNAL: "🔒",
    Mark.WAITING: "⏳",
    Mark.ACCEPTED: "✅",
    Mark.DOUBT: "⚠️",
    Mark.FAILED: "❌",
}


def because(reason: str | None) -> str:
    """Return a stored reason as people read it: without its code, and without names of our code."""
    reason = (reason or "").strip()
    found = _CODE.match(reason)
    if found is not None:
        return _CODES.get(found["code"], found["sentence"].strip())
    return _BROKE_WORDS if _BROKE.match(reason) else reason


def cause_in_words(cause: str) -> str:
    """Return how a message came to be known."""
    return _CAUSES.get(cause, f"Jollor told of it (webhook, {cause})")


def kind_in_words(kind: str) -> str:
    """Return what a job of this kind does."""
    return _JOBS.get(kind, _plain(kind))


def job_outcome(outcome: str) -> str:
    """Return what became of a job's attempt."""
    return _JOB_OUTCOMES.get(outcome, _plain(outcome))


def delivery_outcome(outcome: str) -> str:
    """Return what became of a delivery's attempt."""
    return _DELIVERY_OUTCOMES.get(outcome, _plain(outcome))


def intent_outcome(outcome: str) -> str:
    """Return what became of a reply."""
    return _INTENT_OUTCOMES.get(outcome, _plain(outcome))


def delivery_in_words(act: str, kind: str, mark: str | None) -> str:
    """Return what a delivery is: "a message in a thread", "the mark ✅"."""
    sign = MARKS.get(mark or "", mark or "")
    match act:
        case Act.ADD_MARK:
            return f"the mark {sign}"
        case Act.REMOVE_MARK:
            return f"the removal of the mark {sign}"
        case Act.UPDATE:
            return f"a new drawing of {_KINDS.get(kind, 'a message')}"
        case Act.DELETE:
            return "the removal of a message"
    return _KINDS.get(kind, f"a message ({_plain(kind).lower()})")


def done_in_words(act: str) -> str:
    """Return that a delivery has been made."""
    match act:
        case Act.ADD_MARK:
            return "is on the line"
        case Act.REMOVE_MARK | Act.DELETE:
            return "is done"
        case Act.UPDATE:
            return "stands in Slack"
    return "was posted in Slack"


def capital(words: str) -> str:
    """Return `words` with a capital letter at the beginning."""
    return words[:1].upper() + words[1:]


def _plain(code: str) -> str:
    return capital(code.replace("_", " "))
