"""A real HTTP server on the loopback address: what both simulated services stand on.

It writes every request to the wire, lets the fault script act, and can be down in several ways. What the
requests mean is left to the service.
"""

import logging
import socket
from collections.abc import Callable
from enum import StrEnum

from aiohttp import web
from aiohttp.typedefs import Handler

from sandbox.clock import SandboxClock
from sandbox.faults import Call, ConnectionCut, Faults, cut
from sandbox.wire import Direction, End, Wire, current_number

log = logging.getLogger(__name__)

MAX_BODY_BYTES = 4 * 1024 * 1024


class DownMode(StrEnum):
    """How a service is away."""

    REFUSED = "refused"  # nobody listens
    RESET = "reset"  # takes the connection, resets it at the first request
    SILENT = "silent"  # takes the request, never answers
    UNAVAILABLE = "unavailable"  # answers 503


class SandboxServer:
    """Serves one aiohttp application at `url`, on the same port before and after being down."""

    def __init__(
        self,
        end: End,
        describe: Callable[[web.Request, bytes], Call | None],
        *,
        clock: SandboxClock,
        wire: Wire,
        faults: Faults,
    ) -> None:
        """`describe` names a received request for rules and wire, and must not fail on any input.

        None leaves a request to its handler alone, off the wire and out of reach of faults (a WebSocket).
        """
        self._end = end
        self._describe = describe
        self._clock = clock
        self._wire = wire
        self._faults = faults
        self._runner: web.AppRunner | None = None
        self._site: web.SockSite | None = None
        self._reserved: socket.socket | None = None
        self._down: DownMode | None = None
        self.port = 0

    @property
    def url(self) -> str:
        """Base address without a slash at the end."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def is_down(self) -> DownMode | None:
        return self._down

    def application(self) -> web.Application:
        """An application with the sandbox's middleware, to which the service adds its routes."""
        return web.Application(middlewares=[self._middleware], client_max_size=MAX_BODY_BYTES)

    async def start(self, app: web.Application, *, port: int = 0) -> None:
        """Listen; `port` 0 takes a free one."""
        # A caller who hangs up ends its handler, so hanging calls do not pile up; effects are shielded.
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=1.0)
        await self._runner.setup()
        self._reserved = _bound(port)
        self.port = self._reserved.getsockname()[1]
        await self._listen()

    async def stop(self) -> None:
        """Stop listening, cut what hangs."""
        self._cut_connections()
        if self._runner is not None:
            await self._runner.cleanup()
        if self._reserved is not None:
            self._reserved.close()
            self._reserved = None

    async def down(self, mode: DownMode = DownMode.REFUSED) -> None:
        """Be away from now on. Open connections are cut, unless requests are still to be taken."""
        await self.up()
        self._down = mode
        if mode is DownMode.REFUSED and self._site is not None:
            await self._site.stop()
            self._site = None
            self._reserved = _bound(self.port)  # bound without listening: refuses, and keeps the port ours
        if mode in (DownMode.REFUSED, DownMode.RESET):
            self._cut_connections()

    async def up(self) -> None:
        """Be back, at the same address."""
        self._down = None
        if self._site is None:
            await self._listen()

    async def _listen(self) -> None:
        assert self._runner is not None, "start() comes first"
        assert self._reserved is not None, "the port is held while nobody listens"
        self._site = web.SockSite(self._runner, self._reserved)
        self._reserved = None  # the site closes it
        await self._site.start()

    def _cut_connections(self) -> None:
        server = self._runner.server if self._runner is not None else None
        for connection in server.connections if server is not None else []:
            if connection.transport is not None:
                connection.transport.abort()

    @web.middleware
    async def _middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        body = await request.read()
        call = self._describe(request, body)
        if call is None:
            return await handler(request)
        number = self._wire.begin(
            self._end, Direction.IN, request.method, request.raw_path, call.operation, request=_text(body)
        )
        current_number.set(number)
        status: int | None = None
        shown, fault = "", None
        try:
            if self._down is not None:
                fault = f"down: {self._down}"
                response = await self._away(request, self._down)
            else:
                rule = self._faults.take(call)
                fault = None if rule is None else rule.fault.kind.value
                response = await self._faults.run(request, rule, lambda: _handled(handler, request))
            status = response.status
            shown = response.text or "" if isinstance(response, web.Response) else ""
            return response
        except web.HTTPException as error:
            status, shown = error.status, error.text or ""
            raise
        except ConnectionCut:
            return web.Response(status=500)  # goes nowhere: the connection is gone
        finally:
            self._wire.finish(number, status=status, response=shown, fault=fault)

    async def _away(self, request: web.Request, mode: DownMode) -> web.StreamResponse:
        match mode:
            case DownMode.UNAVAILABLE:
                return web.Response(status=503, text="Service Unavailable")
            case DownMode.SILENT:
                return await self._faults.hang(request)
            case DownMode.RESET | DownMode.REFUSED:
                raise cut(request)


async def _handled(handler: Handler, request: web.Request) -> web.StreamResponse:
    return await handler(request)


def _bound(port: int) -> socket.socket:
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind(("127.0.0.1", port))
    bound.setblocking(False)
    return bound


def _text(body: bytes) -> str:
    return body[:4096].decode("utf-8", errors="replace")
