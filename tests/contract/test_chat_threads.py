"""Reading threads back: the fake chat and the real one against the simulated Slack tell the same."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from bridge.errors import Snooze, TargetDown
from bridge.ids import MessageTs, to_ts
from bridge.model import Mark, Reading
from bridge.ports import READS_LIMITED, ThreadNews
from sandbox.slack.pacing import Limit
from sandbox.slack.people import Upload
from tests.slack_stage import FakeStage, SlackStage, Stage, now, outgoing, slack_stage

LONG_AGO = MessageTs("1000000000.000000")


@pytest.fixture(params=["fake", "slack"])
async def stage(request: pytest.FixtureRequest) -> AsyncIterator[Stage]:
    if request.param == "fake":
        yield FakeStage()
        return
    async with slack_stage() as real:
        yield real


@pytest.fixture
async def real() -> AsyncIterator[SlackStage]:
    async with slack_stage() as stage:
        yield stage


async def a_root(stage: Stage) -> MessageTs:
    return (await stage.chat.post(outgoing(stage, id="root"))).ts


async def texts(stage: Stage, root: MessageTs, since: MessageTs = LONG_AGO) -> list[str]:
    page = await stage.chat.lines(stage.team, stage.support, root, since=since)
    assert page is not None
    return [line.text for line in page.lines]


async def test_a_thread_gives_what_people_typed_in_it_and_nothing_of_ours(stage: Stage) -> None:
    root = await a_root(stage)
    first = stage.says("Yes.", root)
    ours = await stage.chat.post(outgoing(stage, id="d2", thread_ts=root))
    last = stage.says("No, wait.", root)
    page = await stage.chat.lines(stage.team, stage.support, root, since=LONG_AGO)
    assert page is not None
    assert [line.text for line in page.lines] == ["Yes.", "No, wait."]
    assert page.present == {first, ours.ts, last}
    line = page.lines[0]
    assert (line.team_id, line.channel_id, line.ts) == (stage.team, stage.support, first)
    assert (line.thread_ts, line.user_id, line.edited_ts) == (root, stage.anna, None)
    assert (line.is_found, line.has_files, line.mentions_people, line.is_outsider) == (True,) + (False,) * 3
    assert abs(line.received_at - now()) < timedelta(minutes=1)
    assert (page.read_to, page.reading) == (None, None)


async def test_only_what_is_newer_than_asked_for_comes(stage: Stage) -> None:
    root = await a_root(stage)
    known = stage.says("known", root)
    stage.says("new", root)
    assert await texts(stage, root, known) == ["new"]
    assert await texts(stage, root, to_ts(now() + timedelta(minutes=1))) == []


async def test_an_edited_line_shows_its_last_text_and_a_deleted_one_is_not_there(stage: Stage) -> None:
    root = await a_root(stage)
    edited, deleted = stage.says("Nein.", root), stage.says("Oops.", root)
    stage.edits(edited, "Yes.")
    stage.remove(deleted)
    page = await stage.chat.lines(stage.team, stage.support, root, since=LONG_AGO)
    assert page is not None
    (line,) = page.lines
    assert line.text == "Yes."
    assert line.edited_ts is not None
    assert line.edited_ts > line.ts


async def test_a_line_that_is_read_tells_which_mark_of_ours_it_has(stage: Stage) -> None:
    root = await a_root(stage)
    line = stage.says("Yes.", root)
    stage.says("No.", root)
    await stage.chat.add_mark(stage.team, stage.support, line, Mark.ACCEPTED)
    page = await stage.chat.lines(stage.team, stage.support, root, since=LONG_AGO)
    assert page is not None
    assert [line.mark for line in page.lines] == [Mark.ACCEPTED, None]


async def test_a_thread_that_is_gone_is_told_from_an_empty_one(stage: Stage) -> None:
    root = await a_root(stage)
    assert await texts(stage, root) == []
    stage.remove(root)
    assert await stage.chat.lines(stage.team, stage.support, root, since=LONG_AGO) is None


async def test_a_channel_tells_the_newest_reply_of_each_thread(stage: Stage) -> None:
    quiet, old, new = [(await stage.chat.post(outgoing(stage, id=f"r{n}"))).ts for n in range(3)]
    stage.says("first", old)
    latest = {old: stage.says("second", old), new: stage.says("third", new)}
    seen = await stage.chat.threads(stage.team, stage.support)
    assert list(seen.threads) == [ThreadNews(root, latest[root]) for root in (new, old)]
    assert quiet not in {news.root for news in seen.threads}
    assert seen.back_to is None


async def test_an_install_that_may_read_little_gets_short_pages_and_shows_it(stage: Stage) -> None:
    root = await a_root(stage)
    sent = [stage.says(f"line {number}", root) for number in range(17)]
    stage.restrict_reads()
    page = await stage.chat.lines(stage.team, stage.support, root, since=LONG_AGO)
    assert page is not None
    assert [line.ts for line in page.lines] == sent[:15]
    assert (page.read_to, page.reading) == (sent[14], Reading.RESTRICTED)


async def test_a_channel_of_such_an_install_is_read_one_page_back(stage: Stage) -> None:
    roots = [(await stage.chat.post(outgoing(stage, id=f"r{n}"))).ts for n in range(17)]
    newest = stage.says("new", roots[-1])
    stage.says("beyond", roots[0])
    stage.restrict_reads()
    seen = await stage.chat.threads(stage.team, stage.support)
    assert list(seen.threads) == [ThreadNews(roots[-1], newest)]
    assert (seen.back_to, seen.reading) == (roots[2], Reading.RESTRICTED)


@pytest.mark.parametrize("what", ["threads", "lines"])
async def test_a_channel_that_the_bot_was_removed_from_cannot_be_read(stage: Stage, what: str) -> None:
    root = await a_root(stage)
    stage.kick(stage.support)
    with pytest.raises(TargetDown) as caught:
        if what == "threads":
            await stage.chat.threads(stage.team, stage.support)
        else:
            await stage.chat.lines(stage.team, stage.support, root, since=LONG_AGO)
    assert caught.value.target == f"channel:{stage.team}:{stage.support}"


# --- what only Slack's own answers can show ----------------------------------------------------------


async def test_a_line_that_is_read_is_the_line_that_its_event_told_of(real: SlackStage) -> None:
    root = await a_root(real)
    guest, stranger = real.add_guest("Gus"), real.add_outsider("Olga")
    other_app = real.slack.add_user("Robot", is_bot=True)
    for user in (guest, stranger, other_app.id):
        real.slack.people.join(user, real.support)
    real.says(f"<@{guest}> please & thank you", root)
    real.says("from a guest", root, by=guest)
    real.says("from elsewhere", root, by=stranger)
    real.slack.say(other_app.id, real.support, "from an app", thread_ts=root)
    real.slack.say(real.anna, real.support, "a picture", thread_ts=root, files=[Upload("a.png")])
    real.slack.people.say(real.anna, real.support, "for all", thread_ts=root, broadcast=True)
    page = await real.chat.lines(real.team, real.support, root, since=LONG_AGO)
    assert page is not None
    told = [(line.text, line.mentions_people, line.is_outsider, line.has_files) for line in page.lines]
    assert told == [
        ("@Gus please & thank you", True, False, False),
        ("from a guest", False, False, False),
        ("from elsewhere", False, True, False),
        ("a picture", False, False, True),
        ("for all", False, False, False),
    ]
    assert [line.is_broadcast for line in page.lines] == [False] * 4 + [True]
    assert all(line.client_msg_id and line.is_under_ours for line in page.lines)


async def test_a_reaction_of_a_person_is_no_mark_of_ours(real: SlackStage) -> None:
    root = await a_root(real)
    line = real.says("Yes.", root)
    real.slack.people.react(real.anna, real.support, line, Mark.ACCEPTED)
    page = await real.chat.lines(real.team, real.support, root, since=LONG_AGO)
    assert page is not None
    assert [line.mark for line in page.lines] == [None]


async def test_a_long_thread_shows_that_all_can_be_read(real: SlackStage) -> None:
    root = await a_root(real)
    for number in range(20):
        real.says(f"line {number}", root)
    page = await real.chat.lines(real.team, real.support, root, since=LONG_AGO)
    assert page is not None
    assert (len(page.lines), page.read_to, page.reading) == (20, None, Reading.FULL)


async def test_a_channel_is_read_page_by_page_and_not_for_ever(real: SlackStage) -> None:
    first = await a_root(real)
    real.says("in an old thread", first)
    for _ in range(30):
        real.line()
    real.slack.switches.short_pages = 20
    seen = await real.chat.threads(real.team, real.support)
    assert [news.root for news in seen.threads] == [first]
    real.slack.switches.short_pages = None
    for _ in range(1000):
        real.line()
    seen = await real.chat.threads(real.team, real.support)
    assert (seen.threads, seen.reading) == ((), Reading.FULL)
    assert seen.back_to is not None
    assert seen.back_to > first


@pytest.mark.parametrize("what", ["threads", "lines"])
async def test_a_second_read_within_the_minute_has_to_wait_for_it(real: SlackStage, what: str) -> None:
    root = await a_root(real)
    real.restrict_reads()

    async def read() -> object:
        if what == "threads":
            return await real.chat.threads(real.team, real.support)
        return await real.chat.lines(real.team, real.support, root, since=LONG_AGO)

    await read()
    with pytest.raises(Snooze, match=READS_LIMITED) as caught:
        await read()
    assert timedelta(seconds=30) < caught.value.delay <= timedelta(seconds=60)


async def test_pages_that_slack_refuses_leave_what_the_first_has_shown(real: SlackStage) -> None:
    for _ in range(20):
        real.line()
    root = await a_root(real)
    newest = real.says("new", root)
    real.slack.switches.short_pages = 18
    real.slack.limits.enabled = True
    real.slack.limits.tiers[3] = Limit(per_minute=1, burst=1)
    seen = await real.chat.threads(real.team, real.support)
    assert list(seen.threads) == [ThreadNews(root, newest)]
    assert seen.back_to is not None
