"""`POST /slack/events`: what comes from Slack over HTTP, checked before Bolt sees it.

Bolt answers 500 to a timestamp that is no number and to a body that is no JSON (slack-bolt 1.30, tried), and
writes the body of a request with a bad signature into its log; so both are looked at here first.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qs

from aiohttp import web
from slack_bolt.adapter.aiohttp import to_aiohttp_response
from slack_bolt.async_app import AsyncApp
from slack_bolt.request.async_request import AsyncBoltRequest
from slack_sdk.signature import SignatureVerifier

from bridge.model import Clock

log = logging.getLogger(__name__)

PATH = "/slack/events"
MAX_BODY_BYTES = 1024 * 1024
_MAX_AGE_S = 5 * 60


class SlackRoute:
    """The one address for events, interactivity, commands and options."""

    def __init__(self, app: AsyncApp, *, signing_secret: str, now: Clock) -> None:
        if not signing_secret:
            raise ValueError("an empty signing secret would let everybody in")
        self._app = app
        self._verifier = SignatureVerifier(signing_secret)
        self._now = now

    def add_to(self, web_app: web.Application) -> None:
        """Mount the route."""
        web_app.router.add_post(PATH, self.handle)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request of Slack: 413, 401, 400, or what Bolt says."""
        body = await _read(request)
        if body is None:
            return _refusal(413, "too large")
        text = self._from_slack(request, body)
        if text is None:
            log.warning("slack.request_refused", extra={"bytes": len(body)})
            return _refusal(401, "invalid request")
        if not _is_readable(text):
            log.warning("slack.request_unreadable", extra={"bytes": len(body)})
            return _refusal(400, "unreadable body")
        headers: dict[str, str | Sequence[str]] = {
            name: request.headers.getall(name) for name in request.headers
        }
        bolt_request = AsyncBoltRequest(body=text, query=request.query_string, headers=headers)
        return await to_aiohttp_response(await self._app.async_dispatch(bolt_request))

    def _from_slack(self, request: web.Request, body: bytes) -> str | None:
        """Return the body as text if Slack signed it within the last minutes, else None."""
        stamp = request.headers.get("X-Slack-Request-Timestamp", "")
        signature = request.headers.get("X-Slack-Signature", "")
        if not (stamp.isascii() and stamp.isdigit() and len(stamp) < 12 and signature.isascii()):
            return None
        if abs(self._now().timestamp() - int(stamp)) > _MAX_AGE_S:
            return None
        try:
            text = body.decode()  # Slack signs UTF-8
        except UnicodeDecodeError:
            return None
        return text if self._verifier.is_valid(text, stamp, signature) else None


async def _read(request: web.Request) -> bytes | None:
    """Return the body, None as soon as it is over the limit."""
    if (request.content_length or 0) > MAX_BODY_BYTES:
        return None
    body = bytearray()
    async for chunk in request.content.iter_any():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            return None
    return bytes(body)


def _is_readable(text: str) -> bool:
    """Bolt will find a JSON object or a form in it, and in that what it takes for granted."""
    try:
        said = text if text.lstrip().startswith(("{", "[")) else parse_qs(text).get("payload", ["{}"])[0]
        parsed: Any = json.loads(said)
    except (ValueError, RecursionError):
        return False
    if not isinstance(parsed, dict) or not isinstance(parsed.get("event", {}), dict):
        return False
    actions = parsed.get("actions", [{}])
    return isinstance(actions, list) and len(actions) > 0 and all(isinstance(one, dict) for one in actions)


def _refusal(status: int, reason: str) -> web.Response:
    return web.json_response({"error": reason}, status=status)
