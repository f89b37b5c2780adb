"""What webhooks announce and lists lack: a message without its conversation, or one that cannot be read."""

from __future__ import annotations

from collections.abc import Mapping

from bridge.errors import BridgeError, PermanentError
from bridge.events import ConversationChanged, MessageHinted, MessageMissing
from bridge.ids import ConversationId, MessageId, ProjectId
from bridge.mapping import Heard, seen_messages
from bridge.ports import Social
from bridge.queue.jobs import Job, NewJob, put_in
from bridge.store.engine import Store
from bridge.webhooks.lost import announced, of_message

SEARCHED_CONVERSATIONS = 30
"""How many conversations are searched for a message that came without its own."""


async def read_later(
    store: Store, project: ProjectId, id_: ConversationId, missing: Mapping[MessageId, Heard]
) -> None:
    """Have what was announced and cannot be read be tried on its own: nothing else waits for it."""
    new = [
        NewJob(
            MessageMissing(
                project_id=project,
                conversation_id=id_,
                message_id=hint,
                cause=heard.cause or "hint",
                since=heard.at,
            ),
            unique_key=f"missing:{project}:{hint}",
        )
        for hint, heard in missing.items()
    ]
    await store.write(lambda conn: put_in(conn, new, store.now(conn)))


class Hints:
    """Follows up what was announced."""

    def __init__(self, store: Store, social: Social) -> None:
        self._store = store
        self._social = social

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
            since=event.since or job.created_at,
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
                    since=job.created_at,
                )
                await self._put(NewJob(found))
                return
        raise BridgeError(
            "conversation_not_found",
            user_message="A message was announced, but no recent conversation has it.",
        )

    async def _put(self, job: NewJob) -> None:
        await self._store.write(lambda conn: put_in(conn, [job], self._store.now(conn)))
