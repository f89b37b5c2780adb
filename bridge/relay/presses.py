"""What presses have in common: who may, which state of things a button was about, closing the question."""

from __future__ import annotations

import logging
from datetime import datetime

from pydantic import BaseModel, ConfigDict, ValidationError
from sqlalchemy import Connection

from bridge.content import Notice
from bridge.deliveries import put_update
from bridge.events import ButtonPressed
from bridge.ids import ChannelId, IntentId, MessageTs, TeamId, UserId
from bridge.policy import may_answer
from bridge.ports import Chat

log = logging.getLogger(__name__)

NOT_YOURS = "Guests and people from other organisations cannot decide about replies to customers."


class Version(BaseModel):
    """The value of a button that is about a reply as it was at one time; later it means nothing any more."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    intent_id: str
    version: str

    @classmethod
    def of(cls, intent: IntentId, version: str) -> Version:
        """Return what a button about `intent` carries."""
        return cls(intent_id=intent, version=version)

    @classmethod
    def read(cls, value: str) -> Version | None:
        """Return what `value` carries, None if it is broken."""
        try:
            return cls.model_validate_json(value)
        except ValidationError:
            log.info("press.unreadable")
            return None


async def may_press(chat: Chat, event: ButtonPressed) -> bool:
    """Who may not write to customers may not decide about it either, and is told so."""
    if may_answer(await chat.person(TeamId(event.team_id), UserId(event.user_id))):
        return True
    log.info("press.refused", extra={"action": event.action_id})
    if event.response_url is not None:
        await chat.answer(event.response_url, Notice(text=NOT_YOURS))
    return False


def close(
    conn: Connection, now: datetime, event: ButtonPressed, sentence: str, *, quote: str | None = None
) -> None:
    """Redraw the notice without its buttons, with who decided what, or that nobody has to."""
    if event.message_ts is None:
        return
    team, channel, ts = TeamId(event.team_id), ChannelId(event.channel_id), MessageTs(event.message_ts)
    put_update(conn, now, team, channel, ts, "notice", Notice(text=sentence, quote=quote))
