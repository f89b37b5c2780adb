"""Writing: `chat.postMessage`, `update`, `delete`, `postEphemeral`, `getPermalink`."""

from __future__ import annotations

import re
from typing import Any

from sandbox.slack import blocks as block_kit
from sandbox.slack.calls import ApiCall, ApiError
from sandbox.slack.methods.conversations import direct
from sandbox.slack.model import Channel, Ids, Json, Message
from sandbox.slack.state import Ephemeral, StrayReply

MAX_TEXT = 40_000
MAX_UPDATE_TEXT = 4_000
MAX_MARKDOWN_TEXT = 12_000
MAX_ATTACHMENTS = 100
MAX_METADATA = 16_000  # the documentation gives no size


def post_message(call: ApiCall) -> Json:
    channel = _writable(call)
    content = read_content(call, max_text=MAX_TEXT)
    message = Message(channel.next_ts(call.state.now_us()), channel.id, **content)
    message.is_auto_parsed = call.args.flag("link_names") or call.args.text("parse") == "full"
    message.is_plain = call.args.text("parse") == "none"
    _sign(call, message)
    _put_into_thread(call, channel, message)
    call.state.hide(message, call.hidden_s)
    call.changes.post(call.team, channel, message)
    unfurls = call.state.switches.unfurls and call.args.flag("unfurl_links", True)
    if unfurls and (link := re.search(r"<(https?://[^|>]+)", message.text)):
        call.changes.change(call.team, channel, message, attachments=[preview(link[1])])
    shown = message.as_json(with_metadata=True)
    return {"channel": channel.id, "ts": message.ts, "message": shown} | _truncated(call)


def update(call: ApiCall) -> Json:
    channel = call.channel()
    message = call.message(channel)
    if message.bot_id != call.install.bot_id:
        raise ApiError("cant_update_message")
    if channel.is_archived:
        raise ApiError("is_archived")
    content = read_content(call, max_text=MAX_UPDATE_TEXT, is_update=True)
    if not content["blocks"] and "text" not in call.args.values:
        content.pop("blocks"), content.pop("text")
    if "metadata" not in call.args.values:
        content.pop("metadata")
    if not content["attachments"] and "attachments" not in call.args.values:
        content.pop("attachments")
    edited_by = (
        None if content.get("blocks") else message.user or call.bot.id
    )  # with blocks no "(edited)" mark
    call.changes.change(call.team, channel, message, edited_by=edited_by, **content)
    shown = message.as_json(with_metadata=True)
    return {"channel": channel.id, "ts": message.ts, "text": message.text, "message": shown}


def delete(call: ApiCall) -> Json:
    channel = call.channel()
    message = call.message(channel)
    if message.bot_id != call.install.bot_id:
        raise ApiError("cant_delete_message")
    call.changes.delete(call.team, channel, message)
    return {"channel": channel.id, "ts": message.ts}


def post_ephemeral(call: ApiCall) -> Json:
    channel = _writable(call)
    user = call.args.need("user", "user_not_found")
    if user not in call.team.users:
        raise ApiError("user_not_found")
    if user not in channel.members:
        raise ApiError("user_not_in_channel")
    content = read_content(call, max_text=MAX_TEXT)
    ts = channel.next_ts(call.state.now_us())
    seen = Ephemeral(
        ts,
        user,
        channel.id,
        content["text"],
        content["blocks"],
        "chat.postEphemeral",
        call.args.text("thread_ts"),
    )
    call.state.show(seen)
    return {"message_ts": ts}


def get_permalink(call: ApiCall) -> Json:
    channel = call.channel()
    message = call.message(channel, "message_ts")
    link = f"https://{call.team.domain}.slack.com/archives/{channel.id}/p{message.ts.replace('.', '')}"
    if message.is_reply:
        link += f"?thread_ts={message.thread_ts}&cid={channel.id}"
    return {"channel": channel.id, "permalink": link}


def read_content(call: ApiCall, *, max_text: int, is_update: bool = False) -> dict[str, Any]:
    """The text, blocks, attachments and metadata of a message, checked against the documented limits."""
    text, markdown = call.args.text("text") or "", call.args.text("markdown_text")
    blocks = checked_blocks(call.args.json("blocks", "invalid_blocks_format"), call.state.ids)
    if markdown is not None:
        if text or blocks:
            raise ApiError("markdown_text_conflict")
        if len(markdown) > MAX_MARKDOWN_TEXT:
            raise ApiError("msg_too_long")
        text, blocks = markdown, [{"type": "markdown", "block_id": call.state.ids.hex(4), "text": markdown}]
    attachments = call.args.json("attachments", "invalid_attachments") or []
    if not isinstance(attachments, list):
        raise ApiError("invalid_attachments")
    if len(attachments) > MAX_ATTACHMENTS:
        raise ApiError("too_many_attachments")
    if not text.strip() and not blocks and not attachments:
        raise ApiError("no_text")
    if is_update and len(text) > max_text:
        raise ApiError("msg_too_long")
    return {
        "text": text[:max_text],
        "blocks": blocks,
        "attachments": attachments,
        "metadata": _metadata(call),
    }


