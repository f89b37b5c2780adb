"""What the bridge owes Slack: a row before it is a call.

A delivery is a post (root card, message, notice), an update of one, or a mark. It is put within the
transaction that records why (`put_…` take a connection). States: `ready` → `sending` → `done`, or
`uncertain` (sent, no answer: look before posting again), or `refused`.

Claiming is the pacing: a row is taken only when its rate buckets are open, and taking it closes them for
their interval. Buckets are rows, so several processes share Slack's allowance. Posts of one thread keep
their order (a root first); marks and notices wait for nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, case, delete, exists, func, insert, or_, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import RowMapping

from bridge.content import Content, from_json, to_json
from bridge.ids import ChannelId, DeliveryId, LineRef, MessageTs, TeamId, ThreadId, new_id
from bridge.model import Mark, Thread
from bridge.store import pauses
from bridge.store.attempts import record_attempt
from bridge.store.engine import Store
from bridge.store.tables import buckets, deliveries, shown_messages, threads

CANDIDATES = 50
CLAIM_LOCK = 0x6A6F6C  # one claimer at a time on PostgreSQL: what it reads of the buckets must hold

# Source: slack-facts, section 2: one post a second and channel, several hundred a minute and workspace;
# chat.update and reactions.add are tier 3 (50 a minute), reactions.remove and chat.delete 2 and 3.
INTERVAL_S = {"post": 1.0, "update": 1.2, "add_mark": 1.2, "remove_mark": 3.0, "delete": 1.2}
TEAM_POST_INTERVAL_S = 0.2


class Act(StrEnum):
    """What to do in Slack."""

    POST = "post"
    UPDATE = "update"
    DELETE = "delete"
    ADD_MARK = "add_mark"
    REMOVE_MARK = "remove_mark"


class State(StrEnum):
    """See the module's docstring."""

    READY = "ready"
    SENDING = "sending"
    UNCERTAIN = "uncertain"
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
    """A claimed delivery. `root_ts` is that of its thread, None if the thread has no root yet."""

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
    sent_at: datetime | None
    attempt: int
    target: str
    bucket: str
    worker: str


def channel_target(team: str, channel: str) -> str:
    """Return the name under which a channel is paused."""
    return f"channel:{team}:{channel}"


# --- putting -----------------------------------------------------------------------------------------


def put_root(conn: Connection, now: datetime, thread: Thread, kind: str, content: Content) -> DeliveryId:
    """Owe the channel the root of `thread`."""
    id_ = _put_post(conn, now, thread.team, thread.channel, kind, content, thread=thread, is_root=True)
    conn.execute(update(threads).where(threads.c.id == thread.id).values(root_delivery=id_, root_ts=None))
    return id_


def put_reply(
    conn: Connection,
    now: datetime,
    thread: Thread,
    kind: str,
    content: Content,
    *,
    shows: Sequence[Shown] = (),
    also_to_channel: bool = False,
) -> DeliveryId:
    """Owe `thread` a transcript line, in the order of putting."""
    id_ = _put_post(
        conn, now, thread.team, thread.channel, kind, content, thread=thread, also_to_channel=also_to_channel
    )
    for shown in shows:
        conn.execute(
            insert(shown_messages).values(
                delivery_id=id_, project_id=shown.project, message_id=shown.message, part=shown.part
            )
        )
    return id_


def put_notice(
    conn: Connection, now: datetime, thread: Thread, content: Content, *, about: LineRef | None = None
) -> DeliveryId:
    """Owe `thread` a sentence of ours, ahead of waiting messages."""
    return _put_post(
        conn,
        now,
        thread.team,
        thread.channel,
        "notice",
        content,
        thread=thread,
        priority=Priority.URGENT,
        in_order=False,
        line_ts=about.ts if about else None,
    )


def put_channel_post(
    conn: Connection, now: datetime, team: TeamId, channel: ChannelId, kind: str, content: Content
) -> DeliveryId:
    """Owe a channel a message of its own, outside of any thread: an alert, for instance."""
    return _put_post(conn, now, team, channel, kind, content, priority=Priority.URGENT, in_order=False)


def _put_post(
    conn: Connection,
    now: datetime,
    team: TeamId,
    channel: ChannelId,
    kind: str,
    content: Content,
    *,
    thread: Thread | None = None,
    is_root: bool = False,
    priority: int = Priority.MESSAGE,
    in_order: bool = True,
    also_to_channel: bool = False,
    line_ts: MessageTs | None = None,
) -> DeliveryId:
    return _put(
        conn,
        now,
        team,
        channel,
        Act.POST,
        kind=kind,
        content=to_json(content),
        thread_id=thread.id if thread else None,
        is_root=is_root,
        rank=0 if is_root else 1,
        priority=priority,
        lane=f"thread:{thread.id}" if thread and in_order else None,
        also_to_channel=also_to_channel,
        line_ts=line_ts,
        bucket=f"post:{team}:{channel}",
        team_bucket=f"post:{team}",
    )


