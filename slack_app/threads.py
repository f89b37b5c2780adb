"""Reads channels and threads back: which threads have news, and what people typed in one.

A message that is read is what its event said (slack-facts 3), without channel and installation: with those
added it goes through the same translation, so that both roads see the same author, text and names. An edit
shows as the text that stands there now; what was deleted is simply not there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from slack_sdk.web.async_slack_response import AsyncSlackResponse

from bridge.errors import Snooze
from bridge.events import LineTyped
from bridge.ids import ChannelId, MessageTs, TeamId, ts_order
from bridge.model import Clock, Mark
from bridge.ports import READS_LIMITED, ChannelThreads, Chat, ThreadLines, ThreadNews
from slack_app.clients import Call, Clients
from slack_app.ids import Bot
from slack_app.pages import PER_PAGE, RESTRICTED_PAGE, THREAD_GONE, messages_of, next_cursor, reading_of
from slack_app.reading import resolve
from slack_app.translate import needed_ids, translate

_MAX_PAGES = 5
_MARKS = frozenset(mark.value for mark in Mark)


async def list_threads(clients: Clients, team: TeamId, channel: ChannelId) -> ChannelThreads:
    """Return the threads of a channel: a thousand messages back, or one page where pages are short.

    Raises `Snooze("reads_limited")` where Slack refuses even the first page.
    """
    found: list[ThreadNews] = []
    cursor: str | None = None
    back_to: MessageTs | None = None
    reading = None
    for _ in range(_MAX_PAGES):
        try:
            page = await _history(clients, team, channel, cursor)
        except Snooze:
            if cursor is None:
                raise
            break  # what was read is of use all the same
        messages = messages_of(page)
        found += [news for message in messages if (news := _news(message)) is not None]
        cursor = next_cursor(page)
        reading = reading or reading_of(len(messages), has_more=cursor is not None)
        if cursor is None:
            return ChannelThreads(tuple(found), None, reading)
        back_to = min((_ts(message) for message in messages), key=ts_order, default=back_to)
        if len(messages) <= RESTRICTED_PAGE:
            break
    return ChannelThreads(tuple(found), back_to, reading)


async def read_thread(
    clients: Clients,
    chat: Chat,
    team: TeamId,
    channel: ChannelId,
    root: MessageTs,
    *,
    since: MessageTs,
    now: Clock,
) -> ThreadLines | None:
    """Return the lines of one page of a thread, oldest first; None if the thread is gone.

    Raises `Snooze("reads_limited")` where Slack refuses the read.
    """

    page = await _read(
        clients,
        lambda client: client.conversations_replies(channel=channel, ts=root, oldest=since, limit=PER_PAGE),
        team,
        channel,
        benign=THREAD_GONE,
    )
    if page is None:
        return None
    messages = messages_of(page)
    # The root comes with each page, whatever `oldest` says.
    answers = [m for m in messages if _ts(m) != root and ts_order(_ts(m)) > ts_order(since)]
    has_more = next_cursor(page) is not None
    bot = await clients.bot(team)
    is_external = await _is_external(clients, bot, channel)
    lines = []
    for message in answers:
        line = await _line(chat, message, bot, channel, is_external=is_external, now=now)
        if line is not None:
            lines.append(line)
    read_to = max((_ts(m) for m in answers), key=ts_order, default=None) if has_more else None
    present = frozenset(_ts(m) for m in answers)
    return ThreadLines(tuple(lines), present, read_to, reading_of(len(messages), has_more=has_more))


async def _line(
    chat: Chat,
    message: Mapping[str, Any],
    bot: Bot,
    channel: ChannelId,
    *,
    is_external: bool | None,
    now: Clock,
) -> LineTyped | None:
    """Return what a person typed; None for what the app, other apps and Slack itself wrote."""
    installed = {"team_id": bot.team, "user_id": bot.user, "is_bot": True, "enterprise_id": bot.enterprise}
    body = {
        "event": {**message, "type": "message", "channel": channel},
        "authorizations": [installed],
        "is_ext_shared_channel": is_external,
    }
    names = await resolve(chat, bot.team, needed_ids(body))
    line = translate(body, names, received_at=now())
    if not isinstance(line, LineTyped):
        return None
    return line.model_copy(update={"is_found": True, "mark": _mark(message, bot)})


def _mark(message: Mapping[str, Any], bot: Bot) -> str | None:
    """Return the mark that we have put on a message."""
    reactions = message.get("reactions")
    for reaction in reactions if isinstance(reactions, list) else []:
        if isinstance(reaction, Mapping) and reaction.get("name") in _MARKS:
            users = reaction.get("users")
            if isinstance(users, list) and bot.user in users:
                return str(reaction["name"])
    return None


async def _is_external(clients: Clients, bot: Bot, channel: ChannelId) -> bool | None:
    """Whether other organisations are in the channel; asked only where it matters, within an organisation."""
    if bot.enterprise is None:
        return None
    found = await clients.call(
        lambda client: client.conversations_info(channel=channel), team=bot.team, channel=channel
    )
    described = None if found is None else found.get("channel")
    shared = described.get("is_ext_shared") if isinstance(described, Mapping) else None
    return shared if isinstance(shared, bool) else None


async def _history(
    clients: Clients, team: TeamId, channel: ChannelId, cursor: str | None
) -> AsyncSlackResponse:
    page = await _read(
        clients,
        lambda client: client.conversations_history(channel=channel, cursor=cursor, limit=PER_PAGE),
        team,
        channel,
    )
    assert page is not None, "no code is benign here"
    return page


async def _read(
    clients: Clients,
    call: Call,
    team: TeamId,
    channel: ChannelId,
    *,
    benign: frozenset[str] = frozenset(),
) -> AsyncSlackResponse | None:
    try:
        return await clients.call(call, team=team, channel=channel, benign=benign)
    except Snooze as error:
        raise Snooze(READS_LIMITED, delay=error.delay, user_message=error.user_message) from error


def _news(message: Mapping[str, Any]) -> ThreadNews | None:
    """A message with replies tells of the newest."""
    latest = message.get("latest_reply")
    if not isinstance(latest, str) or not latest:
        return None
    return ThreadNews(_ts(message), MessageTs(latest))


def _ts(message: Mapping[str, Any]) -> MessageTs:
    return MessageTs(str(message.get("ts")))
