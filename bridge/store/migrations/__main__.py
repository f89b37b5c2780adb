"""`python -m bridge.store.migrations "Add the colour of a link"`: write the next migration for developers.

It holds what `tables` has and the migrations so far do not make; read it before you keep it. What runs on
PostgreSQL and SQLite alike is for the tests to show.
"""

from __future__ import annotations

import asyncio
import re
import sys
import tempfile
from pathlib import Path

from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from bridge.store import schema

VERSIONS = Path(__file__).parent / "versions"
ADVICE = re.compile(r"^ *# ### .*\n", re.MULTILINE)


def write(message: str, folder: Path = VERSIONS) -> Path:
    """Write the next migration into `folder` and return its path."""
    with tempfile.TemporaryDirectory() as scratch:
        url = f"sqlite+aiosqlite:///{scratch}/bridge.db"
        return asyncio.run(schema.connected(url, lambda conn: _write(conn, message, folder)))


def _write(conn: Connection, message: str, folder: Path) -> Path:
    config = schema.config(conn)
    config.set_main_option("version_locations", str(folder))
    config.set_main_option("path_separator", "newline")
    head = ScriptDirectory.from_config(config).get_current_head()
    config.attributes["in_batches"] = head is not None  # SQLite alters a table only by copying it
    if head is not None:
        command.upgrade(config, "head")
    script = command.revision(config, message, autogenerate=True, rev_id=f"{int(head or 0) + 1:04}")
    assert script is not None
    assert not isinstance(script, list)
    path = Path(script.path)
    path.write_text(ADVICE.sub("", path.read_text()))
    return path


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("Usage: python -m bridge.store.migrations MESSAGE")
    print(write(sys.argv[1]))  # noqa: T201
