"""The state of one simulated Jollor and the questions that are asked of it."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import TypeVar

from sandbox.clock import SandboxClock
from sandbox.jollor.ids import Ids, person_id
from sandbox.jollor.model import (
    Account,
    Agency,
    Conversation,
    Dialogue,
    Message,
    Participant,
    Post,
    Project,
    Webhook,
)
from sandbox.jollor.switches import Newness, Switches
from sandbox.ledger import Cause

Item = TypeVar("Item")


@dataclass
class Store:
    """Everything that Jollor knows. Lookups raise KeyError for unknown ids."""

    clock: SandboxClock
    ids: Ids
    switches: Switches
    random: Random
    accounts: dict[str, Account] = field(default_factory=dict)  # by username
    agencies: dict[str, Agency] = field(default_factory=dict)
    projects: dict[str, Project] = field(default_factory=dict)
    conversations: dict[tuple[str, str], Conversation] = field(default_factory=dict)  # by project and own id
    messages: dict[str, Message] = field(default_factory=dict)
    dialogues: dict[str, Dialogue] = field(default_factory=dict)
    posts: dict[str, Post] = field(default_factory=dict)
    webhooks: dict[str, Webhook] = field(default_factory=dict)  # by project

    def new_id(self) -> str:
        """A fresh object id, numeric if the switch says so."""
        self.ids.numeric = self.switches.numeric_ids
        return self.ids.object_id()

    def agencies_of(self, account: Account) -> list[Agency]:
        return [agency for agency in self.agencies.values() if account.id in agency.accounts]

    def may_see(self, account: Account, project: Project) -> bool:
        return account.id in self.agencies[project.agency_id].accounts

    def conversations_of(self, project: Project) -> list[Conversation]:
        """The conversations that have messages, in the order of the switch."""
        counting = self.switches.last_message_at_counts_hidden
        dated = [
            (at, conversation)
            for conversation in self.conversations.values()
            if conversation.project is project
            and (at := conversation.last_message_at(counting_hidden=counting)) is not None
        ]
        dated.sort(key=lambda pair: pair[0])
        return self._ordered([conversation for _, conversation in dated], self.switches.conversation_order)

    def conversation_with(self, project: Project, provider: str, customer: str) -> Conversation | None:
        """The conversation of a customer, known by name and network."""
        for conversation in self.conversations.values():
            if (
                conversation.project is project
                and conversation.provider == provider
                and conversation.customer.name == customer
            ):
                return conversation
        return None

    def add_conversation(
        self, project: Project, provider: str, customer: str, conversation_id: str | None = None
    ) -> Conversation:
        """A new conversation, still without messages."""
        conversation = Conversation(
            id=conversation_id or self.ids.conversation_id(provider),
            project=project,
            provider=provider,
            customer=Participant(person_id(provider, customer), customer),
            profile=self.profile(project, provider),
        )
        self.conversations[project.id, conversation.id] = conversation
        return conversation

    def profile(self, project: Project, provider: str) -> Participant:
        """The connected profile of a project on a network."""
        return Participant(person_id(provider, f"profile of {project.id}"), project.name)

    def add_message(
        self,
        conversation: Conversation,
        *,
        is_incoming: bool,
        text: str,
        sent_text: str,
        cause: Cause,
        at: datetime | None,
        listed_from: float,
    ) -> Message:
        """Store a message. Without `at` it is sent now, at least a millisecond after its predecessor."""
        dialogue = conversation.open_dialogue
        message = Message(
            id=self.new_id(),
            conversation=conversation,
            sent_at=at or self._sent_now(conversation),
            is_incoming=is_incoming,
            text=text,
            sent_text=sent_text,
            cause=cause,
            dialogue_id=None if dialogue is None else dialogue.id,
            listed_from=listed_from,
        )
        conversation.messages.append(message)
        if at is not None:
            conversation.messages.sort(key=lambda other: other.sent_at)
        self.messages[message.id] = message
        return message

    def listed_messages(self, messages: Iterable[Message], limit: int) -> list[Message]:
        """What a list of at most `limit` shows, cut and ordered as the switches say."""
        listed = [message for message in messages if message.is_listed]
        most = limit if self.switches.max_limit is None else min(limit, self.switches.max_limit)
        kept = listed[-most:] if self.switches.limit_keeps is Newness.NEWEST else listed[:most]
        return self._ordered(kept, self.switches.message_order)

    def incoming_posts(self, project: Project) -> list[Post]:
        """Posts and comments of the inbox, newest first."""
        return [
            post
            for post in reversed(self.posts.values())
            if post.project is project and post.is_incoming and post.is_listed
        ]

    def _sent_now(self, conversation: Conversation) -> datetime:
        now = self.clock.now()
        now = now.replace(microsecond=now.microsecond // 1000 * 1000)
        newest = conversation.last_message_at(counting_hidden=True)
        return now if newest is None else max(now, newest + timedelta(milliseconds=1))

    def _ordered(self, oldest_first: list[Item], first: Newness) -> list[Item]:
        match first:
            case Newness.OLDEST:
                return oldest_first
            case Newness.NEWEST:
                return oldest_first[::-1]
            case Newness.NONE:
                return self.random.sample(oldest_first, len(oldest_first))
