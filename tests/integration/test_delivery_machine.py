"""Deliveries against a simple model: order per thread, nothing lost, nothing sent twice at a time, and a row
that cannot be read fails alone."""

from __future__ import annotations

import asyncio
import itertools
import shutil
from collections.abc import Coroutine
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import text

from bridge.deliveries import Act, Delivery, State
from bridge.deliveries.join import lines_in
from bridge.ids import ChannelId, DeliveryId, MessageTs
from bridge.model import Thread
from bridge.store.engine import Store
from tests.outbox import TEAM, Outbox, TestClock

T = TypeVar("T")

LEASE_S = 15.0
CHANNELS = st.sampled_from([ChannelId("C1"), ChannelId("C2")])
WORKERS = st.sampled_from(["w1", "w2", "w3"])
AUTHORS = st.sampled_from(["Robin", "Robin", "Robin", "Kim"])
MINUTE = timedelta(minutes=1)


@dataclass
class Spoken:
    """What the model knows of a thread: what was put, and what became of it, in the order of landing."""

    thread: Thread
    put: list[str] = field(default_factory=list)
    landed: list[str] = field(default_factory=list)


class DeliveryMachine(RuleBasedStateMachine):
    """Drives the real rows as several senders would, and remembers what was put and what landed."""

    held = Bundle("held")

    url = ""

    def __init__(self) -> None:
        super().__init__()
        self.empty_database()
        self.runner = asyncio.Runner()
        self.clock = TestClock()
        self.store = Store(self.url, clock=self.clock)
        self.run(self.store.__aenter__())
        self.outbox = Outbox(self.store, self.clock)
        self.spoken: list[Spoken] = []
        self.names = itertools.count(1)
        self.stamps = itertools.count(1)
        self.unreadable: set[str] = set()
        self.ids: dict[str, str] = {}
        """What each row that was put is called."""

    def empty_database(self) -> None:
        raise NotImplementedError

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    # --- putting -------------------------------------------------------------------------------------

    @precondition(lambda self: len(self.spoken) < 4)
    @rule(channel=CHANNELS)
    def begin(self, channel: ChannelId) -> None:
        name = f"customer {next(self.names)}"
        self.spoken.append(Spoken(self.run(self.outbox.thread(name, channel))))

    @precondition(lambda self: self.spoken)
    @rule(data=st.data(), authors=st.lists(AUTHORS, min_size=1, max_size=4))
    def write(self, data: st.DataObject, authors: list[str]) -> None:
        spoken = data.draw(st.sampled_from(self.spoken))
        for author in authors:
            name = f"m{next(self.names)}"
            self.ids[self.run(self.outbox.message(spoken.thread, name, author=author))] = name
            spoken.put.append(name)

    @precondition(lambda self: self.spoken)
    @rule(data=st.data())
    def say(self, data: st.DataObject) -> None:
        self.run(self.outbox.notice(data.draw(st.sampled_from(self.spoken)).thread, "a sentence"))

    @rule()
    def spoil(self) -> None:
        """The newest message that waits alone becomes one that this version cannot read."""
        waiting = self.run(self.outbox.rows(state=State.READY, kind="message", attempt=0))
        alone = [row for row in waiting if '"type":"line"' in row["content"]]
        if not alone:
            return
        spoilt = text("update deliveries set content = :content where id = :id")
        values = {"content": '{"type":"of tomorrow"}', "id": alone[-1]["id"]}
        self.run(self.store.write(lambda conn: conn.execute(spoilt, values).close()))
        self.unreadable.add(alone[-1]["id"])

    # --- sending -------------------------------------------------------------------------------------

    @rule(target=held, worker=WORKERS, limit=st.integers(1, 6))
    def claim(self, worker: str, limit: int) -> Any:
        self.clock.pass_(0.001)
        claimed = self.run(self.outbox.claim(worker, limit=limit, lease_s=LEASE_S))
        assert len(claimed) <= limit
        assert len({one.id for one in claimed}) == len(claimed)
        assert not {one.id for one in claimed} & self.unreadable
        for one in claimed:
            assert one.is_root or one.thread is None or one.root_ts is not None, "a root goes first"
        return multiple(*claimed)

    @rule(one=held)
    def lands(self, one: Delivery) -> None:
        """Slack has it; the answer counts unless somebody else has taken the row since."""
        ts = MessageTs(f"{next(self.stamps)}.0")
        self.run(self.outbox.book.done(one, ts))
        row = self.run(self.outbox.row(one.id))
        if row["slack_ts"] == ts:
            self._of(one).landed += [line.text for line in lines_in(one.content)]

    @rule(one=held, how=st.sampled_from(["again", "limited", "paused", "away", "uncertain", "root"]))
    def fails(self, one: Delivery, how: str) -> None:
        book = self.outbox.book
        match how:
            case "again":
                self.run(book.again(one, how, delay=timedelta(seconds=4)))
            case "limited":
                self.run(book.limited(one, timedelta(seconds=3)))
            case "paused":
                self.run(book.paused(one, one.target, "closed"))
            case "away":
                self.run(book.paused(one, f"team:{TEAM}", "away"))
            case "uncertain":
                self.run(book.uncertain(one, how, delay=timedelta(seconds=3)))
            case "root":
                if not one.is_root and one.thread is not None:
                    self.run(book.root_gone(one, None))

    @rule(one=held)
    def refused_joined(self, one: Delivery) -> None:
        if len(lines_in(one.content)) > 1 and not one.in_doubt:
            self.run(self.outbox.book.separated(one, "too long"))

    @rule(one=held)
    def not_there(self, one: Delivery) -> None:
        if one.in_doubt:
            self.run(self.outbox.book.not_there(one))

    @rule(one=held)
    def keep(self, one: Delivery) -> None:
        self.run(self.outbox.book.keep([one], timedelta(seconds=LEASE_S)))

    # --- crashes and time ----------------------------------------------------------------------------

    @rule()
    def rescue(self) -> None:
        self.run(self.outbox.book.rescue())

    @rule(worker=WORKERS)
    def start_alone(self, worker: str) -> None:
        self.run(self.outbox.book.rescue(alone=worker))

    @rule(seconds=st.sampled_from([0.5, 1.01, 2, 4, 10, 16, 61]))
    def time_passes(self, seconds: float) -> None:
        self.clock.pass_(seconds)

    # --- what always holds ---------------------------------------------------------------------------

    @invariant()
    def no_thread_has_two_posts_under_way(self) -> None:
        rows = self.run(self.outbox.rows(state=State.SENDING, act=Act.POST))
        lanes = [row["lane"] for row in rows if row["lane"]]
        assert len(lanes) == len(set(lanes))

    @invariant()
    def what_landed_is_in_the_order_of_putting_and_there_once(self) -> None:
        for spoken in self.spoken:
            places = [spoken.put.index(name) for name in spoken.landed]
            assert places == sorted(set(places)), spoken

    @invariant()
    def every_message_is_in_one_place(self) -> None:
        """Done, refused, or waiting; what is joined goes along with something that waits or is under way."""
        rows = {row["id"]: row for row in self.run(self.outbox.rows(kind="message"))}
        assert set(rows) == set(self.ids)
        for row in rows.values():
            if row["state"] == State.JOINED:
                carrier = rows[row["joined_into"]]
                assert carrier["state"] in (State.READY, State.SENDING, State.UNCERTAIN)
                assert self.ids[row["id"]] in carrier["content"]

    def _of(self, one: Delivery) -> Spoken:
        return next(spoken for spoken in self.spoken if spoken.thread.id == one.thread)

    def teardown(self) -> None:
        """In the end everything that can be read has landed, each message once, in its order."""
        try:
            for _ in range(8 * len(self.ids) + 40):
                self.clock.at += MINUTE
                self.run(self.outbox.book.rescue())
                for one in self.run(self.outbox.claim("last", limit=8)):
                    self.lands(one)
                if self.run(self.outbox.book.next_due()) is None:
                    break
            states = {row["id"]: row["state"] for row in self.run(self.outbox.rows())}
            assert set(states.values()) <= {State.DONE, State.REFUSED}
            assert {id_ for id_, state in states.items() if state == State.REFUSED} == self.unreadable
            lost = {self.ids[DeliveryId(id_)] for id_ in self.unreadable}
            for spoken in self.spoken:
                assert spoken.landed == [name for name in spoken.put if name not in lost]
        finally:
            self.run(self.store.__aexit__(None, None, None))
            self.runner.close()


