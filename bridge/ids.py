"""Typed identifiers: strings that must not be swapped for one another.

Every id is opaque. Jollor's ids are shown as 24 hex characters, but a conversation id is the network's own
and may hold any character; Slack's `ts` is the id of a message within its channel.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import NewType

# Jollor
ProjectId = NewType("ProjectId", str)
ConversationId = NewType("ConversationId", str)
DialogueId = NewType("DialogueId", str)
MessageId = NewType("MessageId", str)
PostId = NewType("PostId", str)

# Slack
TeamId = NewType("TeamId", str)
ChannelId = NewType("ChannelId", str)
UserId = NewType("UserId", str)
MessageTs = NewType("MessageTs", str)

# Ours
JobId = NewType("JobId", int)
LinkId = NewType("LinkId", str)
ThreadId = NewType("ThreadId", str)
DeliveryId = NewType("DeliveryId", str)
IntentId = NewType("IntentId", str)


@dataclass(frozen=True, slots=True)
class ThreadRef:
    """A Slack thread by its root message."""

    team: TeamId
    channel: ChannelId
    ts: MessageTs

    @property
    def key(self) -> str:
        """The thread as one word."""
        return f"{self.team}:{self.channel}:{self.ts}"


@dataclass(frozen=True, slots=True)
class LineRef:
    """A single Slack message."""

    team: TeamId
    channel: ChannelId
    ts: MessageTs


def new_id() -> str:
    """Return a fresh random id of 16 characters, safe in URLs, logs and Slack metadata."""
    return secrets.token_hex(8)


def to_ts(moment: datetime) -> MessageTs:
    """Return `moment` the way Slack writes times: seconds and six digits after the point."""
    return MessageTs(f"{moment.timestamp():.6f}")


def ts_order(ts: str) -> int:
    """Return Slack's `ts` ("seconds.microseconds") as microseconds, for ordering; 0 if it is not one."""
    seconds, _, fraction = ts.partition(".")
    if not seconds.isdigit() or (fraction and not fraction.isdigit()):
        return 0
    return int(seconds) * 1_000_000 + int((fraction + "000000")[:6])