def put_update(
    conn: Connection,
    now: datetime,
    team: TeamId,
    channel: ChannelId,
    ts: MessageTs,
    kind: str,
    content: Content,
    *,
    delay: timedelta = timedelta(0),
) -> None:
    """Owe a redrawing of our own message `ts`; one that still waits for it is replaced, not added to."""
    key = f"update:{team}:{channel}:{ts}"
    waiting = conn.execute(
        update(deliveries)
        .where(deliveries.c.merge_key == key, deliveries.c.state == State.READY)
        .values(content=to_json(content))
    )
    if waiting.rowcount:
        return
    _put(
        conn,
        now,
        team,
        channel,
        Act.UPDATE,
        kind=kind,
        content=to_json(content),
        line_ts=ts,
        priority=Priority.CARD if kind == "card" else Priority.URGENT,
        bucket=f"update:{team}",
        merge_key=key,
        scheduled_at=now + delay,
    )


def put_delete(conn: Connection, now: datetime, team: TeamId, channel: ChannelId, ts: MessageTs) -> None:
    """Owe the deletion of our own message `ts`."""
    values = {"kind": "delete", "line_ts": ts, "priority": Priority.URGENT, "bucket": f"delete:{team}"}
    _put(conn, now, team, channel, Act.DELETE, **values)


def put_mark(conn: Connection, now: datetime, line: LineRef, mark: Mark, *, add: bool = True) -> None:
    """Owe a reaction on a line, or its removal."""
    act = Act.ADD_MARK if add else Act.REMOVE_MARK
    _put(
        conn,
        now,
        line.team,
        line.channel,
        act,
        kind="mark",
        line_ts=line.ts,
        mark=mark,
        priority=Priority.URGENT,
        bucket=f"{act}:{line.team}",
        lane=f"mark:{line.team}:{line.channel}:{line.ts}",
    )


def _put(
    conn: Connection, now: datetime, team: TeamId, channel: ChannelId, act: Act, **values: Any
) -> DeliveryId:
    id_ = DeliveryId(new_id())
    row = {
        "id": id_,
        "team": team,
        "channel_id": channel,
        "act": act,
        "target": channel_target(team, channel),
        "rank": 1,
        "state": State.READY,
        "scheduled_at": now,
        "created_at": now,
        **values,
    }
    conn.execute(insert(deliveries).values(**row))
    return id_


# --- sending -----------------------------------------------------------------------------------------


