"""Socket Mode of the simulated Slack: over bare WebSockets, and with Slack's own client."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
from slack_sdk.errors import SlackApiError
from slack_sdk.socket_mode.aiohttp import SocketModeClient
from slack_sdk.socket_mode.async_client import AsyncBaseSocketModeClient
from slack_sdk.socket_mode.request import SocketModeRequest
from slack_sdk.socket_mode.response import SocketModeResponse
from slack_sdk.web.async_client import AsyncWebClient

from sandbox.clock import SandboxClock
from sandbox.slack import Channel, Limits, SimulatedSlack, User

Json = dict[str, Any]


@pytest.fixture
async def slack() -> AsyncIterator[SimulatedSlack]:
    slack = await SimulatedSlack.start(clock=SandboxClock(100), limits=Limits(enabled=False))
    slack.switches.socket_mode = True
    slack.switches.socket_lifetime_s = 1_000_000
    yield slack
    await slack.stop()


@pytest.fixture
def anna(slack: SimulatedSlack) -> User:
    return slack.add_user("Anna")


@pytest.fixture
def support(slack: SimulatedSlack, anna: User) -> Channel:
    return slack.add_channel("support", members=[anna])


@dataclass
class Plug:
    """One open socket of an app."""

    ws: aiohttp.ClientWebSocketResponse

    async def receive(self) -> Json:
        message: Json = await self.ws.receive_json(timeout=5)
        return message

    async def acknowledge(self, envelope: Json, payload: Json | None = None) -> None:
        answer = {"envelope_id": envelope["envelope_id"]}
        await self.ws.send_json(answer if payload is None else answer | {"payload": payload})


@dataclass
class Plugs:
    """Opens sockets as an app does: first the address, then the connection."""

    slack: SimulatedSlack
    session: aiohttp.ClientSession
    open: list[Plug] = field(default_factory=list)

    async def connect(self, more: str = "") -> Plug:
        client = AsyncWebClient(base_url=self.slack.api_url, session=self.session)
        address = await client.apps_connections_open(app_token=self.slack.app_token)
        plug = Plug(await self.session.ws_connect(address["url"] + more))
        self.open.append(plug)
        return plug


@pytest.fixture
async def plugs(slack: SimulatedSlack) -> AsyncIterator[Plugs]:
    async with aiohttp.ClientSession() as session:
        yield Plugs(slack, session)


async def test_addresses_need_the_app_token_and_work_once(slack: SimulatedSlack, plugs: Plugs) -> None:
    client = AsyncWebClient(base_url=slack.api_url, session=plugs.session)
    with pytest.raises(SlackApiError) as caught:
        await client.apps_connections_open(app_token=slack.bot_token)
    assert caught.value.response["error"] == "not_allowed_token_type"
    address = (await client.apps_connections_open(app_token=slack.app_token))["url"]
    async with plugs.session.ws_connect(address):
        pass
    with pytest.raises(aiohttp.WSServerHandshakeError):
        await plugs.session.ws_connect(address)


async def test_hello_comes_first_then_events_that_are_acknowledged_by_envelope(
    slack: SimulatedSlack, plugs: Plugs, anna: User, support: Channel
) -> None:
    plug = await plugs.connect()
    hello = await plug.receive()
    assert (hello["type"], hello["num_connections"]) == ("hello", 1)
    assert hello["connection_info"]["app_id"] == slack.app.id
    slack.say(anna.id, support.id, "hi")
    envelope = await plug.receive()
    assert envelope["type"] == "events_api"
    assert envelope["accepts_response_payload"] is False
    assert (envelope["retry_attempt"], envelope["retry_reason"]) == (0, "")
    assert envelope["payload"]["event"]["text"] == "hi"
    await plug.acknowledge(envelope)
    await slack.courier.idle()
    assert slack.courier.acknowledged == [envelope["payload"]["event_id"]]


async def test_nothing_goes_over_http_while_socket_mode_is_on(
    slack: SimulatedSlack, anna: User, support: Channel
) -> None:
    slack.state.clock = SandboxClock(10_000)
    slack.events_url = "http://127.0.0.1:1/slack/events"
    slack.say(anna.id, support.id, "hi")
    await slack.courier.idle()
    assert [lost.attempts for lost in slack.courier.lost] == [4]
    assert slack.wire.entries(operation="message") == []


async def test_what_nobody_acknowledged_comes_again_with_the_reason(
    slack: SimulatedSlack, plugs: Plugs, anna: User, support: Channel
) -> None:
    slack.switches.ack_limit_s = 0.05
    plug = await plugs.connect()
    await plug.receive()
    slack.say(anna.id, support.id, "hi")
    first, second = await plug.receive(), await plug.receive()
    assert (second["retry_attempt"], second["retry_reason"]) == (1, "http_timeout")
    assert second["payload"]["event_id"] == first["payload"]["event_id"]
    await plug.acknowledge(second)
    await slack.courier.idle()


async def test_what_a_lost_socket_left_open_goes_out_with_the_next_one(
    slack: SimulatedSlack, plugs: Plugs, anna: User, support: Channel
) -> None:
    plug = await plugs.connect()
    await plug.receive()
    slack.say(anna.id, support.id, "hi")
    lost = await plug.receive()
    await slack.sockets.cut()
    plug = await plugs.connect()
    await plug.receive()
    again = await plug.receive()
    assert again["retry_attempt"] >= 1
    assert again["payload"]["event_id"] == lost["payload"]["event_id"]
    await plug.acknowledge(again)
    await slack.courier.idle()
    assert slack.courier.lost == []


async def test_several_sockets_share_the_events(
    slack: SimulatedSlack, plugs: Plugs, anna: User, support: Channel
) -> None:
    both = [await plugs.connect(), await plugs.connect()]
    for plug in both:
        await plug.receive()
    for text in ("one", "two"):
        slack.say(anna.id, support.id, text)
    heard = [(await plug.receive())["payload"]["event"]["text"] for plug in both]
    assert sorted(heard) == ["one", "two"]


async def test_a_disconnect_is_announced_with_its_reason(slack: SimulatedSlack, plugs: Plugs) -> None:
    plug = await plugs.connect()
    await plug.receive()
    await slack.sockets.disconnect("warning", close=False)
    assert (await plug.receive())["reason"] == "warning"
    await slack.sockets.disconnect("refresh_requested")
    assert (await plug.receive())["reason"] == "refresh_requested"
    assert (await plug.ws.receive()).type is aiohttp.WSMsgType.CLOSE


async def test_sockets_age_and_are_asked_to_come_again(slack: SimulatedSlack, plugs: Plugs) -> None:
    plug = await plugs.connect("&debug_reconnects=true")  # 360 s, which are 3.6 s here
    hello = await plug.receive()
    assert hello["debug_info"]["approximate_connection_time"] == 360
    slack.switches.socket_lifetime_s = 20
    plug = await plugs.connect()
    reasons = [(await plug.receive()).get("reason") for _ in range(3)]
    assert reasons == [None, "warning", "refresh_requested"]


async def test_too_many_sockets_and_a_switched_off_mode_are_refused(
    slack: SimulatedSlack, plugs: Plugs
) -> None:
    for _ in range(10):
        await (await plugs.connect()).receive()
    refused = await (await plugs.connect()).receive()
    assert (refused["type"], refused["reason"]) == ("disconnect", "too_many_websockets")
    slack.switches.socket_mode = False
    assert (await (await plugs.connect()).receive())["reason"] == "link_disabled"


async def test_a_slack_that_goes_down_takes_its_sockets_along(
    slack: SimulatedSlack, plugs: Plugs, anna: User, support: Channel
) -> None:
    plug = await plugs.connect()
    await plug.receive()
    await slack.down()
    await slack.until(lambda: not slack.sockets.open)
    assert (await plug.ws.receive()).type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)
    slack.say(anna.id, support.id, "meanwhile")
    await slack.up()
    plug = await plugs.connect()
    await plug.receive()
    assert (await plug.receive())["payload"]["event"]["text"] == "meanwhile"


async def test_a_command_is_answered_in_its_acknowledgement(
    slack: SimulatedSlack, plugs: Plugs, anna: User, support: Channel
) -> None:
    plug = await plugs.connect()
    await plug.receive()
    typing = asyncio.create_task(slack.slash_command(anna.id, support.id, "/jollor", "projects"))
    envelope = await plug.receive()
    assert (envelope["type"], envelope["accepts_response_payload"]) == ("slash_commands", True)
    assert envelope["payload"]["text"] == "projects"
    await plug.acknowledge(envelope, {"text": "two projects"})
    assert (await typing).text == "two projects"


async def test_nonsense_on_the_socket_is_ignored(
    slack: SimulatedSlack, plugs: Plugs, anna: User, support: Channel
) -> None:
    plug = await plugs.connect()
    await plug.receive()
    for nonsense in ("no json", "[]", '{"envelope_id": "unknown"}', '{"envelope_id": []}'):
        await plug.ws.send_str(nonsense)
    slack.say(anna.id, support.id, "hi")
    await plug.acknowledge(await plug.receive())
    await slack.courier.idle()
    assert len(slack.courier.acknowledged) == 1


async def test_slacks_own_client_connects_acknowledges_and_comes_back(
    slack: SimulatedSlack, anna: User, support: Channel
) -> None:
    heard: asyncio.Queue[SocketModeRequest] = asyncio.Queue()

    async def listen(client: AsyncBaseSocketModeClient, request: SocketModeRequest) -> None:
        await client.send_socket_mode_response(SocketModeResponse(envelope_id=request.envelope_id))
        await heard.put(request)

    async with aiohttp.ClientSession() as session:
        web_client = AsyncWebClient(base_url=slack.api_url, session=session)
        client = SocketModeClient(slack.app_token, web_client=web_client, ping_interval=0.1)
        client.socket_mode_request_listeners.append(listen)
        await client.connect()  # type: ignore[no-untyped-call]  # the SDK leaves it untyped
        slack.say(anna.id, support.id, "one")
        assert (await heard.get()).payload["event"]["text"] == "one"
        await slack.courier.idle()
        await slack.sockets.disconnect("refresh_requested")
        slack.say(anna.id, support.id, "two")
        assert (await asyncio.wait_for(heard.get(), 5)).payload["event"]["text"] == "two"
        await slack.courier.idle()
        assert len(slack.courier.acknowledged) == 2
        await client.close()  # type: ignore[no-untyped-call]
