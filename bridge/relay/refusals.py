"""❌ on a line: the sentence that goes with it, and the button of the one next step that helps."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from sqlalchemy import Connection, exists, select

from bridge import intents
from bridge.content import ActionId, Button
from bridge.errors import PermanentError
from bridge.ids import LineRef, ProjectId, new_id
from bridge.intents import Intent, IntentState
from bridge.mapping import thread_by_id
from bridge.model import Mark, Thread
from bridge.policy import Refuse, Step
from bridge.relay.alerts import PROFILE
from bridge.relay.cards import Cards
from bridge.relay.marks import say, set_mark
from bridge.relay.presses import Version
from bridge.store.tables import alerts

RECONNECT = (
    "A social profile of this project has lost its connection, which may be why. Reconnect it in Jollor, "
    "then press “Send again”."
)

BEFORE = "That is about this attempt; whether the one before arrived is still not known."


def refuse_line(
    conn: Connection, now: datetime, thread: Thread, line: LineRef, refusal: Refuse, cards: Cards
) -> None:
    """Mark a line that never became a reply, and say why."""
    set_mark(conn, now, line, Mark.FAILED)
    buttons = (cards.button(thread.target.project),) if refusal.step is Step.OPEN else ()
    say(conn, now, thread, line, refusal.sentence, buttons=buttons)


def refuse(
    conn: Connection, now: datetime, intent: Intent, refusal: Refuse, cards: Cards, *, frm: IntentState
) -> bool:
    """Conclude that a reply was not sent, mark its line and say why; False if it is not `frm` any more."""
    token = new_id()
    moved = intents.move(
        conn,
        intent.id,
        now,
        frm=[frm],
        to=IntentState.REFUSED,
        reason=refusal.sentence,
        held_for=intents.refusal(token),
    )
    thread = thread_by_id(conn, intent.thread)
    if moved and thread is not None:
        in_doubt = intents.was_in_doubt(conn, intent)
        set_mark(conn, now, intent.line, Mark.DOUBT if in_doubt else Mark.FAILED)
        sentence = f"{refusal.sentence} {BEFORE}" if in_doubt else refusal.sentence
        buttons = _buttons(cards, thread.target.project, refusal.step, Version.of(intent.id, token))
        say(conn, now, thread, intent.line, sentence, quote=intent.text, buttons=buttons)
    return moved


def _buttons(cards: Cards, project: ProjectId, step: Step, version: Version) -> tuple[Button, ...]:
    again = Button(
        action=ActionId.SEND_AGAIN, label="Send again", value=version.model_dump_json(), style="primary"
    )
    match step:
        case Step.SHORTEN:
            return (again,)
        case Step.SEND_AGAIN:
            return (again, cards.button(project))
        case Step.OPEN:
            return (cards.button(project),)
        case Step.RECONNECT:
            return (cards.button(project).model_copy(update={"label": "Reconnect in Jollor"}), again)
        case Step.REWRITE:
            return ()


def refused_by_jollor(error: PermanentError) -> Refuse:
    """Return what to say of a reply that Jollor answered with a no."""
    if error.may_pass_later:
        words = "Nothing was sent. Change the line if its text may be why, then press “Send again”."
        return Refuse(f"{error.user_message} {words}", Step.SEND_AGAIN)
    return Refuse(f"{error.user_message} Nothing was sent; see in Jollor what is possible.", Step.OPEN)


def given_up(reason: str) -> Refuse:
    """Return what to say of a line that the bridge could not bring to Jollor."""
    return Refuse(f"{reason} Nothing was sent. Press “Send again” to try once more.", Step.SEND_AGAIN)


def or_reconnect(conn: Connection, project: ProjectId, refusal: Refuse) -> Refuse:
    """Return `refusal`, naming the profile that is to be reconnected if one is: that goes before all else."""
    standing = exists().where(
        alerts.c.project_id == project, alerts.c.kind == PROFILE, alerts.c.cleared_at.is_(None)
    )
    if refusal.step is Step.SHORTEN or not conn.execute(select(standing)).scalar():
        return refusal
    why = refusal.sentence.partition("Nothing was sent")[0]
    return replace(refusal, sentence=f"{why}Nothing was sent. {RECONNECT}", step=Step.RECONNECT)
