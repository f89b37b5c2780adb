"""The demo's parts without a browser: a bridge that will not start or stop, failed links, the stream."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from sandbox.demo.bridge_process import BridgeFailed, BridgeProcess, BridgeState
from sandbox.demo.live import Live
from sandbox.demo.scene import NotLinked, Scene
from sandbox.demo.stage import Stage
from sandbox.demo.troubles import Mishap, Trouble
from sandbox.jollor.simulated import SimulatedJollor
from sandbox.slack import SimulatedSlack
from tests.demo_stage import is_alive

ENDS = "print('I cannot go on'); raise SystemExit(3)"
NEVER_READY = "import time; time.sleep(60)"
STUBBORN = """
import http.server, os, signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
class Ready(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
http.server.HTTPServer(("127.0.0.1", int(os.environ["BRIDGE_PORT"])), Ready).serve_forever()
"""


def process(folder: Path, program: str) -> BridgeProcess:
    return BridgeProcess({}, folder, command=(sys.executable, "-c", program))


async def test_a_bridge_that_ends_by_itself_says_why(tmp_path: Path) -> None:
    bridge = process(tmp_path, ENDS)
    await bridge.start()
    with pytest.raises(BridgeFailed, match=r"ended by itself with exit code 3\nI cannot go on"):
        await bridge.ready()
    assert bridge.state is BridgeState.STOPPED
    assert bridge.pid is None
    await bridge.stop()


async def test_a_bridge_that_does_not_get_ready_is_given_up(tmp_path: Path) -> None:
    bridge = process(tmp_path, NEVER_READY)
    await bridge.start()
    with pytest.raises(BridgeFailed, match="does not get ready"):
        await bridge.ready(within_s=0.3)
    await bridge.kill()
    assert bridge.ended == "killed (SIGKILL)"


async def test_a_bridge_that_does_not_stop_is_killed_and_can_be_started_again(tmp_path: Path) -> None:
    bridge = process(tmp_path, STUBBORN)
    for _ in range(2):
        await bridge.start()
        await bridge.ready()
        pid = bridge.pid
        assert pid is not None
        assert is_alive(pid)
        await bridge.stop(within_s=0.2)
        assert not is_alive(pid)


async def test_no_setting_of_the_person_at_the_terminal_reaches_the_bridge(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLACK_BOT_TOKEN", "xoxb-of-somebody")
    monkeypatch.setenv("BRIDGE_DATABASE_URL", "sqlite+aiosqlite:///precious.db")
    tell = "import os; print(os.environ.get('SLACK_BOT_TOKEN'), os.environ['BRIDGE_DATABASE_URL'])"
    bridge = process(tmp_path, tell)
    await bridge.start()
    with pytest.raises(BridgeFailed, match=f"None sqlite.*{tmp_path}/bridge.db"):
        await bridge.ready()


# --- linking


@asynccontextmanager
async def scene_with(answer: str | None) -> AsyncIterator[Scene]:
    """A scene whose app takes every command and then says `answer`, nothing if that is None."""

    async def take(request: web.Request) -> web.Response:
        if answer is not None:
            url = (await request.post())["response_url"]
            async with aiohttp.ClientSession() as session:
                await session.post(str(url), json={"text": answer})
        return web.Response()

    async with AsyncExitStack() as stack:
        app = web.Application()
        app.router.add_post("/", take)
        runner = web.AppRunner(app)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        jollor = await SimulatedJollor.start()
        stack.push_async_callback(jollor.stop)
        slack = await SimulatedSlack.start(events_url=f"http://127.0.0.1:{runner.addresses[0][1]}/")
        stack.push_async_callback(slack.stop)
        scene = Scene(jollor, slack)
        scene.furnish()
        yield scene


async def test_linking_that_is_refused_says_what_the_bridge_said() -> None:
    async with scene_with("There is no such project.") as scene:
        with pytest.raises(NotLinked, match="There is no such project"):
            await scene.link()


async def test_linking_that_is_not_answered_is_given_up() -> None:
    async with scene_with(None) as scene:
        with pytest.raises(NotLinked, match="was not answered within"):
            await scene.link(within_s=0.3)


async def test_linking_without_a_bridge_says_so_at_once() -> None:
    async with scene_with(None) as scene:
        scene.slack.events_url = None
        with pytest.raises(NotLinked, match="/jollor link Harbour Bakery #harbour-bakery failed"):
            await scene.link()


# --- the stream and the switches, on a stage whose bridge was never started


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with Stage(page_url="http://127.0.0.1:1") as stage:
        stage.scene.furnish()
        yield stage


async def test_the_stream_tells_everything_once_then_what_changed_then_ends(stage: Stage) -> None:
    live = Live(stage)
    live.start()
    stream = live.stream()
    assert "event: begin" in await anext(stream)
    everything = sections_of(await anext(stream))
    assert {"customers", "channels", "bridge", "troubles"} <= everything.keys()

    bakery = stage.scene.places[0]
    stage.slack.say(stage.scene.people[1].id, bakery.channel.id, "Morning!")
    changed: dict[str, object] = {}
    while not changed:  # the line's way to the app is told first, as an entry of the wire
        changed = sections_of(await anext(stream))
    assert changed.keys() == {f"messages:{bakery.channel.id}"}
    await live.stop()
    assert [event async for event in stream] == []


async def test_a_silent_stream_gives_signs_of_life(stage: Stage) -> None:
    live = Live(stage, beat_s=0.05)
    live.start()
    stream = live.stream()
    assert [await anext(stream) for _ in range(3)][2] == ": alive\n\n"
    await live.stop()


async def test_metadata_is_not_shown(stage: Stage) -> None:
    place = stage.scene.places[0]
    ts = stage.slack.say(stage.scene.people[0].id, place.channel.id, "hello")
    stage.slack.message(place.channel.id, ts).metadata = {"event_payload": {"id": "secret-delivery"}}
    live = Live(stage)
    live.start()
    stream = live.stream()
    await anext(stream)
    assert "secret-delivery" not in await anext(stream)
    await live.stop()


@pytest.mark.parametrize("trouble", list(Trouble))
async def test_every_switch_goes_on_and_off_and_twice_is_once(stage: Stage, trouble: Trouble) -> None:
    for on in (True, True, False, False):
        await stage.troubles.switch(trouble, on)
        assert stage.troubles.is_on(trouble) is on
        assert [other for other in Trouble if other is not trouble and stage.troubles.is_on(other)] == []
    assert stage.faults.rules() == []


async def test_a_profile_of_no_project_cannot_expire(stage: Stage) -> None:
    with pytest.raises(KeyError):
        stage.troubles.happen(Mishap.PROFILE_EXPIRED, None)


def sections_of(event: str) -> dict[str, object]:
    data = event.split("data: ", 1)[1]
    sections: dict[str, object] = json.loads(data)["sections"]
    return sections
