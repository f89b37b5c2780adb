"""From Slack: human lines become replies (sent by `relay.replies`), stay inside, or are refused."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection

from bridge import intents
from bridge.content import Notice
from bridge.deliveries import put_notice
from bridge.errors import (
    BridgeError,
    Snooze,
)
from bridge.events import LineDeleted, LineEdited, LineTyped, MarkWaiting, SendReply
from bridge.ids import (
    ChannelId,
    IntentId,
    LineRef,
    MessageTs,
    TeamId,
    ThreadRef,
    UserId,
    new_id,
    ts_order,
)
from bridge.intents import IntentState
from bridge.links import links_of
from bridge.mapping import (
    Fate,
    KnownLine,
    conversation,
    human_joined,
    insert_new,
    line_at,
    remember_line,
    tell_internal_once,
    thread_at,
    thread_by_id,
    update_line,
)
from bridge.model import Link, Mark, Person, TargetKind, Thread
from bridge.policy import Internal, Refuse, decide, is_internal
from bridge.ports import Chat
from bridge.queue.jobs import Job, NewJob, put_in
from bridge.relay.cards import Cards
from bridge.relay.marks import say, set_mark
from bridge.relay.replies import WAITING_AFTER
from bridge.store.engine import Store
from bridge.store.tables import told

log = logging.getLogger(__name__)

SETTLING = timedelta(milliseconds=300)
"""How long a line waits even without an undo window, for one that it overtook."""
EDIT_WAITS = timedelta(seconds=20)
"""How long an edit waits for the line that it overtook."""

OUTSIDE = (
    "Only replies in a conversation's thread reach the customer. What is written here, outside of a thread, "
    "stays in Slack."
)
POST_IS_INTERNAL = (
    "Lines under a post stay in Slack for now; they are not published. Answer the post in Jollor."
)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a line stands: its thread, and the link that makes it a linked one (None: unlinked since)."""

    thread: Thread
    link: Link | None


