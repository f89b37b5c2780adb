"""Slash commands over HTTP, as people type them: what is said at once, and the full answer that follows."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from sandbox.faults import Fault, FaultKind
from sandbox.slack import User
from sandbox.slack.state import Ephemeral
from sandbox.wire import End
from tests.scenario.stage import Stage, eventually, open_stage

pytestmark = pytest.mark.timeout(120)

ACK_WITHIN_S = 3.0


def answers(stage: Stage, person: User) -> list[Ephemeral]:
    """Return what came to that person through response addresses, oldest first."""
    return [seen for seen in stage.slack.ephemerals(person.id) if seen.via == "response_url"]


async def at_once(stage: Stage, person: User, words: str) -> str:
    """Type a command; return what Slack shows within three seconds."""
    began = time.monotonic()
    reply = await stage.slack.slash_command(person.id, stage.support.id, "/jollor", words)
    assert time.monotonic() - began < ACK_WITHIN_S
    assert reply.error is None, f"{reply}\n{stage.service.said()}"
    assert reply.seen is not None
    return reply.seen.text


async def ask(stage: Stage, person: User, words: str) -> Ephemeral:
    """Type a command; return the full answer that follows."""
    before = len(answers(stage, person))
    await at_once(stage, person, words)
    return await following(stage, person, before, words)


async def following(stage: Stage, person: User, before: int, what: str) -> Ephemeral:
    """Wait for one more answer than `before`; return it."""
    found = await eventually(
        lambda: answers(stage, person)[before:], what=f"an answer to {what}", evidence=stage.evidence
    )
    return found[0]


async def told(stage: Stage, person: User, words: str) -> None:
    """Wait until an answer to that person holds `words`."""
    await eventually(
        lambda: any(words in seen.text for seen in answers(stage, person)),
        what=words,
        evidence=lambda: f"{[seen.text for seen in answers(stage, person)]}\n{stage.service.said()}",
    )


async def asked(stage: Stage, person: User, words: str) -> str:
    """Type a command; return the words of the full answer."""
    return (await ask(stage, person, words)).text


ONLY_ADMINS = "Only workspace admins, and people whom they have put on the list"


async def test_people_link_list_and_unlink_with_commands_and_menus(
    tmp_path: Path, migrated_sqlite_url: str
) -> None:
    async with open_stage(tmp_path, migrated_sqlite_url, link=False) as stage:
        slack, anna, ben = stage.slack, stage.anna, stage.ben
        guest = slack.add_user("Gus", is_restricted=True)
        stranger = slack.add_user("Olga", home_team_id="T0ELSEWHERE", is_admin=True)
        night = slack.add_channel("night", members=[anna])
        lobby = slack.add_channel("lobby", members=[anna], with_bot=False)
        private = slack.add_channel("board", members=[anna], is_private=True, with_bot=False)
        books = stage.jollor.add_project("Harbour Books")

        # what needs nobody is answered at once
        for words in ("", "help", "HELP", "?"):
            assert "link PROJECT" in await at_once(stage, anna, words)
        assert "Did you mean /jollor projects?" in await at_once(stage, anna, "projcts")
        assert "I do not know “dance”" in await at_once(stage, anna, "dance <!channel>")
        assert "Which project?" in await at_once(stage, anna, "link")
        assert "Whom?" in await at_once(stage, anna, "admins add nobody")

        # who may
        for person in (ben, guest, stranger):
            assert ONLY_ADMINS in await asked(stage, person, "link harbour bakery #support")
            assert ONLY_ADMINS in await asked(stage, person, "unlink harbour bakery")
            assert ONLY_ADMINS in await asked(stage, person, f"admins add @{person.name}")
        listed = await ask(stage, ben, "projects")
        assert "not linked" in listed.text
        assert "link_project" not in str(listed.blocks)

        # linking, in words
        assert "There is no project “Bank”" in await asked(stage, anna, "link Bank #support")
        assert "fits several projects" in await asked(stage, anna, "link harbour #support")
        assert "I see no channel #nowhere" in await asked(stage, anna, "link harbour bakery #nowhere")
        assert "private" in await asked(stage, anna, f"link harbour bakery <#{private.id}>")
        linked = await asked(stage, anna, "link harbour bakery #support")
        assert "“Harbour Bakery” now goes to #support (all)." in linked
        assert "was tested" in linked
        stage.writes("Hello there")
        await stage.thread("Hello there")

        # linking, with the menu: from the command, and from the list
        picker = await ask(stage, anna, f"link {books.id} message")
        assert "Which channel should Harbour Books go to?" in picker.text
        await slack.select(anna.id, stage.support.id, picker.ts, "pick_channel", lobby.id)
        await told(stage, anna, "“Harbour Books” now goes to #lobby (message).")
        assert picker not in answers(stage, anna), "the menu has done its work"
        assert slack.team.bot.id in lobby.members, "a public channel is joined"
        rows = await ask(stage, anna, "projects")
        before = len(answers(stage, anna))
        await slack.press(anna.id, stage.support.id, rows.ts, "link_project")
        again = await following(stage, anna, before, "the button")
        await slack.select(anna.id, stage.support.id, again.ts, "pick_channel", night.id)
        await told(stage, anna, "“Harbour Bakery” now goes to #night (all).")
        assert rows in answers(stage, anna), "the list stays"
        stage.writes("To both of you", customer="Kim")
        await stage.thread("To both of you")
        await stage.thread("To both of you", channel=night)

        # unlinking, with the button, and in words; by somebody on the list
        assert f"<@{ben.id}>" in str((await ask(stage, anna, f"admins add @{ben.name}")).text)
        assert "cannot be put on the list" in await asked(stage, anna, f"admins add @{guest.name}")
        assert "cannot be put on the list" in await asked(stage, anna, f"admins add @{stranger.name}")
        which = await ask(stage, ben, "unlink harbour bakery")
        buttons = [block for block in which.blocks if "unlink_channel" in str(block)]
        assert len(buttons) == 2
        of_night = next(block for block in buttons if night.id in str(block))
        await slack.press(ben.id, stage.support.id, which.ts, "unlink_channel", of_night["block_id"])
        await told(stage, ben, "Its threads stay")
        assert "Unlinked from" in await asked(stage, ben, "unlink harbour bakery #support")
        assert "no linked project" in await asked(stage, ben, "unlink harbour bakery")
        assert "nobody" in await asked(stage, anna, f"admins remove @{ben.name}")
        assert ONLY_ADMINS in await asked(stage, ben, "unlink harbour books")
        assert "Traceback" not in stage.service.said()


async def test_the_full_answer_follows_when_jollor_is_back_also_after_sigkill(
    tmp_path: Path, migrated_sqlite_url: str
) -> None:
    async with open_stage(tmp_path, migrated_sqlite_url) as stage:
        # Jollor hangs; the bridge is killed while it waits and started again
        hanging = stage.faults.add(End.JOLLOR, Fault(FaultKind.HANG), "*")
        for words in ("projects", "link harbour bakery #support", "status"):
            assert "…" in await at_once(stage, stage.anna, words)
        await eventually(lambda: hanging.applied >= 2, what="Jollor is asked", evidence=stage.evidence)
        await stage.service.kill()
        hanging.enabled = False
        await stage.service.start()

        def all_answered() -> bool:
            said = " ".join(seen.text for seen in answers(stage, stage.anna))
            return all(part in said for part in ("Jollor: 1 project", "now goes to #support", "Workers"))

        await eventually(all_answered, what="three full answers", evidence=stage.evidence)
        assert len(answers(stage, stage.anna)) == 3, "each once"

        # Jollor is away: one sentence now, the full answer when it is back; unlinking needs nobody
        await stage.jollor.down()
        waiting = await ask(stage, stage.anna, "projects")
        words = "Jollor cannot be reached. I keep trying, and answer here as soon as it works."
        assert waiting.text == words
        assert "Workers" in await asked(stage, stage.anna, "status")
        assert "Unlinked from" in await asked(stage, stage.anna, "unlink harbour")
        before = len(answers(stage, stage.anna))
        await stage.jollor.up()
        full = await following(stage, stage.anna, before, "what waited")
        assert "Jollor: 1 project" in full.text
        assert [seen.text for seen in answers(stage, stage.anna)].count(words) == 1


async def test_health_is_what_it_is(tmp_path: Path, migrated_sqlite_url: str) -> None:
    async with open_stage(tmp_path, migrated_sqlite_url) as stage:
        anna, webhook = stage.anna, stage.jollor.webhook(stage.bakery)
        assert webhook is not None
        stage.jollor.switches.webhook_shows_all = True
        assert "fine" in await asked(stage, anna, "projects")
        fine = await asked(stage, anna, "status")
        assert "All is well" in fine
        assert "last event" in fine

        # the webhook
        webhook.status = "disabled"
        for words in ("projects", "status"):
            assert "its webhook is disabled: link it again" in await asked(stage, anna, words)
        ours, webhook.callback_url = webhook.callback_url, "https://elsewhere.example/"
        assert "its webhook points elsewhere" in await asked(stage, anna, "projects")
        webhook.callback_url = ours
        assert "was tested" in await asked(stage, anna, "link harbour #support")
        assert "All is well" in await asked(stage, anna, "status")

        # an alert that stands
        stage.jollor.expire_profile(stage.bakery)
        alert = await eventually(
            lambda: next(iter(stage.seen("lost its connection")), None),
            what="an alert",
            evidence=stage.evidence,
        )
        assert "a social profile has to be reconnected" in await asked(stage, anna, "projects")
        await stage.slack.press(anna.id, stage.support.id, alert.ts, "mark_reconnected")
        await eventually(lambda: "reconnected" in alert.text, what="cleared", evidence=stage.evidence)
        assert "All is well" in await asked(stage, anna, "status")

        # a channel and a project that are away: said in both answers, in words without codes
        night = stage.slack.add_channel("night", members=[anna])
        await stage.link(stage.bakery, night)
        stage.slack.archive(stage.support.id)
        archived = "The channel is archived: unarchive it"
        await eventually_says(stage, anna, "projects", archived)
        assert archived in str((await ask_in(stage, anna, night.id, "status")).text)
        stage.faults.add(End.JOLLOR, Fault(FaultKind.STATUS, status=503), "*Messages")
        stage.faults.add(End.JOLLOR, Fault(FaultKind.STATUS, status=503), "getProject")
        stage.writes("Is it you or Jollor?")
        await eventually_says(stage, anna, "status", "Jollor for Harbour Bakery: Jollor is having trouble.")
        assert "Nothing is lost" in (await ask_in(stage, anna, night.id, "status")).text
        assert "paused since" in (await ask_in(stage, anna, night.id, "projects")).text


async def ask_in(stage: Stage, person: User, channel: str, words: str) -> Ephemeral:
    before = len(answers(stage, person))
    reply = await stage.slack.slash_command(person.id, channel, "/jollor", words)
    assert reply.error is None
    return await following(stage, person, before, words)


async def eventually_says(stage: Stage, person: User, words: str, expected: str) -> None:
    """Ask until the answer holds `expected`: what is asked about takes a moment to be noticed."""
    night = next(c for c in stage.slack.team.channels.values() if c.name == "night")
    said = ""
    for _ in range(30):
        said = (await ask_in(stage, person, night.id, words)).text
        if expected in said:
            return
    raise AssertionError(f"{expected!r} is not in {said!r}\n{stage.service.said()}")
