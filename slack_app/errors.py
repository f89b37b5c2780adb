"""What Slack's refusals and silences mean for the bridge: one table, one function.

The SDK reports failure in more shapes than one (slack_sdk 3.47): `SlackApiError` whose response is a parsed
answer, an HTML page (`error` is None) or the raw aiohttp response (broken JSON; indexing it raises);
`AttributeError` where a proxy answers 200 with plain text or a list; `TimeoutError`; `aiohttp.ClientError`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import aiohttp
from slack_sdk.errors import SlackApiError, SlackClientError

from bridge.errors import BridgeError, PermanentError, Snooze, TargetDown, UnconfirmedError
from bridge.ids import ChannelId, TeamId

CALL_FAILURES = (
    SlackClientError,
    aiohttp.ClientError,
    TimeoutError,
    OSError,
    AttributeError,  # AsyncSlackResponse.validate() on an answer that is no JSON object
    ValueError,  # undecodable bytes, binary data, a response without a body
)
"""All that a call of `AsyncWebClient` raises when it fails."""

_DEFAULT_DELAY = timedelta(seconds=5)
_LONGEST_DELAY = timedelta(minutes=15)

# Where the whole workspace refuses us: nothing is at fault with what we wanted to say.
_TEAM_GONE: Mapping[str, str] = {
    "account_inactive": "The Jollor app was removed from this Slack workspace. Install it again to go on.",
    "token_revoked": "Slack revoked the Jollor app's access. Install the app again to go on.",
    "token_expired": "The Jollor app's access to Slack expired. Install the app again to go on.",
    "invalid_auth": "Slack does not accept the app's token. Check SLACK_BOT_TOKEN or install it again.",
    "not_authed": "The Jollor app has no token for this workspace. Check SLACK_BOT_TOKEN.",
    "not_allowed_token_type": "The Jollor app needs a bot token (xoxb-…). Check SLACK_BOT_TOKEN.",
    "org_login_required": "The workspace is moving to another organisation; I go on when that is done.",
    "team_added_to_org": "The workspace is moving to another organisation; I go on when that is done.",
    "ekm_access_denied": "Your administrators suspended access to messages; I go on when they allow.",
    "enterprise_is_restricted": "Your organisation does not allow the app here. Ask a Slack administrator.",
    "team_access_not_granted": "The app was not granted access to this workspace. Ask a Slack administrator.",
    "access_denied": "Slack denied the Jollor app access. Ask a Slack administrator.",
    "no_permission": "The Jollor app lacks a permission in this workspace. Ask a Slack administrator.",
    "accesslimited": "Slack limits access to this workspace at the moment; I try again.",
    "team_not_found": "Slack does not know this workspace any more.",
}

# Where one channel refuses us: it waits until somebody mends it.
_CHANNEL_GONE: Mapping[str, str] = {
    "channel_not_found": "I cannot see that channel: it was deleted, or it is private and I am not in it.",
    "is_archived": "That channel is archived. Unarchive it, or link the project to another one.",
    "not_in_channel": "I am not in that channel any more. Invite me with /invite, then I go on.",
    "channel_is_archived": "That channel is archived. Unarchive it, or link the project to another one.",
    "restricted_action": "This workspace does not let me post there. Ask a Slack administrator.",
    "restricted_action_read_only_channel": "That channel is read-only for me. Let the Jollor app post there.",
    "restricted_action_thread_only_channel": "That channel takes replies in threads only. Choose another.",
    "restricted_action_non_threadable_channel": "That channel allows no threads. Choose another one.",
    "posting_to_general_channel_denied": "This workspace does not let apps post there. Choose another one.",
    "method_not_supported_for_channel_type": "I cannot work in that kind of channel. Choose another one.",
    "user_is_restricted": "I may not post in that channel. Ask a Slack administrator.",
}

# Where what we wanted is at fault and stays so.
_PERMANENT: Mapping[str, str] = {
    "msg_too_long": "That message is too long for Slack.",
    "msg_blocks_too_long": "That message is too long for Slack.",
    "no_text": "There was nothing to post.",
    "too_many_attachments": "That message has more parts than Slack takes.",
    "invalid_blocks": "Slack could not read that message.",
    "invalid_blocks_format": "Slack could not read that message.",
    "invalid_attachments": "Slack could not read that message.",
    "invalid_metadata_format": "Slack could not read that message.",
    "invalid_metadata_schema": "Slack could not read that message.",
    "metadata_too_large": "Slack could not read that message.",
    "metadata_must_be_sent_from_app": "Slack could not read that message.",
    "invalid_arguments": "Slack could not read that request.",
    "invalid_arg_name": "Slack could not read that request.",
    "invalid_array_arg": "Slack could not read that request.",
    "invalid_charset": "Slack could not read that request.",
    "invalid_form_data": "Slack could not read that request.",
    "invalid_json": "Slack could not read that request.",
    "json_not_object": "Slack could not read that request.",
    "missing_argument": "Slack could not read that request.",
    "message_not_found": "That message is gone.",
    "thread_not_found": "That thread is gone.",
    "cannot_reply_to_message": "Slack does not allow answers to that message.",
    "restricted_action_thread_locked": "That thread is locked.",
    "thread_locked": "That thread is locked.",
    "cant_update_message": "That message cannot be changed by me.",
    "edit_window_closed": "That message is too old to be changed.",
    "is_inactive": "That message cannot be changed any more.",
    "cant_delete_message": "That message cannot be deleted by me.",
    "compliance_exports_prevent_deletion": "This workspace keeps all messages; that one stays.",
    "not_reactable": "I cannot react to that message.",
    "too_many_emoji": "That message has as many reactions as Slack allows.",
    "too_many_reactions": "That message has as many reactions as Slack allows.",
    "invalid_name": "Slack does not know that emoji.",
    "user_not_in_channel": "That person is not in the channel.",
    "user_not_found": "Slack does not know that person.",
    "user_not_visible": "I cannot see that person.",
    "unknown_method": "Slack does not offer that any more.",
    "method_deprecated": "Slack does not offer that any more.",
    "deprecated_endpoint": "Slack does not offer that any more.",
}

# Slack's own words for "something broke on our side": the message may be there all the same.
_BROKEN = frozenset(
    {"fatal_error", "internal_error", "service_unavailable", "service_timeout", "request_timeout"}
)

# Slower, please. `rate_limited` counts an app's messages, `ratelimited` calls: they are different codes.
_SLOWER = frozenset({"ratelimited", "rate_limited", "message_limit_exceeded"})


@dataclass(frozen=True, slots=True)
class Refusal:
    """What can be read from a failed answer. `code` is Slack's word, or "http_503", "unreadable_answer" …"""

    code: str
    status: int | None = None
    retry_after: timedelta = _DEFAULT_DELAY
    needed_scope: str | None = None


