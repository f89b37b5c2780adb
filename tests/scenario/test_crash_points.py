"""SIGKILL of the real process at each point where something has happened and is not known yet.

The points are made from outside: an end that never answers, or answers only after the database is held, so
that nothing can be recorded. The verdict comes from what customers and channels really received.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import time
from collections import Counter
from pathlib import Path

import aiohttp
import pytest

from sandbox.faults import Fault, FaultKind
from sandbox.jollor.model import Conversation
from sandbox.ledger import Cause, ChannelAction
from sandbox.rules import Rule
from sandbox.server import DownMode
from sandbox.slack import Message as SlackMessage
from sandbox.wire import Direction, End
from tests.scenario.held import connect, held
from tests.scenario.stage import Service, Stage, eventually, free_port, open_stage, shown

pytestmark = pytest.mark.timeout(180)

TRANSACTIONS = (
    "select pid, xact_start from pg_stat_activity where datname = current_database()"
    " and pid <> pg_backend_pid() and xact_start is not null"
)

REAL_S = 30.0
"""The time scale of these tests: so many seconds of the sandbox are one of ours."""


def strike(
    stage: Stage, end: End, kind: FaultKind, operation: str, *, seconds: float = 0.0, **where: str
) -> Rule:
    """Let one call go wrong; the rule's `applied` tells when it has come."""
    return stage.faults.add(end, Fault(kind, seconds=seconds), operation, where=where, times=1)


async def struck(stage: Stage, *rules: Rule) -> None:
    """Wait until all these calls have come."""
    await eventually(
        lambda: all(rule.applied for rule in rules),
        what=f"{[(rule.operation, dict(rule.where)) for rule in rules if not rule.applied]}",
        evidence=stage.evidence,
    )


async def answered(stage: Stage, operation: str, rule: Rule) -> None:
    """Wait until the sandbox has answered the call that `rule` has delayed."""
    kind = rule.fault.kind.value
    await eventually(
        lambda: [
            entry
            for entry in stage.wire.entries(operation=operation)
            if entry.fault == kind and entry.status == 200
        ],
        what=f"an answer to {operation}",
        evidence=stage.evidence,
    )


async def known_customers(stage: Stage, *names: str) -> dict[str, tuple[Conversation, SlackMessage]]:
    """Conversations that have their threads already."""
    opened = {name: stage.writes(f"{name} asks", customer=name) for name in names}
    threads = {}
    for name, conversation in opened.items():
        root = await stage.thread(f"{name} asks")
        await stage.line(root, f"{name} asks")
        threads[name] = conversation, root
    return threads


def roots_of(stage: Stage, name: str) -> list[SlackMessage]:
    """The cards of a customer's conversation."""
    return [
        message
        for message in stage.slack.roots(stage.support.id)
        if message.bot_id and not message.is_reply and name in shown(message)
    ]


def shown_times(stage: Stage, text: str) -> int:
    """How often a message stands in the transcripts."""
    return sum(
        1
        for message in stage.slack.messages(stage.support.id)
        if message.is_reply and message.bot_id and text in shown(message) and kind_of(message) == "message"
    )


def kind_of(message: SlackMessage) -> str:
    return str(message.metadata["event_payload"]["kind"]) if message.metadata else ""


def posted_twice(stage: Stage) -> list[str]:
    """Deliveries that people saw more than once, also if one was deleted later."""
    posted = Counter(
        receipt.metadata_id
        for receipt in stage.ledger.of_channel(stage.support.id)
        if receipt.action is ChannelAction.POSTED and receipt.metadata_id is not None
    )
    return [id_ for id_, times in posted.items() if times > 1 and id_ is not None]


def calls(stage: Stage, text: str) -> int:
    """How often the bridge has asked Jollor to send a text."""
    entries = stage.wire.entries(operation="createMessageReply", direction=Direction.IN)
    return sum(1 for entry in entries if text in entry.request)


async def alive(stage: Stage) -> None:
    """Return when the service has gone round its loop: what was sent to it before, it has read."""
    async with aiohttp.ClientSession() as session:
        for _ in range(2):
            async with session.get(f"{stage.service.url}/healthz") as answer:
                assert answer.status == 200


