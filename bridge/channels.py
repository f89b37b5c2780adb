"""Channels that close: their links are marked, people are told elsewhere, and what waits can move.

A channel closes when it is archived or deleted, or the bot is removed from it; Slack tells so, or refuses a
post. What waits is shown when that is mended, or in the channel that the project is linked to instead.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, select, update

from bridge.content import Content, Notice, from_json, inert
from bridge.deliveries import (
    WAITING,
    Act,
    Shown,
    State,
    channel_target,
    post_bucket,
    put_channel_post,
    put_root,
    separate,
    shown_in,
    thread_lane,
)
from bridge.ids import ChannelId, TeamId, ThreadId
from bridge.links import links_of, mark_link_problem, newly_closed, project_name, to_link
from bridge.mapping import open_thread, thread_by_id, threads_of
from bridge.model import Link, LinkKind, Target, TargetKind, Thread
from bridge.routing import choose
from bridge.store.tables import alerts, deliveries, floods, former_roots, links, shown_messages, threads

# --- marking and telling -----------------------------------------------------------------------------


def channel_closed(
    conn: Connection, now: datetime, team: TeamId, channel: ChannelId, sentence: str, *, is_sure: bool = False
) -> None:
    """Mark the links of a channel, and say once in another channel of each project that messages wait.

    `sentence` says what to do. One that Slack told us (`is_sure`) replaces what a refused post suggested.
    """
    fresh = newly_closed(conn, team, channel, sentence)
    if is_sure:
        mark_link_problem(conn, team, channel, sentence)
    for project in dict.fromkeys(link.project for link in fresh):
        others = [
            link
            for link in links_of(conn, project)
            if link.team == team and link.channel != channel and link.problem is None
        ]
        elsewhere = choose(others, LinkKind.ALERT)
        if not elsewhere:
            continue  # nobody looks anywhere but at `/jollor status`, which says it
        name = inert(project_name(conn, project))
        words = f"What “{name}” has for <#{channel}> waits; nothing is lost. {sentence}"
        put_channel_post(conn, now, team, elsewhere[0].channel, "notice", Notice(text=words))


def channel_open(conn: Connection, team: TeamId, channel: ChannelId) -> None:
    """Take the mark off the links of a channel."""
    mark_link_problem(conn, team, channel, None)


# --- moving ------------------------------------------------------------------------------------------


def replace_closed(conn: Connection, now: datetime, new: Link) -> list[Link]:
    """Show through `new` what waits for closed channels of its project; return the links that it ends."""
    rows = conn.execute(
        select(links).where(
            links.c.team == new.team,
            links.c.project_id == new.project,
            links.c.channel_id != new.channel,
            links.c.problem.is_not(None),
        )
    ).mappings()
    closed = [(to_link(row), row["unlinked_at"] is None) for row in rows.all()]
    for channel in dict.fromkeys(link.channel for link, _ in closed):
        for thread in _waiting_threads(conn, new, channel):
            _move(conn, now, thread, new)
        if new.kind.takes(LinkKind.ALERT):
            _move_alerts(conn, new, channel)
    ended = [link for link, in_force in closed if in_force and new.kind in (link.kind, LinkKind.ALL)]
    conn.execute(update(links).where(links.c.id.in_([link.id for link in ended])).values(unlinked_at=now))
    return ended


def move_on(conn: Connection, now: datetime, thread_id: ThreadId) -> None:
    """Move what waits in a thread whose channel was replaced while a post was under way."""
    thread = thread_by_id(conn, thread_id)
    if thread is None:
        return
    in_force = [link for link in links_of(conn, thread.target.project) if link.team == thread.team]
    if any(link.channel == thread.channel for link in in_force):
        return
    was_closed = select(links.c.id).where(
        links.c.team == thread.team,
        links.c.project_id == thread.target.project,
        links.c.channel_id == thread.channel,
        links.c.problem.is_not(None),
    )
    open_ones = [link for link in choose(in_force, _kind_of(thread.target)) if link.problem is None]
    if open_ones and conn.execute(was_closed).first() is not None:
        _move(conn, now, thread, open_ones[-1])


def _kind_of(target: Target) -> LinkKind:
    return LinkKind.POST if target.kind is TargetKind.POST else LinkKind.MESSAGE


def _waiting_threads(conn: Connection, new: Link, channel: ChannelId) -> list[Thread]:
    waiting = select(deliveries.c.thread_id).where(
        deliveries.c.team == new.team,
        deliveries.c.channel_id == channel,
        deliveries.c.act == Act.POST,
        deliveries.c.state.in_(WAITING),
    )
    rows = conn.execute(
        select(threads.c.id).where(
            threads.c.id.in_(waiting), threads.c.project_id == new.project, threads.c.team == new.team
        )
    ).scalars()
    found = [thread_by_id(conn, ThreadId(id_)) for id_ in rows.all()]
    return [thread for thread in found if thread is not None and new.kind.takes(_kind_of(thread.target))]


def _move(conn: Connection, now: datetime, old: Thread, new: Link) -> None:
    """Have what waits in `old` shown in the target's thread in the channel of `new`."""
    there = [
        thread
        for thread in threads_of(conn, old.target)
        if (thread.team, thread.channel) == (new.team, new.channel)
    ]
    _separate(conn, now, old)
    root = _waiting_root(conn, old)
    if root is not None and not there and old.root_ts is None:
        # Nobody has ever seen it: it begins in the other channel as it would have begun here.
        conn.execute(update(threads).where(threads.c.id == old.id).values(channel_id=new.channel))
        _carry(conn, now, old, old.id, new.channel)
        return
    thread, is_new = open_thread(conn, now, new, old.target)
    if is_new:
        put_root(conn, now, thread, "root", _root_content(conn, old))
    _give_up(conn, now, old, thread)
    _carry(conn, now, old, thread.id, new.channel)
    if root is not None and old.root_ts is None:
        _leave(conn, old)


