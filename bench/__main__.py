"""`make bench`: all measurements, printed as the tables of docs/benchmarks.md."""

from __future__ import annotations

import argparse
import asyncio
import os
import platform

from bench import acknowledge, added_time, pacing


def main() -> None:
    """Run what is asked for; a full run takes about four minutes."""
    parser = argparse.ArgumentParser(prog="make bench", description=main.__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="alternating rounds of each side")
    parser.add_argument("--seconds", type=float, default=3.0, help="length of a round of acknowledgements")
    parser.add_argument("--messages", type=int, default=40, help="messages per round of added time")
    parser.add_argument("--only", choices=("acknowledge", "added-time", "pacing"))
    parser.add_argument("--posts", type=int, default=100, help="length of the backlog for pacing")
    chosen = parser.parse_args()
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}, "
        f"CPython {platform.python_version()}\n"
    )
    if chosen.only in (None, "acknowledge"):
        print(asyncio.run(acknowledge.measure(rounds=chosen.rounds, seconds=chosen.seconds)), "\n")
    if chosen.only in (None, "added-time"):
        print(asyncio.run(added_time.measure(rounds=chosen.rounds, messages=chosen.messages)), "\n")
    if chosen.only in (None, "pacing"):
        print(asyncio.run(pacing.measure(posts=chosen.posts)))


if __name__ == "__main__":
    main()
