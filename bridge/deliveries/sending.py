"""The rows from the sender's side: taken, kept while the call lasts, and what became of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, func, or_, select, update

from bridge.content import from_json
from bridge.deliveries.claim import INTERVAL_S, claim_in, close_bucket, lock_claims
from bridge.deliveries.join import separate, settle_joined
from bridge.deliveries.late import UNCONFIRMED, last_unconfirmed
from bridge.deliveries.owe import put_delete, put_update
from bridge.deliveries.row import Act, Delivery, State, team_target
from bridge.deliveries.turn import next_due
from bridge.ids import MessageTs
from bridge.links import mark_link_problem
from bridge.store import pauses
from bridge.store.attempts import record_attempt
from bridge.store.engine import Store
from bridge.store.tables import attempts, deliveries, threads

ROOT_GONE = "root_gone"
NEW_ROOTS = 2
"""So many are posted for a delivery; if Slack refuses replies to them as well, its thread is given up."""
REPEATED = "repeated"
"""The recorded outcome of a delivery that is posted once more although nobody can tell where it landed."""

Then = Callable[[Connection, datetime], None]
"""What else is owed, in the same transaction."""


class Deliveries:
    """Claiming, and recording outcomes. A sender that lost its lease changes nothing any more."""

    def __init__(self, store: Store, *, scale: float = 1.0) -> None:
        self._store = store
        self._scale = scale

    # --- taking and keeping --------------------------------------------------------------------------

    async def claim(self, worker: str, *, limit: int, lease: timedelta) -> list[Delivery]:
        """Take up to `limit` deliveries whose turn it is and whose buckets are open, and close those."""

        def claim(conn: Connection) -> list[Delivery]:
            lock_claims(conn)
            now = self._store.now(conn)
            return claim_in(conn, worker, limit=limit, lease=lease, now=now, scale=self._scale)

        return await self._store.write(claim)

    async def keep(self, held: Sequence[Delivery], lease: timedelta) -> None:
        """Extend the leases of deliveries that are being sent."""
        if not held:
            return

        def keep(conn: Connection) -> None:
            until = self._store.now(conn) + lease
            ours = or_(*(_held(one) for one in held))
            conn.execute(update(deliveries).where(ours).values(lease_until=until))

        await self._store.write(keep)

    async def rescue(self, *, alone: str | None = None) -> int:
        """Take back what lost senders held; whether their calls took effect is in doubt.

        `alone` (SQLite) names the own worker: everything that another one holds is lost.
        """

        def rescue(conn: Connection) -> int:
            now = self._store.now(conn)
            lost = deliveries.c.lease_until < now if alone is None else deliveries.c.worker != alone
            reason = "its sender stopped or stalled"
            taken = conn.execute(
                update(deliveries)
                .where(deliveries.c.state == State.SENDING, lost)
                .values(
                    state=State.UNCERTAIN, in_doubt=True, lease_until=None, scheduled_at=now, reason=reason
                )
                .returning(deliveries.c.id, deliveries.c.attempt)
            ).all()
            for id_, attempt in taken:
                record_attempt(conn, f"delivery:{id_}", now, attempt, "lost", reason)
            return len(taken)

        return await self._store.write(rescue)

    async def stray_until(self, one: Delivery, may_appear: timedelta) -> timedelta:
        """Return for how long yet an attempt at what `one` undoes or draws over may take effect.

        An attempt without an answer may do so up to `may_appear` after it. Zero or less: not any more.
        """

        def look(conn: Connection) -> timedelta:
            now = self._store.now(conn)
            last = last_unconfirmed(conn, one, since=now - may_appear / self._scale)
            return timedelta(0) if last is None else (last - now) * self._scale + may_appear

        return await self._store.read(look)

    async def next_due(self) -> datetime | None:
        """Return when to look again, None if nothing waits."""
        return await self._store.read(lambda conn: next_due(conn, self._store.now(conn)))

    # --- what became of it ---------------------------------------------------------------------------

    async def done(self, one: Delivery, ts: MessageTs | None, *, reason: str | None = None) -> None:
        """Record success; a root's `ts` becomes its thread's."""

        def record(conn: Connection) -> None:
            now = self._store.now(conn)
            settled = _settle(
                conn,
                one,
                # Even a sender that was given up knows for sure, if nobody has taken the row since.
                also_uncertain=True,
                state=State.DONE,
                in_doubt=False,
                slack_ts=ts,
                finished_at=now,
                reason=reason,
            )
            if not settled:
                return
            settle_joined(conn, one, state=State.DONE, slack_ts=ts, finished_at=now)
            pauses.resume(conn, team_target(one.team), tried_at=one.claimed_at)
            if pauses.resume(conn, one.target, tried_at=one.claimed_at):
                mark_link_problem(conn, one.team, one.channel, None)  # mended, though nobody told us
            if one.thread is not None and ts is not None and one.act is Act.POST:
                values: dict[str, Any] = {"active_at": now}
                if not one.is_root:
                    values["refused_told"] = False
                conn.execute(update(threads).where(threads.c.id == one.thread).values(**values))
            if one.is_root and ts is not None:
                _now_stands(conn, now, one, ts)

        await self._store.write(record)

    async def refused(self, one: Delivery, reason: str, *, then: Then | None = None) -> None:
        """Record that Slack will never take it: a dead letter."""

        def record(conn: Connection) -> None:
            now = self._store.now(conn)
            settled = _settle(
                conn, one, state=State.REFUSED, in_doubt=False, reason=reason[:500], finished_at=now
            )
            if settled:
                settle_joined(conn, one, state=State.REFUSED, reason=reason[:500], finished_at=now)
                record_attempt(conn, one.subject, now, one.attempt, "refused", reason)
                self._slack_answered(conn, one, now)
                if then is not None:
                    then(conn, now)

        await self._store.write(record)

    async def separated(self, one: Delivery, reason: str) -> None:
        """Record that Slack does not take it joined: each of its lines is tried by itself."""

        def record(conn: Connection) -> None:
            now = self._store.now(conn)
            if _settle(conn, one, state=State.READY, in_doubt=False, attempt=0, scheduled_at=now):
                separate(conn, one.id, one.content, now, alone=True)
                record_attempt(conn, one.subject, now, one.attempt, "separated", reason)
                self._slack_answered(conn, one, now)

        await self._store.write(record)

    async def again(
        self,
        one: Delivery,
        reason: str,
        *,
        delay: timedelta,
        is_attempt: bool = True,
        may_be_late: bool = False,
    ) -> None:
        """Record that it is to be done again after `delay`, in doubt if it was before.

        `may_be_late` says that this attempt may still take effect, perhaps after the next one did.
        """

        def record(conn: Connection) -> None:
            now = self._store.now(conn)
            at = now + delay / self._scale
            attempt = one.attempt if is_attempt else one.attempt - 1
            outcome = UNCONFIRMED if may_be_late else "failed" if is_attempt else "snoozed"
            if self._waits(conn, one, attempt=attempt, scheduled_at=at, reason=reason[:500]):
                record_attempt(conn, one.subject, now, one.attempt, outcome, reason)
                for target in one.targets:
                    pauses.probe_again(conn, target, one.claimed_at, at)

        await self._store.write(record)

    async def limited(self, one: Delivery, delay: timedelta) -> None:
        """Record a 429: its bucket stays closed for `delay`, the row is ready again. Not an attempt.

        One interval longer, in fact: with nothing to spare the next call that arrives early is one too many.
        """

        def record(conn: Connection) -> None:
            now = self._store.now(conn)
            if self._waits(conn, one, attempt=one.attempt - 1):
                open_again = now + (delay + timedelta(seconds=INTERVAL_S[one.act])) / self._scale
                close_bucket(conn, one.bucket, open_again)
                record_attempt(
                    conn, one.subject, now, one.attempt, "limited", f"for {delay.total_seconds():g} s"
                )
                self._slack_answered(conn, one, open_again)

        await self._store.write(record)

    async def paused(self, one: Delivery, target: str, reason: str, *, then: Then | None = None) -> None:
        """Record that the target is away: nothing took effect, the row waits for it. Not an attempt."""

        def record(conn: Connection) -> None:
            now = self._store.now(conn)
            at = pauses.pause(conn, target, reason, now, self._scale, tried_at=one.claimed_at)
            if target == one.target:
                self._slack_answered(conn, one, at)
            elif target in one.targets:
                pauses.probe_again(conn, one.target, one.claimed_at, now)
            # The pause itself holds the row back, unless it is of something else.
            when = now if target in one.targets else at
            if self._waits(conn, one, attempt=one.attempt - 1, scheduled_at=when, reason=reason[:500]):
                record_attempt(conn, one.subject, now, one.attempt, "paused", reason)
                if then is not None:
                    then(conn, now)

        await self._store.write(record)

    async def uncertain(
        self, one: Delivery, reason: str, *, delay: timedelta, is_attempt: bool = False
    ) -> None:
        """Record that it may have happened; after `delay` somebody looks."""

        def record(conn: Connection) -> None:
            now = self._store.now(conn)
            at = now + delay / self._scale
            settled = _settle(
                conn,
                one,
                state=State.UNCERTAIN,
                in_doubt=True,
                scheduled_at=at,
                reason=reason[:500],
                attempt=one.attempt if is_attempt else one.attempt - 1,
            )
            if settled:
                record_attempt(conn, one.subject, now, one.attempt, "uncertain", reason)
                for target in one.targets:
                    pauses.probe_again(conn, target, one.claimed_at, at)

        await self._store.write(record)

    async def root_gone(self, one: Delivery, stray: MessageTs | None, *, then: Then | None = None) -> None:
        """Have `one` posted again, behind the new root that `then` owes its thread; `stray` is removed."""

        def record(conn: Connection) -> None:
            now = self._store.now(conn)
            if not _settle(conn, one, state=State.READY, in_doubt=False, scheduled_at=now):
                return
            record_attempt(conn, one.subject, now, one.attempt, ROOT_GONE, "its root is gone")
            self._slack_answered(conn, one, now)
            if stray is not None:
                put_delete(conn, now, one.team, one.channel, stray)
            if then is not None:
                then(conn, now)

        await self._store.write(record)

    async def is_refused_for_good(self, one: Delivery) -> bool:
        """Whether new roots do not help: `one` has had two in vain, or its thread was given up."""

        def look(conn: Connection) -> bool:
            given_up = select(threads.c.refused_told).where(threads.c.id == one.thread)
            if conn.execute(given_up).scalar():
                return True
            in_vain = select(func.count()).where(
                attempts.c.subject == one.subject, attempts.c.outcome == ROOT_GONE
            )
            return conn.execute(in_vain).scalar_one() >= NEW_ROOTS

        return await self._store.read(look)

    async def not_there(self, one: Delivery) -> Delivery | None:
        """Record, before the call, that it was looked for in vain: what follows is a first attempt again.

        None if it is not ours any more.
        """

        def record(conn: Connection) -> Delivery | None:
            now = self._store.now(conn)
            values = {"in_doubt": False, "sent_at": now}
            held = conn.execute(update(deliveries).where(_held(one)).values(**values)).rowcount
            record_attempt(conn, one.subject, now, one.attempt, "not_there", "posting it again")
            return replace(one, in_doubt=False, sent_at=now) if held else None

        return await self._store.write(record)

    async def repeat_once(self, one: Delivery) -> bool:
        """Record, before the call, that it is posted once more; False if that was done before."""

        def record(conn: Connection) -> bool:
            was = select(attempts.c.id).where(
                attempts.c.subject == one.subject, attempts.c.outcome == REPEATED
            )
            if conn.execute(was.limit(1)).first() is not None:
                return False
            now = self._store.now(conn)
            record_attempt(conn, one.subject, now, one.attempt, REPEATED, "cannot be looked up")
            return True

        return await self._store.write(record)

    # --- inside --------------------------------------------------------------------------------------

    def _waits(self, conn: Connection, one: Delivery, **values: Any) -> bool:
        """Let the row wait as it did before this attempt."""
        return _settle(conn, one, state=State.UNCERTAIN if one.in_doubt else State.READY, **values)

    def _slack_answered(self, conn: Connection, one: Delivery, at: datetime) -> None:
        """The workspace is there; whether the channel is, its next probe tells, at `at` or soon after."""
        pauses.resume(conn, team_target(one.team), tried_at=one.claimed_at)
        pauses.probe_again(conn, one.target, one.claimed_at, at)


def _now_stands(conn: Connection, now: datetime, one: Delivery, ts: MessageTs) -> None:
    """The thread has its root; what was changed while it was being posted is drawn now."""
    thread = update(threads).where(threads.c.id == one.thread, threads.c.root_delivery == one.id)
    if not conn.execute(thread.values(root_ts=ts)).rowcount:
        return
    stored = conn.execute(select(deliveries.c.content).where(deliveries.c.id == one.id)).scalar_one()
    wanted = from_json(stored)
    if wanted != one.content:
        put_update(conn, now, one.team, one.channel, ts, "card", wanted)


def _held(one: Delivery, *, also_uncertain: bool = False) -> Any:
    """The row is still ours to report on: one that was taken over has another worker or attempt."""
    states = (State.SENDING, State.UNCERTAIN) if also_uncertain else (State.SENDING,)
    return (
        (deliveries.c.id == one.id)
        & deliveries.c.state.in_(states)
        & (deliveries.c.worker == one.worker)
        & (deliveries.c.attempt == one.attempt)
    )


def _settle(conn: Connection, one: Delivery, *, also_uncertain: bool = False, **values: Any) -> bool:
    """Give the row up with these values; False if it is not ours any more."""
    held = _held(one, also_uncertain=also_uncertain)
    return bool(conn.execute(update(deliveries).where(held).values(lease_until=None, **values)).rowcount)
