"""Rotating keys: everything is encrypted anew, or nothing is; a wrong key loses nothing."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Connection, insert, select, text

from bridge.store.engine import Store
from bridge.store.secrets import (
    ENCRYPTED,
    KeyRing,
    KeyTrouble,
    check,
    forget_unreadable,
    key_path,
    new_key,
    open_ring,
    rotate,
)
from bridge.store.tables import accounts, metadata, webhooks

NOW = datetime(2026, 1, 2, tzinfo=UTC)


async def seal(store: Store, ring: KeyRing) -> None:
    def write(conn: Connection) -> None:
        for key in ("user", "project"):
            conn.execute(
                insert(accounts).values(key=key, token=ring.encrypt(f"token of {key}"), updated_at=NOW)
            )
        conn.execute(insert(accounts).values(key="empty", token=None, updated_at=NOW))
        conn.execute(
            insert(webhooks).values(project_id="p1", secret=ring.encrypt("the secret"), created_at=NOW)
        )

    await store.write(write)


async def opened(store: Store, ring: KeyRing) -> list[str | None]:
    def read(conn: Connection) -> list[str | None]:
        tokens = conn.execute(select(accounts.c.token).order_by(accounts.c.key)).scalars()
        secrets = conn.execute(select(webhooks.c.secret)).scalars()
        return [None if sealed is None else ring.decrypt(sealed) for sealed in [*tokens, *secrets]]

    return await store.read(read)


READABLE = [None, "token of project", "token of user", "the secret"]


async def test_everything_is_encrypted_anew_with_the_first_key(store: Store) -> None:
    old, new = new_key(), new_key()
    await seal(store, KeyRing([old]))
    assert await rotate(store, KeyRing([new, old])) == 3
    assert await opened(store, KeyRing([new])) == READABLE


async def test_with_a_wrong_key_nothing_changes(store: Store) -> None:
    old = new_key()
    await seal(store, KeyRing([old]))
    for act in (check, rotate):
        with pytest.raises(KeyTrouble):
            await act(store, KeyRing([new_key()]))
    assert await opened(store, KeyRing([old])) == READABLE


async def test_one_value_that_does_not_open_stops_the_whole_rotation(store: Store) -> None:
    old, new = new_key(), new_key()
    await seal(store, KeyRing([old]))
    await store.write(lambda conn: conn.execute(webhooks.update().values(secret="garbage")).close())
    with pytest.raises(KeyTrouble):
        await rotate(store, KeyRing([new, old]))
    tokens = await store.read(lambda conn: conn.execute(select(accounts.c.token)).scalars().all())
    assert [KeyRing([old]).decrypt(token) for token in tokens if token] != []


async def test_where_the_key_is_gone_only_what_it_closed_is_forgotten(store: Store) -> None:
    lost, ring = KeyRing([new_key()]), KeyRing([new_key()])
    await seal(store, lost)
    sealed = ring.encrypt("token of user")
    await store.write(
        lambda conn: conn.execute(
            accounts.update().where(accounts.c.key == "user").values(token=sealed)
        ).close()
    )
    assert await forget_unreadable(store, ring) == 2
    assert await opened(store, ring) == [None, "token of user"]
    await check(store, ring)


async def test_the_right_keys_pass_the_check(store: Store) -> None:
    ring = KeyRing([new_key()])
    await seal(store, ring)
    await check(store, ring)


async def test_a_key_file_gets_a_new_key_and_a_running_process_reads_on(
    migrated_sqlite_url: str, tmp_path: Path
) -> None:
    database = tmp_path / "bridge.db"
    async with Store(migrated_sqlite_url) as store:
        running = open_ring([], database)
        first = key_path(database).read_text()
        await seal(store, running)
        await rotate(store, open_ring([], database))
        keys = key_path(database).read_text().split()
        assert keys[1:] == first.split()
        assert await opened(store, running) == READABLE
        assert await opened(store, KeyRing(keys[:1])) == READABLE

        await rotate(store, open_ring([], database))
        assert first.strip() not in key_path(database).read_text()
        assert await opened(store, running) == READABLE


async def test_a_wrong_key_leaves_the_key_file_as_it_is(migrated_sqlite_url: str, tmp_path: Path) -> None:
    async with Store(migrated_sqlite_url) as store:
        await seal(store, KeyRing([new_key()]))
        ring = open_ring([], tmp_path / "bridge.db")
        before = key_path(tmp_path / "bridge.db").read_bytes()
        with pytest.raises(KeyTrouble):
            await rotate(store, ring)
        assert key_path(tmp_path / "bridge.db").read_bytes() == before


async def test_nothing_secret_is_in_the_database_file(migrated_sqlite_url: str, tmp_path: Path) -> None:
    async with Store(migrated_sqlite_url) as store:
        await seal(store, open_ring([], tmp_path / "bridge.db"))
        await store.read(lambda conn: conn.execute(text("pragma wal_checkpoint")).close())
    raw = b"".join(path.read_bytes() for path in tmp_path.glob("bridge.db*"))
    assert b"token of user" not in raw
    assert b"the secret" not in raw


def test_every_column_that_says_so_is_rotated() -> None:
    says_so = {
        f"{table.name}.{column.name}"
        for table in metadata.tables.values()
        for column in table.columns
        if (column.comment or "") == "encrypted" or column.name in ("secret", "token", "password")
    }
    assert {f"{table.name}.{column.name}" for table, column in ENCRYPTED} == says_so
