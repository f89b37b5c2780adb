"""A stored envelope is read with the names that it needs, from the fake chat as from the real one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from bridge.errors import PermanentError, Snooze, TargetDown
from bridge.events import LineTyped, SlackEventReceived
from slack_app.mrkdwn import Mentions
from slack_app.reading import read_event, resolve
from tests.slack_stage import FakeStage, Stage, now, slack_stage


@pytest.fixture(params=["fake", "slack"])
async def stage(request: pytest.FixtureRequest) -> AsyncIterator[Stage]:
    if request.param == "fake":
        yield FakeStage()
        return
    async with slack_stage() as real:
        yield real


def received(stage: Stage, text: str, **more: object) -> SlackEventReceived:
    event = {
        "type": "message",
        "channel": stage.support,
        "user": stage.anna,
        "team": stage.team,
        "ts": "1700000001.000100",
        "text": text,
        **more,
    }
    body = {"authorizations": [{"team_id": stage.team, "user_id": "UBOT", "is_bot": True}], "event": event}
    return SlackEventReceived(body=body, received_at=now())


async def test_a_line_is_read_with_the_names_of_people_and_channels(stage: Stage) -> None:
    line = await read_event(stage.chat, received(stage, f"<@{stage.anna}> see <#{stage.support}>"))
    assert isinstance(line, LineTyped)
    assert (line.text, line.mentions_people) == ("@Anna see #support", True)


async def test_names_that_slack_does_not_tell_become_general_words(stage: Stage) -> None:
    line = await read_event(stage.chat, received(stage, "<@U0NOBODY> see <#C0NOWHERE>"))
    assert isinstance(line, LineTyped)
    assert line.text == "@someone see #channel"


async def test_what_is_no_event_is_nothing(stage: Stage) -> None:
    assert await read_event(stage.chat, SlackEventReceived(body={"type": "?"}, received_at=now())) is None


async def test_a_slack_that_is_away_lets_the_line_wait() -> None:
    stage = FakeStage()
    for error in (
        TargetDown("slack_timeout", target="team:T1"),
        Snooze("ratelimited", delay=timedelta(seconds=1)),
    ):
        stage.fake.fail_next(error, method="channel")
        with pytest.raises(type(error)):
            await read_event(stage.chat, received(stage, f"see <#{stage.support}>"))


async def test_a_question_that_is_refused_does_not_hold_the_line() -> None:
    stage = FakeStage()
    stage.fake.fail_next(PermanentError("missing_scope"), times=2)
    wanted = Mentions(users=frozenset({stage.anna}), channels=frozenset({stage.support}))
    assert await resolve(stage.chat, stage.team, wanted) == {}
