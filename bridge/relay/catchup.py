"""Catching up: what webhooks have missed is found by comparing Jollor's lists with what is stored.

A sweep asks for the conversations that moved past their own stored mark, for those that may still show
more, and for posts that nobody has seen. It puts the same jobs as webhooks do, so that there is one road into
Slack. Own posts, dialogues and expired profiles have no list in Jollor: that these cannot be had is said.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, select

from bridge.content import Notice, inert
from bridge.deliveries import put_channel_post
from bridge.events import (
    CameBack,
    ConversationChanged,
    PostChanged,
    ReadBackAll,
    Sweep,
    SweepAll,
    event_adapter,
)
from bridge.ids import ChannelId, ConversationId, PostId, ProjectId, TeamId
from bridge.links import links_of, project_name
from bridge.mapping import KnownConversation, first_time, known_conversations, remember_inbox, seen_posts
from bridge.model import Conversation, LinkKind, Target, TargetKind
from bridge.ports import Social
from bridge.queue.jobs import Job, JobState, NewJob, put_in
from bridge.queue.presence import Outage, gap, last_sign, note_absence
from bridge.relay.cards import Cards
from bridge.relay.lost import LostWebhooks
from bridge.relay.readback import after_gap
from bridge.routing import choose
from bridge.store.engine import Store
from bridge.store.tables import jobs, projects

log = logging.getLogger(__name__)

OVERLAP = timedelta(minutes=10)
"""Lists may show a message late: a conversation is looked at again until it was quiet for so long."""

MANY = 20
"""If more conversations than this have news at once, the channel is told that they come by and by."""

WEBHOOK_OFF_AFTER = timedelta(hours=24)
"""Jollor switches a webhook off whose calls failed for so long (NOTES 5)."""
WEBHOOK_OFF = (
    "Jollor switches a webhook off whose calls fail for a day: the bridge switches it on again, and "
    "says here if it cannot."
)

POISONED = timedelta(hours=1)
"""A conversation that could not be read is tried again after this."""


@dataclass(frozen=True, slots=True)
class Search:
    """Why and how far back one looks. With `since`, conversations active from then on are looked at anyway.

    `key` begins the unique keys of the jobs, by which they can be followed.
    """

    cause: str = "sweep"
    since: datetime | None = None
    key: str | None = None

    def reaches(self, one: Conversation) -> bool:
        """Whether a conversation is to be looked at whatever is stored of it."""
        return self.since is not None and (one.last_message_at is None or one.last_message_at >= self.since)


SWEEP = Search()


class CatchUp:
    """Finds what was missed."""

    def __init__(self, store: Store, social: Social, cards: Cards, *, scale: float = 1.0) -> None:
        self._store = store
        self._social = social
        self._scale = scale
        self._lost = LostWebhooks(store, cards, scale=scale)

    async def sweep_all(self, event: SweepAll, job: Job) -> None:
        """Put a sweep for every linked project."""

        def put(conn: Connection) -> None:
            linked = dict.fromkeys(link.project for link in links_of(conn, None))
            put_in(conn, [NewJob(Sweep(project_id=project)) for project in linked], self._store.now(conn))

        await self._store.write(put)

    async def sweep(self, event: Sweep, job: Job) -> None:
        """Look in one project, and settle which webhooks of what earlier sweeps found are lost for good."""
        project = ProjectId(event.project_id)
        await self._lost.settle(project)
        await self.look(project, SWEEP)

    async def look(self, project: ProjectId, search: Search) -> int:
        """Put a job for every conversation and post that has something unseen; return how many."""
        links = await self._store.read(lambda conn: links_of(conn, project))
        found = 0
        if choose(links, LinkKind.MESSAGE):
            listed = await self._social.conversations(project)
            found += await self._store.write(lambda conn: self._conversations(conn, project, listed, search))
        if choose(links, LinkKind.POST):
            posts = await self._social.incoming_posts(project)
            found += await self._store.write(lambda conn: self._posts(conn, project, posts, search))
        log.info("sweep.found", extra={"project": project, "cause": search.cause, "found": found})
        return found

    # --- conversations -------------------------------------------------------------------------------

    def _conversations(
        self, conn: Connection, project: ProjectId, listed: Sequence[Conversation], search: Search
    ) -> int:
        now = self._store.now(conn)
        links = choose(links_of(conn, project), LinkKind.MESSAGE)
        if not links:
            return 0
        linked_at = min(link.linked_at for link in links)
        known = known_conversations(conn, project, [one.id for one in listed])
        news = [one.id for one in listed if has_news(one, known.get(one.id), linked_at)]
        wanted = [*news, *self._again(listed, known, search)]
        if search.key is None:
            taken = self._taken_care_of(conn, now, project, wanted)
            news = [id_ for id_ in news if id_ not in taken]
            wanted = [id_ for id_ in wanted if id_ not in taken]
        new = [
            NewJob(
                ConversationChanged(project_id=project, conversation_id=id_, cause=search.cause, since=now),
                unique_key=None if search.key is None else f"{search.key}{project}:conversation:{id_}",
            )
            for id_ in dict.fromkeys(wanted)
        ]
        put_in(conn, new, now)
        if len(news) > MANY:
            words = f"{len(news)} conversations of {inert(project_name(conn, project))} have news; they "
            notice = Notice(text=f"{words}appear here one after the other.")
            for link in links:
                put_channel_post(conn, now, link.team, link.channel, "notice", notice)
        return len(new)

    def _again(
        self,
        listed: Sequence[Conversation],
        known: Mapping[ConversationId, KnownConversation],
        search: Search,
    ) -> list[ConversationId]:
        """Return those to be looked at although they have not moved."""
        overlap = OVERLAP / self._scale
        return [
            one.id for one in listed if search.reaches(one) or may_show_more(one, known.get(one.id), overlap)
        ]

    def _taken_care_of(
        self, conn: Connection, now: datetime, project: ProjectId, ids: Sequence[ConversationId]
    ) -> Collection[ConversationId]:
        """Return those that a waiting job will look at anyway, and those that failed a short while ago."""
        lanes = {Target(project, TargetKind.CONVERSATION, id_).lane("in"): id_ for id_ in ids}
        mine = jobs.c.kind == "conversation_changed", jobs.c.target == f"project:{project}"
        waiting = select(jobs.c.lane).where(*mine, jobs.c.state.in_((JobState.AVAILABLE, JobState.RUNNING)))
        failed = select(jobs.c.lane).where(
            *mine, jobs.c.state == JobState.DISCARDED, jobs.c.finished_at > now - POISONED / self._scale
        )
        found = [*conn.execute(waiting).scalars(), *conn.execute(failed).scalars()]
        return {lanes[lane] for lane in found if lane in lanes}

    # --- posts ---------------------------------------------------------------------------------------

    def _posts(self, conn: Connection, project: ProjectId, listed: Sequence[PostId], search: Search) -> int:
        """The first sweep after linking takes what is in the inbox as known: a post tells no time."""
        now = self._store.now(conn)
        seen = seen_posts(conn, project, listed)
        unseen = [post for post in listed if post not in seen]
        known_at = select(projects.c.posts_known_at).where(projects.c.id == project)
        if conn.execute(known_at).scalar() is None:
            # What a webhook has announced is shown, although this is the first look.
            announced = _announced(conn, project, unseen)
            remember_inbox(conn, now, project, [post for post in unseen if post not in announced])
            return 0
        key = f"sweep:{project}:" if search.key is None else f"{search.key}{project}:post:"
        new = [
            NewJob(
                PostChanged(project_id=project, post_id=post, what="received", cause=search.cause),
                unique_key=f"{key}{post}",
            )
            for post in unseen
        ]
        put_in(conn, new, now)
        return len(new)

    # --- having been away ----------------------------------------------------------------------------

    async def came_back(self, event: CameBack, job: Job) -> None:
        """Look for lines typed meanwhile; say that the bridge was away, and what cannot be found out."""
        outage = Outage(event.began_at, event.ended_at)
        words = (
            f"The bridge was away {outage.span}. Messages and incoming posts of that time follow. "
            "Jollor keeps no list of own posts, dialogues and lost profile connections: what happened to "
            "those meanwhile is shown only if Jollor reports it again."
        )
        if outage.ended_at - outage.began_at >= WEBHOOK_OFF_AFTER / self._scale:
            words += f" {WEBHOOK_OFF}"
        notice = Notice(text=words)

        def say(conn: Connection) -> None:
            now = self._store.now(conn)
            if not first_time(conn, now, job.id):
                return
            put_in(conn, [after_gap(event.began_at, scale=self._scale)], now)
            for team, channel in _told_places(conn):
                put_channel_post(conn, now, team, channel, "notice", notice)

        await self._store.write(say)


def has_news(one: Conversation, known: KnownConversation | None, linked_at: datetime) -> bool:
    """Whether something came after the newest message that was seen, or after the link if none was."""
    if one.last_message_at is None:
        return known is None
    if known is None or known.mark is None:
        return one.last_message_at >= linked_at
    return one.last_message_at > known.mark


def may_show_more(one: Conversation, known: KnownConversation | None, overlap: timedelta) -> bool:
    """Whether a message below the mark may have turned up since the list was last read.

    Ends with the first look after `overlap` of quiet, so the work grows with what happens, not with history.
    """
    if known is None or one.last_message_at is None:
        return False
    return known.looked_at is None or known.looked_at < one.last_message_at + overlap


async def came_back(store: Store, *, scale: float) -> None:
    """Record how long no worker was there, if that was long, and look through both ends. At each start."""

    def record(conn: Connection) -> None:
        now = store.now(conn)
        if note_absence(conn, now, gap(scale)):
            return  # whoever is told of it has all looked through
        last = last_sign(conn)
        look = NewJob(ReadBackAll()) if last is None else after_gap(last, scale=scale)
        put_in(conn, [NewJob(SweepAll()), look], now)

    await store.write(record)


def _told_places(conn: Connection) -> list[tuple[TeamId, ChannelId]]:
    """Return the channels that take alerts of any project, each once."""
    places: dict[tuple[TeamId, ChannelId], None] = {}
    links = links_of(conn, None)
    for project in dict.fromkeys(link.project for link in links):
        own = [link for link in links if link.project == project]
        for link in choose(own, LinkKind.ALERT):
            places[link.team, link.channel] = None
    return list(places)


def _announced(conn: Connection, project: ProjectId, ids: Sequence[PostId]) -> set[PostId]:
    """Return those of these posts that a webhook has brought a job for which is not done yet."""
    waiting = conn.execute(
        select(jobs.c.args).where(
            jobs.c.kind == "post_changed",
            jobs.c.state.in_(("available", "running")),
            jobs.c.target == f"project:{project}",
        )
    ).scalars()
    events = [event_adapter.validate_json(args) for args in waiting]
    return {PostId(e.post_id) for e in events if isinstance(e, PostChanged)} & set(ids)
