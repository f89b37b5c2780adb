"""Who may talk to the demo: the page that it served itself, and nobody else.

The demo can kill a process. It listens on the loopback address only; against other pages in the same browser
it checks the host that was asked for (DNS rebinding) and the origin of everything that changes something.
"""

from __future__ import annotations

from aiohttp import web
from aiohttp.typedefs import Handler

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
SAFE = frozenset({"GET", "HEAD"})


def guard(port: int) -> web.Application:
    """An application whose every route is behind the check and answers with the security headers."""
    hosts = frozenset({f"127.0.0.1:{port}", f"localhost:{port}"})

    @web.middleware
    async def checked(request: web.Request, handler: Handler) -> web.StreamResponse:
        reason = why_refused(request, hosts)
        if reason is not None:
            raise web.HTTPForbidden(text=reason)
        return await handler(request)

    async def with_headers(request: web.Request, response: web.StreamResponse) -> None:
        response.headers.update(HEADERS)

    app = web.Application(middlewares=[checked])
    app.on_response_prepare.append(with_headers)
    return app


def why_refused(request: web.Request, hosts: frozenset[str]) -> str | None:
    """Why the request is not answered, None if it may pass."""
    if request.host not in hosts:
        return "This page is only served under its own address."
    site = request.headers.get("Sec-Fetch-Site", "none")
    if request.method in SAFE:
        is_visit = request.headers.get("Sec-Fetch-Mode") == "navigate"
        return None if is_visit or site in ("same-origin", "none") else "Other pages may not read this."
    if request.headers.get("Origin") not in {f"http://{host}" for host in hosts} or site == "cross-site":
        return "Only the demo's own page may do that."
    if request.content_type != "application/json":
        return "Send application/json."
    return None
