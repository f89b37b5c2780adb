"""What can happen in a workspace, whoever causes it: state, ledger and events change together here.

People (`people`) and apps (`methods`) decide whether something is allowed; these functions make it so.
"""

from __future__ import annotations

from dataclasses import dataclass

from sandbox.ledger import ChannelAction
from sandbox.slack.events import Events
from sandbox.slack.model import SLACKBOT, Channel, Json, Message, Team, User
from sandbox.slack.state import State
from sandbox.slack.typed import plain

MESSAGE_EVENTS = {"channel": "message.channels", "group": "message.groups", "im": "message.im"}


@dataclass
class Changes:
    """Makes things happen, writes them down, tells the app."""

    state: State
    events: Events

    def post(self, team: Team, channel: Channel, message: Message) -> Message:
        """Add a message to the channel; a reply's root must be there."""
        root = channel.messages.get(message.thread_ts or "")
        if message.is_reply and root is not None:
            message.parent_user_id = root.user
        channel.add(message)
        self._write_down(team, message, ChannelAction.POSTED)
        self._tell_message(
            team, channel, channel.shown(message, with_metadata=True) | {"event_ts": message.ts}
        )
        self._tell_mention(team, channel, message)
        return message

    def change(
        self, team: Team, channel: Channel, message: Message, *, edited_by: str | None = None, **new: object
    ) -> None:
        """Change members of a message; only `edited_by` somebody leaves the mark of an edit."""
        previous = channel.shown(message, with_metadata=True)
        for name, value in new.items():
            setattr(message, name, value)
        ts = channel.next_ts(self.state.now_us())
        if edited_by is not None:
            message.edited = {"user": edited_by, "ts": ts}
        if {"text", "blocks"} & new.keys():
            self._write_down(team, message, ChannelAction.UPDATED)
        self._tell_changed(team, channel, ts, channel.shown(message, with_metadata=True), previous)

    def delete(self, team: Team, channel: Channel, message: Message) -> None:
        """Delete a message; one with replies leaves a tombstone if the switch says so."""
        self._write_down(team, message, ChannelAction.DELETED)
        previous = channel.shown(message)
        ts = channel.next_ts(self.state.now_us())
        if channel.replies.get(message.ts) and self.state.switches.deleted_root == "tombstone":
            self._bury(message)
            self._tell_changed(team, channel, ts, channel.shown(message), previous)
            return
        if channel.replies.get(message.ts):  # gone for good, its replies hang in the air
            del channel.messages[message.ts]
        else:
            channel.remove(message)
        gone: Json = {
            "type": "message",
            "subtype": "message_deleted",
            "previous_message": previous,
            "hidden": True,
            "deleted_ts": message.ts,
            "ts": ts,
            "event_ts": ts,
        }
        self._tell_message(team, channel, gone)

    def react(
        self, team: Team, channel: Channel, message: Message, user: str, name: str, *, added: bool
    ) -> None:
        """Add or take back a reaction that is known to be possible."""
        users = message.reactions.setdefault(name, [])
        if added:
            users.append(user)
        else:
            users.remove(user)
        if not users:
            del message.reactions[name]
        kind = "reaction_added" if added else "reaction_removed"
        told: Json = {
            "type": kind,
            "user": user,
            "reaction": name,
            "item": {"type": "message", "channel": channel.id, "ts": message.ts},
            "event_ts": channel.next_ts(self.state.now_us()),
        }
        if message.user:
            told["item_user"] = message.user
        self.events.tell(team, kind, told, channel)

    def join(self, team: Team, channel: Channel, user: str, *, inviter: str | None = None) -> None:
        channel.members[user] = None
        shown = f"<@{user}> has joined the channel"
        self._note(
            team, channel, user, f"{'group' if channel.is_private else 'channel'}_join", shown, inviter
        )
        self._tell_membership(team, channel, user, "member_joined_channel", inviter)

    def leave(self, team: Team, channel: Channel, user: str) -> None:
        self._note(
            team,
            channel,
            user,
            f"{'group' if channel.is_private else 'channel'}_leave",
            f"<@{user}> has left the channel",
        )
        self._tell_membership(team, channel, user, "member_left_channel", None)
        channel.members.pop(user, None)
        if user == team.bot.id:
            ts = channel.next_ts(self.state.now_us())
            told: Json = {"type": f"{_stem(channel)}_left", "channel": channel.id, "event_ts": ts}
            self.events.tell(team, told["type"], told)

    def archive(self, team: Team, channel: Channel, by: str, *, archived: bool) -> None:
        verb = "archive" if archived else "unarchive"
        channel.is_archived = archived
        self._note(team, channel, by, f"{_stem(channel)}_{verb}", f"<@{by}> {verb}d the channel")
        told: Json = {"type": f"{_stem(channel)}_{verb}", "channel": channel.id, "user": by, "is_moved": 0}
        self._tell_channel(team, channel, told)

    def rename(self, team: Team, channel: Channel, by: str, name: str) -> None:
        old, channel.name = channel.name, name
        channel.previous_names.insert(0, old)
        self._note(
            team,
            channel,
            by,
            f"{_stem(channel)}_name",
            f'<@{by}> has renamed the channel from "{old}" to "{name}"',
        )
        described = {"id": channel.id, "name": name, "name_normalized": name, "created": channel.created}
        self._tell_channel(
            team, channel, {"type": f"{_stem(channel)}_rename", "channel": described | {"is_channel": True}}
        )

    def delete_channel(self, team: Team, channel: Channel, by: str) -> None:
        channel.is_deleted = True
        self._tell_channel(
            team, channel, {"type": f"{_stem(channel)}_deleted", "channel": channel.id, "actor_id": by}
        )

    def change_user(self, team: Team, user: User) -> None:
        user.updated = self.state.now_s()
        told: Json = {"type": "user_change", "user": user.as_json(), "cache_ts": user.updated}
        self.events.tell(team, "user_change", told | {"event_ts": self._event_ts()})

    def end_install(self, team: Team, *, uninstalled: bool) -> None:
        """Revoke the bot's token; with `uninstalled` the app leaves the workspace altogether."""
        team.install.revoked_because = "account_inactive" if uninstalled else "token_revoked"
        bots = {"oauth": [], "bot": [team.install.bot_user]}
        self.events.tell(
            team, "tokens_revoked", {"type": "tokens_revoked", "tokens": bots, "event_ts": self._event_ts()}
        )
        if uninstalled:
            self.events.tell(
                team, "app_uninstalled", {"type": "app_uninstalled", "event_ts": self._event_ts()}
            )

    def open_home(self, team: Team, user: str) -> None:
        """Let the app know that somebody looks at its Home tab."""
        told: Json = {"type": "app_home_opened", "user": user, "tab": "home", "event_ts": self._event_ts()}
        home = self.state.surfaces.homes.get(user)
        if home is not None:
            told["view"] = home.as_json(self.state.app.id, team.install.bot_id)
        self.events.tell(team, "app_home_opened", told)

    # what is told

    def _tell_message(self, team: Team, channel: Channel, shown: Json) -> None:
        told = shown | {"channel": channel.id, "channel_type": channel.kind}
        self.events.tell(team, MESSAGE_EVENTS[channel.kind], told, channel)

    def _tell_changed(self, team: Team, channel: Channel, ts: str, message: Json, previous: Json) -> None:
        told: Json = {
            "type": "message",
            "subtype": "message_changed",
            "message": message
            | ({"source_team": team.id, "user_team": team.id} if "user" in message else {}),
            "previous_message": previous,
            "hidden": True,
            "ts": ts,
            "event_ts": ts,
        }
        self._tell_message(team, channel, told)

    def _tell_mention(self, team: Team, channel: Channel, message: Message) -> None:
        if f"<@{team.install.bot_user}>" in message.text and message.bot_id is None:
            told = message.as_json() | {"type": "app_mention", "channel": channel.id, "event_ts": message.ts}
            self.events.tell(team, "app_mention", told, channel)

    def _tell_membership(
        self, team: Team, channel: Channel, user: str, kind: str, inviter: str | None
    ) -> None:
        told: Json = {
            "type": kind,
            "user": user,
            "channel": channel.id,
            "channel_type": "G" if channel.is_private else "C",
            "team": team.id,
            "event_ts": channel.next_ts(self.state.now_us()),
        }
        self.events.tell(team, kind, told | ({"inviter": inviter} if inviter else {}), channel)

    def _tell_channel(self, team: Team, channel: Channel, told: Json) -> None:
        """Public channels are everybody's business, private ones that of their members."""
        where = channel if channel.is_private else None
        self.events.tell(team, told["type"], told | {"event_ts": channel.next_ts(self.state.now_us())}, where)

    def _note(
        self, team: Team, channel: Channel, user: str, subtype: str, text: str, inviter: str | None = None
    ) -> None:
        ts = channel.next_ts(self.state.now_us())
        note = Message(ts, channel.id, text=text, user=user, subtype=subtype, inviter=inviter)
        channel.add(note)
        self._tell_message(team, channel, note.as_json() | {"event_ts": ts})

    def _bury(self, message: Message) -> None:
        message.text, message.user, message.subtype = "This message was deleted.", SLACKBOT, "tombstone"
        message.bot_id = message.username = message.icons = message.bot_profile = message.metadata = None
        message.blocks, message.attachments, message.files, message.reactions = [], [], [], {}
        message.client_msg_id = message.edited = message.app_id = None
        message.is_tombstone = True

    def _write_down(self, team: Team, message: Message, action: ChannelAction) -> None:
        self.state.ledger.channel_changed(
            team=team.id,
            channel=message.channel,
            ts=message.ts,
            thread_ts=message.thread_ts if message.is_reply else None,
            author=message.username or message.user or message.bot_id or "",
            text=message.text or plain(message.blocks),
            action=action,
            metadata_id=message.metadata_id,
        )

    def _event_ts(self) -> str:
        now = self.state.now_us()
        return f"{now // 1_000_000}.{now % 1_000_000:06d}"


def _stem(channel: Channel) -> str:
    return "group" if channel.is_private else "channel"