async def test_a_kill_anywhere_on_the_way_to_slack_loses_no_message_and_shows_none_twice(
    tmp_path: Path, migrated_url: str
) -> None:
    async with open_stage(tmp_path, migrated_url, scale=REAL_S) as stage:
        threads = await known_customers(stage, "Robin", "Sam", "Alex")
        post = "chat.postMessage"
        sent = [
            # after send: a root and a reply, each with and without effect, and a mark
            strike(stage, End.SLACK, FaultKind.HANG, post, text="Kim begins", thread_ts="^$"),
            strike(stage, End.SLACK, FaultKind.HANG_AFTER, post, text="Lou begins", thread_ts="^$"),
            strike(stage, End.SLACK, FaultKind.HANG, post, text="Robin goes on", thread_ts="."),
            strike(stage, End.SLACK, FaultKind.HANG_AFTER, post, text="Sam goes on", thread_ts="."),
            strike(stage, End.SLACK, FaultKind.HANG_AFTER, "reactions.add"),
        ]
        note = stage.types("// ask the baker first", threads["Robin"][1])
        for name in ("Kim", "Lou"):
            stage.writes(f"{name} begins", customer=name)
        for name in ("Robin", "Sam"):
            stage.writes(f"{name} goes on", customer=name)
        # after commit: the webhook is answered, nothing else has happened
        committed = stage.writes("Max begins", customer="Max")
        listing = strike(
            stage,
            End.JOLLOR,
            FaultKind.HANG,
            "listConversationMessages",
            conversation=f"^{re.escape(committed.id)}$",
        )
        await struck(stage, *sent, listing)
        # after answer: Slack has said yes, and it cannot be recorded
        late = strike(stage, End.SLACK, FaultKind.DELAY, post, seconds=REAL_S, text="Alex goes on")
        stage.writes("Alex goes on", customer="Alex")
        await struck(stage, late)
        async with held(migrated_url) as database:
            # before commit: the webhook has come, and cannot be stored
            stage.writes("Noa begins", customer="Noa")
            await answered(stage, post, late)
            await alive(stage)
            states = await database.fetch("select state from deliveries where state = 'sending'")
            assert len(states) == 6, f"{states}\n{stage.service.said()}"
            await stage.service.kill()
        unanswered = [
            d for d in stage.jollor.webhooks.under_way() if not d.attempts or d.attempts[-1].problem
        ]
        assert len(unanswered) == 1, "only the webhook that was not committed is repeated"
        stage.faults.clear()
        await stage.service.start()
        stage.jollor.webhooks.retry_now()

        texts = [f"{name} begins" for name in ("Kim", "Lou", "Max", "Noa")]
        texts += [f"{name} goes on" for name in ("Robin", "Sam", "Alex")]
        await eventually(
            lambda: all(shown_times(stage, text) for text in texts),
            what=f"{ {text: shown_times(stage, text) for text in texts} }",
            within_s=40,
            evidence=stage.evidence,
        )
        await stage.marked(note, "lock")
        await eventually(lambda: not stage.jollor.webhooks.under_way(), what="all webhooks answered")
        assert {text: shown_times(stage, text) for text in texts} == dict.fromkeys(texts, 1)
        names = ("Kim", "Lou", "Max", "Noa", *threads)
        assert {name: len(roots_of(stage, name)) for name in names} == dict.fromkeys(names, 1)
        assert posted_twice(stage) == []


async def test_a_kill_anywhere_on_the_way_to_jollor_loses_no_line_and_repeats_none(
    tmp_path: Path, migrated_url: str
) -> None:
    async with open_stage(tmp_path, migrated_url, scale=REAL_S) as stage:
        carla = stage.slack.add_user("Carla")
        stage.slack.join(carla.id, stage.support.id)
        names = ("Ada", "Bea", "Cleo", "Dan", "Eve", "Finn")
        threads = await known_customers(stage, *names)
        typed: dict[str, str] = {}

        def answer(name: str) -> None:
            by = carla if name == "Bea" else stage.ben
            typed[name] = stage.types(f"Answer to {name}", threads[name][1], by=by)

        reply = "createMessageReply"
        sent = [
            # after commit: the event is answered, nobody has looked at it
            strike(stage, End.SLACK, FaultKind.HANG, "users.info", user=carla.id),
            # after send: without effect, with one, with one that nobody can see
            strike(stage, End.JOLLOR, FaultKind.HANG, reply, text="Answer to Cleo"),
            strike(stage, End.JOLLOR, FaultKind.HANG_AFTER, reply, text="Answer to Dan"),
            strike(stage, End.JOLLOR, FaultKind.HANG_AFTER, reply, text="Answer to Eve"),
        ]
        strike(stage, End.JOLLOR, FaultKind.HIDDEN, reply, seconds=1e6, text="Answer to Eve")
        for name in ("Dan", "Eve"):  # no webhook tells of these
            where = {"conversation": f"^{re.escape(threads[name][0].id)}$"}
            stage.faults.add(End.JOLLOR, FaultKind.DROP, "message_*", where=where, rule_id=f"silent {name}")
        for name in ("Bea", "Cleo", "Dan", "Eve"):
            answer(name)
        await struck(stage, *sent)
        # after answer: Jollor has said yes, and it cannot be recorded
        late = strike(stage, End.JOLLOR, FaultKind.DELAY, reply, seconds=REAL_S, text="Answer to Finn")
        answer("Finn")
        await struck(stage, late)
        async with held(migrated_url) as database:
            # before commit: the event has come, and cannot be stored
            answer("Ada")
            await answered(stage, reply, late)
            await alive(stage)
            rows = await database.fetch("select text from intents where state = 'sending'")
            on_their_way = {row[0] for row in rows}
            await stage.service.kill()
        assert on_their_way == {f"Answer to {name}" for name in ("Cleo", "Dan", "Eve", "Finn")}
        event = stage.slack.events.of_message(stage.support.id, typed["Ada"])
        assert event.id not in stage.slack.courier.acknowledged, "what was not committed is not acknowledged"
        for rule in stage.faults.rules():
            if not rule.id.startswith("silent"):
                stage.faults.remove(rule.id)
        await stage.service.start()
        stage.slack.repeat_event(stage.support.id, typed["Ada"])  # Slack does, however long the start took

        arrives = ("Ada", "Bea", "Dan", "Finn")
        marks = dict.fromkeys(arrives, "white_check_mark") | {"Cleo": "warning", "Eve": "warning"}
        await eventually(
            lambda: (
                {name: stage.slack.marks(stage.support.id, ts) for name, ts in typed.items()}
                == {name: [mark] for name, mark in marks.items()}
            ),
            what=f"{ {name: stage.slack.marks(stage.support.id, ts) for name, ts in typed.items()} }",
            within_s=60,
            evidence=stage.evidence,
        )
        receipts = {
            name: [receipt.text for receipt in stage.ledger.of_customer(conversation.id, cause=Cause.API)]
            for name, (conversation, _) in threads.items()
        }
        assert receipts == {name: [f"Answer to {name}"] if name != "Cleo" else [] for name in names}
        assert {name: calls(stage, f"Answer to {name}") for name in names} == dict.fromkeys(names, 1)
        for name in ("Cleo", "Eve"):
            notices = [
                m
                for m in stage.replies(threads[name][1])
                if kind_of(m) == "notice" and f"Answer to {name}" in shown(m)
            ]
            assert len(notices) == 1, "people are asked, once"