def _leave(conn: Connection, old: Thread) -> None:
    """Forget a thread that never began. One that lost its root has lines: it stands where it stood last."""
    before = (
        select(former_roots.c.root_ts)
        .where(former_roots.c.thread_id == old.id)
        .order_by(former_roots.c.root_ts.desc())
        .limit(1)
    )
    last = conn.execute(before).scalar()
    if last is None:
        conn.execute(delete(threads).where(threads.c.id == old.id))
    else:
        conn.execute(update(threads).where(threads.c.id == old.id).values(root_ts=last))


def _separate(conn: Connection, now: datetime, thread: Thread) -> None:
    """Each message moves, or stays out, by itself; they are joined again where they go."""
    carriers = select(deliveries.c.id, deliveries.c.content).where(
        deliveries.c.thread_id == thread.id,
        deliveries.c.state.in_(WAITING),
        deliveries.c.id.in_(select(deliveries.c.joined_into).where(deliveries.c.state == State.JOINED)),
    )
    for id_, content in conn.execute(carriers).all():
        separate(conn, id_, from_json(content), now, alone=False)


def _waiting_root(conn: Connection, thread: Thread) -> str | None:
    return conn.execute(
        select(deliveries.c.id).where(
            deliveries.c.thread_id == thread.id, deliveries.c.is_root, deliveries.c.state.in_(WAITING)
        )
    ).scalar()


def _root_content(conn: Connection, old: Thread) -> Content:
    stored = conn.execute(
        select(deliveries.c.content)
        .join(threads, threads.c.root_delivery == deliveries.c.id)
        .where(threads.c.id == old.id)
    ).scalar()
    return (
        from_json(stored) if stored else Notice(text="This conversation began in a channel that was closed.")
    )


def _give_up(conn: Connection, now: datetime, old: Thread, thread: Thread) -> None:
    """Drop what the other thread has anyway: its own root, and messages that it shows already."""
    known = shown_in(conn, thread.id)
    ours = conn.execute(
        select(
            deliveries.c.id,
            deliveries.c.is_root,
            shown_messages.c.project_id,
            shown_messages.c.message_id,
            shown_messages.c.part,
        )
        .join(shown_messages, shown_messages.c.delivery_id == deliveries.c.id, isouter=True)
        .where(deliveries.c.thread_id == old.id, *_is_waiting())
    ).all()
    needless = {row.id for row in ours if row.is_root or Shown(*row[2:]) in known}
    conn.execute(
        update(deliveries)
        .where(deliveries.c.id.in_(needless))
        .values(state=State.DONE, in_doubt=False, finished_at=now, reason="shown in the other channel")
    )


def _carry(conn: Connection, now: datetime, old: Thread, thread: ThreadId, channel: ChannelId) -> None:
    """Give the waiting rows of `old` and what was kept of its floods their new place; their order stays."""
    place: dict[str, Any] = {
        "channel_id": channel,
        "thread_id": thread,
        "target": channel_target(old.team, channel),
        "bucket": post_bucket(old.team, channel),
    }
    waiting = (deliveries.c.thread_id == old.id, *_is_waiting())
    lane = thread_lane(thread)
    conn.execute(update(floods).where(floods.c.thread_id == old.id).values(thread_id=thread))
    conn.execute(update(deliveries).where(*waiting, deliveries.c.lane.is_not(None)).values(lane=lane))
    tried = (*waiting, deliveries.c.state == State.UNCERTAIN)
    fresh = {"state": State.READY, "in_doubt": False, "attempt": 0}
    conn.execute(update(deliveries).where(*tried).values(**fresh))
    conn.execute(update(deliveries).where(*waiting).values(**place, scheduled_at=now, reason=None))


def _is_waiting() -> tuple[Any, ...]:
    return deliveries.c.act == Act.POST, deliveries.c.state.in_(WAITING)


def _move_alerts(conn: Connection, new: Link, channel: ChannelId) -> None:
    """Alerts that stand and were not posted yet go where the project's alerts go now."""
    standing = alerts.c.project_id == new.project, alerts.c.team == new.team, alerts.c.cleared_at.is_(None)
    there = set(
        conn.execute(select(alerts.c.kind).where(*standing, alerts.c.channel_id == new.channel)).scalars()
    )
    rows = conn.execute(select(alerts).where(*standing, alerts.c.channel_id == channel)).mappings().all()
    for row in rows:
        if row["kind"] in there:
            continue
        place = {
            "channel_id": new.channel,
            "target": channel_target(new.team, new.channel),
            "bucket": post_bucket(new.team, new.channel),
        }
        owed = (deliveries.c.id == row["delivery_id"], deliveries.c.state.in_(WAITING))
        moved = conn.execute(
            update(deliveries).where(*owed).values(state=State.READY, in_doubt=False, **place)
        ).rowcount
        if moved:
            conn.execute(update(alerts).where(alerts.c.id == row["id"]).values(channel_id=new.channel))
