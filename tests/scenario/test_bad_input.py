"""Input that is wrong, hostile or incomplete, from every side, against the running service.

It never breaks the service, never holds up others, and is answered with a sentence where somebody waits.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import aiohttp
import pytest

from sandbox.jollor.switches import RenderForm
from sandbox.slack import Limits
from tests.scenario.stage import Stage, eventually, open_stage, shown

pytestmark = pytest.mark.timeout(120)


def sane(stage: Stage) -> None:
    """Nothing broke so far."""
    said = stage.service.said()
    assert "Traceback" not in said, said
    assert stage.service.process is not None
    assert stage.service.process.returncode is None, said


async def works(stage: Stage, name: str) -> None:
    """A message comes in and its answer goes out, whatever happened before."""
    conversation = stage.writes(f"Still there, {name}?", customer=name)
    root = await stage.thread(f"Still there, {name}?")
    stage.types(f"Yes, {name}.", root)
    await stage.customer_has(conversation, f"Yes, {name}.")


# --- from "Slack" ------------------------------------------------------------------------------------

Headers = dict[str, str]


def signed(stage: Stage, body: bytes, stamp: str | None = None) -> Headers:
    """Headers with which Slack would send `body`, at `stamp`."""
    at = str(int(time.time())) if stamp is None else stamp
    base = b"v0:" + at.encode() + b":" + body
    digest = hmac.new(stage.slack.signing_secret.encode(), base, hashlib.sha256).hexdigest()
    return {
        "X-Slack-Request-Timestamp": at,
        "X-Slack-Signature": f"v0={digest}",
        "Content-Type": "application/json",
    }


def forged(stage: Stage, body: bytes) -> list[Headers]:
    """Headers that Slack would not send with `body`."""
    good = signed(stage, body)
    without = {name: value for name, value in good.items() if "Signature" not in name}
    stale = [signed(stage, body, str(int(time.time()) + shift)) for shift in (-400, 400)]
    odd = [signed(stage, body, stamp) for stamp in ("abc", "", "-1", "1e9", "9" * 30, "١٢٣", "0x10")]
    wrong = [{**good, "X-Slack-Signature": value} for value in ("", "v0=", "v0=ü", "v1=00", "x" * 5000)]
    return [{}, without, *stale, *odd, *wrong]


def an_event(stage: Stage, **inner: object) -> bytes:
    event = {"type": "message", "channel": stage.support.id, "user": stage.ben.id, "ts": "1.1"}
    body = {"type": "event_callback", "team_id": stage.slack.team.id, "event": {**event, **inner}}
    return json.dumps(body).encode()


async def test_what_slack_did_not_sign_is_refused_and_what_it_signed_never_breaks_anything(
    tmp_path: Path, migrated_sqlite_url: str
) -> None:
    async with open_stage(tmp_path, migrated_sqlite_url) as stage, aiohttp.ClientSession() as http:
        url = f"{stage.service.url}/slack/events"
        robin = stage.writes("Hello")
        root = await stage.thread("Hello")

        async def post(body: bytes, headers: Headers) -> int:
            async with http.post(url, data=BytesIO(body), headers=headers) as answer:
                return answer.status

        reply = an_event(stage, text="forged", thread_ts=root.ts, ts="1795000000.000100")
        for headers in forged(stage, reply):
            assert await post(reply, headers) == 401, headers
        async with http.get(url) as answer:
            assert answer.status == 405
        assert await post(b" " * (2**20 + 1), signed(stage, b"")) == 413

        strange: list[bytes] = [
            b"",
            b"null",
            b"[]",
            b"{",
            b"\xff\xfe",
            b"payload=%7B",
            b'{"type": "event_callback"}',
            b'{"type": "event_callback", "event": {}}',
            b'{"type": "event_callback", "event": {"type": 7}}',
            b'{"type": "nobody_knows", "event": {"type": "message"}}',
            b'payload={"type":"block_actions","actions":[]}',
            b'payload={"type":"view_submission"}',
            b"command=%2Fjollor&text=%00%ED%A0%80",
            b"command=%2Fjollor&text=projects",
            an_event(stage, text="\0\ud800", thread_ts=root.ts, ts="1795000000.000200", user=None),
            an_event(stage, text="x" * 900_000, thread_ts=root.ts, ts="not a time"),
            an_event(stage, text=None, thread_ts=[root.ts], ts=5, files={"a": 1}, blocks="b"),
            an_event(stage, subtype="message_changed", message=7, previous_message=[]),
            an_event(stage, subtype="message_deleted", deleted_ts=None),
            an_event(stage, type="member_joined_channel", user={"id": 1}),
            an_event(stage, type="channel_archive", channel={"id": stage.support.id}),
        ]
        for body in strange:
            form = not body.lstrip().startswith((b"{", b"["))
            headers = signed(stage, body)
            if form:
                headers["Content-Type"] = "application/x-www-form-urlencoded"
            assert await post(body, headers) in (200, 400, 401, 404), body[:200]
        await works(stage, "Kim")
        assert stage.received(robin) == []
        assert stage.slack.signing_secret not in stage.service.said()
        sane(stage)


# --- from Jollor -------------------------------------------------------------------------------------

BENT = {
    "Message.sender",
    "Message.recipient",
    "Message.sent_at",
    "Message.provider",
    "Message.is_incoming",
    "Conversation.last_message_at",
    "Project.name",
    "MessageCapabilities.reply",
    "MessageCapabilities.max_reply_length",
    "MessageCapabilities.attachment_formats",
    "*._links",
    "TokenResponse.expire_in",
    "TokenResponse.scope",
    "TokenResponse.token_type",
    "TokenResponse.refresh_token",
    "Event.date",
    "Agency.name",
    "Agency.roles",
}


async def test_whatever_jollor_leaves_out_or_bends_people_see_what_there_is(
    tmp_path: Path, migrated_sqlite_url: str
) -> None:
    async with open_stage(tmp_path, migrated_sqlite_url) as stage:
        switches = stage.jollor.switches
        switches.render_form = RenderForm.HTML
        kinds: dict[str, Callable[[set[str]], None]] = {
            "missing": lambda names: setattr(switches, "missing_members", names),
            "null": lambda names: setattr(switches, "null_members", names),
            "mistyped": lambda names: setattr(switches, "mistyped_members", names),
        }
        for kind, bend in kinds.items():
            bend(BENT)
            stage.jollor.expire_tokens()
            stage.writes(f"all but the text is {kind}", customer=kind)
            root = await stage.thread(f"all but the text is {kind}")
            dialogue = stage.jollor.start_dialogue(stage.writes(f"and more {kind}", customer=kind))
            await stage.line(root, f"and more {kind}")
            await stage.line(root, "started")
            stage.jollor.end_dialogue(dialogue)
            await stage.line(root, "ended")
            bend({"Message.text", "Post.provider", "Post.is_incoming", "Participant.name"})
            stage.writes("this is not told", customer=f"mute {kind}")
            await eventually(
                lambda: stage.seen("no text"), what=f"a line without {kind} text", evidence=stage.evidence
            )
            stage.jollor.comment(stage.bakery, "instagram", "Mia", f"a comment, {kind}")
            await eventually(
                lambda kind=kind: stage.seen(f"a comment, {kind}"),  # type: ignore[misc]
                what="a comment",
                evidence=stage.evidence,
            )
            stage.slack.people.delete(stage.support.id, stage.seen("no text")[0].ts, by=stage.anna.id)
            bend(set())
            await works(stage, f"after {kind}")
        switches.unknown_members = True
        await works(stage, "unknown")
        sane(stage)


HOSTILE_IDS = (
    "../../projects/x?y=1#z",
    "a b%2Fc%00",
    "t_100:mid.$cAAA=+/==",
    "🙂" * 40,
    "'; drop table messages;--",
    "x" * 900,
    '"\\\n\t',
)
HOSTILE_TEXTS = (
    "a\0b",
    "half an emoji \ud83d.",
    "\u202eright to left",
    "`" * 50,
    "<!channel> <@U0> &amp; *b*",
    " \n ",
    "",
)


@pytest.mark.postgres  # which takes less than SQLite does
async def test_hostile_ids_names_and_texts_reach_their_thread_and_harm_nobody(
    tmp_path: Path, migrated_postgres_url: str
) -> None:
    async with open_stage(tmp_path, migrated_postgres_url, limits=Limits(enabled=False)) as stage:
        for number, hostile in enumerate(HOSTILE_IDS):
            message = stage.jollor.customer_writes(
                stage.bakery, f"net{hostile[:9]}", hostile[:300], f"id number {number}", hostile
            )
            root = await stage.thread(f"id number {number}")
            if number < 4:  # an answer finds its way back through the same id
                stage.types("noted", root)
                await stage.customer_has(message.conversation, "noted")
        for number, text in enumerate(HOSTILE_TEXTS):
            stage.writes(f"{text} number {number}", customer="Kim")
            found = await eventually(
                lambda number=number: stage.seen(f"number {number}"),  # type: ignore[misc]
                what=f"text {number}",
                evidence=stage.evidence,
            )
            assert all(stage.slack.pings(stage.support.id, m.ts) == set() for m in found)
        stage.writes("", customer="Nobody")
        stage.writes("long " * 200_000, customer="Writer")
        first = await eventually(
            lambda: stage.seen("long long"), what="the beginning of a megabyte", evidence=stage.evidence
        )
        assert all(len(shown(part)) < 13_000 for part in first)
        await works(stage, "Robin")
        sane(stage)


# --- from who runs it --------------------------------------------------------------------------------


async def test_what_slack_does_not_allow_is_told_to_who_can_mend_it_and_made_up_for(
    tmp_path: Path, migrated_sqlite_url: str
) -> None:
    async with open_stage(tmp_path, migrated_sqlite_url) as stage:

        async def answer(words: str) -> str:
            before = len(stage.slack.ephemerals(stage.anna.id))
            place = next(c for c in stage.slack.team.channels.values() if not c.is_deleted)
            await stage.slack.slash_command(stage.anna.id, place.id, "/jollor", words)
            seen = await eventually(
                lambda: stage.slack.ephemerals(stage.anna.id)[before + 1 :],
                what="an answer",
                evidence=stage.evidence,
            )
            return seen[-1].text

        async def status_says(words: str) -> str:
            said = ""
            for _ in range(30):
                said = await answer("status")
                if words in said:
                    return said
            raise AssertionError(f"{words!r} is not in {said!r}\n{stage.service.said()}")

        # a scope is missing: everything waits, a person is told which, and it goes on by itself
        install = stage.slack.team.install
        all_scopes, install.scopes = install.scopes, install.scopes - {"chat:write"}
        stage.writes("Can you speak?")
        await status_says("The Jollor app needs the Slack scope chat:write. Add it to the app and install it")
        install.scopes = all_scopes
        await stage.thread("Can you speak?")

        # the token is revoked: whoever runs it is told
        stage.slack.revoke_token()
        stage.writes("Hello?", customer="Kim")
        code, out, err = await stage.run("doctor")
        assert code == 1
        assert "Install the app again to go on." in out + err
        assert "xoxb" not in out + err + stage.service.said()
        install.revoked_because = None
        await stage.thread("Hello?")

        # the channel is deleted: said, and another one takes over
        stage.slack.people.delete_channel(stage.support.id, by=stage.anna.id)
        refuge = stage.slack.add_channel("refuge", members=[stage.anna])
        stage.writes("Anybody?", customer="Mia")
        await status_says("The channel was deleted: link the project to another one.")
        assert "it was deleted, or it is private" in await answer(f"link harbour <#{stage.support.id}>")
        assert "has ended: that channel is closed" in await answer("link harbour #refuge")
        assert "is not linked there" in await answer(f"unlink harbour <#{stage.support.id}>")
        stage.writes("And now?", customer="Mia")
        root = await stage.thread("Anybody?", channel=refuge)
        await eventually(
            lambda: [m for m in stage.replies(root, channel=refuge) if "And now?" in shown(m)],
            what="what is written from now on, below what waited",
            evidence=stage.evidence,
        )
        assert "deleted" not in await answer("status")
        _, dead_letters, _ = await stage.run("jobs", "list", "--state", "discarded", "--json")
        assert dead_letters.strip() in ("", "[]")
        sane(stage)


async def test_wrong_settings_are_named_without_their_values(tmp_path: Path, sqlite_url: str) -> None:
    wrong = {
        "SLACK_BOT_TOKEN": "hunter2-not-a-token",
        "BRIDGE_PUBLIC_URL": "http://bridge.example/hunter2",
        "BRIDGE_UNDO_WINDOW_S": "hunter2",
        "BRIDGE_ENCRYPTION_KEYS": "hunter2",
        "JOLLOR_PASSWORD": "",
    }
    async with open_stage(tmp_path, sqlite_url, link=False, start=False, environment=wrong) as stage:
        code, out, err = await stage.run("serve")
        assert (code, out) == (2, "")
        for name in wrong:
            assert name in err
        assert "hunter2" not in err
        assert "Traceback" not in err
        assert not (tmp_path / "bridge.db").exists()
        stage.service.environment |= {
            "SLACK_BOT_TOKEN": stage.slack.bot_token,
            "BRIDGE_PUBLIC_URL": stage.service.url,
            "BRIDGE_UNDO_WINDOW_S": "0",
            "JOLLOR_PASSWORD": "p",
        }
        stage.service.environment["BRIDGE_ENCRYPTION_KEYS"] = ""
        stage.service.environment["BRIDGE_DATABASE_URL"] = "sqlite:////proc/no/bridge.db"
        code, _, err = await stage.run("serve")
        assert (code, err.count("\n"), "Traceback" in err) == (1, 1, False)
