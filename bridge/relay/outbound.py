"""From Slack: human lines become replies (sent by `relay.replies`), stay inside, or are refused."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Connection

from bridge import intents
from bridge.content import Notice
from bridge.deliveries import put_notice
from bridge.errors import Snooze
from bridge.events import LineDeleted, LineEdited, LineTyped, MarkWaiting, SendReply
from bridge.ids import ChannelId, IntentId, JobId, LineRef, MessageTs, TeamId, UserId, new_id, ts_order
from bridge.intents import Intent, IntentState
from bridge.mapping import (
    Fate,
    KnownLine,
    conversation,
    human_joined,
    line_at,
    remember_line,
    tell_internal_once,
    thread_by_id,
    update_line,
)
from bridge.model import Link, Mark, TargetKind, Thread
from bridge.policy import Decision, Internal, Refuse, Reply, decide, is_internal, why_ask
from bridge.ports import Chat
from bridge.queue.jobs import Job, NewJob, put_in
from bridge.relay.cards import Cards
from bridge.relay.marks import say, set_mark
from bridge.relay.outside import Outside
from bridge.relay.places import Line, Place, link_of, may_be_landing, place_of
from bridge.relay.release import ask_late
from bridge.relay.replies import WAITING_AFTER
from bridge.store.engine import Store

SETTLING = timedelta(milliseconds=300)
"""How long a line waits even without an undo window, for one that it overtook."""
ROOT_LOOK = timedelta(seconds=1)
"""How often a line looks whether the root above it has turned out to be ours."""

POST_IS_INTERNAL = (
    "Lines under a post stay in Slack for now; they are not published. Answer the post in Jollor."
)
FATES: dict[type[Decision], Fate] = {Internal: Fate.INTERNAL, Refuse: Fate.REFUSED, Reply: Fate.REPLY}
NOT_RECEIVED = (IntentState.REFUSED, IntentState.CANCELLED)
PERHAPS_RECEIVED = (IntentState.SENDING, IntentState.UNKNOWN, IntentState.DROPPED)


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
        self._outside = Outside(store, chat)

    # --- lines ---------------------------------------------------------------------------------------

    async def line_typed(self, event: LineTyped, job: Job) -> None:
        """Record what becomes of a new line: reply, internal note, or refused with a sentence."""
        place = await self._place(event)
        if place is None:
            await self._outside.explain(event)
        else:
            await self._line_in(place, event, job.id)

    async def _place(self, event: Line) -> Place | None:
        """Return where a line stands. Raises `Snooze` while the root above it may turn out to be ours."""
        # In this order: a root that is recorded between the two looks is found by the second.
        is_landing, place = await self._store.read(
            lambda conn: (may_be_landing(conn, event), place_of(conn, event))
        )
        if place is None and is_landing:
            raise Snooze("root_not_known_yet", delay=ROOT_LOOK)
        return place

    async def _line_in(
        self, place: Place, event: LineTyped, job: JobId, *, edited_ts: str | None = None
    ) -> None:
        person = await self._chat.person(TeamId(event.team_id), UserId(event.user_id))
        if person.is_bot:
            return
        decision = decide(event, person, place.thread.target.kind, is_linked=place.link is not None)
        await self._store.write(lambda conn: self._take(conn, event, place, decision, edited_ts, job))

    async def could_not_take(self, event: LineTyped, reason: str) -> None:
        """A line that could not be dealt with for good: say so where its writer sees it."""
        place = await self._store.read(lambda conn: place_of(conn, event))
        if place is not None:
            refusal = Refuse(f"{reason} Nothing was sent.")
            await self._store.write(lambda conn: self._take(conn, event, place, refusal, None, None))

    def _take(
        self,
        conn: Connection,
        event: LineTyped,
        place: Place,
        decision: Decision,
        edited_ts: str | None,
        job: JobId | None,
    ) -> None:
        now = self._store.now(conn)
        line, thread = _ref(event), place.thread
        intent = IntentId(new_id()) if isinstance(decision, Reply) else None
        is_new = remember_line(
            conn,
            now,
            line,
            thread=thread.id,
            user=UserId(event.user_id),
            fate=FATES[type(decision)],
            text=event.text,
            client_msg_id=event.client_msg_id,
            intent=intent,
            received_at=event.received_at,
            job=job,
            reason=decision.sentence if isinstance(decision, Refuse) else None,
        )
        if not is_new:
            return
        if edited_ts is not None:
            update_line(conn, line, edited_ts=edited_ts)
        human_joined(conn, thread.id, now)
        match decision:
            case Internal():
                self._keep_inside(conn, now, thread, line)
            case Refuse():
                set_mark(conn, now, line, Mark.FAILED)
                say(conn, now, thread, line, decision.sentence)
            case Reply():
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

    # --- replies -------------------------------------------------------------------------------------

    def _plan(
        self, conn: Connection, now: datetime, event: LineTyped, place: Place, intent: IntentId
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
        is_overtaken = intents.is_overtaken(conn, line, thread.id)
        question = why_ask(event, is_overtaken=is_overtaken, scale=self._scale)
        if question is None:
            self._put_in_lane(conn, now, thread, line, intent, due_at)
        else:
            ask_late(conn, now, thread, line, intent, event.text, question)

    def _put_in_lane(
        self,
        conn: Connection,
        now: datetime,
        thread: Thread,
        line: LineRef,
        intent: IntentId,
        due_at: datetime,
    ) -> None:
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

    # --- changes -------------------------------------------------------------------------------------

    async def line_edited(self, event: LineEdited, job: Job) -> None:
        """An edit within the undo window changes what is sent; later it only gets an honest note."""
        place = await self._place(event)
        is_known = await self._store.write(lambda conn: self._edit(conn, event))
        if not is_known and place is not None:
            # The edit overtook its line, and says all that the line says; that one is known when it comes.
            await self._line_in(place, event.as_typed(job.created_at), job.id, edited_ts=event.edited_ts)

    def _edit(self, conn: Connection, event: LineEdited) -> bool:
        """Return False if the line itself has not been seen yet."""
        now, line = self._store.now(conn), _ref(event)
        known = line_at(conn, line)
        if known is None:
            return False
        if known.edited_ts is not None and ts_order(known.edited_ts) >= ts_order(event.edited_ts):
            return True
        update_line(conn, line, edited_ts=event.edited_ts, text=event.text)
        if known.fate is Fate.REPLY and known.intent is not None and event.text != known.text:
            intent = intents.by_id(conn, known.intent)
            assert intent is not None, "a reply's line is stored with its intent"
            self._change(conn, now, event, known, intent)
        return True

    def _change(
        self, conn: Connection, now: datetime, event: LineEdited, known: KnownLine, intent: Intent
    ) -> None:
        """Have an edit count if its line has not gone out, else say that it does not."""
        if is_internal(event.text, event.mentions_people):
            if _cancel(conn, now, intent, "edited into an internal note"):
                update_line(conn, known.ref, fate=Fate.INTERNAL)
                set_mark(conn, now, known.ref, Mark.INTERNAL)
                return
        elif not event.text.strip():
            if _cancel(conn, now, intent, "edited until nothing was left"):
                update_line(conn, known.ref, fate=Fate.REFUSED)
                set_mark(conn, now, known.ref, Mark.FAILED)
                thread = _thread_of(conn, known)
                say(conn, now, thread, known.ref, "There is no text left in this line. Nothing was sent.")
                return
        elif intents.change_text(conn, intent.id, event.text, self._due_again(conn, now, known, intent)):
            return
        self._note_late_change(conn, now, known, "edited")

    def _due_again(self, conn: Connection, now: datetime, known: KnownLine, intent: Intent) -> datetime:
        """The first edit starts the undo window anew, later ones do not: nothing is put off for ever."""
        if known.edited_ts is not None or intent.state is IntentState.HELD:
            return intent.due_at
        return now + self._window(link_of(conn, _thread_of(conn, known)))

    def _note_late_change(self, conn: Connection, now: datetime, known: KnownLine, what: str) -> None:
        assert known.intent is not None
        intent = intents.by_id(conn, known.intent)
        if intent is None or intent.state in NOT_RECEIVED:
            return
        has = "may have received" if intent.state in PERHAPS_RECEIVED else "received"
        say(
            conn,
            now,
            _thread_of(conn, known),
            intent.line,
            f"A line was {what} in Slack after it was sent. The customer {has} it as it was; "
            "networks do not take changes back.",
            quote=intent.text,
        )

    async def line_deleted(self, event: LineDeleted, job: Job) -> None:
        """A deletion within the undo window cancels; later it only gets an honest note."""
        place = await self._place(event)
        await self._store.write(lambda conn: self._delete(conn, event, place))

    def _delete(self, conn: Connection, event: LineDeleted, place: Place | None) -> None:
        now, line = self._store.now(conn), _ref(event)
        known = line_at(conn, line)
        if known is None:
            if place is not None:  # the deletion overtook its line: that one must not go out any more
                _remember_deleted(conn, now, event, place)
            return
        if known.deleted:
            return
        update_line(conn, line, deleted=True)
        intent = None if known.intent is None else intents.by_id(conn, known.intent)
        if intent is None:
            return
        if _cancel(conn, now, intent, "deleted before it was sent"):
            update_line(conn, line, fate=Fate.CANCELLED)
        else:
            self._note_late_change(conn, now, known, "deleted")


def _cancel(conn: Connection, now: datetime, intent: Intent, reason: str) -> bool:
    """Keep a reply from going out; False if it is too late for that."""
    return intents.move(conn, intent.id, now, frm=intents.WAITING, to=IntentState.CANCELLED, reason=reason)


def _thread_of(conn: Connection, known: KnownLine) -> Thread:
    thread = thread_by_id(conn, known.thread)
    assert thread is not None, "a line is stored with its thread"
    return thread


def _remember_deleted(conn: Connection, now: datetime, event: LineDeleted, place: Place) -> None:
    line = _ref(event)
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


def _ref(event: Line) -> LineRef:
    return LineRef(TeamId(event.team_id), ChannelId(event.channel_id), MessageTs(event.ts))
