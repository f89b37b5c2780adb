"""Facts that may be some minutes old: people and channels."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from datetime import datetime, timedelta
from typing import Generic, TypeVar

from bridge.model import Clock

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Cache(Generic[K, V]):
    """At most `capacity` values, each for `lifetime`; the oldest go first."""

    def __init__(self, *, lifetime: timedelta, capacity: int, now: Clock) -> None:
        self._lifetime = lifetime
        self._capacity = capacity
        self._now = now
        self._kept: OrderedDict[K, tuple[datetime, V]] = OrderedDict()

    def get(self, key: K) -> V | None:
        """Return the value, None if there is none or it is too old."""
        kept = self._kept.get(key)
        if kept is None or kept[0] <= self._now():
            return None
        return kept[1]

    def put(self, key: K, value: V) -> V:
        """Keep `value` and return it."""
        self._kept.pop(key, None)
        self._kept[key] = (self._now() + self._lifetime, value)
        while len(self._kept) > self._capacity:
            self._kept.popitem(last=False)
        return value

    def forget(self, key: K) -> None:
        """Drop the value: something changed."""
        self._kept.pop(key, None)