@pytest.mark.timeout(400)  # it takes seconds, unless it found something and looks for the shortest way there
def test_deliveries_keep_their_promises_on_sqlite(sqlite_template: Path, tmp_path: Path) -> None:
    class Machine(DeliveryMachine):
        url = f"sqlite+aiosqlite:///{tmp_path}/bridge.db"

        def empty_database(self) -> None:
            for file in tmp_path.iterdir():
                file.unlink()
            shutil.copy(sqlite_template, tmp_path / "bridge.db")

    run_machine(Machine, examples=15, steps=40)


@pytest.mark.postgres
@pytest.mark.timeout(400)
def test_deliveries_keep_their_promises_on_postgres(migrated_postgres_url: str) -> None:
    tables = "deliveries, shown_messages, threads, former_roots, buckets, pauses, attempts"

    async def empty() -> None:
        async with Store(migrated_postgres_url) as store:
            await store.write(lambda conn: conn.execute(text(f"truncate {tables}")).close())

    class Machine(DeliveryMachine):
        url = migrated_postgres_url

        def empty_database(self) -> None:
            asyncio.run(empty())

    run_machine(Machine, examples=6, steps=30)


def run_machine(machine: type[DeliveryMachine], *, examples: int, steps: int) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            print_blob=True,
        ),
    )
