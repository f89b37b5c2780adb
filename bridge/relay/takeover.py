"""Webhooks that call somebody else: reported once, with a button, and taken over by nobody but a person."""

from __future__ import annotations

import logging

from sqlalchemy import Connection

from bridge.content import ActionId, Button, Notice, inert
from bridge.errors import BridgeError, Snooze, StoreUnavailable, TargetDown
from bridge.events import ButtonPressed, TakeOverWebhook
from bridge.ids import ChannelId, ProjectId, TeamId, UserId
from bridge.model import Webhook
from bridge.people import People
from bridge.ports import Chat
from bridge.queue.jobs import Job, NewJob, put_in
from bridge.relay import standing
from bridge.relay.cards import Cards
from bridge.relay.commands import ONLY_ADMINS
from bridge.relay.standing import CAUGHT_UP, Trouble, clock_time, come_back_unless, sweep, webhook_of
from bridge.store.engine import Store
from bridge.webhooks import Registration, Steps, Webhooks, WebhookState

log = logging.getLogger(__name__)


class TakeOver:
    """Reports them, and does what people decide."""

    def __init__(
        self,
        store: Store,
        chat: Chat,
        hooks: Webhooks,
        registration: Registration,
        people: People,
        cards: Cards,
    ) -> None:
        self._store = store
        self._chat = chat
        self._hooks = hooks
        self._registration = registration
        self._people = people
        self._cards = cards

    async def report(self, project: ProjectId, theirs: Webhook | None, *, may_take: bool) -> None:
        """Say, once, that the webhook calls somebody else; `may_take` if it can be pointed here at all."""
        status = WebhookState.REPLACED if theirs is None or not may_take else theirs.status
        await self._hooks.note(project, state=status, is_foreign=may_take)
        address = None if theirs is None else theirs.callback_url

        def say(conn: Connection) -> None:
            places = standing.alert_places(conn, project)
            notice = self._notice(conn, project, address, may_take=may_take)
            standing.say(conn, self._store.now(conn), places, project, Trouble.ELSEWHERE, notice)

        await self._store.write(say)

    def _notice(
        self, conn: Connection, project: ProjectId, address: str | None, *, may_take: bool, tried: str = ""
    ) -> Notice:
        hook = webhook_of(conn, project)
        if address is not None:
            what = f"{hook} calls {inert(address)} and not this bridge"
        else:
            what = f"{hook} has another secret now, and Jollor does not tell whom it calls"
        step = "Take it over only if nobody else needs it."
        if not may_take:
            step = (
                "Take its secret from Jollor's dashboard and give it to "
                "`jollor-slack link PROJECT CHANNEL --webhook-secret-stdin`."
            )
        text = " ".join(filter(None, (tried, f"{what}: messages come in late. {step}")))
        take = Button(action=ActionId.TAKE_OVER_WEBHOOK, label="Take it over", value=project, style="primary")
        return Notice(text=text, buttons=(*([take] if may_take else []), self._cards.button(project)))

    async def settled(self, project: ProjectId) -> None:
        """Close the report: the webhook calls us."""

        def close(conn: Connection) -> bool:
            now = self._store.now(conn)
            rows = standing.open_rows(conn, Trouble.ELSEWHERE, project)
            text = f"{webhook_of(conn, project)} calls this bridge again. {CAUGHT_UP}"
            sweep(conn, now, project)
            return standing.end(conn, now, rows, Notice(text=text))

        if await self._store.read(lambda conn: standing.stands(conn, project, Trouble.ELSEWHERE)):
            come_back_unless(await self._store.write(close))

    # --- what people decide --------------------------------------------------------------------------

    async def pressed(self, event: ButtonPressed, job: Job) -> None:
        """Have it taken over, if who presses may do that; pressing twice, or late, changes nothing."""
        team, user, project = TeamId(event.team_id), UserId(event.user_id), ProjectId(event.value)
        if not await self._people.may_link(team, user):
            log.info("press.refused", extra={"action": event.action_id})
            await self._tell(event, ONLY_ADMINS)
            return

        def take(conn: Connection) -> None:
            now = self._store.now(conn)
            hook = webhook_of(conn, project, begins=False)
            notice = Notice(text=f"<@{user}> has {hook} taken over: that is being done.")
            if standing.take(conn, now, team, project, Trouble.ELSEWHERE, user, notice):
                put_in(conn, [NewJob(TakeOverWebhook(project_id=project, user_id=user))], now)

        await self._store.write(take)

    async def _tell(self, event: ButtonPressed, sentence: str) -> None:
        if event.response_url is not None:
            await self._chat.answer(event.response_url, Notice(text=sentence))
        else:
            place = TeamId(event.team_id), ChannelId(event.channel_id), UserId(event.user_id)
            await self._chat.whisper(*place, Notice(text=sentence))

    async def take_over(self, event: TakeOverWebhook, job: Job) -> None:
        """Point the webhook here: a person wants it."""
        project = ProjectId(event.project_id)
        if not await self._store.read(lambda conn: standing.stands(conn, project, Trouble.ELSEWHERE)):
            return
        steps = Steps()
        try:
            await self._registration.renew(project, steps, replace=True)
        except (Snooze, TargetDown, StoreUnavailable):
            raise
        except BridgeError as error:
            steps.problem(error.user_message)
        if steps.is_incomplete:
            await self.could_not_take_over(event, steps.said[-1])
            return

        def say(conn: Connection) -> bool:
            now = self._store.now(conn)
            rows = standing.open_rows(conn, Trouble.ELSEWHERE, project)
            over = f"<@{event.user_id}> took {webhook_of(conn, project, begins=False)} over"
            text = f"{over} at {clock_time(now, now)}: it calls this bridge now. {CAUGHT_UP}"
            sweep(conn, now, project)
            return standing.end(conn, now, rows, Notice(text=text))

        come_back_unless(await self._store.write(say))

    async def could_not_take_over(self, event: TakeOverWebhook, reason: str) -> None:
        """Say that it did not work, and offer it again."""
        project = ProjectId(event.project_id)

        def say(conn: Connection) -> None:
            standing.let_loose(conn, project, Trouble.ELSEWHERE)
            tried = f"<@{event.user_id}> tried to take it over, in vain: {reason}"
            notice = self._notice(conn, project, "somebody else", may_take=True, tried=tried)
            places = standing.alert_places(conn, project)
            standing.say(conn, self._store.now(conn), places, project, Trouble.ELSEWHERE, notice)

        await self._store.write(say)