async def test_a_reply_that_surely_was_not_sent_goes_out_later_without_asking(
    tmp_path: Path, migrated_url: str
) -> None:
    """No connection could be opened, and then the bridge was killed on top of it."""
    async with open_stage(tmp_path, migrated_url, scale=REAL_S) as stage:
        robin, root = (await known_customers(stage, "Robin"))["Robin"]
        await stage.jollor.down(DownMode.REFUSED)
        ts = stage.types("From eight to noon.", root)
        await stage.marked(ts, "hourglass_flowing_sand")
        await stage.service.kill()
        await stage.jollor.up()
        await stage.service.start()
        await stage.customer_has(robin, "From eight to noon.")
        await stage.marked(ts, "white_check_mark")
        assert calls(stage, "From eight to noon.") == 1
        assert [m for m in stage.replies(root) if kind_of(m) == "notice"] == []


@pytest.mark.postgres
async def test_what_a_killed_process_held_another_takes_over_within_half_a_minute(
    tmp_path: Path, migrated_postgres_url: str
) -> None:
    async with open_stage(tmp_path, migrated_postgres_url, scale=REAL_S) as stage:
        threads = await known_customers(stage, "Robin", "Sam")
        second = Service(stage.service.environment, stage.folder, free_port(), command=("worker",))
        await second.start(until_ready=False)
        try:
            await _stand_by(second, migrated_postgres_url)
            held_up = [
                strike(stage, End.SLACK, FaultKind.HANG_AFTER, "chat.postMessage", text="Kim begins"),
                strike(stage, End.JOLLOR, FaultKind.HANG_AFTER, "createMessageReply", text="Answer to Sam"),
            ]
            max_ = stage.writes("Max begins", customer="Max")
            conversation = f"^{re.escape(max_.id)}$"
            listing = strike(
                stage, End.JOLLOR, FaultKind.HANG, "listConversationMessages", conversation=conversation
            )
            stage.writes("Kim begins", customer="Kim")
            answer = stage.types("Answer to Sam", threads["Sam"][1])
            await struck(stage, *held_up, listing)
            await stage.service.kill()
            killed = time.monotonic()
            os.kill(second.pid, signal.SIGCONT)
            await eventually(
                lambda: shown_times(stage, "Max begins") and shown_times(stage, "Kim begins"),
                what="what the killed process held",
                within_s=30,
                evidence=second.said,
            )
            await stage.marked(answer, "white_check_mark")
            assert time.monotonic() - killed < 30
            assert len(roots_of(stage, "Kim")) == len(roots_of(stage, "Max")) == 1
            assert calls(stage, "Answer to Sam") == 1
            assert posted_twice(stage) == []
        finally:
            os.kill(second.pid, signal.SIGCONT)
            assert await second.stop() == 0, second.said()


async def _stand_by(second: Service, database_url: str) -> None:
    """Wait until the process works, then hold it still at a moment when it has no transaction open."""
    connection = await connect(database_url)
    try:
        async with asyncio.timeout(60):
            while await connection.fetchval("select count(*) from workers") < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
            while True:
                os.kill(second.pid, signal.SIGSTOP)
                before = set(await connection.fetch(TRANSACTIONS))
                await asyncio.sleep(0.5)
                if not before.intersection(await connection.fetch(TRANSACTIONS)):
                    return
                os.kill(second.pid, signal.SIGCONT)
                await asyncio.sleep(0.3)
    finally:
        await connection.close()