class Deliveries:
    """The rows from the sender's side: claiming, and recording what became of them."""

    def __init__(self, store: Store, *, scale: float = 1.0) -> None:
        self._store = store
        self._scale = scale

    async def claim(self, worker: str, *, limit: int, lease: timedelta) -> list[Delivery]:
        """Take up to `limit` deliveries whose turn it is and whose buckets are open, and close those."""
        return await self._store.write(lambda conn: self._claim(conn, worker, limit, lease))

    def _claim(self, conn: Connection, worker: str, limit: int, lease: timedelta) -> list[Delivery]:
        if conn.dialect.name == "postgresql":
            conn.execute(select(func.pg_advisory_xact_lock(CLAIM_LOCK)))
        now = self._store.now(conn)
        candidates = conn.execute(_due(now)).mappings().all()
        paused = pauses.paused_targets(conn, {row["target"] for row in candidates})
        taken: list[Delivery] = []
        closed: set[str] = set()
        for row in candidates:
            keys = {row["bucket"], row["team_bucket"]} - {None}
            if len(taken) >= limit or keys & closed:
                continue
            target = row["target"]
            if target in paused and not pauses.take_probes(conn, [target], now, self._scale):
                continue
            closed |= keys
            taken.append(_delivery(row, worker))
            self._close(conn, row, now)
        if taken:
            conn.execute(
                update(deliveries)
                .where(deliveries.c.id.in_([one.id for one in taken]))
                .values(
                    state=State.SENDING,
                    worker=worker,
                    lease_until=now + lease,
                    attempt=deliveries.c.attempt + 1,
                    # of an attempt in doubt the first time counts: that is where looking starts
                    sent_at=case((deliveries.c.in_doubt, deliveries.c.sent_at), else_=now),
                )
            )
        return taken

    def _close(self, conn: Connection, row: RowMapping, now: datetime) -> None:
        interval_s = INTERVAL_S[row["act"]] / self._scale
        _close_bucket(conn, row["bucket"], now + timedelta(seconds=interval_s))
        if row["team_bucket"] is not None:
            _close_bucket(
                conn, row["team_bucket"], now + timedelta(seconds=TEAM_POST_INTERVAL_S / self._scale)
            )

    async def done(self, one: Delivery, ts: MessageTs | None) -> None:
        """Record success; a root's `ts` becomes its thread's."""

        def record(conn: Connection) -> None:
            now = self._store.now(conn)
            if not _held_update(
                conn, one, state=State.DONE, slack_ts=ts, finished_at=now, lease_until=None, in_doubt=False
            ):
                return
            pauses.resume(conn, one.target)
            if one.thread is not None and ts is not None and one.act is Act.POST:
                values: dict[str, Any] = {"active_at": now}
                if one.is_root:
                    values["root_ts"] = ts
                conn.execute(update(threads).where(threads.c.id == one.thread).values(**values))

        await self._store.write(record)

    async def refused(self, one: Delivery, reason: str) -> None:
        """Record that Slack will never take it."""
        await self._record(one, "refused", reason, state=State.REFUSED, in_doubt=False, finished=True)

    async def again(self, one: Delivery, reason: str, *, delay: timedelta, is_attempt: bool = True) -> None:
        """Record that nothing took effect: ready again after `delay`."""
        await self._record(
            one,
            "failed" if is_attempt else "snoozed",
            reason,
            state=State.UNCERTAIN if one.in_doubt else State.READY,
            in_doubt=one.in_doubt,
            delay=delay,
            attempt=one.attempt if is_attempt else one.attempt - 1,
        )

    async def limited(self, one: Delivery, delay: timedelta) -> None:
        """Record a 429: its bucket stays closed for `delay`, the row is ready again."""

        def record(conn: Connection) -> None:
            now = self._store.now(conn)
            state = State.UNCERTAIN if one.in_doubt else State.READY
            if _held_update(
                conn, one, state=state, in_doubt=one.in_doubt, lease_until=None, attempt=one.attempt - 1
            ):
                _close_bucket(conn, one.bucket, now + delay / self._scale)
                record_attempt(conn, f"delivery:{one.id}", now, one.attempt, "limited", f"wait {delay}")

        await self._store.write(record)

    async def paused(self, one: Delivery, target: str, reason: str) -> None:
        """Record that the target is away: nothing took effect, the row waits for it."""

        def record(conn: Connection) -> None:
            now = self._store.now(conn)
            at = pauses.pause(conn, target, reason, now, self._scale)
            state = State.UNCERTAIN if one.in_doubt else State.READY
            held = _held_update(
                conn,
                one,
                state=state,
                in_doubt=one.in_doubt,
                lease_until=None,
                attempt=one.attempt - 1,
                scheduled_at=now if target == one.target else at,
            )
            if held:
                record_attempt(conn, f"delivery:{one.id}", now, one.attempt, "paused", reason)

        await self._store.write(record)

    async def uncertain(self, one: Delivery, reason: str, *, delay: timedelta) -> None:
        """Record that it may have happened; after `delay` somebody looks."""
        await self._record(one, "uncertain", reason, state=State.UNCERTAIN, in_doubt=True, delay=delay)

    async def _record(
        self,
        one: Delivery,
        outcome: str,
        reason: str,
        *,
        delay: timedelta = timedelta(0),
        finished: bool = False,
        **values: Any,
    ) -> None:
        def record(conn: Connection) -> None:
            now = self._store.now(conn)
            held = _held_update(
                conn,
                one,
                reason=reason[:500],
                lease_until=None,
                scheduled_at=now + delay / self._scale,
                finished_at=now if finished else None,
                **values,
            )
            if held:
                record_attempt(conn, f"delivery:{one.id}", now, one.attempt, outcome, reason)

        await self._store.write(record)

    async def rescue(self, *, alone: str | None = None) -> int:
        """Take back what lost senders held; whether their calls took effect is in doubt.

        `alone` (SQLite) names the own worker: everything that another one holds is lost.
        """

        def rescue(conn: Connection) -> int:
            now = self._store.now(conn)
            lost = deliveries.c.lease_until < now if alone is None else deliveries.c.worker != alone
            values = {"lease_until": None, "scheduled_at": now, "reason": "its sender stopped or stalled"}
            return conn.execute(
                update(deliveries)
                .where(deliveries.c.state == State.SENDING, lost)
                .values(state=State.UNCERTAIN, in_doubt=True, **values)
            ).rowcount

        return await self._store.write(rescue)

    async def next_due(self) -> datetime | None:
        """Return when the next waiting delivery or closed bucket is due, None if nothing waits."""

        def look(conn: Connection) -> datetime | None:
            now = self._store.now(conn)
            later = conn.execute(
                select(func.min(deliveries.c.scheduled_at)).where(
                    deliveries.c.state.in_(WAITING), deliveries.c.scheduled_at > now
                )
            ).scalar()
            opening = conn.execute(
                select(func.min(buckets.c.next_at)).where(
                    buckets.c.next_at > now,
                    exists().where(
                        deliveries.c.state.in_(WAITING),
                        or_(
                            deliveries.c.bucket == buckets.c.key,
                            deliveries.c.team_bucket == buckets.c.key,
                        ),
                    ),
                )
            ).scalar()
            return min((t for t in (later, opening) if t is not None), default=None)

        return await self._store.read(look)

    async def root_gone(self, one: Delivery, remap: Callable[[Connection, datetime], None]) -> None:
        """Have `one` wait behind the new root that `remap` owes its thread."""

        def record(conn: Connection) -> None:
            now = self._store.now(conn)
            state = {"state": State.READY, "in_doubt": False, "lease_until": None, "scheduled_at": now}
            if _held_update(conn, one, **state):
                remap(conn, now)
                record_attempt(conn, f"delivery:{one.id}", now, one.attempt, "root_gone", "its root is gone")

        await self._store.write(record)


