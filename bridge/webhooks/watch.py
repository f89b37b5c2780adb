"""What the watch makes of a webhook as Jollor tells of it: whether it calls us as it should. Pure.

Jollor documents no status but "active", shows neither status nor address when a webhook is read, and
switches one off whose calls failed for a day; so what it does not tell is taken to be as we left it.
Source: NOTES 5 and 7.
"""

from __future__ import annotations

from enum import StrEnum

from bridge.model import Webhook
from bridge.webhooks.book import StoredWebhook, WebhookState


class Found(StrEnum):
    """How a webhook was found."""

    FINE = "fine"
    RENEWED = "renewed"
    """It calls us, with another secret than the one that is stored."""
    UNFINISHED = "unfinished"
    """Its set-up was begun here and not brought to its end."""
    OFF = "off"
    GONE = "gone"
    ELSEWHERE = "elsewhere"
    """It calls somebody else, or may do so: another address is told, or none and another secret."""


def judge(ours: StoredWebhook | None, theirs: Webhook | None, callback: str | None) -> Found:
    """Return how the webhook is that Jollor tells of, None if it has none.

    `ours` is what is stored, None if nothing is; `callback` is our address, None without BRIDGE_PUBLIC_URL.
    """
    if theirs is None:
        return Found.GONE
    is_same_secret = ours is not None and theirs.secret in ("", ours.secret)
    is_half_made = ours is None or ours.state in (WebhookState.BEING_MADE, WebhookState.UNFINISHED)
    if callback is not None and theirs.callback_url == callback:
        if not theirs.is_active:
            return Found.OFF
        if is_half_made:
            return Found.UNFINISHED
        return Found.FINE if is_same_secret else Found.RENEWED
    if callback is not None and (theirs.callback_url is not None or ours is None or ours.is_foreign):
        return Found.ELSEWHERE
    # From here on Jollor tells no address, or we have none to compare it with: the secret has to do.
    if not is_same_secret:
        is_ours = ours is not None and ours.state == WebhookState.BEING_MADE
        return Found.UNFINISHED if is_ours else Found.ELSEWHERE
    if callback is not None and is_half_made:
        return Found.UNFINISHED
    return Found.FINE if theirs.is_active else Found.OFF
