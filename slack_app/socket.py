"""Socket Mode: what comes from Slack over a WebSocket that we open, given to the same Bolt app.

Slack ends each connection about hourly and says so some seconds ahead; the next one is open before the old is
closed, so nothing has to be repeated. An envelope is acknowledged once Bolt answered 200, which for an event
means: once it is stored. What is not acknowledged, Slack sends again.
Source: docs.slack.dev apis/events-api/using-socket-mode; slack-facts 1 and 8.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from datetime import timedelta
from random import Random
from types import TracebackType
from typing import Self

import aiohttp
from slack_bolt.async_app import AsyncApp

from bridge.errors import BridgeError, Snooze
from bridge.ids import TeamId
from slack_app.clients import Clients
from slack_app.connection import Connection, NoHello
from slack_app.errors import CALL_FAILURES, to_bridge_error

log = logging.getLogger(__name__)

_HEARTBEAT_S = 10.0
_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 30.0


OnReturn = Callable[[timedelta], Awaitable[None]]
"""Is told how long there was no connection. Must not raise."""


class SocketMode:
    """Keeps a connection to Slack while it is entered, whatever becomes of each single one.

    `app_token` is the app-level token (`xapp-`, scope `connections:write`).
    """

    def __init__(
        self,
        app: AsyncApp,
        clients: Clients,
        *,
        app_token: str,
        heartbeat_s: float = _HEARTBEAT_S,
        first_pause_s: float = _FIRST_PAUSE_S,
        jitter: Random | None = None,
        on_return: OnReturn | None = None,
    ) -> None:
        """`on_return` is told how long there was no connection, each time that there is one again."""
        self._app = app
        self._clients = clients
        self._app_token = app_token
        self._heartbeat_s = heartbeat_s
        self._first_pause_s = first_pause_s
        self._jitter = jitter or Random()
        self._on_return = on_return
        self._gone_since: float | None = None
        self._stopping = asyncio.Event()
        self._running: asyncio.Task[None] | None = None
        self.connected = asyncio.Event()
        """Set while Slack has greeted us on a connection that is open."""
        self.problem: str | None = None
        """A sentence about why there is no connection; None while there is one."""

    async def __aenter__(self) -> Self:
        self._running = asyncio.create_task(self._run(), name="slack-socket-mode")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take nothing more, finish and acknowledge what was taken, close."""
        assert self._running is not None
        self._stopping.set()
        await self._running

    async def _run(self) -> None:
        pause_s = self._first_pause_s
        self._gone()
        async with asyncio.TaskGroup() as connections:
            former: Connection | None = None
            while not self._stopping.is_set():
                try:
                    current = await self._unless_stopping(self._open())
                except BridgeError as error:
                    self._missing(error)
                    delay_s = error.delay.total_seconds() if isinstance(error, Snooze) else 0.0
                    await self._pause(max(delay_s, pause_s * (0.5 + self._jitter.random())))
                    pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
                    continue
                if current is None:
                    break
                pause_s = self._first_pause_s
                self.problem = None
                connections.create_task(current.serve())
                await self._back()
                if former is not None:
                    connections.create_task(former.finish())
                await self._until_over(current)
                former = current
            self.connected.clear()
            if former is not None:
                await former.finish()

    def _gone(self) -> None:
        self.connected.clear()
        if self._gone_since is None:
            self._gone_since = asyncio.get_running_loop().time()

    async def _back(self) -> None:
        """Slack sends again what it could not deliver, but not for ever: say how long there was no way."""
        since, self._gone_since = self._gone_since, None
        if since is not None and self._on_return is not None:
            await self._on_return(timedelta(seconds=asyncio.get_running_loop().time() - since))
        self.connected.set()

    async def _unless_stopping(self, opening: Coroutine[None, None, Connection]) -> Connection | None:
        """Return what `opening` brings, None if everything stops before."""
        opened = asyncio.create_task(opening)
        stopping = asyncio.create_task(self._stopping.wait())
        await asyncio.wait({opened, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if opened.done():
            return await opened
        opened.cancel()
        await asyncio.wait({opened})
        return None

    async def _until_over(self, connection: Connection) -> None:
        """Wait until another connection is needed, or none any more."""
        over = asyncio.create_task(connection.is_leaving.wait())
        stopping = asyncio.create_task(self._stopping.wait())
        await asyncio.wait({over, stopping}, return_when=asyncio.FIRST_COMPLETED)
        for waiting in (over, stopping):
            waiting.cancel()
        if connection.is_lost:
            self._gone()
            log.warning("slack.socket_lost")

    async def _open(self) -> Connection:
        """Return a connection on which Slack said hello. Raises `BridgeError`."""
        client = self._clients.blank()
        try:
            answer = await client.apps_connections_open(app_token=self._app_token)
            socket = await self._clients.session.ws_connect(
                str(answer.get("url")),
                heartbeat=self._heartbeat_s,
                proxy=self._clients.proxy,
                max_msg_size=4 * 1024 * 1024,
            )
            return await Connection.greeted(self._app, socket)
        except NoHello as error:
            raise BridgeError(error.reason, user_message=error.sentence) from error
        except (*CALL_FAILURES, aiohttp.WSServerHandshakeError) as error:
            raise to_bridge_error(error, team=TeamId("?"), is_repeatable=True) from error

    def _missing(self, error: BridgeError) -> None:
        self._gone()
        self.problem = error.user_message
        log.warning("slack.socket_not_opened", extra={"code": error.code})

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            pass  # the pause is over
