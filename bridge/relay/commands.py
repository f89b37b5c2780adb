"""Slash commands and presses, answered by a worker through their `response_url`.

The listener has answered within Slack's three seconds; what is done here may take as long as Jollor takes.
While Jollor or Slack is away the person is told once, and it is tried again until it can be answered in full.
An answer that cannot be given any more (the address lives 30 minutes) is let go: what was done stays done.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Awaitable, Callable
from datetime import timedelta

from bridge.connections import Connections
from bridge.content import ActionId, ChannelPicker, Content, Notice, ProjectsAnswer
from bridge.errors import BridgeError, PermanentError, Snooze, StoreUnavailable, TargetDown
from bridge.events import ButtonPressed, CommandGiven
from bridge.ids import ChannelId, JobId, TeamId, UserId
from bridge.model import Clock, LinkKind, UndoWindow
from bridge.people import People
from bridge.ports import Chat
from bridge.queries import Queries
from bridge.queue.jobs import Job
from bridge.store.engine import utc_now

log = logging.getLogger(__name__)

CHANNEL = re.compile(r"(?:^|\s)(?:<#(?P<id>[A-Z0-9]+)(?:\|[^>]*)?>|#(?P<plain>[^\s<>#|]+))$")
UNDO = re.compile(r"\sundo\s+(?P<time>\S+)$", re.IGNORECASE)
PERSON = re.compile(r"<@(?P<id>[A-Z0-9]+)(?:\|[^>]*)?>")
ONLY_ADMINS = (
    "Only workspace admins, and people whom they have put on the list with `/jollor admins add @name`, can "
    "do that."
)

KEEP_TRYING = timedelta(minutes=25)
"""An answer can be given for 30 minutes. Source: slack-facts 1."""
TRY_AGAIN_AFTER = timedelta(seconds=10)
LOOK_TAKES_S = 4.0
"""How long a status waits for Jollor to say how the webhooks are, before it says what is known."""

Press = Callable[[ButtonPressed, Job], Awaitable[None]]


class Commands:
    """Does what people ask for in Slack and answers them."""

    def __init__(
        self,
        chat: Chat,
        connections: Connections,
        people: People,
        queries: Queries,
        *,
        presses: dict[str, Press],
        now: Clock = utc_now,
    ) -> None:
        self._chat = chat
        self._connections = connections
        self._people = people
        self._queries = queries
        self._presses = presses
        self._now = now
        self._told: set[JobId] = set()
        """Commands whose person knows that it takes longer; after a restart they are told once more."""

    async def command_given(self, event: CommandGiven, job: Job) -> None:
        """Do one command and answer it."""
        acts: dict[str, Callable[[CommandGiven], Awaitable[Content]]] = {
            "projects": self._projects,
            "link": self._link,
            "unlink": self._unlink,
            "status": self._status,
            "admins": self._admins,
            "trace": self._trace,
        }
        act = acts.get(event.word)
        if act is None:
            raise PermanentError("unknown_command", user_message=f"There is no command “{event.word}”.")
        await self._do(lambda: act(event), event.response_url, job)

    async def _do(
        self,
        act: Callable[[], Awaitable[Content]],
        response_url: str | None,
        job: Job,
        *,
        replace: bool = False,
    ) -> None:
        """Do it and answer; raises `Snooze` while somebody is away without whom it cannot be done."""
        try:
            answer = await act()
        except StoreUnavailable:
            raise
        except BridgeError as error:
            if _is_final(error):
                answer = Notice(text=error.user_message)
            elif self._now() - job.created_at > KEEP_TRYING:
                answer = Notice(text=f"That did not work: {error.user_message} Please ask again later.")
            else:
                await self._not_yet(response_url, error, job)
                raise Snooze("command_waits", delay=TRY_AGAIN_AFTER) from error
        await self._answer(response_url, answer, replace=replace)
        self._told.discard(job.id)

    async def could_not_do(self, event: CommandGiven | ButtonPressed, reason: str) -> None:
        """Tell the person that it was given up."""
        await self._answer(event.response_url, Notice(text=f"That did not work: {reason} Please ask again."))

    async def _not_yet(self, response_url: str | None, error: BridgeError, job: Job) -> None:
        if job.id not in self._told:
            words = f"{error.user_message} I keep trying, and answer here as soon as it works."
            await self._answer(response_url, Notice(text=words))
            self._told.add(job.id)

    async def _answer(self, response_url: str | None, answer: Content, *, replace: bool = False) -> None:
        if not response_url:
            return
        try:
            await self._chat.answer(response_url, answer, replace=replace)
        except PermanentError as error:
            log.warning("command.not_answered", extra={"error": str(error)})

    async def _projects(self, event: CommandGiven) -> Content:
        team = TeamId(event.team_id)
        known = await self._connections.projects()
        await self._connections.examine()
        rows = await self._queries.project_rows(known, team)
        may_link = await self._people.may_link(team, UserId(event.user_id))
        return ProjectsAnswer(rows=rows, can_link=may_link)

    async def _status(self, event: CommandGiven) -> Content:
        try:
            async with asyncio.timeout(LOOK_TAKES_S):
                await self._connections.examine()
        except TimeoutError:
            log.info("command.status_without_jollor")
        return await self._queries.status(TeamId(event.team_id))

    async def _trace(self, event: CommandGiven) -> Content:
        return await self._queries.trace(TeamId(event.team_id), event.rest)

    async def _link(self, event: CommandGiven) -> Content:
        await self._check_right(event.team_id, event.user_id)
        team = TeamId(event.team_id)
        rest, undo = undo_words(event.rest)
        name, found, kind = link_words(rest)
        if not name:
            return Notice(text="Which project? For example: `/jollor link Harbour Bakery #support`.")
        if found is None:
            return await self._ask_where(name, kind)
        channel = await self._channel(team, found)
        by = UserId(event.user_id)
        outcome = await self._connections.link(team, name, channel, kind, by=by, undo=undo)
        return Notice(text="\n".join(outcome.sentences))

    async def _ask_where(self, name: str, kind: LinkKind) -> ChannelPicker:
        """A last word may be the kind or the end of a name: the name that there is wins."""
        head, _, last = name.rpartition(" ")
        try:
            project = await self._connections.find_project(name)
        except PermanentError:
            if not head or last.lower() not in set(LinkKind):
                raise
            project, kind = await self._connections.find_project(head), LinkKind(last.lower())
        return ChannelPicker(project_id=project.id, project_name=project.name, kind=kind)

    async def _channel(self, team: TeamId, found: re.Match[str]) -> ChannelId:
        if found["id"]:
            return ChannelId(found["id"])
        channel = await self._chat.find_channel(team, found["plain"])
        if channel is None:
            raise PermanentError(
                "channel_not_found",
                user_message=f"I see no channel #{found['plain']}. If it is private, invite me there first.",
            )
        return channel.id

    async def _unlink(self, event: CommandGiven) -> Content:
        await self._check_right(event.team_id, event.user_id)
        team = TeamId(event.team_id)
        name, found, _ = link_words(event.rest, takes_kind=False)
        if not name:
            return Notice(text="Which project? For example: `/jollor unlink Harbour Bakery #support`.")
        project, mine = await self._connections.linked(team, name)
        channel = None if found is None else await self._channel(team, found)
        places = list(dict.fromkeys(link.channel for link in mine))
        if channel is None and len(places) > 1:
            return ChannelPicker(
                project_id=project.id, project_name=project.name, unlink_channels=tuple(places)
            )
        return await self._end_link(team, project.id, channel)

    async def _end_link(self, team: TeamId, name: str, channel: ChannelId | None) -> Content:
        ended = await self._connections.unlink(team, name, channel)
        if not ended:
            return Notice(text="That project is not linked there; nothing was changed.")
        where = ", ".join(dict.fromkeys(f"<#{link.channel}>" for link in ended))
        return Notice(text=f"Unlinked from {where}. Its threads stay; linking again finds them.")

    async def _admins(self, event: CommandGiven) -> Content:
        await self._check_right(event.team_id, event.user_id)
        team = TeamId(event.team_id)
        verb, _, rest = event.rest.strip().partition(" ")
        people = [UserId(found["id"]) for found in PERSON.finditer(rest)]
        match verb:
            case "" | "list":
                pass
            case "add" if people:
                for person in people:
                    await self._people.add_admin(team, person, by=UserId(event.user_id))
            case "remove" if people:
                for person in people:
                    await self._people.remove_admin(team, person)
            case _:
                return Notice(text="Use `/jollor admins`, `/jollor admins add @name` or `… remove @name`.")
        listed = await self._people.admins(team)
        names = ", ".join(f"<@{user}>" for user in listed) or "nobody"
        return Notice(text=f"Besides workspace admins, these can link and unlink: {names}.")

    async def _check_right(self, team: str, user: str) -> None:
        if not await self._people.may_link(TeamId(team), UserId(user)):
            raise PermanentError("not_allowed", user_message=ONLY_ADMINS)

    # --- presses -------------------------------------------------------------------------------------

    async def button_pressed(self, event: ButtonPressed, job: Job) -> None:
        """Do what a button or menu asks for. One that means nothing any more is let go."""
        press = self._presses.get(event.action_id)
        if press is not None:
            await press(event, job)
            return
        acts: dict[str, Callable[[ButtonPressed], Awaitable[Content]]] = {
            ActionId.PICK_CHANNEL: self._picked,
            ActionId.UNLINK_CHANNEL: self._unlink_picked,
            ActionId.LINK_PROJECT: self._pick_for,
        }
        act = acts.get(event.action_id)
        if act is None:
            log.info("press.unknown", extra={"action": event.action_id})
            return

        async def checked() -> Content:
            await self._check_right(event.team_id, event.user_id)
            return await act(event)

        # What was pressed has done its work and goes, unless it stands in a list of others.
        replace = event.action_id != ActionId.LINK_PROJECT
        await self._do(checked, event.response_url, job, replace=replace)

    async def _picked(self, event: ButtonPressed) -> Content:
        project, kind = _picker_value(event.value)
        if event.selected is None:
            raise PermanentError("nothing_picked", user_message="No channel was picked.")
        outcome = await self._connections.link(
            TeamId(event.team_id), project, ChannelId(event.selected), kind, by=UserId(event.user_id)
        )
        return Notice(text="\n".join(outcome.sentences))

    async def _unlink_picked(self, event: ButtonPressed) -> Content:
        project, _ = _picker_value(event.value)
        if event.selected is None:
            raise PermanentError("nothing_picked", user_message="No channel was picked.")
        return await self._end_link(TeamId(event.team_id), project, ChannelId(event.selected))

    async def _pick_for(self, event: ButtonPressed) -> Content:
        project = await self._connections.find_project(_picker_value(event.value)[0])
        return ChannelPicker(project_id=project.id, project_name=project.name)


def link_words(rest: str, *, takes_kind: bool = True) -> tuple[str, re.Match[str] | None, LinkKind]:
    """Return project, channel (a match of `CHANNEL`, or None) and kind of `PROJECT [channel] [kind]`. Pure.

    A last word that could be a kind is one only behind a channel: names may end like that, too.
    """
    rest = " ".join(rest.split())
    kind = LinkKind.ALL
    head, _, last = rest.rpartition(" ")
    if takes_kind and last.lower() in set(LinkKind) and CHANNEL.search(head):
        rest, kind = head, LinkKind(last.lower())
    found = CHANNEL.search(rest)
    name = rest if found is None else rest[: found.start()]
    return name.strip("“”\"' "), found, kind


def undo_words(rest: str) -> tuple[str, UndoWindow | None]:
    """Return what stands before `undo SECONDS` behind a channel, and that; names may end so, too. Pure."""
    found = UNDO.search(rest)
    undo = None if found is None else UndoWindow.read(found["time"])
    if found is None or undo is None or link_words(rest[: found.start()])[1] is None:
        return rest, None
    return rest[: found.start()], undo


def _is_final(error: BridgeError) -> bool:
    """Whether trying again cannot help. A channel that is away is one that a person has to mend."""
    return isinstance(error, PermanentError) or (
        isinstance(error, TargetDown) and error.target.startswith("channel:")
    )


def _picker_value(value: str) -> tuple[str, LinkKind]:
    """Return project id and kind from a button's value, which may be old or broken."""
    try:
        parsed = json.loads(value)
        return str(parsed["project_id"]), LinkKind(parsed.get("kind", LinkKind.ALL))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise PermanentError(
            "stale_value", user_message="That button is out of date; use `/jollor projects` again."
        ) from None
