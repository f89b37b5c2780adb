"""To Jollor: sends the replies that are due, each at most once.

A reply is an intent, committed as `sending` before its first byte. Whatever leaves its outcome open makes it
`unknown`: it is marked and never repeated by the bridge alone.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import datetime, timedelta
from time import monotonic

from sqlalchemy import Connection

from bridge import intents
from bridge.content import ActionId, Button, CardState, inert
from bridge.errors import PermanentError, Snooze, StoreUnavailable, TargetDown, UnconfirmedError
from bridge.events import MarkWaiting, SendReply, SettleReply
from bridge.ids import IntentId
from bridge.intents import Intent, IntentState
from bridge.mapping import last_incoming, seen_messages, thread_by_id
from bridge.model import Mark, Message, MessageList
from bridge.policy import OVERTAKEN, UNLINKED, Refuse, why_not
from bridge.ports import Social
from bridge.queue.jobs import Job, NewJob, put_in
from bridge.relay.cards import Cards
from bridge.relay.echoes import Echoes
from bridge.relay.marks import say, set_mark
from bridge.relay.places import has_unread, is_not_first, link_of
from bridge.relay.refusals import given_up, or_reconnect, refuse, refused_by_jollor
from bridge.relay.release import WAITING_AFTER, ask_late, hold_behind
from bridge.relay.settling import Settling
from bridge.store.engine import Store

log = logging.getLogger(__name__)

REPLY_TIMEOUT_S = 10.0
SHORTEST_TIMEOUT_S = 4.0
RECORD_AGAIN_S = 0.2
STILL_WAITING = (IntentState.PENDING, IntentState.SENDING, IntentState.UNKNOWN)
STANDS_BACK = timedelta(seconds=5)
"""How long a line lets what was typed before it go first, and waits for news of its thread to be read."""
DOUBT_LASTS = timedelta(minutes=4)
"""After this people are asked even if the looks, which take three, could not all be made."""
LANE_LOOK = timedelta(seconds=2)
"""How often a lane that a reply in doubt holds up looks whether it is settled."""


class Replies:
    """Sends intents, and says on the line what became of them."""

    def __init__(
        self, store: Store, social: Social, cards: Cards, settling: Settling, *, scale: float = 1.0
    ) -> None:
        self._store = store
        self._social = social
        self._cards = cards
        self._settling = settling
        self._scale = scale
        self._echoes = Echoes(cards, scale=scale)

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
        elif intent.state is IntentState.UNKNOWN and intent.asked_at is None:
            await self._wait_for_settling(intent)

    async def _wait_for_settling(self, intent: Intent) -> None:
        """The lane waits until the reply is settled or people have been asked, whatever became of looking."""
        now = await self._store.read(self._store.now)
        if intent.deadline is None or now > intent.deadline + DOUBT_LASTS / self._scale:
            event = SettleReply(project_id=intent.target.project, intent_id=intent.id)
            await self._settling.look_and_ask(event)
            return
        raise Snooze("in_doubt", delay=LANE_LOOK)

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
            return
        current = await self._store.read(lambda conn: intents.by_id(conn, intent.id))
        if current is not None and current.state is IntentState.PENDING:
            raise Snooze("changed_meanwhile", delay=timedelta(milliseconds=200))

    async def _problem(self, intent: Intent) -> Refuse | None:
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
        """Commit `sending`; return the intent as it is now, None if there is nothing to send any more.

        What the list shows is taken into account first: a former attempt of this reply that did arrive, and
        an answer from elsewhere that the writer has not seen.
        """
        now = self._store.now(conn)
        current = intents.by_id(conn, intent.id, lock=True)
        if current is None or now < current.due_at or current.state is not IntentState.PENDING:
            return None
        if not self._is_still_linked(conn, current, now) or self._waits_for_decision(conn, current, now):
            return None
        if self._stands_back(conn, current, now):
            return None
        if current.decision is None and intents.is_overtaken(conn, current.line, current.thread):
            # Two processes took this line and began the later one in the same moment.
            thread = thread_by_id(conn, current.thread)
            assert thread is not None
            ask_late(conn, now, thread, current.line, current.id, current.text, OVERTAKEN)
            return None
        unseen = self._settle_first(conn, now, current, snapshot)
        if unseen is not None and current.decision != intents.ANYWAY:
            self._ask_first(conn, now, current, unseen)
        began = intents.begin(
            conn,
            current,
            now,
            timeout=timedelta(seconds=max(SHORTEST_TIMEOUT_S, REPLY_TIMEOUT_S / self._scale)),
            snapshot=[message.id for message in snapshot.messages],
        )
        return intents.by_id(conn, intent.id) if began else None

    def _is_still_linked(self, conn: Connection, intent: Intent, now: datetime) -> bool:
        thread = thread_by_id(conn, intent.thread)
        if thread is not None and link_of(conn, thread) is not None:
            return True
        refuse(conn, now, intent, UNLINKED, self._cards, frm=IntentState.PENDING)
        return False

    def _waits_for_decision(self, conn: Connection, intent: Intent, now: datetime) -> bool:
        if intent.decision not in (None, intents.CORRECTION):
            return False  # by a person's word
        first = intents.undecided_before(conn, intent)
        if first is None:
            return False
        intents.by_id(conn, first, lock=True)  # whoever decides about it now lets go only who waits by then
        first = intents.undecided_before(conn, intent)
        return first is not None and hold_behind(conn, now, intent, first)

    def _stands_back(self, conn: Connection, intent: Intent, now: datetime) -> bool:
        """Lines go out in the order in which they were typed: is an earlier one, or a change, still to come?

        What has no place in the lane only for a moment, so that nothing that is stuck holds up the rest.
        """
        if is_not_first(conn, intent.target, intent.line):
            return True
        if intents.would_overtake(conn, intent, now - STANDS_BACK):
            return True
        thread = thread_by_id(conn, intent.thread)
        return thread is not None and now < intent.due_at + STANDS_BACK and has_unread(conn, thread)

    def _settle_first(
        self, conn: Connection, now: datetime, intent: Intent, snapshot: MessageList
    ) -> Message | None:
        """Settle what the list shows of our replies; return an answer of somebody else's nobody here saw."""
        project, conversation = intent.target.project, intent.target.conversation
        outgoing = [message for message in snapshot.messages if not message.is_incoming]
        seen = seen_messages(conn, project, [message.id for message in outgoing])
        unseen = [message for message in outgoing if message.id not in seen]
        echoed = self._echoes.settle(conn, now, project, conversation, unseen)
        others = [message for message in unseen if message.id not in echoed.settled]
        # Another worker may have settled one of these since we looked: then it is no stranger's.
        meanwhile = seen_messages(conn, project, [message.id for message in others])
        others = [message for message in others if message.id not in meanwhile]
        return None if echoed.more_may_come or not others else others[-1]

    def _ask_first(self, conn: Connection, now: datetime, intent: Intent, answer: Message) -> None:
        """Hold the reply back: somebody else has answered meanwhile."""
        held = intents.move(
            conn,
            intent.id,
            now,
            frm=[IntentState.PENDING],
            to=IntentState.HELD,
            reason="answered elsewhere",
            held_for=intents.COLLISION,
            asked_at=now,
        )
        thread = thread_by_id(conn, intent.thread)
        if not held or thread is None:
            return
        set_mark(conn, now, intent.line, Mark.WAITING)
        ago_s = max(0, round((now - answer.sent_at).total_seconds()))
        ago = f"{ago_s} s" if ago_s < 120 else f"{ago_s // 60} min"
        sentence = (
            f"{inert(answer.sender)} answered {ago} ago, not from Slack. Send this anyway?\n"
            "Below: that answer, then your line."
        )
        both = f"{answer.text[:500]}\n\n{intent.text}"
        buttons = (
            Button(action=ActionId.SEND_ANYWAY, label="Send anyway", value=intent.id, style="primary"),
            Button(action=ActionId.SETTLE_DROP, label="Drop", value=intent.id),
        )
        say(conn, now, thread, intent.line, sentence, quote=both, buttons=buttons)

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
            await self._conclude_refused(intent, refused_by_jollor(error), frm=IntentState.SENDING)
        except StoreUnavailable:
            raise
        except UnconfirmedError as error:
            await self._conclude_unknown(intent, error.user_message)
        except Exception as error:
            log.error("reply.broke", exc_info=error)
            await self._conclude_unknown(intent, "something broke on our side while sending")
        else:
            await self._record_accepted(intent, within_s=left_s)

    async def _record_accepted(self, intent: Intent, *, within_s: float) -> None:
        """Record what Jollor answered, also if the database is away for a moment: else it would be in doubt.

        Not for longer than `within_s`: a successor may have drawn its own conclusion by then.
        """
        until = monotonic() + within_s
        while True:
            try:
                await self._store.write(lambda conn: self._accepted(conn, intent))
                return
            except StoreUnavailable as error:
                if monotonic() >= until:
                    raise
                log.warning("reply.not_recorded", extra={"reason": error.user_message})
            await asyncio.sleep(RECORD_AGAIN_S)

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

    async def _conclude_refused(self, intent: Intent, refusal: Refuse, *, frm: IntentState) -> None:
        def conclude(conn: Connection) -> None:
            final = or_reconnect(conn, intent.target.project, refusal)
            refuse(conn, self._store.now(conn), intent, final, self._cards, frm=frm)

        await self._store.write(conclude)

    async def _conclude_unknown(self, intent: Intent, reason: str) -> None:
        """It may have happened: have `relay.settling` look; the lane waits meanwhile."""
        if await self._is_left_to_settling(intent, reason):
            raise Snooze("in_doubt", delay=LANE_LOOK)

    async def _is_left_to_settling(self, intent: Intent, reason: str) -> bool:
        def conclude(conn: Connection) -> bool:
            now = self._store.now(conn)
            is_unknown = intents.move(
                conn, intent.id, now, frm=[IntentState.SENDING], to=IntentState.UNKNOWN, reason=reason
            )
            if is_unknown:
                look = SettleReply(project_id=intent.target.project, intent_id=intent.id)
                put_in(conn, [NewJob(look)], now)
            return is_unknown

        return await self._store.write(conclude)

    async def mark_waiting(self, event: MarkWaiting, job: Job) -> None:
        """A reply that is still on its way two seconds after it was due says so on its line."""
        id_ = IntentId(event.intent_id)

        def mark(conn: Connection) -> datetime | None:
            now = self._store.now(conn)
            intent = intents.by_id(conn, id_, lock=True)
            if intent is None or intent.state not in STILL_WAITING or intent.asked_at:
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
        """A reply that failed for good: say so, if nothing was sent for sure; else it is looked for."""
        intent = await self._store.read(lambda conn: intents.by_id(conn, IntentId(event.intent_id)))
        if intent is None:
            return
        if not await self._is_left_to_settling(intent, reason):
            await self._conclude_refused(intent, given_up(reason), frm=IntentState.PENDING)
