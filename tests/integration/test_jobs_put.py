"""Putting jobs: what is acknowledged is committed, what is bad fails alone, what is known comes once."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest
from sqlalchemy import select

from bridge.errors import StoreUnavailable
from bridge.events import ConversationChanged, SlackEventReceived
from bridge.queue.jobs import Jobs, NewJob
from bridge.store.engine import Store
from bridge.store.tables import kept_bodies
from tests.queue_support import claim, in_lane, name_of, names_of, put, without_lane

NOT_A_NUMBER_FOR_A_DATABASE = 2**80


def bad(name: str) -> NewJob:
    """A job that both databases refuse."""
    return NewJob(without_lane(name), order=NOT_A_NUMBER_FOR_A_DATABASE)


async def waiting(jobs: Jobs) -> list[str]:
    return sorted(names_of(await claim(jobs, limit=1000)))


async def kept(store: Store) -> list[str]:
    return await store.read(
        lambda conn: list(conn.execute(select(kept_bodies.c.body).order_by(kept_bodies.c.id)).scalars())
    )


async def test_what_was_put_is_there_for_another_process(store: Store) -> None:
    await Jobs(store).put(without_lane("a"))
    async with Store(store.url) as other:
        assert await waiting(Jobs(other)) == ["a"]


async def test_many_receipts_at_once_are_all_committed(jobs: Jobs) -> None:
    await asyncio.gather(*(jobs.put(without_lane(str(number))) for number in range(700)))
    assert len(await waiting(jobs)) == 700


async def test_a_bad_row_fails_alone(jobs: Jobs) -> None:
    new = [bad("bad") if number in (3, 40, 41) else NewJob(without_lane(str(number))) for number in range(60)]
    answers = await asyncio.gather(*(jobs.receive([job]) for job in new), return_exceptions=True)
    assert [number for number, answer in enumerate(answers) if answer is not None] == [3, 40, 41]
    assert not any(isinstance(answer, StoreUnavailable) for answer in answers)
    assert len(await waiting(jobs)) == 57


async def test_a_receipt_is_stored_as_a_whole_or_not_at_all(jobs: Jobs) -> None:
    receipt = jobs.receive([NewJob(without_lane("good")), bad("bad")], [("p1", "a body")])
    [answer] = await asyncio.gather(receipt, return_exceptions=True)
    assert isinstance(answer, Exception)
    assert await waiting(jobs) == []


async def test_a_caller_that_hangs_up_has_its_receipt_committed(jobs: Jobs) -> None:
    callers = [asyncio.create_task(jobs.put(without_lane(str(number)))) for number in range(20)]
    await asyncio.sleep(0)
    for caller in callers[::2]:
        caller.cancel()
    await asyncio.gather(*callers, return_exceptions=True)
    assert len(await waiting(jobs)) == 20


async def test_a_bad_receipt_whose_caller_hung_up_harms_nobody(jobs: Jobs) -> None:
    gone = asyncio.create_task(jobs.receive([bad("bad")]))
    stays = asyncio.create_task(jobs.put(without_lane("good")))
    await asyncio.sleep(0)
    gone.cancel()
    await stays
    assert await waiting(jobs) == ["good"]


async def test_a_known_key_drops_the_job_silently(jobs: Jobs) -> None:
    for name in ("first", "again"):
        await jobs.put(without_lane(name), unique_key="event:1")
    assert await waiting(jobs) == ["first"]


async def test_a_key_stays_known_after_its_job_is_done(jobs: Jobs) -> None:
    await jobs.put(without_lane("first"), unique_key="event:1")
    for job in await claim(jobs):
        await jobs.complete(job)
    await jobs.put(without_lane("again"), unique_key="event:1")
    assert await waiting(jobs) == []


async def test_the_same_key_twice_in_one_receipt_is_one_job(jobs: Jobs) -> None:
    await jobs.receive([NewJob(without_lane("a"), unique_key="k"), NewJob(without_lane("b"), unique_key="k")])
    assert await waiting(jobs) == ["a"]


async def test_the_same_events_received_by_several_at_once_are_put_once(migrated_url: str) -> None:
    keys = [f"event:{number}" for number in range(40)]
    async with Store(migrated_url) as first, Store(migrated_url) as second:
        queues = [Jobs(first), Jobs(second)]
        # In opposite orders, as two redeliveries may come: neither may wait for the other for ever.
        batches = [
            [NewJob(without_lane(key), unique_key=key) for key in order] for order in (keys, keys[::-1])
        ]
        await asyncio.gather(*(queue.receive(batch) for queue, batch in zip(queues, batches, strict=True)))
        assert await waiting(queues[0]) == sorted(keys)


async def test_a_very_long_id_has_a_lane_and_a_key_of_its_own(jobs: Jobs) -> None:
    long_ids = ["x" * 5_000 + end for end in ("1", "2")]
    for long_id in long_ids:
        for _ in range(2):
            await jobs.put(in_lane("hint", long_id), unique_key=f"message:{long_id}")
    claimed = await claim(jobs)
    assert [job.event for job in claimed] == [in_lane("hint", long_id) for long_id in long_ids]


async def test_characters_that_a_database_refuses_are_replaced(jobs: Jobs, clocked: Store) -> None:
    await jobs.receive(
        [NewJob(in_lane("a", "con\0versation"), unique_key="k\0")], [("p1", "bo\0dy"), ("p1", "half \ud83d")]
    )
    [job] = await claim(jobs)
    assert name_of(job.event) == "a"
    assert await kept(clocked) == ["bo\N{REPLACEMENT CHARACTER}dy", "half ?"]


async def test_half_an_emoji_does_not_cost_the_event(jobs: Jobs) -> None:
    received_at = datetime(2026, 5, 4, tzinfo=UTC)
    event = SlackEventReceived(body={"event": {"text": "cut \ud83d"}, "n": 1}, received_at=received_at)
    await jobs.put(event)
    [job] = await claim(jobs)
    assert isinstance(job.event, SlackEventReceived)
    assert job.event.body == {"event": {"text": "cut ?"}, "n": 1}
    assert job.event.received_at == received_at


async def test_bodies_are_kept_aside_in_their_order(jobs: Jobs, clocked: Store) -> None:
    await jobs.receive([], [("p1", "one"), ("p1", "two")])
    assert await kept(clocked) == ["one", "two"]


async def test_receiving_nothing_is_no_trouble(jobs: Jobs) -> None:
    await jobs.receive([])
    assert await jobs.counts() == {}


async def test_putting_wakes_the_worker_of_this_process(jobs: Jobs) -> None:
    jobs.woken.clear()
    await jobs.put(without_lane("a"))
    assert jobs.woken.is_set()


async def test_every_waiting_receipt_is_answered_when_the_store_closes(migrated_url: str) -> None:
    async with Store(migrated_url) as store:
        jobs = Jobs(store)
        callers = [asyncio.create_task(jobs.put(without_lane(str(number)))) for number in range(1200)]
        await asyncio.sleep(0)
    answers = await asyncio.gather(*callers, return_exceptions=True)
    refused = [answer for answer in answers if answer is not None]
    assert all(isinstance(answer, StoreUnavailable) for answer in refused)
    async with Store(migrated_url) as store:
        assert len(await waiting(Jobs(store))) == 1200 - len(refused)


async def test_receipts_that_cannot_be_committed_as_the_process_ends_are_refused(jobs: Jobs) -> None:
    caller = asyncio.create_task(jobs.put(without_lane("a")))
    await asyncio.sleep(0)
    [flusher] = [task for task in asyncio.all_tasks() if task.get_name() == "receipts"]
    flusher.cancel()
    with pytest.raises(StoreUnavailable):
        await caller
    # Those that come later find a new one.
    await jobs.put(without_lane("b"))
    assert "b" in await waiting(jobs)


async def test_a_job_says_when_it_was_put_and_shows_up_in_lists(jobs: Jobs) -> None:
    await put(jobs, "a", "b")
    views = await jobs.listed(["available"], limit=1)
    assert [(view.kind, view.lane, view.attempt) for view in views] == [
        ("conversation_changed", ConversationChanged(project_id="p1", conversation_id="lane").lane, 0)
    ]
    assert await jobs.counts() == {"available": 2}
