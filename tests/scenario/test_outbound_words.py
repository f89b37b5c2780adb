"""What a customer reads is what a person typed, on whatever network and whatever the conversation's id."""

from __future__ import annotations

from pathlib import Path

from sandbox.slack.model import Json
from tests.outbound_support import A_SECOND, replies_sent
from tests.scenario.stage import open_stage

CODE = "```if a < b && b > 0:\n    *p = <!here>```"

# As typed in Slack's composer, and as the customer is to read it.
TYPED: tuple[tuple[str, str], ...] = (
    ("Fish & chips <3 > 2 &amp; so on", "Fish & chips <3 > 2 &amp; so on"),
    ("See https://example.com/a?b=1&c=2, please.", "See https://example.com/a?b=1&c=2, please."),
    ("Please <https://example.com/t?x=1&y=2|track it>", "Please track it (https://example.com/t?x=1&y=2)"),
    ("On <https://example.com|example.com> only", "On example.com only"),
    ("Write to <mailto:hi@example.com|hi@example.com>", "Write to hi@example.com"),
    ("Write to <mailto:hi@example.com|our office>", "Write to our office (hi@example.com)"),
    ("Great :smile: :tada: :+1::skin-tone-4: 👋🏿", "Great 😄 🎉 👍🏽 👋🏿"),
    ("Our own :harbour_gull: stays a word", "Our own :harbour_gull: stays a word"),
    (
        "*bold* _italic_ ~gone~ `code` *_both_* 5*3*2 snake_case",
        "bold italic gone code both 5*3*2 snake_case",
    ),
    (
        "We have:\n- bread\n    - dark\n    - light\n- rolls",
        "We have:\n• bread\n    • dark\n    • light\n• rolls",
    ),
    ("1. turn left\n2. ring the *bell*", "1. turn left\n2. ring the bell"),
    (CODE, "if a < b && b > 0:\n    *p = <!here>"),
    ("Type `<@U123> & <!here>`", "Type <@U123> & <!here>"),
    ("> Are you open?\nYes, we are.", "> Are you open?\nYes, we are."),
    ("Dear Robin,\n\nsee you on Sunday.\n\nBen", "Dear Robin,\n\nsee you on Sunday.\n\nBen"),
    ("http//: and a/b // c stay", "http//: and a/b // c stay"),
)

# Without blocks, as some clients and other apps send it: only Slack's markup is there.
MARKUP: tuple[tuple[str, str], ...] = (
    ("a &lt;b&gt; &amp;amp; *c* <https://example.com/x|here>", "a <b> &amp; c here (https://example.com/x)"),
    ("&gt; asked\n• one\n◦ two :wave::skin-tone-3:", "> asked\n• one\n◦ two 👋🏼"),
    ("<mailto:hi@example.com|hi@example.com> <tel:+4912345|+49 123 45>", "hi@example.com +49 123 45"),
)


NETWORKS = ("instagram", "twitter", "zalo", "linkedin", "telegram")


async def test_a_customer_reads_what_a_person_typed_on_every_network(
    tmp_path: Path, migrated_sqlite_url: str
) -> None:
    async with open_stage(tmp_path, migrated_sqlite_url, environment=A_SECOND) as stage:
        robin = stage.writes("Hello?")
        root = await stage.thread("Hello?")
        channel, ben = stage.support.id, stage.ben.id
        none: list[Json] = []
        lines = [stage.types(text, root) for text, _ in TYPED]
        lines += [
            stage.slack.people.say(ben, channel, "x", thread_ts=root.ts, raw_text=text, raw_blocks=none)
            for text, _ in MARKUP
        ]
        lines.append(stage.types(f"Ask in <#{channel}>", root))
        lines.append(stage.slack.people.say(ben, channel, "waves", thread_ts=root.ts, me=True))
        lines.append(stage.slack.say(ben, channel, "To all of us, too", thread_ts=root.ts, broadcast=True))
        expected = [text for _, text in (*TYPED, *MARKUP)]
        expected += ["Ask in #support", "waves", "To all of us, too"]
        await stage.marked(lines[-1], "white_check_mark")
        assert stage.received(robin) == expected
        for ts in lines:
            await stage.marked(ts, "white_check_mark")

        conversations = {name: stage.writes(f"Hi from {name}", provider=name) for name in NETWORKS}
        for name, conversation in conversations.items():
            root = await stage.thread(f"Hi from {name}")
            line = stage.types(f"Hello {name}", root)
            await stage.marked(line, "white_check_mark")
            assert stage.received(conversation) == [f"Hello {name}"]
        ids = robin.id + "".join(conversation.id for conversation in conversations.values())
        assert all(sign in ids for sign in "/+=_")
        assert {entry.status for entry in replies_sent(stage)} == {200}
