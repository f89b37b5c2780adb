"""The hops of what the bridge owed Slack."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from pydantic import ValidationError
from sqlalchemy import Connection, select
from sqlalchemy.engine import RowMapping

from bridge.content import Notice, from_json
from bridge.deliveries import Act, State
from bridge.ids import LineRef
from bridge.store.attempts import AttemptView, history
from bridge.store.tables import deliveries
from bridge.trace.hop import Hop
from bridge.trace.words import because, capital, delivery_in_words, delivery_outcome, done_in_words

_FRAGMENTS = frozenset({"posting it again", "cannot be looked up", "its root is gone", "not seen yet"})
"""Reasons that say no more than their outcome does."""


def delivery_hops(conn: Connection, row: RowMapping) -> Iterator[Hop]:
    """Everything about one delivery, from being owed to where it stands now.

    What went out within the post of another one shares what became of that.
    """
    yield from owed_hops(conn, row)
    tried = history(conn, f"delivery:{row['id']}")
    carrier = None if row["joined_into"] is None else _row(conn, row["joined_into"])
    if carrier is not None:
        joined_at = max((one.at for one in tried if one.outcome == "joined"), default=row["created_at"])
        row, tried = (
            carrier,
            [one for one in history(conn, f"delivery:{carrier['id']}") if one.at >= joined_at],
        )
        yield from _attempts(tried)
    yield from _standing(row, _what(row), is_told={one.outcome for one in tried})


def owed_hops(conn: Connection, row: RowMapping) -> Iterator[Hop]:
    """What happened to one delivery by itself, apart from where it stands now."""
    tried = history(conn, f"delivery:{row['id']}")
    if tried or row["state"] != State.DONE or row["mark"] is None:  # a mark that was set at once is one hop
        yield Hop(row["created_at"], f"{_what(row)} was owed to <#{row['channel_id']}>", reason=_remark(row))
    yield from _attempts(tried)


def _attempts(tried: Iterable[AttemptView]) -> Iterator[Hop]:
    for one in tried:
        reason = "" if one.reason in _FRAGMENTS else because(one.reason)
        yield Hop(one.at, delivery_outcome(one.outcome), one.attempt, reason)


def _what(row: RowMapping) -> str:
    return capital(delivery_in_words(row["act"], row["kind"], row["mark"]))


def _row(conn: Connection, id_: str) -> RowMapping | None:
    return conn.execute(select(deliveries).where(deliveries.c.id == id_)).mappings().first()


def _standing(row: RowMapping, what: str, is_told: set[str]) -> Iterator[Hop]:
    reason = because(row["reason"])
    match row["state"]:
        case State.DONE if row["act"] == Act.POST and row["slack_ts"] is None:
            if "cancelled" not in is_told:
                yield Hop(row["finished_at"], f"{what} was not needed any more", reason=reason)
        case State.DONE if row["attempt"] == 0:
            yield Hop(row["finished_at"], f"{what} was not needed any more", reason=reason)
        case State.DONE:
            yield Hop(row["finished_at"], f"{what} {done_in_words(row['act'])}", row["attempt"], reason)
        case State.REFUSED if State.REFUSED not in is_told:
            yield Hop(row["finished_at"], delivery_outcome(State.REFUSED), row["attempt"], reason)
        case State.SENDING:
            yield Hop(row["sent_at"], f"{what} is being sent just now", row["attempt"])
        case State.READY:
            yield Hop(row["scheduled_at"], f"{what} waits from then on to be sent", reason=reason)
        case State.UNCERTAIN:
            yield Hop(row["scheduled_at"], f"{what} is looked for in Slack from then on", reason=reason)


def _remark(row: RowMapping) -> str:
    """Our own remark about a message ("arrived late"), and where else it is shown."""
    try:
        content = from_json(row["content"]) if row["content"] else None
    except ValidationError:
        content = None
    note = None if content is None or isinstance(content, Notice) else getattr(content, "note", None)
    also = "also shown in the channel itself" if row["also_to_channel"] else None
    return "; ".join(filter(None, [note, also]))


def about_line(conn: Connection, line: LineRef) -> Sequence[RowMapping]:
    """Return what was owed about a Slack message: its marks, drawings, and sentences about it."""
    at = (
        deliveries.c.team == line.team,
        deliveries.c.channel_id == line.channel,
        deliveries.c.line_ts == line.ts,
    )
    return conn.execute(select(deliveries).where(*at).order_by(deliveries.c.seq)).mappings().all()
