"""This machine: database, clock, address."""

from __future__ import annotations

import asyncio
import http.client
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from bridge.doctor.finding import Finding, fine, problem
from bridge.errors import BridgeError
from bridge.model import Clock
from bridge.settings import BridgeSettings
from bridge.store import schema
from bridge.store.engine import Store
from bridge.store.secrets import check, key_path, open_ring

CLOCK_MAY_DIFFER = timedelta(seconds=60)
"""Slack's signatures are refused at five minutes; replies are recognised by their time."""

ANSWER_WITHIN_S = 10.0

ServerTime = Callable[[str], Awaitable[datetime]]
"""Returns the time of the server at an address; see `server_time`."""


async def check_database(settings: BridgeSettings) -> Finding:
    """The database is there, has our schema, takes writes, and its secrets can be read."""
    url = settings.database_url.get_secret_value()
    keys = [key.get_secret_value() for key in settings.encryption_keys]
    path = settings.sqlite_path
    try:
        await schema.require(url)
        if not keys and path is not None and not key_path(path).exists():
            return problem("database", f"{key_path(path)} is gone", "Put the key file back.")
        async with Store(url) as store:
            await check(store, open_ring(keys, path))
            await store.write(lambda conn: None)  # an empty one: enough to find a lock or a read-only file
    except BridgeError as error:
        return problem("database", settings.database_name, error.user_message)
    return fine("database", f"{settings.database_name} answers, its secrets open")


def check_address(settings: BridgeSettings) -> Finding:
    """There is an address that Jollor can call."""
    if settings.public_url is None:
        return problem(
            "public address",
            "BRIDGE_PUBLIC_URL is not set, so Jollor cannot tell the bridge of new messages",
            "Set it to the https address under which this bridge is reached.",
        )
    return fine("public address", settings.public_url)


async def check_clock(name: str, url: str, server_time: ServerTime, now: Clock) -> Finding:
    """This machine's clock agrees with the server's."""
    what = f"clock against {name}"
    try:
        theirs = await server_time(url)
    except (OSError, http.client.HTTPException, ValueError) as error:
        return problem(
            what,
            f"{name} cannot be asked for its time ({type(error).__name__})",
            "Check the network and proxy.",
        )
    apart = now() - theirs
    if abs(apart) > CLOCK_MAY_DIFFER:
        ahead = "ahead" if apart > timedelta(0) else "behind"
        return problem(
            what,
            f"this machine's clock is {abs(apart).total_seconds():.0f} s {ahead}",
            "Set the clock, best by NTP; Slack's requests are refused from five minutes on.",
        )
    return fine(what, f"{abs(apart).total_seconds():.0f} s apart")


async def server_time(url: str) -> datetime:
    """Return a server's time by its `Date` header. Raises `OSError`, `HTTPException` or `ValueError`."""
    return await asyncio.to_thread(_server_time, url)


def _server_time(url: str) -> datetime:
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=ANSWER_WITHIN_S)
    try:
        connection.request("HEAD", parts.path or "/")
        return parsedate_to_datetime(connection.getresponse().getheader("Date", ""))
    finally:
        connection.close()