def refusal_of(error: SlackApiError) -> Refusal:
    """Read what there is in `error`'s response, whatever its shape."""
    response: Any = error.response
    status = _int(getattr(response, "status_code", None)) or _int(getattr(response, "status", None))
    headers = getattr(response, "headers", None)
    body = getattr(response, "data", response)
    fields: Mapping[str, Any] = body if isinstance(body, Mapping) else {}
    code = fields.get("error")
    if not isinstance(code, str) or not code:
        code = f"http_{status}" if status is not None and status != 200 else "unreadable_answer"
    needed = fields.get("needed")
    return Refusal(
        code=code,
        status=status,
        retry_after=retry_after(headers),
        needed_scope=needed if isinstance(needed, str) else None,
    )


def to_bridge_error(
    error: Exception, *, team: TeamId, channel: ChannelId | None = None, is_repeatable: bool
) -> BridgeError:
    """Return what `error`, one of `CALL_FAILURES`, means for a call to `team`.

    `is_repeatable` tells that doing the call twice does no harm (reads, updates, reactions, deletions): where
    a post would be in doubt, such a call has simply found Slack away.
    """
    if isinstance(error, SlackApiError):
        return _refused(refusal_of(error), team, channel, is_repeatable)
    if was_never_sent(error):
        return TargetDown("slack_unreachable", target=f"team:{team}", user_message="Slack cannot be reached.")
    code = "slack_timeout" if isinstance(error, TimeoutError) else "slack_connection_lost"
    if isinstance(error, (AttributeError, ValueError)):
        code = "unreadable_answer"
    return _in_doubt(code, team, is_repeatable)


