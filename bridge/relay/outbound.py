"""From Slack to Jollor: human lines become replies, or stay inside, or are refused with a sentence.

A reply is an intent, committed as `sending` before its first byte. Whatever leaves its outcome open makes it
`unknown`: it is marked and never repeated by the bridge alone.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection

from bridge import intents
from bridge.connections import links_of
from bridge.content import CardState, Notice
from bridge.deliveries import put_notice
from bridge.errors import (
    BridgeError,
    PermanentError,
    Snooze,
    StoreUnavailable,
    TargetDown,
    UnconfirmedError,
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
from bridge.intents import Intent, IntentState
from bridge.mapping import (
    Fate,
    KnownLine,
    conversation,
    human_joined,
    insert_new,
    last_incoming,
    line_at,
    remember_line,
    tell_internal_once,
    thread_at,
    thread_by_id,
    update_line,
)
from bridge.model import Link, Mark, MessageList, Person, TargetKind, Thread
from bridge.policy import Internal, Refuse, decide, is_internal, why_not
from bridge.ports import Chat, Social
from bridge.queue.jobs import Job, NewJob, put_in
from bridge.relay.cards import Cards
from bridge.relay.marks import say, set_mark
from bridge.store.engine import Store
from bridge.store.tables import told

log = logging.getLogger(__name__)

SETTLING = timedelta(milliseconds=300)
"""How long a line waits even without an undo window, for one that it overtook."""
REPLY_TIMEOUT_S = 10.0
WAITING_AFTER = timedelta(seconds=2)
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
        social: Social,
        cards: Cards,
        *,
        undo_window: timedelta,
        scale: float = 1.0,
    ) -> None:
        self._store = store
        self._chat = chat
        self._social = social
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

    # --- replies -------------------------------------------------------------------------------------

    async def send_reply(self, event: SendReply, job: Job) -> None:
        """Send an intent that is due, at most once; what a crash left half-way becomes `unknown`."""
        id_ = IntentId(event.intent_id)
        intent = await self._store.read(lambda conn: intents.by_id(conn, id_))
        if intent is None:
            raise PermanentError("no_intent", user_message="The reply to be sent is not in the database.")
        if intent.state is IntentState.SENDING:
            await self._found_half_way(intent)
        elif intent.state is IntentState.PENDING:
            await self._send(intent)

    async def _found_half_way(self, intent: Intent) -> None:
        """The process that was sending is gone; its call may go on until its deadline."""
        assert intent.deadline is not None
        now = await self._store.read(self._store.now)
        if now < intent.deadline:
            # Waiting times are divided by the scale where they are counted; this one is a moment already.
            raise Snooze("other_call_may_go_on", delay=(intent.deadline - now) * self._scale)
        await self._conclude_unknown(intent, "the bridge was stopped while it was sending")

    async def _send(self, intent: Intent) -> None:
        now = await self._store.read(self._store.now)
        if now < intent.due_at:
            raise Snooze("undo_window", delay=(intent.due_at - now) * self._scale)
        problem = await self._problem(intent)
        if problem is not None:
            await self._conclude_refused(intent, problem, frm=IntentState.PENDING)
            return
        snapshot = await self._snapshot(intent)
        begun = await self._store.write(lambda conn: self._begin(conn, intent, snapshot))
        if begun is not None:
            await self._call(begun)

    async def _problem(self, intent: Intent) -> str | None:
        """Return why the reply may not go out by Jollor's own rules, None if it may."""
        last = await self._store.read(
            lambda conn: last_incoming(conn, intent.target.project, intent.target.conversation)
        )
        if last is None:
            return None
        try:
            rules = await self._social.reply_rules(intent.target.project, last)
        except PermanentError as error:
            log.info("reply.rules_unknown", extra={"error": str(error)})
            return None
        return why_not(intent.text, rules)

    async def _snapshot(self, intent: Intent) -> MessageList:
        return await self._social.messages(intent.target.project, intent.target.conversation)

    def _begin(self, conn: Connection, intent: Intent, snapshot: MessageList) -> Intent | None:
        """Commit `sending`; return the intent as it is now, None if it was cancelled or changed meanwhile."""
        now = self._store.now(conn)
        current = intents.by_id(conn, intent.id)
        if current is None or now < current.due_at:
            return None
        began = intents.begin(
            conn,
            current,
            now,
            timeout=timedelta(seconds=REPLY_TIMEOUT_S),
            snapshot=[message.id for message in snapshot.messages],
        )
        return intents.by_id(conn, intent.id) if began else None

    async def _call(self, intent: Intent) -> None:
        assert intent.deadline is not None
        left_s = (intent.deadline - await self._store.read(self._store.now)).total_seconds()
        if left_s <= 0:
            # Stopped for longer than the call may take: a successor has drawn its conclusion by now.
            await self._conclude_unknown(intent, "the bridge stood still before sending")
            return
        try:
            await self._social.reply(
                intent.target.project,
                intent.target.conversation,
                intent.provider,
                intent.text,
                timeout_s=left_s,
            )
        except (Snooze, TargetDown):
            await self._take_back(intent)
            raise
        except PermanentError as error:
            await self._conclude_refused(intent, error.user_message, frm=IntentState.SENDING)
        except StoreUnavailable:
            raise
        except UnconfirmedError as error:
            await self._conclude_unknown(intent, error.user_message)
        except Exception as error:
            log.error("reply.broke", exc_info=error)
            await self._conclude_unknown(intent, "something broke on our side while sending")
        else:
            await self._store.write(lambda conn: self._accepted(conn, intent))

    async def _take_back(self, intent: Intent) -> None:
        """Nothing took effect for sure: the same reply may be sent later without asking."""
        await self._store.write(
            lambda conn: intents.move(
                conn,
                intent.id,
                self._store.now(conn),
                frm=[IntentState.SENDING],
                to=IntentState.PENDING,
                reason="not sent, will be tried again",
            )
        )

    def _accepted(self, conn: Connection, intent: Intent) -> None:
        now = self._store.now(conn)
        # An echo may have been faster than the answer and have confirmed it already.
        intents.move(
            conn, intent.id, now, frm=[IntentState.SENDING, IntentState.UNKNOWN], to=IntentState.ACCEPTED
        )
        set_mark(conn, now, intent.line, Mark.ACCEPTED)
        self._cards.set_state(conn, now, intent.target, CardState.ANSWERED)

    async def _conclude_refused(self, intent: Intent, sentence: str, *, frm: IntentState) -> None:
        def conclude(conn: Connection) -> None:
            now = self._store.now(conn)
            if not intents.move(conn, intent.id, now, frm=[frm], to=IntentState.REFUSED, reason=sentence):
                return
            thread = thread_by_id(conn, intent.thread)
            assert thread is not None
            set_mark(conn, now, intent.line, Mark.FAILED)
            say(
                conn,
                now,
                thread,
                intent.line,
                sentence,
                quote=intent.text,
                buttons=(self._cards.button(intent.target.project),),
            )

        await self._store.write(conclude)

    async def _conclude_unknown(self, intent: Intent, reason: str) -> None:
        def conclude(conn: Connection) -> None:
            now = self._store.now(conn)
            if not intents.move(
                conn, intent.id, now, frm=[IntentState.SENDING], to=IntentState.UNKNOWN, reason=reason
            ):
                return
            thread = thread_by_id(conn, intent.thread)
            assert thread is not None
            set_mark(conn, now, intent.line, Mark.DOUBT)
            say(
                conn,
                now,
                thread,
                intent.line,
                "Nobody can say whether this reached the customer: " + reason + " It is not sent again by "
                "itself. Look in Jollor; if it is not there, send it once more.",
                quote=intent.text,
                buttons=(self._cards.button(intent.target.project),),
            )

        await self._store.write(conclude)

    async def mark_waiting(self, event: MarkWaiting, job: Job) -> None:
        """A reply that is still on its way two seconds after it was due says so on its line."""
        id_ = IntentId(event.intent_id)

        def mark(conn: Connection) -> datetime | None:
            now = self._store.now(conn)
            intent = intents.by_id(conn, id_)
            if intent is None or intent.state not in (IntentState.PENDING, IntentState.SENDING):
                return None
            due = intent.due_at + WAITING_AFTER / self._scale
            if now < due:  # an edit has restarted the window
                return due
            set_mark(conn, now, intent.line, Mark.WAITING)
            return None

        later = await self._store.write(mark)
        if later is not None:
            now = await self._store.read(self._store.now)
            raise Snooze("undo_window", delay=max(later - now, timedelta(0)) * self._scale)

    async def could_not_send(self, event: SendReply, reason: str) -> None:
        """A reply that failed for good before anything was sent: say so."""
        intent = await self._store.read(lambda conn: intents.by_id(conn, IntentId(event.intent_id)))
        if intent is not None:
            await self._conclude_refused(intent, f"{reason} Nothing was sent.", frm=IntentState.PENDING)


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
