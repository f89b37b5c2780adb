"""What never goes out: talk among the team, people who may not, bots and noise, lines nobody relays."""

from __future__ import annotations

from pathlib import Path

from sandbox.slack import Message
from sandbox.slack.people import Upload
from tests.outbound_support import commands, notices
from tests.scenario.stage import Stage, eventually, open_stage, shown


async def refused(stage: Stage, root: Message, words: str, lines: list[str]) -> None:
    """Wait until each of `lines` has ❌ and a sentence of its own with `words`."""
    for ts in lines:
        await stage.marked(ts, "x")
    await eventually(
        lambda: len(notices(stage, root, words)) == len(lines),
        what=f"{len(lines)} times {words!r}",
        evidence=stage.evidence,
    )
    assert all("othing was sent" in shown(said) for said in notices(stage, root, words))


async def test_talk_among_the_team_stays_inside_and_is_marked(tmp_path: Path, migrated_url: str) -> None:
    async with open_stage(tmp_path, migrated_url) as stage:
        robin = stage.writes("Where is my parcel?")
        root = await stage.thread("Where is my parcel?")
        bot = stage.slack.team.bot.id
        inside = [
            "// do we know him?",
            "  //without a blank",
            "／／ from a wide keyboard",
            "*//* in bold",
            "🔇 quiet",
            ":mute: quiet as a word",
            f"<@{stage.anna.id}> can you look?",
            f"Let me ask <@{stage.anna.id}>",
            "<!here> anybody?",
            "@channel who knows?",
            "<!subteam^S0123456789> please",
            f"<@{bot}> what is the status?",
        ]
        notes = [stage.types(text, root) for text in inside]
        notes.append(stage.slack.say(stage.ben.id, stage.support.id, "// x", root.ts, files=[Upload()]))
        channel = stage.types(f"I have asked in <#{stage.support.id}>.", root)
        await stage.marked(channel, "white_check_mark")
        for note in notes:
            await stage.marked(note, "lock")
        assert stage.received(robin) == ["I have asked in #support."]
        assert not notices(stage, root)


async def test_who_may_not_answer_customers_and_what_cannot_be_sent_is_refused_with_a_sentence(
    tmp_path: Path, migrated_sqlite_url: str
) -> None:
    async with open_stage(tmp_path, migrated_sqlite_url) as stage:
        slack, place = stage.slack, stage.support.id
        guest = slack.add_user("Gil", is_restricted=True)
        single = slack.add_user("Sol", is_ultra_restricted=True)
        stranger = slack.add_user("Sam", home_team_id="T0ELSEWHERE")
        for person in (guest, single, stranger):
            slack.join(person.id, place)
        robin = stage.writes("Hello?")
        root = await stage.thread("Hello?")
        guests = [stage.types("From a guest", root, by=guest), stage.types("Also", root, by=single)]
        strangers = [stage.types("From a partner", root, by=stranger)]
        files = [
            slack.say(stage.ben.id, place, "", root.ts, files=[Upload()]),
            slack.say(stage.ben.id, place, "Look at this", root.ts, files=[Upload(), Upload("b.pdf")]),
            slack.say(stage.ben.id, place, "Shared", root.ts, files=[Upload(is_connect=True)]),
        ]
        note = stage.types("// guests may think aloud", root, by=guest)
        await refused(stage, root, "Guests", guests)
        await refused(stage, root, "other organisations", strangers)
        await refused(stage, root, "Files cannot be sent from Slack", files)
        await stage.marked(note, "lock")

        newcomer = slack.add_user("Nia")
        slack.join(newcomer.id, place)
        slack.team.install.scopes -= {"users:read"}
        unknown = stage.types("Nobody can say who I am", root, by=newcomer)
        await refused(stage, root, "users:read", [unknown])
        assert stage.received(robin) == []


async def test_noise_is_passed_over_in_silence_and_who_writes_where_nobody_reads_is_told_once(
    tmp_path: Path, migrated_sqlite_url: str
) -> None:
    async with open_stage(tmp_path, migrated_sqlite_url) as stage:
        slack, place = stage.slack, stage.support.id
        lounge = slack.add_channel("lounge", members=[stage.anna, stage.ben])
        bot, newcomer = slack.add_user("Weather", is_bot=True), slack.add_user("Nia")
        robin = stage.writes("Hello?")
        root = await stage.thread("Hello?")
        slack.join(bot.id, place)
        slack.join(newcomer.id, place)
        noise = stage.types("It will rain.", root, by=bot)
        slack.rename(place, "customer-support")
        slack.react(stage.ben.id, place, root.ts, "eyes")
        slack.people.leave(newcomer.id, place)
        own = slack.say(stage.ben.id, place, "Dear Robin, yes!")
        slack.say(stage.ben.id, place, "Is this on?")
        slack.say(stage.anna.id, place, "// just talking")
        slack.say(stage.anna.id, place, "About Ben's line", own)
        slack.say(stage.anna.id, lounge.id, "Lunch?")
        await eventually(
            lambda: slack.ephemerals(stage.ben.id), what="a word to Ben", evidence=stage.evidence
        )
        stage.jollor.expire_profile(stage.bakery)
        alert = await eventually(
            lambda: next((m for m in stage.seen("onnection") if not m.is_reply), None),
            what="an alert",
            evidence=stage.evidence,
        )
        slack.say(stage.anna.id, place, "We are on it.", alert.ts)
        slack.say(stage.anna.id, place, "Done.", alert.ts)
        told = await eventually(
            lambda: slack.ephemerals(stage.anna.id), what="a word to Anna", evidence=stage.evidence
        )
        await slack.courier.idle()
        assert [seen.thread_ts for seen in told] == [alert.ts]
        assert "stays in Slack" in told[0].text
        (said,) = slack.ephemerals(stage.ben.id)
        assert "Only replies in a conversation's thread reach the customer" in said.text
        assert not slack.ephemerals(newcomer.id)
        assert not notices(stage, root)
        line = stage.types("From a person", root)
        await stage.marked(line, "white_check_mark")
        assert stage.received(robin) == ["From a person"]
        assert slack.marks(place, noise) == slack.marks(place, own) == []


async def test_lines_under_a_post_and_in_an_unlinked_thread_stay_and_that_is_said(
    tmp_path: Path, migrated_sqlite_url: str
) -> None:
    async with open_stage(tmp_path, migrated_sqlite_url) as stage:
        post = stage.jollor.comment(stage.bakery, "instagram", "Mia", "Lovely bread!")
        other = stage.jollor.comment(stage.bakery, "twitter", "Tom", "Too dark.")
        robin = stage.writes("Hello?")
        for root in (await stage.thread("Instagram"), await stage.thread("Twitter")):
            for ts in (stage.types("Thanks!", root), stage.types("Shall we?", root)):
                await stage.marked(ts, "lock")
            await stage.line(root, "Lines under a post stay in Slack")
            assert len(notices(stage, root)) == 1
        assert stage.jollor.seen_under(post) == stage.jollor.seen_under(other) == []

        root = await stage.thread("Hello?")
        await commands(stage, "unlink Harbour Bakery #support", "Unlinked from")
        line, note = stage.types("Yes?", root), stage.types("// odd", root)
        await refused(stage, root, "not linked to the channel any more", [line])
        await stage.marked(note, "lock")
        await commands(stage, "link Harbour Bakery #support", "now goes to")
        again = stage.types("Yes.", root)
        await stage.marked(again, "white_check_mark")
        assert stage.received(robin) == ["Yes."]
