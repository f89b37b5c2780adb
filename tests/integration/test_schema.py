"""Migrations: a migrated database is what `tables` says, on both databases, however it was started."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from bridge.errors import StoreUnavailable
from bridge.store import schema
from bridge.store.migrations import __main__ as migrations
from bridge.store.tables import metadata


def write_revision(revision: str) -> schema.Work[None]:
    def write(conn: Connection) -> None:
        conn.execute(text("update alembic_version set version_num = :revision"), {"revision": revision})

    return write


async def test_a_migrated_database_has_exactly_the_declared_tables(database_url: str) -> None:
    def differences(conn: Connection) -> list[object]:
        # SQLite reports the default '' in other quotes than it was given
        opts = {"compare_type": True, "compare_server_default": conn.dialect.name == "postgresql"}
        return list(compare_metadata(MigrationContext.configure(conn, opts=opts), metadata))

    await schema.migrate(database_url)
    assert await schema.connected(database_url, differences) == []


async def test_migrating_twice_changes_nothing_the_second_time(database_url: str) -> None:
    first = await schema.migrate(database_url)
    second = await schema.migrate(database_url)
    assert first.current is None
    assert second.fits


async def test_processes_that_migrate_at_the_same_time_both_succeed(database_url: str) -> None:
    before = await asyncio.gather(*(schema.migrate(database_url) for _ in range(6)))
    assert sorted(version.fits for version in before) == [False, True, True, True, True, True]
    await schema.require(database_url)


async def test_a_migration_that_breaks_leaves_nothing_behind(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    upgrade = command.upgrade

    def upgrade_and_break(config: Config, revision: str) -> None:
        upgrade(config, revision)
        raise OSError("no space left on device")

    monkeypatch.setattr(command, "upgrade", upgrade_and_break)
    with pytest.raises(StoreUnavailable) as caught:
        await schema.migrate(database_url)
    assert "no space left on device" in caught.value.user_message
    monkeypatch.undo()
    assert (await schema.version_of(database_url)).current is None
    await schema.migrate(database_url)


async def test_serve_creates_and_migrates_an_embedded_database(tmp_path: Path) -> None:
    file = tmp_path / "new" / "folder" / "bridge.db"
    await schema.create_or_migrate(f"sqlite+aiosqlite:///{file}")
    await schema.require(f"sqlite+aiosqlite:///{file}")


@pytest.mark.postgres
async def test_serve_refuses_an_empty_postgres_database_and_names_the_command(postgres_url: str) -> None:
    with pytest.raises(schema.SchemaTrouble) as caught:
        await schema.create_or_migrate(postgres_url)
    assert "is empty: run jollor-slack migrate" in caught.value.user_message


async def test_an_older_schema_is_refused_and_the_command_named(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await schema.migrate(database_url)
    monkeypatch.setattr(ScriptDirectory, "get_current_head", lambda _: "0099")
    with pytest.raises(schema.SchemaTrouble) as caught:
        await schema.require(database_url)
    assert "older schema" in caught.value.user_message
    assert "jollor-slack migrate" in caught.value.user_message


async def test_a_newer_schema_is_worked_with_and_left_alone(
    database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    await schema.migrate(database_url)
    await schema.connected(database_url, write_revision("9999"))
    with caplog.at_level(logging.WARNING):
        await schema.create_or_migrate(database_url)
        await schema.migrate(database_url)
    assert "store.schema_is_newer" in caplog.text
    assert (await schema.version_of(database_url)).current == "9999"


async def test_a_database_of_another_program_is_refused(database_url: str) -> None:
    await schema.migrate(database_url)
    await schema.connected(database_url, write_revision("deadbeef"))
    for attempt in (schema.require, schema.migrate):
        with pytest.raises(schema.SchemaTrouble) as caught:
            await attempt(database_url)
        assert "does not belong to jollor-slack" in caught.value.user_message


async def test_a_missing_file_is_named_and_not_created(tmp_path: Path) -> None:
    file = tmp_path / "missing.db"
    with pytest.raises(schema.SchemaTrouble) as caught:
        await schema.require(f"sqlite+aiosqlite:///{file}")
    assert str(file) in caught.value.user_message
    assert not file.exists()


async def test_a_file_that_is_no_database_is_one_sentence(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("not a database, but long enough to be looked at " * 40)
    with pytest.raises(StoreUnavailable) as caught:
        await schema.require(f"sqlite+aiosqlite:///{file}")
    assert "file is not a database" in caught.value.user_message


async def test_a_postgres_that_does_not_answer_is_one_sentence(unused_tcp_port: int) -> None:
    url = f"postgresql+asyncpg://someone:hush@127.0.0.1:{unused_tcp_port}/bridge"
    with pytest.raises(StoreUnavailable) as caught:
        await schema.require(url)
    assert "does not answer" in caught.value.user_message
    assert "hush" not in caught.value.user_message


def test_the_first_migration_can_be_written_from_the_tables(tmp_path: Path) -> None:
    path = migrations.write("The first schema", tmp_path)
    assert path.name == "0001_the_first_schema.py"
    assert all(f'"{table}"' in path.read_text().replace("'", '"') for table in metadata.tables)


def test_the_next_migration_holds_only_what_is_new(tmp_path: Path) -> None:
    migrations.write("The first schema", tmp_path)
    path = migrations.write("Nothing yet", tmp_path)
    assert path.name == "0002_nothing_yet.py"
    assert "down_revision: str | None = '0001'" in path.read_text()
    assert path.read_text().rstrip().endswith("pass")
