"""What happens in Jollor: messages come and go, posts appear, dialogues begin and end; the webhook tells."""

import time
from dataclasses import dataclass
from datetime import datetime

from sandbox.faults import Call, Faults
from sandbox.jollor.model import Conversation, Dialogue, Event, Message, Participant, Post, Project
from sandbox.jollor.store import Store
from sandbox.jollor.texts import rewritten
from sandbox.jollor.webhooks import Announcement, Webhooks
from sandbox.ledger import Cause, Ledger
from sandbox.wire import End


@dataclass(frozen=True)
class Inbox:
    """The happenings. Each is in force, and in the ledger, when its method returns."""

    store: Store
    webhooks: Webhooks
    ledger: Ledger
    faults: Faults

    # ---- private messages

    def receive(
        self, conversation: Conversation, text: str, *, at: datetime | None = None, announced: bool = True
    ) -> Message:
        """The customer writes."""
        message = self.store.add_message(
            conversation,
            is_incoming=True,
            text=text,
            sent_text=text,
            cause=Cause.NETWORK,
            at=at,
            listed_from=self._listed_from("message_received", conversation, text),
        )
        if announced:
            self.webhooks.announce(self.message_event("message_received", message))
        return message

    def send(
        self,
        conversation: Conversation,
        text: str,
        *,
        cause: Cause,
        operation: str,
        at: datetime | None = None,
    ) -> Message:
        """Somebody answers the customer: stored and received, not yet announced.

        `operation` is the name under which fault rules know it.
        """
        arriving = rewritten(text, self.store.switches)
        message = self.store.add_message(
            conversation,
            is_incoming=False,
            text=arriving,
            sent_text=text,
            cause=cause,
            at=at,
            listed_from=self._listed_from(operation, conversation, text),
        )
        self.ledger.customer_received(
            project=conversation.project.id,
            target=conversation.id,
            message_id=message.id,
            text=arriving,
            sent_text=text,
            cause=cause,
        )
        return message

    def announce_sent(self, message: Message) -> list[Announcement]:
        """Tell of an outgoing message: created, then sent."""
        return [
            self.webhooks.announce(self.message_event(kind, message))
            for kind in ("message_created", "message_sent")
        ]

    def message_event(self, kind: str, message: Message) -> Event:
        return Event(
            kind,
            message.conversation.project.id,
            message_id=message.id,
            conversation_id=message.conversation.id,
            dialogue_id=message.dialogue_id if self.store.switches.dialogue_id_in_messages else None,
        )

    # ---- dialogues

    def start_dialogue(self, conversation: Conversation) -> Dialogue:
        """A dialogue begins; messages belong to it from now on."""
        dialogue = Dialogue(self.store.new_id(), conversation)
        conversation.dialogues.append(dialogue)
        self.store.dialogues[dialogue.id] = dialogue
        self._announce_dialogue("dialogue_started", dialogue)
        return dialogue

    def end_dialogue(self, dialogue: Dialogue, *, announced: bool = True) -> None:
        dialogue.is_open = False
        if announced:
            self._announce_dialogue("dialogue_ended", dialogue)

    def need_human(self, dialogue: Dialogue) -> None:
        """The automatic agent hands over."""
        self._announce_dialogue("dialogue_human_agent_needed", dialogue)

    def _announce_dialogue(self, kind: str, dialogue: Dialogue) -> None:
        conversation = dialogue.conversation
        self.webhooks.announce(
            Event(
                kind,
                conversation.project.id,
                conversation_id=conversation.id,
                dialogue_id=dialogue.id,
                date=self.store.clock.now(),
            )
        )

    # ---- posts

    def add_post(
        self,
        project: Project,
        provider: str,
        author: Participant,
        text: str,
        *,
        is_incoming: bool,
        parent: Post | None = None,
        html: str | None = None,
        tags: frozenset[str] = frozenset(),
    ) -> Post:
        """A post or comment appears; not yet announced."""
        call = Call(End.JOLLOR, "post", facts={"project": project.id, "provider": provider, "text": text})
        post = Post(
            id=self.store.new_id(),
            project=project,
            provider=provider,
            is_incoming=is_incoming,
            author=author,
            text=text,
            published_at=self.store.clock.now(),
            parent=parent,
            html=html,
            tags=tags,
            listed_from=time.monotonic() + self.faults.hidden_for_s(call),
        )
        self.store.posts[post.id] = post
        return post

    def reply_to_post(self, post: Post, text: str) -> Post:
        """The project answers under a post, through the API: seen by the public, not yet announced."""
        arriving = rewritten(text, self.store.switches)
        profile = self.store.profile(post.project, post.provider)
        reply = self.add_post(post.project, post.provider, profile, arriving, is_incoming=False, parent=post)
        self.ledger.customer_received(
            project=post.project.id,
            target=post.id,
            message_id=reply.id,
            text=arriving,
            sent_text=text,
            cause=Cause.API,
        )
        return reply

    def announce_post(self, kind: str, post: Post) -> Announcement:
        return self.webhooks.announce(Event(kind, post.project.id, post_id=post.id))

    # ---- profiles

    def expire_profile(self, project: Project) -> Announcement:
        """The connection to one of the project's profiles breaks; the event does not say which."""
        return self.webhooks.announce(Event("token_expired", project.id))

    def _listed_from(self, operation: str, conversation: Conversation, text: str) -> float:
        facts = {
            "project": conversation.project.id,
            "conversation": conversation.id,
            "provider": conversation.provider,
            "text": text,
        }
        return time.monotonic() + self.faults.hidden_for_s(Call(End.JOLLOR, operation, facts=facts))
