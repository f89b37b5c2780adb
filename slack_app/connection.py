"""One Socket Mode connection: its greeting, its envelopes, its end."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping
from typing import Any

from aiohttp import ClientWebSocketResponse, WSMsgType
from slack_bolt.async_app import AsyncApp
from slack_bolt.request.async_request import AsyncBoltRequest
from slack_bolt.response import BoltResponse

log = logging.getLogger(__name__)

HELLO_WITHIN_S = 10.0
_FINISH_WITHIN_S = 3.0
_CARRIES_PAYLOAD = frozenset({"events_api", "slash_commands", "interactive"})
_SENTENCES = {
    "link_disabled": "Socket Mode is switched off in the Slack app's settings. Switch it on there.",
    "too_many_websockets": "Ten programs are connected with this app already. Stop one of them.",
}


class NoHello(Exception):
    """Slack opened the connection but did not greet us; `reason` is its word for it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.sentence = _SENTENCES.get(reason, "Slack closed the Socket Mode connection at once.")


class Connection:
    """Reads envelopes, has Bolt answer them, acknowledges those that it answered with 200."""

    def __init__(self, app: AsyncApp, socket: ClientWebSocketResponse) -> None:
        self._app = app
        self._socket = socket
        self._answering: set[asyncio.Task[None]] = set()
        self._is_finishing = False
        self.is_leaving = asyncio.Event()
        """Set when another connection is needed: Slack announced the end, or it came."""
        self.is_lost = False

    @classmethod
    async def greeted(cls, app: AsyncApp, socket: ClientWebSocketResponse) -> Connection:
        """Return the connection once Slack said hello. Raises `NoHello`."""
        reason = "no_hello"
        try:
            async with asyncio.timeout(HELLO_WITHIN_S):
                message = await socket.receive()
            said = _parsed(message.data) if message.type is WSMsgType.TEXT else {}
            if said.get("type") == "hello":
                return cls(app, socket)
            reason = str(said.get("reason") or reason)
        except TimeoutError:
            pass  # said below
        await socket.close()
        raise NoHello(reason)

    async def serve(self) -> None:
        """Take envelopes until the connection ends."""
        try:
            async for message in self._socket:
                if message.type is WSMsgType.TEXT:
                    self._take(_parsed(message.data))
        except Exception:  # a connection may end in any way: the next one is opened
            log.exception("slack.socket_failed")
        finally:
            self.is_lost = not self._is_finishing
            self.is_leaving.set()
            if self._answering:
                await asyncio.wait(self._answering)

    async def finish(self) -> None:
        """Take no more, acknowledge what was taken, close. What comes meanwhile, Slack sends again."""
        self._is_finishing = True
        if self._answering:
            await asyncio.wait(self._answering, timeout=_FINISH_WITHIN_S)
        await self._socket.close()

    def _take(self, envelope: Mapping[str, Any]) -> None:
        kind = envelope.get("type")
        if kind == "disconnect":
            log.info("slack.socket_ending", extra={"reason": str(envelope.get("reason"))})
            self.is_leaving.set()
        elif kind in _CARRIES_PAYLOAD and not self._is_finishing:
            answering = asyncio.create_task(self._answer(envelope))
            self._answering.add(answering)
            answering.add_done_callback(self._answering.discard)

    async def _answer(self, envelope: Mapping[str, Any]) -> None:
        envelope_id = envelope.get("envelope_id")
        try:
            response = await self._app.async_dispatch(_request(envelope))
        except Exception:  # one strange envelope must not end the connection
            log.exception("slack.envelope_failed")
            return
        if response.status != 200:
            log.warning("slack.envelope_not_acknowledged", extra={"status": response.status})
            return
        said = json.dumps({"envelope_id": envelope_id, **_payload(response)})
        try:
            await self._socket.send_str(said)
        except ConnectionError:
            log.info("slack.acknowledgement_lost")  # Slack sends the envelope again, known by its key


def _request(envelope: Mapping[str, Any]) -> AsyncBoltRequest:
    """The envelope as Bolt wants it; retries carry the same headers as over HTTP."""
    headers = {
        f"x-slack-retry-{name}": str(envelope[member])
        for name, member in (("num", "retry_attempt"), ("reason", "retry_reason"))
        if envelope.get(member)
    }
    payload = envelope.get("payload")
    body = dict(payload) if isinstance(payload, Mapping) else {}
    return AsyncBoltRequest(mode="socket_mode", body=body, headers=dict(headers))


def _payload(response: BoltResponse) -> dict[str, Any]:
    """What the person reads at once, if Bolt has an answer."""
    if not response.body:
        return {}
    if response.headers.get("content-type", [""])[0].startswith("application/json"):
        return {"payload": json.loads(response.body)}
    return {"payload": {"text": response.body}}


def _parsed(data: str) -> Mapping[str, Any]:
    try:
        said = json.loads(data)
    except ValueError:
        log.warning("slack.socket_unreadable", extra={"characters": len(data)})
        return {}
    return said if isinstance(said, Mapping) else {}
