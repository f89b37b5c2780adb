"""What is said where something could not be shown: once, and in the end beside the thread."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection

from bridge.content import Notice, inert
from bridge.deliveries import Act, Delivery, put_channel_post, put_delete, put_notice, put_root
from bridge.ids import MessageTs
from bridge.links import project_name
from bridge.mapping import tell_refused_once, thread_by_id

LOOK = "Please look in Jollor."


def say_instead(conn: Connection, now: datetime, one: Delivery) -> None:
    """Where Slack refuses what we wanted to show, a plain sentence says so; a thread gets a plain root.

    What cannot be said in the thread either is said beside it, in the channel, once for the thread.
    """
    if one.act is not Act.POST:
        return
    is_plain = isinstance(one.content, Notice)
    thread = None if one.thread is None else thread_by_id(conn, one.thread)
    if thread is None:
        if not is_plain:
            words = Notice(text=f"Something could not be shown here. {LOOK}")
            put_channel_post(conn, now, one.team, one.channel, "notice", words)
    elif one.is_root and not is_plain:
        words = Notice(text=f"A conversation begins here; its card could not be shown. {LOOK}")
        put_root(conn, now, thread, "root", words)
    elif one.root_ts is not None and not is_plain:
        put_notice(conn, now, thread, Notice(text=f"A message could not be shown here. {LOOK}"))
    else:
        _say_beside(conn, now, one)


def give_up(conn: Connection, now: datetime, one: Delivery, stray: MessageTs | None) -> None:
    """Say beside a thread that Slack takes no replies there; a sentence of ours goes into the channel."""
    if stray is not None:
        put_delete(conn, now, one.team, one.channel, stray)
    _say_beside(conn, now, one)
    if isinstance(one.content, Notice):
        put_channel_post(conn, now, one.team, one.channel, "notice", one.content)


def _say_beside(conn: Connection, now: datetime, one: Delivery) -> None:
    assert one.thread is not None
    thread = thread_by_id(conn, one.thread)
    if thread is None or not tell_refused_once(conn, thread.id):
        return
    name = inert(project_name(conn, thread.target.project))
    words = f"Slack does not take what belongs into a thread of “{name}”. {LOOK}"
    put_channel_post(conn, now, one.team, one.channel, "notice", Notice(text=words))