def preview(url: str) -> Json:
    """The attachment that Slack adds to a message for a link that it fetched."""
    return {"from_url": url, "original_url": url, "title": "A page", "fallback": "A page", "id": 1}


def checked_blocks(given: object, ids: Ids) -> list[Json]:
    """The blocks with ids filled in; ApiError, as Slack answers it, if something is wrong with them."""
    if given is None:
        return []
    if not isinstance(given, list):
        raise ApiError("invalid_blocks_format")
    checked = block_kit.check(given, new_id=lambda: ids.hex(5))
    if checked.problems:
        found = checked.problems
        raise ApiError("invalid_blocks", errors=found, response_metadata={"messages": found})
    if checked.characters > block_kit.MAX_TOTAL_CHARACTERS:
        raise ApiError("msg_blocks_too_long")
    return checked.blocks


def _metadata(call: ApiCall) -> Json | None:
    given = call.args.json("metadata", "invalid_metadata_format")
    if not given:
        return None
    if not isinstance(given, dict):
        raise ApiError("invalid_metadata_format")
    payload = given.get("event_payload")
    if not isinstance(given.get("event_type"), str) or not isinstance(payload, dict):
        raise ApiError("invalid_metadata_schema")
    if any(isinstance(value, list) or value is None for value in payload.values()):
        raise ApiError("invalid_metadata_schema")
    if len(str(given)) > MAX_METADATA:
        raise ApiError("metadata_too_large")
    return {"event_type": given["event_type"], "event_payload": payload}


def _writable(call: ApiCall) -> Channel:
    named = call.args.need("channel", "channel_not_found")
    channel = direct(call, named)[0] if named in call.team.users else call.channel(by_name=True)
    if channel.is_archived:
        raise ApiError("is_archived")
    if "chat:write.public" not in call.install.scopes:
        call.need_membership(channel)
    return channel


def _sign(call: ApiCall, message: Message) -> None:
    """Give the message its author: the app's bot, or the customised name of `chat:write.customize`."""
    message.bot_id, message.team = call.install.bot_id, call.team.id
    asked = [name for name in ("username", "icon_emoji", "icon_url") if call.args.text(name)]
    if asked and "chat:write.customize" not in call.install.scopes:
        if call.state.switches.missing_customize_scope == "error":
            call.need_scope("chat:write.customize")
        asked = []
    if not asked:
        message.user, message.app_id = call.bot.id, call.state.app.id
        profile = {"id": call.install.bot_id, "app_id": call.state.app.id, "user_id": call.bot.id}
        more = {
            "name": call.state.app.name,
            "icons": {},
            "deleted": False,
            "updated": 0,
            "team_id": call.team.id,
        }
        message.bot_profile = profile | more
        return
    message.subtype, message.team = "bot_message", None
    message.username = call.args.text("username") or call.state.app.name
    message.app_id = call.state.app.id if call.state.switches.customised_posts_have_app_id else None
    if emoji := call.args.text("icon_emoji"):
        message.icons = {"emoji": emoji}
    elif url := call.args.text("icon_url"):
        message.icons = {"image_48": url}


def _put_into_thread(call: ApiCall, channel: Channel, message: Message) -> None:
    """Make the message a reply if `thread_ts` names a root; what else happens is undocumented, so a
    switch."""
    wanted = call.args.text("thread_ts")
    if not wanted:
        return
    root = channel.messages.get(wanted)
    if root is None:
        _stray(call.state.switches.reply_to_deleted_root)
    elif root.is_tombstone:
        message.thread_ts = root.ts if _stray(call.state.switches.reply_to_tombstone) else None
    elif root.is_reply:
        message.thread_ts = root.thread_ts if _stray(call.state.switches.reply_to_reply) else None
    else:
        message.thread_ts = root.ts
    if message.thread_ts and call.args.flag("reply_broadcast"):
        message.is_broadcast, message.subtype = True, "thread_broadcast"


def _stray(rule: StrayReply) -> bool:
    """Whether the reply joins a thread after all; raises where Slack refuses."""
    if rule in ("stray", "works"):
        return rule == "works"
    raise ApiError(rule)


def _truncated(call: ApiCall) -> Json:
    if len(call.args.text("text") or "") <= MAX_TEXT:
        return {}
    return {"warning": "message_truncated", "response_metadata": {"warnings": ["message_truncated"]}}
