"""What an app hears from the simulated Slack over HTTP: events with retries, commands, clicks, modals."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

import aiohttp
import pytest
from aiohttp import web
from slack_sdk.errors import SlackApiError
from slack_sdk.signature import SignatureVerifier
from slack_sdk.web.async_client import AsyncWebClient

from sandbox.clock import SandboxClock
from sandbox.faults import Fault, FaultKind
from sandbox.slack import ALL_SCOPES, Channel, Limits, NotPossible, SimulatedSlack, Upload, User
from sandbox.wire import Direction, End

Json = dict[str, Any]
Answer = Callable[[Json], Awaitable[web.StreamResponse]]


async def ok(_payload: Json) -> web.StreamResponse:
    return web.Response()


@dataclass
class Ear:
    """An app's `/slack/events`: refuses bad signatures, keeps what it heard, answers as told."""

    verifier: SignatureVerifier
    answers: list[Answer] = field(default_factory=list)
    """Answers for the next requests; 200 when they are used up."""
    heard: list[Json] = field(default_factory=list)
    retries: list[tuple[str | None, str | None]] = field(default_factory=list)

    async def take(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        if not self.verifier.is_valid_request(body, dict(request.headers)):
            return web.Response(status=401)
        payload = json.loads(body) if request.content_type == "application/json" else _form(body)
        self.heard.append(payload)
        self.retries.append(
            (request.headers.get("x-slack-retry-num"), request.headers.get("x-slack-retry-reason"))
        )
        if payload.get("type") == "url_verification":
            return web.Response(text=payload["challenge"])
        answer = self.answers.pop(0) if self.answers else ok
        return await answer(payload)

    def events(self) -> list[Json]:
        return [payload["event"] for payload in self.heard]


def _form(body: bytes) -> Json:
    fields = {name: values[0] for name, values in parse_qs(body.decode(), keep_blank_values=True).items()}
    if "payload" in fields:
        decoded: Json = json.loads(fields["payload"])
        return decoded
    return dict(fields)


@pytest.fixture
async def slack() -> AsyncIterator[SimulatedSlack]:
    # a minute of retries takes 3 ms; what is not divided by the scale is set where it matters
    slack = await SimulatedSlack.start(clock=SandboxClock(20_000), limits=Limits(enabled=False))
    yield slack
    await slack.stop()


@pytest.fixture
async def ear(slack: SimulatedSlack) -> AsyncIterator[Ear]:
    ear = Ear(SignatureVerifier(slack.signing_secret))
    app = web.Application()
    app.router.add_post("/slack/events", ear.take)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    slack.events_url = f"http://127.0.0.1:{runner.addresses[0][1]}/slack/events"
    yield ear
    await runner.cleanup()


@pytest.fixture
async def client(slack: SimulatedSlack) -> AsyncIterator[AsyncWebClient]:
    async with aiohttp.ClientSession() as session:
        yield AsyncWebClient(slack.bot_token, slack.api_url, session=session, retry_handlers=[])


@pytest.fixture
def anna(slack: SimulatedSlack) -> User:
    return slack.add_user("Anna", is_admin=True)


@pytest.fixture
def support(slack: SimulatedSlack, anna: User) -> Channel:
    return slack.add_channel("support", members=[anna])


def a_status(status: int, **headers: str) -> Answer:
    async def answer(_payload: Json) -> web.StreamResponse:
        return web.Response(status=status, headers=headers)

    return answer


def a_json(body: object) -> Answer:
    async def answer(_payload: Json) -> web.StreamResponse:
        return web.json_response(body)

    return answer


async def silence(_payload: Json) -> web.StreamResponse:
    """Answer never; ends when Slack hangs up."""
    await asyncio.Event().wait()
    raise AssertionError


def a_button(action_id: str = "go", value: str = "7") -> Json:
    text = {"type": "plain_text", "text": "Go"}
    button = {"type": "button", "action_id": action_id, "text": text, "value": value}
    return {"type": "actions", "block_id": "row", "elements": [button]}


# events


async def test_a_line_is_an_event_as_slack_sends_it(
    slack: SimulatedSlack, ear: Ear, anna: User, support: Channel
) -> None:
    ts = slack.say(anna.id, support.id, "hi <b> & *all* 👍🏽")
    await slack.courier.idle()
    (payload,) = ear.heard
    assert payload["type"] == "event_callback"
    assert payload["team_id"] == slack.team.id
    assert payload["api_app_id"] == slack.app.id
    assert payload["event_time"] == int(float(ts))
    assert payload["authorizations"][0]["user_id"] == slack.team.bot.id
    event = payload["event"]
    assert event["text"] == "hi &lt;b&gt; &amp; *all* :+1::skin-tone-4:"
    assert event["blocks"][0]["type"] == "rich_text"
    assert event["client_msg_id"]
    assert (event["user"], event["channel"], event["channel_type"], event["ts"], event["event_ts"]) == (
        anna.id,
        support.id,
        "channel",
        ts,
        ts,
    )
    assert slack.courier.acknowledged == [payload["event_id"]]


async def test_a_wrong_secret_is_refused_by_the_app(
    slack: SimulatedSlack, ear: Ear, anna: User, support: Channel
) -> None:
    slack.app.signing_secret = "another"
    slack.say(anna.id, support.id, "hi")
    await slack.courier.idle()
    assert ear.heard == []
    assert [(lost.attempts, lost.reason) for lost in slack.courier.lost] == [(4, "http_error")]


async def test_a_refused_event_is_repeated_three_times_with_the_reason_and_then_dropped(
    slack: SimulatedSlack, ear: Ear, anna: User, support: Channel
) -> None:
    ear.answers = [a_status(500)] * 4
    slack.say(anna.id, support.id, "hi")
    await slack.courier.idle()
    assert ear.retries == [(None, None), ("1", "http_error"), ("2", "http_error"), ("3", "http_error")]
    assert len({payload["event_id"] for payload in ear.heard}) == 1
    assert [lost.event.inner["text"] for lost in slack.courier.lost] == ["hi"]


async def test_a_slow_answer_counts_as_none(
    slack: SimulatedSlack, ear: Ear, anna: User, support: Channel
) -> None:
    slack.switches.ack_limit_s = 0.05
    ear.answers = [silence]
    slack.say(anna.id, support.id, "hi")
    await slack.courier.idle()
    assert ear.retries == [(None, None), ("1", "http_timeout")]
    assert len(slack.courier.acknowledged) == 1


async def test_a_refused_retry_is_not_made(
    slack: SimulatedSlack, ear: Ear, anna: User, support: Channel
) -> None:
    ear.answers = [a_status(500, **{"x-slack-no-retry": "1"})]
    slack.say(anna.id, support.id, "hi")
    await slack.courier.idle()
    assert len(ear.heard) == len(slack.courier.lost) == 1


async def test_nobody_listening_is_a_failed_connection_and_delayed_events_come_hourly(
    slack: SimulatedSlack, ear: Ear, anna: User, support: Channel
) -> None:
    def refused() -> list[str]:
        return [entry.response for entry in slack.wire.entries(direction=Direction.OUT) if entry.finished]

    real, slack.events_url = slack.events_url, "http://127.0.0.1:1/slack/events"
    slack.switches.delayed_events = True
    slack.say(anna.id, support.id, "hi")
    await slack.until(lambda: len(refused()) >= 5)
    assert set(refused()) == {"connection_failed"}
    slack.events_url = real
    await slack.courier.idle()
    assert len(slack.courier.acknowledged) == 1
    assert int(ear.retries[0][0] or 0) >= 5


async def test_only_what_was_subscribed_and_granted_is_sent_and_only_from_where_the_bot_is(
    slack: SimulatedSlack, ear: Ear, anna: User, support: Channel
) -> None:
    elsewhere = slack.add_channel("elsewhere", members=[anna], with_bot=False)
    slack.say(anna.id, elsewhere.id, "not ours")
    slack.app.subscriptions = frozenset({"message.channels"})
    ts = slack.say(anna.id, support.id, "ours")
    slack.react(anna.id, support.id, ts, "eyes")
    ungranted = slack.add_team("Ungranted", scopes=ALL_SCOPES - {"channels:history"})
    bob = slack.add_user("Bob", team=ungranted)
    slack.say(bob.id, slack.add_channel("x", members=[bob], team=ungranted).id, "not granted")
    await slack.courier.idle()
    assert [event["text"] for event in ear.events()] == ["ours"]


async def test_our_own_posts_come_back_and_customised_ones_have_no_user(
    slack: SimulatedSlack, ear: Ear, client: AsyncWebClient, support: Channel
) -> None:
    await client.chat_postMessage(channel=support.id, text="plain")
    ts = (await client.chat_postMessage(channel=support.id, text="named", username="Ina"))["ts"]
    await slack.courier.idle()
    await client.chat_update(channel=support.id, ts=ts, text="changed")
    await slack.courier.idle()
    plain, named, changed = ear.events()
    bot_id = slack.team.install.bot_id
    assert (plain["user"], plain["bot_id"], plain.get("subtype")) == (slack.team.bot.id, bot_id, None)
    assert (named["subtype"], named["bot_id"], named["username"]) == ("bot_message", bot_id, "Ina")
    assert "user" not in named
    assert (changed["subtype"], changed["hidden"]) == ("message_changed", True)
    assert (changed["message"]["text"], changed["previous_message"]["text"]) == ("changed", "named")
    assert changed["message"]["bot_id"] == bot_id
    assert "user" not in changed["message"]


async def test_an_edit_is_marked_and_an_unfurling_is_not(
    slack: SimulatedSlack, ear: Ear, anna: User, support: Channel
) -> None:
    ts = slack.say(anna.id, support.id, "see https://example.com")
    await slack.courier.idle()
    slack.people.unfurl(support.id, ts)
    await slack.courier.idle()
    slack.edit(support.id, ts, "look")
    await slack.courier.idle()
    _new, unfurled, edited = ear.events()
    assert unfurled["subtype"] == edited["subtype"] == "message_changed"
    assert "edited" not in unfurled["message"]
    assert unfurled["message"]["text"] == unfurled["previous_message"]["text"]
    assert edited["message"]["edited"]["user"] == anna.id
    assert edited["message"]["text"] == "look"


async def test_unfurling_happens_by_itself_if_the_switch_says_so(
    slack: SimulatedSlack, ear: Ear, client: AsyncWebClient, anna: User, support: Channel
) -> None:
    slack.switches.unfurls = True
    slack.say(anna.id, support.id, "see https://example.com")
    await client.chat_postMessage(channel=support.id, text="<https://a.example>", unfurl_links=False)
    await client.chat_postMessage(channel=support.id, text="<https://b.example>")
    await slack.courier.idle()
    changed = [e["message"]["text"] for e in ear.events() if e.get("subtype") == "message_changed"]
    assert sorted(changed) == ["<https://b.example>", "see <https://example.com>"]


async def test_a_deletion_names_what_was_deleted_and_a_root_with_replies_becomes_a_tombstone(
    slack: SimulatedSlack, ear: Ear, anna: User, support: Channel
) -> None:
    root = slack.say(anna.id, support.id, "root")
    reply = slack.say(anna.id, support.id, "reply", thread_ts=root)
    slack.delete(support.id, root)
    slack.delete(support.id, reply)
    await slack.courier.idle()
    by_subtype = {event.get("subtype"): event for event in ear.events()}
    assert by_subtype["message_changed"]["message"]["subtype"] == "tombstone"
    assert by_subtype["message_changed"]["previous_message"]["text"] == "root"
    assert by_subtype["message_deleted"]["deleted_ts"] == reply
    assert by_subtype["message_deleted"]["previous_message"]["text"] == "reply"


async def test_a_deleted_root_can_be_gone_altogether(
    slack: SimulatedSlack, ear: Ear, anna: User, support: Channel
) -> None:
    slack.switches.deleted_root = "gone"
    root = slack.say(anna.id, support.id, "root")
    slack.say(anna.id, support.id, "reply", thread_ts=root)
    slack.delete(support.id, root)
    await slack.courier.idle()
    assert {event.get("subtype") for event in ear.events()} == {None, "message_deleted"}
    assert [m.text for m in slack.messages(support.id)] == ["reply"]


async def test_special_lines_have_their_subtypes(
    slack: SimulatedSlack, ear: Ear, anna: User, support: Channel
) -> None:
    root = slack.say(anna.id, support.id, "root")
    slack.say(anna.id, support.id, "a picture", thread_ts=root, files=[Upload("cat.png")])
    slack.say(anna.id, support.id, "from outside", files=[Upload(is_connect=True)])
    slack.say(anna.id, support.id, "loud", thread_ts=root, broadcast=True)
    slack.people.say(anna.id, support.id, "waves", me=True)
    await slack.courier.idle()
    by_text = {event["text"]: event for event in ear.events()}
    assert by_text["a picture"]["subtype"] == "file_share"
    assert by_text["a picture"]["files"][0]["name"] == "cat.png"
    assert by_text["a picture"]["thread_ts"] == root
    assert by_text["a picture"]["parent_user_id"] == anna.id
    assert by_text["from outside"]["files"][0]["file_access"] == "check_file_info"
    assert by_text["loud"]["subtype"] == "thread_broadcast"
    assert by_text["loud"]["root"]["text"] == "root"
    assert by_text["waves"]["subtype"] == "me_message"


async def test_what_happens_to_channels_people_and_the_install_is_told(
    slack: SimulatedSlack, ear: Ear, anna: User, support: Channel
) -> None:
    bob = slack.add_user("Bob")
    slack.join(bob.id, support.id)
    slack.rename(support.id, "help")
    slack.archive(support.id)
    slack.unarchive(support.id)
    slack.people.change_user(bob.id, display_name="Bobby")
    slack.kick_bot(support.id)
    slack.people.delete_channel(support.id)
    slack.uninstall()
    await slack.courier.idle()
    told = {event["type"] for event in ear.events()} | {event.get("subtype") for event in ear.events()}
    assert told >= {
        "channel_join",
        "member_joined_channel",
        "channel_rename",
        "channel_archive",
        "channel_unarchive",
        "user_change",
        "member_left_channel",
        "channel_left",
        "channel_deleted",
        "tokens_revoked",
        "app_uninstalled",
    }


async def test_a_mention_of_the_bot_and_a_reaction_are_events_of_their_own(
    slack: SimulatedSlack, ear: Ear, anna: User, support: Channel
) -> None:
    ts = slack.say(anna.id, support.id, f"<@{slack.team.bot.id}> help")
    slack.react(anna.id, support.id, ts, "eyes")
    await slack.courier.idle()
    by_type = {event["type"]: event for event in ear.events()}
    assert by_type["app_mention"]["ts"] == ts
    assert by_type["reaction_added"]["item"] == {"type": "message", "channel": support.id, "ts": ts}
    assert (by_type["reaction_added"]["reaction"], by_type["reaction_added"]["item_user"]) == (
        "eyes",
        anna.id,
    )


async def test_other_bots_and_strangers_are_recognisable(
    slack: SimulatedSlack, ear: Ear, anna: User, support: Channel
) -> None:
    robot = slack.add_user("Robot", is_bot=True)
    stranger = slack.add_user("Sam", home_team_id="T0OTHER")
    for user in (robot, stranger):
        slack.state.channel(support.id).members[user.id] = None
        slack.say(user.id, support.id, user.name)
    await slack.courier.idle()
    by_text = {event["text"]: event for event in ear.events()}
    assert by_text["robot"]["bot_id"] == robot.bot_id
    assert robot.bot_id not in (None, slack.team.install.bot_id)
    assert "client_msg_id" not in by_text["robot"]
    assert (by_text["sam"]["team"], by_text["sam"]["user_team"]) == ("T0OTHER", "T0OTHER")


async def test_people_can_only_do_what_slack_lets_them(
    slack: SimulatedSlack, anna: User, support: Channel
) -> None:
    olga = slack.add_user("Olga")
    with pytest.raises(NotPossible, match="is not in support"):
        slack.say(olga.id, support.id, "hi")
    with pytest.raises(NotPossible, match="no message that a thread"):
        slack.say(anna.id, support.id, "hi", thread_ts="1.000001")
    ts = slack.say(anna.id, support.id, "hi")
    with pytest.raises(NotPossible, match="only the author"):
        slack.people.edit(support.id, ts, "no", by=olga.id)
    with pytest.raises(NotPossible, match="or an admin"):
        slack.people.delete(support.id, ts, by=olga.id)
    slack.react(anna.id, support.id, ts, "eyes")
    with pytest.raises(NotPossible, match="already reacted"):
        slack.react(anna.id, support.id, ts, "eyes")
    slack.archive(support.id)
    with pytest.raises(NotPossible, match="archived"):
        slack.say(anna.id, support.id, "hi")


async def test_a_file_of_which_an_event_only_hints_can_be_asked_for(
    slack: SimulatedSlack, ear: Ear, client: AsyncWebClient, anna: User, support: Channel
) -> None:
    slack.say(anna.id, support.id, "", files=[Upload("cat.png", is_connect=True)])
    await slack.courier.idle()
    (event,) = ear.events()
    assert event["text"] == ""
    described = await client.files_info(file=event["files"][0]["id"])
    assert described["file"]["name"] == "cat.png"
    with pytest.raises(SlackApiError):
        await client.files_info(file="F0NOTHING")


async def test_what_a_post_would_notify_and_link_can_be_asked(
    slack: SimulatedSlack, client: AsyncWebClient, support: Channel
) -> None:
    hostile = "<!channel> @here https://evil.example"
    bad = (await client.chat_postMessage(channel=support.id, text=hostile, link_names=True))["ts"]
    harmless = hostile.replace("<", "&lt;").replace(">", "&gt;")
    good = (await client.chat_postMessage(channel=support.id, text=harmless, parse="none"))["ts"]
    assert slack.pings(support.id, bad) == {"channel", "here"}
    assert slack.links(support.id, bad) == {"https://evil.example"}
    assert slack.pings(support.id, good) == slack.links(support.id, good) == set()


async def test_the_same_line_can_come_as_the_same_event_or_as_several(
    slack: SimulatedSlack, ear: Ear, anna: User, support: Channel
) -> None:
    ts = slack.say(anna.id, support.id, "hi", client_msg_id="cmid-1")
    slack.repeat_event(support.id, ts)
    slack.repeat_event(support.id, ts, new_event_id=True, times=2)
    slack.say(anna.id, support.id, "hi", client_msg_id="cmid-1")
    await slack.courier.idle()
    assert len(ear.heard) == 5
    assert len({payload["event_id"] for payload in ear.heard}) == 4
    assert len({event["ts"] for event in ear.events()}) == 2
    assert {event["client_msg_id"] for event in ear.events()} == {"cmid-1"}


async def test_faults_duplicate_drop_and_shuffle_events(
    slack: SimulatedSlack, ear: Ear, anna: User, support: Channel
) -> None:
    slack.faults.add(End.SLACK, Fault(FaultKind.DUPLICATE, copies=3), "message", where={"text": "^twice"})
    slack.faults.add(End.SLACK, FaultKind.DROP, "message", where={"text": "^never"})
    slack.faults.add(End.SLACK, Fault(FaultKind.POSTPONE, seconds=2000), "message", where={"text": "^late"})
    for text in ("twice", "never", "late", "plain"):
        slack.say(anna.id, support.id, text)
    await slack.courier.idle()
    texts = [event["text"] for event in ear.events()]
    assert sorted(texts) == ["late", "plain", "twice", "twice", "twice"]
    assert texts[-1] == "late"


async def test_an_abandoned_event_is_repeated_although_the_app_took_it(
    slack: SimulatedSlack, ear: Ear, anna: User, support: Channel
) -> None:
    slack.faults.add(End.SLACK, Fault(FaultKind.ABANDON, seconds=2000), "message", times=1)
    ear.answers = [silence]
    slack.say(anna.id, support.id, "hi")
    await slack.courier.idle()
    assert ear.retries == [(None, None), ("1", "http_timeout")]


async def test_too_many_events_are_announced_instead_of_sent(
    slack: SimulatedSlack, ear: Ear, anna: User, support: Channel
) -> None:
    slack.switches.events_per_hour = 2
    for n in range(4):
        slack.say(anna.id, support.id, str(n))
    await slack.courier.idle()
    kinds = [payload["type"] for payload in ear.heard]
    assert kinds.count("event_callback") == 2
    assert kinds.count("app_rate_limited") == 1


async def test_failing_almost_always_switches_events_off(
    slack: SimulatedSlack, ear: Ear, anna: User, support: Channel
) -> None:
    slack.switches.auto_disable = True
    slack.courier._recent.extend((slack.pacing.clock_s(), False) for _ in range(1000))
    ear.answers = [a_status(500, **{"x-slack-no-retry": "1"})]
    slack.say(anna.id, support.id, "the last straw")
    await slack.courier.idle()
    slack.say(anna.id, support.id, "never told")
    await slack.courier.idle()
    assert [event["text"] for event in ear.events()] == ["the last straw"]


async def test_the_address_is_verified_by_an_echoed_challenge(slack: SimulatedSlack, ear: Ear) -> None:
    assert (await slack.verify_url()).ok
    assert ear.heard[0]["type"] == "url_verification"
    slack.app.signing_secret = "another"
    assert not (await slack.verify_url()).ok


# slash commands


async def test_a_command_is_a_form_and_its_answer_is_seen_by_one_person(
    slack: SimulatedSlack, ear: Ear, anna: User, support: Channel
) -> None:
    ear.answers = [a_json({"text": "two projects"})]
    reply = await slack.slash_command(anna.id, support.id, "/jollor", "projects")
    (fields,) = ear.heard
    assert (fields["command"], fields["text"], fields["user_id"]) == ("/jollor", "projects", anna.id)
    assert (fields["channel_id"], fields["channel_name"]) == (support.id, "support")
    assert reply.text == "two projects"
    assert [seen.text for seen in slack.ephemerals(anna.id)] == ["two projects"]
    assert slack.messages(support.id) == []


async def test_a_command_can_answer_the_channel_or_say_nothing(
    slack: SimulatedSlack, ear: Ear, anna: User, support: Channel
) -> None:
    ear.answers = [a_json({"text": "for all", "response_type": "in_channel"}), ok]
    reply = await slack.slash_command(anna.id, support.id, "/jollor")
    assert [m.text for m in slack.messages(support.id)] == ["for all"]
    assert reply.posted_ts == slack.messages(support.id)[0].ts
    assert (await slack.slash_command(anna.id, support.id, "/jollor")).text == ""


async def test_a_slow_or_failing_command_tells_the_person(
    slack: SimulatedSlack, ear: Ear, anna: User, support: Channel
) -> None:
    slack.switches.ack_limit_s = 0.05
    ear.answers = [silence, a_status(500), a_json({"blocks": [{"type": "nonsense"}]})]
    errors = [(await slack.slash_command(anna.id, support.id, "/jollor")).error for _ in range(3)]
    assert errors == ["operation_timeout", "dispatch_failed", "invalid_command_response"]
    assert slack.ephemerals(anna.id)[0].text == '/jollor failed with the error "operation_timeout"'
    with pytest.raises(NotPossible, match="not a valid command"):
        await slack.slash_command(anna.id, support.id, "/unknown")


async def test_command_texts_name_channels_and_people_by_id_unless_switched_off(
    slack: SimulatedSlack, ear: Ear, anna: User, support: Channel
) -> None:
    secret = slack.add_channel("secret", members=[anna], is_private=True)
    text = "link #support #secret #nowhere @anna"
    await slack.slash_command(anna.id, support.id, "/jollor", text)
    slack.switches.should_escape_commands = False
    await slack.slash_command(anna.id, support.id, "/jollor", text)
    assert [fields["text"] for fields in ear.heard] == [
        f"link <#{support.id}|support> <#{secret.id}|> #nowhere <@{anna.id}|anna>",
        text,
    ]


async def test_a_response_url_takes_five_answers_and_is_ephemeral_by_default(
    slack: SimulatedSlack, ear: Ear, anna: User, support: Channel
) -> None:
    await slack.slash_command(anna.id, support.id, "/jollor", "status")
    url = ear.heard[0]["response_url"]
    statuses: list[int] = []
    async with aiohttp.ClientSession() as session:
        for body in (
            {"text": "one"},
            {"text": "two", "response_type": "in_channel"},
            {"text": ""},
            {"blocks": [{"type": "nonsense"}]},
            {"text": "three"},
            {"text": "four"},
            {"text": "five"},
            {"text": "six"},
        ):
            async with session.post(url, json=body) as answer:
                statuses.append(answer.status)
        async with session.post(url.replace("commands", "actions"), json={"text": "x"}) as answer:
            statuses.append(answer.status)
    assert statuses == [200, 200, 400, 400, 200, 200, 200, 404, 404]
    assert [seen.text for seen in slack.ephemerals(anna.id)] == ["one", "three", "four", "five"]
    assert [m.text for m in slack.messages(support.id)] == ["two"]


async def test_a_response_url_ends_after_thirty_minutes(
    slack: SimulatedSlack, ear: Ear, anna: User, support: Channel
) -> None:
    await slack.slash_command(anna.id, support.id, "/jollor", "status")
    await slack.clock.sleep(30 * 60 + 1)
    async with aiohttp.ClientSession() as session:
        async with session.post(ear.heard[0]["response_url"], json={"text": "late"}) as answer:
            assert (answer.status, (await answer.json())["error"]) == (404, "expired_url")


async def test_a_command_answer_can_be_replaced_and_deleted(
    slack: SimulatedSlack, ear: Ear, anna: User, support: Channel
) -> None:
    ear.answers = [a_json({"text": "looking …"})]
    await slack.slash_command(anna.id, support.id, "/jollor", "status")
    url = ear.heard[0]["response_url"]
    async with aiohttp.ClientSession() as session:
        async with session.post(url, json={"text": "all is well", "replace_original": True}):
            assert [seen.text for seen in slack.ephemerals(anna.id)] == ["all is well"]
        async with session.post(url, json={"delete_original": True}):
            assert slack.ephemerals(anna.id) == []


# clicks


async def test_a_button_sends_what_slack_would_send(
    slack: SimulatedSlack, ear: Ear, client: AsyncWebClient, anna: User, support: Channel
) -> None:
    root = slack.say(anna.id, support.id, "root")
    posted = await client.chat_postMessage(
        channel=support.id, text="t", blocks=[a_button()], thread_ts=root, username="Ina"
    )
    await slack.courier.idle()
    ear.heard.clear()
    reply = await slack.press(anna.id, support.id, posted["ts"], "go")
    assert reply.error is None
    (payload,) = ear.heard
    assert payload["type"] == "block_actions"
    assert payload["user"]["id"] == anna.id
    assert payload["container"] == {
        "type": "message",
        "message_ts": posted["ts"],
        "channel_id": support.id,
        "thread_ts": root,
        "is_ephemeral": False,
    }
    (action,) = payload["actions"]
    assert (action["action_id"], action["block_id"], action["value"]) == ("go", "row", "7")
    assert payload["message"]["blocks"] == posted["message"]["blocks"]
    assert payload["trigger_id"] == reply.trigger_id


async def test_an_unknown_button_fails_loudly(
    slack: SimulatedSlack, ear: Ear, client: AsyncWebClient, anna: User, support: Channel
) -> None:
    ts = (await client.chat_postMessage(channel=support.id, text="t", blocks=[a_button()]))["ts"]
    with pytest.raises(NotPossible, match="'stop'"):
        await slack.press(anna.id, support.id, ts, "stop")
    with pytest.raises(NotPossible, match="block other"):
        await slack.press(anna.id, support.id, ts, "go", "other")
    with pytest.raises(NotPossible, match="sees no message"):
        await slack.press(anna.id, support.id, "1.000001", "go")
    with pytest.raises(NotPossible, match="is not in support"):
        await slack.press(slack.add_user("Olga").id, support.id, ts, "go")


async def test_an_unanswered_button_shows_an_error(
    slack: SimulatedSlack, ear: Ear, client: AsyncWebClient, anna: User, support: Channel
) -> None:
    slack.switches.ack_limit_s = 0.05
    ts = (await client.chat_postMessage(channel=support.id, text="t", blocks=[a_button()]))["ts"]
    await slack.courier.idle()
    ear.answers = [silence]
    assert (await slack.press(anna.id, support.id, ts, "go")).error == "operation_timeout"


async def test_a_link_button_sends_an_interaction_too(
    slack: SimulatedSlack, ear: Ear, client: AsyncWebClient, anna: User, support: Channel
) -> None:
    row = a_button()
    row["elements"][0]["url"] = "https://app.jollor.com"
    ts = (await client.chat_postMessage(channel=support.id, text="t", blocks=[row]))["ts"]
    await slack.courier.idle()
    await slack.press(anna.id, support.id, ts, "go")
    assert ear.heard[-1]["actions"][0]["url"] == "https://app.jollor.com"


async def test_a_click_can_replace_or_delete_its_message_through_response_url(
    slack: SimulatedSlack, ear: Ear, client: AsyncWebClient, anna: User, support: Channel
) -> None:
    ts = (await client.chat_postMessage(channel=support.id, text="t", blocks=[a_button()]))["ts"]
    await slack.courier.idle()
    await slack.press(anna.id, support.id, ts, "go")
    url = ear.heard[-1]["response_url"]
    async with aiohttp.ClientSession() as session:
        async with session.post(url, json={"text": "done", "replace_original": True}):
            assert (slack.message(support.id, ts).text, slack.message(support.id, ts).blocks) == ("done", [])
        async with session.post(url, json={"delete_original": True}):
            assert slack.messages(support.id) == []


async def test_a_button_of_an_ephemeral_is_pressed_by_who_sees_it(
    slack: SimulatedSlack, ear: Ear, client: AsyncWebClient, anna: User, support: Channel
) -> None:
    bob = slack.add_user("Bob")
    slack.join(bob.id, support.id)
    await client.chat_postEphemeral(channel=support.id, user=anna.id, text="t", blocks=[a_button()])
    await slack.courier.idle()
    (seen,) = slack.ephemerals(anna.id)
    await slack.press(anna.id, support.id, seen.ts, "go")
    assert ear.heard[-1]["container"]["is_ephemeral"] is True
    assert "message" not in ear.heard[-1]
    with pytest.raises(NotPossible):
        await slack.press(bob.id, support.id, seen.ts, "go")


async def test_a_menu_sends_the_chosen_option_and_the_state_of_the_message(
    slack: SimulatedSlack, ear: Ear, client: AsyncWebClient, anna: User, support: Channel
) -> None:
    options = [{"text": {"type": "plain_text", "text": n}, "value": n} for n in ("a", "b")]
    row: Json = {
        "type": "actions",
        "block_id": "row",
        "elements": [
            {"type": "static_select", "action_id": "pick", "options": options},
            {"type": "conversations_select", "action_id": "where"},
            {"type": "external_select", "action_id": "find"},
        ],
    }
    ts = (await client.chat_postMessage(channel=support.id, text="t", blocks=[row]))["ts"]
    await slack.courier.idle()
    await slack.select(anna.id, support.id, ts, "pick", "b")
    assert ear.heard[-1]["actions"][0]["selected_option"]["value"] == "b"
    await slack.select(anna.id, support.id, ts, "where", support.id)
    assert ear.heard[-1]["actions"][0]["selected_conversation"] == support.id
    assert ear.heard[-1]["state"]["values"]["row"]["pick"]["selected_option"]["value"] == "b"
    with pytest.raises(NotPossible, match="no option 'c'"):
        await slack.select(anna.id, support.id, ts, "pick", "c")
    ear.answers = [a_json({"options": options})]
    offered = await slack.clicks.suggest(anna.id, support.id, ts, "find", "ac")
    assert [option["value"] for option in offered] == ["a", "b"]
    assert ear.heard[-1]["type"] == "block_suggestion"
    assert ear.heard[-1]["value"] == "ac"


async def test_a_message_shortcut_carries_the_message_also_in_threads(
    slack: SimulatedSlack, ear: Ear, anna: User, support: Channel
) -> None:
    root = slack.say(anna.id, support.id, "root")
    reply = slack.say(anna.id, support.id, "reply", thread_ts=root)
    await slack.courier.idle()
    await slack.message_shortcut(anna.id, support.id, reply, "hold_back")
    payload = ear.heard[-1]
    assert (payload["type"], payload["callback_id"]) == ("message_action", "hold_back")
    assert (payload["message"]["text"], payload["message"]["thread_ts"]) == ("reply", root)
    await slack.clicks.global_shortcut(anna.id, "new_post")
    assert ear.heard[-1]["type"] == "shortcut"


# modals and Home

A_MODAL: Json = {
    "type": "modal",
    "callback_id": "link",
    "title": {"type": "plain_text", "text": "Link"},
    "submit": {"type": "plain_text", "text": "Link"},
    "notify_on_close": True,
    "blocks": [
        {
            "type": "input",
            "block_id": "name",
            "label": {"type": "plain_text", "text": "Name"},
            "element": {"type": "plain_text_input", "action_id": "name"},
        }
    ],
}


async def a_trigger(slack: SimulatedSlack, anna: User, support: Channel) -> str:
    reply = await slack.slash_command(anna.id, support.id, "/jollor")
    assert reply.trigger_id is not None
    return reply.trigger_id


async def test_a_modal_is_opened_filled_and_submitted(
    slack: SimulatedSlack, ear: Ear, client: AsyncWebClient, anna: User, support: Channel
) -> None:
    await client.views_open(trigger_id=await a_trigger(slack, anna, support), view=A_MODAL)
    with pytest.raises(NotPossible, match="name is empty"):
        await slack.submit_view(anna.id)
    ear.answers = [a_json({"response_action": "errors", "errors": {"name": "taken"}})]
    await slack.submit_view(anna.id, {"name": "Acme"})
    modal = slack.state.surfaces.modal(anna.id)
    assert modal is not None
    assert modal.errors == {"name": "taken"}
    assert ear.heard[-1]["view"]["state"]["values"]["name"]["name"]["value"] == "Acme"
    await slack.submit_view(anna.id, {"name": "Bcme"})
    assert slack.state.surfaces.modal(anna.id) is None


async def test_a_submitted_modal_can_be_updated_pushed_and_cleared(
    slack: SimulatedSlack, ear: Ear, client: AsyncWebClient, anna: User, support: Channel
) -> None:
    await client.views_open(trigger_id=await a_trigger(slack, anna, support), view=A_MODAL)
    second = A_MODAL | {"callback_id": "second"}
    third = A_MODAL | {"callback_id": "third"}
    ear.answers = [
        a_json({"response_action": "update", "view": second}),
        a_json({"response_action": "push", "view": third}),
        a_json({"response_action": "clear"}),
    ]
    seen: list[str | None] = []
    for _ in range(3):
        await slack.submit_view(anna.id, {"name": "x"})
        modal = slack.state.surfaces.modal(anna.id)
        seen.append(modal.json["callback_id"] if modal else None)
    assert seen == ["second", "third", None]


async def test_a_trigger_works_once_and_not_for_long(
    slack: SimulatedSlack, ear: Ear, client: AsyncWebClient, anna: User, support: Channel
) -> None:
    trigger = await a_trigger(slack, anna, support)
    await client.views_open(trigger_id=trigger, view=A_MODAL)
    slack.switches.trigger_lifetime_s = 0.0
    late = await a_trigger(slack, anna, support)
    for trigger_id, code in (
        (trigger, "exchanged_trigger_id"),
        (late, "expired_trigger_id"),
        ("1.2.3", "invalid_trigger_id"),
    ):
        with pytest.raises(SlackApiError) as caught:
            await client.views_open(trigger_id=trigger_id, view=A_MODAL)
        assert caught.value.response["error"] == code


async def test_a_broken_view_is_refused(
    slack: SimulatedSlack, ear: Ear, client: AsyncWebClient, anna: User, support: Channel
) -> None:
    for broken in (
        A_MODAL | {"title": {"type": "plain_text", "text": "x" * 25}},
        A_MODAL | {"private_metadata": "x" * 3001},
        {name: value for name, value in A_MODAL.items() if name != "submit"},
    ):
        with pytest.raises(SlackApiError) as caught:
            await client.views_open(trigger_id=await a_trigger(slack, anna, support), view=broken)
        assert caught.value.response["error"] == "invalid_arguments"


async def test_closing_a_modal_is_told_if_the_view_asked_for_it(
    slack: SimulatedSlack, ear: Ear, client: AsyncWebClient, anna: User, support: Channel
) -> None:
    await client.views_open(trigger_id=await a_trigger(slack, anna, support), view=A_MODAL)
    await slack.modals.close_view(anna.id)
    assert ear.heard[-1]["type"] == "view_closed"
    quiet = A_MODAL | {"notify_on_close": False}
    await client.views_open(trigger_id=await a_trigger(slack, anna, support), view=quiet)
    assert await slack.modals.close_view(anna.id) is None


async def test_the_home_tab_is_published_opened_and_clicked(
    slack: SimulatedSlack, ear: Ear, client: AsyncWebClient, anna: User, support: Channel
) -> None:
    answer = await client.views_publish(user_id=anna.id, view={"type": "home", "blocks": [a_button()]})
    slack.open_home(anna.id)
    await slack.courier.idle()
    assert ear.heard[-1]["event"]["type"] == "app_home_opened"
    await slack.modals.press_in_view(anna.id, "go")
    assert ear.heard[-1]["container"] == {"type": "view", "view_id": answer["view"]["id"]}
    again = await client.views_update(
        view_id=answer["view"]["id"], view={"type": "home", "blocks": []}, hash=answer["view"]["hash"]
    )
    assert again["view"]["blocks"] == []
    with pytest.raises(SlackApiError) as caught:
        await client.views_update(
            view_id=answer["view"]["id"], view={"type": "home", "blocks": []}, hash=answer["view"]["hash"]
        )
    assert caught.value.response["error"] == "hash_conflict"
