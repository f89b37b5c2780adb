"""What people do in Slack: write, edit, delete, react, join, archive. The hands of the demo page and of
tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sandbox.slack.changes import Changes
from sandbox.slack.methods.chat import preview
from sandbox.slack.model import Channel, Json, Message, Team, User
from sandbox.slack.state import State
from sandbox.slack.typed import typed


class NotPossible(Exception):
    """Slack would not let this person do that; says why."""


@dataclass(frozen=True)
class Upload:
    """A file that somebody drops into a channel."""

    name: str = "photo.png"
    mimetype: str = "image/png"
    size_bytes: int = 1234
    is_connect: bool = False
    """Shared from another organisation: the event names only the id, `files.info` has the rest."""


@dataclass
class People:
    """Acts as the people of all workspaces. Names of users and channels are their ids."""

    state: State
    changes: Changes

    def say(
        self,
        user: str,
        channel: str,
        text: str,
        *,
        thread_ts: str | None = None,
        files: Sequence[Upload] = (),
        broadcast: bool = False,
        me: bool = False,
        client_msg_id: str | None = None,
        raw_text: str | None = None,
        raw_blocks: list[Json] | None = None,
    ) -> str:
        """Write a line as a person types it; returns its `ts`.

        `raw_text` and `raw_blocks` replace what Slack would make of `text`. With `thread_ts` the line is a
        reply; NotPossible if the person is not in the channel, the channel is archived or the root is gone.
        """
        team, place = self._writable(user, channel)
        self._root(place, thread_ts)
        seen = typed(text, block_id=self.state.ids.hex(5))
        writer = self.state.user(user)
        message = Message(
            place.next_ts(self.state.now_us()),
            place.id,
            text=seen.text if raw_text is None else raw_text,
            user=user,
            team=writer.team_id,
            user_team=writer.team_id if writer.is_stranger else None,
            bot_id=writer.bot_id,
            blocks=seen.blocks if raw_blocks is None else raw_blocks,
            client_msg_id=None if writer.is_bot else client_msg_id or self.state.ids.uuid(),
            thread_ts=thread_ts,
            files=[self._file(user, upload) for upload in files],
        )
        if not text and raw_blocks is None:
            message.blocks = []
        if files:
            message.subtype = "file_share"
        elif me:
            message.subtype, message.blocks, message.client_msg_id = "me_message", [], None
        elif broadcast and thread_ts:
            message.subtype, message.is_broadcast = "thread_broadcast", True
        self.changes.post(team, place, message)
        if self.state.switches.unfurls and "<http" in message.text:
            self.unfurl(channel, message.ts)
        return message.ts

    def edit(self, channel: str, ts: str, text: str, *, by: str | None = None) -> None:
        """Change a line; only its author may."""
        team, place, message = self._line(channel, ts)
        if message.user is None or by not in (None, message.user):
            raise NotPossible(f"only the author can edit {ts}")
        seen = typed(text, block_id=self.state.ids.hex(5))
        self.changes.change(team, place, message, edited_by=message.user, text=seen.text, blocks=seen.blocks)

    def delete(self, channel: str, ts: str, *, by: str | None = None) -> None:
        """Delete a line: the author may, and admins may delete anybody's."""
        team, place, message = self._line(channel, ts)
        if by is not None and by != message.user and not self.state.user(by).is_admin:
            raise NotPossible(f"only the author or an admin can delete {ts}")
        self.changes.delete(team, place, message)

    def unfurl(self, channel: str, ts: str, url: str = "https://example.com/") -> None:
        """Let Slack add a preview: a change of the message that nobody edited."""
        team, place, message = self._line(channel, ts)
        self.changes.change(team, place, message, attachments=[preview(url)])

    def react(self, user: str, channel: str, ts: str, name: str, *, remove: bool = False) -> None:
        """Add or take back a reaction."""
        team, place, message = self._line(channel, ts)
        if (user in message.reactions.get(name, ())) is not remove:
            raise NotPossible("not reacted" if remove else "already reacted")
        self.changes.react(team, place, message, user, name, added=not remove)

    def join(self, user: str, channel: str, *, inviter: str | None = None) -> None:
        team, place = self._place(channel)
        if user not in place.members:
            self.changes.join(team, place, user, inviter=inviter)

    def leave(self, user: str, channel: str) -> None:
        team, place = self._place(channel)
        if user in place.members:
            self.changes.leave(team, place, user)

    def invite_bot(self, channel: str, *, by: str) -> None:
        """Bring the app's bot into a channel, the only way into private ones."""
        team, _place = self._place(channel)
        self.join(team.bot.id, channel, inviter=by)

    def kick_bot(self, channel: str) -> None:
        team, _place = self._place(channel)
        self.leave(team.bot.id, channel)

    def archive(self, channel: str, *, by: str | None = None) -> None:
        team, place = self._place(channel)
        self.changes.archive(team, place, by or place.creator, archived=True)

    def unarchive(self, channel: str, *, by: str | None = None) -> None:
        team, place = self._place(channel)
        self.changes.archive(team, place, by or place.creator, archived=False)

    def rename(self, channel: str, name: str, *, by: str | None = None) -> None:
        team, place = self._place(channel)
        self.changes.rename(team, place, by or place.creator, name)

    def delete_channel(self, channel: str, *, by: str | None = None) -> None:
        team, place = self._place(channel)
        self.changes.delete_channel(team, place, by or place.creator)

    def change_user(self, user: str, **members: object) -> None:
        """Change a person's name or role; the app hears of it as `user_change`."""
        person = self.state.user(user)
        for name, value in members.items():
            if not hasattr(person, name):
                raise AttributeError(name)
            setattr(person, name, value)
        for team in self.state.teams.values():
            if user in team.users:
                self.changes.change_user(team, person)

    def revoke_token(self, team: Team) -> None:
        self.changes.end_install(team, uninstalled=False)

    def uninstall(self, team: Team) -> None:
        self.changes.end_install(team, uninstalled=True)

    def _place(self, channel: str) -> tuple[Team, Channel]:
        team = self.state.team_of(channel)
        return team, team.channels[channel]

    def _line(self, channel: str, ts: str) -> tuple[Team, Channel, Message]:
        team, place = self._place(channel)
        return team, place, self.state.message(channel, ts)

    def _writable(self, user: str, channel: str) -> tuple[Team, Channel]:
        team, place = self._place(channel)
        writer: User = self.state.user(user)
        if place.is_archived or place.is_deleted:
            raise NotPossible(f"{place.name} is archived or gone")
        if user not in place.members:
            raise NotPossible(f"{writer.shown_name} is not in {place.name}")
        return team, place

    @staticmethod
    def _root(place: Channel, thread_ts: str | None) -> None:
        if thread_ts is None:
            return
        root = place.messages.get(thread_ts)
        if root is None or root.is_reply:
            raise NotPossible(f"{thread_ts} is no message that a thread could hang on")

    def _file(self, user: str, upload: Upload) -> Json:
        file_id = self.state.ids.new("F")
        address = f"https://files.slack.com/files-pri/{file_id}/{upload.name}"
        described: Json = {
            "id": file_id,
            "created": self.state.now_s(),
            "name": upload.name,
            "title": upload.name,
            "mimetype": upload.mimetype,
            "filetype": upload.name.rsplit(".", 1)[-1],
            "size": upload.size_bytes,
            "user": user,
            "mode": "hosted",
            "is_external": False,
            "is_public": False,
            "url_private": address,
            "url_private_download": address,
        }
        self.state.files[file_id] = described
        if upload.is_connect:
            return {"id": file_id, "mode": "file_access", "file_access": "check_file_info"}
        return described
