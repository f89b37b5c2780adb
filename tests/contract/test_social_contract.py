"""What every `Social` must do: the fake of the tests and the real adapter against the simulated Jollor."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from bridge.errors import PermanentError, Snooze, TargetDown, UnconfirmedError
from bridge.ids import ConversationId, MessageId, PostId, ProjectId
from bridge.model import ReplyRules
from tests.social_stage import FakeStage, Stage, real_stage

AT = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@pytest.fixture(params=["fake", "jollor"])
async def stage(request: pytest.FixtureRequest) -> AsyncIterator[Stage]:
    if request.param == "fake":
        yield FakeStage()
        return
    async with real_stage() as real:
        yield real


async def reply(stage: Stage, conversation: ConversationId, text: str, *, provider: str = "zalo") -> None:
    await stage.social.reply(stage.project, conversation, provider, text, timeout_s=2.0)


async def test_the_projects_of_the_account_are_listed_with_their_names(stage: Stage) -> None:
    assert [(one.id, one.name) for one in await stage.social.projects()] == [
        (stage.project, "Harbour Bakery")
    ]


async def test_conversations_come_with_the_most_recently_active_first(stage: Stage) -> None:
    ann, _ = stage.writes("Ann", "first", at=AT)
    ben, _ = stage.writes("Ben", "second", at=AT + MINUTE)
    stage.writes("Ann", "third", at=AT + 2 * MINUTE)
    listed = await stage.social.conversations(stage.project)
    assert [(one.id, one.provider, one.last_message_at) for one in listed] == [
        (ann, "zalo", AT + 2 * MINUTE),
        (ben, "zalo", AT + MINUTE),
    ]


async def test_messages_come_oldest_first_and_tell_whose_they_are(stage: Stage) -> None:
    ann, first = stage.writes("Ann", "Hello?", at=AT)
    stage.answers_elsewhere(ann, "Yes?")
    listed = await stage.social.messages(stage.project, ann)
    assert [(m.text, m.is_incoming, m.customer) for m in listed.messages] == [
        ("Hello?", True, "Ann"),
        ("Yes?", False, "Ann"),
    ]
    assert (listed.messages[0].id, listed.messages[0].sent_at) == (first, AT)
    assert not listed.is_cut


async def test_a_list_that_ends_before_the_last_message_is_known_to_be_cut(stage: Stage) -> None:
    ann, _ = stage.writes("Ann", "Hello?", at=AT)
    assert (await stage.social.messages(stage.project, ann, last_message_at=AT + MINUTE)).is_cut


async def test_one_message_is_read_by_its_id_and_an_unknown_one_is_nobodys(stage: Stage) -> None:
    _, first = stage.writes("Ann", "Hello?", at=AT)
    message = await stage.social.message(stage.project, first)
    assert (message.text, message.sender, message.provider) == ("Hello?", "Ann", "zalo")
    with pytest.raises(PermanentError):
        await stage.social.message(stage.project, MessageId("f" * 24))


async def test_the_rules_of_replying_are_read(stage: Stage) -> None:
    ann, first = stage.writes("Ann", "Hello?", at=AT)
    stage.set_rules(ann, ReplyRules(is_allowed=False, max_length=300))
    assert await stage.social.reply_rules(stage.project, first) == ReplyRules(False, 300)


async def test_a_reply_reaches_the_customer_and_is_listed_as_ours(stage: Stage) -> None:
    ann, _ = stage.writes("Ann", "Hello?", at=AT)
    await reply(stage, ann, "Yes, we are open.")
    assert stage.received(ann) == ["Yes, we are open."]
    newest = (await stage.social.messages(stage.project, ann)).messages[-1]
    assert (newest.text, newest.is_incoming) == ("Yes, we are open.", False)


async def test_a_reply_under_another_network_or_to_nobody_is_refused(stage: Stage) -> None:
    ann, _ = stage.writes("Ann", "Hello?", at=AT)
    with pytest.raises(PermanentError):
        await reply(stage, ann, "hi", provider="facebook")
    with pytest.raises(PermanentError):
        await reply(stage, ConversationId("no/such+one="), "hi")
    assert stage.received(ann) == []


@pytest.mark.parametrize("rules", [ReplyRules(True, 2), ReplyRules(False, 100)])
async def test_what_jollor_does_not_take_is_refused(stage: Stage, rules: ReplyRules) -> None:
    ann, _ = stage.writes("Ann", "Hello?", at=AT)
    stage.set_rules(ann, rules)
    with pytest.raises(PermanentError):
        await reply(stage, ann, "too long")
    assert stage.received(ann) == []


@pytest.mark.parametrize("took_effect", [True, False])
async def test_a_lost_answer_leaves_the_outcome_open(stage: Stage, took_effect: bool) -> None:
    ann, _ = stage.writes("Ann", "Hello?", at=AT)
    stage.lose_next_reply(took_effect=took_effect)
    with pytest.raises(UnconfirmedError):
        await reply(stage, ann, "hi")
    assert stage.received(ann) == ["hi"] * took_effect
    await reply(stage, ann, "again")
    assert stage.received(ann)[-1] == "again"


async def test_a_rate_limit_says_how_long_and_nothing_was_sent(stage: Stage) -> None:
    ann, _ = stage.writes("Ann", "Hello?", at=AT)
    stage.limit_next_reply(7)
    with pytest.raises(Snooze) as limited:
        await reply(stage, ann, "hi")
    assert limited.value.delay == timedelta(seconds=7)
    assert stage.received(ann) == []


async def test_a_jollor_that_cannot_be_reached_pauses_the_project(stage: Stage) -> None:
    ann, _ = stage.writes("Ann", "Hello?", at=AT)
    await stage.go_away()
    for call in (reply(stage, ann, "hi"), stage.social.messages(stage.project, ann)):
        with pytest.raises(TargetDown) as away:
            await call
        assert away.value.target == f"project:{stage.project}"
    assert stage.received(ann) == []


async def test_posts_are_listed_and_read_and_an_unknown_one_is_nobodys(stage: Stage) -> None:
    post = stage.comment("Lovely bread!")
    assert list(await stage.social.incoming_posts(stage.project)) == [post]
    read = await stage.social.post(stage.project, post)
    assert (read.id, read.provider, read.is_incoming) == (post, "zalo", True)
    with pytest.raises(PermanentError):
        await stage.social.post(stage.project, PostId("f" * 24))


async def test_a_webhook_is_made_pointed_and_subscribed(stage: Stage) -> None:
    social, project = stage.social, stage.project
    assert await social.webhook(project) is None
    made = await social.enable_webhook(project)
    assert made.secret
    assert (await social.enable_webhook(project)).secret == made.secret
    pointed = await social.point_webhook(project, stage.callback_url())
    assert (pointed.secret, pointed.callback_url, pointed.is_active) == (
        made.secret,
        stage.callback_url(),
        True,
    )
    await social.subscribe(project, "message_received")
    await social.send_test(project, "message_received")
    again = await social.webhook(project)
    assert again is not None
    assert again.secret == made.secret


async def test_a_project_without_a_webhook_has_none_to_point(stage: Stage) -> None:
    with pytest.raises(PermanentError):
        await stage.social.point_webhook(stage.project, stage.callback_url())


async def test_another_accounts_project_is_not_ours_to_read(stage: Stage) -> None:
    with pytest.raises((PermanentError, TargetDown)):
        await stage.social.conversations(ProjectId("e" * 24))
