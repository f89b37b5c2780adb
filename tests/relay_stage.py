"""The relay between a Jollor and a Slack in memory, on a real database, on a clock that moves when told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from sqlalchemy import Connection, Executable, insert, select, update

from bridge.content import ActionId, Notice
from bridge.deliveries import Deliveries
from bridge.events import ButtonPressed, ConversationChanged, LineDeleted, LineEdited, LineTyped
from bridge.ids import ChannelId, ConversationId, LinkId, MessageTs, ProjectId, TeamId, UserId, new_id
from bridge.model import Channel, LinkKind, Mark, Person, Project
from bridge.queue.jobs import Job, Jobs
from bridge.queue.worker import Handler, Handlers, Worker
from bridge.relay.cards import Cards
from bridge.relay.inbound import Inbound
from bridge.relay.outbound import Outbound
from bridge.relay.replies import Replies
from bridge.relay.settling import Settling
from bridge.relay.unread import Unread
from bridge.sender import Sender
from bridge.store.engine import Store
from bridge.store.tables import intents, jobs, links
from tests.fakes.chat import FakeChat, FakePost
from tests.fakes.social import FakeConversation, FakeSocial
from tests.outbox import TestClock

TEAM = TeamId("T1")
SUPPORT = ChannelId("C1")
BAKERY = ProjectId("bakery")
ROBIN = ConversationId("of/robin+==")
BEN = UserId("UBEN")


@dataclass
class Relay:
    """Handlers, worker and sender as the service wires them, without HTTP."""

    store: Store
    clock: TestClock
    social: FakeSocial = field(default_factory=FakeSocial)
    undo_window_s: float = 0.0
    chat: FakeChat = field(init=False)
    outbound: Outbound = field(init=False)
    jobs: Jobs = field(init=False)
    deliveries: Deliveries = field(init=False)
    worker: Worker = field(init=False)
    sender: Sender = field(init=False)

    def __post_init__(self) -> None:
        self.social.now = self.clock
        self.chat = FakeChat(now=self.clock)
        self.jobs = Jobs(self.store)
        self.deliveries = Deliveries(self.store)
        cards = Cards(dashboard_url="https://jollor.example")
        window = timedelta(seconds=self.undo_window_s)
        inbound = Inbound(self.store, self.social, cards)
        outbound = self.outbound = Outbound(self.store, self.chat, cards, undo_window=window)
        unread = Unread(self.store, cards)
        settling = Settling(self.store, self.chat, self.social, cards)
        replies = Replies(self.store, self.social, cards, settling)
        presses: Mapping[str, Handler] = {
            ActionId.SEND_ANYWAY: settling.send_anyway,
            ActionId.SETTLE_ARRIVED: settling.arrived,
            ActionId.SETTLE_SEND_AGAIN: settling.send_again,
            ActionId.SETTLE_DROP: settling.drop,
        }

        async def pressed(event: ButtonPressed, job: Job) -> None:
            await presses[event.action_id](event, job)

        self.worker = Worker(
            self.store,
            self.jobs,
            Handlers(
                by_kind={
                    "conversation_changed": inbound.conversation_changed,
                    "message_missing": inbound.message_missing,
                    "line_typed": outbound.line_typed,
                    "line_edited": outbound.line_edited,
                    "line_deleted": outbound.line_deleted,
                    "send_reply": replies.send_reply,
                    "settle_reply": settling.settle_reply,
                    "mark_waiting": replies.mark_waiting,
                    "button_pressed": pressed,
                },
                coalesced=frozenset({"conversation_changed"}),
                farewells={
                    "line_typed": outbound.could_not_take,
                    "send_reply": replies.could_not_send,
                    "settle_reply": settling.could_not_settle,
                    "conversation_changed": unread.message_not_read,
                    "message_missing": unread.message_not_read,
                },
            ),
        )
        self.sender = Sender(
            self.store, self.deliveries, self.chat, worker="sender", root_card=cards.root_again
        )
        self.chat.add_channel(Channel(SUPPORT, "support"))
        self.chat.add_person(Person(BEN, "Ben"))
        self.social.add_project(Project(BAKERY, "Harbour Bakery"))

    # --- doing ---------------------------------------------------------------------------------------

    async def link(
        self,
        kind: LinkKind = LinkKind.ALL,
        *,
        undo_window_s: float | None = None,
        channel: ChannelId = SUPPORT,
    ) -> LinkId:
        """Route the project to the channel."""
        row = {
            "id": new_id(),
            "team": TEAM,
            "project_id": BAKERY,
            "channel_id": channel,
            "kind": kind,
            "linked_at": self.clock(),
            "undo_window_s": undo_window_s,
        }
        await self._execute(insert(links).values(**row))
        return LinkId(str(row["id"]))

    async def unlink(self, link: LinkId) -> None:
        await self._execute(update(links).where(links.c.id == link).values(unlinked_at=self.clock()))

    async def _execute(self, statement: Executable) -> None:
        def execute(conn: Connection) -> None:
            conn.execute(statement)

        await self.store.write(execute)

    async def customer_writes(self, text: str) -> None:
        """A message comes in, and its webhook is stored."""
        message = self.social.customer_writes(BAKERY, ROBIN, text)
        await self.jobs.put(
            ConversationChanged(project_id=BAKERY, conversation_id=ROBIN, message_id=message.id)
        )

    async def thread(self, text: str = "Hello?") -> MessageTs:
        """A customer writes; return the root of the thread, once it stands and the link is there."""
        await self.customer_writes(text)
        await self.settle(within_s=30)
        return self.chat.roots(SUPPORT)[0].ts

    def a_line(self, text: str, root: MessageTs | None, **more: object) -> LineTyped:
        """A line that a person has just typed, as the bridge is told of it."""
        told: dict[str, object] = {
            "team_id": TEAM,
            "channel_id": SUPPORT,
            "ts": self.chat.add_line(SUPPORT),
            "thread_ts": root,
            "user_id": BEN,
            "text": text,
            "received_at": self.clock(),
        }
        return LineTyped.model_validate(told | more)

    async def types(self, text: str, root: MessageTs | None, **more: object) -> LineTyped:
        """A person types a line, and the bridge is told."""
        line = self.a_line(text, root, **more)
        await self.jobs.put(line)
        return line

    async def edits(self, line: LineTyped, text: str, *, edited_ts: str | None = None) -> None:
        """The writer changes a line, and the bridge is told."""
        await self.jobs.put(
            LineEdited(
                **line.model_dump(include={"team_id", "channel_id", "ts", "thread_ts", "user_id"}),
                text=text,
                edited_ts=edited_ts or self.chat.add_line(SUPPORT),
            )
        )

    async def deletes(self, line: LineTyped) -> None:
        """The writer deletes a line, and the bridge is told."""
        self.chat.remove(SUPPORT, MessageTs(line.ts))
        await self.jobs.put(
            LineDeleted(**line.model_dump(include={"team_id", "channel_id", "ts", "thread_ts", "user_id"}))
        )

    async def presses(self, post: FakePost, action: ActionId) -> None:
        """Somebody presses a button of a notice; twice, as people do."""
        notice = post.content
        assert isinstance(notice, Notice)
        value = next(button.value for button in notice.buttons if button.action is action)
        for _ in range(2):
            await self.jobs.put(
                ButtonPressed(
                    team_id=TEAM,
                    channel_id=SUPPORT,
                    user_id=BEN,
                    action_id=action,
                    value=value,
                    message_ts=post.ts,
                )
            )

    # --- letting time pass ---------------------------------------------------------------------------

    async def settle(self, *, within_s: float = 600.0) -> None:
        """Work, moving the clock from one due moment to the next, until nothing waits or time is up."""
        until = self.clock() + timedelta(seconds=within_s)
        while True:
            await self._work()
            dues = [await self.jobs.next_due(), await self.deliveries.next_due()]
            due = min((moment for moment in dues if moment is not None), default=None)
            if due is None or due > until:
                return
            self.clock.at = max(due, self.clock.at)

    async def pass_(self, seconds: float) -> None:
        """Work for so long, then stop the clock exactly there."""
        end = self.clock() + timedelta(seconds=seconds)
        await self.settle(within_s=seconds)
        self.clock.at = end
        await self._work()

    async def _work(self) -> None:
        await self.worker.run_until_idle()
        await self.sender.run_until_idle()

    # --- looking -------------------------------------------------------------------------------------

    @property
    def robin(self) -> FakeConversation:
        return self.social.conversation(BAKERY, ROBIN)

    def marks(self, line: LineTyped) -> set[Mark]:
        return self.chat.marks_of(SUPPORT, MessageTs(line.ts))

    def notices(self, root: MessageTs) -> list[FakePost]:
        """What the bridge itself said in a thread."""
        return [post for post in self.chat.thread(root) if post.outgoing.kind == "notice"]

    def said(self, root: MessageTs) -> list[str]:
        return [post.text for post in self.notices(root)]

    async def intent_states(self) -> list[str]:
        """The states of all replies, in the order of their lines."""
        query = select(intents.c.state).order_by(intents.c.ts)
        return await self.store.read(lambda conn: list(conn.execute(query).scalars()))

    async def jobs_of(self, kind: str) -> Sequence[str]:
        """The states of all jobs of a kind, oldest first."""
        query = select(jobs.c.state).where(jobs.c.kind == kind).order_by(jobs.c.id)
        return await self.store.read(lambda conn: list(conn.execute(query).scalars()))
