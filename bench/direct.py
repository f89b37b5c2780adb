"""The yardstick of `bench.added_time`: a relay without storage, as small as it can be.

On a webhook it reads the message from Jollor and posts its text to Slack, then forgets both.
"""

from __future__ import annotations

import base64
import os
import sys
from collections.abc import AsyncIterator

import aiohttp
from aiohttp import web

APP = os.environ["JOLLOR_APP_URL"]
AUTH = os.environ["JOLLOR_AUTH_URL"]
JSON = {"Content-Type": "application/json", "Accept": "application/json"}
SESSION: web.AppKey[aiohttp.ClientSession] = web.AppKey("session", aiohttp.ClientSession)
TOKEN: web.AppKey[str] = web.AppKey("token", str)


async def signed_in(app: web.Application) -> AsyncIterator[None]:
    """Hold one connection pool and one project token."""
    env = os.environ
    client = {"client_id": env["JOLLOR_CLIENT_ID"], "client_secret": env["JOLLOR_CLIENT_SECRET"]}
    login = f"{env['JOLLOR_USERNAME']}:{env['JOLLOR_PASSWORD']}".encode()
    async with aiohttp.ClientSession() as session:
        basic = {"Authorization": f"Basic {base64.b64encode(login).decode()}", **JSON}
        user = await _token(session, "password", {**client, "scope": "profile agency"}, basic)
        exchange = {**client, "scope": "profile project", "project_id": sys.argv[2], "access_token": user}
        app[SESSION] = session
        app[TOKEN] = await _token(session, "token_exchange", exchange, JSON)
        yield


async def _token(
    session: aiohttp.ClientSession, grant: str, body: dict[str, str], headers: dict[str, str]
) -> str:
    async with session.post(f"{AUTH}/oauth2/token?grant_type={grant}", json=body, headers=headers) as answer:
        return str((await answer.json())["access_token"])


async def verify(request: web.Request) -> web.Response:
    """Answer Jollor's verification."""
    return web.Response(text=request.query["challenge"])


async def relay(request: web.Request) -> web.Response:
    """Read the message, post it, answer."""
    event = await request.json()
    if event.get("event_type") == "message_received":
        session = request.app[SESSION]
        bearer = {"Authorization": f"Bearer {request.app[TOKEN]}", **JSON}
        async with session.get(f"{APP}/public/v1/messages/{event['message_id']}", headers=bearer) as answer:
            text = (await answer.json())["text"]
        post = {"channel": sys.argv[3], "text": text}
        slack = {"Authorization": f"Bearer {os.environ['SLACK_BOT_TOKEN']}"}
        url = f"{os.environ['SLACK_API_URL']}chat.postMessage"
        async with session.post(url, json=post, headers=slack) as answer:
            await answer.read()
    return web.Response(text=request.query["challenge"])


if __name__ == "__main__":
    app = web.Application()
    app.cleanup_ctx.append(signed_in)
    app.router.add_get("/hook", verify)
    app.router.add_post("/hook", relay)
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), access_log=None, print=None)
