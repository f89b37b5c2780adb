"""What a person is told privately while a reply waits: what the undo window is for, and that a text is long.

Only advice, in jobs of its own: a failure costs nothing, and no lane waits for it.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from sqlalchemy import Connection

from bridge import intents
from bridge.content import Notice
from bridge.errors import BridgeError, StoreUnavailable
from bridge.events import AdviceDue
from bridge.ids import IntentId
from bridge.intents import Intent
from bridge.mapping import insert_new, last_incoming, thread_by_id
from bridge.model import Thread
from bridge.policy import UNSURE_LENGTH
from bridge.ports import Chat, Social
from bridge.queue.jobs import Job, NewJob, put_in
from bridge.relay.places import link_of
from bridge.store.engine import Store
from bridge.store.tables import told

log = logging.getLogger(__name__)

WINDOW = "undo_window"


def put_advice(conn: Connection, now: datetime, intent: Intent, window: timedelta) -> None:
    """Have the writer of a reply told what there is to tell: about the undo window once per person."""
    person = {"team": intent.line.team, "user_id": intent.author}
    explains = window > timedelta(0) and insert_new(conn, told, **person, topic=WINDOW, at=now)
    warns = len(intent.text) > UNSURE_LENGTH
    if explains or warns:
        advice = AdviceDue(intent_id=intent.id, explains_window=explains, warns_of_length=warns)
        put_in(conn, [NewJob(advice)], now)


class Advice:
    """Tells it."""

    def __init__(self, store: Store, chat: Chat, social: Social, *, undo_window: timedelta) -> None:
        self._store = store
        self._chat = chat
        self._social = social
        self._undo_window = undo_window

    async def advice_due(self, event: AdviceDue, job: Job) -> None:
        """Whisper to the writer; whatever fails, the reply goes its way."""
        intent = await self._store.read(lambda conn: intents.by_id(conn, IntentId(event.intent_id)))
        thread = None if intent is None else await self._store.read(lambda c: thread_by_id(c, intent.thread))
        if intent is None or thread is None:
            return
        try:
            if event.explains_window:
                await self._explain(intent, thread)
            if event.warns_of_length and await self._is_unsure(intent):
                await self._whisper(intent, thread, too_long(len(intent.text)))
        except StoreUnavailable:
            raise
        except BridgeError as error:
            log.info("advice.not_given", extra={"error": str(error)})

    async def _explain(self, intent: Intent, thread: Thread) -> None:
        link = await self._store.read(lambda conn: link_of(conn, thread))
        own = None if link is None else link.undo_window_s
        seconds = self._undo_window.total_seconds() if own is None else own
        await self._whisper(intent, thread, explanation(seconds))

    async def _is_unsure(self, intent: Intent) -> bool:
        """Jollor tells no limit for this conversation; where it tells one, it is kept before sending."""
        target = intent.target
        last = await self._store.read(lambda conn: last_incoming(conn, target.project, target.conversation))
        if last is None:
            return True
        return (await self._social.reply_rules(target.project, last)).max_length is None

    async def _whisper(self, intent: Intent, thread: Thread, words: str) -> None:
        line = intent.line
        notice = Notice(text=words)
        await self._chat.whisper(line.team, line.channel, intent.author, notice, thread_ts=thread.root_ts)


def explanation(seconds: float) -> str:
    """Return what a person is told once about the undo window."""
    return (
        f"What you write here goes to the customer {seconds:g} s later. Until then you can delete the line, "
        "and nothing is sent; edit it, and the new text is sent; or choose “Hold back” in its menu, and it "
        "stays here as an internal note. I tell you this once."
    )


def too_long(length: int) -> str:
    """Return the warning about a text that may not fit."""
    return (
        f"Your line has {length} characters, and Jollor does not tell how many this network takes; more than "
        f"{UNSURE_LENGTH} may be refused or cut. I send it as it is; two shorter lines would be safer."
    )
