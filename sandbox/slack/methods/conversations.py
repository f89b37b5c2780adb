"""Channels and what is in them: `conversations.*`, `users.conversations`."""

from __future__ import annotations

from collections.abc import Iterable

from sandbox.slack.calls import ApiCall, ApiError
from sandbox.slack.methods.paging import is_first_page, page
from sandbox.slack.model import Channel, Json, Message


def info(call: ApiCall) -> Json:
    channel = call.channel()
    call.need_scope(f"{channel.scope_stem}:read")
    counted = call.args.flag("include_num_members")
    return {"channel": channel.as_json(seen_by=call.bot.id, num_members=counted)}


def list_channels(call: ApiCall) -> Json:
    return _listed(call, call.team.channels.values())


def of_user(call: ApiCall) -> Json:
    user = call.args.text("user") or call.bot.id
    return _listed(call, (c for c in call.team.channels.values() if user in c.members))


def members(call: ApiCall) -> Json:
    found, metadata = page(call, list(call.channel().members), default=100, most=1000)
    return {"members": found, "response_metadata": metadata}


def join(call: ApiCall) -> Json:
    channel = call.channel()
    if channel.is_private or channel.is_im:
        raise ApiError("method_not_supported_for_channel_type")
    if channel.is_archived:
        raise ApiError("is_archived")
    more: Json = {}
    if call.bot.id in channel.members:
        more = {"warning": "already_in_channel", "response_metadata": {"warnings": ["already_in_channel"]}}
    else:
        call.changes.join(call.team, channel, call.bot.id)
    return {"channel": channel.as_json(seen_by=call.bot.id)} | more


def open_direct(call: ApiCall) -> Json:
    users = [user for user in (call.args.text("users") or "").split(",") if user]
    if len(users) != 1:  # group messages are not modelled
        raise ApiError("users_list_not_supplied" if not users else "too_many_users")
    channel, is_new = direct(call, users[0])
    return {"channel": {"id": channel.id}} | ({} if is_new else {"no_op": True, "already_open": True})


def direct(call: ApiCall, user_id: str) -> tuple[Channel, bool]:
    """The direct message channel with the user, and whether it was made now."""
    user = call.team.users.get(user_id)
    if user is None:
        raise ApiError("user_not_found")
    if user.deleted or user.is_bot:
        raise ApiError("user_disabled" if user.deleted else "cannot_dm_bot")
    both = {call.bot.id: None, user_id: None}
    for channel in call.team.channels.values():
        if channel.is_im and channel.members.keys() == both.keys():
            return channel, False
    made = Channel(
        call.state.ids.new("D"), call.team.id, "", call.bot.id, call.state.now_s(), is_im=True, members=both
    )
    call.team.channels[made.id] = made
    return made, True


def history(call: ApiCall) -> Json:
    channel = _readable(call)
    default, most = _read_limits(call, 100, 999)
    listed = _in_range(call, (m for m in channel.timeline() if call.state.is_listed(m)))
    if not (
        call.state.switches.history_from_oldest and call.args.text("oldest") and not call.args.text("latest")
    ):
        listed.reverse()
        found, metadata = page(call, listed, default=default, most=most)
    else:
        found, metadata = page(call, listed, default=default, most=most)
        found.reverse()
    shown: Json = {"messages": [_shown(call, channel, message) for message in found]}
    return shown | _more(metadata) | {"pin_count": 0, "channel_actions_ts": None, "channel_actions_count": 0}


def replies(call: ApiCall) -> Json:
    channel = _readable(call)
    default, most = _read_limits(call, 1000, 1000)
    asked = channel.messages.get(call.args.need("ts", "thread_not_found"))
    if asked is None or not call.state.is_listed(asked):
        raise ApiError("thread_not_found")
    rest = [] if asked.is_reply else channel.thread(asked.ts)[1:]
    listed = _in_range(call, (m for m in rest if call.state.is_listed(m)))
    found, metadata = page(call, listed, default=default, most=most)
    if is_first_page(call) or call.state.switches.replies_repeat_the_root:
        found.insert(0, asked)
    return {"messages": [_shown(call, channel, message) for message in found]} | _more(metadata)


def _listed(call: ApiCall, channels: Iterable[Channel]) -> Json:
    types = (call.args.text("types") or "public_channel").split(",")
    kinds = {
        {"public_channel": "channel", "private_channel": "group", "im": "im"}.get(t.strip(), "")
        for t in types
    }
    for kind, stem in (("channel", "channels"), ("group", "groups"), ("im", "im")):
        if kind in kinds:
            call.need_scope(f"{stem}:read")
    no_archived = call.args.flag("exclude_archived")
    seen = [
        channel
        for channel in channels
        if channel.kind in kinds
        and not channel.is_deleted
        and not (channel.is_archived and no_archived)
        and (channel.kind == "channel" or call.bot.id in channel.members)
    ]
    found, metadata = page(call, seen, default=100, most=1000)
    shown = [channel.as_json(seen_by=call.bot.id, num_members=True) for channel in found]
    return {"channels": shown, "response_metadata": metadata}


def _readable(call: ApiCall) -> Channel:
    channel = call.channel()
    call.need_scope(f"{channel.scope_stem}:history")
    call.need_membership(channel)
    return channel


def _read_limits(call: ApiCall, default: int, most: int) -> tuple[int, int]:
    return (15, 15) if call.reads_are_restricted else (default, most)


def _in_range(call: ApiCall, messages: Iterable[Message]) -> list[Message]:
    """Messages between `oldest` and `latest`, both left out unless `inclusive`."""
    oldest, latest = _ts(call, "oldest", (0, 0)), _ts(call, "latest", (10**12, 0))
    if call.args.flag("inclusive"):
        return [m for m in messages if oldest <= ts_key(m.ts) <= latest]
    return [m for m in messages if oldest < ts_key(m.ts) < latest]


def _ts(call: ApiCall, name: str, default: tuple[int, int]) -> tuple[int, int]:
    value = call.args.text(name)
    if not value or value == "now":
        return default
    try:
        return ts_key(value)
    except ValueError:
        raise ApiError(f"invalid_ts_{name}") from None


def ts_key(ts: str) -> tuple[int, int]:
    """A `ts` as numbers that compare; never as a float, which cannot hold all its digits."""
    seconds, _, micros = ts.partition(".")
    return int(seconds), int(micros.ljust(6, "0")[:6] or 0)


def _shown(call: ApiCall, channel: Channel, message: Message) -> Json:
    wanted = call.args.flag("include_all_metadata") and call.state.switches.history_has_metadata
    return channel.shown(message, with_metadata=wanted)


def _more(metadata: Json) -> Json:
    has_more = bool(metadata["next_cursor"])
    return {"has_more": has_more} | ({"response_metadata": metadata} if has_more else {})
