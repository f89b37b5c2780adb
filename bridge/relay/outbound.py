"""From Slack: human lines become replies (sent by `relay.replies`), stay inside, or are refused."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Connection

from bridge import intents
from bridge.content import Notice
from bridge.deliveries import put_notice
from bridge.errors import Snooze
from bridge.events import LineTyped, MarkWaiting, SendReply
from bridge.ids import IntentId, JobId, LineRef, TeamId, UserId, new_id, ts_order
from bridge.intents import Intent, IntentState
from bridge.mapping import (
    Fate,
    conversation,
    human_joined,
    remember_line,
    tell_internal_once,
    update_line,
)
from bridge.model import Link, Mark, Person, TargetKind, Thread
from bridge.policy import Decision, Internal, Refuse, Reply, Step, decide, typed_at, why_ask
from bridge.ports import Chat
from bridge.queue.jobs import Job, NewJob, put_in
from bridge.queue.presence import outages_between
from bridge.relay.advice import put_advice
from bridge.relay.cards import Cards
from bridge.relay.marks import set_mark
from bridge.relay.outside import Outside
from bridge.relay.places import Line, Place, may_be_landing, place_of, ref_of
from bridge.relay.refusals import given_up, refuse, refuse_line
from bridge.relay.release import WAITING_AFTER, ask_late
from bridge.store.engine import Store

SETTLING = timedelta(milliseconds=300)
"""How long a line waits even without an undo window, for one that it overtook."""
ROOT_LOOK = timedelta(seconds=1)
"""How often a line looks whether the root above it has turned out to be ours."""

POST_IS_INTERNAL = (
    "Lines under a post stay in Slack for now; they are not published. Answer the post in Jollor."
)
RESENT = (Step.SEND_AGAIN, Step.SHORTEN, Step.RECONNECT)
"""Steps that send the very line: it has a reply of its own although it is refused."""
FATES: dict[type[Decision], Fate] = {Internal: Fate.INTERNAL, Refuse: Fate.REFUSED, Reply: Fate.REPLY}


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
        place = await self.place(event)
        if place is None:
            await self._outside.explain(event)
        else:
            await self.line_in(place, event, job.id, edited_ts=event.edited_ts)

    async def place(self, event: Line) -> Place | None:
        """Return where a line stands. Raises `Snooze` while the root above it may turn out to be ours."""
        # In this order: a root that is recorded between the two looks is found by the second.
        is_landing, place = await self._store.read(
            lambda conn: (may_be_landing(conn, event), place_of(conn, event))
        )
        if place is None and is_landing:
            raise Snooze("root_not_known_yet", delay=ROOT_LOOK)
        return place

    async def line_in(
        self, place: Place, event: LineTyped, job: JobId, *, edited_ts: str | None = None
    ) -> None:
        """Deal with a line in a thread of ours; `edited_ts` if it is known only as it was edited."""
        person = await self._chat.person(TeamId(event.team_id), UserId(event.user_id))
        if person.is_bot:
            return
        decision = decide(event, person, place.thread.target.kind, is_linked=place.link is not None)
        await self._store.write(lambda conn: self._take(conn, event, place, decision, edited_ts, job))

    async def could_not_take(self, event: LineTyped, reason: str, *, is_whole: bool = True) -> None:
        """A line that could not be dealt with for good: say so where its writer sees it.

        `is_whole`: its text is what the customer would read, so that a person can have it sent again.
        """
        place = await self._store.read(lambda conn: place_of(conn, event))
        if place is None:
            return
        # Who wrote it may be what could not be found out: whoever presses “Send again” answers for it.
        somebody = Person(UserId(event.user_id), name="")
        decision = decide(event, somebody, place.thread.target.kind, is_linked=place.link is not None)
        if isinstance(decision, Reply):
            rewrite = Refuse(f"{reason} Nothing was sent; write it again as a new line.")
            decision = given_up(reason) if is_whole else rewrite
        await self._store.write(lambda conn: self._take(conn, event, place, decision, None, None))

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
        line, thread = ref_of(event), place.thread
        may_go = isinstance(decision, Reply) or (isinstance(decision, Refuse) and decision.step in RESENT)
        intent = IntentId(new_id()) if may_go else None
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
                if intent is None:
                    refuse_line(conn, now, thread, line, decision, self._cards)
                else:
                    planned = self._plan(conn, now, event, place, intent)
                    refuse(conn, now, planned, decision, self._cards, frm=IntentState.PENDING)
            case Reply():
                assert intent is not None
                self._send(conn, now, event, place, self._plan(conn, now, event, place, intent))

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
    ) -> Intent:
        thread, line = place.thread, ref_of(event)
        known = conversation(conn, thread.target.project, thread.target.conversation)
        assert known is not None, "a thread of a conversation is opened with its row"
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
            due_at=now + self.window(place.link),
        )
        planned = intents.by_id(conn, intent)
        assert planned is not None, "a line that is new has no reply yet"
        return planned

    def _send(self, conn: Connection, now: datetime, event: LineTyped, place: Place, intent: Intent) -> None:
        """Put a reply in its lane, or ask first if it comes late."""
        thread, line = place.thread, intent.line
        is_overtaken = intents.is_overtaken(conn, line, thread.id)
        typed = typed_at(event)
        was_away = bool(outages_between(conn, typed, typed))
        question = why_ask(event, is_overtaken=is_overtaken, scale=self._scale, was_away=was_away)
        if question is None:
            self._put_in_lane(conn, now, thread, line, intent.id, intent.due_at)
            put_advice(conn, now, intent, self._chosen_window(place.link))
        else:
            ask_late(conn, now, thread, line, intent.id, event.text, question)

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

    def window(self, link: Link | None) -> timedelta:
        """Return how long a line waits before it goes out through `link`."""
        return max(self._chosen_window(link), SETTLING) / self._scale

    def _chosen_window(self, link: Link | None) -> timedelta:
        own = link.undo_window_s if link is not None else None
        return self._undo_window if own is None else timedelta(seconds=own)
