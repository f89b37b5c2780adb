"""The running service watches its webhooks: one is switched off, one is taken away, one is silent."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandbox.jollor.model import ACTIVE
from tests.scenario.stage import eventually, open_stage, shown

pytestmark = pytest.mark.timeout(120)

SCALE = 1000.0
"""The watch looks twice a second, and an hour of silence takes four."""

DAYS_IN_SECONDS = 3000.0
"""Twelve hours, after which every silence is long, take fourteen seconds."""


async def test_a_webhook_is_switched_on_again_and_taken_over_by_nobody_but_a_person(
    tmp_path: Path, migrated_sqlite_url: str
) -> None:
    async with open_stage(tmp_path, migrated_sqlite_url, scale=SCALE) as stage:
        stage.jollor.switches.webhook_shows_all = True
        hook = stage.jollor.webhook(stage.bakery)
        assert hook is not None
        ours = hook.callback_url

        # Jollor has switched it off after a day of failures
        hook.status = "disabled"
        stage.writes("is anybody there?")  # nobody is told of this
        await eventually(
            lambda: stage.seen("Jollor had switched it off; I switched it on again at"),
            what="told that it is on again",
            evidence=stage.evidence,
        )
        assert hook.status == ACTIVE
        root = await stage.thread("is anybody there?")

        # somebody has it call them
        hook.callback_url = "https://elsewhere.example/hook"
        report = await eventually(
            lambda: next(iter(stage.seen("calls https://elsewhere.example/hook")), None),
            what="reported",
            evidence=stage.evidence,
        )
        looked = len(stage.wire.entries(operation="getWebhook"))
        await eventually(
            lambda: len(stage.wire.entries(operation="getWebhook")) > looked + 2,
            what="looked again",
            evidence=stage.evidence,
        )
        assert hook.callback_url != ours, "never by itself"
        assert len(stage.seen("elsewhere.example")) == 1, "said once"
        await stage.slack.press(stage.ben.id, stage.support.id, report.ts, "take_over_webhook")
        for _ in range(2):
            await stage.slack.press(stage.anna.id, stage.support.id, report.ts, "take_over_webhook")
        await eventually(
            lambda: (
                f"<@{stage.anna.id}> took the webhook" in shown(report) or "took the webhook" in report.text
            ),
            what="taken over",
            evidence=stage.evidence,
        )
        assert hook.callback_url == ours
        stage.writes("thank you")
        await stage.line(root, "thank you")


async def test_a_long_silence_is_proved_by_test_deliveries_that_nobody_sees(
    tmp_path: Path, migrated_postgres_url: str
) -> None:
    async with open_stage(tmp_path, migrated_postgres_url, scale=DAYS_IN_SECONDS) as stage:
        stage.writes("good morning")
        root = await stage.thread("good morning")
        await stage.slack.clock.sleep(5 * 60)
        stage.writes("and a good day")  # a minute or more apart: this tells what is usual
        await stage.line(root, "and a good day")
        await eventually(
            lambda: len(stage.wire.entries(operation="sendTestWebhook")) >= 2,
            what="a test delivery besides the link's",
            evidence=stage.evidence,
        )
        before = [shown(m) for m in stage.slack.messages(stage.support.id)]
        looked = len(stage.wire.entries(operation="getWebhook"))
        await eventually(
            lambda: len(stage.wire.entries(operation="getWebhook")) > looked + 3,
            what="looked again",
            evidence=stage.evidence,
        )
        assert [shown(m) for m in stage.slack.messages(stage.support.id)] == before
        assert not stage.seen("could not be shown")
        assert not stage.seen("silent")