def _due(now: datetime) -> Any:
    ahead = deliveries.alias("ahead")
    channel_bucket, team_bucket = buckets.alias("channel_bucket"), buckets.alias("team_bucket")
    blocked = exists().where(
        ahead.c.lane == deliveries.c.lane,
        ahead.c.state.in_(ACTIVE),
        tuple_(ahead.c.rank, ahead.c.seq) < tuple_(deliveries.c.rank, deliveries.c.seq),
    )
    return (
        select(deliveries, threads.c.root_ts)
        .outerjoin(threads, threads.c.id == deliveries.c.thread_id)
        .outerjoin(channel_bucket, channel_bucket.c.key == deliveries.c.bucket)
        .outerjoin(team_bucket, team_bucket.c.key == deliveries.c.team_bucket)
        .where(
            deliveries.c.state.in_(WAITING),
            deliveries.c.scheduled_at <= now,
            or_(deliveries.c.lane.is_(None), ~blocked),
            or_(channel_bucket.c.next_at.is_(None), channel_bucket.c.next_at <= now),
            or_(team_bucket.c.next_at.is_(None), team_bucket.c.next_at <= now),
            pauses.is_open(deliveries.c.target, now),
        )
        .order_by(deliveries.c.priority, deliveries.c.seq)
        .limit(CANDIDATES)
    )


def _delivery(row: RowMapping, worker: str) -> Delivery:
    return Delivery(
        id=DeliveryId(row["id"]),
        act=Act(row["act"]),
        kind=row["kind"],
        team=TeamId(row["team"]),
        channel=ChannelId(row["channel_id"]),
        thread=ThreadId(row["thread_id"]) if row["thread_id"] else None,
        is_root=row["is_root"],
        root_ts=MessageTs(row["root_ts"]) if row["root_ts"] else None,
        line_ts=MessageTs(row["line_ts"]) if row["line_ts"] else None,
        mark=Mark(row["mark"]) if row["mark"] else None,
        content=from_json(row["content"]) if row["content"] else None,
        also_to_channel=row["also_to_channel"],
        in_doubt=row["in_doubt"],
        sent_at=row["sent_at"],
        attempt=row["attempt"] + 1,
        target=row["target"],
        bucket=row["bucket"],
        worker=worker,
    )


def _held_update(conn: Connection, one: Delivery, **values: Any) -> bool:
    """Update the row if it is still ours to report on."""
    return bool(
        conn.execute(
            update(deliveries)
            .where(
                deliveries.c.id == one.id,
                deliveries.c.state == State.SENDING,
                deliveries.c.worker == one.worker,
                deliveries.c.attempt == one.attempt,
            )
            .values(**values)
        ).rowcount
    )


def _close_bucket(conn: Connection, key: str, until: datetime) -> None:
    dialect = sqlite if conn.dialect.name == "sqlite" else postgresql
    statement = dialect.insert(buckets).values(key=key, next_at=until)
    conn.execute(
        statement.on_conflict_do_update(
            index_elements=[buckets.c.key],
            set_={"next_at": statement.excluded.next_at},
            where=buckets.c.next_at < statement.excluded.next_at,
        )
    )


def forget_old(conn: Connection, before: datetime) -> int:
    """Delete finished deliveries from before `before`, apart from roots and what shows messages."""
    keep = select(shown_messages.c.delivery_id)
    return conn.execute(
        delete(deliveries).where(
            deliveries.c.state.in_((State.DONE, State.REFUSED)),
            deliveries.c.finished_at < before,
            deliveries.c.is_root.is_(False),
            deliveries.c.id.not_in(keep),
        )
    ).rowcount
