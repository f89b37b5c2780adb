"""Webhooks are watched: switched on again when off, reported when they call others, proved when silent."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from prometheus_client import REGISTRY
from sqlalchemy import select

from bridge.errors import PermanentError, TargetDown, UnconfirmedError
from bridge.events import PostChanged, WatchWebhooks
from bridge.ids import PostId
from bridge.model import Post
from bridge.store.engine import Store
from bridge.store.tables import webhook_tests
from bridge.webhooks import book, proving
from tests.fakes.social import When
from tests.hooks_stage import ANNA, BEN, HERE, OURS, THEIRS, Watched
from tests.outbox import TestClock
from tests.relay_stage import BAKERY

DOWN = TargetDown("jollor_down", target=f"project:{BAKERY}", user_message="Jollor is having trouble.")


@pytest.fixture
async def stage(migrated_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Watched]:
    monkeypatch.setattr(book, "NOTED_EVERY_S", 0.0)  # this clock moves without the processor's
    clock = TestClock()
    async with Store(migrated_url, clock=clock) as store:
        stage = Watched(store, clock)
        await stage.set_up()
        yield stage


@pytest.fixture
async def private(migrated_url: str) -> AsyncIterator[Watched]:
    """A bridge without BRIDGE_PUBLIC_URL: its webhook was made in the dashboard."""
    clock = TestClock()
    async with Store(migrated_url, clock=clock) as store:
        stage = Watched(store, clock, public_url=None)
        await stage.set_up(theirs=replace(OURS, callback_url=None))
        yield stage


def counted(outcome: str) -> float:
    return REGISTRY.get_sample_value("bridge_webhook_tests_total", {"outcome": outcome}) or 0.0


# --- off ---------------------------------------------------------------------------------------------


async def test_a_webhook_that_is_well_is_left_alone(stage: Watched) -> None:
    await stage.jobs.put(WatchWebhooks())
    await stage.settle()
    assert stage.social.calls == ["projects", "webhook"]
    assert stage.alarmed() == []


async def test_one_that_jollor_switched_off_is_switched_on_again_said_once_and_swept(stage: Watched) -> None:
    stage.change(status="disabled", subscriptions=frozenset({"post_received"}))
    for _ in range(3):
        await stage.watch()
    assert stage.social.webhook_of(BAKERY) == OURS
    assert stage.alarmed() == [
        "The webhook of Harbour Bakery: Jollor had switched it off; I switched it on again at 12:00 UTC. "
        "What came meanwhile is being caught up."
    ]
    assert stage.support() == [], "where alerts go, and nowhere else"
    assert stage.swept == 1


async def test_where_it_cannot_be_switched_on_that_is_said_once_and_closed_when_it_can(
    stage: Watched,
) -> None:
    stage.change(status="disabled")
    refused = PermanentError("jollor_rejected_400", user_message="Jollor refused it.")
    stage.social.fail_next(refused, method="point_webhook", times=2)
    for _ in range(2):
        await stage.watch()
    (said,) = stage.alarmed()
    assert said.startswith("The webhook of Harbour Bakery: Jollor has switched it off, and I could not mend")
    assert f"Jollor did not accept {HERE}" in said
    await stage.watch()
    assert ["it on again at 12:" in text for text in stage.alarmed()] == [True]


async def test_what_was_cut_off_half_way_is_finished_and_said(stage: Watched) -> None:
    stage.change(status="disabled", subscriptions=frozenset())
    stage.social.fail_next(DOWN, method="subscribe")
    await stage.watch(within_s=0)
    assert stage.alarmed() == []
    await stage.settle()
    assert stage.social.webhook_of(BAKERY) == OURS
    assert stage.alarmed() == [
        "The webhook of Harbour Bakery: It was not set up to the end; I finished that at 12:01 UTC. What "
        "came meanwhile is being caught up."
    ]


async def test_one_that_was_deleted_is_made_again(stage: Watched) -> None:
    stage.social.set_webhook(BAKERY, None)
    await stage.watch()
    made = stage.social.webhook_of(BAKERY)
    assert made is not None
    assert (made.callback_url, made.status) == (HERE, "active")
    (said,) = stage.alarmed()
    assert "Jollor had none any more; I made a new one at 12:00 UTC." in said
    stored = await stage.hooks.secret(BAKERY, fresh=True)
    assert stored is not None
    assert stored.secret == made.secret


async def test_a_new_secret_of_a_webhook_that_calls_us_is_remembered(stage: Watched) -> None:
    stage.change(secret="fresh")
    await stage.watch()
    stored = await stage.hooks.secret(BAKERY, fresh=True)
    assert stored is not None
    assert stored.secret == "fresh"
    assert stage.alarmed() == []
    assert stage.swept == 1


async def test_a_set_up_that_was_begun_is_left_a_minute_and_then_finished(stage: Watched) -> None:
    await stage.hooks.remember(BAKERY, "s3cret", HERE, "unfinished")
    stage.change(status="inactive", callback_url=None)
    await stage.watch(within_s=30)
    assert "point_webhook" not in stage.social.calls
    await stage.pass_(61)
    assert stage.social.webhook_of(BAKERY) == OURS
    (said,) = stage.alarmed()
    assert "It was not set up to the end; I finished that at 12:01 UTC." in said


async def test_while_jollor_is_away_the_watch_waits_and_gives_nothing_up(stage: Watched) -> None:
    stage.change(status="disabled")
    stage.social.fail_next(DOWN, method="enable_webhook")
    stage.social.away = DOWN
    for _ in range(6):
        await stage.watch(within_s=600)
    stage.social.away = None
    await stage.settle()
    assert set(await stage.jobs_of("watch_webhook")) == {"completed"}
    assert len(stage.alarmed()) == 1


async def test_without_an_address_of_our_own_it_is_only_reported(private: Watched) -> None:
    private.change(status="disabled")
    for _ in range(2):
        await private.watch()
    assert set(private.social.calls) == {"projects", "webhook"}
    (said,) = private.alarmed()
    assert "Jollor has switched it off: nothing comes in at once. Switch it on in Jollor's dashboard." in said
    private.change(status="active")
    await private.watch()
    assert "since 12:00 UTC it does again" in private.alarmed()[0]
    private.change(secret="another")
    await private.watch()
    assert "--webhook-secret-stdin" in private.alarmed()[-1]
    assert private.offered() == ["Open in Jollor"], "nothing can be taken over to nowhere"
    private.social.set_webhook(BAKERY, None)
    await private.watch()
    assert "Jollor has none any more" in private.alarmed()[-1]


# --- elsewhere ---------------------------------------------------------------------------------------


async def test_one_that_calls_somebody_else_is_reported_once_and_never_taken_by_itself(
    stage: Watched,
) -> None:
    stage.social.set_webhook(BAKERY, THEIRS)
    for _ in range(3):
        await stage.watch()
    assert stage.social.webhook_of(BAKERY) == THEIRS
    assert stage.alarmed() == [
        "The webhook of Harbour Bakery calls https://elsewhere.example/hook and not this bridge: messages "
        "come in late. Take it over only if nobody else needs it."
    ]
    assert stage.offered() == ["Take it over", "Open in Jollor"]


async def test_who_may_link_takes_it_over_once_however_often_they_press(stage: Watched) -> None:
    stage.social.set_webhook(BAKERY, THEIRS)
    await stage.watch()
    await stage.presses_take_over(ANNA)
    await stage.settle(within_s=60)
    assert stage.alarmed() == [
        f"<@{ANNA}> took the webhook of Harbour Bakery over at 12:00 UTC: it calls this bridge now. What "
        "came meanwhile is being caught up."
    ]
    taken = stage.social.webhook_of(BAKERY)
    assert taken is not None
    assert taken.callback_url == HERE
    assert await stage.jobs_of("take_over_webhook") == ["completed"]
    stage.social.set_webhook(BAKERY, THEIRS)  # … and somebody takes it back
    await stage.presses_take_over(ANNA)  # late: the notice that is pressed is closed
    await stage.settle(within_s=60)
    assert stage.social.webhook_of(BAKERY) == THEIRS


async def test_who_may_not_link_is_told_so_privately(stage: Watched) -> None:
    stage.social.set_webhook(BAKERY, THEIRS)
    await stage.watch()
    await stage.presses_take_over(BEN)
    await stage.settle(within_s=60)
    assert stage.social.webhook_of(BAKERY) == THEIRS
    assert "Take it over" in stage.offered()
    assert all("Only workspace admins" in answer.content.text for answer in stage.chat.answers)  # type: ignore[union-attr]
    assert len(stage.chat.answers) == 2


async def test_a_take_over_that_fails_is_offered_again(stage: Watched) -> None:
    stage.social.set_webhook(BAKERY, THEIRS)
    await stage.watch()
    refused = PermanentError("jollor_rejected_400", user_message="Jollor refused it.")
    stage.social.fail_next(refused, method="point_webhook")
    await stage.presses_take_over(ANNA)
    await stage.settle(within_s=60)
    (said,) = stage.alarmed()
    assert said.startswith(f"<@{ANNA}> tried to take it over, in vain: Jollor did not accept {HERE}")
    assert "Take it over" in stage.offered()
    await stage.presses_take_over(ANNA)
    await stage.settle(within_s=60)
    assert ["took the webhook" in text for text in stage.alarmed()] == [True]


async def test_a_take_over_waits_for_jollor_and_says_who_has_asked(stage: Watched) -> None:
    stage.social.set_webhook(BAKERY, THEIRS)
    await stage.watch()
    stage.social.away = DOWN
    await stage.presses_take_over(ANNA)
    await stage.pass_(3600)
    assert stage.alarmed() == [f"<@{ANNA}> has the webhook of Harbour Bakery taken over: that is being done."]
    stage.social.away = None
    await stage.settle()
    assert ["took the webhook" in text for text in stage.alarmed()] == [True]


async def test_one_that_was_given_back_by_hand_closes_the_report(stage: Watched) -> None:
    stage.social.set_webhook(BAKERY, THEIRS)
    await stage.watch()
    stage.social.set_webhook(BAKERY, OURS)
    await stage.watch()
    assert stage.alarmed() == [
        "The webhook of Harbour Bakery calls this bridge again. What came meanwhile is being caught up."
    ]
    assert stage.swept == 1


# --- silence -----------------------------------------------------------------------------------------


async def lively(stage: Watched) -> None:
    """Something happens every ten minutes, for two hours."""
    for _ in range(12):
        await stage.hears()
        await stage.is_quiet_for(minutes=10)


async def test_a_silence_that_is_usual_is_not_tested(stage: Watched) -> None:
    await lively(stage)
    await stage.is_quiet_for(minutes=49)
    await stage.watch()
    assert "send_test" not in stage.social.calls


async def test_a_longer_one_is_proved_by_a_test_that_is_counted_and_never_shown(stage: Watched) -> None:
    await lively(stage)
    shown, before = list(stage.chat.posts), counted("arrived")
    await stage.is_quiet_for(minutes=51)
    for _ in range(6):
        await stage.watch(within_s=300)
    assert stage.social.calls.count("send_test") == 1, "at most once an hour"
    assert counted("arrived") == before + 1
    assert stage.chat.posts == shown
    assert await stage.jobs_of("post_changed") == ["completed"]


async def test_a_project_that_is_often_quiet_for_long_is_tested_less(stage: Watched) -> None:
    for _ in range(20):
        await stage.hears()
        await stage.is_quiet_for(hours=2)
    await stage.is_quiet_for(hours=5)
    await stage.watch()
    assert "send_test" not in stage.social.calls
    await stage.is_quiet_for(hours=2)
    await stage.watch()
    assert stage.social.calls.count("send_test") == 1


async def test_tests_teach_nothing_about_what_is_usual(stage: Watched) -> None:
    await lively(stage)
    known = await stage.hooks.stored(BAKERY)
    for _ in range(10):
        await stage.is_quiet_for(hours=3)
        await stage.watch(within_s=300)
    after = await stage.hooks.stored(BAKERY)
    assert known is not None
    assert after is not None
    assert stage.social.calls.count("send_test") == 10
    assert after.usual_gap == known.usual_gap


async def test_a_test_that_stays_away_is_made_once_more_then_reported_and_closed_by_an_event(
    stage: Watched,
) -> None:
    await lively(stage)
    stage.social.test_arrives = None
    before = counted("lost")
    await stage.is_quiet_for(hours=1)
    await stage.watch(within_s=100)
    assert stage.social.calls.count("send_test") == 1
    assert stage.alarmed() == [], "one may have got lost"
    await stage.settle(within_s=300)
    assert stage.social.calls.count("send_test") == 2
    (said,) = stage.alarmed()
    assert said.startswith("The webhook of Harbour Bakery is silent since 13:50 UTC, and two test deliveries")
    assert "`jollor-slack doctor`" in said
    for _ in range(3):
        await stage.is_quiet_for(minutes=10)
        await stage.watch(within_s=300)
    assert stage.alarmed() == [said], "said once"
    assert stage.social.calls.count("send_test") == 2
    await stage.is_quiet_for(hours=1)
    await stage.watch(within_s=300)
    assert stage.social.calls.count("send_test") == 3, "once an hour from then on"
    assert counted("lost") == before + 3
    await stage.hears()
    await stage.watch()
    (closed,) = stage.alarmed()
    assert "is not silent any more since 16:" in closed


async def test_where_jollor_does_not_tell_whether_it_is_on_a_silent_one_is_switched_on_and_moved_nowhere(
    stage: Watched,
) -> None:
    stage.social.set_webhook(BAKERY, replace(OURS, callback_url=None, status=None, subscriptions=None))
    await lively(stage)
    await stage.watch()
    assert "enable_webhook" not in stage.social.calls
    await stage.is_quiet_for(hours=1)
    await stage.watch()
    assert stage.social.calls.count("enable_webhook") == 1
    assert "point_webhook" not in stage.social.calls
    assert stage.social.calls.count("send_test") == 1


async def test_a_test_that_jollor_refuses_or_may_have_made_gives_nothing_up(stage: Watched) -> None:
    await lively(stage)
    stage.social.fail_next(PermanentError("jollor_forbidden"), method="send_test")
    await stage.is_quiet_for(hours=1)
    await stage.watch(within_s=300)
    assert counted("refused") >= 1
    assert stage.alarmed() == []
    await stage.is_quiet_for(hours=1)
    stage.social.fail_next(UnconfirmedError("cut"), method="send_test", when=When.AFTER)
    await stage.watch(within_s=300)
    await stage.watch(within_s=300)
    assert set(await stage.jobs_of("watch_webhook")) == {"completed"}
    assert stage.alarmed() == []


# --- what a test names -------------------------------------------------------------------------------


async def test_of_each_test_one_object_that_cannot_be_read_is_let_go_and_any_further_one_is_told(
    stage: Watched,
) -> None:
    await lively(stage)
    await stage.is_quiet_for(hours=1)
    await stage.watch()
    assert stage.support() == []
    await stage.hears(PostChanged(project_id=BAKERY, post_id="gone", what="received"))
    await stage.settle(within_s=400)
    assert ["A post could not be read" in text for text in stage.support()] == [True]


async def test_an_object_of_another_type_is_no_tests_object(stage: Watched) -> None:
    stage.social.test_arrives = None
    await lively(stage)
    await stage.is_quiet_for(hours=1)
    await stage.watch(within_s=1)
    await stage.hears(PostChanged(project_id=BAKERY, post_id="gone", what="created"))
    await stage.settle(within_s=400)
    assert ["A post could not be read" in text for text in stage.support()] == [True]


async def test_a_sample_that_is_handled_twice_is_let_go_twice(stage: Watched) -> None:
    await lively(stage)
    await stage.is_quiet_for(hours=1)
    await stage.watch()
    query = select(webhook_tests.c.job_id).where(webhook_tests.c.job_id.is_not(None))
    job = await stage.store.read(lambda conn: conn.execute(query).scalar_one())
    again = await stage.store.write(
        lambda conn: proving.let_go(conn, BAKERY, "post_received", job, stage.clock())
    )
    assert again


async def test_a_test_that_names_a_post_which_is_shown_already_changes_nothing(stage: Watched) -> None:
    post = stage.social.add_post(BAKERY, Post(PostId("p1"), "facebook", True, "Mia", "Lovely!", "", None))
    await stage.hears(PostChanged(project_id=BAKERY, post_id=post.id, what="received"))
    await stage.settle(within_s=60)
    assert len(stage.chat.posts) == 1

    async def names_it(project: object, event_type: str) -> None:
        await stage.hears(PostChanged(project_id=BAKERY, post_id=post.id, what="received"))

    stage.social.test_arrives = names_it
    await stage.is_quiet_for(hours=13)
    await stage.watch(within_s=300)
    assert stage.social.calls.count("send_test") == 1
    assert len(stage.chat.posts) == 1
