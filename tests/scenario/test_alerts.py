"""Alerts about a social profile that lost its connection, from Jollor's event to a person's word."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandbox.jollor.model import Project
from sandbox.slack import Channel, Limits, Message
from tests.scenario.stage import Stage, eventually, open_stage, shown

pytestmark = pytest.mark.timeout(120)

LOST = "lost its connection"


async def alerts_in(stage: Stage, channel: Channel, count: int, words: str = LOST) -> list[Message]:
    """Wait until a channel shows `count` alerts; return them, oldest first."""
    return await eventually(
        lambda: found if len(found := stage.seen(words, channel=channel)) == count else None,
        what=f"{count} alerts in #{channel.name}",
        evidence=stage.evidence,
    )


async def settled(stage: Stage) -> None:
    """Wait until Jollor has told everything."""
    await eventually(
        lambda: not stage.jollor.webhooks.under_way(), what="all delivered", evidence=stage.evidence
    )


@pytest.mark.postgres  # where several may be counted at the same time
async def test_an_alert_goes_where_alerts_go_counts_and_is_cleared_by_a_person(
    tmp_path: Path, migrated_postgres_url: str
) -> None:
    async with open_stage(tmp_path, migrated_postgres_url) as stage:
        slack, bakery = stage.slack, stage.bakery
        alarms = slack.add_channel("alarms", members=[stage.anna, stage.ben])
        direct = slack.add_channel("direct", members=[stage.anna])
        books: Project = stage.jollor.add_project("Books")
        await stage.link(books, direct, "--kind", "message")

        # where everything goes, as long as no channel is meant for alerts
        stage.jollor.expire_profile(bakery)
        (first,) = await alerts_in(stage, stage.support, 1)
        assert "A social profile of Harbour Bakery lost its connection" in first.text
        assert "Jollor does not say which profile it is" in first.text
        assert "<!date^" in first.text, "when, in the reader's own time"
        assert f"/projects/{bakery.id}" in str(first.blocks), "a button to the project's page"

        # it counts while it stands, however many come at the same time
        for _ in range(6):
            stage.jollor.expire_profile(bakery)
        await eventually(lambda: "reported 7 times" in first.text, what=first.text, evidence=stage.evidence)
        await alerts_in(stage, stage.support, 1)

        # a channel that takes nothing of the kind is better than none
        stage.jollor.expire_profile(books)
        (of_books,) = await alerts_in(stage, direct, 1)
        assert "Books" in of_books.text

        # a channel for alerts takes them from now on, and is alone with that
        await stage.link(bakery, alarms, "--kind", "alert")
        stage.jollor.expire_profile(bakery)
        (second,) = await alerts_in(stage, alarms, 1)
        await settled(stage)
        assert "reported 7 times" in first.text

        # cleared by a person; pressing twice, late, or on a copy does nothing twice
        for _ in range(2):
            await slack.press(stage.ben.id, alarms.id, second.ts, "mark_reconnected")
        await eventually(lambda: "was reconnected" in second.text, what="cleared", evidence=stage.evidence)
        assert f"Marked by <@{stage.ben.id}>" in second.text
        assert "mark_reconnected" not in str(second.blocks)
        assert LOST in first.text, "the other channel's stands on its own"

        # it happens again: a new alert
        stage.jollor.expire_profile(bakery)
        await alerts_in(stage, alarms, 1)
        assert "was reconnected" in second.text
        assert "Traceback" not in stage.service.said()


async def test_an_alert_is_reminded_of_daily_until_somebody_clears_it(
    tmp_path: Path, migrated_sqlite_url: str
) -> None:
    a_day_takes_s = 3.0
    async with open_stage(
        tmp_path,
        migrated_sqlite_url,
        limits=Limits(enabled=False),
        environment={"BRIDGE_TIME_SCALE": str(24 * 3600 / a_day_takes_s)},
    ) as stage:

        def days() -> int:
            """A clock that both ends share: recurring work asks Jollor every so often."""
            return len(stage.wire.entries(operation="listConversations"))

        stage.jollor.expire_profile(stage.bakery)
        (first,) = await alerts_in(stage, stage.support, 1)
        began = days()
        first_reminder, second_reminder = (await alerts_in(stage, stage.support, 3))[1:]
        two_days = days() - began
        for reminder in (first_reminder, second_reminder):
            assert "Still: a social profile of Harbour Bakery lost its connection" in shown(reminder)
        assert "Still" not in shown(first)

        # cleared at a reminder: all that was said is taken back, and nobody is reminded any more
        await stage.slack.press(stage.anna.id, stage.support.id, second_reminder.ts, "mark_reconnected")
        await eventually(
            lambda: all("was reconnected" in m.text for m in (first, first_reminder, second_reminder)),
            what="all taken back",
            evidence=stage.evidence,
        )
        said = len(stage.slack.messages(stage.support.id))
        began = days()
        await eventually(
            lambda: days() - began >= two_days, what="two more days", within_s=30, evidence=stage.evidence
        )
        assert len(stage.slack.messages(stage.support.id)) == said
