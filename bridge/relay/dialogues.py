"""Dialogues: bounded stretches of a conversation, shown as lines in its thread."""

from __future__ import annotations

from sqlalchemy import Connection, select

from bridge.content import DialogueLine, Notice
from bridge.deliveries import put_channel_post, put_reply
from bridge.events import ConversationChanged, DialogueChanged
from bridge.ids import ConversationId, ProjectId
from bridge.links import links_of
from bridge.mapping import first_time, insert_new, threads_of
from bridge.model import LinkKind, Target, TargetKind, Thread
from bridge.queue.jobs import Job
from bridge.relay.cards import Cards
from bridge.relay.inbound import Inbound
from bridge.routing import choose
from bridge.store.engine import Store
from bridge.store.tables import dialogues


class Dialogues:
    """Shows what happens to dialogues."""

    def __init__(self, store: Store, inbound: Inbound, cards: Cards) -> None:
        self._store = store
        self._inbound = inbound
        self._cards = cards

    async def dialogue_changed(self, event: DialogueChanged, job: Job) -> None:
        """A line in the conversation's thread; a call for a person reaches the channel in any case."""
        project = ProjectId(event.project_id)
        conversation_id = await self._store.write(lambda conn: self._place(conn, project, event))
        if conversation_id is not None and event.what != "ended":
            # The event may be the first that is heard of this conversation.
            await self._inbound.conversation_changed(
                ConversationChanged(project_id=project, conversation_id=conversation_id, cause="dialogue"),
                job,
            )
        await self._store.write(lambda conn: self._show_dialogue(conn, project, conversation_id, event, job))

    def _place(self, conn: Connection, project: ProjectId, event: DialogueChanged) -> ConversationId | None:
        """Return the dialogue's conversation: as said, or as said by an earlier event."""
        if event.conversation_id is not None:
            insert_new(
                conn,
                dialogues,
                project_id=project,
                dialogue_id=event.dialogue_id,
                conversation_id=event.conversation_id,
            )
            return ConversationId(event.conversation_id)
        stored = conn.execute(
            select(dialogues.c.conversation_id).where(
                dialogues.c.project_id == project, dialogues.c.dialogue_id == event.dialogue_id
            )
        ).scalar()
        return ConversationId(stored) if stored else None

    def _show_dialogue(
        self,
        conn: Connection,
        project: ProjectId,
        conversation_id: ConversationId | None,
        event: DialogueChanged,
        job: Job,
    ) -> None:
        now = self._store.now(conn)
        if not first_time(conn, now, job.id):
            return
        threads: dict[tuple[str, str], Thread] = {}
        if conversation_id is not None:
            target = Target(project, TargetKind.CONVERSATION, conversation_id)
            threads = {(t.team, t.channel): t for t in threads_of(conn, target)}
        needs_person = event.what == "human_agent_needed"
        for link in choose(links_of(conn, project), LinkKind.MESSAGE):
            thread = threads.get((link.team, link.channel))
            if thread is not None:
                line = DialogueLine(what=event.what, at=event.at)
                put_reply(conn, now, thread, "dialogue", line, also_to_channel=needs_person)
            elif needs_person:
                notice = Notice(
                    text="A conversation needs a person; which one Jollor did not say.",
                    buttons=(self._cards.button(project),),
                )
                put_channel_post(conn, now, link.team, link.channel, "notice", notice)
