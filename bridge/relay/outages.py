"""Jollor away: said once in the channels that it matters to, and closed in place when it is back.

A pause of a project is told when it has lasted for a while; one notice in a channel names all its projects
that are away. While Slack is away nothing can be said in it: `/metrics` and the doctor tell.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection

from bridge.content import Notice, inert
from bridge.events import TellOfOutages
from bridge.ids import ChannelId, ProjectId, TeamId
from bridge.links import links_of, project_name
from bridge.queue.jobs import Job
from bridge.relay import standing
from bridge.relay.standing import Place, Trouble, clock_time
from bridge.store import pauses
from bridge.store.engine import Store
from bridge.store.pauses import Pause
from bridge.webhooks.silence import scaled

TELL_AFTER = timedelta(minutes=2)
"""A shorter absence is noticed by nobody but who has just typed, and their line says ⏳."""
NAMED = 5


@dataclass(frozen=True, slots=True)
class Outage:
    """What is away for a channel: since when the longest, why, and which projects."""

    since: datetime
    reason: str
    names: tuple[str, ...]


class Outages:
    """Tells of them."""

    def __init__(self, store: Store, *, scale: float = 1.0) -> None:
        self._store = store
        self._scale = scale

    async def tell(self, event: TellOfOutages, job: Job) -> None:
        """Say in each channel what is away, redraw what has changed, close what is over."""
        await self._store.write(self._tell)

    def _tell(self, conn: Connection) -> None:
        now = self._store.now(conn)
        away = self._away(conn, now)
        for place, outage in away.items():
            notice = Notice(text=words(outage, now))
            standing.say(conn, now, [place], "", Trouble.AWAY, notice, since=outage.since)
        for row in standing.open_rows(conn, Trouble.AWAY, ""):
            if Place(TeamId(row["team"]), ChannelId(row["channel_id"])) not in away:
                # One that is just being posted is closed next time.
                standing.end(conn, now, [row], Notice(text=last_words(row["since"], now)), is_news=False)

    def _away(self, conn: Connection, now: datetime) -> dict[Place, Outage]:
        long_enough = now - scaled(TELL_AFTER, self._scale)
        paused = {pause.target: pause for pause in pauses.current(conn) if pause.since <= long_enough}
        found: dict[Place, list[tuple[Pause, str]]] = {}
        for project in dict.fromkeys(link.project for link in links_of(conn, None)):
            pause = paused.get(f"project:{project}")
            if pause is None:
                continue
            for place in standing.alert_places(conn, project):
                found.setdefault(place, []).append((pause, inert(project_name(conn, ProjectId(project)))))
        return {place: _together(pairs) for place, pairs in found.items()}


def _together(pairs: Sequence[tuple[Pause, str]]) -> Outage:
    longest = min((pause for pause, _ in pairs), key=lambda pause: pause.since)
    return Outage(longest.since, longest.sentence, tuple(name for _, name in pairs))


def words(outage: Outage, now: datetime) -> str:
    """Return what is said while it lasts."""
    names = ", ".join(outage.names[:NAMED])
    more = len(outage.names) - NAMED
    if more > 0:
        names += f" and {more} more"
    return (
        f"Nothing gets through between Slack and Jollor for {names} since {clock_time(outage.since, now)}: "
        f"{outage.reason} Replies wait and go out by themselves; what customers write meanwhile is caught up."
    )


def last_words(since: datetime, now: datetime) -> str:
    """Return what is said when it is over."""
    return (
        f"Jollor is back: it was away from {clock_time(since, now)} to {clock_time(now, now)}. Replies that "
        "waited go out now, and what customers wrote meanwhile is being caught up."
    )
