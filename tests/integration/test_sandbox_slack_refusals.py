"""What the simulated Slack refuses, and with which word: one call each, through Slack's own client."""

import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from sandbox.clock import SandboxClock
from sandbox.slack import ALL_SCOPES, Limits, NotPossible, SimulatedSlack

Json = dict[str, Any]
MODAL: Json = {"type": "modal", "title": {"type": "plain_text", "text": "T"}, "blocks": [{"type": "divider"}]}


class Scene:
    """A workspace with one channel, one archived, one private without the bot, and what is in them."""

    def __init__(self, slack: SimulatedSlack, client: AsyncWebClient) -> None:
        self.slack, self.client = slack, client
        self.anna = slack.add_user("Anna").id
        self.left = slack.add_user("Left", deleted=True).id
        self.channel = slack.add_channel("support", members=[self.anna]).id
        self.archived = slack.add_channel("old", members=[self.anna], with_bot=False).id
        self.kept = slack.add_channel("kept", members=[self.anna]).id
        self.line = slack.say(self.anna, self.channel, "hi")
        self.old_line = slack.say(self.anna, self.kept, "hi")
        slack.archive(self.archived)
        slack.archive(self.kept)

    async def call(self, method: str, **arguments: object) -> Json:
        """The whole answer, refused or not."""
        given = {k: json.dumps(v) if isinstance(v, dict | list) else v for k, v in arguments.items()}
        try:
            data = (await self.client.api_call(method, data=given)).data
        except SlackApiError as error:
            data = error.response.data
        assert isinstance(data, dict)
        return data


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    slack = await SimulatedSlack.start(
        clock=SandboxClock(20_000), limits=Limits(enabled=False), scopes=ALL_SCOPES | {"team:read"}
    )
    async with aiohttp.ClientSession() as session:
        yield Scene(slack, AsyncWebClient(slack.bot_token, slack.api_url, session=session, retry_handlers=[]))
    await slack.stop()


REFUSED: list[tuple[str, Callable[[Scene], Json], str]] = [
    ("chat.postMessage", lambda s: {"text": "hi"}, "channel_not_found"),
    ("chat.postMessage", lambda s: {"channel": s.left, "text": "hi"}, "user_disabled"),
    ("chat.postMessage", lambda s: {"channel": s.slack.team.bot.id, "text": "hi"}, "cannot_dm_bot"),
    (
        "chat.postMessage",
        lambda s: {"channel": s.channel, "text": "a", "markdown_text": "b"},
        "markdown_text_conflict",
    ),
    ("chat.postMessage", lambda s: {"channel": s.channel, "markdown_text": "x" * 12_001}, "msg_too_long"),
    ("chat.postMessage", lambda s: {"channel": s.channel, "attachments": [{}] * 101}, "too_many_attachments"),
    ("chat.postMessage", lambda s: {"channel": s.channel, "attachments": {"a": 1}}, "invalid_attachments"),
    ("chat.postMessage", lambda s: {"channel": s.channel, "attachments": "{"}, "invalid_attachments"),
    (
        "chat.postMessage",
        lambda s: {"channel": s.channel, "text": "t", "blocks": {"a": 1}},
        "invalid_blocks_format",
    ),
    (
        "chat.postMessage",
        lambda s: {"channel": s.channel, "text": "t", "metadata": "[1]"},
        "invalid_metadata_format",
    ),
    (
        "chat.postMessage",
        lambda s: {
            "channel": s.channel,
            "text": "t",
            "metadata": {"event_type": "x", "event_payload": {"a": [1]}},
        },
        "invalid_metadata_schema",
    ),
    (
        "chat.postMessage",
        lambda s: {
            "channel": s.channel,
            "text": "t",
            "metadata": {"event_type": "x", "event_payload": {"a": "x" * 16_000}},
        },
        "metadata_too_large",
    ),
    ("chat.update", lambda s: {"channel": s.channel, "ts": s.line, "text": "x"}, "cant_update_message"),
    ("chat.postEphemeral", lambda s: {"channel": s.channel, "user": "U1", "text": "x"}, "user_not_found"),
    ("chat.postEphemeral", lambda s: {"channel": s.channel, "text": "x"}, "user_not_found"),
    ("conversations.join", lambda s: {"channel": s.archived}, "is_archived"),
    ("conversations.open", lambda s: {}, "users_list_not_supplied"),
    ("conversations.open", lambda s: {"users": "U1,U2"}, "too_many_users"),
    ("conversations.open", lambda s: {"users": "U1"}, "user_not_found"),
    ("conversations.history", lambda s: {"channel": s.channel, "oldest": "x"}, "invalid_ts_oldest"),
    ("conversations.history", lambda s: {"channel": s.channel, "limit": "x"}, "invalid_arguments"),
    ("conversations.history", lambda s: {"channel": s.channel, "limit": "-1"}, "invalid_limit"),
    ("conversations.replies", lambda s: {"channel": s.channel, "ts": "1.000001"}, "thread_not_found"),
    ("reactions.add", lambda s: {"channel": s.channel, "timestamp": s.line}, "invalid_name"),
    ("reactions.add", lambda s: {"channel": s.channel, "name": "x"}, "no_item_specified"),
    ("reactions.add", lambda s: {"channel": s.kept, "timestamp": s.old_line, "name": "x"}, "is_archived"),
    ("bots.info", lambda s: {"bot": "B1"}, "bot_not_found"),
    ("views.open", lambda s: {"view": MODAL}, "invalid_arguments"),
    ("views.open", lambda s: {"trigger_id": "1", "view": {"type": "window"}}, "invalid_arguments"),
    ("views.open", lambda s: {"trigger_id": "1", "view": {"type": "modal"}}, "invalid_arguments"),
    ("views.open", lambda s: {"trigger_id": "1", "view": MODAL | {"x": "x" * 250_000}}, "view_too_large"),
    ("views.update", lambda s: {"view_id": "V1", "view": MODAL}, "not_found"),
    ("views.update", lambda s: {"external_id": "e1", "view": MODAL}, "not_found"),
    ("views.publish", lambda s: {"user_id": "U1", "view": MODAL}, "user_not_found"),
]


