"""The demo as a program: who may talk to it, what it says when it cannot start, what is left at its end."""

from __future__ import annotations

import json
import signal
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from tests.demo_stage import Demo, is_alive, running_demo, start_demo, stop_demo


@pytest.fixture(scope="module")
def demo() -> Iterator[Demo]:
    with running_demo() as demo:
        yield demo


def asked(demo: Demo, path: str, body: object = None, **headers: str) -> int:
    """The status of a request to the demo."""
    data = None if body is None else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(demo.url + path, data=data, headers=named)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


KILL = ("/demo/api/bridge", {"act": "kill"})
JSON = "application/json"


@pytest.mark.parametrize(
    "headers",
    [
        {"Content_Type": JSON},
        {"Content_Type": JSON, "Origin": "http://evil.example"},
        {"Content_Type": JSON, "Origin": "null"},
        {"Content_Type": "text/plain", "Origin": "own"},
        {"Content_Type": JSON, "Origin": "own", "Host": "evil.example"},
        {"Content_Type": JSON, "Origin": "own", "Sec_Fetch_Site": "cross-site"},
    ],
    ids=["no origin", "another origin", "sandboxed", "a plain form", "another host", "another site"],
)
def test_only_the_demos_own_page_may_do_anything(demo: Demo, headers: dict[str, str]) -> None:
    own = {name: demo.url if value == "own" else value for name, value in headers.items()}
    assert asked(demo, *KILL, **own) == 403
    assert demo.state["bridge"]["state"] == "running"


def test_other_pages_can_neither_read_the_state_nor_reach_it_by_another_name(demo: Demo) -> None:
    assert asked(demo, "/demo/api/state") == 200
    assert asked(demo, "/demo/api/state", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="no-cors") == 403
    assert asked(demo, "/demo/api/state", Host="rebound.example") == 403


def test_the_page_loads_nothing_from_elsewhere(demo: Demo) -> None:
    with urllib.request.urlopen(demo.url, timeout=10) as answer:
        policy = answer.headers["Content-Security-Policy"]
        text = answer.read().decode()
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "https://" not in text


def test_wrong_requests_are_answered_with_a_sentence(demo: Demo) -> None:
    own = {"Content_Type": JSON, "Origin": demo.url}
    assert asked(demo, "/demo/api/bridge", {"act": "explode"}, **own) == 400
    nobody = {"user": "U0", "channel": "C0", "text": "hi"}
    assert asked(demo, "/demo/api/slack/say", nobody, **own) == 404
    general = next(c for c in demo.state["channels"] if c["name"] == "general")
    bot = {"user": demo.state["setting"]["bot"], "channel": general["id"], "text": "hi"}
    assert asked(demo, "/demo/api/slack/say", bot, **own) == 409


def test_a_taken_port_is_said_in_one_sentence() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        process = start_demo("--port", str(port))
        said, _ = process.communicate(timeout=30)
    assert process.returncode == 1
    assert said == (
        f"Port {port} is taken by another program. Choose another one, for example --port {port + 1}.\n"
    )


def test_a_port_that_cannot_be_is_said_in_one_sentence() -> None:
    process = start_demo("--port", "70000")
    said, _ = process.communicate(timeout=30)
    assert process.returncode == 1
    assert said == "The page cannot be served on port 70000: no such port. Choose another with --port.\n"


def test_control_c_leaves_nothing_behind() -> None:
    with running_demo() as demo:
        pid = demo.state["bridge"]["pid"]
        assert is_alive(pid)
        said = stop_demo(demo.process, signal.SIGINT)
    assert demo.process.returncode == 0, said
    assert "Traceback" not in said
    assert not is_alive(pid)


def test_socket_mode_reaches_the_bridge_by_websocket_alone() -> None:
    with running_demo("--socket-mode") as demo:
        operations = {(e["number"], e["path"]) for e in demo_wire(demo)}
        assert operations
        assert not any("/slack/events" in path for _, path in operations)


def demo_wire(demo: Demo) -> list[dict[str, str]]:
    """The first entries that the live stream tells a page."""
    with urllib.request.urlopen(f"{demo.url}/demo/api/events", timeout=10) as stream:
        for line in stream:
            if line.startswith(b'data: {"sections"'):
                wire: list[dict[str, str]] = json.loads(line[6:])["wire"]
                return wire
    raise AssertionError("the stream ended without telling anything")
