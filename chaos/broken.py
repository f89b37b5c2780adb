"""`python -m chaos.broken WAY serve`: a bridge that is broken on purpose. The verdict has to notice.

Each way replaces one function of the bridge in this process; nothing of it is in the bridge itself.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Sequence
from typing import Any

ACK_EARLY_S = 1.0


def acknowledge_before_commit() -> None:
    """Answer webhooks and events at once, commit a second later.

    What that loses would be found by reading threads back, so this bridge does not.
    """
    from bridge.queue.receipts import Receipts
    from bridge.relay.readback import ReadBack

    honest, later = Receipts.take, set()

    async def commit(self: Receipts, new: Any, kept: Any) -> None:
        await asyncio.sleep(ACK_EARLY_S)
        await honest(self, new, kept)

    async def take(self: Receipts, new: Sequence[Any], kept: Sequence[Any]) -> None:
        task = asyncio.create_task(commit(self, new, kept))
        later.add(task)
        task.add_done_callback(later.discard)

    async def look_nowhere(self: ReadBack, event: Any, job: Any) -> None:
        pass

    Receipts.take = take  # type: ignore[method-assign]
    ReadBack.read_back_all = look_nowhere  # type: ignore[method-assign]


def repeat_on_time_out() -> None:
    """Send a reply once more if nobody said what became of it."""
    from bridge.errors import UnconfirmedError
    from jollor.social import JollorSocial

    honest = JollorSocial.reply

    async def reply(self: JollorSocial, *args: Any, **kwargs: Any) -> None:
        try:
            await honest(self, *args, **kwargs)
        except UnconfirmedError:
            await honest(self, *args, **kwargs)

    JollorSocial.reply = reply  # type: ignore[method-assign]


def _in_lane(lane: str | None) -> None:
    from bridge.queue import job

    honest = job._row

    def row(new: Any, now: Any) -> dict[str, Any]:
        return honest(new, now) | {"lane": lane}

    job._row = row


def one_lane_for_all() -> None:
    """Do everything in one order, whatever it belongs to: what is stuck holds up all."""
    _in_lane("all")


def no_lanes() -> None:
    """Do everything beside everything else."""
    _in_lane(None)


WAYS: dict[str, Callable[[], None]] = {
    "acknowledge-before-commit": acknowledge_before_commit,
    "repeat-on-time-out": repeat_on_time_out,
    "one-lane-for-all": one_lane_for_all,
    "no-lanes": no_lanes,
}


def main() -> None:
    """Break the bridge, then be it."""
    WAYS[sys.argv.pop(1)]()
    from bridge.cli import main as bridge_main

    bridge_main()


if __name__ == "__main__":
    main()
