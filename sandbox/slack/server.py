"""The simulated Slack as one object: started, stopped, with hands to act in it and eyes to look at it."""

from __future__ import annotations

from collections.abc import Mapping

from sandbox.clock import SandboxClock
from sandbox.faults import Faults
from sandbox.ledger import Ledger
from sandbox.server import DownMode, SandboxServer
from sandbox.slack.acting import Reply
from sandbox.slack.changes import Changes
from sandbox.slack.clicks import Clicks
from sandbox.slack.commands import Commands
from sandbox.slack.courier import Courier, Http, Outcome, Parcel
from sandbox.slack.events import Events
from sandbox.slack.eyes import Eyes
from sandbox.slack.hands import Hands
from sandbox.slack.modals import Modals
from sandbox.slack.model import Ids, Json
from sandbox.slack.pacing import Limits, Pacing
from sandbox.slack.people import People
from sandbox.slack.sockets import Sockets
from sandbox.slack.state import ALL_EVENTS, ALL_SCOPES, App, State, Switches
from sandbox.slack.webapi import WebApi, describe
from sandbox.wire import End, Wire


class SimulatedSlack(Hands, Eyes):
    """A Slack of its own on the loopback address. Make one with `start`, end it with `stop`.

    Methods that take a user or a channel take its id. The first workspace is `team`; more by `add_team`.
    """

    def __init__(
        self,
        *,
        clock: SandboxClock,
        faults: Faults,
        wire: Wire,
        ledger: Ledger,
        limits: Limits,
        scopes: frozenset[str],
        seed: int,
    ) -> None:
        self.clock, self.faults, self.wire, self.ledger = clock, faults, wire, ledger
        self.state = State(clock, ledger, ids=Ids(seed))
        self.team = self.state.add_team("Acme", scopes=scopes)
        self._owns_faults = False
        self.http = Http(self.state, wire, faults)
        self.sockets = Sockets(self.state, wire)
        self.courier = Courier(self.state, faults, self.http, self.sockets, self.sockets.has_socket)
        self.events = Events(self.state, self.courier.send_event)
        self.changes = Changes(self.state, self.events)
        self.people = People(self.state, self.changes)
        self.commands = Commands(self.state, self.changes, self.courier, self._base_url)
        self.clicks = Clicks(self.state, self.changes, self.courier, self._base_url)
        self.modals = Modals(self.state, self.changes, self.courier, self._base_url)
        self.pacing = Pacing(clock, limits)
        self.web_api = WebApi(
            self.state,
            self.changes,
            self.pacing,
            faults,
            app_methods={"apps.connections.open": self.sockets.address},
        )
        self.server = SandboxServer(End.SLACK, describe, clock=clock, wire=wire, faults=faults)

    @classmethod
    async def start(
        cls,
        *,
        clock: SandboxClock | None = None,
        faults: Faults | None = None,
        wire: Wire | None = None,
        ledger: Ledger | None = None,
        limits: Limits | None = None,
        events_url: str | None = None,
        scopes: frozenset[str] = ALL_SCOPES,
        subscriptions: frozenset[str] = ALL_EVENTS,
        seed: int = 1,
        port: int = 0,
    ) -> SimulatedSlack:
        """Start a Slack with one empty workspace, "Acme"; parts that are not given are made."""
        clock = clock or SandboxClock()
        slack = cls(
            clock=clock,
            faults=faults or Faults(clock=clock),
            wire=wire or Wire(clock=clock),
            ledger=ledger or Ledger(clock=clock),
            limits=limits or Limits(),
            scopes=scopes,
            seed=seed,
        )
        slack._owns_faults = faults is None
        slack.app.url = events_url
        slack.app.subscriptions = subscriptions
        app = slack.server.application()
        app.router.add_route("*", "/api/{method}", slack.web_api.answer)
        app.router.add_get("/link/", slack.sockets.serve)
        app.router.add_post("/{kind:commands|actions}/{team}/{id}/{secret}", slack.commands.take_response)
        await slack.http.start()
        await slack.server.start(app, port=port)
        slack.sockets.base_url = slack.server.url
        return slack

    async def stop(self) -> None:
        """End all deliveries and connections. A fault script that was passed in is left to its owner."""
        await self.courier.stop()
        await self.sockets.stop()
        if self._owns_faults:
            await self.faults.stop()
        await self.server.stop()
        await self.http.stop()

    async def down(self, mode: DownMode = DownMode.REFUSED) -> None:
        """Be away for the app's calls; open sockets are cut. What people do still leads to events."""
        await self.server.down(mode)

    async def up(self) -> None:
        """Be back, at the same address."""
        await self.server.up()

    def _base_url(self) -> str:
        return self.server.url

    # addresses and secrets that the app needs

    @property
    def api_url(self) -> str:
        return f"{self.server.url}/api/"

    @property
    def app(self) -> App:
        return self.state.app

    @property
    def switches(self) -> Switches:
        return self.state.switches

    @property
    def limits(self) -> Limits:
        return self.pacing.limits

    def environment(self) -> dict[str, str]:
        """The settings with which the app talks to this Slack; with Socket Mode on, through it."""
        settings = {
            "SLACK_API_URL": self.api_url,
            "SLACK_BOT_TOKEN": self.bot_token,
            "SLACK_SIGNING_SECRET": self.signing_secret,
        }
        return settings | ({"SLACK_APP_TOKEN": self.app_token} if self.switches.socket_mode else {})

    @property
    def bot_token(self) -> str:
        return self.team.install.token

    @property
    def app_token(self) -> str:
        return self.app.app_token

    @property
    def signing_secret(self) -> str:
        return self.app.signing_secret

    @property
    def events_url(self) -> str | None:
        return self.app.url

    @events_url.setter
    def events_url(self, url: str | None) -> None:
        self.app.url = url

    # how people use the app

    async def slash_command(self, user: str, channel: str, command: str, text: str = "") -> Reply:
        return await self.commands.slash_command(user, channel, command, text)

    async def press(
        self, user: str, channel: str, ts: str, action_id: str, block_id: str | None = None
    ) -> Reply:
        return await self.clicks.press(user, channel, ts, action_id, block_id)

    async def select(
        self, user: str, channel: str, ts: str, action_id: str, value: object, block_id: str | None = None
    ) -> Reply:
        return await self.clicks.select(user, channel, ts, action_id, value, block_id)

    async def submit_view(self, user: str, values: Mapping[str, object] | None = None) -> Reply:
        return await self.modals.submit_view(user, values)

    async def message_shortcut(self, user: str, channel: str, ts: str, callback_id: str) -> Reply:
        return await self.clicks.message_shortcut(user, channel, ts, callback_id)

    def open_home(self, user: str) -> None:
        """Open the app's Home tab; the app hears of it as `app_home_opened`."""
        team = next(team for team in self.state.teams.values() if user in team.users)
        self.changes.open_home(team, user)

    def repeat_event(self, channel: str, ts: str, *, new_event_id: bool = False, times: int = 1) -> None:
        """Send the event of a message again: the same one, or as events with ids of their own."""
        event = self.events.of_message(channel, ts)
        for _ in range(times):
            self.events.again(event, new_id=new_event_id)

    async def verify_url(self) -> Outcome:
        """Do what Slack does when an events address is saved: POST a `url_verification` challenge."""
        challenge = self.state.ids.hex(40)
        body: Json = {
            "token": self.app.verification_token,
            "challenge": challenge,
            "type": "url_verification",
        }
        outcome = await self.http.send(Parcel("events_api", "url_verification", body), 0, None)
        echoed = outcome.body == challenge or (outcome.json() or {}).get("challenge") == challenge
        return outcome if echoed else Outcome(False, "http_error", outcome.status, outcome.body)
