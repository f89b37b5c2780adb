"""Lines that no event told of: found by reading threads, dealt with once, asked about if they are late."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from sqlalchemy import Connection, Update, insert, select

from bridge.content import ActionId
from bridge.errors import BridgeError, PermanentError, Snooze, TargetDown
from bridge.events import LineDeleted, LineTyped, ReadBackAll
from bridge.ids import ChannelId, ConversationId, MessageTs, UserId
from bridge.model import Channel, LinkKind, Mark, Person, Reading
from bridge.ports import READS_LIMITED
from bridge.queue.jobs import NewJob, put_in
from bridge.relay import looked
from bridge.relay.catchup import came_back
from bridge.store.engine import Store
from bridge.store.tables import channels_read, deliveries, former_roots, outages, threads, workers
from tests.outbox import TestClock
from tests.relay_stage import SUPPORT, TEAM, Relay

HOUR = 3_600.0
A_MINUTE = Snooze(READS_LIMITED, delay=timedelta(seconds=60), user_message="Slack asked me to slow down.")
A_MOMENT = Snooze(READS_LIMITED, delay=timedelta(seconds=3), user_message="Slack asked me to slow down.")


@pytest.fixture
async def relay(migrated_url: str) -> AsyncIterator[Relay]:
    clock = TestClock()
    async with Store(migrated_url, clock=clock) as store:
        yield Relay(store, clock)


async def looks(relay: Relay, event: ReadBackAll | None = None, *, for_s: float = 30.0) -> None:
    """Let the bridge read back."""
    await relay.jobs.put(event or ReadBackAll())
    await relay.pass_(for_s)


async def told(relay: Relay, line: LineTyped) -> None:
    """Slack delivers the event after all."""
    await relay.jobs.put(line.model_copy(update={"received_at": relay.clock()}))
    await relay.pass_(30)


async def was_away(relay: Relay, seconds: float) -> None:
    """Let time pass of which the database knows that nobody was there."""
    began = relay.clock()
    relay.clock.pass_(seconds)
    ended = relay.clock()
    await relay.store.write(
        lambda conn: conn.execute(insert(outages).values(began_at=began, ended_at=ended)) and None
    )


async def reads(relay: Relay) -> list[str]:
    return [call for call in relay.chat.calls if call in ("threads", "lines")]


async def reading(relay: Relay) -> Reading | None:
    return await relay.store.read(lambda conn: looked.reading(conn, TEAM))


# --- young and late ----------------------------------------------------------------------------------


async def test_a_line_that_no_event_told_of_is_sent_if_it_is_young(relay: Relay) -> None:
    await relay.link()
    root = await relay.thread()
    line = relay.a_line("Yes.", root)
    relay.clock.pass_(540)
    await looks(relay)
    assert relay.robin.received == ["Yes."]
    assert relay.marks(line) == {Mark.ACCEPTED}
    assert relay.said(root) == []


@pytest.mark.parametrize("action", [ActionId.SEND_ANYWAY, ActionId.SETTLE_DROP])
async def test_a_line_typed_while_the_bridge_was_away_is_offered(relay: Relay, action: ActionId) -> None:
    await relay.link()
    root = await relay.thread()
    line = relay.a_line("Yes.", root)
    await was_away(relay, 2 * HOUR)
    await looks(relay)
    assert relay.robin.received == []
    assert relay.marks(line) == {Mark.WAITING}
    (notice,) = relay.notices(root)
    assert notice.text == "This was typed 2 hours ago while I was away. Send it now?"
    await relay.presses(notice, action)
    await relay.pass_(60)
    assert relay.robin.received == (["Yes."] if action is ActionId.SEND_ANYWAY else [])
    assert relay.marks(line) == {Mark.ACCEPTED if action is ActionId.SEND_ANYWAY else Mark.FAILED}


async def test_a_late_line_from_a_time_at_which_the_bridge_was_there_does_not_say_that_it_was_away(
    relay: Relay,
) -> None:
    await relay.link()
    root = await relay.thread()
    relay.a_line("Yes.", root)
    relay.clock.pass_(15 * 60)
    await looks(relay)
    assert relay.said(root) == ["This was typed 15 minutes ago, and Slack did not tell me then. Send it now?"]


async def test_a_young_line_that_was_overtaken_is_offered(relay: Relay) -> None:
    await relay.link()
    root = await relay.thread()
    line = relay.a_line("first", root)
    await relay.types("second", root)
    await relay.pass_(30)
    await looks(relay)
    assert relay.robin.received == ["second"]
    assert relay.marks(line) == {Mark.WAITING}
    assert "went out before it" in relay.said(root)[0]


async def test_what_is_typed_while_the_thread_is_read_goes_after_what_is_found(relay: Relay) -> None:
    await relay.link()
    root = await relay.thread()
    relay.a_line("first", root)
    relay.a_line("second", root)
    await relay.jobs.put(ReadBackAll())
    await relay.types("third", root)
    await relay.pass_(30)
    assert relay.robin.received == ["first", "second", "third"]
    assert relay.said(root) == []


# --- once --------------------------------------------------------------------------------------------


async def test_a_line_that_was_told_of_before_is_left_alone(relay: Relay) -> None:
    await relay.link()
    root = await relay.thread()
    line = await relay.types("Yes.", root)
    await relay.pass_(30)
    relay.clock.pass_(2 * HOUR)
    await looks(relay, ReadBackAll(since=relay.clock() - timedelta(days=1)))
    assert relay.robin.received == ["Yes."]
    assert relay.marks(line) == {Mark.ACCEPTED}
    assert relay.said(root) == []
    assert await relay.jobs_of("line_found") == []


@pytest.mark.parametrize("seconds", [60, 2 * HOUR])
async def test_an_event_that_comes_after_its_line_was_found_changes_nothing(
    relay: Relay, seconds: float
) -> None:
    await relay.link()
    root = await relay.thread()
    line = relay.a_line("Yes.", root)
    relay.clock.pass_(seconds)
    await looks(relay)
    before = (list(relay.robin.received), relay.marks(line), relay.said(root))
    await told(relay, line)
    assert (relay.robin.received, relay.marks(line), relay.said(root)) == before
    assert len(await relay.intent_states()) == 1


async def test_a_line_that_came_as_two_messages_is_one(relay: Relay) -> None:
    await relay.link()
    root = await relay.thread()
    await relay.types("Yes.", root, client_msg_id="m1")
    relay.a_line("Yes.", root, client_msg_id="m1")
    await relay.pass_(30)
    await looks(relay)
    assert relay.robin.received == ["Yes."]


async def test_two_looks_at_once_in_two_processes_and_the_event_find_a_line_once(
    relay: Relay, migrated_url: str
) -> None:
    await relay.link()
    root = await relay.thread()
    lines = [relay.a_line(f"line {number}", root) for number in range(3)]
    async with Store(migrated_url, clock=relay.clock) as store:
        other = Relay(store, relay.clock, social=relay.social, shared_chat=relay.chat)
        for _ in range(2):
            await relay.jobs.put(ReadBackAll())
        for line in lines:
            await relay.jobs.put(line)
        workers_ = [relay.worker] if store.is_sqlite else [relay.worker, other.worker]
        for _ in range(30):
            await asyncio.gather(*(worker.run_until_idle() for worker in workers_))
            relay.clock.pass_(1)
    await relay.pass_(30)
    assert relay.robin.received == ["line 0", "line 1", "line 2"]
    assert [relay.marks(line) for line in lines] == [{Mark.ACCEPTED}] * 3
    assert relay.said(root) == []


async def test_looking_again_reads_a_thread_again_only_if_something_is_new_in_it(relay: Relay) -> None:
    await relay.link()
    root = await relay.thread()
    relay.a_line("Yes.", root)
    await looks(relay)
    before = await reads(relay)
    await looks(relay)
    assert (await reads(relay))[len(before) :] == ["threads"]
    relay.a_line("And yes.", root)
    await looks(relay)
    assert relay.robin.received == ["Yes.", "And yes."]


# --- changed meanwhile -------------------------------------------------------------------------------


async def test_a_line_that_was_edited_before_it_was_found_goes_out_as_it_stands(relay: Relay) -> None:
    await relay.link(undo_window_s=20)
    root = await relay.thread()
    line = relay.a_line("Nein.", root)
    edited = relay.chat.edit(SUPPORT, MessageTs(line.ts), "Yse.")
    last = relay.chat.edit(SUPPORT, MessageTs(line.ts), "Yes.")
    await looks(relay, for_s=5)
    await relay.edits(line, "Yse.", edited_ts=edited)  # Slack's event of the first edit, late
    await relay.edits(line, "Yes.", edited_ts=last)
    await relay.pass_(60)
    assert relay.robin.received == ["Yes."]
    assert relay.said(root) == []


async def test_an_edit_of_a_known_line_that_no_event_told_of_is_noted(relay: Relay) -> None:
    await relay.link()
    root = await relay.thread()
    line = await relay.types("Eight.", root)
    await relay.pass_(30)
    edited = relay.chat.edit(SUPPORT, MessageTs(line.ts), "Nine.")
    relay.a_line("// see above", root)
    await looks(relay)
    (sentence,) = relay.said(root)
    assert "edited in Slack after it was sent" in sentence
    await relay.edits(line, "Nine.", edited_ts=edited)
    await relay.pass_(30)
    assert relay.said(root) == [sentence]


async def test_an_edit_of_a_waiting_line_that_no_event_told_of_changes_what_is_sent(relay: Relay) -> None:
    await relay.link(undo_window_s=60)
    root = await relay.thread()
    line = await relay.types("Eight.", root)
    await relay.pass_(5)
    relay.chat.edit(SUPPORT, MessageTs(line.ts), "Nine.")
    await looks(relay, for_s=200)
    assert relay.robin.received == ["Nine."]


async def test_a_line_that_was_deleted_before_it_was_found_is_nothing(relay: Relay) -> None:
    await relay.link()
    root = await relay.thread()
    line = relay.a_line("Oops.", root)
    relay.chat.remove(SUPPORT, MessageTs(line.ts))
    relay.a_line("Yes.", root)
    await looks(relay)
    assert relay.robin.received == ["Yes."]


async def test_a_waiting_line_that_stands_in_its_thread_no_more_is_not_sent(relay: Relay) -> None:
    await relay.link(undo_window_s=600)
    root = await relay.thread()
    line = await relay.types("Oops.", root)
    kept = await relay.types("Yes.", root)
    await relay.pass_(5)
    relay.chat.remove(SUPPORT, MessageTs(line.ts))
    relay.clock.pass_(120)
    await looks(relay, for_s=900)
    assert relay.robin.received == ["Yes."]
    assert relay.marks(kept) == {Mark.ACCEPTED}
    assert await relay.intent_states() == ["cancelled", "accepted"]


async def test_a_line_that_slack_does_not_list_yet_is_not_taken_for_deleted(relay: Relay) -> None:
    await relay.link(undo_window_s=20)
    root = await relay.thread()
    line = await relay.types("Yes.", root)
    await relay.pass_(1)
    relay.chat._typed.pop((SUPPORT, MessageTs(line.ts)))
    await looks(relay)
    assert relay.robin.received == ["Yes."]


async def test_a_deletion_that_was_told_of_while_the_page_was_on_its_way_wins(relay: Relay) -> None:
    await relay.link(undo_window_s=20)
    root = await relay.thread()
    line = relay.a_line("Oops.", root)
    told_of = LineDeleted(**line.model_dump(include={"team_id", "channel_id", "ts", "thread_ts", "user_id"}))
    await relay.jobs.put(told_of)
    await relay.pass_(1)
    await looks(relay, for_s=60)
    assert relay.robin.received == []


async def test_a_waiting_line_under_a_former_root_is_not_taken_for_deleted(relay: Relay) -> None:
    await relay.link(undo_window_s=600)
    root = await relay.thread()
    line = await relay.types("Yes.", root)
    await relay.pass_(90)
    new_root = relay.chat.posts[0].outgoing
    moved = await relay.chat.post(new_root)

    def replace(conn: Connection) -> None:
        (thread,) = conn.execute(select(threads.c.id)).scalars()
        conn.execute(
            insert(former_roots).values(team=TEAM, channel_id=SUPPORT, root_ts=root, thread_id=thread)
        )
        conn.execute(threads.update().values(root_ts=moved.ts))

    await relay.store.write(replace)
    below = relay.a_line("below the old one", root)
    await looks(relay, for_s=900)
    assert relay.robin.received == ["Yes.", "below the old one"]
    assert relay.marks(line) == relay.marks(below) == {Mark.ACCEPTED}


# --- whose and where ---------------------------------------------------------------------------------


async def test_an_internal_note_gets_its_lock_late_and_is_never_offered(relay: Relay) -> None:
    await relay.link()
    root = await relay.thread()
    line = relay.a_line("// ask the baker", root)
    await was_away(relay, 5 * HOUR)
    await looks(relay)
    assert relay.marks(line) == {Mark.INTERNAL}
    assert (relay.said(root), relay.robin.received) == ([], [])


async def test_guests_files_and_strangers_are_refused_late_as_well_and_apps_are_passed_over(
    relay: Relay,
) -> None:
    await relay.link()
    root = await relay.thread()
    for person in (Person(UserId("UGUS"), "Gus", is_guest=True), Person(UserId("UBOT"), "Bot", is_bot=True)):
        relay.chat.add_person(person)
    guest = relay.a_line("from a guest", root, user_id="UGUS")
    stranger = relay.a_line("from elsewhere", root, user_id="UNOBODY")
    picture = relay.a_line("a picture", root, has_files=True)
    app = relay.a_line("from an app", root, user_id="UBOT")
    await was_away(relay, HOUR)
    await looks(relay)
    assert [relay.marks(line) for line in (guest, stranger, picture)] == [{Mark.FAILED}] * 3
    assert relay.marks(app) == set()
    assert len(relay.said(root)) == 3
    assert relay.robin.received == []


async def test_what_was_typed_before_the_link_in_force_is_none_of_ours(relay: Relay) -> None:
    link = await relay.link()
    root = await relay.thread()
    await relay.unlink(link)
    before = relay.a_line("while it was not linked", root)
    await looks(relay)
    assert await reads(relay) == []
    relay.clock.pass_(60)
    await relay.link(LinkKind.MESSAGE)
    after = relay.a_line("Yes.", root)
    await looks(relay)
    assert relay.robin.received == ["Yes."]
    assert (relay.marks(before), relay.marks(after)) == (set(), {Mark.ACCEPTED})


async def test_threads_that_are_not_ours_are_not_read(relay: Relay) -> None:
    await relay.link()
    root = await relay.thread()
    stray = await relay.chat.post(relay.chat.posts[0].outgoing)
    relay.a_line("talk", stray.ts)
    relay.a_line("Yes.", root)
    await looks(relay)
    assert relay.robin.received == ["Yes."]
    assert (await reads(relay)).count("lines") == 1


async def test_only_channels_in_which_people_answer_are_looked_through(relay: Relay) -> None:
    sales, alerts = ChannelId("C2"), ChannelId("C3")
    for id_ in (sales, alerts):
        relay.chat.add_channel(Channel(id_, id_.lower()))
    await relay.link()
    await relay.link(LinkKind.POST)
    await relay.link(LinkKind.MESSAGE, channel=sales)
    await relay.link(LinkKind.ALERT, channel=alerts)
    await looks(relay)
    assert await reads(relay) == ["threads", "threads"]
    await looks(relay, ReadBackAll(project_id="another"))
    assert await reads(relay) == ["threads", "threads"]


# --- when --------------------------------------------------------------------------------------------


async def test_each_start_looks_back_to_where_the_last_look_ended(relay: Relay) -> None:
    await relay.link()
    root = await relay.thread()
    await looks(relay)
    relay.clock.pass_(60)
    await relay.store.write(
        lambda conn: (
            conn.execute(insert(workers).values(id="w", started_at=relay.clock(), seen_at=relay.clock()))
            and None
        )
    )
    relay.a_line("Yes.", root)
    relay.clock.pass_(30 * HOUR)
    await came_back(relay.store, scale=1)
    await relay.pass_(60)
    assert relay.said(root) == ["This was typed 30 hours ago while I was away. Send it now?"]


async def test_a_look_can_be_put_from_any_transaction(relay: Relay) -> None:
    await relay.link()
    root = await relay.thread()
    relay.a_line("Yes.", root)
    since = relay.clock() - timedelta(hours=1)
    await relay.store.write(
        lambda conn: put_in(conn, [NewJob(ReadBackAll(since=since))], relay.store.now(conn))
    )
    await relay.pass_(30)
    assert relay.robin.received == ["Yes."]


async def test_a_backfill_reads_again_what_was_looked_through(relay: Relay) -> None:
    await relay.link()
    root = await relay.thread()
    line = relay.a_line("Yes.", root)
    await relay.store.write(
        lambda conn: looked.looked_through(conn, TEAM, SUPPORT, relay.clock() + timedelta(hours=1))
    )
    relay.clock.pass_(2 * HOUR)
    await looks(relay)
    assert relay.marks(line) == set()
    await looks(relay, ReadBackAll(since=relay.clock() - timedelta(hours=3)))
    assert relay.marks(line) == {Mark.WAITING}


async def test_a_look_does_not_pass_over_a_thread_whose_root_is_not_known_yet(relay: Relay) -> None:
    await relay.link()
    await relay.thread()
    await looks(relay)
    mark = await looked_to(relay)
    relay.clock.pass_(HOUR)
    await relay.store.write(
        lambda conn: (
            conn.execute(threads.update().values(root_ts=None))
            and conn.execute(deliveries_in_doubt())
            and None
        )
    )
    await looks(relay, for_s=1)
    assert await looked_to(relay) == mark


async def looked_to(relay: Relay) -> object:
    return await relay.store.read(lambda conn: conn.execute(select(channels_read.c.read_to)).scalar())


def deliveries_in_doubt() -> Update:
    later = TestClock().at + timedelta(days=1)
    return deliveries.update().where(deliveries.c.is_root).values(state="uncertain", scheduled_at=later)


# --- within Slack's limits ---------------------------------------------------------------------------


async def many_threads(relay: Relay, count: int) -> list[LineTyped]:
    """So many threads, in each a line that no event told of; return the lines, oldest first."""
    for number in range(count):
        await relay.customer_writes(f"Hello {number}?", conversation=ConversationId(f"c{number}"))
    await relay.settle(within_s=600)
    return [relay.a_line(f"to {post.ts}", post.ts) for post in relay.chat.roots(SUPPORT)]


async def test_a_thread_that_slack_does_not_let_us_read_now_holds_nothing_up(relay: Relay) -> None:
    await relay.link()
    root = await relay.thread()
    lost = relay.a_line("lost", root)
    relay.chat.fail_next(A_MINUTE, method="lines")
    await relay.jobs.put(ReadBackAll())
    await relay.pass_(1)
    await relay.types("told of", root)
    await relay.pass_(10)
    assert relay.robin.received == ["told of"]
    await relay.pass_(60)
    assert relay.marks(lost) == {Mark.WAITING}
    assert "went out before it" in relay.said(root)[0]


async def test_many_threads_are_read_no_faster_than_slack_allows_the_newest_first(relay: Relay) -> None:
    await relay.link()
    lines = await many_threads(relay, 30)
    await relay.jobs.put(ReadBackAll())
    await relay.pass_(1)
    assert (await reads(relay)).count("lines") == 20
    await relay.pass_(60)
    assert (await reads(relay)).count("lines") == 30
    assert sorted(len(relay.marks(line)) for line in lines) == [1] * 30


async def test_where_there_is_one_read_a_minute_ten_threads_are_read_one_by_one(relay: Relay) -> None:
    await relay.link()
    lines = await many_threads(relay, 17)
    relay.chat.reads = Reading.RESTRICTED
    await relay.jobs.put(ReadBackAll())
    await relay.pass_(1)
    assert await reading(relay) is Reading.RESTRICTED
    assert (await reads(relay)).count("lines") == 1
    await relay.pass_(11 * 60)
    assert (await reads(relay)).count("lines") == 10
    assert [len(relay.marks(line)) for line in lines] == [0] * 7 + [1] * 10


async def test_a_routine_look_of_such_an_install_reads_only_threads_whose_newest_reply_is_unknown(
    relay: Relay,
) -> None:
    await relay.link()
    root = await relay.thread()
    await relay.store.write(lambda conn: looked.note_reading(conn, relay.clock(), TEAM, Reading.RESTRICTED))
    await relay.types("told of", root)
    await relay.pass_(30)
    await looks(relay, ReadBackAll(is_routine=True))
    assert await reads(relay) == ["threads"]
    relay.a_line("lost", root)
    await looks(relay, ReadBackAll(is_routine=True))
    assert relay.robin.received == ["told of", "lost"]


async def test_a_long_thread_of_such_an_install_is_read_page_by_page(relay: Relay) -> None:
    await relay.link()
    root = await relay.thread()
    lines = [relay.a_line(f"// {number}", root) for number in range(20)]
    relay.chat.reads = Reading.RESTRICTED
    await looks(relay, for_s=45)
    assert [len(relay.marks(line)) for line in lines] == [1] * 15 + [0] * 5
    await relay.pass_(70)
    assert [relay.marks(line) for line in lines] == [{Mark.INTERNAL}] * 20


@pytest.mark.parametrize("method", ["threads", "lines"])
@pytest.mark.parametrize(("error", "shows"), [(A_MINUTE, Reading.RESTRICTED), (A_MOMENT, None)])
async def test_a_long_wait_for_one_of_the_first_reads_shows_that_there_is_one_a_minute(
    relay: Relay, method: str, error: BridgeError, shows: Reading | None
) -> None:
    await relay.link()
    root = await relay.thread()
    line = relay.a_line("Yes.", root)
    relay.chat.fail_next(error, method=method)
    await looks(relay, for_s=120)
    assert await reading(relay) is shows
    assert relay.marks(line) == {Mark.ACCEPTED}


async def test_what_a_page_has_shown_counts_more_than_a_long_wait(relay: Relay) -> None:
    await relay.link()
    root = await relay.thread()
    relay.a_line("Yes.", root)
    await relay.store.write(lambda conn: looked.note_reading(conn, relay.clock(), TEAM, Reading.FULL))
    relay.chat.fail_next(A_MINUTE, method="threads")
    await looks(relay, for_s=120)
    assert await reading(relay) is Reading.FULL


async def test_a_thread_beyond_what_the_history_shows_is_read_if_it_was_active_lately(
    relay: Relay,
) -> None:
    await relay.link()
    told_of = await many_threads(relay, 17)
    for line in told_of:
        await relay.jobs.put(line)
    await looks(relay, for_s=60)
    relay.clock.pass_(HOUR)
    relay.chat.reads = Reading.RESTRICTED
    oldest = relay.a_line("lost", MessageTs(str(told_of[0].thread_ts)))
    await looks(relay, for_s=5 * 60)
    assert relay.marks(oldest) == {Mark.ACCEPTED}


# --- what goes wrong ---------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["threads", "lines"])
async def test_while_slack_is_away_a_look_waits(relay: Relay, method: str) -> None:
    await relay.link()
    root = await relay.thread()
    line = relay.a_line("Yes.", root)
    away = TargetDown("slack_unreachable", target=f"team:{TEAM}", user_message="Slack cannot be reached.")
    relay.chat.fail_next(away, method=method, times=3)
    await looks(relay, for_s=120)
    assert relay.marks(line) == {Mark.ACCEPTED}
    assert set(await relay.jobs_of("read_thread")) == {"completed"}


@pytest.mark.parametrize("method", ["threads", "lines"])
@pytest.mark.parametrize(
    "error",
    [
        TargetDown("not_in_channel", target=f"channel:{TEAM}:{SUPPORT}", user_message="I am not in it."),
        PermanentError("missing_scope", user_message="The app needs channels:history."),
    ],
)
async def test_where_we_are_not_let_in_a_look_gives_up_and_leaves_no_dead_letter(
    relay: Relay, method: str, error: BridgeError
) -> None:
    await relay.link()
    root = await relay.thread()
    relay.a_line("Yes.", root)
    relay.chat.fail_next(error, method=method)
    await looks(relay)
    assert relay.robin.received == []
    for kind in ("read_back_all", "read_channel", "read_thread"):
        assert set(await relay.jobs_of(kind)) <= {"completed"}


async def test_a_thread_that_is_gone_is_nothing_to_read(relay: Relay) -> None:
    await relay.link(undo_window_s=300)
    root = await relay.thread()
    await relay.types("Yes.", root)
    await relay.pass_(90)
    relay.chat.posts.clear()
    await looks(relay, for_s=400)
    assert relay.robin.received == ["Yes."]