@pytest.mark.parametrize(
    ("method", "arguments", "code"), REFUSED, ids=[f"{method}-{code}" for method, _, code in REFUSED]
)
async def test_what_is_wrong_has_slacks_word(
    scene: Scene, method: str, arguments: Callable[[Scene], Json], code: str
) -> None:
    assert (await scene.call(method, **arguments(scene)))["error"] == code


async def test_a_json_body_must_be_an_object(scene: Scene) -> None:
    headers = {"Authorization": f"Bearer {scene.slack.bot_token}"}
    async with aiohttp.ClientSession(headers=headers) as session:
        async with session.post(scene.slack.api_url + "auth.test", json=[1]) as answer:
            assert (await answer.json())["error"] == "json_not_object"


async def test_what_is_right_is_answered(scene: Scene) -> None:
    info = await scene.call("conversations.info", channel=scene.channel, include_num_members="true")
    assert (info["channel"]["name"], info["channel"]["num_members"]) == ("support", 2)
    mine = await scene.call("users.conversations", types="public_channel")
    assert [channel["name"] for channel in mine["channels"]] == ["support", "kept"]
    assert (await scene.call("bots.info"))["bot"]["app_id"] == scene.slack.app.id
    assert (await scene.call("team.info"))["team"]["domain"] == "acme"
    posted = await scene.call("chat.postMessage", channel=scene.channel, markdown_text="**hi**")
    assert posted["message"]["blocks"][0]["type"] == "markdown"
    long = await scene.call("chat.postMessage", channel=scene.channel, text="x" * 40_001)
    assert long["warning"] == "message_truncated"


async def test_an_avatar_is_kept_and_messages_are_seen_with_it(scene: Scene) -> None:
    url = "https://avatars.example/a.png"
    posted = await scene.call("chat.postMessage", channel=scene.channel, text="hi", icon_url=url)
    assert posted["message"]["icons"] == {"image_48": url}


async def test_blocks_can_be_replaced_without_a_text(scene: Scene) -> None:
    posted = await scene.call(
        "chat.postMessage", channel=scene.channel, text="hi", attachments=[{"text": "a"}]
    )
    blocks = [{"type": "divider", "block_id": "d"}]
    await scene.call("chat.update", channel=scene.channel, ts=posted["ts"], blocks=blocks)
    message = scene.slack.message(scene.channel, posted["ts"])
    assert message.blocks == blocks
    assert message.attachments == [{"text": "a"}]
    await scene.call("chat.update", channel=scene.channel, ts=posted["ts"], attachments=[{"text": "b"}])
    assert scene.slack.message(scene.channel, posted["ts"]).blocks == blocks
    scene.slack.archive(scene.channel)
    answer = await scene.call("chat.update", channel=scene.channel, ts=posted["ts"], text="late")
    assert answer["error"] == "is_archived"


