"""Writes through one door: committed together, failing alone, every caller answered."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from sqlalchemy import Connection, func, insert, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from bridge.errors import StoreUnavailable
from bridge.store.engine import Store
from bridge.store.tables import counters


def adding(name: str) -> Callable[[Connection], str]:
    """A write that adds one row and returns its name."""

    def add(conn: Connection) -> str:
        conn.execute(insert(counters).values(name=name, value=1))
        return name

    return add


def breaking(error: BaseException) -> Callable[[Connection], None]:
    def add_and_raise(conn: Connection) -> None:
        adding("never")(conn)
        raise error

    return add_and_raise


async def names(store: Store) -> set[str]:
    return await store.read(lambda conn: set(conn.execute(select(counters.c.name)).scalars()))


async def test_a_write_returns_its_result_after_the_commit(store: Store) -> None:
    assert await store.write(adding("a")) == "a"
    assert await names(store) == {"a"}


async def test_writes_that_wait_together_get_each_its_own_result(store: Store) -> None:
    wanted = [str(number) for number in range(600)]
    assert await asyncio.gather(*(store.write(adding(name)) for name in wanted)) == wanted
    assert await names(store) == set(wanted)


async def test_a_write_that_raises_fails_alone_and_leaves_nothing_behind(store: Store) -> None:
    class Odd(Exception):
        pass

    writes: list[Coroutine[Any, Any, str | None]]
    writes = [store.write(adding(str(number))) for number in range(10)]
    writes.insert(5, store.write(breaking(Odd())))
    writes.insert(0, store.write(breaking(ValueError("first"))))
    writes.append(store.write(breaking(KeyError("last"))))
    answers = await asyncio.gather(*writes, return_exceptions=True)
    assert [type(answer) for answer in answers if isinstance(answer, BaseException)] == [
        ValueError,
        Odd,
        KeyError,
    ]
    assert await names(store) == {str(number) for number in range(10)}


@pytest.mark.parametrize("error", [StopIteration(), asyncio.CancelledError(), MemoryError()])
async def test_whatever_a_write_raises_the_next_ones_are_done(store: Store, error: BaseException) -> None:
    bad = asyncio.create_task(store.write(breaking(error)))
    good = asyncio.create_task(store.write(adding("good")))
    assert await good == "good"
    done, _ = await asyncio.wait([bad])
    assert done
    assert bad.cancelled() or bad.exception() is not None
    assert await store.write(adding("later")) == "later"
    assert await names(store) == {"good", "later"}


async def test_a_constraint_is_the_writes_own_trouble(store: Store) -> None:
    await store.write(adding("a"))
    answers = await asyncio.gather(
        *(store.write(adding(name)) for name in ("b", "a", "c")), return_exceptions=True
    )
    assert [type(answer) for answer in answers] == [str, IntegrityError, str]
    assert await names(store) == {"a", "b", "c"}


@pytest.mark.parametrize(
    "sql", ["insert into counters (name, value) values ('x', 1, 2)", "select no_such_column from counters"]
)
async def test_a_wrong_statement_is_its_authors_trouble_and_not_the_databases(store: Store, sql: str) -> None:
    with pytest.raises(DBAPIError):
        await store.write(lambda conn: conn.execute(text(sql)).close())
    with pytest.raises(DBAPIError):
        await store.read(lambda conn: conn.execute(text(sql)).close())


async def test_a_missing_table_is_the_databases_trouble(store: Store) -> None:
    await store.write(lambda conn: conn.execute(text("drop table counters")).close())
    with pytest.raises(StoreUnavailable, match="store_unavailable"):
        await store.write(adding("a"))


async def test_a_read_that_raises_what_no_future_takes_is_answered_all_the_same(store: Store) -> None:
    async with asyncio.timeout(5):
        with pytest.raises(RuntimeError, match="StopIteration"):
            await store.read(lambda conn: next(iter(conn.execute(select(counters)).all())))
        assert await names(store) == set()


async def test_a_store_is_closed_after_the_reads_that_run(migrated_sqlite_url: str) -> None:
    began, may_end = threading.Event(), threading.Event()

    def slow(conn: Connection) -> int:
        began.set()
        assert may_end.wait(10)
        return conn.execute(select(func.count()).select_from(counters)).scalar_one()

    store = Store(migrated_sqlite_url)
    await store.__aenter__()
    reading = asyncio.create_task(store.read(slow))
    await asyncio.to_thread(began.wait, 10)
    closing = asyncio.create_task(store.__aexit__(None, None, None))
    await asyncio.wait([closing], timeout=0.2)
    assert not closing.done()
    may_end.set()
    await closing
    assert await reading == 0


async def test_a_cancelled_caller_does_not_cancel_its_write(store: Store) -> None:
    callers = [asyncio.create_task(store.write(adding(str(number)))) for number in range(5)]
    await asyncio.sleep(0)
    for caller in callers:
        caller.cancel()
    await asyncio.gather(*callers, return_exceptions=True)
    assert all(caller.cancelled() for caller in callers)
    await store.write(adding("after"))
    async with asyncio.timeout(5):
        while await names(store) != {"0", "1", "2", "3", "4", "after"}:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)


async def test_what_waits_when_the_store_closes_is_written_or_refused(migrated_url: str) -> None:
    async with Store(migrated_url) as store:
        callers = [asyncio.create_task(store.write(adding(str(number)))) for number in range(1000)]
        await asyncio.sleep(0)
    answers = await asyncio.gather(*callers, return_exceptions=True)
    written = {answer for answer in answers if isinstance(answer, str)}
    assert all(isinstance(answer, StoreUnavailable) for answer in answers if not isinstance(answer, str))
    async with Store(migrated_url) as store:
        assert await names(store) == written


async def test_a_closed_store_takes_nothing(store: Store) -> None:
    await store.__aexit__(None, None, None)
    for refused in (store.write(adding("a")), store.read(lambda conn: None)):
        with pytest.raises(StoreUnavailable, match="store_closed"):
            await refused


async def test_every_caller_is_answered_when_closing_is_cut_short(migrated_url: str) -> None:
    store = await Store(migrated_url).__aenter__()
    callers = [asyncio.create_task(store.write(adding(str(number)))) for number in range(500)]
    await asyncio.sleep(0)
    closing = asyncio.create_task(store.__aexit__(None, None, None))
    await asyncio.sleep(0)
    closing.cancel()
    async with asyncio.timeout(10):
        answers = await asyncio.gather(*callers, return_exceptions=True)
    assert all(isinstance(answer, (str, StoreUnavailable)) for answer in answers)
    with pytest.raises(StoreUnavailable):
        await store.write(adding("late"))
    assert (await asyncio.gather(closing, return_exceptions=True))[0] is not None


async def test_reading_goes_on_while_a_write_is_under_way(store: Store) -> None:
    await store.write(adding("a"))
    counts: list[int] = []

    async def look() -> None:
        counts.append(
            await store.read(lambda conn: conn.execute(select(func.count(counters.c.name))).scalar_one())
        )

    await asyncio.gather(
        *(store.write(adding(str(number))) for number in range(50)), *(look() for _ in range(20))
    )
    assert len(counts) == 20


async def test_the_clock_is_the_databases_and_near_ours(store: Store) -> None:
    before, now = await store.read(lambda conn: (store.now(conn), store.now(conn)))
    assert before.tzinfo is not None
    assert before <= now
