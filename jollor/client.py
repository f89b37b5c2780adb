"""The one place through which every request to Jollor goes out.

`Funnel` makes one HTTP exchange and tells "never sent" from "sent, no answer". `JollorClient` adds the token,
renews it once on a 401, and turns the answer into a model or an error. Neither repeats anything else; neither
logs tokens, texts or addresses.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Protocol, TypeVar
from urllib.parse import urlencode, urlsplit

import aiohttp
from yarl import URL

from jollor.errors import BadAnswer, JollorError, NotSent, OutcomeUnknown, ServerDown
from jollor.protocol import Answer, Base, Bearer, Call, Request, check
from jollor.tokens import Clock

log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Servers:
    """Base addresses. The app server's ends in `/api`; paths are appended as strings (NOTES 1)."""

    app: str = "https://app.jollor.com/api"
    auth: str = "https://auth.jollor.com"

    def __post_init__(self) -> None:
        """Raise `ValueError` for an address that cannot be one, before anything is sent to it."""
        for name, address in (("JOLLOR_APP_URL", self.app), ("JOLLOR_AUTH_URL", self.auth)):
            if not _is_base(address):
                raise ValueError(f"{name} has to be an http address without a query")

    def url(self, request: Request) -> URL:
        """Return the address of `request`, sent exactly as it was encoded."""
        base = self.app if request.base is Base.APP else self.auth
        query = f"?{urlencode(request.query)}" if request.query else ""
        return URL(base.rstrip("/") + request.path + query, encoded=True)


def _is_base(address: str) -> bool:
    try:
        parts = urlsplit(address)
        has_port = parts.port is None or parts.port > 0
    except ValueError:
        return False
    is_http = parts.scheme in {"http", "https"} and bool(parts.hostname)
    return is_http and has_port and not (parts.query or parts.fragment)


@dataclass(frozen=True, slots=True)
class Limits:
    """What one exchange may take. Jollor documents none of them."""

    total_s: float = 20.0
    connect_s: float = 5.0
    max_answer_bytes: int = 8 * 2**20