async def test_three_modals_are_the_most(scene: Scene) -> None:
    trigger = scene.slack.commands.trigger
    codes = []
    for method in ("views.open", "views.push", "views.push", "views.push"):
        trigger_id = trigger(scene.anna, scene.slack.team)
        codes.append((await scene.call(method, trigger_id=trigger_id, view=MODAL)).get("error"))
    assert codes == [None, None, None, "push_limit_reached"]


async def test_an_outdated_home_and_an_external_id_are_known(scene: Scene) -> None:
    home = {"type": "home", "blocks": []}
    await scene.call("views.publish", user_id=scene.anna, view=home)
    answer = await scene.call("views.publish", user_id=scene.anna, view=home, hash="old")
    assert answer["error"] == "hash_conflict"
    trigger_id = scene.slack.commands.trigger(scene.anna, scene.slack.team)
    await scene.call("views.open", trigger_id=trigger_id, view=MODAL | {"external_id": "e1"})
    assert (await scene.call("views.update", external_id="e1", view=MODAL))["ok"] is True


@pytest.mark.parametrize(
    "answer",
    [
        {"response_action": "errors", "errors": {"nowhere": "wrong"}},
        {"response_action": "update", "view": {"type": "modal"}},
        {"response_action": "dance"},
    ],
)
async def test_an_app_that_answers_a_modal_with_nonsense_is_found_out(scene: Scene, answer: Json) -> None:
    async def take(_request: web.Request) -> web.Response:
        return web.json_response(answer)

    async with listening(scene.slack, take):
        trigger_id = scene.slack.commands.trigger(scene.anna, scene.slack.team)
        await scene.call("views.open", trigger_id=trigger_id, view=MODAL)
        with pytest.raises(NotPossible):
            await scene.slack.submit_view(scene.anna)


async def test_without_a_modal_there_is_nothing_to_submit_or_press(scene: Scene) -> None:
    with pytest.raises(NotPossible, match="no modal open"):
        await scene.slack.submit_view(scene.anna)
    with pytest.raises(NotPossible, match="neither a modal"):
        await scene.slack.modals.press_in_view(scene.anna, "go")


async def test_an_app_that_redirects_in_circles_is_given_up(scene: Scene) -> None:
    async def take(request: web.Request) -> web.Response:
        raise web.HTTPTemporaryRedirect(request.path)

    async with listening(scene.slack, take):
        scene.slack.say(scene.anna, scene.channel, "hi")
        await scene.slack.courier.idle()
    assert [lost.reason for lost in scene.slack.courier.lost][-1] == "too_many_redirects"


async def test_without_an_address_nothing_can_be_delivered(scene: Scene) -> None:
    await scene.slack.courier.idle()
    assert {lost.reason for lost in scene.slack.courier.lost} == {"connection_failed"}
    with pytest.raises(KeyError, match="no event told"):
        scene.slack.repeat_event(scene.channel, "1.000001")


async def test_what_is_not_there_is_a_key_error(scene: Scene) -> None:
    for look in (
        lambda: scene.slack.messages("C0NOWHERE"),
        lambda: scene.slack.message(scene.channel, "1.000001"),
        lambda: scene.slack.state.user("U0NOBODY"),
    ):
        with pytest.raises(KeyError):
            look()
    with pytest.raises(AttributeError):
        scene.slack.people.change_user(scene.anna, nickname="A")


class listening:
    """An app at the address to which the simulated Slack sends, while the block runs."""

    def __init__(self, slack: SimulatedSlack, take: Callable[[web.Request], Any]) -> None:
        self.slack, self.take = slack, take

    async def __aenter__(self) -> None:
        app = web.Application()
        app.router.add_post("/slack/events", self.take)
        self.runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self.runner.setup()
        await web.TCPSite(self.runner, "127.0.0.1", 0).start()
        self.slack.events_url = f"http://127.0.0.1:{self.runner.addresses[0][1]}/slack/events"

    async def __aexit__(self, *_error: object) -> None:
        await self.runner.cleanup()
