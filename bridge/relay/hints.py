"""What webhooks announce and lists lack: a message without its conversation, or one that cannot be read."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection

from bridge.content import Notice
from bridge.deliveries import put_channel_post, put_notice
from bridge.errors import BridgeError, PermanentError
from bridge.events import ConversationChanged, MessageHinted, MessageMissing
from bridge.ids import ConversationId, MessageId, ProjectId
from bridge.links import links_of
from bridge.mapping import seen_messages, threads_of
from bridge.model import LinkKind, Target, TargetKind, Thread
from bridge.ports import Social
from bridge.queue.jobs import Job, NewJob, put_in
from bridge.relay.cards import Cards
from bridge.routing import choose
from bridge.store.engine import Store
from bridge.webhooks.lost import announced, of_message

SEARCHED_CONVERSATIONS = 30
"""How many conversations are searched for a message that came without its own."""


async def read_later(
    store: Store, project: ProjectId, id_: ConversationId, missing: Mapping[MessageId, str]
) -> None:
    """Have what was announced and cannot be read be tried on its own: nothing else waits for it."""
    new = [
        NewJob(
            MessageMissing(project_id=project, conversation_id=id_, message_id=hint, cause=cause or "hint"),
            unique_key=f"missing:{project}:{hint}",
        )
        for hint, cause in missing.items()
    ]
    await store.write(lambda conn: put_in(conn, new, store.now(conn)))


class Hints:
    """Follows up what was announced."""

    def __init__(self, store: Store, social: Social, cards: Cards) -> None:
        self._store = store
        self._social = social
        self._cards = cards

    async def message_missing(self, event: MessageMissing, job: Job) -> None:
        """Read an announced message that the list lacks; once it can be read, the conversation shows it."""
        project, wanted = ProjectId(event.project_id), MessageId(event.message_id)
        if await self._store.read(lambda conn: seen_messages(conn, project, [wanted])):
            await self._store.write(lambda conn: announced(conn, project, [of_message(wanted)]))
            return
        try:
            await self._social.message(project, wanted)
        except PermanentError as error:
            raise BridgeError(
                "message_not_readable", user_message="A message was announced that Jollor does not show."
            ) from error
        found = ConversationChanged(
            project_id=project,
            conversation_id=event.conversation_id,
            message_id=wanted,
            cause=event.cause,
        )
        await self._put(NewJob(found))

    async def message_hinted(self, event: MessageHinted, job: Job) -> None:
        """Find the conversation of a message that came without: the recently active ones, newest first."""
        project, wanted = ProjectId(event.project_id), MessageId(event.message_id)
        if await self._store.read(lambda conn: seen_messages(conn, project, [wanted])):
            await self._store.write(lambda conn: announced(conn, project, [of_message(wanted)]))
            return
        listed = await self._social.conversations(project)
        for candidate in listed[:SEARCHED_CONVERSATIONS]:
            messages = await self._social.messages(project, candidate.id)
            if any(message.id == wanted for message in messages.messages):
                found = ConversationChanged(
                    project_id=project,
                    conversation_id=candidate.id,
                    message_id=wanted,
                    cause=event.cause,
                )
                await self._put(NewJob(found))
                return
        raise BridgeError(
            "conversation_not_found",
            user_message="A message was announced, but no recent conversation has it.",
        )

    async def _put(self, job: NewJob) -> None:
        await self._store.write(lambda conn: put_in(conn, [job], self._store.now(conn)))

    async def could_not_read(
        self, event: ConversationChanged | MessageHinted | MessageMissing, reason: str
    ) -> None:
        """Say where people look that something is missing here."""
        project = ProjectId(event.project_id)

        def say(conn: Connection) -> None:
            now = self._store.now(conn)
            notice = Notice(
                text=f"A message could not be shown here: {reason} Please look in Jollor.",
                buttons=(self._cards.button(project),),
            )
            threads: dict[tuple[str, str], Thread] = {}
            if not isinstance(event, MessageHinted):
                target = Target(project, TargetKind.CONVERSATION, event.conversation_id)
                threads = {(t.team, t.channel): t for t in threads_of(conn, target)}
            for link in choose(links_of(conn, project), LinkKind.MESSAGE):
                thread = threads.get((link.team, link.channel))
                if thread is not None:
                    put_notice(conn, now, thread, notice)
                else:
                    put_channel_post(conn, now, link.team, link.channel, "notice", notice)

        await self._store.write(say)