def was_never_sent(error: Exception) -> bool:
    """The connection was never opened, so nothing can have taken effect."""
    return isinstance(
        error, (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.InvalidURL)
    )


def _refused(refusal: Refusal, team: TeamId, channel: ChannelId | None, is_repeatable: bool) -> BridgeError:
    code = refusal.code
    if refusal.status == 429 or code in _SLOWER:
        return Snooze(
            "rate_limited" if code == "rate_limited" else "ratelimited",
            delay=refusal.retry_after,
            user_message="Slack asked me to slow down; I go on in a moment.",
        )
    if code == "missing_scope":
        return _missing_scope(refusal, team, is_repeatable)
    if code in _TEAM_GONE:
        return TargetDown(code, target=f"team:{team}", user_message=_TEAM_GONE[code])
    if code in _CHANNEL_GONE:
        sentence = _CHANNEL_GONE[code]
        if channel is None:
            return PermanentError(code, user_message=sentence)
        return TargetDown(code, target=f"channel:{team}:{channel}", user_message=sentence)
    if code in _PERMANENT:
        return PermanentError(code, user_message=_PERMANENT[code])
    if code in _BROKEN:
        # Blocks that break Slack break it each time: tries must count, so this is not the target's fault.
        if is_repeatable:
            return BridgeError(code, user_message="Slack had a problem.")
        return _doubt(code, is_suspect=True)
    if code == "unreadable_answer" or (refusal.status or 0) >= 500:
        return _in_doubt(code, team, is_repeatable)
    return BridgeError(code, user_message="Slack refused that.")


def _missing_scope(refusal: Refusal, team: TeamId, is_repeatable: bool) -> BridgeError:
    scope = refusal.needed_scope or "a further permission"
    sentence = f"The Jollor app needs the Slack scope {scope}. Add it to the app and install it again."
    if is_repeatable:
        # A mark or a look-up that is not allowed must not stop the messages.
        return PermanentError("missing_scope", user_message=sentence)
    return TargetDown("missing_scope", target=f"team:{team}", user_message=sentence)


def _in_doubt(code: str, team: TeamId, is_repeatable: bool) -> BridgeError:
    if is_repeatable:
        return TargetDown(code, target=f"team:{team}", user_message="Slack does not answer at the moment.")
    return _doubt(code)


def _doubt(code: str, *, is_suspect: bool = False) -> UnconfirmedError:
    sentence = "Slack did not say whether that was posted."
    return UnconfirmedError(code, user_message=sentence, is_suspect=is_suspect)


def retry_after(headers: object) -> timedelta:
    """Return `Retry-After` (whole seconds): 1 s to 15 min, 5 s if it is missing or no number."""
    if not isinstance(headers, Mapping):
        return _DEFAULT_DELAY
    value = next((v for k, v in headers.items() if str(k).lower() == "retry-after"), None)
    try:
        seconds = int(str(value).strip())
    except ValueError:
        return _DEFAULT_DELAY
    return timedelta(seconds=min(max(seconds, 1), int(_LONGEST_DELAY.total_seconds())))


def _int(value: object) -> int | None:
    return value if isinstance(value, int) else None
