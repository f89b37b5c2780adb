"""A conversation that cannot be read, seen from where people look; and a trace of what did arrive."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sandbox.faults import Fault, FaultKind
from sandbox.slack.state import Ephemeral
from sandbox.wire import End
from tests.scenario.stage import Stage, eventually, open_stage, shown

pytestmark = pytest.mark.timeout(120)

UNREAD = "A message could not be read – open in Jollor."


async def asked(stage: Stage, words: str) -> str:
    """Type a command; return the words of the full answer."""

    def answers() -> list[Ephemeral]:
        seen = stage.slack.ephemerals(stage.ben.id)
        return [one for one in seen if one.via == "response_url"]

    before = len(answers())
    reply = await stage.slack.slash_command(stage.ben.id, stage.support.id, "/jollor", words)
    assert reply.error is None
    found = await eventually(
        lambda: answers()[before:], what=f"an answer to {words}", evidence=stage.evidence
    )
    return found[0].text


def link_to(stage: Stage, ts: str, *, under: str | None = None) -> str:
    """The address that Slack copies for a message."""
    thread = "" if under is None else f"?thread_ts={under}&cid={stage.support.id}"
    domain = stage.slack.team.domain
    return f"https://{domain}.slack.com/archives/{stage.support.id}/p{ts.replace('.', '')}{thread}"


async def test_a_poison_conversation_is_told_of_listed_and_retried_and_any_message_is_traced(
    tmp_path: Path, migrated_sqlite_url: str
) -> None:
    async with open_stage(tmp_path, migrated_sqlite_url, scale=60) as stage:
        robin = stage.writes("Hello from Robin")
        root = await stage.thread("Hello from Robin")
        kim = stage.jollor.customer_writes(stage.bakery, "facebook", "Kim", "poison").conversation
        poison = stage.faults.add(
            End.JOLLOR,
            Fault(FaultKind.STATUS, status=500),
            "listConversationMessages",
            where={"conversation": re.escape(kim.id)},
        )
        stage.writes("And one more thing")
        await stage.line(root, "And one more thing")
        line = stage.types("Gladly.", root)
        await stage.marked(line, "white_check_mark")
        await stage.customer_has(robin, "Gladly.")

        # about two minutes later there is a line, a dead letter, and words for both
        unread = await eventually(
            lambda: next(iter(stage.seen(UNREAD)), None), what="told of", evidence=stage.evidence
        )
        assert not unread.is_reply, "it has no thread yet"
        assert "Open in Jollor" in shown(unread)
        status = await asked(stage, "status")
        assert "Reading a conversation in Jollor: Jollor could not process this one." in status
        code, listed, _ = await stage.run("jobs", "list")
        assert code == 0
        assert "Jollor could not process this one." in listed

        # mended and retried, it is shown
        poison.enabled = False
        code, said, complained = await stage.run("jobs", "retry", "--all")
        assert code == 0, complained
        assert "will run again" in said
        await stage.thread("poison")

        # and what happened to a message is told hop by hop, without its text
        post = await stage.line(root, "And one more thing")
        traced = await asked(stage, f"trace {link_to(stage, post.ts, under=root.ts)}")
        assert "A customer's message" in traced
        assert "Jollor told of it" in traced or "Found" in traced
        for hop in ("It was written", "was read from Jollor and recorded", "was posted in Slack"):
            assert hop in traced
        assert "one more thing" not in traced
        of_line = await asked(stage, f"trace {link_to(stage, line, under=root.ts)}")
        for hop in (
            f"by <@{stage.ben.id}>",
            "Slack told the bridge",
            "Jollor accepted it",
            "The mark ✅ is on",
        ):
            assert hop in of_line
        assert "Gladly" not in of_line
        theirs = stage.slack.people.say(stage.ben.id, stage.support.id, "Lunch?")
        assert "neither one of the bridge's" in await asked(stage, f"trace {link_to(stage, theirs)}")
        assert "Traceback" not in stage.service.said()
