"""What the bridge owes Jollor: replies, each sent at most once without a person's word.

Jollor answers a private reply with `{}` and knows no idempotency key, so the states are the memory:
`pending` → `sending` (committed before the first byte) → `accepted` (2xx) → `confirmed` (its Jollor id is
known), or `refused`, or `unknown` (no answer, 5xx, a crash found in `sending`), or `cancelled` (by its writer
in time). `held` waits for a person's word before it is sent, `dropped` is what a person decided against.
Functions over a connection; moving on is conditional on the state moved from, so that a late worker changes
nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, exists, literal, or_, select, update
from sqlalchemy.engine import RowMapping

from bridge.ids import (
    ChannelId,
    ConversationId,
    IntentId,
    LineRef,
    MessageTs,
    ProjectId,
    TeamId,
    ThreadId,
    UserId,
)
from bridge.mapping import insert_new
from bridge.model import Target, TargetKind
from bridge.store.attempts import record_attempt
from bridge.store.tables import attempts, intents


class IntentState(StrEnum):
    """See the module's docstring."""

    PENDING = "pending"
    SENDING = "sending"
    ACCEPTED = "accepted"
    CONFIRMED = "confirmed"
    REFUSED = "refused"
    UNKNOWN = "unknown"
    CANCELLED = "cancelled"
    HELD = "held"
    DROPPED = "dropped"


WAITING = (IntentState.PENDING, IntentState.HELD)
NOT_OUT = (*WAITING, IntentState.REFUSED)
"""States in which nothing has reached the customer and a person can still have the line sent."""
IN_FLIGHT = (IntentState.SENDING, IntentState.UNKNOWN)
SETTLED = (IntentState.CONFIRMED, IntentState.REFUSED, IntentState.CANCELLED, IntentState.DROPPED)
COLLISION = "collision"
AGAIN = "again"
"""The decision to send a reply again whose outcome is not known."""
ANYWAY = "anyway"
"""The decision to send a reply although somebody else has answered, or although it comes late."""
CORRECTION = "correction"
"""The decision to send a correction: unlike the others it waits for what people are asked about."""
MAY_ECHO = (IntentState.SENDING, IntentState.UNKNOWN, IntentState.ACCEPTED)
"""States in which the message may turn up in Jollor's lists without being known as ours yet."""


@dataclass(frozen=True, slots=True)
class Intent:
    """A reply and what became of it. `snapshot` holds the message ids that existed before it was sent."""

    id: IntentId
    line: LineRef
    thread: ThreadId
    target: Target
    provider: str
    author: UserId
    text: str
    state: IntentState
    attempt: int
    due_at: datetime
    sent_at: datetime | None
    deadline: datetime | None
    snapshot: frozenset[str] | None
    jollor_id: str | None
    decision: str | None
    looks: int
    asked_at: datetime | None
    held_for: str | None
    first_sent_at: datetime | None
    corrects: IntentId | None = None
    """The reply that this one corrects; `line` is then our note, under which a person had it sent."""


def _intent(row: RowMapping) -> Intent:
    return Intent(
        id=IntentId(row["id"]),
        line=LineRef(TeamId(row["team"]), ChannelId(row["channel_id"]), MessageTs(row["ts"])),
        thread=ThreadId(row["thread_id"]),
        target=Target(ProjectId(row["project_id"]), TargetKind(row["target_kind"]), row["target_id"]),
        provider=row["provider"],
        author=UserId(row["author"]),
        text=row["text"],
        state=IntentState(row["state"]),
        attempt=row["attempt"],
        due_at=row["due_at"],
        sent_at=row["sent_at"],
        deadline=row["deadline"],
        snapshot=None if row["snapshot"] is None else frozenset(json.loads(row["snapshot"])),
        jollor_id=row["jollor_id"],
        decision=row["decision"],
        looks=row["looks"],
        asked_at=row["asked_at"],
        held_for=row["held_for"],
        first_sent_at=row["first_sent_at"],
        corrects=IntentId(row["corrects"]) if row["corrects"] else None,
    )


def plan(
    conn: Connection,
    now: datetime,
    id_: IntentId,
    line: LineRef,
    *,
    thread: ThreadId,
    target: Target,
    provider: str,
    author: UserId,
    text: str,
    due_at: datetime,
    **more: Any,
) -> bool:
    """Store a reply as `pending`; False if the line has an intent already."""
    return insert_new(
        conn,
        intents,
        id=id_,
        team=line.team,
        channel_id=line.channel,
        ts=line.ts,
        thread_id=thread,
        project_id=target.project,
        target_kind=target.kind,
        target_id=target.id,
        provider=provider,
        author=author,
        text=text,
        state=IntentState.PENDING,
        created_at=now,
        due_at=due_at,
        **more,
    )


