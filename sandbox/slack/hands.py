"""Setting the scene, and what people do in it: the short names for the demo and for tests."""

from __future__ import annotations

from collections.abc import Sequence

from sandbox.slack.model import Channel, Team, User
from sandbox.slack.people import People, Upload
from sandbox.slack.state import ALL_SCOPES, State


class Hands:
    """Makes workspaces, people and channels, and acts as the people. Less common acts: `people`."""

    state: State
    people: People
    team: Team

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
