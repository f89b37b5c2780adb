"""Looks at everything that has to be right for the bridge to work, and says what to do where it is not.

Each check is one finding and disturbs no other: a check that cannot be made says why. Nothing is changed.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace

from pydantic import SecretStr
from sqlalchemy import Connection

from bridge.doctor.ends import (
    Channels,
    Hooks,
    Jollor,
    Slack,
    check_jollor,
    check_link,
    check_slack,
    check_webhook,
)
from bridge.doctor.finding import Finding, State, fine, problem, skipped
from bridge.doctor.machine import ServerTime, check_address, check_clock, check_database
from bridge.doctor.reading import Threads, check_reading
from bridge.doctor.waiting import check_waiting
from bridge.errors import BridgeError
from bridge.links import links_of, project_name
from bridge.model import Clock, Link, Reading
from bridge.relay import limits
from bridge.settings import Settings
from bridge.store import schema
from bridge.store.engine import Store


@dataclass(frozen=True, slots=True)
class Parts:
    """What is examined. `open_socket` asks for a Socket Mode connection, None over HTTP."""

    store: Store
    slack: Slack
    channels: Channels
    jollor: Jollor
    hooks: Hooks
    open_socket: Callable[[], Awaitable[object]] | None
    threads: Threads


OpenParts = Callable[[Settings], contextlib.AbstractAsyncContextManager[Parts]]


async def examine(
    settings: Settings, open_parts: OpenParts, *, server_time: ServerTime, now: Clock
) -> AsyncIterator[Finding]:
    """Yield what is found, in an order in which the first problem is the one to mend first."""
    yield fine("settings", "complete")
    database = await check_database(settings.bridge)
    yield database
    yield check_address(settings.bridge)
    for name, url in (("Slack", settings.slack.api_url), ("Jollor", settings.jollor.app_url)):
        yield await check_clock(name, url, server_time, now)
    is_usable = database.state is State.OK
    async with _as_it_is(settings) if is_usable else _with_scratch(settings) as usable:
        try:
            async with open_parts(usable) as parts:
                async for finding in _of_parts(parts, has_links=is_usable):
                    yield finding
        except BridgeError as error:
            yield problem("bridge", error.user_message, "Run doctor again.")


@contextlib.asynccontextmanager
async def _as_it_is(settings: Settings) -> AsyncIterator[Settings]:
    yield settings


@contextlib.asynccontextmanager
async def _with_scratch(settings: Settings) -> AsyncIterator[Settings]:
    """Yield settings with an empty database, so that Slack and Jollor can be asked all the same."""
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite+aiosqlite:///{folder}/bridge.db"
        await schema.migrate(url)
        changed = {"database_url": SecretStr(url), "encryption_keys": ()}
        yield replace(settings, bridge=settings.bridge.model_copy(update=changed))


async def _of_parts(parts: Parts, *, has_links: bool) -> AsyncIterator[Finding]:
    for finding in await check_slack(parts.slack, parts.open_socket):
        yield finding
    signed_in, known = await check_jollor(parts.jollor)
    yield signed_in
    if not has_links:
        yield skipped("links", "they are in the database")
        return
    links = await parts.store.read(_named_links)
    if not links:
        yield problem("links", "no project is linked", "Run jollor-slack link PROJECT CHANNEL.")
        return
    for link, name in links:
        yield await check_link(parts.channels, link, name, known)
    if links:
        yield await check_reading(parts.threads, *await parts.store.read(_reading))
    for project, name in dict.fromkeys((link.project, name) for link, name in links):
        yield await check_webhook(parts.jollor, parts.hooks, project, name)
    for finding in await parts.store.read(check_waiting):
        yield finding


def _reading(conn: Connection) -> tuple[Reading | None, list[Link]]:
    """Return what reading has shown so far, in the workspace of the oldest link, and the links."""
    links = links_of(conn, None)
    return (limits.reading(conn, links[0].team) if links else None), links


def _named_links(conn: Connection) -> list[tuple[Link, str]]:
    return [(link, project_name(conn, link.project)) for link in links_of(conn, None)]
