"""What a link or an id names, and its whole trace."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta

from sqlalchemy import Connection, select
from sqlalchemy.engine import RowMapping

from bridge.errors import PermanentError
from bridge.ids import ChannelId, DeliveryId, IntentId, LineRef, MessageTs, TeamId
from bridge.links import links_of
from bridge.store.attempts import KEPT
from bridge.store.tables import deliveries
from bridge.trace.deliveries import about_line, delivery_hops, owed_hops
from bridge.trace.hop import Hop, Trace, in_order
from bridge.trace.jobs import attempt_hops
from bridge.trace.lines import intent_hops, line_hops, line_of, line_row
from bridge.trace.messages import message_hops, message_rows, missing_job, shown_by, shown_in, whose
from bridge.trace.words import capital, delivery_in_words

_SLACK_MESSAGE = re.compile(r"^(?P<channel>[A-Z][A-Z0-9]+) (?P<ts>\d+\.\d+)$")

NOT_LINKED = "That channel is not linked here; only what is in linked channels can be traced."
NOT_OURS = (
    "That message is neither one of the bridge's nor a line in one of its threads, or it is older than "
    "what is kept."
)
UNKNOWN_ID = "No linked project has a message with that id; a link to the message in Slack works, too."
FORGOTTEN = (
    f"Attempts are kept for {KEPT.days} days, marks and sentences of the bridge for 7: "
    "what is older is not here."
)
_COMPLETE_FOR = timedelta(days=7)


def traced(conn: Connection, now: datetime, team: TeamId, asked: str) -> Trace:
    """Return the trace of `asked` ("C0123ABC 1712345678.901234", or a message id of Jollor's).

    Raises `PermanentError` with a sentence if it is nothing of this workspace's that the bridge knows.
    """
    links = [link for link in links_of(conn, None) if link.team == team]
    at = _SLACK_MESSAGE.match(asked)
    if at is None:
        return _whole(now, *_of_jollor(conn, team, {link.project for link in links}, asked))
    line = LineRef(team, ChannelId(at["channel"]), MessageTs(at["ts"]))
    if line.channel not in {link.channel for link in links}:
        raise PermanentError("not_linked", user_message=NOT_LINKED)
    return _whole(now, *_in_slack(conn, line))


def _whole(now: datetime, about: str, hops: Iterable[Hop]) -> Trace:
    ordered = in_order(hops)
    is_old = bool(ordered) and now - ordered[0].at > _COMPLETE_FOR
    return Trace(about, ordered, (FORGOTTEN,) if is_old else ())


def _in_slack(conn: Connection, line: LineRef) -> tuple[str, list[Hop]]:
    typed = line_row(conn, line)
    if typed is not None:
        return _line(conn, typed)
    at = (
        deliveries.c.team == line.team,
        deliveries.c.channel_id == line.channel,
        deliveries.c.slack_ts == line.ts,
    )
    found = conn.execute(select(deliveries).where(*at).order_by(deliveries.c.seq)).mappings().all()
    if not found:
        raise PermanentError("not_ours", user_message=NOT_OURS)
    posted, *joined = found  # what went along came after what it went with
    hops = []
    each = (message for one in found for message in shown_by(conn, DeliveryId(one["id"])))
    shown = list({message["message_id"]: message for message in each}.values())
    for number, message in enumerate(shown, start=1):
        hops += _numbered(message_hops(conn, message), number, len(shown))
    for one in joined:
        hops += owed_hops(conn, one)
    hops += delivery_hops(conn, posted)
    for owed in about_line(conn, line):
        hops += delivery_hops(conn, owed)
    return _about_post(posted, shown), hops


def _about_post(posted: RowMapping, shown: Iterable[RowMapping]) -> str:
    kinds = [whose(message) for message in shown]
    if not kinds:
        return capital(delivery_in_words(posted["act"], posted["kind"], posted["mark"]))
    return kinds[0] if len(kinds) == 1 else f"{len(kinds)} messages, shown together"


def _numbered(hops: Iterable[Hop], number: int, of: int) -> list[Hop]:
    """Of messages that are shown together, say which one a hop is about."""
    if of == 1:
        return list(hops)
    return [replace(hop, what=f"Message {number} of {of}: {hop.what}") for hop in hops]


def _line(conn: Connection, typed: RowMapping) -> tuple[str, list[Hop]]:
    return "A line typed in Slack", list(line_hops(conn, typed))


def _of_jollor(conn: Connection, team: TeamId, projects: set[str], message_id: str) -> tuple[str, list[Hop]]:
    for row in message_rows(conn, projects, message_id):
        if row["intent_id"] is not None:
            line = line_of(conn, IntentId(row["intent_id"]))
            typed = None if line is None or line.team != team else line_row(conn, line)
            if typed is not None:
                return _line(conn, typed)
        return whose(row), _message(conn, team, row)
    for project in sorted(projects):
        job = missing_job(conn, project, message_id)
        if job is not None:
            return "A message that was announced and could not be read", list(attempt_hops(conn, job))
    raise PermanentError("unknown_id", user_message=UNKNOWN_ID)


def _message(conn: Connection, team: TeamId | None, row: RowMapping) -> list[Hop]:
    hops = list(message_hops(conn, row))
    if row["intent_id"] is not None:
        hops += intent_hops(conn, IntentId(row["intent_id"]))
    for posted in shown_in(conn, team, row["project_id"], row["message_id"]):
        hops += delivery_hops(conn, posted)
    return hops
