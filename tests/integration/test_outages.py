"""Jollor or Slack away: said once where it matters, closed in place, and nothing is given up meanwhile."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from sqlalchemy import Connection, insert, select

from bridge.content import Notice
from bridge.errors import TargetDown
from bridge.events import (
    ConversationChanged,
    MessageHinted,
    MessageMissing,
    PostChanged,
    WatchWebhook,
)
from bridge.ids import ProjectId, new_id
from bridge.links import remember_projects
from bridge.model import Mark, Project
from bridge.ports import Outgoing
from bridge.queries import Queries
from bridge.relay import standing
from bridge.relay.standing import Place, Trouble
from bridge.store import pauses
from bridge.store.engine import Store
from bridge.store.tables import deliveries, jobs, links
from tests.hooks_stage import ALARMS, ANNA, THEIRS, Watched
from tests.outbox import TestClock
from tests.relay_stage import BAKERY, ROBIN, TEAM

AWAY = TargetDown("jollor_down", target=f"project:{BAKERY}", user_message="Jollor is having trouble.")
SLACK_AWAY = TargetDown("slack_unreachable", target=f"team:{TEAM}", user_message="Slack cannot be reached.")
TEN_HOURS = timedelta(hours=10).total_seconds()


@pytest.fixture
async def stage(migrated_url: str) -> AsyncIterator[Watched]:
    clock = TestClock()
    async with Store(migrated_url, clock=clock) as store:
        stage = Watched(store, clock)
        await stage.set_up()
        yield stage


async def told_every_minute(stage: Watched, minutes: int) -> None:
    for _ in range(minutes):
        await stage.pass_(60)
        await stage.tell()


async def status(stage: Watched) -> dict[str, str]:
    answer = await Queries(stage.store, dashboard_url="https://jollor.example").status(TEAM)
    return {fact.label: fact.value for fact in answer.facts}


# --- said ---------------------------------------------------------------------------------------------


async def test_an_outage_is_said_once_and_closed_in_place(stage: Watched) -> None:
    root = await stage.thread("Hello?")
    stage.social.away = AWAY
    began = stage.clock()
    line = await stage.types("Good morning!", root)
    await stage.pass_(60)
    await stage.tell()
    assert stage.alarmed() == [], "a short one is nobody's business"
    assert stage.marks(line) == {Mark.WAITING}
    await told_every_minute(stage, 10)
    assert stage.alarmed() == [
        f"Nothing gets through between Slack and Jollor for Harbour Bakery since {began:%H:%M} UTC: Jollor "
        "is having trouble. Replies wait and go out by themselves; what customers write meanwhile is "
        "caught up."
    ]
    [(label, words)] = [(k, v) for k, v in (await status(stage)).items() if k.startswith("Paused")]
    assert label == f"Paused since {began:%Y-%m-%d %H:%M} UTC: Jollor for Harbour Bakery"
    assert words.startswith("Jollor is having trouble. Nothing is lost: what waits is tried again at 12:")
    stage.social.away = None
    await told_every_minute(stage, 2)
    (said,) = stage.alarmed()
    assert said.startswith(f"Jollor is back: it was away from {began:%H:%M} UTC to 12:")
    assert stage.marks(line) == {Mark.ACCEPTED}
    assert stage.robin.received == ["Good morning!"]
    # the next one is another one
    stage.social.away = AWAY
    await stage.types("Still there?", root)
    await told_every_minute(stage, 5)
    assert len(stage.alarmed()) == 2


async def test_one_notice_in_a_channel_names_all_projects_that_are_away(stage: Watched) -> None:
    for number in range(6):
        stage.social.add_project(Project(ProjectId(f"p{number}"), f"Shop {number}"))
    known = await stage.social.projects()
    await stage.store.write(lambda conn: remember_projects(conn, stage.clock(), known))
    for project in known[1:]:
        stage.clock.pass_(1)
        row = {"team": TEAM, "project_id": project.id, "channel_id": ALARMS, "kind": "alert"}
        await stage._execute(insert(links).values(id=new_id(), linked_at=stage.clock(), **row))

    def pause(conn: Connection) -> None:
        for project in known:
            pauses.pause(conn, f"project:{project.id}", AWAY.user_message, stage.clock(), 1.0)

    def resume(conn: Connection) -> None:
        for project in known[1:]:
            pauses.resume(conn, f"project:{project.id}")

    await stage.store.write(pause)
    await told_every_minute(stage, 3)
    (said,) = stage.alarmed()
    assert "for Harbour Bakery, Shop 0, Shop 1, Shop 2, Shop 3 and 2 more since 12:00 UTC" in said
    await stage.store.write(resume)
    await told_every_minute(stage, 1)
    (said,) = stage.alarmed()
    assert "for Harbour Bakery since 12:00 UTC" in said


async def test_a_sign_in_that_is_refused_says_what_to_check(stage: Watched) -> None:
    root = await stage.thread("Hello?")
    stage.social.away = TargetDown(
        "jollor_sign_in",
        target=f"project:{BAKERY}",
        user_message="Jollor does not let us in: Jollor refused the sign-in; check JOLLOR_USERNAME.",
    )
    await stage.types("Good morning!", root)
    await told_every_minute(stage, 5)
    (said,) = stage.alarmed()
    assert "Jollor refused the sign-in; check JOLLOR_USERNAME. Replies wait" in said
    assert "check JOLLOR_USERNAME" in " ".join((await status(stage)).values())


async def test_what_could_not_be_said_while_it_lasted_is_not_said_afterwards(stage: Watched) -> None:
    root = await stage.thread("Hello?")
    stage.social.away, stage.chat.away = AWAY, SLACK_AWAY
    await stage.types("Good morning!", root)
    await told_every_minute(stage, 10)
    stage.social.away = None
    await told_every_minute(stage, 3)
    stage.chat.away = None
    await told_every_minute(stage, 3)
    assert stage.alarmed() == []
    assert stage.robin.received == ["Good morning!"]


async def test_a_notice_is_said_anew_at_its_end_if_it_cannot_be_redrawn_any_more(stage: Watched) -> None:
    root = await stage.thread("Hello?")
    stage.social.away = AWAY
    await stage.types("Good morning!", root)
    await told_every_minute(stage, 5)
    await stage._execute(deliveries.delete().where(deliveries.c.kind == "alert"))  # as the clean-up does
    stage.social.away = None
    await told_every_minute(stage, 2)
    assert ["Jollor is back" in text for text in stage.alarmed()] == [False, True]


async def test_a_notice_that_is_just_being_posted_is_closed_later(stage: Watched) -> None:
    off, on = Notice(text="Off."), Notice(text="On again.")

    def say(conn: Connection) -> None:
        standing.say(conn, stage.clock(), [Place(TEAM, ALARMS)], BAKERY, Trouble.OFF, off)

    def close(conn: Connection) -> bool:
        return standing.end(conn, stage.clock(), standing.open_rows(conn, Trouble.OFF, BAKERY), on)

    await stage.store.write(say)
    [held] = await stage.deliveries.claim("another", limit=1, lease=timedelta(seconds=15))
    assert not await stage.store.write(close)
    posted = await stage.chat.post(Outgoing(held.id, held.kind, held.team, held.channel, None, off))
    await stage.deliveries.done(held, posted.ts)
    assert await stage.store.write(close)
    await stage.settle(within_s=10)
    assert stage.alarmed() == ["On again."]


# --- nothing is given up -----------------------------------------------------------------------------


async def given_up(stage: Watched) -> list[str]:
    dead = await stage.store.read(
        lambda conn: list(conn.execute(select(jobs.c.kind).where(jobs.c.state == "discarded")).scalars())
    )
    refused = await stage.store.read(
        lambda conn: list(
            conn.execute(select(deliveries.c.kind).where(deliveries.c.state == "refused")).scalars()
        )
    )
    return dead + refused


async def ten_hours(stage: Watched) -> None:
    """Every probe of the first and the last five minutes, and none of those between."""
    await stage.pass_(300)
    stage.clock.pass_(TEN_HOURS - 600)
    await stage.pass_(300)


async def tries(stage: Watched) -> set[int]:
    """How many tries were consumed of all that waits."""
    waiting = select(jobs.c.attempt).where(jobs.c.state == "available")
    owed = select(deliveries.c.attempt).where(deliveries.c.state.in_(("ready", "uncertain")))
    return await stage.store.read(
        lambda conn: {*conn.execute(waiting).scalars(), *conn.execute(owed).scalars()}
    )


async def test_ten_hours_without_jollor_consume_no_tries_of_any_job(stage: Watched) -> None:
    root = await stage.thread("Hello?")
    stage.social.set_webhook(BAKERY, THEIRS)
    await stage.watch()
    missing = stage.social.customer_writes(BAKERY, ROBIN, "Anybody?")
    stage.social.away = AWAY
    line = await stage.types("Good morning!", root)
    for event in (
        ConversationChanged(project_id=BAKERY, conversation_id=ROBIN, message_id=missing.id),
        MessageHinted(project_id=BAKERY, message_id=missing.id),
        MessageMissing(project_id=BAKERY, conversation_id=ROBIN, message_id=missing.id),
        PostChanged(project_id=BAKERY, post_id="p1", what="received"),
        WatchWebhook(project_id=BAKERY),
    ):
        await stage.jobs.put(event)
    await stage.presses_take_over()
    await ten_hours(stage)
    assert await given_up(stage) == []
    assert await tries(stage) == {0}
    waiting = await stage.jobs.listed(["available"])
    assert {job.kind for job in waiting} >= {
        "conversation_changed",
        "message_hinted",
        "message_missing",
        "post_changed",
        "watch_webhook",
        "take_over_webhook",
        "send_reply",
    }
    stage.social.away = None
    await stage.settle(within_s=600)
    assert stage.robin.received == ["Good morning!"]
    assert stage.marks(line) == {Mark.ACCEPTED}
    assert await stage.jobs_of("take_over_webhook") == ["completed"]
    assert [kind for kind in await given_up(stage) if kind != "post_changed"] == []


async def test_ten_hours_without_slack_consume_no_tries_of_any_delivery(stage: Watched) -> None:
    root = await stage.thread("Hello?")
    stage.chat.away = SLACK_AWAY
    line = await stage.types("Good morning!", root)
    await stage.customer_writes("Anybody?")
    stage.social.set_webhook(BAKERY, THEIRS)
    await stage.jobs.put(WatchWebhook(project_id=BAKERY))
    await ten_hours(stage)
    assert await given_up(stage) == []
    assert await tries(stage) == {0}
    stage.chat.away = None
    await stage.settle(within_s=600)
    assert await given_up(stage) == []
    assert stage.robin.received == ["Good morning!"]
    assert stage.marks(line) == {Mark.ACCEPTED}
    assert [post.text for post in stage.chat.thread(root)][1:] != []
    assert len(stage.alarmed()) == 1


async def test_a_press_waits_for_slack_without_consuming_tries(stage: Watched) -> None:
    stage.social.set_webhook(BAKERY, THEIRS)
    await stage.watch()
    stage.chat.away = SLACK_AWAY  # who presses, and may they? only Slack can say
    await stage.presses_take_over(ANNA)
    await ten_hours(stage)
    assert await tries(stage) == {0}
    assert await stage.jobs_of("button_pressed") == ["available", "available"]
    stage.chat.away = None
    await stage.settle(within_s=600)
    assert await stage.jobs_of("take_over_webhook") == ["completed"]
