"""The two ends: Slack and Jollor, and what is linked between them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from bridge.doctor.finding import Finding, fine, problem, skipped
from bridge.errors import BridgeError
from bridge.ids import ChannelId, ProjectId, TeamId
from bridge.model import Channel, Link, Project, Webhook
from bridge.ports import WebhookSecret
from bridge.webhooks import EVENT_TYPES, OPTIONAL_TYPES

SCOPES = {
    "channels:history": "replies in public channels are not seen",
    "channels:join": "the bot has to be invited to every channel",
    "channels:read": "public channels are not found by name",
    "chat:write": "nothing can be posted",
    "chat:write.customize": "customers' names stand in the message instead of above it",
    "commands": "/jollor does not work",
    "groups:history": "replies in private channels are not seen",
    "groups:read": "private channels are not found",
    "reactions:write": "lines get no marks",
    "users:read": "names are not shown, and guests are not told apart",
}
"""What the Slack app needs, and what happens without it."""


class Bot(Protocol):
    """Who we are in Slack."""

    @property
    def team(self) -> TeamId: ...
    @property
    def team_name(self) -> str: ...


class Slack(Protocol):
    """Who Slack takes us for."""

    async def bot(self) -> Bot: ...
    async def scopes(self) -> frozenset[str]: ...


class Channels(Protocol):
    """What Slack says of a channel."""

    async def channel(self, team: TeamId, channel: ChannelId) -> Channel: ...


class Jollor(Protocol):
    """What Jollor says of the account and of a project's webhook."""

    async def projects(self) -> Sequence[Project]: ...
    async def webhook(self, project: ProjectId) -> Webhook | None: ...


class Hooks(Protocol):
    """Our side of the webhooks."""

    def callback_url(self, project: ProjectId) -> str | None: ...
    async def secret(self, project: ProjectId, *, fresh: bool = False) -> WebhookSecret | None: ...


async def check_slack(slack: Slack, open_socket: Callable[[], Awaitable[object]] | None) -> list[Finding]:
    """The bot token is good, the app has its scopes, and Socket Mode (if used) can be opened."""
    try:
        bot = await slack.bot()
        granted = await slack.scopes()
    except BridgeError as error:
        return [
            problem("Slack token", error.user_message, "Check SLACK_BOT_TOKEN and that Slack is reachable.")
        ]
    found = [fine("Slack token", f"{bot.team_name or 'workspace'} ({bot.team})"), _scopes(granted)]
    if open_socket is not None:
        found.append(await _socket_mode(open_socket))
    return found


def _scopes(granted: frozenset[str]) -> Finding:
    if not granted:
        return skipped("Slack scopes", "Slack did not say which scopes the token has")
    missing = [scope for scope in SCOPES if scope not in granted]
    if not missing:
        return fine("Slack scopes", f"all {len(SCOPES)}")
    effects = "; ".join(f"{scope} ({SCOPES[scope]})" for scope in missing)
    return problem(
        "Slack scopes",
        f"missing: {effects}",
        "Add them under OAuth & Permissions, then install the app again.",
    )


async def _socket_mode(open_socket: Callable[[], Awaitable[object]]) -> Finding:
    try:
        await open_socket()
    except BridgeError as error:
        return problem(
            "Slack Socket Mode",
            error.user_message,
            "Check SLACK_APP_TOKEN (scope connections:write) and that Socket Mode is switched on.",
        )
    return fine("Slack Socket Mode", "a connection is given")


async def check_jollor(jollor: Jollor) -> tuple[Finding, frozenset[ProjectId] | None]:
    """Signing in works; also return which projects the account sees, None if that is not known."""
    try:
        known: Sequence[Project] = await jollor.projects()
    except BridgeError as error:
        advice = "Check JOLLOR_CLIENT_ID, JOLLOR_CLIENT_SECRET, JOLLOR_USERNAME and JOLLOR_PASSWORD."
        return problem("Jollor sign-in", error.user_message, advice), None
    if not known:
        return problem(
            "Jollor sign-in", "the account sees no project", "Add it to a project in Jollor."
        ), None
    count = f"{len(known)} project{'' if len(known) == 1 else 's'}"
    return fine("Jollor sign-in", f"the account sees {count}"), frozenset(project.id for project in known)


async def check_link(slack: Channels, link: Link, name: str, known: frozenset[ProjectId] | None) -> Finding:
    """The account sees the project, and the bot is in the channel."""
    what = f"link {name} to {link.channel}"
    if known is not None and link.project not in known:
        return problem(
            what, "the Jollor account does not see the project", "Add it there, or unlink the project."
        )
    try:
        channel = await slack.channel(link.team, link.channel)
    except BridgeError as error:
        return problem(what, error.user_message, "Link another channel, or invite the app there.")
    if channel.is_archived:
        return problem(what, f"#{channel.name} is archived", "Unarchive it, or link another channel.")
    if not channel.is_member:
        return problem(what, f"the app is not in #{channel.name}", "Invite it there: /invite @Jollor.")
    return fine(what, f"#{channel.name}, {link.kind}")


async def check_webhook(jollor: Jollor, hooks: Hooks, project: ProjectId, name: str) -> Finding:
    """The project's webhook is active, points here, has our secret and all event types."""
    what = f"webhook of {name}"
    try:
        ours = await hooks.secret(project, fresh=True)
        theirs = await jollor.webhook(project)
    except BridgeError as error:
        return problem(what, error.user_message, "Run doctor again; if it stays, link the project again.")
    says = _wrong_with(theirs, ours, hooks.callback_url(project))
    if says is not None:
        return problem(what, says, "Run jollor-slack link for this project again; --replace takes it over.")
    if theirs is None or theirs.status is None:
        return fine(what, "ours; Jollor does not tell whether it is active")
    return fine(what, "active and ours")


def _wrong_with(theirs: Webhook | None, ours: WebhookSecret | None, callback: str | None) -> str | None:
    if theirs is None:
        return "Jollor has none"
    if ours is None:
        return "its secret is not known here"
    if callback is not None and theirs.callback_url not in (None, callback):
        return f"it points to {theirs.callback_url}"
    if theirs.secret and theirs.secret != ours.secret:
        return "its secret is another one than the one stored here"
    if not theirs.is_active:
        return f"its status is {theirs.status}"
    if theirs.subscriptions is not None:
        missing = [
            kind for kind in EVENT_TYPES if kind not in theirs.subscriptions and kind not in OPTIONAL_TYPES
        ]
        if missing:
            return f"it is not called for {', '.join(missing)}"
    return None