class Funnel:
    """Makes one exchange at a time per call; made by `open_funnel`, which owns the connections."""

    def __init__(
        self, pooled: aiohttp.ClientSession, fresh: aiohttp.ClientSession, servers: Servers, limits: Limits
    ) -> None:
        self._pooled = pooled
        self._fresh = fresh
        self._servers = servers
        self.limits = limits

    async def exchange(
        self, request: Request, *, token: str | None = None, timeout_s: float | None = None
    ) -> Answer:
        """Return Jollor's answer, whatever its status.

        Raises `NotSent` if the connection was never opened. Without an answer within `timeout_s` (default:
        the total limit), or with half of one, raises `ServerDown` for a repeatable request and
        `OutcomeUnknown` for any other; of the latter a known status is enough, even if the body never came.
        """
        limit_s = self.limits.total_s if timeout_s is None else timeout_s
        head: aiohttp.ClientResponse | None = None
        try:
            async with asyncio.timeout(limit_s):
                async with self._open(request, token, limit_s) as head:
                    body, is_complete = await self._body(head)
                    return _answer(head, body, is_complete=is_complete)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.InvalidURL) as error:
            raise NotSent(request.operation, f"no connection ({_kind(error)})") from error
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            if head is not None and not request.is_repeatable:
                return _answer(head, b"", is_complete=False)
            # The original may carry the request's headers, so its kind is all that is kept.
            raise _unanswered(request, _kind(error)) from None

    def _open(
        self, request: Request, token: str | None, limit_s: float
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        # A pooled connection that the server has just closed looks like "sent, no answer".
        session = self._pooled if request.is_repeatable else self._fresh
        headers = {"Accept": "application/json", "Content-Type": "application/json", **request.headers}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        return session.request(
            request.method,
            self._servers.url(request),
            headers=headers,
            data=None if request.json is None else json.dumps(request.json).encode(),
            timeout=aiohttp.ClientTimeout(total=None, connect=min(self.limits.connect_s, limit_s / 2)),
            allow_redirects=False,
        )

    async def _body(self, response: aiohttp.ClientResponse) -> tuple[bytes, bool]:
        chunks = bytearray()
        async for chunk in response.content.iter_chunked(2**16):
            chunks += chunk
            if len(chunks) > self.limits.max_answer_bytes:
                response.close()
                return b"", False
        return bytes(chunks), True


def _answer(response: aiohttp.ClientResponse, body: bytes, *, is_complete: bool) -> Answer:
    headers = {name.lower(): value for name, value in response.headers.items()}
    return Answer(response.status, headers, body, is_complete=is_complete)


def _unanswered(request: Request, kind: str) -> JollorError:
    if request.is_repeatable:
        return ServerDown(request.operation, f"no answer ({kind})")
    return OutcomeUnknown(request.operation, f"sent, but not answered ({kind})")


def _kind(error: BaseException) -> str:
    return type(error).__name__


@asynccontextmanager
async def open_funnel(servers: Servers, limits: Limits | None = None) -> AsyncIterator[Funnel]:
    """Give a funnel with connections of its own, closed at the end.

    Repeatable requests share a pool; all others get a fresh connection each. Cookies are not kept.
    """
    async with (
        aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as pooled,
        aiohttp.ClientSession(
            cookie_jar=aiohttp.DummyCookieJar(), connector=aiohttp.TCPConnector(force_close=True, limit=0)
        ) as fresh,
    ):
        yield Funnel(pooled, fresh, servers, limits or Limits())


class Tokens(Protocol):
    """Where access tokens come from; `auth.Auth` is one."""

    async def bearer(self, project_id: str | None, *, refused: str | None = None) -> str:
        """Return an access token for the project (None: the user's), another one than `refused`."""
        ...


class JollorClient:
    """Sends calls as one Jollor account."""

    def __init__(self, funnel: Funnel, tokens: Tokens, *, now: Clock) -> None:
        self._funnel = funnel
        self._tokens = tokens
        self._now = now

    async def send(self, call: Call[T], *, timeout_s: float | None = None) -> T:
        """Return what `call` reads from Jollor's answer, within `timeout_s` (default: the funnel's limit).

        The time includes getting a token and the one repetition after a 401. Raises `errors`; for a call that
        is not repeatable only `OutcomeUnknown` means that it may have happened.
        """
        request = call.request
        clock = asyncio.get_running_loop().time
        deadline = clock() + (self._funnel.limits.total_s if timeout_s is None else timeout_s)
        token, answer = await self._attempt(request, deadline)
        if answer.status == 401 and token is not None:
            token, answer = await self._attempt(request, deadline, refused=token)
        log.debug("jollor.called", extra={"operation": request.operation, "status": answer.status})
        check(request, answer, now=self._now(), secrets=[token] if token else [])
        if request.is_repeatable and not answer.is_complete:
            raise BadAnswer(request.operation, "the answer is too large", status=answer.status)
        return call.read(answer)

    async def _attempt(
        self, request: Request, deadline: float, refused: str | None = None
    ) -> tuple[str | None, Answer]:
        token = await self._token(request, deadline, refused)
        left_s = deadline - asyncio.get_running_loop().time()
        if left_s <= 0:
            raise ServerDown(request.operation, "no time left; nothing was sent")
        return token, await self._funnel.exchange(request, token=token, timeout_s=left_s)

    async def _token(self, request: Request, deadline: float, refused: str | None) -> str | None:
        if request.bearer is Bearer.NONE:
            return None
        try:
            async with asyncio.timeout_at(deadline):
                return await self._tokens.bearer(request.project_id, refused=refused)
        except TimeoutError as error:
            raise ServerDown(request.operation, "no token in time; nothing was sent") from error
