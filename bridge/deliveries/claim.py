"""Taking the deliveries whose turn it is. Taking one closes its rate buckets for their interval."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, case, func, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import RowMapping

from bridge.deliveries.join import take_along
from bridge.deliveries.row import WAITING, Act, Delivery, State, delivery_of, team_target
from bridge.deliveries.turn import may_go
from bridge.store import pauses
from bridge.store.attempts import record_attempt
from bridge.store.tables import buckets, deliveries

log = logging.getLogger(__name__)

CLAIM_LOCK = 0x6A6F6C  # one claimer at a time on PostgreSQL: what it reads of the buckets must hold

# Source: slack-facts, section 2: one post a second and channel, several hundred a minute and workspace;
# chat.update, chat.delete and reactions.add are tier 3 (50 a minute), reactions.remove tier 2 (20 a minute).
# Posts take 99 % of it, so that a call too many (a plainer form of a refused message) is made up for.
INTERVAL_S = {
    Act.POST: 1.01,
    Act.UPDATE: 1.2,
    Act.ADD_MARK: 1.2,
    Act.REMOVE_MARK: 3.0,
    Act.DELETE: 1.2,
}
TEAM_POST_INTERVAL_S = 0.2
CREDIT = 0.5
"""Of an interval: a claim that comes later than it might, by no more than this, does not delay the next."""


def claim_in(
    conn: Connection, worker: str, *, limit: int, lease: timedelta, now: datetime, scale: float
) -> list[Delivery]:
    """Take up to `limit` deliveries within the caller's transaction, best first."""
    while chosen := _choose(conn, may_go(conn, now), limit, now, scale):
        roots = {row.id: row.root_ts for row in chosen}
        taken = _mark_sending(conn, worker, list(roots), lease, now)
        claimed = [
            take_along(conn, one, row["lane"], row["alone"], now)
            for row in taken
            if (one := _readable(conn, row, roots[row["id"]], now)) is not None
        ]
        if claimed:
            order = list(roots)
            return sorted(claimed, key=lambda one: order.index(one.id))
        # Nobody can read these; they are no longer in the way of the others.
    return []


def _choose(
    conn: Connection, candidates: Sequence[Row[Any]], limit: int, now: datetime, scale: float
) -> list[Row[Any]]:
    """Return those that fit together, their buckets closed; a paused target lets one through, its probe."""
    paused = pauses.paused_targets(conn, {target for row in candidates for target in _targets(row)})
    chosen: list[Row[Any]] = []
    closed: set[str] = set()
    for row in _probes_last(candidates, paused):
        keys = {row.bucket: INTERVAL_S[Act(row.act)]}
        if row.team_bucket is not None:
            keys[row.team_bucket] = TEAM_POST_INTERVAL_S
        if len(chosen) >= limit or closed.intersection(keys):
            continue
        away = paused & _targets(row)
        if away and pauses.take_probes(conn, away, now, scale) != away:
            continue
        for key, interval_s in keys.items():
            _use_bucket(conn, key, now, timedelta(seconds=interval_s / scale))
        closed.update(keys)
        chosen.append(row)
    return chosen


def _targets(row: Row[Any]) -> set[str]:
    return {row.target, team_target(row.team)}


def _probes_last(candidates: Sequence[Row[Any]], paused: set[str]) -> list[Row[Any]]:
    """Of what is paused the one tried longest ago is the probe: one kind of call may work before another."""
    free = [row for row in candidates if not paused & _targets(row)]
    away = [row for row in candidates if paused & _targets(row)]
    return [*free, *sorted(away, key=lambda row: row.scheduled_at)]


def _mark_sending(
    conn: Connection, worker: str, ids: Sequence[str], lease: timedelta, now: datetime
) -> Sequence[RowMapping]:
    """Return the rows as they are now: one may have been changed, or cancelled, since it was chosen."""
    return (
        conn.execute(
            update(deliveries)
            .where(deliveries.c.id.in_(ids), deliveries.c.state.in_(WAITING))
            .values(
                state=State.SENDING,
                worker=worker,
                lease_until=now + lease,
                attempt=deliveries.c.attempt + 1,
                # of an attempt in doubt the first time counts: that is where looking starts
                sent_at=case((deliveries.c.in_doubt, deliveries.c.sent_at), else_=now),
                merge_key=None,  # what is being drawn is not replaced any more, a newer drawing follows it
            )
            .returning(deliveries)
        )
        .mappings()
        .all()
    )


def _readable(conn: Connection, row: RowMapping, root_ts: str | None, now: datetime) -> Delivery | None:
    """Return the row as a delivery; one that cannot be read becomes a dead letter, and no more than that."""
    try:
        return delivery_of(row, root_ts, now)
    except ValueError as error:
        log.error("delivery.unreadable", extra={"delivery": row["id"], "kind": row["kind"]})
        reason = f"unreadable: this version cannot read it ({type(error).__name__})"
        values = {"state": State.REFUSED, "reason": reason, "finished_at": now, "lease_until": None}
        conn.execute(update(deliveries).where(deliveries.c.id == row["id"]).values(**values))
        record_attempt(conn, f"delivery:{row['id']}", now, row["attempt"], "refused", reason)
        return None


def lock_claims(conn: Connection) -> None:
    """Be the only claimer until the transaction ends; on SQLite a writer always is."""
    if conn.dialect.name == "postgresql":
        conn.execute(select(func.pg_advisory_xact_lock(CLAIM_LOCK)))


def _use_bucket(conn: Connection, key: str, now: datetime, interval: timedelta) -> None:
    """Close a bucket for its interval, counted from when it was open again if that is but a moment ago.

    Else each look that comes a little late would cost some of the allowance. Idle time is not saved up.
    """
    opened = conn.execute(select(buckets.c.next_at).where(buckets.c.key == key)).scalar() or now
    is_in_use = now - opened <= interval * CREDIT
    close_bucket(conn, key, (opened if is_in_use else now) + interval)


def close_bucket(conn: Connection, key: str, until: datetime) -> None:
    """Keep a bucket closed until then, at least."""
    dialect = sqlite if conn.dialect.name == "sqlite" else postgresql
    statement = dialect.insert(buckets).values(key=key, next_at=until)
    conn.execute(
        statement.on_conflict_do_update(
            index_elements=[buckets.c.key],
            set_={"next_at": statement.excluded.next_at},
            where=buckets.c.next_at < statement.excluded.next_at,
        )
    )
