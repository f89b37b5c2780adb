"""What is to be seen in the simulated Slack, and waiting until it is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from sandbox.slack.model import Message
from sandbox.slack.reading import links, pings
from sandbox.slack.state import Ephemeral, State

T = TypeVar("T")


class Eyes:
    """Looks at channels, threads, marks and what only one person sees."""

    state: State

    def messages(self, channel: str) -> list[Message]:
        """Everything in the channel, thread replies included, oldest first."""
        return list(self.state.channel(channel).messages.values())

    def thread(self, channel: str, root_ts: str) -> list[Message]:
        """The root and its replies, oldest first."""
        return self.state.channel(channel).thread(root_ts)

    def roots(self, channel: str) -> list[Message]:
        """What the channel itself shows, oldest first."""
        return list(self.state.channel(channel).timeline())

    def message(self, channel: str, ts: str) -> Message:
        """KeyError if it is not there (any more)."""
        return self.state.message(channel, ts)

    def reactions(self, channel: str, ts: str) -> dict[str, list[str]]:
        """Names of the reactions on a message, each with who reacted."""
        return {name: list(users) for name, users in self.state.message(channel, ts).reactions.items()}

    def marks(self, channel: str, ts: str) -> list[str]:
        """Names of the reactions that the bot put on a message."""
        bot = self.state.team_of(channel).bot.id
        return [name for name, users in self.reactions(channel, ts).items() if bot in users]

    def mark(self, channel: str, ts: str) -> str | None:
        """The one reaction of the bot on a message, None if there is none; AssertionError if there are
        several."""
        found = self.marks(channel, ts)
        assert len(found) <= 1, f"the bot's reactions on {ts} are {found}"
        return found[0] if found else None

    def pings(self, channel: str, ts: str) -> set[str]:
        """Whom a message notifies: ids of people and groups, `here`, `channel`, `everyone`."""
        return pings(self.state.message(channel, ts))

    def links(self, channel: str, ts: str) -> set[str]:
        """Addresses that a message makes clickable, buttons aside."""
        return links(self.state.message(channel, ts))

    def watch(self, watcher: Callable[[], None]) -> Callable[[], None]:
        """Call `watcher` after every change of anything; returns what ends that."""
        self.state.watchers.append(watcher)
        return lambda: self.state.watchers.remove(watcher)

    async def until(self, condition: Callable[[], T], *, timeout_s: float = 10.0) -> T:
        """Wait until `condition` holds and return what it returned; looks again whenever something changed.

        TimeoutError after `timeout_s` real seconds.
        """
        changed = asyncio.Event()
        unwatch = self.watch(changed.set)
        try:
            async with asyncio.timeout(timeout_s):
                while not (held := condition()):
                    changed.clear()
                    await changed.wait()
                return held
        finally:
            unwatch()

    def ephemerals(self, user: str) -> list[Ephemeral]:
        """What only this person saw, oldest first."""
        return [seen for seen in self.state.ephemerals if seen.user == user]
