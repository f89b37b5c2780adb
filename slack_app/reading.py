"""A stored envelope becomes one of the bridge's events, the names in it looked up on the way."""

from __future__ import annotations

import logging

from bridge.errors import PermanentError, TargetDown
from bridge.events import SlackEventReceived
from bridge.ids import ChannelId, TeamId, UserId
from bridge.ports import Chat
from slack_app.mrkdwn import Mentions
from slack_app.translate import SlackHappening, needed_ids, team_of, translate

log = logging.getLogger(__name__)


async def read_event(chat: Chat, received: SlackEventReceived) -> SlackHappening | None:
    """Return what `received` reports, None if it is nothing for the bridge.

    Raises `Snooze` and `TargetDown` where Slack cannot say a name now; a name that it will not say becomes a
    general word ("#channel").
    """
    team = team_of(received.body)
    if team is None:
        return None
    names = await resolve(chat, team, needed_ids(received.body))
    return translate(received.body, names, received_at=received.received_at)


async def resolve(chat: Chat, team: TeamId, wanted: Mentions) -> dict[str, str]:
    """Return the display names of those in `wanted` whom Slack names."""
    names: dict[str, str] = {}
    for user in sorted(wanted.users):
        try:
            names[user] = (await chat.person(team, UserId(user))).name
        except PermanentError as error:
            log.info("slack.name_unknown", extra={"id": user, "code": error.code})
    for channel in sorted(wanted.channels):
        try:
            names[channel] = (await chat.channel(team, ChannelId(channel))).name
        except PermanentError as error:
            log.info("slack.name_unknown", extra={"id": channel, "code": error.code})
        except TargetDown as error:
            if not error.target.startswith("channel:"):  # that channel is closed to us, Slack is not
                raise
    return names
