"""The whole simulated Slack as data: the app, its workspaces, and the switches for what nobody documented."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from sandbox.clock import SandboxClock
from sandbox.ledger import Ledger
from sandbox.slack.model import Channel, Ids, Install, Json, Message, Team, User
from sandbox.slack.surfaces import Surfaces

ALL_SCOPES = frozenset(
    {
        "app_mentions:read",
        "channels:history",
        "channels:join",
        "channels:read",
        "chat:write",
        "chat:write.customize",
        "commands",
        "files:read",
        "groups:history",
        "groups:read",
        "im:history",
        "im:read",
        "im:write",
        "reactions:read",
        "reactions:write",
        "users:read",
    }
)
ALL_EVENTS = frozenset(
    {
        "app_home_opened",
        "app_mention",
        "app_uninstalled",
        "channel_archive",
        "channel_deleted",
        "channel_left",
        "channel_rename",
        "channel_unarchive",
        "group_archive",
        "group_deleted",
        "group_left",
        "group_rename",
        "group_unarchive",
        "member_joined_channel",
        "member_left_channel",
        "message.channels",
        "message.groups",
        "message.im",
        "reaction_added",
        "reaction_removed",
        "tokens_revoked",
        "user_change",
    }
)

StrayReply = Literal["stray", "works", "cannot_reply_to_message", "thread_not_found"]


@dataclass
class Switches:
    """What Slack's documentation leaves open, or what differs between installs. Change them at any time."""

    reply_to_deleted_root: StrayReply = "stray"
    """`thread_ts` of a message that is gone: posted into the channel itself, or refused ("works" means
    stray)."""
    reply_to_tombstone: StrayReply = "stray"
    """`thread_ts` of a deleted message whose replies are still there."""
    reply_to_reply: StrayReply = "stray"
    """`thread_ts` of a message that is a reply itself; "works" joins the reply's thread."""
    deleted_root: Literal["tombstone", "gone"] = "tombstone"
    """What is left of a deleted message that has replies; "gone" makes it an ordinary deletion."""
    missing_customize_scope: Literal["drop", "error"] = "drop"
    """`username` without `chat:write.customize`: posted under the app's own name, or `missing_scope`."""
    customised_posts_have_app_id: bool = True
    replies_repeat_the_root: bool = True
    """Every page of `conversations.replies` starts with the root, not only the first one."""
    history_from_oldest: bool = False
    """With `oldest` alone, `conversations.history` pages from the oldest message instead of the newest."""
    short_pages: int | None = None
    """Pages hold at most this many items although more were asked for."""
    history_has_metadata: bool = True
    """False: nothing can be looked up by metadata, as if `include_all_metadata` did not exist."""
    unfurls: bool = False
    """A message with a link is changed by its preview shortly after, unless unfurling was switched off."""
    should_escape_commands: bool = True
    """Slash command texts name people and channels by id (`<#C…|name>`), not by name."""
    socket_mode: bool = False
    """True stops delivery over HTTP."""
    socket_lifetime_s: float = 3600.0
    """Seconds of the sandbox after which a socket is asked to reconnect."""
    delayed_events: bool = False
    """After the three retries, hourly for a day."""
    ack_limit_s: float = 3.0
    """Real seconds, not divided by the scale: machines do not get faster in a test."""
    trigger_lifetime_s: float = 3.0
    """Real seconds, for the same reason."""
    events_per_hour: int = 30_000
    auto_disable: bool = False
    """Switch event delivery off when more than 95 % of at least 1,000 attempts in an hour failed."""


@dataclass
class App:
    """What is the app's in every workspace."""

    id: str = "A0JOLLOR01"
    name: str = "Jollor"
    client_id: str = "1111111111.2222222222"
    client_secret: str = "simulated-client-secret"
    signing_secret: str = "simulated-signing-secret"
    verification_token: str = "simulated-verification"
    app_token: str = "xapp-1-A0JOLLOR01-1-simulated"
    url: str | None = None
    """Where events, interactivity and slash commands go: the app's `…/slack/events`."""
    subscriptions: frozenset[str] = ALL_EVENTS
    commands: frozenset[str] = frozenset({"/jollor"})
    message_shortcuts: tuple[tuple[str, str], ...] = (("hold_back", "Hold back"),)
    """Our entries in the menu of every message: `callback_id` and name."""


