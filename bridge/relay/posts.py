"""Posts and comments: each once in the linked channels, as the root of a thread of its own."""

from __future__ import annotations

from sqlalchemy import Connection

from bridge.content import Notice, PostCard, PostLabel
from bridge.deliveries import put_reply, put_root
from bridge.errors import BridgeError, PermanentError
from bridge.events import PostChanged
from bridge.ids import PostId, ProjectId
from bridge.links import links_of, project_name
from bridge.mapping import first_time, is_from_before, open_thread, remember_post
from bridge.model import LinkKind, Post, Target, TargetKind
from bridge.ports import Social
from bridge.queue.jobs import Job
from bridge.relay.announced import is_test_delivery
from bridge.relay.cards import Cards
from bridge.routing import choose
from bridge.store.engine import Store


class Posts:
    """Shows posts in Slack."""

    def __init__(self, store: Store, social: Social, cards: Cards) -> None:
        self._store = store
        self._social = social
        self._cards = cards

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
            if await is_test_delivery(self._store, project):
                return
            raise BridgeError(
                "post_not_readable", user_message="A post was announced that Jollor does not show."
            ) from None
        await self._store.write(lambda conn: self._show_post(conn, project, post, PostLabel(event.what), job))

    def _show_post(
        self, conn: Connection, project: ProjectId, post: Post, label: PostLabel, job: Job
    ) -> None:
        now = self._store.now(conn)
        if label is PostLabel.RECEIVED and is_from_before(conn, project, post.id):
            return  # told late, or as the object of a test delivery
        target = Target(project, TargetKind.POST, post.id)
        is_new_to_us = first_time(conn, now, job.id)
        is_first = remember_post(conn, now, project, post.id, label)
        for link in choose(links_of(conn, project), LinkKind.POST):
            thread, is_new = open_thread(conn, now, link, target)
            if is_new:
                put_root(conn, now, thread, "post", self._post_card(conn, project, post, label))
            elif not is_first and is_new_to_us and label is PostLabel.PUBLISHED:
                put_reply(conn, now, thread, "notice", Notice(text="This post was published."))

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
