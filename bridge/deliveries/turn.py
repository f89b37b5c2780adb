"""Whose turn it is: which deliveries may go now, and when to look again.

A bucket lets one call through per interval, so the best row of each open bucket is all there is to choose
from. It is found through the index, however many rows wait in closed buckets, paused channels (a bucket of
posts has one channel) and paused workspaces (any bucket has one). SQL, because SQLite without statistics
would choose another index and read every waiting row.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, TextClause, bindparam, text

from bridge.store.tables import UtcDateTime

BEST_OF_EACH_BUCKET = """
with recursive waiting (bucket) as (
  select (
    select bucket from deliveries indexed by ix_deliveries_ready
    where state in ('ready', 'uncertain') order by bucket limit 1)
  union all
  select (
    select further.bucket from deliveries as further indexed by ix_deliveries_ready
    where further.state in ('ready', 'uncertain') and further.bucket > waiting.bucket
    order by further.bucket limit 1)
  from waiting where waiting.bucket is not null
),
paused (target) as (select target from pauses where probe_at > :now),
open (bucket) as (
  select waiting.bucket from waiting
  left join buckets on buckets.key = waiting.bucket
  where waiting.bucket is not null
    and (buckets.next_at is null or buckets.next_at <= :now)
    and not exists (
      select 1 from (
        select team, target from deliveries indexed by ix_deliveries_ready
        where bucket = waiting.bucket and state in ('ready', 'uncertain') limit 1) as any_of_it
      join paused on paused.target = 'team:' || any_of_it.team
        or (paused.target = any_of_it.target and waiting.bucket like 'post:%'))
)
select owed.id, owed.team, owed.target, owed.bucket, owed.team_bucket, owed.act, owed.scheduled_at,
  threads.root_ts
from open
cross join deliveries as owed
left join threads on threads.id = owed.thread_id
where owed.seq = (
    select best.seq from deliveries as best indexed by ix_deliveries_ready
    left join buckets as wider on wider.key = best.team_bucket
    where best.bucket = open.bucket and best.state in ('ready', 'uncertain')
      and best.scheduled_at <= :now
      and (wider.next_at is null or wider.next_at <= :now)
      and best.target not in (select target from paused)
      and not exists (
        select 1 from deliveries as ahead indexed by ix_deliveries_lane
        where ahead.lane = best.lane and ahead.state in ('ready', 'sending', 'uncertain')
          and (ahead.rank, ahead.seq) < (best.rank, best.seq))
      and not exists (
        select 1 from deliveries as root indexed by ix_deliveries_lane
        where root.lane = 'thread:' || best.thread_id and root.state in ('ready', 'sending', 'uncertain')
          and root.rank = 0 and root.seq <> best.seq)
    order by best.priority, best.seq limit 1)
order by owed.priority, owed.seq
"""

NEXT_DUE = """
select min(scheduled_at) as due from deliveries indexed by ix_deliveries_due
where state in ('ready', 'uncertain') and scheduled_at > :now
union all
select min(next_at) from buckets where next_at > :now
union all
select min(probe_at) from pauses where probe_at > :now
"""

IS_WAITING = "select 1 from deliveries where state in ('ready', 'uncertain') limit 1"


def may_go(conn: Connection, now: datetime) -> list[Row[Any]]:
    """Return the best row of each open bucket, best first, with its thread's `root_ts`.

    The first of its lane (a root before all else in its thread), due, and neither its channel nor its
    workspace paused; a probe that is due counts as not paused (who takes the row has to win it).
    """
    query = _statement(conn, BEST_OF_EACH_BUCKET, now).columns(scheduled_at=UtcDateTime)
    return list(conn.execute(query).all())


def next_due(conn: Connection, now: datetime) -> datetime | None:
    """Return when a waiting row, a closed bucket or a probe is due next, None if nothing waits."""
    if conn.execute(text(IS_WAITING)).first() is None:
        return None
    query = _statement(conn, NEXT_DUE, now).columns(due=UtcDateTime)
    return min((due for due in conn.execute(query).scalars() if due is not None), default=None)


def _statement(conn: Connection, sql: str, now: datetime) -> TextClause:
    """Return the statement; only SQLite knows the words that name an index."""
    words = sql if conn.dialect.name == "sqlite" else re.sub(r" indexed by \w+", "", sql)
    return text(words).bindparams(bindparam("now", now, UtcDateTime))
