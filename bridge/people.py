"""Which workspaces we are in, and who there may link and unlink."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, delete, select, update

from bridge.errors import PermanentError
from bridge.ids import TeamId, UserId
from bridge.mapping import insert_new
from bridge.ports import Chat
from bridge.store.engine import Store
from bridge.store.tables import team_admins, teams


@dataclass(frozen=True, slots=True)
class TeamFacts:
    """What Slack said of a workspace and our bot in it."""

    team: TeamId
    name: str
    bot_id: str
    bot_user_id: str
    app_id: str | None = None


class People:
    """The one place that decides who may change the bridge."""

    def __init__(self, store: Store, chat: Chat) -> None:
        self._store = store
        self._chat = chat

    async def may_link(self, team: TeamId, user: UserId) -> bool:
        """Workspace admins and the people on the list; no guests, nobody from another organisation."""
        person = await self._chat.person(team, user)
        if person.is_outsider or person.is_guest:
            return False
        return person.is_admin or user in await self.admins(team)

    async def admins(self, team: TeamId) -> list[UserId]:
        """Return the people on the list."""
        rows = await self._store.read(
            lambda conn: list(
                conn.execute(
                    select(team_admins.c.user_id)
                    .where(team_admins.c.team == team)
                    .order_by(team_admins.c.added_at)
                ).scalars()
            )
        )
        return [UserId(row) for row in rows]

    async def add_admin(self, team: TeamId, user: UserId, *, by: UserId) -> None:
        """Put a person on the list. `PermanentError` for somebody who may not be on it."""
        person = await self._chat.person(team, user)
        if person.is_outsider or person.is_guest or person.is_bot:
            raise PermanentError(
                "not_a_member",
                user_message=f"<@{user}> cannot be put on the list: it is not for guests, apps and people of "
                "other organisations.",
            )
        await self._store.write(
            lambda conn: insert_new(
                conn, team_admins, team=team, user_id=user, added_by=by, added_at=self._store.now(conn)
            )
        )

    async def remove_admin(self, team: TeamId, user: UserId) -> bool:
        """Take a person off the list; False if they were not on it."""
        return await self._store.write(
            lambda conn: bool(
                conn.execute(
                    delete(team_admins).where(team_admins.c.team == team, team_admins.c.user_id == user)
                ).rowcount
            )
        )

    async def remember_team(self, facts: TeamFacts) -> None:
        """Store what Slack said of a workspace, so that a start without Slack knows it."""

        def store(conn: Connection) -> None:
            values = {
                "name": facts.name,
                "bot_id": facts.bot_id,
                "bot_user_id": facts.bot_user_id,
                "app_id": facts.app_id,
                "problem": None,
                "updated_at": self._store.now(conn),
            }
            if not insert_new(conn, teams, team=facts.team, **values):
                conn.execute(update(teams).where(teams.c.team == facts.team).values(**values))

        await self._store.write(store)

    async def known_teams(self) -> list[TeamFacts]:
        """Return the workspaces that were seen so far."""
        rows = await self._store.read(lambda conn: conn.execute(select(teams)).mappings().all())
        return [
            TeamFacts(
                TeamId(r["team"]), r["name"] or "", r["bot_id"] or "", r["bot_user_id"] or "", r["app_id"]
            )
            for r in rows
        ]
