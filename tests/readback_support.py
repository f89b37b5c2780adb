"""What tests of reading back do and look at."""

from __future__ import annotations

from sqlalchemy import insert

from bridge.events import LineTyped, ReadBackAll
from bridge.model import Reading
from bridge.relay import limits
from bridge.store.tables import outages
from tests.relay_stage import TEAM, Relay

HOUR = 3_600.0


async def looks(relay: Relay, event: ReadBackAll | None = None, *, for_s: float = 30.0) -> None:
    """Let the bridge read back."""
    await relay.jobs.put(event or ReadBackAll())
    await relay.pass_(for_s)


async def told(relay: Relay, line: LineTyped) -> None:
    """Slack delivers the event after all."""
    await relay.jobs.put(line.model_copy(update={"received_at": relay.clock()}))
    await relay.pass_(30)


async def was_away(relay: Relay, seconds: float) -> None:
    """Let time pass of which the database knows that nobody was there."""
    began = relay.clock()
    relay.clock.pass_(seconds)
    ended = relay.clock()
    await relay.store.write(
        lambda conn: conn.execute(insert(outages).values(began_at=began, ended_at=ended)) and None
    )


async def reads(relay: Relay) -> list[str]:
    return [call for call in relay.chat.calls if call in ("threads", "lines")]


async def reading(relay: Relay) -> Reading | None:
    return await relay.store.read(lambda conn: limits.reading(conn, TEAM))
