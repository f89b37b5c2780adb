"""The simulated Slack as one object: servers started and stopped, people's hands, and what can be looked
at."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeVar

from sandbox.clock import SandboxClock
from sandbox.faults import Faults
from sandbox.ledger import Ledger
from sandbox.server import SandboxServer
from sandbox.slack.changes import Changes
from sandbox.slack.courier import Courier, Http, Outcome, Parcel
from sandbox.slack.events import Events
from sandbox.slack.interactivity import Interactivity, Reply
from sandbox.slack.model import Channel, Ids, Json, Message, Team, User
from sandbox.slack.pacing import Limits, Pacing
from sandbox.slack.people import People, Upload
from sandbox.slack.reading import links, pings
from sandbox.slack.sockets import Sockets
from sandbox.slack.state import ALL_EVENTS, ALL_SCOPES, App, Ephemeral, State, Switches
from sandbox.slack.webapi import WebApi, describe
from sandbox.wire import End, Wire

T = TypeVar("T")
MARKS: Final = ("lock", "hourglass_flowing_sand", "white_check_mark", "warning", "x")


class SimulatedSlack:
    """A Slack of its own on the loopback address. Make one with `start`, end it with `stop`.

    Methods that take a user or a channel take its id. The first workspace is `team`; more by `add_team`.
    """

    def __init__(
        self, *, clock: SandboxClock, faults: Faults, wire: Wire, ledger: Ledger, limits: Limits, seed: int
    ) -> None:
        self.clock, self.faults, self.wire, self.ledger = clock, faults, wire, ledger
        self.state = State(clock, ledger, ids=Ids(seed))
        self.http = Http(self.state, wire, faults)
        self.sockets = Sockets(self.state, wire)
        self.courier = Courier(self.state, faults, self.http, self.sockets, self.sockets.has_socket)
        self.events = Events(self.state, self.courier.send_event)
        self.changes = Changes(self.state, self.events)
        self.people = People(self.state, self.changes)
        self.interactivity = Interactivity(self.state, self.changes, self.courier, lambda: self.server.url)
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
            seed=seed,
        )
        slack.app.url = events_url
        slack.app.subscriptions = subscriptions
        slack.team = slack.state.add_team("Acme", scopes=scopes)
        app = slack.server.application()
        app.router.add_route("*", "/api/{method}", slack.web_api.answer)
        app.router.add_get("/link/", slack.sockets.serve)
        app.router.add_post(
            "/{kind:commands|actions}/{team}/{id}/{secret}", slack.interactivity.take_response
        )
        await slack.http.start()
        await slack.server.start(app, port=port)
        slack.sockets.base_url = slack.server.url
        return slack

    async def stop(self) -> None:
        """End all deliveries and connections."""
        await self.courier.stop()
        await self.sockets.stop()
        await self.faults.stop()
        await self.server.stop()
        await self.http.stop()

    team: Team

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

    # setting the scene

    def add_team(self, name: str, *, scopes: frozenset[str] = ALL_SCOPES) -> Team:
        """A further workspace with the app installed."""
        return self.state.add_team(name, scopes=scopes)

    def add_user(
        self,
        name: str,
        *,
        real_name: str | None = None,
        display_name: str | None = None,
        team: Team | None = None,
        is_admin: bool = False,
        is_owner: bool = False,
        is_restricted: bool = False,
        is_ultra_restricted: bool = False,
        is_bot: bool = False,
        deleted: bool = False,
        home_team_id: str | None = None,
    ) -> User:
        """A person (or another bot). `home_team_id` makes a stranger of another organisation (Slack
        Connect)."""
        team = team or self.team
        user = User(
            self.state.ids.new("U"),
            home_team_id or team.id,
            name=name.lower().replace(" ", "."),
            real_name=name if real_name is None else real_name,
            display_name=name if display_name is None else display_name,
            is_admin=is_admin or is_owner,
            is_owner=is_owner,
            is_restricted=is_restricted or is_ultra_restricted,
            is_ultra_restricted=is_ultra_restricted,
            is_bot=is_bot,
            deleted=deleted,
            is_stranger=home_team_id is not None and home_team_id != team.id,
            updated=self.state.now_s(),
            bot_id=self.state.ids.new("B") if is_bot else None,
        )
        team.users[user.id] = user
        return user

    def add_channel(
        self,
        name: str,
        *,
        members: Sequence[User | str] = (),
        is_private: bool = False,
        with_bot: bool = True,
        is_ext_shared: bool = False,
        team: Team | None = None,
    ) -> Channel:
        """A channel with these people in it, and the app's bot unless told otherwise. Nobody is told of
        it."""
        team = team or self.team
        ids = [member if isinstance(member, str) else member.id for member in members]
        channel = Channel(
            self.state.ids.new("C"),
            team.id,
            name,
            creator=ids[0] if ids else team.bot.id,
            created=self.state.now_s(),
            is_private=is_private,
            is_ext_shared=is_ext_shared,
            members=dict.fromkeys([*ids, *([team.bot.id] if with_bot else [])]),
        )
        team.channels[channel.id] = channel
        return channel

    # what people do

    def say(
        self,
        user: str,
        channel: str,
        text: str,
        thread_ts: str | None = None,
        files: Sequence[Upload] = (),
        broadcast: bool = False,
        client_msg_id: str | None = None,
    ) -> str:
        """Write a line as a person types it; returns its `ts`. More ways to write: `people.say`."""
        return self.people.say(
            user,
            channel,
            text,
            thread_ts=thread_ts,
            files=files,
            broadcast=broadcast,
            client_msg_id=client_msg_id,
        )

    def edit(self, channel: str, ts: str, text: str) -> None:
        self.people.edit(channel, ts, text)

    def delete(self, channel: str, ts: str) -> None:
        self.people.delete(channel, ts)

    def react(self, user: str, channel: str, ts: str, name: str) -> None:
        self.people.react(user, channel, ts, name)

    def join(self, user: str, channel: str) -> None:
        self.people.join(user, channel)

    def archive(self, channel: str) -> None:
        self.people.archive(channel)

    def unarchive(self, channel: str) -> None:
        self.people.unarchive(channel)

    def rename(self, channel: str, name: str) -> None:
        self.people.rename(channel, name)

    def kick_bot(self, channel: str) -> None:
        self.people.kick_bot(channel)

    def revoke_token(self, team: Team | None = None) -> None:
        self.people.revoke_token(team or self.team)

    def uninstall(self, team: Team | None = None) -> None:
        self.people.uninstall(team or self.team)

    # how people use the app

    async def slash_command(self, user: str, channel: str, command: str, text: str = "") -> Reply:
        return await self.interactivity.slash_command(user, channel, command, text)

    async def press(
        self, user: str, channel: str, ts: str, action_id: str, block_id: str | None = None
    ) -> Reply:
        return await self.interactivity.press(user, channel, ts, action_id, block_id)

    async def select(
        self, user: str, channel: str, ts: str, action_id: str, value: object, block_id: str | None = None
    ) -> Reply:
        return await self.interactivity.select(user, channel, ts, action_id, value, block_id)

    async def submit_view(self, user: str, values: Mapping[str, object] | None = None) -> Reply:
        return await self.interactivity.submit_view(user, values)

    async def message_shortcut(self, user: str, channel: str, ts: str, callback_id: str) -> Reply:
        return await self.interactivity.message_shortcut(user, channel, ts, callback_id)

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

    # what can be looked at

    def messages(self, channel: str) -> list[Message]:
        """Everything in the channel, thread replies included, oldest first."""
        return list(self.state.channel(channel).messages.values())

    def thread(self, channel: str, root_ts: str) -> list[Message]:
        """The root and its replies, oldest first."""
        return self.state.channel(channel).thread(root_ts)

    def roots(self, channel: str) -> list[Message]:
        """What the channel itself shows, oldest first."""
        return list(self.state.channel(channel).timeline())

    def message(self, channel: str, ts: str) -> Message:
        """KeyError if it is not there (any more)."""
        return self.state.message(channel, ts)

    def reactions(self, channel: str, ts: str) -> dict[str, list[str]]:
        """Names of the reactions on a message, each with who reacted."""
        return {name: list(users) for name, users in self.state.message(channel, ts).reactions.items()}

    def marks(self, channel: str, ts: str) -> list[str]:
        """Names of the reactions that the bot put on a message."""
        bot = self.state.team_of(channel).bot.id
        return [name for name, users in self.reactions(channel, ts).items() if bot in users]

    def mark(self, channel: str, ts: str) -> str | None:
        """The one reaction of the bot on a message, None if there is none; AssertionError if there are
        several."""
        found = self.marks(channel, ts)
        assert len(found) <= 1, f"the bot's reactions on {ts} are {found}"
        return found[0] if found else None

    def pings(self, channel: str, ts: str) -> set[str]:
        """Whom a message notifies: ids of people and groups, `here`, `channel`, `everyone`."""
        return pings(self.state.message(channel, ts))

    def links(self, channel: str, ts: str) -> set[str]:
        """Addresses that a message makes clickable, buttons aside."""
        return links(self.state.message(channel, ts))

    def watch(self, watcher: Callable[[], None]) -> Callable[[], None]:
        """Call `watcher` after every change of anything; returns what ends that."""
        self.state.watchers.append(watcher)
        return lambda: self.state.watchers.remove(watcher)

    async def until(self, condition: Callable[[], T], *, timeout_s: float = 10.0) -> T:
        """Wait until `condition` holds and return what it returned; looks again whenever something changed.

        TimeoutError after `timeout_s` real seconds.
        """
        changed = asyncio.Event()
        unwatch = self.watch(changed.set)
        try:
            async with asyncio.timeout(timeout_s):
                while not (held := condition()):
                    changed.clear()
                    await changed.wait()
                return held
        finally:
            unwatch()

    def ephemerals(self, user: str) -> list[Ephemeral]:
        """What only this person saw, oldest first."""
        return [seen for seen in self.state.ephemerals if seen.user == user]
