"""What maps to what: a target's thread in each linked channel, a thread's target, messages already seen.

Functions over a connection, so that the relay records a message and what it owes for it in one transaction.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import RowMapping

from bridge.content import CardState, Content
from bridge.deliveries import put_root
from bridge.ids import (
    ChannelId,
    ConversationId,
    IntentId,
    JobId,
    LineRef,
    MessageId,
    MessageTs,
    PostId,
    ProjectId,
    TeamId,
    ThreadId,
    ThreadRef,
    UserId,
    new_id,
)
from bridge.model import Link, Message, Target, TargetKind, Thread
from bridge.store.tables import (
    conversations,
    effects,
    former_roots,
    held_messages,
    lines,
    messages,
    posts,
    projects,
    threads,
)


@dataclass(frozen=True, slots=True)
class Heard:
    """How the bridge learned of a message: what told of it (`cause`), when, and the job that then read it."""

    job: JobId
    cause: str
    at: datetime


class Origin(StrEnum):
    """Whose a stored message is. `before` ones are older than the thread and only kept as known."""

    CUSTOMER = "customer"
    TEAM = "team"
    ELSEWHERE = "elsewhere"
    BEFORE = "before"


def insert_new(conn: Connection, table: Any, **values: Any) -> bool:
    """Insert a row unless its key is taken; return whether it was new."""
    dialect = sqlite if conn.dialect.name == "sqlite" else postgresql
    return bool(conn.execute(dialect.insert(table).values(**values).on_conflict_do_nothing()).rowcount)


def first_time(conn: Connection, now: datetime, job: JobId) -> bool:
    """True in the transaction that first records the effect of a job: it may run again after a crash."""
    return insert_new(conn, effects, job_id=job, at=now)


# --- threads -----------------------------------------------------------------------------------------


def _thread(row: RowMapping) -> Thread:
    return Thread(
        id=ThreadId(row["id"]),
        team=TeamId(row["team"]),
        channel=ChannelId(row["channel_id"]),
        target=Target(ProjectId(row["project_id"]), TargetKind(row["target_kind"]), row["target_id"]),
        root_ts=MessageTs(row["root_ts"]) if row["root_ts"] else None,
        joined_at=row["joined_at"],
        active_at=row["active_at"],
    )


def thread_by_id(conn: Connection, id_: ThreadId) -> Thread | None:
    """Return a thread by our id."""
    row = conn.execute(select(threads).where(threads.c.id == id_)).mappings().first()
    return _thread(row) if row else None


def thread_at(conn: Connection, ref: ThreadRef) -> Thread | None:
    """Return the thread that a line under `ref` belongs to, also where its root was replaced since."""
    at = (threads.c.team == ref.team, threads.c.channel_id == ref.channel, threads.c.root_ts == ref.ts)
    row = conn.execute(select(threads).where(*at)).mappings().first()
    if row is not None:
        return _thread(row)
    former = conn.execute(
        select(former_roots.c.thread_id).where(
            former_roots.c.team == ref.team,
            former_roots.c.channel_id == ref.channel,
            former_roots.c.root_ts == ref.ts,
        )
    ).scalar()
    return thread_by_id(conn, ThreadId(former)) if former else None


def threads_of(conn: Connection, target: Target) -> list[Thread]:
    """Return the threads of a target in all channels, linked at present or not."""
    rows = conn.execute(
        select(threads).where(
            threads.c.project_id == target.project,
            threads.c.target_kind == target.kind,
            threads.c.target_id == target.id,
        )
    ).mappings()
    return [_thread(row) for row in rows]


def open_thread(conn: Connection, now: datetime, link: Link, target: Target) -> tuple[Thread, bool]:
    """Return the thread of `target` in the channel of `link`, made if need be, and whether it is new."""
    for thread in threads_of(conn, target):
        if (thread.team, thread.channel) == (link.team, link.channel):
            return thread, False
    thread = Thread(ThreadId(new_id()), link.team, link.channel, target, None, None, None)
    conn.execute(
        insert(threads).values(
            id=thread.id,
            team=thread.team,
            channel_id=thread.channel,
            project_id=target.project,
            target_kind=target.kind,
            target_id=target.id,
            created_at=now,
        )
    )
    return thread, True


def replace_root(conn: Connection, now: datetime, thread_id: ThreadId, old: MessageTs, card: Content) -> bool:
    """Owe a thread a new root in place of the deleted `old`, unless somebody did so already."""
    thread = thread_by_id(conn, thread_id)
    if thread is None or thread.root_ts != old:
        return False
    insert_new(
        conn,
        former_roots,
        team=thread.team,
        channel_id=thread.channel,
        root_ts=old,
        thread_id=thread.id,
    )
    put_root(conn, now, thread, "root", card)
    return True


def human_joined(conn: Connection, thread: ThreadId, at: datetime) -> None:
    """Record that a person wrote in the thread."""
    conn.execute(update(threads).where(threads.c.id == thread).values(joined_at=at, active_at=at))


def shown(conn: Connection, thread: ThreadId, at: datetime) -> None:
    """Record that something is about to be shown in the thread."""
    conn.execute(update(threads).where(threads.c.id == thread).values(active_at=at))


def tell_internal_once(conn: Connection, thread: ThreadId) -> bool:
    """True the first time: people are to be told that this thread is internal."""
    return bool(
        conn.execute(
            update(threads)
            .where(threads.c.id == thread, threads.c.internal_told.is_(False))
            .values(internal_told=True)
        ).rowcount
    )


def tell_refused_once(conn: Connection, thread: ThreadId) -> bool:
    """True the first time since something was shown in the thread: Slack refuses what belongs there."""
    return bool(
        conn.execute(
            update(threads)
            .where(threads.c.id == thread, threads.c.refused_told.is_(False))
            .values(refused_told=True)
        ).rowcount
    )


# --- conversations and messages ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class KnownConversation:
    """What is stored of a conversation. `mark` is the `sent_at` of the newest message seen."""

    provider: str
    customer: str
    state: CardState
    mark: datetime | None
    looked_at: datetime | None = None
    """When its messages were last listed."""


def conversation(conn: Connection, project: ProjectId, id_: ConversationId) -> KnownConversation | None:
    """Return what is known of a conversation, None if it was never shown."""
    return known_conversations(conn, project, [id_]).get(id_)


def known_conversations(
    conn: Connection, project: ProjectId, ids: Iterable[ConversationId]
) -> dict[ConversationId, KnownConversation]:
    """Return what is known of those among these conversations that were shown."""
    wanted = list(ids)
    found: dict[ConversationId, KnownConversation] = {}
    for start in range(0, len(wanted), 500):
        chunk = wanted[start : start + 500]
        rows = conn.execute(
            select(conversations).where(
                conversations.c.project_id == project, conversations.c.conversation_id.in_(chunk)
            )
        ).mappings()
        for row in rows:
            found[ConversationId(row["conversation_id"])] = KnownConversation(
                row["provider"], row["customer"], CardState(row["state"]), row["mark"], row["looked_at"]
            )
    return found


def remember_conversation(
    conn: Connection, now: datetime, project: ProjectId, id_: ConversationId, provider: str, customer: str
) -> None:
    """Store a conversation that is shown for the first time."""
    insert_new(
        conn,
        conversations,
        project_id=project,
        conversation_id=id_,
        provider=provider,
        customer=customer,
        state=CardState.NEW,
        created_at=now,
    )


def update_conversation(conn: Connection, project: ProjectId, id_: ConversationId, **values: Any) -> None:
    """Change `state`, `mark`, `looked_at` or `provider` of a conversation."""
    conn.execute(
        update(conversations)
        .where(conversations.c.project_id == project, conversations.c.conversation_id == id_)
        .values(**values)
    )


def seen_messages(conn: Connection, project: ProjectId, ids: Iterable[MessageId]) -> set[MessageId]:
    """Return which of these messages are stored already."""
    wanted = list(ids)
    found: set[MessageId] = set()
    for start in range(0, len(wanted), 500):
        chunk = wanted[start : start + 500]
        rows = conn.execute(
            select(messages.c.message_id).where(
                messages.c.project_id == project, messages.c.message_id.in_(chunk)
            )
        )
        found.update(MessageId(id_) for id_ in rows.scalars())
    return found


def remember_message(
    conn: Connection,
    now: datetime,
    project: ProjectId,
    conversation_id: ConversationId,
    message: Message,
    origin: Origin,
    intent: IntentId | None = None,
    heard: Heard | None = None,
) -> bool:
    """Store a message as seen; False if it was already."""
    return insert_new(
        conn,
        messages,
        project_id=project,
        message_id=message.id,
        conversation_id=conversation_id,
        is_incoming=message.is_incoming,
        origin=origin,
        sender=message.sender,
        text=message.text,
        sent_at=message.sent_at,
        seen_at=now,
        intent_id=intent,
        job_id=heard.job if heard else None,
        cause=heard.cause[:40] if heard else None,
        heard_at=heard.at if heard else None,
    )


def last_incoming(conn: Connection, project: ProjectId, id_: ConversationId) -> MessageId | None:
    """Return the customer's newest message: what a reply's rules are asked for."""
    found = conn.execute(
        select(messages.c.message_id)
        .where(
            messages.c.project_id == project,
            messages.c.conversation_id == id_,
            messages.c.is_incoming.is_(True),
        )
        .order_by(messages.c.sent_at.desc())
        .limit(1)
    ).scalar()
    return MessageId(found) if found else None


def hold(
    conn: Connection, now: datetime, project: ProjectId, conversation_id: ConversationId, id_: MessageId
) -> datetime:
    """Note that an outgoing message waits for a reply in flight; return since when it does."""
    insert_new(
        conn,
        held_messages,
        project_id=project,
        message_id=id_,
        conversation_id=conversation_id,
        held_at=now,
    )
    since: datetime = conn.execute(
        select(held_messages.c.held_at).where(
            held_messages.c.project_id == project, held_messages.c.message_id == id_
        )
    ).scalar_one()
    return since


BEFORE = "before"
"""The label of posts that were in the inbox before the project was linked."""


def remember_post(conn: Connection, now: datetime, project: ProjectId, id_: PostId, label: str) -> bool:
    """Store a post as seen; False if it was already."""
    return insert_new(conn, posts, project_id=project, post_id=id_, seen_at=now, label=label)


def remember_inbox(conn: Connection, now: datetime, project: ProjectId, ids: Iterable[PostId]) -> None:
    """Take posts as known from before the project was linked; from now on one that is not stored is new."""
    for id_ in ids:
        remember_post(conn, now, project, id_, BEFORE)
    conn.execute(update(projects).where(projects.c.id == project).values(posts_known_at=now))


def is_from_before(conn: Connection, project: ProjectId, id_: PostId) -> bool:
    """Whether a post was in the inbox before the project was linked."""
    label = select(posts.c.label).where(posts.c.project_id == project, posts.c.post_id == id_)
    return bool(conn.execute(label).scalar() == BEFORE)


def seen_posts(conn: Connection, project: ProjectId, ids: Iterable[PostId]) -> set[PostId]:
    """Return which of these posts are stored already."""
    wanted = list(ids)
    found: set[PostId] = set()
    for start in range(0, len(wanted), 500):
        chunk = wanted[start : start + 500]
        rows = conn.execute(
            select(posts.c.post_id).where(posts.c.project_id == project, posts.c.post_id.in_(chunk))
        )
        found.update(PostId(id_) for id_ in rows.scalars())
    return found


# --- lines -------------------------------------------------------------------------------------------


class Fate(StrEnum):
    """What became of a human line in a linked thread."""

    INTERNAL = "internal"
    REPLY = "reply"
    REFUSED = "refused"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class KnownLine:
    """A human line that was dealt with."""

    ref: LineRef
    thread: ThreadId
    user: UserId
    fate: Fate
    text: str
    intent: IntentId | None
    edited_ts: str | None
    deleted: bool


def remember_line(
    conn: Connection,
    now: datetime,
    ref: LineRef,
    *,
    thread: ThreadId,
    user: UserId,
    fate: Fate,
    text: str,
    client_msg_id: str | None,
    intent: IntentId | None = None,
    received_at: datetime | None = None,
    job: JobId | None = None,
    reason: str | None = None,
) -> bool:
    """Store a line as dealt with; False if it was, by `ts` or by `client_msg_id` (one line, two events)."""
    return insert_new(
        conn,
        lines,
        team=ref.team,
        channel_id=ref.channel,
        ts=ref.ts,
        client_msg_id=client_msg_id,
        thread_id=thread,
        user_id=user,
        fate=fate,
        text=text,
        intent_id=intent,
        seen_at=now,
        received_at=received_at,
        job_id=job,
        reason=reason,
    )


def line_at(conn: Connection, ref: LineRef) -> KnownLine | None:
    """Return a line that was dealt with; nobody else changes it until the transaction ends."""
    row = conn.execute(select(lines).where(*_at(ref)).with_for_update()).mappings().first()
    if row is None:
        return None
    return KnownLine(
        ref=ref,
        thread=ThreadId(row["thread_id"]),
        user=UserId(row["user_id"]),
        fate=Fate(row["fate"]),
        text=row["text"],
        intent=IntentId(row["intent_id"]) if row["intent_id"] else None,
        edited_ts=row["edited_ts"],
        deleted=row["deleted"],
    )


def update_line(conn: Connection, ref: LineRef, **values: Any) -> None:
    """Change `fate`, `text`, `edited_ts` or `deleted` of a line."""
    conn.execute(update(lines).where(*_at(ref)).values(**values))


def _at(ref: LineRef) -> Sequence[Any]:
    return lines.c.team == ref.team, lines.c.channel_id == ref.channel, lines.c.ts == ref.ts