def by_id(conn: Connection, id_: IntentId, *, lock: bool = False) -> Intent | None:
    """Return an intent; with `lock` nobody changes it until the transaction ends."""
    query = select(intents).where(intents.c.id == id_)
    row = conn.execute(query.with_for_update() if lock else query).mappings().first()
    return _intent(row) if row else None


def may_have_arrived(conn: Connection, intent: Intent) -> bool:
    """Whether the customer has received it, or may have: perhaps by an attempt before the latest one."""
    if intent.state in (*MAY_ECHO, IntentState.CONFIRMED):
        return True
    return was_in_doubt(conn, intent)


def was_in_doubt(conn: Connection, intent: Intent) -> bool:
    """Whether the outcome of one of its attempts is not known, or was not."""
    return intent.attempt > 0 and bool(conn.execute(select(_was_in_doubt(literal(intent.id)))).scalar())


def _was_in_doubt(id_: ColumnElement[str]) -> ColumnElement[bool]:
    """An attempt of it had an outcome that was not known. One that Jollor put off or refused is none."""
    return exists().where(
        attempts.c.subject == literal("intent:") + id_, attempts.c.outcome == IntentState.UNKNOWN
    )


def corrections_of(conn: Connection, id_: IntentId) -> list[Intent]:
    """Return the replies by which people had an intent corrected, newest first."""
    query = select(intents).where(intents.c.corrects == id_).order_by(intents.c.created_at.desc())
    return [_intent(row) for row in conn.execute(query).mappings()]


def may_echo(conn: Connection, project: ProjectId, conversation: ConversationId) -> list[Intent]:
    """Return the intents of a conversation whose message may appear in Jollor's lists, oldest first."""
    rows = conn.execute(
        select(intents)
        .where(
            intents.c.project_id == project,
            intents.c.target_kind == TargetKind.CONVERSATION,
            intents.c.target_id == conversation,
            or_(intents.c.state.in_(MAY_ECHO), _is_sent_before()),
        )
        .order_by(intents.c.sent_at, intents.c.id)
    ).mappings()
    return [_intent(row) for row in rows]


def move(
    conn: Connection,
    id_: IntentId,
    now: datetime,
    *,
    frm: Iterable[IntentState],
    to: IntentState,
    reason: str = "",
    **values: Any,
) -> bool:
    """Move an intent on if it is in one of the states `frm`, with a line in its history."""
    finished: dict[str, Any] = {} if to in (*IN_FLIGHT, *WAITING) else {"finished_at": now}
    if to in SETTLED:
        finished["snapshot"] = None  # nothing is compared with it any more
    moved = conn.execute(
        update(intents)
        .where(intents.c.id == id_, intents.c.state.in_(list(frm)))
        .values(state=to, reason=reason[:500] or None, **finished, **values)
    ).rowcount
    if moved:
        attempt = conn.execute(select(intents.c.attempt).where(intents.c.id == id_)).scalar_one()
        record_attempt(conn, f"intent:{id_}", now, attempt, to, reason)
    return bool(moved)


def note(conn: Connection, intent: Intent, now: datetime, outcome: str, reason: str = "") -> None:
    """Add a line to an intent's history that is no change of its state."""
    record_attempt(conn, f"intent:{intent.id}", now, intent.attempt, outcome, reason)


def begin(
    conn: Connection, intent: Intent, now: datetime, *, timeout: timedelta, snapshot: Iterable[str]
) -> bool:
    """Move from `pending` to `sending`, before the first byte; False if it is not pending any more."""
    return move(
        conn,
        intent.id,
        now,
        frm=[IntentState.PENDING],
        to=IntentState.SENDING,
        attempt=intent.attempt + 1,
        sent_at=now,
        first_sent_at=intent.first_sent_at or now,
        deadline=now + timeout,
        looks=0,
        asked_at=None,
        snapshot=json.dumps(sorted(snapshot)),
    )


def _is_sent_before() -> ColumnElement[bool]:
    """A person has it sent again: until that happens the first attempt may still turn up."""
    return and_(intents.c.state == IntentState.PENDING, intents.c.attempt > 0)


def refusal(token: str) -> str:
    """Return by what a refused reply is known to the button that sends it again: once for each refusal."""
    return f"refused:{token}"


