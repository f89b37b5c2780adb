"""A delivery as data: what it does, where it goes, where it stands."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy.engine import RowMapping

from bridge.content import Content, from_json
from bridge.ids import ChannelId, DeliveryId, MessageTs, TeamId, ThreadId
from bridge.model import Mark


class Act(StrEnum):
    """What to do in Slack."""

    POST = "post"
    UPDATE = "update"
    DELETE = "delete"
    ADD_MARK = "add_mark"
    REMOVE_MARK = "remove_mark"


class State(StrEnum):
    """`uncertain` is sent without an answer, or found in `sending` after a crash.

    `joined` goes out within the post of another delivery (`joined_into`) and becomes what that becomes.
    """

    READY = "ready"
    SENDING = "sending"
    UNCERTAIN = "uncertain"
    JOINED = "joined"
    DONE = "done"
    REFUSED = "refused"


WAITING = (State.READY, State.UNCERTAIN)
ACTIVE = (State.READY, State.SENDING, State.UNCERTAIN)


class Priority:
    """Lower goes first."""

    URGENT = 0
    MESSAGE = 1
    CARD = 2


@dataclass(frozen=True, slots=True)
class Shown:
    """One message, or a part of it, that a delivery shows."""

    project: str
    message: str
    part: int = 1


@dataclass(frozen=True, slots=True)
class Delivery:
    """A claimed delivery. `root_ts` is that of its thread, None if the thread has no root.

    `sent_at` is when its first attempt in doubt began, or this one; `claimed_at` is always this one's time.
    """

    id: DeliveryId
    act: Act
    kind: str
    team: TeamId
    channel: ChannelId
    thread: ThreadId | None
    is_root: bool
    root_ts: MessageTs | None
    line_ts: MessageTs | None
    mark: Mark | None
    content: Content | None
    also_to_channel: bool
    in_doubt: bool
    sent_at: datetime
    claimed_at: datetime
    attempt: int
    target: str
    bucket: str
    worker: str

    @property
    def subject(self) -> str:
        """Under which its attempts are recorded."""
        return f"delivery:{self.id}"

    @property
    def targets(self) -> tuple[str, str]:
        """What has to be up for it: its channel and its workspace."""
        return self.target, team_target(self.team)


def channel_target(team: str, channel: str) -> str:
    """Return the name under which a channel is paused."""
    return f"channel:{team}:{channel}"


def team_target(team: str) -> str:
    """Return the name under which a workspace is paused."""
    return f"team:{team}"


def post_bucket(team: str, channel: str) -> str:
    """Return the rate bucket of a channel's posts."""
    return f"post:{team}:{channel}"


def thread_lane(thread: str) -> str:
    """Return the lane in which the posts of a thread keep their order."""
    return f"thread:{thread}"


def delivery_of(row: RowMapping, root_ts: str | None, claimed_at: datetime) -> Delivery:
    """Return a row as it stands after its claim. Raises `ValueError` if this version cannot read it."""
    return Delivery(
        id=DeliveryId(row["id"]),
        act=Act(row["act"]),
        kind=row["kind"],
        team=TeamId(row["team"]),
        channel=ChannelId(row["channel_id"]),
        thread=ThreadId(row["thread_id"]) if row["thread_id"] else None,
        is_root=row["is_root"],
        root_ts=MessageTs(root_ts) if root_ts else None,
        line_ts=MessageTs(row["line_ts"]) if row["line_ts"] else None,
        mark=Mark(row["mark"]) if row["mark"] else None,
        content=_content(row["content"]),
        also_to_channel=row["also_to_channel"],
        in_doubt=row["in_doubt"],
        sent_at=row["sent_at"],
        claimed_at=claimed_at,
        attempt=row["attempt"],
        target=row["target"],
        bucket=row["bucket"],
        worker=row["worker"],
    )


def _content(stored: Any) -> Content | None:
    return from_json(stored) if stored else None
