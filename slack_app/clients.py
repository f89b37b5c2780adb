"""Web API clients by workspace, all over one connection pool, and who we are in each workspace.

Nothing here repeats a call: the SDK's own retry handlers would send a post twice (slack_sdk 3.47, tried).
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Protocol, Self

import aiohttp
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.web.async_slack_response import AsyncSlackResponse
from yarl import URL

from bridge.ids import ChannelId, TeamId, UserId
from slack_app.errors import CALL_FAILURES, refusal_of, to_bridge_error
from slack_app.ids import Bot

DEFAULT_API_URL = "https://slack.com/api/"
DEFAULT_TIMEOUT_S = 15.0

# The SDK writes message bodies at DEBUG: never let it, whatever level the service runs at.
sdk_log = logging.getLogger("slack_app.sdk")
sdk_log.setLevel(logging.INFO)

Call = Callable[[AsyncWebClient], Awaitable[AsyncSlackResponse]]


class Tokens(Protocol):
    """Where bot tokens come from."""

    async def token(self, team: TeamId | None) -> str:
        """Return the bot token for `team`; None asks for the only one there is.

        Raises `TargetDown` for a workspace that has not installed the app.
        """
        ...


class OneToken:
    """One workspace, its token from the settings."""

    def __init__(self, token: str) -> None:
        self._token = token

    async def token(self, team: TeamId | None) -> str:
        return self._token


class Clients:
    """Makes calls to Slack. Used as `async with`: it owns the connections."""

    def __init__(
        self, tokens: Tokens, *, api_url: str = DEFAULT_API_URL, timeout_s: float = DEFAULT_TIMEOUT_S
    ) -> None:
        """`timeout_s` is the limit of one call, connecting included."""
        self._tokens = tokens
        self.api_url = api_url if api_url.endswith("/") else api_url + "/"
        self._is_local = URL(self.api_url).host in ("127.0.0.1", "localhost", "::1")
        self._timeout = aiohttp.ClientTimeout(
            # connecting has a limit of its own, so that "never sent" can be told from "no answer"
            total=timeout_s,
            connect=timeout_s / 2,
            sock_connect=timeout_s / 2,
        )
        self._session: aiohttp.ClientSession | None = None
        self._bots: dict[TeamId | None, Bot] = {}
        self._scopes: dict[TeamId | None, frozenset[str]] = {}

    async def __aenter__(self) -> Self:
        # With a session of our own the client's `timeout` does not count, the session's does (tried).
        self._session = aiohttp.ClientSession(timeout=self._timeout)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        session, self._session = self.session, None
        await session.close()

    @property
    def session(self) -> aiohttp.ClientSession:
        """The connections, for what is no Web API call (`response_url`)."""
        assert self._session is not None, "used outside of `async with`"
        return self._session

    def blank(self) -> AsyncWebClient:
        """Return a client without a token, for Bolt to copy and for app-level tokens."""
        client = AsyncWebClient(
            base_url=self.api_url, session=self.session, retry_handlers=[], logger=sdk_log
        )
        if self._is_local:
            client.proxy = None  # the SDK takes HTTPS_PROXY from the environment, but never NO_PROXY
        return client

    @property
    def proxy(self) -> str | None:
        """The proxy of the environment that calls go through, for what is no Web API call."""
        return self.blank().proxy

    async def token(self, team: TeamId | None) -> str:
        """Return the bot token for `team`."""
        return await self._tokens.token(team)

    async def call(
        self,
        call: Call,
        *,
        team: TeamId | None,
        channel: ChannelId | None = None,
        is_repeatable: bool = True,
        benign: frozenset[str] = frozenset(),
    ) -> AsyncSlackResponse | None:
        """Make one call, once. Returns None if Slack refused with a `benign` code.

        Raises `bridge.errors` as `slack_app.errors` decides; `is_repeatable` is False for posts.
        """
        client = self.blank()
        client.token = await self.token(team)
        try:
            answer = await call(client)
        except CALL_FAILURES as error:
            if isinstance(error, SlackApiError) and refusal_of(error).code in benign:
                return None
            raise to_bridge_error(
                error, team=team or TeamId("?"), channel=channel, is_repeatable=is_repeatable
            ) from error
        self._note_scopes(team, answer)
        return answer

    async def bot(self, team: TeamId | None = None) -> Bot:
        """Return who we are in `team` (None: in the only workspace), asked once."""
        known = self._bots.get(team)
        if known is not None:
            return known
        answer = await self.call(lambda client: client.auth_test(), team=team)
        assert answer is not None, "no code is benign here"
        bot = Bot(
            team=TeamId(str(answer.get("team_id"))),
            team_name=str(answer.get("team") or ""),
            user=UserId(str(answer.get("user_id"))),
            bot_id=answer.get("bot_id"),
            url=str(answer.get("url") or ""),
            enterprise=answer.get("enterprise_id") or None,
        )
        self._bots[team] = self._bots[bot.team] = bot
        self._note_scopes(bot.team, answer)
        return bot

    async def scopes(self, team: TeamId | None = None) -> frozenset[str]:
        """Return the scopes that were granted, as Slack said with its last answer; empty if it never says."""
        if team not in self._scopes:
            await self.bot(team)
        return self._scopes.get(team, frozenset())

    def known_bot(self, team: TeamId | None) -> Bot | None:
        """Return who we are in `team` if that was asked before."""
        return self._bots.get(team)

    def _note_scopes(self, team: TeamId | None, answer: AsyncSlackResponse) -> None:
        """Each answer names the granted scopes; they change when the app is installed anew."""
        header = answer.headers.get("x-oauth-scopes", "")
        if header:
            self._scopes[team] = frozenset(scope.strip() for scope in header.split(",") if scope.strip())
