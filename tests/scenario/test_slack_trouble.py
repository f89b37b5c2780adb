"""Slack in trouble, over HTTP: limits, broken answers, lost answers, closed channels, deleted roots.

What customers wrote is shown once and in order all the same, and nothing becomes a dead letter.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import aiohttp
import pytest

from sandbox.faults import Fault, FaultKind
from sandbox.ledger import ChannelAction
from sandbox.rules import CallerGets, Rule
from sandbox.server import DownMode
from sandbox.slack import Message as SlackMessage
from sandbox.wire import End
from tests.scenario.stage import PATIENCE_S, Stage, eventually, open_stage, shown, spoken

pytestmark = pytest.mark.timeout(120)

POST = "chat.postMessage"
HTML = "<html><body>Service Unavailable</body></html>"


@pytest.fixture
async def stage(tmp_path: Path, migrated_sqlite_url: str) -> AsyncIterator[Stage]:
    async with open_stage(tmp_path, migrated_sqlite_url) as stage:
        yield stage


def strike(stage: Stage, fault: Fault, operation: str = POST, **where: str) -> Rule:
    """Let one call to Slack go wrong."""
    return stage.faults.add(End.SLACK, fault, operation, where=where, times=1)


def lines(stage: Stage, name: str) -> list[SlackMessage]:
    """What customers wrote with `name` in it, as the transcripts show it, oldest first."""
    return [
        message
        for message in stage.slack.messages(stage.support.id)
        if message.is_reply and kind_of(message) == "message" and name in shown(message)
    ]


def kind_of(message: SlackMessage) -> str:
    return str(message.metadata["event_payload"]["kind"]) if message.metadata and message.bot_id else ""


def roots(stage: Stage, name: str) -> list[SlackMessage]:
    return [
        message
        for message in stage.slack.messages(stage.support.id)
        if kind_of(message) == "root" and name in shown(message)
    ]


def said(transcript: Sequence[SlackMessage], texts: Sequence[str]) -> list[str]:
    """Which of `texts` each message shows, all of it if none: to be compared with what was written."""
    found = spoken(transcript)
    return [next((text for text in texts if text in line), line) for line in found]


async def all_shown(stage: Stage, texts: Sequence[str], *, within_s: float = 30) -> None:
    """Wait until each of these has been shown."""
    await eventually(
        lambda: all(lines(stage, text) for text in texts),
        what=f"{[text for text in texts if not lines(stage, text)]}",
        within_s=within_s,
        evidence=stage.evidence,
    )


async def metric(stage: Stage, name: str) -> float:
    """What the bridge says of itself."""
    async with aiohttp.ClientSession() as session, session.get(f"{stage.service.url}/metrics") as answer:
        found = [line for line in (await answer.text()).splitlines() if line.startswith(name)]
    return float(found[0].split()[-1])


async def dead_letters(stage: Stage) -> float:
    """How many deliveries the bridge has given up."""
    return await metric(stage, 'bridge_dead_letters{of="deliveries"}')


def answered_well(stage: Stage, operation: str) -> bool:
    """The last call of that kind was answered."""
    entries = [entry for entry in stage.wire.entries(operation=operation) if entry.finished]
    return bool(entries) and entries[-1].status == 200 and entries[-1].fault is None


async def found_away(stage: Stage, mode: DownMode) -> None:
    """Wait until the bridge has noticed that Slack is away."""
    if mode is DownMode.REFUSED:  # which no wire shows
        async with asyncio.timeout(PATIENCE_S):
            while not await metric(stage, 'bridge_pauses{target="team"}'):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        return
    await eventually(
        lambda: [e for e in stage.wire.entries(end=End.SLACK) if e.fault == f"down: {mode}"],
        what=f"a call while Slack is {mode}",
        evidence=stage.evidence,
    )


async def test_whatever_slack_answers_a_message_is_shown_once_and_in_its_place(stage: Stage) -> None:
    troubles = {
        "limited": Fault(FaultKind.STATUS, status=429, retry_after=3),
        "limited-mute": Fault(FaultKind.STATUS, status=429),
        "html": Fault(FaultKind.STATUS, status=503, body=HTML, content_type="text/html"),
        "html-after": Fault(FaultKind.STATUS_AFTER, status=500, body=HTML, content_type="text/html"),
        "nonsense": Fault(FaultKind.STATUS_AFTER, status=200, body="{", content_type="application/json"),
        "fatal": Fault(FaultKind.STATUS, status=200, body=json.dumps({"ok": False, "error": "fatal_error"})),
        "cut": Fault(FaultKind.CUT_BEFORE),
        "cut-after": Fault(FaultKind.CUT_AFTER),
        "late": Fault(FaultKind.LATE, seconds=20, caller_gets=CallerGets.CUT),
        "hang": Fault(FaultKind.HANG_AFTER),
    }
    rules = [
        strike(stage, fault, text=f"{name} 1", thread_ts=pattern)
        for name, fault in troubles.items()
        for pattern in ("^$", ".")
    ]
    hidden = strike(stage, Fault(FaultKind.HIDDEN, seconds=15), text="cut-after 1", thread_ts=".")
    for number in (1, 2):
        for name in troubles:
            stage.writes(f"{name} {number}", customer=f"Customer {name}")
    await all_shown(stage, [f"{name} {number}" for name in troubles for number in (1, 2)])
    assert [rule.where for rule in (*rules, hidden) if not rule.applied] == []
    for name in troubles:
        places = [root.ts for root in roots(stage, f"{name} 1")]
        assert len(places) == 1, name
        assert {line.thread_ts for line in lines(stage, f"{name} ")} == set(places), name
        assert spoken(lines(stage, f"{name} ")) == [f"{name} 1", f"{name} 2"], "once, in order"
    assert await dead_letters(stage) == 0


async def test_a_mark_is_set_once_whatever_slack_answers(stage: Stage) -> None:
    stage.writes("Hello", customer="Robin")
    root = await stage.thread("Hello")
    for fault in (
        Fault(FaultKind.STATUS, status=429, retry_after=2),
        Fault(FaultKind.CUT_AFTER),
        Fault(FaultKind.STATUS_AFTER, status=500, body=HTML, content_type="text/html"),
    ):
        strike(stage, fault, "reactions.add")
    ts = stage.types("// ask the baker", root)
    await eventually(
        lambda: all(rule.applied for rule in stage.faults.rules()),
        what="all troubles",
        evidence=stage.evidence,
    )
    await stage.marked(ts, "lock")
    await eventually(lambda: answered_well(stage, "reactions.add"), evidence=stage.evidence)
    assert stage.slack.marks(stage.support.id, ts) == ["lock"]
    assert await dead_letters(stage) == 0


async def test_what_cannot_be_read_back_is_shown_once_more_and_says_so(stage: Stage) -> None:
    stage.writes("Hello", customer="Robin")
    root = await stage.thread("Hello")
    await stage.line(root, "Hello")
    stage.slack.switches.history_has_metadata = False
    strike(stage, Fault(FaultKind.CUT_AFTER), text="Are you there")
    stage.writes("Are you there?", customer="Robin")
    await eventually(lambda: len(lines(stage, "Are you there")) == 2, evidence=stage.evidence)
    first, second = lines(stage, "Are you there")
    assert "possible repeat" not in shown(first)
    assert "possible repeat" in shown(second)
    stage.writes("Well?", customer="Robin")
    await stage.line(root, "Well?")
    assert len(lines(stage, "Are you there")) == 2


async def test_while_slack_is_away_everything_waits_and_nothing_is_given_up(stage: Stage) -> None:
    robin = stage.writes("Hello", customer="Robin")
    root = await stage.thread("Hello")
    await stage.line(root, "Hello")
    written: list[str] = []
    for mode in (DownMode.REFUSED, DownMode.UNAVAILABLE, DownMode.RESET):
        answer = stage.types(f"Answer before {mode}", root)
        await eventually(lambda answer=answer: f"Answer before {mode}" in stage.received(robin))  # type: ignore[misc] # noqa: B023
        await stage.slack.down(mode)
        texts = [f"{mode} {number}" for number in range(3)]
        elsewhere = [f"elsewhere {number}, {mode}" for number in range(3)]
        for text, other in zip(texts, elsewhere, strict=True):
            stage.writes(text, customer="Robin")
            stage.writes(other, customer=f"Customer {other}")
        written += texts
        await eventually(lambda: not stage.jollor.webhooks.under_way(), evidence=stage.evidence)
        await found_away(stage, mode)
        await stage.slack.up()
        await all_shown(stage, [*texts, *elsewhere])
        await stage.marked(answer, "white_check_mark")
    assert said(stage.transcript(root), ["Hello", *written]) == ["Hello", *written]
    assert await dead_letters(stage) == 0
    assert sum(stage.slack.pacing.refused.values()) == 0, "the backlog is sent at Slack's pace"


async def test_a_revoked_token_stops_everything_until_the_app_is_installed_again(stage: Stage) -> None:
    stage.writes("Hello", customer="Robin")
    root = await stage.thread("Hello")
    await stage.line(root, "Hello")
    stage.slack.revoke_token()
    for number in range(3):
        stage.writes(f"Knock {number}", customer="Robin")
    await eventually(
        lambda: "token_revoked" in "".join(entry.response for entry in stage.wire.entries(operation=POST)),
        evidence=stage.evidence,
    )
    stage.slack.team.install.revoked_because = None
    await all_shown(stage, ["Knock 0", "Knock 1", "Knock 2"])
    assert spoken(stage.transcript(root)) == ["Hello", "Knock 0", "Knock 1", "Knock 2"]
    assert await dead_letters(stage) == 0


@pytest.mark.parametrize("is_told", [True, False], ids=["with events", "without events"])
async def test_messages_for_a_closed_channel_wait_and_are_shown_when_it_is_open_again(
    stage: Stage, is_told: bool
) -> None:
    stage.writes("Hello", customer="Robin")
    root = await stage.thread("Hello")
    await stage.line(root, "Hello")
    if not is_told:
        for event in ("channel_*", "member_*", "message*"):
            stage.faults.add(End.SLACK, FaultKind.DROP, event)
    closings = (
        ("is_archived", stage.slack.archive, stage.slack.unarchive),
        (
            "not_in_channel",
            stage.slack.kick_bot,
            lambda channel: stage.slack.people.invite_bot(channel, by=stage.anna.id),
        ),
    )
    for code, close, open_again in closings:
        close(stage.support.id)
        texts = [f"{code} {number}" for number in range(3)]
        for text in texts:
            stage.writes(text, customer="Robin")
        await eventually(
            lambda code=code: code in "".join(e.response for e in stage.wire.entries(operation=POST)),  # type: ignore[misc]
            what=f"{code}",
            evidence=stage.evidence,
        )
        open_again(stage.support.id)
        await all_shown(stage, texts)
        assert {line.thread_ts for line in lines(stage, code)} == {root.ts}
        assert said(lines(stage, code), texts) == texts
    assert await dead_letters(stage) == 0


async def test_what_waits_for_a_deleted_channel_is_shown_where_the_project_goes_next(stage: Stage) -> None:
    alerts = stage.slack.add_channel("alerts", members=[stage.anna])
    await stage.link(stage.bakery, alerts, "--kind", "alert")
    stage.writes("Hello", customer="Robin")
    await stage.line(await stage.thread("Hello"), "Hello")
    stage.slack.people.delete_channel(stage.support.id)
    texts = [f"Knock {number}" for number in range(3)]
    for text in texts:
        stage.writes(text, customer="Robin")
    await eventually(
        lambda: [m for m in stage.slack.messages(alerts.id) if "waits; nothing is lost" in shown(m)],
        what="a sentence where alerts go",
        evidence=stage.evidence,
    )
    code, said_of_links, _ = await stage.run("links", "--json")
    assert code == 0
    assert "was deleted" in said_of_links or "cannot see that channel" in said_of_links
    after = stage.slack.add_channel("after", members=[stage.anna])
    await stage.link(stage.bakery, after)
    root = await stage.thread("Hello", channel=after)
    await eventually(
        lambda: spoken(stage.transcript(root, channel=after)) == texts,
        what="the messages that waited",
        evidence=stage.evidence,
    )
    _, said_of_links, _ = await stage.run("links", "--json")
    assert stage.support.id not in said_of_links
    assert await dead_letters(stage) == 0


@pytest.mark.parametrize("left", ["tombstone", "gone"])
async def test_a_deleted_root_is_continued_and_answers_under_either_reach_the_customer(
    stage: Stage, left: str
) -> None:
    stage.slack.switches.deleted_root = "tombstone" if left == "tombstone" else "gone"
    robin = stage.writes("Hello", customer="Robin")
    old = await stage.thread("Hello")
    await stage.line(old, "Hello")
    stage.slack.people.delete(stage.support.id, old.ts, by=stage.anna.id)
    stage.writes("Still there?", customer="Robin")
    await all_shown(stage, ["Still there?"])
    (new,) = [root for root in roots(stage, "Hello") if not root.is_tombstone]
    assert "continued" in shown(new)
    assert [line.thread_ts for line in lines(stage, "Still there?")] == [new.ts]
    strays = [
        receipt
        for receipt in stage.ledger.of_channel(stage.support.id)
        if receipt.action is ChannelAction.POSTED and receipt.thread_ts is None and "Still" in receipt.text
    ]
    for stray in strays:
        await eventually(
            lambda stray=stray: stray.ts not in {m.ts for m in stage.slack.messages(stage.support.id)},  # type: ignore[misc]
            what="the stray reply is removed",
            evidence=stage.evidence,
        )
    answers = ["Under the new one"]
    marked = [stage.types(answers[0], new)]
    if left == "tombstone":
        await eventually(lambda: stage.received(robin) == answers, evidence=stage.evidence)
        answers.append("Under the old one")
        marked.append(stage.types(answers[1], old))
    await stage.customer_has(robin, *answers)
    for ts in marked:
        await stage.marked(ts, "white_check_mark")