@dataclass(frozen=True)
class Ephemeral:
    """A message that only `user` saw. `via` is what brought it."""

    ts: str
    user: str
    channel: str
    text: str
    blocks: list[Json]
    via: Literal["chat.postEphemeral", "command", "response_url", "slack"]
    thread_ts: str | None = None


@dataclass
class State:
    """Everything there is. Knows where things are; changes go through `changes`."""

    clock: SandboxClock
    ledger: Ledger
    switches: Switches = field(default_factory=Switches)
    app: App = field(default_factory=App)
    ids: Ids = field(default_factory=Ids)
    teams: dict[str, Team] = field(default_factory=dict)
    ephemerals: list[Ephemeral] = field(default_factory=list)
    message_values: dict[tuple[str, str], dict[str, dict[str, Json]]] = field(default_factory=dict)
    """(channel, ts) -> what people chose in the message's menus, by block and action."""
    files: dict[str, Json] = field(default_factory=dict)
    """What `files.info` tells, also of files that an event only hints at."""
    hidden_until: dict[tuple[str, str], float] = field(default_factory=dict)
    """(channel, ts) -> moment (monotonic) from which the message appears in lists."""

    def __post_init__(self) -> None:
        self.surfaces = Surfaces(self.clock, self.ids)
        self.watchers: list[Callable[[], None]] = []

    def show(self, seen: Ephemeral) -> None:
        """Let one person see something."""
        self.ephemerals.append(seen)
        self.has_changed()

    def has_changed(self) -> None:
        """Tell those who wait for something to happen."""
        for watcher in list(self.watchers):
            watcher()

    def now_us(self) -> int:
        return int(self.clock.now().timestamp() * 1_000_000)

    def now_s(self) -> int:
        return int(self.clock.now().timestamp())

    def add_team(self, name: str, *, scopes: frozenset[str] = ALL_SCOPES, team_id: str | None = None) -> Team:
        """A workspace with the app installed and a `general` channel; its first member is the app's bot."""
        team_id = team_id or self.ids.new("T")
        bot = User(
            self.ids.new("U"), team_id, name=self.app.name.lower(), real_name=self.app.name, is_bot=True
        )
        install = Install(
            token=f"xoxb-{self.ids.hex(12)}-{self.ids.hex(12)}-{self.ids.hex(24)}",
            bot_user=bot.id,
            bot_id=self.ids.new("B"),
            scopes=scopes,
        )
        team = Team(team_id, name, name.lower().replace(" ", "-"), install, users={bot.id: bot})
        self.teams[team_id] = team
        return team

    def team_by_token(self, token: str) -> Team | None:
        return next((team for team in self.teams.values() if team.install.token == token), None)

    def team_of(self, channel_id: str) -> Team:
        """The workspace that has the channel; KeyError if none has it."""
        for team in self.teams.values():
            if channel_id in team.channels:
                return team
        raise KeyError(f"no workspace has a channel {channel_id}")

    def channel(self, channel_id: str) -> Channel:
        return self.team_of(channel_id).channels[channel_id]

    def message(self, channel_id: str, ts: str) -> Message:
        """The message; KeyError if it is not there (any more)."""
        found = self.channel(channel_id).messages.get(ts)
        if found is None:
            raise KeyError(f"no message {ts} in {channel_id}")
        return found

    def user(self, user_id: str) -> User:
        for team in self.teams.values():
            if user_id in team.users:
                return team.users[user_id]
        raise KeyError(f"no workspace knows a user {user_id}")

    def hide(self, message: Message, seconds: float) -> None:
        """Keep the message out of lists for that many real seconds."""
        if seconds > 0:
            self.hidden_until[(message.channel, message.ts)] = time.monotonic() + seconds

    def is_listed(self, message: Message) -> bool:
        return time.monotonic() >= self.hidden_until.get((message.channel, message.ts), 0.0)
