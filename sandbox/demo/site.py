"""The demo's web server: the page's files, the live stream, the handles."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import TracebackType

from aiohttp import web

from sandbox.demo.api import Api
from sandbox.demo.guard import guard
from sandbox.demo.live import Live
from sandbox.demo.stage import Stage

PAGE = Path(__file__).parent / "page"


class Site:
    """Serves `stage` on a socket that listens already. An asynchronous context."""

    def __init__(self, stage: Stage, listening: socket.socket) -> None:
        self._listening = listening
        self._live = Live(stage)
        self._app = guard(listening.getsockname()[1])
        self._app.router.add_get("/", _page("index.html"))
        self._app.router.add_get("/dashboard/{rest:.*}", _page("dashboard.html"))
        Api(stage, self._live).add_to(self._app)
        self._app.router.add_static("/page/", PAGE)
        self._runner = web.AppRunner(
            self._app, access_log=None, handler_cancellation=True, shutdown_timeout=1.0
        )

    async def __aenter__(self) -> Site:
        self._live.start()
        await self._runner.setup()
        await web.SockSite(self._runner, self._listening).start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._live.stop()
        await self._runner.cleanup()


def _page(name: str) -> Callable[[web.Request], Awaitable[web.FileResponse]]:
    async def handler(request: web.Request) -> web.FileResponse:
        return web.FileResponse(PAGE / name)

    return handler
