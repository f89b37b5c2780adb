"""How much Slack lets us read: what reading back can find after the bridge was away."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from bridge.doctor.finding import Finding, State, fine, problem, skipped
from bridge.errors import BridgeError, Snooze
from bridge.ids import ChannelId, TeamId
from bridge.model import Link, LinkKind, Reading
from bridge.ports import ChannelThreads

WHAT = "Slack reading"
DELAYED_EVENTS = (
    "Switch on Delayed Events in the Slack app's settings (Event Subscriptions): Slack then repeats for a "
    "day what the bridge missed."
)


class Threads(Protocol):
    """What Slack shows of a channel's threads."""

    async def threads(self, team: TeamId, channel: ChannelId) -> ChannelThreads: ...


async def check_reading(slack: Threads, stored: Reading | None, links: Sequence[Link]) -> Finding:
    """Threads can be read back; where nothing has shown yet how quickly, two reads find out."""
    reading: Reading | None = stored
    places = [link for link in links if link.kind is not LinkKind.ALERT]
    if reading is None:
        if not places:
            return skipped(WHAT, "no channel is linked in which people answer")
        try:
            reading = await _tried(slack, places[0].team, places[0].channel)
        except BridgeError as error:
            return problem(WHAT, error.user_message, "Mend what stands above, then run doctor again.")
    if reading is Reading.RESTRICTED:
        return Finding(
            WHAT,
            State.OK,
            "one read a minute: lines typed while the bridge is away for longer than Slack repeats events "
            "may be missed",
            DELAYED_EVENTS,
        )
    return fine(WHAT, "full: lines typed while the bridge is away are found afterwards")


async def _tried(slack: Threads, team: TeamId, channel: ChannelId) -> Reading:
    """Return what two reads of a channel show: where one a minute is allowed, the second is refused."""
    seen = await slack.threads(team, channel)
    if seen.reading is not None:
        return seen.reading
    try:
        await slack.threads(team, channel)
    except Snooze:
        return Reading.RESTRICTED
    return Reading.FULL
