"""Lines that no event told of: found by reading threads, dealt with once, asked about if they are late."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from sqlalchemy import Connection, insert, select

from bridge.content import ActionId
from bridge.events import LineDeleted, ReadBackAll
from bridge.ids import ChannelId, MessageTs, UserId
from bridge.model import Channel, LinkKind, Mark, Person
from bridge.store.engine import Store
from bridge.store.tables import former_roots, threads
from tests.outbox import TestClock
from tests.readback_support import HOUR, looks, reads, told, was_away
from tests.relay_stage import SUPPORT, TEAM, Relay


@pytest.fixture
async def relay(migrated_url: str) -> AsyncIterator[Relay]:
    clock = TestClock()
    async with Store(migrated_url, clock=clock) as store:
        yield Relay(store, clock)


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


@pytest.mark.parametrize("mark", [Mark.ACCEPTED, Mark.DOUBT, Mark.FAILED, Mark.INTERNAL])
async def test_what_a_restored_database_does_not_know_is_not_sent_again(relay: Relay, mark: Mark) -> None:
    await relay.link()
    root = await relay.thread()
    line = relay.a_line("Yes.", root)
    await relay.chat.add_mark(TEAM, SUPPORT, MessageTs(line.ts), mark)
    await looks(relay)
    assert (relay.robin.received, relay.said(root), relay.marks(line)) == ([], [], {mark})


async def test_what_waited_when_a_restored_database_was_saved_is_offered(relay: Relay) -> None:
    await relay.link()
    root = await relay.thread()
    line = relay.a_line("Yes.", root)
    await relay.chat.add_mark(TEAM, SUPPORT, MessageTs(line.ts), Mark.WAITING)
    await looks(relay)
    assert relay.robin.received == []
    (question,) = relay.notices(root)
    assert "my database does not have it" in question.text
    await relay.presses(question, ActionId.SEND_ANYWAY)
    await relay.pass_(60)
    assert (relay.robin.received, relay.marks(line)) == (["Yes."], {Mark.ACCEPTED})


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
