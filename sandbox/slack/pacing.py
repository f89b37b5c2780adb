"""Slack's rate limits as token buckets on the sandbox's clock, and a count of who was turned away.

Figures: https://docs.slack.dev/apis/web-api/rate-limits and the tiers of Slack's own SDKs. Slack promises
the rates, not how large a burst passes; bursts here are small, so that a caller who relies on them is found
out.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from dataclasses import dataclass, field

from sandbox.clock import SandboxClock


@dataclass(frozen=True)
class Limit:
    """So many calls a minute, and how many of them may come at once."""

    per_minute: float
    burst: int


@dataclass
class Limits:
    """What a simulated workspace allows. All figures are switches; `enabled` False lets everything pass."""

    enabled: bool = True
    post_per_channel: Limit = Limit(60, 3)
    post_per_team: Limit = Limit(300, 60)
    tiers: dict[int, Limit] = field(
        default_factory=lambda: {1: Limit(1, 2), 2: Limit(20, 10), 3: Limit(50, 25), 4: Limit(100, 50)}
    )
    special: Limit = Limit(600, 60)
    reads_are_restricted: bool = False
    """One `conversations.history`/`replies` a minute with 15 items: commercially distributed apps outside the
    Marketplace."""


@dataclass
class _Bucket:
    tokens: float
    filled_at: float


@dataclass
class Pacing:
    """Decides who passes. Buckets belong to (team, method) or (team, channel), never to a caller."""

    clock: SandboxClock
    limits: Limits
    refused: Counter[tuple[str, str]] = field(default_factory=Counter)
    """429s by (method, channel); the channel is empty where the limit is the method's."""
    _buckets: dict[tuple[str, ...], _Bucket] = field(default_factory=dict)

    def wait_for(self, team: str, method: str, tier: int | None, channel: str | None) -> int:
        """Take one call out of every bucket that counts; 0 if it passes, else whole seconds to wait."""
        if not self.limits.enabled:
            return 0
        wanted = self._wanted(team, method, tier, channel)
        now = self.clock_s()
        wait = max((self._missing(key, limit, now) for key, limit in wanted), default=0.0)
        if wait > 0:
            self.refused[(method, channel or "")] += 1
            return max(1, math.ceil(wait))
        for key, _limit in wanted:
            self._buckets[key].tokens -= 1
        return 0

    def clock_s(self) -> float:
        """Seconds of the sandbox that passed since some fixed moment."""
        return time.monotonic() * self.clock.scale

    def _wanted(
        self, team: str, method: str, tier: int | None, channel: str | None
    ) -> list[tuple[tuple[str, ...], Limit]]:
        if method == "chat.postMessage":
            own = ((team, method, channel or ""), self.limits.post_per_channel)
            return [own, ((team, method), self.limits.post_per_team)]
        if self.limits.reads_are_restricted and method in RESTRICTED_READS:
            return [((team, method), Limit(1, 1))]
        return [((team, method), self.limits.special if tier is None else self.limits.tiers[tier])]

    def _missing(self, key: tuple[str, ...], limit: Limit, now: float) -> float:
        """Seconds until the bucket holds a whole call again, after filling it up for the time that passed."""
        bucket = self._buckets.setdefault(key, _Bucket(limit.burst, now))
        bucket.tokens = min(limit.burst, bucket.tokens + (now - bucket.filled_at) * limit.per_minute / 60)
        bucket.filled_at = now
        return max(0.0, (1 - bucket.tokens) * 60 / limit.per_minute)


RESTRICTED_READS = frozenset({"conversations.history", "conversations.replies"})
