"""Webhooks are watched: one that was switched off is switched on again, and people are told.

`bridge.webhooks.watch` decides, this acts and says so where the project's alerts go. One that calls somebody
else is left to `relay.takeover`, one that is silent to `relay.silences`.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import assert_never

from sqlalchemy import Connection

from bridge.content import Notice
from bridge.errors import BridgeError, Snooze, StoreUnavailable, TargetDown
from bridge.events import WatchWebhook, WatchWebhooks
from bridge.ids import ProjectId
from bridge.links import links_of
from bridge.model import Webhook
from bridge.ports import Social
from bridge.queue.jobs import Job, NewJob, put_in
from bridge.relay import standing
from bridge.relay.cards import Cards
from bridge.relay.silences import Silences
from bridge.relay.standing import CAUGHT_UP, Trouble, clock_time, come_back_unless, sweep, webhook_of
from bridge.relay.takeover import TakeOver
from bridge.store.engine import Store
from bridge.webhooks import Registration, Steps, Webhooks, WebhookState
from bridge.webhooks.book import StoredWebhook
from bridge.webhooks.silence import scaled
from bridge.webhooks.watch import Found, judge

log = logging.getLogger(__name__)

SET_UP_TAKES = timedelta(minutes=1)
"""A set-up that was begun may be under way: `link` has this long before the watch goes on with it."""


class Watching:
    """Sees to webhooks."""

    def __init__(
        self,
        store: Store,
        social: Social,
        hooks: Webhooks,
        registration: Registration,
        take_over: TakeOver,
        silences: Silences,
        cards: Cards,
        *,
        scale: float = 1.0,
    ) -> None:
        self._store = store
        self._social = social
        self._hooks = hooks
        self._cards = cards
        self._scale = scale
        self._registration = registration
        self._take_over = take_over
        self._silences = silences

    async def watch_webhooks(self, event: WatchWebhooks, job: Job) -> None:
        """Put a look at the webhook of every linked project."""

        def put(conn: Connection) -> None:
            linked = dict.fromkeys(link.project for link in links_of(conn, None))
            new = [NewJob(WatchWebhook(project_id=project)) for project in linked]
            put_in(conn, new, self._store.now(conn))

        await self._store.write(put)

    async def watch_webhook(self, event: WatchWebhook, job: Job) -> None:
        """Look how a webhook is, and do what that calls for."""
        project = ProjectId(event.project_id)
        if not await self._store.read(lambda conn: links_of(conn, project)):
            return
        ours, callback = await self._hooks.stored(project), self._hooks.callback_url(project)
        if ours is None and callback is None:
            return  # made by nobody: linking has said so
        theirs = await self._social.webhook(project)
        found = judge(ours, theirs, callback)
        match found:
            case Found.FINE:
                assert ours is not None
                await self._hooks.note_examined(project, ours, theirs)
                await self._fine(project)
                await self._silences.prove(project, ours, theirs)
            case Found.RENEWED:
                assert theirs is not None
                await self._hooks.remember(project, theirs.secret, callback, theirs.status)
                await self._store.write(lambda conn: sweep(conn, self._store.now(conn), project))
                log.info("webhook.secret_renewed", extra={"project": project})
            case Found.ELSEWHERE:
                await self._take_over.report(project, theirs, may_take=callback is not None)
            case Found.OFF | Found.GONE | Found.UNFINISHED:
                if callback is None:
                    await self._by_hand(project, found, theirs)
                    return
                await self._leave_time(ours, job)
                await self._set_right(project, found, theirs)
            case _:
                assert_never(found)

    # --- what was off --------------------------------------------------------------------------------

    async def _leave_time(self, ours: StoredWebhook | None, job: Job) -> None:
        """Let a set-up that may be under way come to its end first."""
        if ours is not None and ours.state not in (WebhookState.BEING_MADE, WebhookState.UNFINISHED):
            return
        left = job.created_at + scaled(SET_UP_TAKES, self._scale) - await self._store.read(self._store.now)
        if left > timedelta(0):
            raise Snooze("set_up_may_be_under_way", delay=left * self._scale)

    async def _set_right(self, project: ProjectId, found: Found, theirs: Webhook | None) -> None:
        """Have the webhook call us again, and say so; or say, once, that it could not be done."""
        await self._store.write(
            lambda conn: standing.begin(
                conn, self._store.now(conn), standing.alert_places(conn, project), project, Trouble.OFF
            )
        )
        steps = Steps()
        try:
            if found is Found.OFF and theirs is not None and theirs.callback_url is None:
                await self._registration.switch_on(project, steps)  # it may point where it will
            else:
                await self._registration.renew(project, steps)
        except (Snooze, TargetDown, StoreUnavailable):
            raise
        except BridgeError as error:
            steps.problem(error.user_message)
        if steps.is_incomplete:
            await self._say_off(project, f"{_OFF[found]}, and I could not mend that. {steps.said[-1]}")
        else:
            await self._mended(project, found)

    async def _by_hand(self, project: ProjectId, found: Found, theirs: Webhook | None) -> None:
        """Without an address of our own nothing is changed in Jollor: its webhook was made by a person."""
        status = None if theirs is None else theirs.status
        await self._hooks.note(project, state=WebhookState.MISSING if theirs is None else status)
        step = "Switch it on in Jollor's dashboard."
        if found is Found.GONE:
            step = (
                "Make one in Jollor's dashboard and give its secret to "
                "`jollor-slack link PROJECT CHANNEL --webhook-secret-stdin`."
            )
        await self._say_off(project, f"{_OFF[found]}: nothing comes in at once. {step}")

    async def _say_off(self, project: ProjectId, sentence: str) -> None:
        def say(conn: Connection) -> None:
            notice = self._notice(project, f"{webhook_of(conn, project)}: {sentence}")
            places = standing.alert_places(conn, project)
            standing.say(conn, self._store.now(conn), places, project, Trouble.OFF, notice)

        await self._store.write(say)

    async def _mended(self, project: ProjectId, found: Found) -> None:
        """Say what was off and is on again, and have caught up what was missed."""

        def say(conn: Connection) -> bool:
            now = self._store.now(conn)
            rows = standing.open_rows(conn, Trouble.OFF, project)
            sentence = (
                f"{webhook_of(conn, project)}: {_MENDED[found].format(at=clock_time(now, now))} {CAUGHT_UP}"
            )
            is_said = standing.end(conn, now, rows, self._notice(project, sentence))
            sweep(conn, now, project)
            return is_said

        come_back_unless(await self._store.write(say))
        await self._take_over.settled(project)

    async def _fine(self, project: ProjectId) -> None:
        """Close what stood while it was not: mended by a person, or by us before a crash."""
        if await self._store.read(lambda conn: standing.stands(conn, project, Trouble.OFF)):
            await self._mended(project, Found.FINE)
        await self._take_over.settled(project)

    def _notice(self, project: ProjectId, text: str) -> Notice:
        return Notice(text=text, buttons=(self._cards.button(project),))


_OFF = {
    Found.OFF: "Jollor has switched it off",
    Found.GONE: "Jollor has none any more",
    Found.UNFINISHED: "It is not set up to the end",
}
_MENDED = {
    Found.FINE: "It did not call the bridge; since {at} it does again.",
    Found.OFF: "Jollor had switched it off; I switched it on again at {at}.",
    Found.GONE: "Jollor had none any more; I made a new one at {at}.",
    Found.UNFINISHED: "It was not set up to the end; I finished that at {at}.",
}
