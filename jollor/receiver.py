"""The HTTP end that Jollor's webhooks call: check, read, commit, answer. It calls nobody.

Anything but 200 has Jollor repeat the call for 24 hours and then switch the webhook off, so a right challenge
gets another answer only where the events could not be stored or the call is no delivery at all. The challenge
is the secret: it is compared in constant time, echoed only when right, and never logged. It stands in the
address, so the server that mounts these routes must not write addresses to its access log.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

import aiohttp
from aiohttp import web

from bridge.errors import StoreUnavailable
from bridge.ids import ProjectId
from bridge.model import Clock
from bridge.ports import WebhookBook
from jollor.redaction import shortened
from jollor.translate import to_events
from jollor.webhooks import Leftover, is_challenge, read_delivery

log = logging.getLogger(__name__)

PATH = "/webhooks/jollor/{project_id}"
MAX_BODY_BYTES = 2**20
BODY_TIMEOUT_S = 15.0


class WebhookReceiver:
    """Answers `GET` and `POST` of `PATH` as CONTRACT's HTTP table has it."""

    def __init__(self, book: WebhookBook, *, now: Clock, body_timeout_s: float = BODY_TIMEOUT_S) -> None:
        self._book = book
        self._now = now
        self._body_timeout_s = body_timeout_s

    def routes(self) -> Sequence[web.RouteDef]:
        """Return what to add to an aiohttp application."""
        return [web.get(PATH, self.verify, allow_head=False), web.post(PATH, self.receive)]

    async def verify(self, request: web.Request) -> web.Response:
        """Answer Jollor's check of the address: the secret if the challenge is it, else 403."""
        try:
            return _confirmed(request) if await self._is_linked(request) is not None else _refused()
        except StoreUnavailable as error:
            return _unavailable(error)

    async def receive(self, request: web.Request) -> web.Response:
        """Answer a delivery with 200 once it is committed; without the right challenge nothing is read."""
        try:
            is_linked = await self._is_linked(request)
            if is_linked is None:
                return _refused()
            body = await self._body(request)
            await self._accept(request, body, is_linked=is_linked)
        except StoreUnavailable as error:
            return _unavailable(error)
        return _confirmed(request)

    async def _is_linked(self, request: web.Request) -> bool | None:
        """Return whether the project is still linked, None if the challenge is not its secret.

        What the book knows may be some seconds old: before a no it is asked to look again.
        """
        return await self._answer(request, fresh=False) or await self._answer(request, fresh=True)

    async def _answer(self, request: web.Request, *, fresh: bool) -> bool | None:
        known = await self._book.secret(_project(request), fresh=fresh)
        is_right = known is not None and is_challenge(_challenge(request), known.secret)
        return known.is_linked if known is not None and is_right else None

    async def _body(self, request: web.Request) -> bytes:
        if (request.content_length or 0) > MAX_BODY_BYTES:
            raise web.HTTPRequestEntityTooLarge(MAX_BODY_BYTES, request.content_length or 0)
        body = bytearray()
        try:
            async with asyncio.timeout(self._body_timeout_s):
                async for chunk in request.content.iter_any():
                    body += chunk
                    if len(body) > MAX_BODY_BYTES:
                        raise web.HTTPRequestEntityTooLarge(MAX_BODY_BYTES, len(body))
        except TimeoutError as error:
            raise web.HTTPRequestTimeout from error
        except (aiohttp.ClientError, aiohttp.http.HttpProcessingError, ConnectionError) as error:
            raise web.HTTPBadRequest(text="the body did not arrive") from error
        return bytes(body)

    async def _accept(self, request: web.Request, body: bytes, *, is_linked: bool) -> None:
        project = _project(request)
        delivery = read_delivery(body)
        events, foreign = to_events(delivery.events, project, received_at=self._now())
        if not is_linked:
            events, foreign = [], foreign + len(events)
        leftovers = [_kept(leftover, _challenge(request)) for leftover in delivery.leftovers]
        log.debug(
            "jollor.delivered",
            extra={"events": len(events), "foreign": foreign, "leftovers": len(leftovers)},
        )
        if events or leftovers or foreign:
            await self._book.accept(project, events, leftovers, foreign=foreign)


def _project(request: web.Request) -> ProjectId:
    return ProjectId(request.match_info["project_id"])


def _challenge(request: web.Request) -> str:
    return request.query.get("challenge", "")


def _kept(leftover: Leftover, secret: str) -> str:
    return f"{leftover} · {shortened(leftover.item, [secret])}"


def _confirmed(request: web.Request) -> web.Response:
    return web.Response(text=_challenge(request), content_type="text/plain")


def _refused() -> web.Response:
    return web.Response(status=403, text="wrong challenge")


def _unavailable(error: StoreUnavailable) -> web.Response:
    log.warning("jollor.not_stored", extra={"reason": error.code})
    return web.Response(status=503, text="cannot be stored now")
