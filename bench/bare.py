"""The yardstick of `bench.acknowledge`: an aiohttp handler that reads a body and answers, nothing else."""

from __future__ import annotations

import sys

from aiohttp import web


async def handle(request: web.Request) -> web.Response:
    """Answer what the bridge would answer, without storing anything."""
    await request.read()
    return web.Response(text=request.query.get("challenge", ""))


if __name__ == "__main__":
    app = web.Application()
    app.router.add_post("/webhooks/jollor/{project_id}", handle)
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), access_log=None, print=None)
