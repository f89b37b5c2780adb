"""The Bolt app: events are stored before Bolt could lose them, commands and presses go to their listeners.

Bolt answers 200 to an event whose authorisation failed and 404 to one without a listener (slack-bolt 1.30,
tried), so no event gets that far: `before_authorize`, which runs right after the signature check, stores and
answers it. The same app serves HTTP (`slack_app.http`) and Socket Mode (`slack_app.socket`).
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from slack_bolt.async_app import AsyncApp
from slack_bolt.authorization import AuthorizeResult
from slack_bolt.context.async_context import AsyncBoltContext
from slack_bolt.request.async_request import AsyncBoltRequest
from slack_bolt.response import BoltResponse

from bridge.ids import TeamId
from bridge.model import Clock
from bridge.ports import Inbox
from slack_app.clients import Clients
from slack_app.inbox import store_event
from slack_app.listeners import add_listeners

log = logging.getLogger(__name__)

# Bolt writes the bodies of requests at INFO: none of that, only what went wrong.
bolt_log = logging.getLogger("slack_app.bolt")
bolt_log.setLevel(logging.ERROR)

Next = Callable[[], Awaitable[BoltResponse]]


def build_app(*, inbox: Inbox, clients: Clients, now: Clock, signing_secret: str = "") -> AsyncApp:
    """Return the app. Inside `async with clients`; Socket Mode needs no `signing_secret`."""
    app = AsyncApp(
        name="jollor-slack",
        logger=bolt_log,
        signing_secret=signing_secret,
        client=clients.blank(),
        before_authorize=_event_store(inbox, now),
        authorize=_authorize(clients),
    )
    add_listeners(app, inbox=inbox, clients=clients)
    return app


def _event_store(inbox: Inbox, now: Clock) -> Callable[..., Awaitable[BoltResponse]]:
    # `next` and `request` are the names by which Bolt hands things over
    async def store_events(request: AsyncBoltRequest, next: Next) -> BoltResponse:
        kind = request.body.get("type")
        if kind == "event_callback":
            await store_event(inbox, request.body, now=now)  # failing: 500 or no ack, and Slack repeats it
            return BoltResponse(status=200)
        if kind == "app_rate_limited":
            log.warning("slack.events_withheld", extra={"team": str(request.body.get("team_id"))})
            return BoltResponse(status=200)
        return await next()

    return store_events


def _authorize(clients: Clients) -> Callable[..., Awaitable[AuthorizeResult]]:
    async def authorize(context: AsyncBoltContext, team_id: str | None) -> AuthorizeResult:
        """Say who we are from what is known, without a call: a person waits for the answer."""
        team = TeamId(team_id) if team_id else None
        bot = clients.known_bot(team)
        return AuthorizeResult(
            enterprise_id=context.enterprise_id,
            team_id=team_id,
            bot_token=await clients.token(team),
            bot_id=bot.bot_id if bot is not None else None,
            bot_user_id=bot.user if bot is not None else None,
        )

    return authorize
