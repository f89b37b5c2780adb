"""Projects that are silent for longer than usual: proved by test deliveries, which nobody sees.

A test that arrives is counted and that is all. Two that do not arrive are reported, in one notice that is
closed when the webhook calls again. Nothing waits in a worker: the job comes back.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import assert_never

from sqlalchemy import Connection

from bridge.content import Notice
from bridge.errors import BridgeError, Snooze, StoreUnavailable, TargetDown
from bridge.ids import ProjectId
from bridge.model import Webhook
from bridge.relay import standing
from bridge.relay.cards import Cards
from bridge.relay.standing import CAUGHT_UP, Trouble, clock_time, come_back_unless, sweep, webhook_of
from bridge.store.engine import Store
from bridge.webhooks import Registration, Steps, proving
from bridge.webhooks.book import StoredWebhook
from bridge.webhooks.silence import ARRIVES_WITHIN, Next, Silence, after, scaled

log = logging.getLogger(__name__)


class Silences:
    """Proves them."""

    def __init__(self, store: Store, registration: Registration, cards: Cards, *, scale: float = 1.0) -> None:
        self._store = store
        self._registration = registration
        self._cards = cards
        self._scale = scale

    async def prove(self, project: ProjectId, ours: StoredWebhook, theirs: Webhook | None) -> None:
        """Where a project is silent for longer than usual have Jollor make a test delivery, and see to it.

        Raises `Snooze` while one may still arrive.
        """
        heard_at = ours.last_event_at or ours.created_at

        def look(conn: Connection) -> tuple[datetime, Next, Silence]:
            now = self._store.now(conn)
            proving.note_arrived(conn, project, heard_at)
            asked = proving.asked_since(conn, project, heard_at)
            silence = Silence(heard_at, ours.usual_gap, asked, proving.last_asked(conn, project))
            return now, after(silence, now, scale=self._scale), silence

        now, todo, silence = await self._store.write(look)
        match todo:
            case Next.NOTHING:
                await self._heard_again(project, heard_at)
            case Next.WAIT:
                raise self._when_it_should_be_there(now - silence.asked[-1])
            case Next.TEST:
                await self._test(project, knows_status=theirs is not None and theirs.status is not None)
            case Next.REPORT:
                await self._report(project, heard_at)
            case _:
                assert_never(todo)

    def _when_it_should_be_there(self, waited: timedelta) -> Snooze:
        # Waiting times are divided by the scale where they are counted; this one is real already.
        left = scaled(ARRIVES_WITHIN, self._scale) - waited
        return Snooze("test_awaited", delay=max(left, timedelta(0)) * self._scale)

    async def _test(self, project: ProjectId, *, knows_status: bool) -> None:
        try:
            if not knows_status:
                # Jollor does not say whether it is on. Switching it on moves it nowhere.
                await self._registration.switch_on(project, Steps())
            asked_at = await self._registration.ask_for_test(project)
        except (Snooze, TargetDown, StoreUnavailable):
            raise
        except BridgeError as error:
            # In doubt, or refused for this once: what arrives tells, and the next look comes soon.
            log.info("webhook.test_in_doubt", extra={"project": project, "reason": error.code})
            return
        log.info("webhook.tested", extra={"project": project})
        if asked_at is not None:
            raise self._when_it_should_be_there(timedelta(0))

    async def _report(self, project: ProjectId, heard_at: datetime) -> None:
        def say(conn: Connection) -> None:
            now = self._store.now(conn)
            proving.note_lost(conn, project, now)
            text = (
                f"{webhook_of(conn, project)} is silent since {clock_time(heard_at, now)}, and two test "
                "deliveries did not arrive here. Please have whoever runs the bridge look whether Jollor can "
                "reach it: `jollor-slack doctor`. Until then messages are fetched every few minutes."
            )
            notice = Notice(text=text, buttons=(self._cards.button(project),))
            places = standing.alert_places(conn, project)
            standing.say(conn, now, places, project, Trouble.SILENT, notice)

        await self._store.write(say)

    async def _heard_again(self, project: ProjectId, heard_at: datetime) -> None:
        def close(conn: Connection) -> bool:
            now = self._store.now(conn)
            rows = standing.open_rows(conn, Trouble.SILENT, project)
            since = clock_time(heard_at, now)
            text = f"{webhook_of(conn, project)} is not silent any more since {since}. {CAUGHT_UP}"
            sweep(conn, now, project)
            return standing.end(conn, now, rows, Notice(text=text))

        if await self._store.read(lambda conn: standing.stands(conn, project, Trouble.SILENT)):
            come_back_unless(await self._store.write(close))
