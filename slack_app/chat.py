"""The `Chat` port on Slack's Web API: each method is one or a few calls, each call is made once.

What to post is drawn by `slack_app.render`; what a failure means is decided by `slack_app.errors`. Pacing,
repeating and remembering are left to the senders of the bridge.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from slack_sdk.web.async_slack_response import AsyncSlackResponse

from bridge.content import Content
from bridge.errors import BridgeError, PermanentError, RootGone, TargetDown, UnconfirmedError
from bridge.ids import ChannelId, MessageTs, TeamId, UserId
from bridge.model import Channel, Clock, Mark, Person
from bridge.ports import ChannelThreads, Outgoing, Posted, ThreadLines
from slack_app import lookup, threads
from slack_app.answers import answer
from slack_app.blocks import RenderedMessage
from slack_app.cache import Cache
from slack_app.channels import JOIN_SENTENCES, find_channel, to_channel
from slack_app.clients import Clients
from slack_app.ids import METADATA_TYPE
from slack_app.people import stranger, to_person
from slack_app.render import render

log = logging.getLogger(__name__)

_PEOPLE_FOR = timedelta(minutes=5)
_CHANNELS_FOR = timedelta(minutes=1)
_NAMELESS_FOR = timedelta(minutes=10)
_ROOT_GONE = frozenset(
    {
        "thread_not_found",
        "cannot_reply_to_message",
        "message_not_found",
        "restricted_action_thread_locked",
        "thread_locked",
    }
)
_NOT_DRAWN = frozenset({"invalid_blocks", "invalid_blocks_format", "msg_blocks_too_long"})
_CUSTOM_NAMES = "chat:write.customize"


class SlackChat:
    """Slack, as the bridge needs it. Nothing here is kept over a restart."""

    def __init__(self, clients: Clients, *, now: Clock) -> None:
        self._clients = clients
        self._now = now
        self._people: Cache[tuple[TeamId, UserId], Person] = Cache(
            lifetime=_PEOPLE_FOR, capacity=5_000, now=now
        )
        self._channels: Cache[tuple[TeamId, ChannelId], Channel] = Cache(
            lifetime=_CHANNELS_FOR, capacity=1_000, now=now
        )
        self._nameless: Cache[TeamId, bool] = Cache(lifetime=_NAMELESS_FOR, capacity=1_000, now=now)

    # --- our messages --------------------------------------------------------------------------------

    async def post(self, outgoing: Outgoing) -> Posted:
        """Post once. What Slack refuses to draw is posted in a plainer form rather than not at all.

        Raises `RootGone` where Slack refuses the thread; where it posts outside of it, the answer says so.
        """
        rendered = await self._render(outgoing)
        while True:
            try:
                return await self._post(outgoing, rendered)
            except (PermanentError, TargetDown) as error:
                if outgoing.thread_ts is not None and error.code in _ROOT_GONE:
                    raise RootGone(error.code) from error
                # Refused, so nothing was posted: another call is no repetition.
                plainer = await self._plainer(outgoing, rendered, error)
                if plainer is None:
                    raise
                rendered = plainer

    async def update(self, team: TeamId, channel: ChannelId, ts: MessageTs, outgoing: Outgoing) -> None:
        """Redraw our own message in place; it keeps its metadata and its name."""
        rendered = await self._render(outgoing)
        try:
            await self._update(team, channel, ts, rendered)
        except PermanentError as error:
            if error.code not in _NOT_DRAWN:
                raise
            log.error("slack.blocks_refused", extra={"code": error.code, "kind": outgoing.kind})
            await self._update(team, channel, ts, replace(rendered, blocks=()))

    async def delete(self, team: TeamId, channel: ChannelId, ts: MessageTs) -> None:
        """Delete our own message; one that is gone already is fine."""
        await self._clients.call(
            lambda client: client.chat_delete(channel=channel, ts=ts),
            team=team,
            channel=channel,
            benign=frozenset({"message_not_found"}),
        )

    async def find(self, outgoing: Outgoing, *, since: datetime) -> Posted | None:
        """Return where `outgoing` landed, None if it did not. Raises `CannotTell`."""
        return await lookup.find(self._clients, outgoing, since=since)

    # --- what people typed ---------------------------------------------------------------------------

    async def threads(self, team: TeamId, channel: ChannelId) -> ChannelThreads:
        """Return the threads of a channel, as far back as is cheap. `Snooze("reads_limited")`: not now."""
        return await threads.list_threads(self._clients, team, channel)

    async def lines(
        self, team: TeamId, channel: ChannelId, root: MessageTs, *, since: MessageTs
    ) -> ThreadLines | None:
        """Return what people typed in a thread after `since`, as it stands now; None: the thread is gone."""
        return await threads.read_thread(self._clients, self, team, channel, root, since=since, now=self._now)

    # --- marks ---------------------------------------------------------------------------------------

    async def add_mark(self, team: TeamId, channel: ChannelId, ts: MessageTs, mark: Mark) -> None:
        """React; having reacted already is fine."""
        await self._clients.call(
            lambda client: client.reactions_add(channel=channel, timestamp=ts, name=mark.value),
            team=team,
            channel=channel,
            benign=frozenset({"already_reacted"}),
        )

    async def remove_mark(self, team: TeamId, channel: ChannelId, ts: MessageTs, mark: Mark) -> None:
        """Take a reaction back; not having reacted, or the line being gone, is fine."""
        await self._clients.call(
            lambda client: client.reactions_remove(channel=channel, timestamp=ts, name=mark.value),
            team=team,
            channel=channel,
            benign=frozenset({"no_reaction", "message_not_found"}),
        )

    # --- answers to one person -----------------------------------------------------------------------

    async def whisper(
        self,
        team: TeamId,
        channel: ChannelId,
        user: UserId,
        content: Content,
        *,
        thread_ts: MessageTs | None = None,
    ) -> None:
        """Show `content` to one person only, if Slack finds them there."""
        rendered = render(content, now=self._now(), has_own_name=False)
        await self._clients.call(
            lambda client: client.chat_postEphemeral(
                channel=channel,
                user=user,
                text=rendered.text,
                blocks=list(rendered.blocks),
                thread_ts=thread_ts,
                parse="none",
            ),
            team=team,
            channel=channel,
            is_repeatable=False,
        )

    async def answer(self, response_url: str, content: Content, *, replace: bool = False) -> None:
        """Answer a command or press through its `response_url` (5 times in 30 minutes)."""
        rendered = render(content, now=self._now(), has_own_name=False)
        await answer(self._clients, response_url, rendered, replace=replace)

    # --- people and channels -------------------------------------------------------------------------

    async def person(self, team: TeamId, user: UserId) -> Person:
        """Return who that is. One whom Slack does not show us counts as an outsider."""
        known = self._people.get((team, user))
        if known is not None:
            return known
        found = await self._clients.call(
            lambda client: client.users_info(user=user),
            team=team,
            benign=frozenset({"user_not_found", "user_not_visible", "users_not_found"}),
        )
        described = _member(found, "user")
        return self._people.put((team, user), to_person(described, team) if described else stranger(user))

    async def channel(self, team: TeamId, channel: ChannelId) -> Channel:
        """Return what that is, at most a minute old."""
        known = self._channels.get((team, channel))
        if known is not None:
            return known
        found = await self._clients.call(
            lambda client: client.conversations_info(channel=channel), team=team, channel=channel
        )
        return self._channels.put((team, channel), to_channel(_member(found, "channel"), channel))

    async def join(self, team: TeamId, channel: ChannelId) -> None:
        """Join a public channel. `PermanentError` with a sentence where a human must invite the bot."""
        self._channels.forget((team, channel))
        try:
            await self._clients.call(
                lambda client: client.conversations_join(channel=channel), team=team, channel=channel
            )
        except (PermanentError, TargetDown) as error:
            sentence = JOIN_SENTENCES.get(error.code)
            if sentence is None:
                raise
            raise PermanentError(error.code, user_message=sentence) from error

    async def find_channel(self, team: TeamId, name: str) -> Channel | None:
        """Return the channel of that name (without "#") among those that the bot can see."""
        return await find_channel(self._clients, team, name)

    async def permalink(self, team: TeamId, channel: ChannelId, ts: MessageTs) -> str | None:
        """Return the address of a message, None if there is none."""
        found = await self._clients.call(
            lambda client: client.chat_getPermalink(channel=channel, message_ts=ts),
            team=team,
            channel=channel,
            benign=frozenset({"message_not_found", "channel_not_found"}),
        )
        link = None if found is None else found.get("permalink")
        return link if isinstance(link, str) else None

    # --- how posts go out ----------------------------------------------------------------------------

    async def _render(self, outgoing: Outgoing) -> RenderedMessage:
        return render(
            outgoing.content,
            now=self._now(),
            is_possible_repeat=outgoing.possible_repeat,
            has_own_name=await self._may_name_authors(outgoing.team),
        )

    async def _may_name_authors(self, team: TeamId) -> bool:
        """Without the scope Slack refuses a post under another name, or drops the name without a word."""
        if self._nameless.get(team) is not None:
            return False
        scopes = await self._clients.scopes(team)
        return not scopes or _CUSTOM_NAMES in scopes

    async def _plainer(
        self, outgoing: Outgoing, rendered: RenderedMessage, error: PermanentError | TargetDown
    ) -> RenderedMessage | None:
        """Return a form without what Slack refused, None if there is none. Each step takes something away."""
        if error.code == "missing_scope" and rendered.username is not None and _lacks_names(error):
            self._nameless.put(outgoing.team, True)
            return await self._render(outgoing)
        if error.code in _NOT_DRAWN and rendered.blocks:
            log.error("slack.blocks_refused", extra={"code": error.code, "kind": outgoing.kind})
            return replace(rendered, blocks=())
        return None

    async def _update(
        self, team: TeamId, channel: ChannelId, ts: MessageTs, rendered: RenderedMessage
    ) -> None:
        await self._clients.call(
            lambda client: client.chat_update(
                channel=channel, ts=ts, text=rendered.text, blocks=list(rendered.blocks), parse="none"
            ),
            team=team,
            channel=channel,
        )

    async def _post(self, outgoing: Outgoing, rendered: RenderedMessage) -> Posted:
        answer = await self._clients.call(
            lambda client: client.chat_postMessage(
                channel=outgoing.channel,
                text=rendered.text,
                blocks=list(rendered.blocks) or None,
                thread_ts=outgoing.thread_ts,
                reply_broadcast=True if outgoing.also_to_channel and outgoing.thread_ts else None,
                username=rendered.username,
                icon_emoji=rendered.icon_emoji,
                metadata=metadata_of(outgoing),
                parse="none",
                unfurl_links=False,
                unfurl_media=False,
            ),
            team=outgoing.team,
            channel=outgoing.channel,
            is_repeatable=False,
        )
        ts = None if answer is None else _str(answer.get("ts"))
        if ts is None:
            raise UnconfirmedError("answer_without_ts", user_message="Slack did not say where that is.")
        thread = _str(_member(answer, "message").get("thread_ts"))
        return Posted(MessageTs(ts), None if thread is None or thread == ts else MessageTs(thread))


def metadata_of(outgoing: Outgoing) -> dict[str, Any]:
    """Return what names the delivery on the message: nothing personal, nothing secret (CONTRACT)."""
    return {"event_type": METADATA_TYPE, "event_payload": {"kind": outgoing.kind, "id": outgoing.id}}


def _lacks_names(error: BridgeError) -> bool:
    return _CUSTOM_NAMES in (error.user_message or "")


def _member(answer: AsyncSlackResponse | None, name: str) -> Mapping[str, Any]:
    value = None if answer is None else answer.get(name)
    return value if isinstance(value, Mapping) else {}


def _str(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
