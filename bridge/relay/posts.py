"""Posts and comments: each once in the linked channels, as the root of a thread of its own."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Connection

from bridge.content import Notice, PostCard, PostLabel
from bridge.deliveries import put_reply, put_root
from bridge.errors import BridgeError, PermanentError
from bridge.events import SWEEPS, PostChanged
from bridge.ids import PostId, ProjectId
from bridge.links import links_of, project_name
from bridge.mapping import first_time, is_from_before, open_thread, remember_post
from bridge.model import LinkKind, Post, Target, TargetKind
from bridge.ports import Social
from bridge.queue.jobs import Job
from bridge.queue.presence import outages_between
from bridge.relay.cards import Cards
from bridge.routing import choose
from bridge.store.engine import Store
from bridge.webhooks import proving
from bridge.webhooks.lost import announced, found_by_sweep, of_post

AFTER_OUTAGE = timedelta(minutes=15)


class Posts:
    """Shows posts in Slack."""

    def __init__(self, store: Store, social: Social, cards: Cards, *, scale: float = 1.0) -> None:
        self._store = store
        self._social = social
        self._cards = cards
        self._scale = scale

    async def _is_linked(self, project: ProjectId) -> bool:
        return bool(await self._store.read(lambda conn: choose(links_of(conn, project), LinkKind.POST)))

    async def post_changed(self, event: PostChanged, job: Job) -> None:
        """Show a post once; what happens to it later is a line below it."""
        project, id_ = ProjectId(event.project_id), PostId(event.post_id)
        if not await self._is_linked(project):
            return
        try:
            post = await self._social.post(project, id_)
        except PermanentError:
            if await self._is_of_a_test(event, job):
                return
            raise BridgeError(
                "post_not_readable", user_message="A post was announced that Jollor does not show."
            ) from None
        await self._store.write(lambda conn: self._show_post(conn, project, post, event, job))

    async def _is_of_a_test(self, event: PostChanged, job: Job) -> bool:
        """The object of a test delivery that we asked for need not exist."""
        project, type_ = ProjectId(event.project_id), f"post_{event.what}"
        return await self._store.write(
            lambda conn: proving.let_go(conn, project, type_, job.id, job.created_at)
        )

    def _show_post(
        self, conn: Connection, project: ProjectId, post: Post, event: PostChanged, job: Job
    ) -> None:
        now = self._store.now(conn)
        label = PostLabel(event.what)
        if label is PostLabel.RECEIVED and is_from_before(conn, project, post.id):
            return  # told late, or as the object of a test delivery
        target = Target(project, TargetKind.POST, post.id)
        is_new_to_us = first_time(conn, now, job.id)
        is_first = remember_post(conn, now, project, post.id, label)
        if event.cause not in SWEEPS:
            announced(conn, project, [of_post(post.id)])
        elif is_first and not self._was_away(conn, now):
            found_by_sweep(conn, now, project, [of_post(post.id)])
        for link in choose(links_of(conn, project), LinkKind.POST):
            thread, is_new = open_thread(conn, now, link, target)
            if is_new:
                put_root(conn, now, thread, "post", self._post_card(conn, project, post, label))
            elif not is_first and is_new_to_us and label is PostLabel.PUBLISHED:
                put_reply(conn, now, thread, "notice", Notice(text="This post was published."))

    def _was_away(self, conn: Connection, now: datetime) -> bool:
        """A post tells no time: one that is found soon after an outage may have come while it lasted."""
        return bool(outages_between(conn, now - AFTER_OUTAGE / self._scale, now))

    def _post_card(self, conn: Connection, project: ProjectId, post: Post, label: PostLabel) -> PostCard:
        return PostCard(
            project_name=project_name(conn, project),
            provider=post.provider,
            author=post.author,
            text=post.text,
            mrkdwn=post.mrkdwn,
            label=label,
            published_at=post.published_at,
            dashboard_url=self._cards.dashboard(project),
        )
