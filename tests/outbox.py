"""A sender between a real database and a Slack in memory, on a clock that moves only when told to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, select
from sqlalchemy.engine import RowMapping

from bridge.content import Content, Line, Notice
from bridge.deliveries import (
    Deliveries,
    Delivery,
    Shown,
    put_channel_post,
    put_mark,
    put_notice,
    put_reply,
    put_root,
)
from bridge.ids import ChannelId, DeliveryId, LineRef, LinkId, MessageTs, ProjectId, TeamId
from bridge.mapping import open_thread, thread_by_id
from bridge.model import Channel, Link, LinkKind, Mark, Target, TargetKind, Thread
from bridge.ports import Outgoing, Posted
from bridge.sender import Sender
from bridge.store import pauses
from bridge.store.attempts import history
from bridge.store.engine import Store
from bridge.store.pauses import Pause
from bridge.store.tables import deliveries, threads
from tests.fakes.chat import FakeChat, FakePost

TEAM = TeamId("T1")
SUPPORT = ChannelId("C1")
BAKERY = ProjectId("bakery")
START = datetime(2026, 11, 23, 12, tzinfo=UTC)


@dataclass
class TestClock:
    """Stands still; `pass_` moves it."""

    __test__ = False

    at: datetime = START

    def __call__(self) -> datetime:
        return self.at

    def pass_(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


@dataclass
class SlowChat(FakeChat):
    """Posts can be found again only when they have been there for `hidden_s`."""

    hidden_s: float = 0.0

    def recover(self) -> None:
        """Let nothing fail any more."""
        self._failures.clear()

    async def find(self, outgoing: Outgoing, *, since: datetime) -> Posted | None:
        found = await super().find(outgoing, since=since)
        if found is None:
            return None
        seen_since = datetime.fromtimestamp(float(found.ts), UTC) + timedelta(seconds=self.hidden_s)
        return found if self.now() >= seen_since else None


@dataclass
class Outbox:
    """What tests act on: put something, `settle`, look at `chat` and at the rows."""

    store: Store
    clock: TestClock
    chat: SlowChat = field(init=False)
    book: Deliveries = field(init=False)
    sender: Sender = field(init=False)

    def __post_init__(self) -> None:
        self.chat = SlowChat(now=self.clock)
        self.book = Deliveries(self.store)
        self.sender = self.a_sender("w1")
        self.add_channel(SUPPORT)

    def a_sender(self, name: str) -> Sender:
        """Return a further sender on the same rows, as another process would have."""
        return Sender(
            self.store,
            self.book,
            self.chat,
            worker=name,
            root_card=lambda conn, one: Notice(text="continued"),
        )

    def add_channel(self, id_: ChannelId) -> ChannelId:
        return self.chat.add_channel(Channel(id_, id_.lower())).id

    # --- owing ---------------------------------------------------------------------------------------

    async def thread(self, customer: str = "robin", channel: ChannelId = SUPPORT) -> Thread:
        """A thread with a root that waits to be posted."""

        def open_(conn: Connection) -> Thread:
            link = Link(LinkId("l1"), TEAM, BAKERY, channel, LinkKind.ALL, START)
            target = Target(BAKERY, TargetKind.CONVERSATION, customer)
            thread, is_new = open_thread(conn, self.clock(), link, target)
            assert is_new
            put_root(conn, self.clock(), thread, "root", Notice(text=f"root of {customer}"))
            return thread

        return await self.store.write(open_)

    async def rooted_thread(self, customer: str = "robin", channel: ChannelId = SUPPORT) -> Thread:
        """A thread whose root stands."""
        thread = await self.thread(customer, channel)
        await self.settle()
        return await self.now_of(thread)

    async def now_of(self, thread: Thread) -> Thread:
        """The thread as it is now."""
        found = await self.store.read(lambda conn: thread_by_id(conn, thread.id))
        assert found is not None
        return found

    async def root_of(self, thread: Thread) -> MessageTs:
        root = (await self.now_of(thread)).root_ts
        assert root is not None
        return root

    async def reply(self, thread: Thread, text: str, *, content: Content | None = None) -> DeliveryId:
        """Owe a line of the transcript."""
        shows = [Shown(BAKERY, text)]
        return await self.store.write(
            lambda conn: put_reply(
                conn, self.clock(), thread, "message", content or Notice(text=text), shows=shows
            )
        )

    async def message(self, thread: Thread, text: str, **more: object) -> DeliveryId:
        """Owe a message of the thread's customer; unlike what `reply` owes it may be joined."""
        fields = {"author": "Robin", "provider": "instagram", "origin": "customer", "sent_at": self.clock()}
        line = Line.model_validate({**fields, "text": text, **more})
        return await self.reply(thread, text, content=line)

    async def notice(self, thread: Thread, text: str) -> DeliveryId:
        return await self.store.write(lambda conn: put_notice(conn, self.clock(), thread, Notice(text=text)))

    async def channel_post(self, text: str, channel: ChannelId = SUPPORT) -> DeliveryId:
        return await self.store.write(
            lambda conn: put_channel_post(conn, self.clock(), TEAM, channel, "alert", Notice(text=text))
        )

    async def mark(
        self, ts: MessageTs, mark: Mark, *, add: bool = True, channel: ChannelId = SUPPORT
    ) -> None:
        line = LineRef(TEAM, channel, ts)
        await self.store.write(lambda conn: put_mark(conn, self.clock(), line, mark, add=add))

    # --- letting time pass ---------------------------------------------------------------------------

    async def settle(self, *senders: Sender, within_s: float = 3_600.0) -> None:
        """Send, moving the clock from one due moment to the next, until nothing waits or time is up."""
        until = self.clock() + timedelta(seconds=within_s)
        while True:
            for sender in senders or [self.sender]:
                await sender.run_until_idle()
            due = await self.book.next_due()
            if due is None or due > until:
                return
            self.clock.at = max(due, self.clock.at)

    async def pass_(self, seconds: float) -> None:
        """Send for so long, then stop the clock exactly there."""
        end = self.clock() + timedelta(seconds=seconds)
        await self.settle(within_s=seconds)
        self.clock.at = end
        await self.sender.run_until_idle()

    async def claim(self, worker: str = "w0", *, limit: int = 8, lease_s: float = 15.0) -> list[Delivery]:
        """Take what may go, as a sender would that does nothing with it."""
        return await self.book.claim(worker, limit=limit, lease=timedelta(seconds=lease_s))

    # --- looking -------------------------------------------------------------------------------------

    def texts(self, channel: ChannelId = SUPPORT) -> list[str]:
        """What stands in a channel and its threads, in the order of posting."""
        return [post.text for post in self.posts(channel)]

    def posts(self, channel: ChannelId = SUPPORT) -> list[FakePost]:
        return [post for post in self.chat.posts if post.outgoing.channel == channel]

    def moments(self, posts: Sequence[FakePost]) -> list[float]:
        """When each was posted, in seconds since the start of the test."""
        return [round(float(post.ts) - START.timestamp(), 3) for post in posts]

    async def row(self, id_: DeliveryId) -> RowMapping:
        query = select(deliveries).where(deliveries.c.id == id_)
        return await self.store.read(lambda conn: conn.execute(query).mappings().one())

    async def rows(self, **wanted: object) -> list[RowMapping]:
        query = select(deliveries).order_by(deliveries.c.seq)
        for name, value in wanted.items():
            query = query.where(deliveries.c[name] == value)
        return await self.store.read(lambda conn: list(conn.execute(query).mappings()))

    async def states(self) -> list[str]:
        return [row["state"] for row in await self.rows()]

    async def outcomes(self, id_: DeliveryId) -> list[str]:
        """What was recorded of its attempts."""
        lines = await self.store.read(lambda conn: history(conn, f"delivery:{id_}"))
        return [line.outcome for line in lines]

    async def pauses(self) -> list[Pause]:
        return await self.store.read(pauses.current)

    async def thread_row(self, thread: Thread) -> RowMapping:
        query = select(threads).where(threads.c.id == thread.id)
        return await self.store.read(lambda conn: conn.execute(query).mappings().one())
