"""One delivery: the calls that it takes, and what their outcome means for its row.

A post in doubt is looked up before it is made again, always by the row's state. Where reading back is not
possible it is posted once more, marked as a possible repeat. All other acts may be done twice without harm.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta

from sqlalchemy import Connection

from bridge.channels import channel_closed, move_on
from bridge.content import Content, Lines
from bridge.deliveries import Act, Deliveries, Delivery
from bridge.errors import (
    BridgeError,
    CannotTell,
    PermanentError,
    RootGone,
    Snooze,
    StoreUnavailable,
    TargetDown,
    UnconfirmedError,
)
from bridge.ids import MessageTs
from bridge.mapping import replace_root
from bridge.ports import Chat, Outgoing, Posted
from bridge.queue.retry import backoff_s, reason_of
from bridge.sender.instead import give_up, say_instead
from bridge.store.engine import Store

log = logging.getLogger(__name__)

MAX_ATTEMPTS = 8
FIRST_LOOK = timedelta(seconds=3)
"""After a doubt: time for a post that Slack took late to become visible."""
NEXT_LOOK = timedelta(seconds=9)
LOOK_UNTIL = timedelta(seconds=30)
"""So long an attempt without an answer may take effect late. A post is looked up again until then; what draws
over, or takes back, what the attempt did waits until then."""
CLOCK_TOLERANCE = timedelta(minutes=2)
ANOTHER_ROOT = timedelta(minutes=1)
"""Between two repeats of a root: without one its thread cannot be, so it is not given up after the first."""
GONE = "message_not_found"

Then = Callable[[Connection, datetime], None]

RootCard = Callable[[Connection, Delivery], Content]
"""Returns the card for a thread whose root was deleted."""

IsOurs = Callable[[], bool]
"""Whether the lease still holds: asked before what cannot be done twice."""


class LeaseLost(Exception):
    """We stood still for longer than the lease; somebody else looks after the row now."""


class Acts:
    """Makes the attempt that a claimed row is due for."""

    def __init__(
        self, store: Store, deliveries: Deliveries, chat: Chat, *, root_card: RootCard, scale: float = 1.0
    ) -> None:
        self._store = store
        self._deliveries = deliveries
        self._chat = chat
        self._root_card = root_card
        self._scale = scale
        self._jitter = random.Random()

    async def attempt(self, one: Delivery, is_ours: IsOurs) -> str:
        """Do what `one` asks for and record what became of it; returns that as a word.

        Raises `StoreUnavailable` if it could not be recorded.
        """
        try:
            return await self._act(one, is_ours)
        except LeaseLost:
            return "lease_lost"
        except Snooze as error:
            await self._deliveries.limited(one, error.delay)
            return "limited"
        except TargetDown as error:
            then = _close_channel(one, error) if error.target == one.target else None
            await self._deliveries.paused(one, error.target, error.user_message, then=then)
            return "paused"
        except PermanentError as error:
            return await self._refuse(one, f"{error.code}: {error.user_message}")
        except StoreUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 - one broken row must not stop the others
            return await self._failed(one, error)

    async def _act(self, one: Delivery, is_ours: IsOurs) -> str:
        match one.act:
            case Act.POST:
                return await self._post(one, is_ours)
            case Act.UPDATE:
                return await self._again_is_fine(one, self._update)
            case Act.DELETE:
                return await self._again_is_fine(one, self._delete)
            case Act.ADD_MARK:
                return await self._again_is_fine(one, self._add_mark)
            case Act.REMOVE_MARK:
                return await self._again_is_fine(one, self._remove_mark)

    async def _failed(self, one: Delivery, error: Exception) -> str:
        if not isinstance(error, BridgeError):
            log.error("delivery.broke", exc_info=error)
        if one.attempt >= MAX_ATTEMPTS:
            return await self._refuse(one, reason_of(error))
        pause = timedelta(seconds=backoff_s(one.attempt, self._jitter))
        await self._deliveries.again(one, reason_of(error), delay=pause)
        return "failed"

    async def _refuse(self, one: Delivery, reason: str) -> str:
        if isinstance(one.content, Lines) and not one.in_doubt:
            await self._deliveries.separated(one, reason)  # one of them may be at fault, not all
            return "separated"
        await self._deliveries.refused(one, reason, then=lambda conn, now: say_instead(conn, now, one))
        return "refused"

    # --- posts ---------------------------------------------------------------------------------------

    async def _post(self, one: Delivery, is_ours: IsOurs) -> str:
        outgoing = _outgoing(one)
        if not one.in_doubt:
            return await self._post_now(one, outgoing, is_ours)
        try:
            found = await self._chat.find(outgoing, since=one.sent_at - CLOCK_TOLERANCE)
        except CannotTell as error:
            return await self._post_once_more(one, error, is_ours)
        except Snooze as error:  # reading is limited, posting may not be: others go on
            await self._deliveries.again(one, reason_of(error), delay=error.delay, is_attempt=False)
            return "look_limited"
        if found is not None:
            return await self._found(one, outgoing, found)
        if await self._may_still_appear(one):
            await self._deliveries.again(one, "not seen yet", delay=NEXT_LOOK, is_attempt=False)
            return "not_seen"
        if one.attempt > MAX_ATTEMPTS:
            return await self._refuse(replace(one, in_doubt=False), "It fails each time.")
        fresh = await self._deliveries.not_there(one)
        if fresh is None:
            raise LeaseLost
        return await self._post_now(fresh, outgoing, is_ours)

    async def _may_still_appear(self, one: Delivery) -> bool:
        now = await self._store.read(self._store.now)
        return now - one.sent_at < LOOK_UNTIL / self._scale

    async def _post_once_more(self, one: Delivery, error: CannotTell, is_ours: IsOurs) -> str:
        log.warning("delivery.cannot_tell", extra={"reason": str(error)})
        is_first = await self._deliveries.repeat_once(one)
        if not is_first and not one.is_root:
            await self._deliveries.refused(one, f"Posted twice, confirmed neither time ({error}).")
            return "refused"
        return await self._post_now(one, _outgoing(one, possible_repeat=True), is_ours)

    async def _post_now(self, one: Delivery, outgoing: Outgoing, is_ours: IsOurs) -> str:
        if not is_ours():
            raise LeaseLost
        delay = ANOTHER_ROOT if outgoing.possible_repeat and one.is_root else FIRST_LOOK
        try:
            return await self._landed(one, outgoing, await self._chat.post(outgoing))
        except RootGone:
            return await self._root_gone(one, None)
        except UnconfirmedError as error:
            await self._deliveries.uncertain(one, reason_of(error), delay=delay, is_attempt=error.is_suspect)
        except BridgeError:
            raise
        except Exception as error:
            # A mistake of ours, before the call or after it: nobody can say whether it was posted.
            log.exception("delivery.broke")
            await self._deliveries.uncertain(one, reason_of(error), delay=delay, is_attempt=True)
        return "uncertain"

    async def _landed(self, one: Delivery, outgoing: Outgoing, posted: Posted) -> str:
        if _is_stray(outgoing, posted):
            # The root was deleted: Slack put the reply into the channel, where nobody will understand it.
            return await self._root_gone(one, posted.ts)
        await self._deliveries.done(one, posted.ts)
        return "done"

    async def _found(self, one: Delivery, outgoing: Outgoing, found: Posted) -> str:
        if _is_stray(outgoing, found):
            # Its root was gone then; whether the present one is, posting it again tells.
            await self._deliveries.root_gone(one, found.ts)
            return "stray"
        await self._deliveries.done(one, found.ts)
        return "found"

    async def _root_gone(self, one: Delivery, stray: MessageTs | None) -> str:
        if await self._deliveries.is_refused_for_good(one):
            reason = "Slack refuses every reply to its thread."
            await self._deliveries.refused(one, reason, then=lambda conn, now: give_up(conn, now, one, stray))
            return "refused"

        def give_a_new_root(conn: Connection, now: datetime) -> None:
            assert one.thread is not None
            assert one.root_ts is not None
            replace_root(conn, now, one.thread, one.root_ts, self._root_card(conn, one))

        await self._deliveries.root_gone(one, stray, then=give_a_new_root)
        return "root_gone"

    # --- what may be done twice ----------------------------------------------------------------------

    async def _again_is_fine(self, one: Delivery, act: Callable[[Delivery], Awaitable[None]]) -> str:
        if (delay := await self._deliveries.stray_until(one, LOOK_UNTIL)) > timedelta(0):
            reason = "what it replaces got no answer from Slack and may still take effect"
            await self._deliveries.again(one, reason, delay=delay, is_attempt=False)
            return "waits"
        try:
            await act(one)
        except UnconfirmedError as error:
            await self._deliveries.again(
                one, reason_of(error), delay=FIRST_LOOK, is_attempt=error.is_suspect, may_be_late=True
            )
            return "repeated"
        except PermanentError as error:
            if error.code != GONE:
                raise
            # Deleted in the meantime: there is nothing left to draw or to mark.
            await self._deliveries.done(one, None, reason=error.user_message)
            return "gone"
        await self._deliveries.done(one, None)
        return "done"

    async def _update(self, one: Delivery) -> None:
        assert one.content is not None
        outgoing = Outgoing(one.id, one.kind, one.team, one.channel, None, one.content)
        await self._chat.update(one.team, one.channel, _line(one), outgoing)

    async def _delete(self, one: Delivery) -> None:
        await self._chat.delete(one.team, one.channel, _line(one))

    async def _add_mark(self, one: Delivery) -> None:
        assert one.mark is not None
        await self._chat.add_mark(one.team, one.channel, _line(one), one.mark)

    async def _remove_mark(self, one: Delivery) -> None:
        assert one.mark is not None
        await self._chat.remove_mark(one.team, one.channel, _line(one), one.mark)


def _close_channel(one: Delivery, error: TargetDown) -> Then:
    def close(conn: Connection, now: datetime) -> None:
        channel_closed(conn, now, one.team, one.channel, error.user_message)
        if one.thread is not None:
            move_on(conn, now, one.thread)

    return close


def _is_stray(outgoing: Outgoing, posted: Posted) -> bool:
    return outgoing.thread_ts is not None and posted.thread_ts != outgoing.thread_ts


def _line(one: Delivery) -> MessageTs:
    assert one.line_ts is not None
    return one.line_ts


def _outgoing(one: Delivery, *, possible_repeat: bool = False) -> Outgoing:
    assert one.content is not None
    is_reply = one.thread is not None and not one.is_root
    if is_reply and one.root_ts is None:
        raise PermanentError("no_root", user_message="Slack refused the thread's first message.")
    return Outgoing(
        id=one.id,
        kind=one.kind,
        team=one.team,
        channel=one.channel,
        thread_ts=one.root_ts if is_reply else None,
        content=one.content,
        also_to_channel=one.also_to_channel,
        possible_repeat=possible_repeat,
    )
