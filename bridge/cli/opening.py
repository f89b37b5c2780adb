"""What commands open: the settings, the database that has to be there, and the parts on top of it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Coroutine
from typing import Any, TypeVar

from bridge import logs
from bridge.settings import BridgeSettings, Settings, load, load_section
from bridge.store import schema
from bridge.store.engine import Store

T = TypeVar("T")


def run(work: Coroutine[Any, Any, T]) -> T:
    """Return what `work` returns."""
    return asyncio.run(work)


def all_settings(*, quiet: bool = True) -> Settings:
    """Read every setting and set up the log; a `quiet` command lets only warnings through."""
    settings = load()
    _log(settings.bridge, quiet=quiet)
    return settings


def own_settings() -> BridgeSettings:
    """Read what a command needs that talks to the database alone."""
    settings = load_section(BridgeSettings)
    _log(settings, quiet=True)
    return settings


def _log(settings: BridgeSettings, *, quiet: bool) -> None:
    level = "WARNING" if quiet and settings.log_level == "INFO" else settings.log_level
    logs.set_up(level, settings.log_format)
    # It tells at each start how it will migrate, even if there is nothing to migrate.
    logging.getLogger("alembic").setLevel(logging.WARNING)


@contextlib.asynccontextmanager
async def open_store(settings: BridgeSettings) -> AsyncIterator[Store]:
    """Open a database that is there and has our schema. Raises `SchemaTrouble`, `StoreUnavailable`."""
    url = settings.database_url.get_secret_value()
    await schema.require(url)
    async with Store(url) as store:
        yield store
