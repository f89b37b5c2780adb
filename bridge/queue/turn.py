"""Whose turn it is: which jobs may start now, and when the next one will.

Looking costs little however many jobs wait: first at the front of those that are due; if that was all of a
few busy lanes, then at the first job of each lane. It is written as SQL because it depends on the index that
is used.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Integer, Row, TextClause, bindparam, text

from bridge.store.tables import UtcDateTime

FRONT = """
select front.id, front.lane is null or (
  front.id = (
    select first.id from jobs as first indexed by ix_jobs_lane
    where first.lane = front.lane and first.state in ('available', 'running')
    order by first.lane_order, first.id limit 1)
  and not exists (select 1 from jobs as busy where busy.lane = front.lane and busy.state = 'running')
) as may_start
from (
  select id, lane, priority, scheduled_at from jobs indexed by ix_jobs_ready
  where state = 'available' and scheduled_at <= :now
    and (target is null or target not in (select target from pauses where probe_at > :now))
  order by priority, scheduled_at, id limit :width
) as front
order by front.priority, front.scheduled_at, front.id
"""

FIRST_OF_EACH_LANE = """
with recursive lanes (lane) as (
  select (
    select lane from jobs indexed by ix_jobs_lane
    where lane is not null and state in ('available', 'running')
    order by lane limit 1)
  union all
  select (
    select jobs.lane from jobs indexed by ix_jobs_lane
    where jobs.lane > lanes.lane and jobs.state in ('available', 'running')
    order by jobs.lane limit 1)
  from lanes where lanes.lane is not null
)
select jobs.id from lanes cross join jobs
where lanes.lane is not null
  and jobs.id = (
    select first.id from jobs as first indexed by ix_jobs_lane
    where first.lane = lanes.lane and first.state in ('available', 'running')
    order by first.lane_order, first.id limit 1)
  and not exists (select 1 from jobs as busy where busy.lane = lanes.lane and busy.state = 'running')
  and jobs.state = 'available' and jobs.scheduled_at <= :now
  and (jobs.target is null or jobs.target not in (select target from pauses where probe_at > :now))
order by jobs.priority, jobs.scheduled_at, jobs.id limit :width
"""

WITHOUT_LANE = """
select id from jobs indexed by ix_jobs_lane
where lane is null and state in ('available', 'running')
  and state = 'available' and scheduled_at <= :now
  and (target is null or target not in (select target from pauses where probe_at > :now))
order by priority, scheduled_at, id limit :width
"""

NEXT_DUE = """
select min(scheduled_at) as due from jobs indexed by ix_jobs_ready
where state = 'available' and scheduled_at > :now
union all
select min(probe_at) from pauses where probe_at > :now
"""


def may_start(conn: Connection, now: datetime, limit: int) -> list[int]:
    """Return the ids of jobs that are due, first in their lane and not held up; `limit` of them or more.

    A probe that is due counts as not held up: who takes a job has to win it (`pauses.take_probes`).
    """
    width = max(64, limit * 8)
    front = looked_up(conn, FRONT, now, width)
    found = [row.id for row in front if row.may_start]
    if len(found) >= limit or len(front) < width:
        return found
    deeper = [*looked_up(conn, FIRST_OF_EACH_LANE, now, width), *looked_up(conn, WITHOUT_LANE, now, width)]
    return list(dict.fromkeys([*found, *(row.id for row in deeper)]))


def next_due(conn: Connection, now: datetime) -> datetime | None:
    """Return when the next job that is not due yet, or the next probe, will be; None if there is none."""
    query = _statement(conn, NEXT_DUE).bindparams(bindparam("now", now, UtcDateTime)).columns(due=UtcDateTime)
    return min((due for due in conn.execute(query).scalars() if due is not None), default=None)


def looked_up(conn: Connection, sql: str, now: datetime, width: int) -> list[Row[Any]]:
    """Return what one of the statements above finds, no more than `width` rows."""
    query = _statement(conn, sql).bindparams(
        bindparam("now", now, UtcDateTime), bindparam("width", width, Integer)
    )
    return list(conn.execute(query).all())


def _statement(conn: Connection, sql: str) -> TextClause:
    """Return the statement; only SQLite knows the words that name an index."""
    return text(sql if conn.dialect.name == "sqlite" else re.sub(r" indexed by \w+", "", sql))
