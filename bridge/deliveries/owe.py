"""Putting deliveries: what the bridge owes Slack, written within the transaction that records why."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, insert, select, update

from bridge.content import Content, to_json
from bridge.deliveries.row import Act, Priority, Shown, State, channel_target, post_bucket, thread_lane
from bridge.ids import ChannelId, DeliveryId, LineRef, MessageTs, TeamId, new_id
from bridge.model import Mark, Thread
from bridge.store.tables import deliveries, shown_messages, threads


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


def shown_in(conn: Connection, thread: str) -> set[Shown]:
    """Return which messages, or parts of them, a thread shows or is owed."""
    rows = conn.execute(
        select(shown_messages.c.project_id, shown_messages.c.message_id, shown_messages.c.part)
        .join(deliveries, deliveries.c.id == shown_messages.c.delivery_id)
        .where(deliveries.c.thread_id == thread)
    )
    return {Shown(*row) for row in rows}


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
        lane=thread_lane(thread.id) if thread and in_order else None,
        also_to_channel=also_to_channel,
        line_ts=line_ts,
        bucket=post_bucket(team, channel),
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
    """Owe a redrawing of our own message `ts`; one that nobody has claimed yet is replaced, not added to."""
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
        lane=key,  # an older drawing must not land on a newer one
        merge_key=key,
        scheduled_at=now + delay,
    )


def put_delete(conn: Connection, now: datetime, team: TeamId, channel: ChannelId, ts: MessageTs) -> None:
    """Owe the deletion of our own message `ts`."""
    values = {"kind": "delete", "line_ts": ts, "priority": Priority.URGENT, "bucket": f"delete:{team}"}
    _put(conn, now, team, channel, Act.DELETE, **values)


def put_mark(conn: Connection, now: datetime, line: LineRef, mark: Mark, *, add: bool = True) -> None:
    """Owe a reaction on a line, or its removal; it cancels its opposite that nobody has claimed yet."""
    act, opposite = (Act.ADD_MARK, Act.REMOVE_MARK) if add else (Act.REMOVE_MARK, Act.ADD_MARK)
    lane = f"mark:{line.team}:{line.channel}:{line.ts}"
    never_claimed = (deliveries.c.state == State.READY, deliveries.c.sent_at.is_(None))
    cancelled = conn.execute(
        update(deliveries)
        .where(deliveries.c.lane == lane, deliveries.c.act == opposite, deliveries.c.mark == mark)
        .where(*never_claimed)
        .values(state=State.DONE, finished_at=now, reason="not needed any more")
    )
    if cancelled.rowcount:
        return
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
        lane=lane,
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
