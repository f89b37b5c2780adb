"""A PostgreSQL in trouble: said in a sentence, over when the trouble is over, without a restart of ours."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable

import pytest
from sqlalchemy import Connection, insert, select, text
from sqlalchemy.exc import DBAPIError

from bridge.errors import StoreUnavailable
from bridge.store import engine
from bridge.store.engine import Store
from bridge.store.tables import counters
from tests.databases import PostgresServer

pytestmark = pytest.mark.postgres


def adding(name: str) -> Callable[[Connection], None]:
    def add(conn: Connection) -> None:
        conn.execute(insert(counters).values(name=name, value=1))

    return add


async def names(store: Store) -> list[str]:
    return await store.read(
        lambda conn: list(conn.execute(select(counters.c.name).order_by(counters.c.name)).scalars())
    )


async def trouble_of(store: Store) -> str:
    """Return the sentence with which a write and a read are refused."""
    with pytest.raises(StoreUnavailable):
        await names(store)
    with pytest.raises(StoreUnavailable) as caught:
        await store.write(adding("during"))
    return caught.value.user_message


def database_of(url: str) -> str:
    return url.partition("@/")[2].partition("?")[0]


async def cut_connections(postgres: PostgresServer, database: str) -> None:
    await postgres.execute(
        f"select pg_terminate_backend(pid) from pg_stat_activity where datname = '{database}'"
    )


async def test_a_server_that_was_stopped_is_used_again_when_it_is_back(
    postgres: PostgresServer, migrated_postgres_url: str
) -> None:
    async with Store(migrated_postgres_url) as store:
        await asyncio.gather(*(store.write(adding(f"before{number}")) for number in range(3)))
        postgres.stop()
        try:
            assert "does not answer" in await trouble_of(store)
        finally:
            postgres.start()
        await store.write(adding("after"))
        assert await names(store) == ["after", "before0", "before1", "before2"]


async def test_writes_under_way_when_the_server_stops_are_answered(
    postgres: PostgresServer, migrated_postgres_url: str
) -> None:
    async with Store(migrated_postgres_url) as store:

        def slow(conn: Connection) -> None:
            conn.execute(text("select pg_sleep(30)")).close()

        writes = [asyncio.create_task(store.write(slow)) for _ in range(3)]
        reading = asyncio.create_task(store.read(slow))
        await asyncio.sleep(0.3)
        postgres.stop()
        try:
            answers = await asyncio.gather(*writes, reading, return_exceptions=True)
        finally:
            postgres.start()
        assert [type(answer) for answer in answers] == [StoreUnavailable] * 4
        await store.write(adding("after"))


async def test_connections_that_were_cut_are_replaced_unnoticed(
    postgres: PostgresServer, migrated_postgres_url: str
) -> None:
    async with Store(migrated_postgres_url) as store:
        await store.write(adding("before"))
        await cut_connections(postgres, database_of(migrated_postgres_url))
        await store.write(adding("after"))
        assert await names(store) == ["after", "before"]


async def test_a_read_only_database_is_trouble_until_it_is_writable_again(
    postgres: PostgresServer, migrated_postgres_url: str
) -> None:
    database = database_of(migrated_postgres_url)
    async with Store(migrated_postgres_url) as store:
        await postgres.execute(f"alter database {database} set default_transaction_read_only = on")
        with pytest.raises(StoreUnavailable) as caught:
            await store.write(adding("during"))
        assert "read-only transaction" in caught.value.user_message
        assert await names(store) == []
        await postgres.execute(f"alter database {database} set default_transaction_read_only = off")
        await cut_connections(postgres, database)
        await store.write(adding("after"))


async def test_a_database_that_is_gone_is_trouble(
    postgres: PostgresServer, migrated_postgres_url: str
) -> None:
    async with Store(migrated_postgres_url) as store:
        await store.write(adding("before"))
        await postgres.execute(f"drop database {database_of(migrated_postgres_url)} with (force)")
        assert "does not exist" in await trouble_of(store)


async def test_a_server_that_hangs_is_not_waited_for_for_ever(
    migrated_postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "COMMAND_TAKES_S", 0.5)
    monkeypatch.setattr(engine, "CONNECT_TAKES_S", 0.5)
    async with Store(migrated_postgres_url) as store:
        pid = await store.read(lambda conn: conn.execute(text("select pg_backend_pid()")).scalar_one())
        os.kill(pid, signal.SIGSTOP)
        try:
            began = time.monotonic()
            with pytest.raises(StoreUnavailable):
                await store.write(adding("during"))
            assert time.monotonic() - began < 5
        finally:
            os.kill(pid, signal.SIGCONT)
        await store.write(adding("after"))
        assert "after" in await names(store)


async def test_writes_that_wait_for_each_other_in_a_circle_are_both_done(migrated_postgres_url: str) -> None:
    async with Store(migrated_postgres_url) as store:
        for name in ("a", "b"):
            await store.write(adding(name))

        def touching(first: str, second: str) -> Callable[[Connection], None]:
            def touch(conn: Connection) -> None:
                for name in (first, second):
                    conn.execute(
                        counters.update().where(counters.c.name == name).values(value=counters.c.value + 1)
                    )
                    conn.execute(text("select pg_sleep(0.2)")).close()

            return touch

        await asyncio.gather(store.write(touching("a", "b")), store.write(touching("b", "a")))
        values = await store.read(lambda conn: conn.execute(select(counters.c.value)).scalars().all())
        assert list(values) == [3, 3]


async def test_what_a_stalled_process_has_locked_is_let_go(
    migrated_postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "IDLE_IN_TRANSACTION_S", 0.3)
    async with Store(migrated_postgres_url) as stalled, Store(migrated_postgres_url) as other:
        await other.write(adding("a"))
        touch = counters.update().values(value=2)
        async with stalled.engine.connect() as conn:
            await conn.execute(touch)
            began = time.monotonic()
            await other.write(lambda conn: conn.execute(touch).close())
            assert 0.2 < time.monotonic() - began < 5
            with pytest.raises(DBAPIError):
                await conn.commit()


async def test_a_connection_that_listens_is_never_anybody_elses(migrated_postgres_url: str) -> None:
    heard: list[object] = []

    def backend(conn: Connection) -> int:
        pid: int = conn.execute(text("select pg_backend_pid()")).scalar_one()
        return pid

    async with Store(migrated_postgres_url) as store:
        async with store.raw() as connection:
            listening = await connection.fetchval("select pg_backend_pid()")
            await connection.add_listener("jobs", lambda *arguments: heard.append(arguments))
            assert listening not in await asyncio.gather(*(store.read(backend) for _ in range(12)))
        await store.write(lambda conn: conn.execute(text("select pg_notify('jobs', '')")).close())
        assert listening not in await asyncio.gather(*(store.read(backend) for _ in range(12)))
        assert heard == []


async def test_listening_to_a_server_that_is_away_is_trouble_of_the_database(
    postgres: PostgresServer, migrated_postgres_url: str
) -> None:
    async with Store(migrated_postgres_url) as store:
        postgres.stop()
        try:
            with pytest.raises(StoreUnavailable):
                async with store.raw():
                    pytest.fail("there is nobody to listen to")
        finally:
            postgres.start()
