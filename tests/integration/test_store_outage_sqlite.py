"""A SQLite file in trouble: said in a sentence, nothing written by half, over when the trouble is over."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import shutil
import sqlite3
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, insert, select

from bridge.errors import StoreUnavailable
from bridge.store import sqlite as sqlite_store
from bridge.store.engine import Store
from bridge.store.tables import counters


@pytest.fixture
def file(tmp_path: Path, migrated_sqlite_url: str) -> Path:
    assert migrated_sqlite_url.endswith("bridge.db")
    return tmp_path / "bridge.db"


@pytest.fixture
async def store(file: Path) -> AsyncIterator[Store]:
    async with Store(f"sqlite+aiosqlite:///{file}") as store:
        await store.write(adding("before"))
        assert await names(store) == ["before"]
        yield store


def adding(name: str) -> Callable[[Connection], None]:
    def add(conn: Connection) -> None:
        conn.execute(insert(counters).values(name=name, value=1))

    return add


def adding_much(name: str) -> Callable[[Connection], None]:
    def add(conn: Connection) -> None:
        adding(name)(conn)
        conn.exec_driver_sql(
            "insert into kept_bodies (project_id, received_at, body) values ('p', '', ?)", (BIG,)
        )

    return add


BIG = "x" * 300_000


async def names(store: Store) -> list[str]:
    return await store.read(
        lambda conn: list(conn.execute(select(counters.c.name).order_by(counters.c.name)).scalars())
    )


async def trouble_of(store: Store, name: str = "during") -> str:
    """Return the sentence with which a write is refused."""
    with pytest.raises(StoreUnavailable) as caught:
        await store.write(adding(name))
    return caught.value.user_message


async def test_a_locked_file_is_said_to_all_who_wait_and_soon(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_store, "BUSY_TIMEOUT_MS", 150)
    async with Store(f"sqlite+aiosqlite:///{file}") as store:
        await store.write(adding("before"))
        with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as other:
            other.execute("begin immediate")
            began = time.monotonic()
            answers = await asyncio.gather(
                *(store.write(adding(f"during{number}")) for number in range(100)), return_exceptions=True
            )
            assert time.monotonic() - began < 2
            assert all(isinstance(answer, StoreUnavailable) for answer in answers)
            assert "database is locked" in str(vars(answers[0])["user_message"])
            assert await names(store) == ["before"]
            other.execute("rollback")
        await store.write(adding("after"))
        assert await names(store) == ["after", "before"]


async def test_a_file_that_is_locked_for_a_moment_is_waited_for(file: Path, store: Store) -> None:
    with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("begin immediate")
        write = asyncio.create_task(store.write(adding("patient")))
        await asyncio.sleep(0.1)
        assert not write.done()
        other.execute("rollback")
        await write
    assert await names(store) == ["before", "patient"]


async def limit_pages(store: Store, more: int) -> None:
    def limit(conn: Connection) -> None:
        pages = conn.exec_driver_sql("PRAGMA page_count").scalar_one()
        conn.exec_driver_sql(f"PRAGMA max_page_count = {pages + more}")

    await store.write(limit)


async def test_a_full_disk_refuses_what_does_not_fit_and_keeps_what_does(store: Store) -> None:
    await limit_pages(store, 8)
    big = [store.write(adding_much(f"big{number}")) for number in range(3)]
    small = [store.write(adding(f"small{number}")) for number in range(3)]
    answers = await asyncio.gather(*big, *small, return_exceptions=True)
    assert [type(answer) for answer in answers[:3]] == [StoreUnavailable] * 3
    assert "full" in str(vars(answers[0])["user_message"])
    assert answers[3:] == [None] * 3
    assert await names(store) == ["before", "small0", "small1", "small2"]
    await limit_pages(store, 10_000)
    await store.write(adding_much("big again"))
    assert "big again" in await names(store)


async def test_a_file_that_was_moved_away_takes_nothing_until_it_is_back(file: Path, store: Store) -> None:
    away = file.with_name("elsewhere.db")
    file.rename(away)
    assert "there is no file" in await trouble_of(store)
    with pytest.raises(StoreUnavailable):
        await names(store)
    assert not file.exists()
    away.rename(file)
    await store.write(adding("after"))
    assert await names(store) == ["after", "before"]


async def test_a_file_that_was_replaced_is_the_one_that_counts(
    file: Path, store: Store, sqlite_template: Path
) -> None:
    for part in file.parent.glob("bridge.db*"):
        part.unlink()
    shutil.copy(sqlite_template, file)
    await store.write(adding("after"))
    assert await names(store) == ["after"]
    with contextlib.closing(sqlite3.connect(file)) as other:
        assert other.execute("select name from counters").fetchall() == [("after",)]


async def test_an_empty_file_in_its_place_is_trouble_of_the_database(file: Path, store: Store) -> None:
    for part in file.parent.glob("bridge.db*"):
        part.unlink()
    file.touch()
    assert "no such table" in await trouble_of(store)


async def test_a_store_does_not_create_a_file(tmp_path: Path) -> None:
    async with Store(f"sqlite+aiosqlite:///{tmp_path}/none.db") as store:
        assert "there is no file" in await trouble_of(store)
        with pytest.raises(StoreUnavailable):
            await names(store)
    assert list(tmp_path.iterdir()) == []


async def test_a_file_that_is_no_database_is_trouble_until_it_is_one(
    file: Path, sqlite_template: Path
) -> None:
    file.write_bytes(b"no database at all " * 500)
    async with Store(f"sqlite+aiosqlite:///{file}") as store:
        assert "not a database" in await trouble_of(store)
        with pytest.raises(StoreUnavailable, match="store_unavailable"):
            await names(store)
        shutil.copy(sqlite_template, file)
        await store.write(adding("after"))
        assert await names(store) == ["after"]


@contextlib.contextmanager
def as_somebody_else() -> Iterator[None]:
    """Without the rights of root, who may write to anything."""
    if os.geteuid() != 0:
        yield
        return
    nobody = pwd.getpwnam("nobody").pw_uid
    os.seteuid(nobody)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def open_folder(sqlite_template: Path) -> Iterator[Path]:
    """A folder that anybody may enter (pytest's own is private), with a database in it."""
    folder = Path(tempfile.mkdtemp(prefix="ro-"))
    shutil.copy(sqlite_template, folder / "bridge.db")
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody").pw_uid
        for path in (folder, folder / "bridge.db"):
            os.chown(path, nobody, -1)
    yield folder
    shutil.rmtree(folder)


async def test_a_read_only_file_is_trouble_until_it_is_writable_again(open_folder: Path) -> None:
    file = open_folder / "bridge.db"
    with as_somebody_else():
        file.chmod(0o444)
        async with Store(f"sqlite+aiosqlite:///{file}") as store:
            assert "readonly" in await trouble_of(store)
            for part in open_folder.iterdir():  # SQLite made those beside it as read-only as the file was
                part.chmod(0o644)
            await store.write(adding("after"))
            assert await names(store) == ["after"]
