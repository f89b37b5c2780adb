"""Answers through the `response_url` of a command or a press: no token, 5 uses in 30 minutes."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

import aiohttp
from yarl import URL

from bridge.errors import BridgeError, PermanentError, Snooze, UnconfirmedError
from slack_app.blocks import RenderedMessage
from slack_app.clients import Clients
from slack_app.errors import retry_after, was_never_sent
from slack_app.views.help import sentence

log = logging.getLogger(__name__)

_GONE = frozenset({404, 410})
_SLACK_HOSTS = (".slack.com", ".slack-gov.com")


async def answer(clients: Clients, response_url: str, rendered: RenderedMessage, *, replace: bool) -> None:
    """Show `rendered` to the person who asked, in place of the message they pressed on if `replace`.

    Raises `PermanentError` for a URL that is used up or not Slack's, `Snooze`, `UnconfirmedError` where no
    answer came, and `BridgeError` where Slack was not reached.
    """
    url = _checked(response_url, clients.api_url)
    body: dict[str, Any] = {
        "response_type": "ephemeral",
        "replace_original": replace,
        "text": rendered.text,
        "blocks": list(rendered.blocks),
        "unfurl_links": False,
        "unfurl_media": False,
    }
    try:
        async with clients.session.post(
            url, json=body, allow_redirects=False, proxy=clients.proxy
        ) as response:
            status, headers, said = response.status, response.headers, await response.text(errors="replace")
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        if was_never_sent(error):
            raise BridgeError("slack_unreachable", user_message="Slack cannot be reached.") from error
        raise UnconfirmedError("slack_timeout", user_message="Slack did not answer.") from error
    _check(status, said, retry_after(headers))


async def apologise(clients: Clients, response_url: object, words: str) -> None:
    """Say that something did not work to whoever asked for it, if that is still possible."""
    if not isinstance(response_url, str) or not response_url:
        return
    try:
        await answer(clients, response_url, sentence(words), replace=False)
    except BridgeError as error:
        log.warning("slack.apology_failed", extra={"error": str(error)})


def _check(status: int, said: str, delay: timedelta) -> None:
    if status == 200:
        return
    if status == 429:
        raise Snooze("ratelimited", delay=delay)
    if status >= 500:
        raise UnconfirmedError(f"http_{status}", user_message="Slack did not answer.")
    code = "response_url_gone" if status in _GONE or "url" in said[:200] else f"http_{status}"
    raise PermanentError(code, user_message="That was too long ago for Slack to show an answer. Ask again.")


def _checked(response_url: str, api_url: str) -> URL:
    """Return the address if it is Slack's, or of the server that stands for Slack in tests and the demo."""
    try:
        url = URL(response_url)
        is_slack = url.scheme == "https" and (url.host or "").endswith(_SLACK_HOSTS)
        if is_slack or url.origin() == URL(api_url).origin():
            return url
    except ValueError:
        pass  # said below, without the address: it is as good as a password
    raise PermanentError("response_url_not_slack", user_message="I could not answer you there. Ask again.")