def behind(intent: Intent | IntentId) -> str:
    """Return the reason for which replies are held that wait for a decision about `intent`."""
    return f"behind:{intent if isinstance(intent, str) else intent.id}"


def undecided_before(conn: Connection, intent: Intent) -> IntentId | None:
    """Return the reply to the same target, typed earlier, about which people have been asked: it goes first.

    One that was found late is not waited for: it has lost its place already.
    """
    row = conn.execute(
        select(intents.c.id, intents.c.held_for)
        .where(
            intents.c.project_id == intent.target.project,
            intents.c.target_kind == intent.target.kind,
            intents.c.target_id == intent.target.id,
            intents.c.ts < intent.line.ts,
            intents.c.state == IntentState.HELD,
            or_(intents.c.held_for == COLLISION, intents.c.held_for.like("behind:%")),
        )
        .order_by(intents.c.ts.desc())
        .limit(1)
    ).first()
    if row is None:
        return None
    return IntentId(row[1].removeprefix("behind:") if row[1] != COLLISION else row[0])


def waiting_behind(conn: Connection, intent: Intent) -> list[Intent]:
    """Return the replies to the same target that were typed later and are not on their way yet."""
    rows = conn.execute(
        select(intents)
        .where(
            intents.c.project_id == intent.target.project,
            intents.c.target_kind == intent.target.kind,
            intents.c.target_id == intent.target.id,
            intents.c.state == IntentState.PENDING,
            intents.c.ts > intent.line.ts,
        )
        .order_by(intents.c.ts)
    ).mappings()
    return [_intent(row) for row in rows]


def is_overtaken(conn: Connection, line: LineRef, thread: ThreadId) -> bool:
    """Return whether a reply of this thread that was typed after `line` is on its way already, or there."""
    later = exists().where(
        intents.c.team == line.team,
        intents.c.channel_id == line.channel,
        intents.c.ts > line.ts,
        intents.c.thread_id == thread,
        intents.c.state.in_((*MAY_ECHO, IntentState.CONFIRMED)),
    )
    return bool(conn.execute(select(later)).scalar())


def would_overtake(conn: Connection, intent: Intent, since: datetime) -> bool:
    """Return whether a reply that was typed before this one, and due since then, has not gone out yet.

    Where it came to its lane after this one had been claimed, this one has to stand back.
    """
    earlier = exists().where(
        intents.c.project_id == intent.target.project,
        intents.c.target_kind == intent.target.kind,
        intents.c.target_id == intent.target.id,
        intents.c.state == IntentState.PENDING,
        intents.c.ts < intent.line.ts,
        intents.c.due_at >= since,
    )
    return bool(conn.execute(select(earlier)).scalar())


def held_for(conn: Connection, why: str) -> list[Intent]:
    """Return the replies that are held for this reason, by their lines' order."""
    rows = conn.execute(
        select(intents)
        .where(intents.c.held_for == why, intents.c.state == IntentState.HELD)
        .order_by(intents.c.ts)
    ).mappings()
    return [_intent(row) for row in rows]


def change(conn: Connection, id_: IntentId, **values: Any) -> None:
    """Change facts of an intent that are no state."""
    conn.execute(update(intents).where(intents.c.id == id_).values(**values))


def sent_more_than_once(conn: Connection, project: ProjectId, conversation: ConversationId) -> list[Intent]:
    """Return the intents of a conversation that were sent again although in doubt: a double may turn up."""
    rows = conn.execute(
        select(intents).where(
            intents.c.project_id == project,
            intents.c.target_kind == TargetKind.CONVERSATION,
            intents.c.target_id == conversation,
            intents.c.attempt > 1,
            intents.c.doubled.is_(False),
            _was_in_doubt(intents.c.id),
        )
    ).mappings()
    return [_intent(row) for row in rows]


def confirm(conn: Connection, intent: Intent, now: datetime, jollor_id: str) -> bool:
    """Record which Jollor message an intent became; False if it has one already."""
    return move(
        conn,
        intent.id,
        now,
        frm=(*MAY_ECHO, IntentState.PENDING) if intent.attempt > 0 else MAY_ECHO,
        to=IntentState.CONFIRMED,
        jollor_id=jollor_id,
        asked_at=None,
        reason="seen in Jollor",
    )


def change_text(conn: Connection, id_: IntentId, text: str, due_at: datetime) -> bool:
    """Change what will be sent, or sent again, and when; only while it has not gone out."""
    return bool(
        conn.execute(
            update(intents)
            .where(intents.c.id == id_, intents.c.state.in_(NOT_OUT))
            .values(text=text, due_at=due_at)
        ).rowcount
    )
