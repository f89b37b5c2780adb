"""What every `Chat` must do: the fake of the tests and the real adapter against the simulated Slack."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest

from bridge.content import Notice
from bridge.errors import PermanentError, TargetDown, UnconfirmedError
from bridge.ids import ChannelId, MessageTs, UserId
from bridge.model import Mark
from tests.slack_stage import FakeStage, Stage, now, outgoing, slack_stage


@pytest.fixture(params=["fake", "slack"])
async def stage(request: pytest.FixtureRequest) -> AsyncIterator[Stage]:
    if request.param == "fake":
        yield FakeStage()
        return
    async with slack_stage() as real:
        yield real


async def test_a_post_without_a_thread_is_a_root_and_its_replies_hang_below_it(stage: Stage) -> None:
    root = await stage.chat.post(outgoing(stage, id="root"))
    reply = await stage.chat.post(outgoing(stage, id="reply", thread_ts=root.ts))
    assert root.thread_ts is None
    assert reply.thread_ts == root.ts
    assert stage.posted() == [(root.ts, None), (reply.ts, root.ts)]


async def test_a_reply_that_also_goes_to_the_channel_is_still_in_its_thread(stage: Stage) -> None:
    root = await stage.chat.post(outgoing(stage))
    reply = await stage.chat.post(outgoing(stage, id="d2", thread_ts=root.ts, also_to_channel=True))
    assert reply.thread_ts == root.ts


async def test_a_reply_to_a_deleted_root_says_that_it_stands_alone(stage: Stage) -> None:
    root = await stage.chat.post(outgoing(stage))
    stage.remove(root.ts)
    stray = await stage.chat.post(outgoing(stage, id="d2", thread_ts=root.ts))
    assert stray.thread_ts is None


async def test_a_lost_answer_is_in_doubt_and_the_post_can_be_found_again(stage: Stage) -> None:
    started = now()
    stage.lose_next_answer()
    with pytest.raises(UnconfirmedError):
        await stage.chat.post(outgoing(stage))
    found = await stage.chat.find(outgoing(stage), since=started)
    assert found is not None
    assert stage.posted() == [(found.ts, None)]


async def test_a_reply_is_found_in_its_thread(stage: Stage) -> None:
    root = await stage.chat.post(outgoing(stage, id="root"))
    reply = outgoing(stage, id="reply", thread_ts=root.ts)
    stage.lose_next_answer()
    with pytest.raises(UnconfirmedError):
        await stage.chat.post(reply)
    found = await stage.chat.find(reply, since=now())
    assert found is not None
    assert found.thread_ts == root.ts


async def test_a_stray_reply_is_found_in_the_channel_after_its_root_is_gone(stage: Stage) -> None:
    root = await stage.chat.post(outgoing(stage, id="root"))
    stage.remove(root.ts)
    stray = await stage.chat.post(outgoing(stage, id="stray", thread_ts=root.ts))
    found = await stage.chat.find(outgoing(stage, id="stray", thread_ts=root.ts), since=now())
    assert found == stray


@pytest.mark.parametrize("in_thread", [False, True])
async def test_what_was_never_posted_is_not_found(stage: Stage, in_thread: bool) -> None:
    root = await stage.chat.post(outgoing(stage, id="root"))
    wanted = outgoing(stage, id="other", thread_ts=root.ts if in_thread else None)
    assert await stage.chat.find(wanted, since=now() - timedelta(minutes=1)) is None


async def test_an_update_changes_our_message_and_one_that_is_gone_is_refused(stage: Stage) -> None:
    first = outgoing(stage, "before")
    posted = await stage.chat.post(first)
    after = replace(first, content=Notice(text="after"))
    await stage.chat.update(stage.team, stage.support, posted.ts, after)
    assert stage.posted() == [(posted.ts, None)]
    stage.remove(posted.ts)
    with pytest.raises(PermanentError, match="message_not_found"):
        await stage.chat.update(stage.team, stage.support, posted.ts, after)


async def test_deleting_twice_is_fine(stage: Stage) -> None:
    posted = await stage.chat.post(outgoing(stage))
    for _ in range(2):
        await stage.chat.delete(stage.team, stage.support, posted.ts)
    assert stage.posted() == []


async def test_marking_twice_and_unmarking_twice_is_fine(stage: Stage) -> None:
    line = stage.line()
    for _ in range(2):
        await stage.chat.add_mark(stage.team, stage.support, line, Mark.WAITING)
    assert stage.marks(line) == {"hourglass_flowing_sand"}
    for _ in range(2):
        await stage.chat.remove_mark(stage.team, stage.support, line, Mark.WAITING)
    assert stage.marks(line) == set()


async def test_marking_a_deleted_line_is_refused_and_unmarking_it_is_fine(stage: Stage) -> None:
    line = stage.line()
    stage.remove(line)
    with pytest.raises(PermanentError, match="message_not_found"):
        await stage.chat.add_mark(stage.team, stage.support, line, Mark.ACCEPTED)
    await stage.chat.remove_mark(stage.team, stage.support, line, Mark.ACCEPTED)


async def test_an_archived_channel_is_down_not_the_post_at_fault(stage: Stage) -> None:
    stage.archive(stage.support)
    with pytest.raises(TargetDown) as caught:
        await stage.chat.post(outgoing(stage))
    assert caught.value.target == f"channel:{stage.team}:{stage.support}"
    assert caught.value.code == "is_archived"


async def test_an_unknown_channel_is_down(stage: Stage) -> None:
    nowhere = ChannelId("C0NOWHERE")
    with pytest.raises(TargetDown) as caught:
        await stage.chat.post(outgoing(stage, channel=nowhere))
    assert (caught.value.code, caught.value.target) == (
        "channel_not_found",
        f"channel:{stage.team}:{nowhere}",
    )
    with pytest.raises(TargetDown):
        await stage.chat.channel(stage.team, nowhere)


async def test_a_channel_that_the_bot_was_removed_from_is_down(stage: Stage) -> None:
    private = stage.add_channel("secret", is_private=True)
    stage.kick(private)
    with pytest.raises(TargetDown) as caught:
        await stage.chat.post(outgoing(stage, channel=private))
    assert caught.value.target == f"channel:{stage.team}:{private}"


async def test_people_are_known_with_their_standing(stage: Stage) -> None:
    anna = await stage.chat.person(stage.team, stage.anna)
    guest = await stage.chat.person(stage.team, stage.add_guest("Gus"))
    outsider = await stage.chat.person(stage.team, stage.add_outsider("Olga"))
    assert (anna.name, anna.is_admin, anna.is_guest, anna.is_outsider) == ("Anna", True, False, False)
    assert (guest.is_guest, guest.is_outsider) == (True, False)
    assert outsider.is_outsider


async def test_a_person_whom_slack_does_not_show_counts_as_an_outsider(stage: Stage) -> None:
    unknown = await stage.chat.person(stage.team, UserId("U0NOBODY"))
    assert unknown.is_outsider
    assert not unknown.is_admin


async def test_a_channel_is_described(stage: Stage) -> None:
    described = await stage.chat.channel(stage.team, stage.support)
    assert (described.id, described.name, described.is_member) == (stage.support, "support", True)
    assert not described.is_archived
    assert not described.is_private


async def test_joining_a_public_channel_makes_the_bot_a_member(stage: Stage) -> None:
    sales = stage.add_channel("sales", is_member=False)
    assert not (await stage.chat.channel(stage.team, sales)).is_member
    await stage.chat.join(stage.team, sales)
    assert (await stage.chat.channel(stage.team, sales)).is_member


async def test_a_private_channel_cannot_be_joined_and_the_sentence_asks_for_an_invitation(
    stage: Stage,
) -> None:
    secret = stage.add_channel("secret", is_private=True, is_member=False)
    with pytest.raises(PermanentError) as caught:
        await stage.chat.join(stage.team, secret)
    assert "/invite" in (caught.value.user_message or "")


@pytest.mark.parametrize("written", ["sales", "#sales", "Sales"])
async def test_a_channel_is_found_by_name(stage: Stage, written: str) -> None:
    sales = stage.add_channel("sales", is_member=False)
    found = await stage.chat.find_channel(stage.team, written)
    assert found is not None
    assert (found.id, found.is_member) == (sales, False)


async def test_a_channel_that_is_archived_or_was_never_there_is_not_found(stage: Stage) -> None:
    stage.archive(stage.add_channel("old"))
    assert await stage.chat.find_channel(stage.team, "old") is None
    assert await stage.chat.find_channel(stage.team, "never") is None


async def test_a_message_has_an_address_and_a_deleted_one_has_none(stage: Stage) -> None:
    line = stage.line()
    address = await stage.chat.permalink(stage.team, stage.support, line)
    assert address is not None
    assert address.startswith("https://")
    stage.remove(line)
    assert await stage.chat.permalink(stage.team, stage.support, line) is None


async def test_a_whisper_is_no_post(stage: Stage) -> None:
    await stage.chat.whisper(stage.team, stage.support, stage.anna, Notice(text="psst"))
    assert stage.posted() == []


async def test_times_only_grow(stage: Stage) -> None:
    posted = [(await stage.chat.post(outgoing(stage, id=f"d{n}"))).ts for n in range(3)]
    assert posted == sorted(posted)
    assert len(set(posted)) == 3
    assert all(isinstance(MessageTs(ts), str) for ts in posted)
