"""From Jollor into Slack over real HTTP, judged by what the channels really show."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sandbox.faults import Fault, FaultKind
from sandbox.jollor.switches import Echo, PayloadForm, RenderForm
from sandbox.wire import End
from tests.scenario.stage import eventually, open_stage, shown, spoken


async def test_every_message_of_a_conversation_goes_into_one_thread_in_order(
    tmp_path: Path, migrated_sqlite_url: str
) -> None:
    async with open_stage(tmp_path, migrated_sqlite_url) as stage:
        for number in range(1, 6):
            stage.writes(f"message number {number}")
        root = await stage.thread("message number 1")
        await stage.line(root, "message number 5")
        assert spoken(stage.transcript(root)) == [f"message number {number}" for number in range(1, 6)]
        assert len([m for m in stage.slack.roots(stage.support.id) if not m.is_broadcast]) == 1
        assert {m.username for m in stage.transcript(root)} == {"Robin · Facebook"}


async def test_a_new_thread_shows_the_last_earlier_messages_as_one_context_post(
    tmp_path: Path, migrated_sqlite_url: str
) -> None:
    async with open_stage(tmp_path, migrated_sqlite_url) as stage:
        long_ago = datetime.now(UTC) - timedelta(days=2)
        conversation = None
        for number in range(8):
            message = stage.jollor.customer_writes(
                stage.bakery,
                "facebook",
                "Robin",
                f"old {number}",
                conversation_id=None if conversation is None else conversation.id,
                at=long_ago + timedelta(minutes=number),
                announced=False,
            )
            conversation = message.conversation
        assert conversation is not None
        stage.jollor.customer_writes(
            stage.bakery, "facebook", "Robin", "and today?", conversation_id=conversation.id
        )
        root = await stage.thread("and today?")
        await stage.line(root, "and today?")
        context = [m for m in stage.replies(root) if "old 7" in shown(m)]
        assert len(context) == 1
        assert all(f"old {n}" in shown(context[0]) for n in range(3, 8))
        assert "old 2" not in shown(context[0])
        assert len(stage.transcript(root)) == 1


@pytest.mark.parametrize("echo", [Echo.AFTER, Echo.BEFORE, Echo.TWICE])
async def test_our_own_reply_is_not_shown_again_when_it_comes_back(
    tmp_path: Path, migrated_sqlite_url: str, echo: Echo
) -> None:
    async with open_stage(tmp_path, migrated_sqlite_url) as stage:
        stage.jollor.switches.echo = echo
        robin = stage.writes("Open on Sunday?")
        root = await stage.thread("Open on Sunday?")
        ts = stage.types("Yes, we are.", root)
        await stage.marked(ts, "white_check_mark")
        stage.jollor.dashboard_replies(robin, "Yes, we are.")  # somebody else, the same words
        await stage.line(root, "Yes, we are.")
        stage.writes("Great!")
        await stage.line(root, "Great!")
        assert [shown(m).count("Yes, we are.") > 0 for m in stage.transcript(root)].count(True) == 1
        assert stage.received(robin) == ["Yes, we are.", "Yes, we are."]


async def test_other_peoples_outgoing_messages_appear_once_and_labelled(
    tmp_path: Path, migrated_sqlite_url: str
) -> None:
    async with open_stage(tmp_path, migrated_sqlite_url) as stage:
        robin = stage.writes("Hello?")
        root = await stage.thread("Hello?")
        stage.jollor.dashboard_replies(robin, "We are on it.")
        line = await stage.line(root, "We are on it.")
        stage.writes("Thanks")
        await stage.line(root, "Thanks")
        assert len([m for m in stage.transcript(root) if "We are on it." in shown(m)]) == 1
        assert "not from Slack" in shown(line)


@pytest.mark.parametrize("form", list(PayloadForm))
async def test_all_forms_of_webhook_lead_to_the_thread(
    tmp_path: Path, migrated_sqlite_url: str, form: PayloadForm
) -> None:
    async with open_stage(tmp_path, migrated_sqlite_url) as stage:
        stage.jollor.switches.payload_form = form
        stage.writes("Whatever the form")
        await stage.thread("Whatever the form")


async def test_two_linked_channels_both_get_their_thread(tmp_path: Path, migrated_sqlite_url: str) -> None:
    async with open_stage(tmp_path, migrated_sqlite_url) as stage:
        second = stage.slack.add_channel("night-shift", members=[stage.anna])
        await stage.link(stage.bakery, second)
        stage.writes("To all of you")
        await stage.thread("To all of you")
        await stage.thread("To all of you", channel=second)


async def test_unlinking_and_linking_again_finds_the_old_thread(
    tmp_path: Path, migrated_sqlite_url: str
) -> None:
    async with open_stage(tmp_path, migrated_sqlite_url) as stage:
        stage.writes("before")
        root = await stage.thread("before")
        await stage.line(root, "before")
        code, _, complained = await stage.run("unlink", stage.bakery.id, stage.support.id)
        assert code == 0, complained
        stage.writes("nobody hears this")
        await stage.link(stage.bakery, stage.support)
        stage.writes("after")
        await stage.line(root, "after")
        assert not stage.seen("nobody hears this")


async def test_a_thread_nobody_joined_is_brought_to_notice_and_a_joined_one_is_not(
    tmp_path: Path, migrated_sqlite_url: str
) -> None:
    async with open_stage(tmp_path, migrated_sqlite_url) as stage:
        stage.writes("first")
        root = await stage.thread("first")
        stage.writes("second")
        second = await stage.line(root, "second")
        assert second.is_broadcast
        ts = stage.types("hello", root)
        await stage.marked(ts, "white_check_mark")
        stage.writes("third")
        third = await stage.line(root, "third")
        assert not third.is_broadcast


async def test_long_text_comes_in_numbered_parts_and_complete(
    tmp_path: Path, migrated_sqlite_url: str
) -> None:
    text = " ".join(f"Sentence number {n} is not short at all." for n in range(200))
    async with open_stage(tmp_path, migrated_sqlite_url) as stage:
        stage.writes(text)
        root = await stage.thread("Sentence number 0")
        await stage.line(root, "Sentence number 199")
        together = " ".join(shown(m) for m in stage.transcript(root))
        assert all(f"Sentence number {n} is" in together for n in range(200))


async def test_customers_text_cannot_mention_link_or_format_its_way_out(
    tmp_path: Path, migrated_sqlite_url: str
) -> None:
    hostile = "<!channel> <@U123> @here <https://evil.example|click> *bold* `code` &amp; <script>"
    async with open_stage(tmp_path, migrated_sqlite_url) as stage:
        stage.writes(hostile, customer="<!here> Slackbot")
        root = await stage.thread("evil.example")
        line = await stage.line(root, "evil.example")
        for message in (root, line):
            assert stage.slack.pings(stage.support.id, message.ts) == set()
            assert stage.slack.links(stage.support.id, message.ts) == set()


async def test_posts_and_comments_appear_with_their_html_as_slack_text(
    tmp_path: Path, migrated_sqlite_url: str
) -> None:
    async with open_stage(tmp_path, migrated_sqlite_url) as stage:
        stage.jollor.switches.render_form = RenderForm.HTML
        stage.jollor.comment(stage.bakery, "instagram", "Mia", "Lovely <b>bread</b>!")
        root = await eventually(
            lambda: next((m for m in stage.seen("Instagram") if not m.is_reply), None),
            what="a post card",
            evidence=stage.evidence,
        )
        ts = stage.types("shall we thank her?", root)
        await stage.marked(ts, "lock")
        await stage.line(root, "stay in Slack")
        again = stage.types("and another", root)
        await stage.marked(again, "lock")
        assert len([m for m in stage.replies(root) if "stay in Slack" in shown(m)]) == 1


async def test_dialogue_events_are_lines_in_the_thread(tmp_path: Path, migrated_sqlite_url: str) -> None:
    async with open_stage(tmp_path, migrated_sqlite_url) as stage:
        robin = stage.writes("I need a human")
        root = await stage.thread("I need a human")
        dialogue = stage.jollor.start_dialogue(robin)
        await stage.line(root, "started")
        stage.jollor.human_needed(dialogue)
        needed = await stage.line(root, "person")
        assert needed.is_broadcast
        stage.jollor.end_dialogue(dialogue)
        await stage.line(root, "ended")


async def test_an_expired_profile_raises_one_alert_that_counts_and_is_cleared_by_a_person(
    tmp_path: Path, migrated_sqlite_url: str
) -> None:
    async with open_stage(tmp_path, migrated_sqlite_url) as stage:
        stage.jollor.expire_profile(stage.bakery)
        first = await eventually(
            lambda: next(iter(stage.seen("Harbour Bakery")), None), what="an alert", evidence=stage.evidence
        )
        stage.jollor.expire_profile(stage.bakery)
        stage.jollor.expire_profile(stage.bakery)
        await eventually(
            lambda: "3" in shown(first), what=f"a count: {shown(first)}", evidence=stage.evidence
        )
        assert len(stage.seen("Harbour Bakery")) == 1
        await stage.slack.press(stage.anna.id, stage.support.id, first.ts, "mark_reconnected")
        await eventually(
            lambda: stage.anna.id in shown(first),
            what=f"cleared by Anna: {shown(first)}",
            evidence=stage.evidence,
        )
        stage.jollor.expire_profile(stage.bakery)
        await eventually(
            lambda: len(stage.seen("Harbour Bakery")) == 2, what="a new alert", evidence=stage.evidence
        )


async def test_a_webhook_that_could_not_be_posted_at_once_is_posted_later(
    tmp_path: Path, migrated_sqlite_url: str
) -> None:
    async with open_stage(tmp_path, migrated_sqlite_url) as stage:
        stage.faults.add(End.JOLLOR, Fault(FaultKind.STATUS, status=503), "*Messages", times=3)
        stage.writes("through the storm")
        await stage.thread("through the storm")
