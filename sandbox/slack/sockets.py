"""Socket Mode: envelopes over WebSockets that the app opened, each to be acknowledged by its id.

Source: docs.slack.dev, apis/events-api/using-socket-mode. How long Slack waits for an acknowledgement is not
documented; here it is the limit that holds for HTTP.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import Final

from aiohttp import WSMsgType, web

from sandbox.slack.courier import Outcome, Parcel
from sandbox.slack.model import Json
from sandbox.slack.state import State
from sandbox.wire import Direction, End, Wire

MAX_SOCKETS: Final = 10
WARNING_AHEAD_S: Final = 10.0
DEBUG_LIFETIME_S: Final = 360.0
WITH_ANSWER: Final = frozenset({"slash_commands", "interactive"})


@dataclass(eq=False)
class Socket:
    """One open connection and the envelopes on it that nobody has acknowledged."""

    ws: web.WebSocketResponse
    number: int
    waiting: dict[str, asyncio.Future[Outcome]] = field(default_factory=dict)


class Sockets:
    """Hands out addresses, keeps the open sockets, sends envelopes to one of them."""

    def __init__(self, state: State, wire: Wire) -> None:
        self._state = state
        self._wire = wire
        self._tickets: set[str] = set()
        self._opened = 0
        self._turn = 0
        self.open: list[Socket] = []
        self.has_socket = asyncio.Event()
        self.base_url = ""

    def address(self) -> Json:
        """The answer of `apps.connections.open`: an address that can be used once."""
        ticket = self._state.ids.uuid()
        self._tickets.add(ticket)
        address = self.base_url.replace("http", "ws", 1)
        return {"url": f"{address}/link/?ticket={ticket}&app_id={self._state.app.id}"}

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Serve one connection for as long as it lasts."""
        ticket = request.query.get("ticket", "")
        if ticket not in self._tickets:
            return web.Response(status=403, text="invalid ticket")
        self._tickets.discard(ticket)
        ws = web.WebSocketResponse(max_msg_size=1 << 20, timeout=1.0)  # to wait for a goodbye
        await ws.prepare(request)
        refusal = self._refusal()
        if refusal is not None:
            await ws.send_str(json.dumps(disconnect(refusal)))
            await ws.close()
            return ws
        self._opened += 1
        await self._live(Socket(ws, self._opened), debug="debug_reconnects" in request.query)
        return ws

    async def send(self, parcel: Parcel, retry: int, reason: str | None) -> Outcome:
        """Send an envelope to one of the sockets and wait for its acknowledgement."""
        if not self.open:
            return Outcome(False, "connection_failed", lost_socket=True)
        self._turn += 1
        socket = self.open[self._turn % len(self.open)]
        envelope_id = self._state.ids.uuid()
        envelope: Json = {
            "envelope_id": envelope_id,
            "payload": parcel.payload,
            "type": parcel.kind,
            "accepts_response_payload": parcel.kind in WITH_ANSWER,
        }
        if parcel.kind == "events_api":
            envelope |= {"retry_attempt": retry, "retry_reason": reason or ""}
        text = json.dumps(envelope)
        number = self._wire.begin(End.SLACK, Direction.OUT, "WS", "/link", parcel.name, request=text)
        outcome = await self._acknowledged(socket, envelope_id, text)
        status = 200 if outcome.ok else None
        self._wire.finish(number, status=status, response=outcome.body or outcome.reason or "")
        return outcome

    async def disconnect(self, reason: str = "refresh_requested", *, close: bool = True) -> None:
        """Tell every socket that it has to go; `warning` comes about ten seconds before the real one."""
        for socket in list(self.open):
            await self._tell(socket, reason)
            if close:
                await socket.ws.close()

    async def cut(self) -> None:
        """End every connection without a word."""
        for socket in list(self.open):
            self._gone(socket)
            await socket.ws.close(code=1006, drain=False)

    async def stop(self) -> None:
        await asyncio.gather(*(socket.ws.close() for socket in list(self.open)))

    def _refusal(self) -> str | None:
        if not self._state.switches.socket_mode:
            return "link_disabled"
        return "too_many_websockets" if len(self.open) >= MAX_SOCKETS else None

    async def _live(self, socket: Socket, *, debug: bool) -> None:
        lifetime_s = DEBUG_LIFETIME_S if debug else self._state.switches.socket_lifetime_s
        hello: Json = {
            "type": "hello",
            "num_connections": len(self.open) + 1,
            "debug_info": {"host": "applink-1", "approximate_connection_time": int(lifetime_s)},
            "connection_info": {"app_id": self._state.app.id},
        }
        await socket.ws.send_str(json.dumps(hello))
        self.open.append(socket)
        self.has_socket.set()
        self._state.has_changed()
        ageing = asyncio.create_task(self._age(socket, lifetime_s))
        try:
            async for message in socket.ws:
                if message.type is WSMsgType.TEXT:
                    _acknowledge(socket, message.data)
        finally:
            ageing.cancel()
            self._gone(socket)

    async def _age(self, socket: Socket, lifetime_s: float) -> None:
        await self._state.clock.sleep(lifetime_s - WARNING_AHEAD_S)
        await self._tell(socket, "warning")
        await self._state.clock.sleep(WARNING_AHEAD_S)
        await self._tell(socket, "refresh_requested")
        await socket.ws.close()

    async def _tell(self, socket: Socket, reason: str) -> None:
        try:
            await socket.ws.send_str(json.dumps(disconnect(reason)))
        except ConnectionError:
            self._gone(socket)  # the other side was faster

    async def _acknowledged(self, socket: Socket, envelope_id: str, text: str) -> Outcome:
        answer: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        socket.waiting[envelope_id] = answer
        try:
            async with asyncio.timeout(self._state.switches.ack_limit_s):
                await socket.ws.send_str(text)
                return await answer
        except TimeoutError:
            return Outcome(False, "http_timeout")
        except ConnectionError:
            self._gone(socket)  # it is closing: what waits goes out with the next one
            return Outcome(False, "connection_failed", lost_socket=True)
        finally:
            socket.waiting.pop(envelope_id, None)

    def _gone(self, socket: Socket) -> None:
        if socket in self.open:
            self.open.remove(socket)
        if not self.open:
            self.has_socket.clear()
        for answer in socket.waiting.values():
            if not answer.done():
                answer.set_result(Outcome(False, "connection_failed", lost_socket=True))
        self._state.has_changed()


def disconnect(reason: str) -> Json:
    return {"type": "disconnect", "reason": reason, "debug_info": {"host": "applink-1"}}


def _acknowledge(socket: Socket, text: str) -> None:
    """Take an acknowledgement; what cannot be read or belongs to nobody is ignored, as Slack does."""
    try:
        message = json.loads(text)
        answer = socket.waiting[message["envelope_id"]]
    except (ValueError, KeyError, TypeError):
        return
    if not answer.done():
        payload = message.get("payload")
        body = "" if payload is None else json.dumps(payload)
        answer.set_result(Outcome(True, None, 200, body, "application/json"))
