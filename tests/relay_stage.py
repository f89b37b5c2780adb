"""The relay between a Jollor and a Slack in memory, on a real database, on a clock that moves when told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from sqlalchemy import Connection, Executable, insert, select, update

from bridge.channels import replace_closed
from bridge.content import ActionId, Notice
from bridge.deliveries import Deliveries
from bridge.events import (
    ButtonPressed,
    ConversationChanged,
    HoldBackChosen,
    LineDeleted,
    LineEdited,
    LineFound,
    LineTyped,
    Sweep,
)
from bridge.ids import ChannelId, ConversationId, LinkId, MessageTs, ProjectId, TeamId, UserId, new_id
from bridge.links import to_link
from bridge.model import Channel, LinkKind, Mark, Person, Project
from bridge.queue.jobs import Job, Jobs
from bridge.queue.worker import Handler, Handlers, Worker
from bridge.relay.advice import Advice
from bridge.relay.again import SecondTries
from bridge.relay.cards import Cards
from bridge.relay.catchup import CatchUp
from bridge.relay.changes import Changes
from bridge.relay.floods import Floods
from bridge.relay.hints import Hints
from bridge.relay.holding import HoldingBack
from bridge.relay.inbound import Inbound
from bridge.relay.outbound import Outbound
from bridge.relay.posts import Posts
from bridge.relay.readback import ReadBack
from bridge.relay.replies import Replies
from bridge.relay.settling import Settling
from bridge.relay.thread_reading import ThreadReading
from bridge.relay.unread import Unread
from bridge.sender import Sender
from bridge.store.engine import Store
from bridge.store.tables import intents, jobs, links, projects
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
    shared_chat: FakeChat | None = None
    """The Slack of another process, to be worked with, too."""
    chat: FakeChat = field(init=False)
    outbound: Outbound = field(init=False)
    catch_up: CatchUp = field(init=False)
    jobs: Jobs = field(init=False)
    deliveries: Deliveries = field(init=False)
    worker: Worker = field(init=False)
    sender: Sender = field(init=False)

    def __post_init__(self) -> None:
        self.social.now = self.clock
        self.chat = self.shared_chat or FakeChat(now=self.clock)
        self.jobs = Jobs(self.store)
        self.deliveries = Deliveries(self.store)
        cards = Cards(dashboard_url="https://jollor.example")
        window = timedelta(seconds=self.undo_window_s)
        inbound = Inbound(self.store, self.social, cards)
        hints = Hints(self.store, self.social)
        outbound = self.outbound = Outbound(self.store, self.chat, cards, undo_window=window)
        changes = Changes(self.store, outbound, cards)
        holding = HoldingBack(self.store, self.chat, outbound)
        second_tries = SecondTries(self.store, self.chat)
        advice = Advice(self.store, self.chat, self.social, undo_window=window)
        unread = Unread(self.store, cards)
        settling = Settling(self.store, self.chat, self.social, cards)
        self.catch_up = CatchUp(self.store, self.social, cards)
        posts = Posts(self.store, self.social, cards)
        replies = Replies(self.store, self.social, cards, settling)
        read_back = ReadBack(self.store, self.chat)
        thread_reading = ThreadReading(self.store, self.chat)
        presses: Mapping[str, Handler] = {
            ActionId.SEND_ANYWAY: settling.send_anyway,
            ActionId.SETTLE_ARRIVED: settling.arrived,
            ActionId.SETTLE_SEND_AGAIN: settling.send_again,
            ActionId.SETTLE_DROP: settling.drop,
            ActionId.LOAD_ALL: Floods(self.store).load_all,
            ActionId.SEND_AGAIN: second_tries.send_again,
            ActionId.SEND_CORRECTION: second_tries.send_correction,
        }

        async def pressed(event: ButtonPressed, job: Job) -> None:
            await presses[event.action_id](event, job)

        of_lines: Mapping[str, Handler] = {
            "line_typed": outbound.line_typed,
            "line_edited": changes.line_edited,
            "line_deleted": changes.line_deleted,
        }

        async def found(event: LineFound, job: Job) -> None:
            await of_lines[event.line.kind](event.line, job)

        self.worker = self.a_worker(
            self.store,
            self.jobs,
            Handlers(
                by_kind={
                    "conversation_changed": inbound.conversation_changed,
                    "message_missing": hints.message_missing,
                    "message_hinted": hints.message_hinted,
                    "post_changed": posts.post_changed,
                    "sweep_all": self.catch_up.sweep_all,
                    "sweep": self.catch_up.sweep,
                    "came_back": self.catch_up.came_back,
                    "hold_back_chosen": holding.hold_back,
                    "advice_due": advice.advice_due,
                    **of_lines,
                    "line_found": found,
                    "read_back_all": read_back.read_back_all,
                    "read_channel": read_back.read_channel,
                    "read_thread": thread_reading.read_thread,
                    "send_reply": replies.send_reply,
                    "settle_reply": settling.settle_reply,
                    "mark_waiting": replies.mark_waiting,
                    "button_pressed": pressed,
                },
                coalesced=frozenset({"conversation_changed", "sweep", "read_channel"}),
                farewells={
                    "line_typed": outbound.could_not_take,
                    "hold_back_chosen": holding.could_not_hold_back,
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

    def a_worker(self, store: Store, jobs: Jobs, handlers: Handlers) -> Worker:
        """Return what does the work; a stage with more kinds of it adds them here."""
        return Worker(store, jobs, handlers)

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

    async def moves_to(self, channel: ChannelId) -> None:
        """Link the project to another channel in place of one that has closed, as people do."""
        self.chat.add_channel(Channel(channel, channel.lower()))
        closed = update(links).where(links.c.channel_id != channel)
        await self._execute(closed.values(problem="The channel is archived."))
        id_ = await self.link(channel=channel)

        def replace(conn: Connection) -> None:
            row = conn.execute(select(links).where(links.c.id == id_)).mappings().one()
            replace_closed(conn, self.clock(), to_link(row))

        await self.store.write(replace)
        await self.settle(within_s=300)

    async def unlink(self, link: LinkId) -> None:
        await self._execute(update(links).where(links.c.id == link).values(unlinked_at=self.clock()))

    async def _execute(self, statement: Executable) -> None:
        def execute(conn: Connection) -> None:
            conn.execute(statement)

        await self.store.write(execute)

    async def customer_writes(self, text: str, *, conversation: ConversationId = ROBIN) -> None:
        """A message comes in, and its webhook is stored."""
        message = self.social.customer_writes(BAKERY, conversation, text)
        await self.jobs.put(
            ConversationChanged(project_id=BAKERY, conversation_id=conversation, message_id=message.id)
        )

    async def thread(self, text: str = "Hello?") -> MessageTs:
        """A customer writes; return the root of the thread, once it stands and the link is there."""
        await self.customer_writes(text)
        await self.settle(within_s=30)
        return self.chat.roots(SUPPORT)[0].ts

    def a_line(self, text: str, root: MessageTs | None, **more: object) -> LineTyped:
        """A line that a person has just typed, as the bridge is told of it."""
        return self.chat.say(
            TEAM, SUPPORT, UserId(str(more.pop("user_id", BEN))), text, thread_ts=root, **more
        )

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

    async def holds_back(self, ts: str, root: MessageTs | None, *, by: UserId = BEN, **more: object) -> None:
        """Somebody chooses *Hold back* in the menu of a message, Ben's by default."""
        told: dict[str, object] = {
            "team_id": TEAM,
            "channel_id": SUPPORT,
            "ts": ts,
            "thread_ts": root,
            "user_id": by,
            "writer_id": BEN,
            "is_typed": True,
            "response_url": "https://hooks.slack.example/1",
        }
        await self.jobs.put(HoldBackChosen.model_validate(told | more))

    async def presses(
        self,
        post: FakePost,
        action: ActionId,
        *,
        by: UserId = BEN,
        value: str | None = None,
        channel: ChannelId = SUPPORT,
    ) -> None:
        """Somebody presses a button of a notice; twice, as people do. `value`: as the button was before."""
        value = value or self.value_of(post, action)
        for _ in range(2):
            await self.jobs.put(
                ButtonPressed(
                    team_id=TEAM,
                    channel_id=channel,
                    user_id=by,
                    action_id=action,
                    value=value,
                    message_ts=post.ts,
                    response_url="https://hooks.slack.example/2",
                )
            )

    async def sweep(self) -> int:
        """Have the project swept, and return how many conversations were listed for it."""
        before = self.social.calls.count("messages")
        await self.jobs.put(Sweep(project_id=BAKERY))
        await self.settle(within_s=60)
        return self.social.calls.count("messages") - before

    async def know_project(self) -> None:
        """Have the project's name and empty inbox stored, as linking it does."""
        values = {"name": "Harbour Bakery", "posts_known_at": self.clock(), "updated_at": self.clock()}
        await self._execute(insert(projects).values(id=BAKERY, **values))

    def value_of(self, post: FakePost, action: ActionId) -> str:
        """What a button of a notice carries."""
        notice = post.content
        assert isinstance(notice, Notice)
        return next(button.value for button in notice.buttons if button.action is action)

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

    def told(self) -> list[str]:
        """What the bridge said to single persons in answer to what they did, oldest first."""
        return [answer.content.text for answer in self.chat.answers if isinstance(answer.content, Notice)]

    def whispered(self) -> list[str]:
        """What the bridge told single persons of its own accord, oldest first."""
        return [whisper.content.text for whisper in self.chat.whispers if isinstance(whisper.content, Notice)]

    def buttons(self, post: FakePost) -> list[str]:
        """The labels of a notice's buttons."""
        assert isinstance(post.content, Notice)
        return [button.label for button in post.content.buttons]

    async def jobs_of(self, kind: str) -> Sequence[str]:
        """The states of all jobs of a kind, oldest first."""
        query = select(jobs.c.state).where(jobs.c.kind == kind).order_by(jobs.c.id)
        return await self.store.read(lambda conn: list(conn.execute(query).scalars()))