class Outbound:
    """Deals with what people type in Slack."""

    def __init__(
        self,
        store: Store,
        chat: Chat,
        cards: Cards,
        *,
        undo_window: timedelta,
        scale: float = 1.0,
    ) -> None:
        self._store = store
        self._chat = chat
        self._cards = cards
        self._undo_window = undo_window
        self._scale = scale

    # --- lines ---------------------------------------------------------------------------------------

    async def line_typed(self, event: LineTyped, job: Job) -> None:
        """Record what becomes of a new line: reply, internal note, or refused with a sentence."""
        place = await self._store.read(lambda conn: _place_of(conn, event))
        if place is None:
            await self._explain_outside(event)
            return
        person = await self._chat.person(TeamId(event.team_id), UserId(event.user_id))
        if person.is_bot:
            return
        decision = self._decide(event, place, person)
        await self._store.write(lambda conn: self._take(conn, event, place, decision))

    def _decide(self, event: LineTyped, place: _Place, person: Person) -> Internal | Refuse | None:
        """Return the decision, None for a reply."""
        decision = decide(event, person, place.thread.target.kind)
        if isinstance(decision, Internal | Refuse):
            return decision
        if place.link is None:
            return Refuse("This project is not linked to the channel any more. Nothing was sent.")
        return None

    def _take(
        self, conn: Connection, event: LineTyped, place: _Place, decision: Internal | Refuse | None
    ) -> None:
        now = self._store.now(conn)
        line = _ref(event)
        thread = place.thread
        intent = IntentId(new_id()) if decision is None else None
        fate = {Internal: Fate.INTERNAL, Refuse: Fate.REFUSED}.get(type(decision), Fate.REPLY)
        is_new = remember_line(
            conn,
            now,
            line,
            thread=thread.id,
            user=UserId(event.user_id),
            fate=fate,
            text=event.text,
            client_msg_id=event.client_msg_id,
            intent=intent,
        )
        if not is_new:
            return
        human_joined(conn, thread.id, now)
        if isinstance(decision, Internal):
            self._keep_inside(conn, now, thread, line)
        elif isinstance(decision, Refuse):
            set_mark(conn, now, line, Mark.FAILED)
            say(conn, now, thread, line, decision.sentence)
        else:
            assert intent is not None
            self._plan(conn, now, event, place, intent)

    def _keep_inside(self, conn: Connection, now: datetime, thread: Thread, line: LineRef) -> None:
        set_mark(conn, now, line, Mark.INTERNAL)
        if thread.target.kind is TargetKind.POST and tell_internal_once(conn, thread.id):
            put_notice(
                conn,
                now,
                thread,
                Notice(text=POST_IS_INTERNAL, buttons=(self._cards.button(thread.target.project),)),
            )

    def _plan(
        self, conn: Connection, now: datetime, event: LineTyped, place: _Place, intent: IntentId
    ) -> None:
        thread, line = place.thread, _ref(event)
        known = conversation(conn, thread.target.project, thread.target.conversation)
        assert known is not None, "a thread of a conversation is opened with its row"
        due_at = now + self._window(place.link)
        intents.plan(
            conn,
            now,
            intent,
            line,
            thread=thread.id,
            target=thread.target,
            provider=known.provider,
            author=UserId(event.user_id),
            text=event.text,
            due_at=due_at,
        )
        lane = thread.target.lane("out")
        send = SendReply(project_id=thread.target.project, intent_id=intent, out_lane=lane)
        put_in(
            conn,
            [
                NewJob(send, unique_key=f"send:{intent}", order=ts_order(line.ts), run_at=due_at),
                NewJob(MarkWaiting(intent_id=intent), run_at=due_at + WAITING_AFTER / self._scale),
            ],
            now,
        )

    def _window(self, link: Link | None) -> timedelta:
        own = link.undo_window_s if link is not None else None
        window = self._undo_window if own is None else timedelta(seconds=own)
        return max(window, SETTLING) / self._scale

    async def _explain_outside(self, event: LineTyped) -> None:
        """Tell a person once per channel that a line outside of threads reaches nobody."""
        if event.thread_ts is not None or is_internal(event.text, event.mentions_people):
            return
        team, channel, user = TeamId(event.team_id), ChannelId(event.channel_id), UserId(event.user_id)
        linked = await self._store.read(
            lambda conn: any(x.channel == channel and x.team == team for x in links_of(conn, None))
        )
        if not linked:
            return
        is_first = await self._store.write(
            lambda conn: insert_new(
                conn,
                told,
                team=team,
                user_id=user,
                topic=f"outside:{channel}",
                at=self._store.now(conn),
            )
        )
        if is_first:
            try:
                await self._chat.whisper(team, channel, user, Notice(text=OUTSIDE))
            except BridgeError as error:
                log.info("outside.not_explained", extra={"error": str(error)})

    async def line_edited(self, event: LineEdited, job: Job) -> None:
        """An edit within the undo window changes what is sent; later it only gets an honest note."""
        line = LineRef(TeamId(event.team_id), ChannelId(event.channel_id), MessageTs(event.ts))
        waits = await self._store.write(lambda conn: self._edit(conn, event, line, job))
        if waits:
            raise Snooze("edit_overtook_its_line", delay=timedelta(seconds=1))

    def _edit(self, conn: Connection, event: LineEdited, line: LineRef, job: Job) -> bool:
        """Return True if the line itself has not been seen yet."""
        now = self._store.now(conn)
        known = line_at(conn, line)
        if known is None:
            is_ours = _place_of(conn, event) is not None
            return is_ours and now - job.created_at < EDIT_WAITS / self._scale
        if known.edited_ts is not None and known.edited_ts >= event.edited_ts:
            return False
        thread = thread_by_id(conn, known.thread)
        assert thread is not None
        update_line(conn, line, edited_ts=event.edited_ts, text=event.text)
        if known.fate is not Fate.REPLY or known.intent is None or event.text == known.text:
            return False
        if is_internal(event.text, event.mentions_people):
            if intents.move(
                conn,
                known.intent,
                now,
                frm=[IntentState.PENDING],
                to=IntentState.CANCELLED,
                reason="edited into an internal note",
            ):
                update_line(conn, line, fate=Fate.INTERNAL)
                set_mark(conn, now, line, Mark.INTERNAL)
                return False
        elif event.text.strip() and intents.change_text(
            conn, known.intent, event.text, now + self._window(self._link_of(conn, thread))
        ):
            return False
        self._note_late_change(conn, now, thread, known, "edited")
        return False

    def _link_of(self, conn: Connection, thread: Thread) -> Link | None:
        return next(
            (
                link
                for link in links_of(conn, thread.target.project)
                if (link.team, link.channel) == (thread.team, thread.channel)
            ),
            None,
        )

    def _note_late_change(
        self, conn: Connection, now: datetime, thread: Thread, known: KnownLine, what: str
    ) -> None:
        assert known.intent is not None
        intent = intents.by_id(conn, known.intent)
        if intent is None or intent.state in (IntentState.REFUSED, IntentState.CANCELLED):
            return
        unsure = intent.state in (IntentState.UNKNOWN, IntentState.SENDING)
        has = "may have received" if unsure else "received"
        say(
            conn,
            now,
            thread,
            known.ref,
            f"A line was {what} in Slack after it was sent. The customer {has} it as it was; "
            "networks do not take changes back.",
            quote=intent.text,
        )

    async def line_deleted(self, event: LineDeleted, job: Job) -> None:
        """A deletion within the undo window cancels; later it only gets an honest note."""
        line = LineRef(TeamId(event.team_id), ChannelId(event.channel_id), MessageTs(event.ts))
        await self._store.write(lambda conn: self._delete(conn, event, line))

    def _delete(self, conn: Connection, event: LineDeleted, line: LineRef) -> None:
        now = self._store.now(conn)
        known = line_at(conn, line)
        if known is None:
            place = _place_of(conn, event)
            if place is not None:  # the deletion overtook its line: that one must not go out any more
                remember_line(
                    conn,
                    now,
                    line,
                    thread=place.thread.id,
                    user=UserId(event.user_id or ""),
                    fate=Fate.CANCELLED,
                    text="",
                    client_msg_id=None,
                )
                update_line(conn, line, deleted=True)
            return
        if known.deleted:
            return
        update_line(conn, line, deleted=True)
        if known.intent is None:
            return
        if intents.move(
            conn,
            known.intent,
            now,
            frm=[IntentState.PENDING],
            to=IntentState.CANCELLED,
            reason="deleted before it was sent",
        ):
            update_line(conn, line, fate=Fate.CANCELLED)
            return
        thread = thread_by_id(conn, known.thread)
        assert thread is not None
        self._note_late_change(conn, now, thread, known, "deleted")


def _ref(event: LineTyped) -> LineRef:
    return LineRef(TeamId(event.team_id), ChannelId(event.channel_id), MessageTs(event.ts))


def _place_of(conn: Connection, event: LineTyped | LineEdited | LineDeleted) -> _Place | None:
    """Return the linked thread in which a line stands, None if it stands in none of ours."""
    if event.thread_ts is None or event.thread_ts == event.ts:
        return None
    team, channel = TeamId(event.team_id), ChannelId(event.channel_id)
    thread = thread_at(conn, ThreadRef(team, channel, MessageTs(event.thread_ts)))
    if thread is None:
        return None
    link = next(
        (
            x
            for x in links_of(conn, thread.target.project)
            if (x.team, x.channel) == (thread.team, thread.channel)
        ),
        None,
    )
    return _Place(thread, link)
