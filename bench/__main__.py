"""`make bench`: both measurements, printed as the tables of docs/benchmarks.md."""

from __future__ import annotations

import argparse
import asyncio
import os
import platform

from bench import acknowledge, added_time


def main() -> None:
    """Run what is asked for; a full run takes about a minute and a half."""
    parser = argparse.ArgumentParser(prog="make bench", description=main.__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="alternating rounds of each side")
    parser.add_argument("--seconds", type=float, default=3.0, help="length of a round of acknowledgements")
    parser.add_argument("--messages", type=int, default=40, help="messages per round of added time")
    parser.add_argument("--only", choices=("acknowledge", "added-time"))
    chosen = parser.parse_args()
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}, "
        f"CPython {platform.python_version()}\n"
    )
    if chosen.only != "added-time":
        print(asyncio.run(acknowledge.measure(rounds=chosen.rounds, seconds=chosen.seconds)), "\n")
    if chosen.only != "acknowledge":
        print(asyncio.run(added_time.measure(rounds=chosen.rounds, messages=chosen.messages)))


if __name__ == "__main__":
    main()
