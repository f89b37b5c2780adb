"""The Slack app manifests keep Slack's limits, agree with each other, and ask for what the app uses.

Limits: Slack's manifest schema 2.0.0. Scopes: the page of each event and method in Slack's reference.
The schema itself would not notice a wrong scope or event name.
"""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from slack_bolt.async_app import AsyncApp

from bridge.events import Event
from slack_app.clients import Clients, OneToken
from slack_app.commands import WORDS
from slack_app.ids import COMMAND, HOLD_BACK
from slack_app.listeners import add_listeners
from slack_app.translate import translate

ROOT = Path(__file__).parents[2]
FILES = ["app.yaml", "app-socket-mode.yaml"]
SCOPES_OF_EVENTS = {
    "app_uninstalled": None,
    "channel_archive": "channels:read",
    "channel_deleted": "channels:read",
    "channel_left": "channels:read",
    "channel_rename": "channels:read",
    "channel_unarchive": "channels:read",
    "group_archive": "groups:read",
    "group_deleted": "groups:read",
    "group_left": "groups:read",
    "group_rename": "groups:read",
    "group_unarchive": "groups:read",
    "member_joined_channel": "channels:read",
    "message.channels": "channels:history",
    "message.groups": "groups:history",
    "tokens_revoked": None,
}
SCOPES_OF_METHODS: dict[str, set[str]] = {
    "apps_connections_open": set(),  # with the app-level token
    "auth_test": set(),
    "chat_delete": {"chat:write"},
    "chat_getPermalink": set(),
    "chat_postEphemeral": {"chat:write"},
    "chat_postMessage": {"chat:write", "chat:write.customize"},
    "chat_update": {"chat:write"},
    "conversations_history": {"channels:history", "groups:history"},
    "conversations_info": {"channels:read", "groups:read"},
    "conversations_join": {"channels:join"},
    "conversations_list": {"channels:read", "groups:read"},
    "conversations_replies": {"channels:history", "groups:history"},
    "reactions_add": {"reactions:write"},
    "reactions_remove": {"reactions:write"},
    "users_info": {"users:read"},
}
A_CALL = re.compile(r"\bclient\.([a-z]+_[A-Za-z_]+)\(")


class NowhereInbox:
    """An inbox that nothing is put into."""

    async def put(self, event: Event, *, unique_key: str | None = None) -> None:
        raise AssertionError("nothing happens here")


def manifest(name: str) -> dict[str, Any]:
    loaded = yaml.safe_load((ROOT / "manifests" / name).read_text())
    assert isinstance(loaded, dict)
    return loaded


def events_of(app: dict[str, Any]) -> list[str]:
    events = app["settings"]["event_subscriptions"]["bot_events"]
    assert isinstance(events, list)
    return events


def an_event(subscription: str) -> dict[str, Any]:
    """Return the smallest envelope of what Slack sends to those who subscribed to `subscription`."""
    event: dict[str, Any] = {"type": subscription.partition(".")[0], "channel": "C1", "user": "U0BOT"}
    if event["type"] == "message":
        event |= {"user": "U1", "ts": "1.000001", "text": "hello"}
    if event["type"] == "tokens_revoked":
        event |= {"tokens": {"bot": ["U0BOT"]}}
    ours = {"team_id": "T1", "user_id": "U0BOT", "is_bot": True}
    return {"type": "event_callback", "team_id": "T1", "authorizations": [ours], "event": event}


def without_urls(node: Any) -> Any:
    """Return `node` without members that are addresses, which Socket Mode does not have."""
    if isinstance(node, dict):
        return {k: without_urls(v) for k, v in node.items() if k != "redirect_urls" and not k.endswith("url")}
    return [without_urls(item) for item in node] if isinstance(node, list) else node


@pytest.fixture(params=FILES)
def app(request: pytest.FixtureRequest) -> dict[str, Any]:
    return manifest(request.param)


def test_texts_keep_the_lengths_that_slack_allows(app: dict[str, Any]) -> None:
    display = app["display_information"]
    assert len(display["name"]) <= 35
    assert len(display["description"]) <= 140
    assert 175 <= len(display["long_description"]) <= 4000
    assert len(app["features"]["bot_user"]["display_name"]) <= 80
    for command in app["features"]["slash_commands"]:
        assert command["command"].startswith("/")
        assert len(command["command"]) <= 32
        assert command["description"]
    assert len(app["features"]["shortcuts"]) <= 10
    for shortcut in app["features"]["shortcuts"]:
        assert len(shortcut["name"]) <= 24
        assert 0 < len(shortcut["description"]) <= 150
        assert len(shortcut["callback_id"]) <= 255


def test_every_subscribed_event_has_its_scope(app: dict[str, Any]) -> None:
    events = events_of(app)
    scopes = {SCOPES_OF_EVENTS[event] for event in events} - {None}
    assert len(events) <= 100
    assert scopes - set(app["oauth_config"]["scopes"]["bot"]) == set()


def test_the_scopes_are_those_of_the_methods_and_events_in_use_and_no_others(app: dict[str, Any]) -> None:
    sources = [path.read_text() for path in (ROOT / "slack_app").rglob("*.py")]
    used = {method for source in sources for method in A_CALL.findall(source)}
    assert used - SCOPES_OF_METHODS.keys() == set(), "which scopes do they need?"
    needed = set().union(*(SCOPES_OF_METHODS[method] for method in used))
    needed |= {scope for event in events_of(app) if (scope := SCOPES_OF_EVENTS[event])}
    assert needed | {"commands"} == set(app["oauth_config"]["scopes"]["bot"])


@pytest.mark.parametrize("name", SCOPES_OF_EVENTS)
def test_every_subscribed_event_means_something_to_the_bridge(name: str, app: dict[str, Any]) -> None:
    assert name in events_of(app)
    assert translate(an_event(name), {}, received_at=datetime.now(UTC)) is not None


def test_the_command_and_its_words_are_those_that_the_app_answers(app: dict[str, Any]) -> None:
    (command,) = app["features"]["slash_commands"]
    assert command["command"] == COMMAND
    assert set(command["usage_hint"].split(" | ")) == set(WORDS)


async def test_every_shortcut_is_one_that_the_app_listens_to(app: dict[str, Any]) -> None:
    heard: list[object] = []

    class Listening(AsyncApp):
        def message_shortcut(self, *args: Any, **_: Any) -> Any:
            heard.extend(("message", callback_id) for callback_id in args)
            return lambda listener: listener

    clients = Clients(OneToken("xoxb-1"), api_url="https://slack.example/api/")
    add_listeners(Listening(token="xoxb-1", signing_secret="s"), inbox=NowhereInbox(), clients=clients)
    asked = [(shortcut["type"], shortcut["callback_id"]) for shortcut in app["features"]["shortcuts"]]
    assert asked == heard == [("message", HOLD_BACK)]


def test_no_list_in_a_manifest_names_anything_twice_or_out_of_order(app: dict[str, Any]) -> None:
    for names in (app["oauth_config"]["scopes"]["bot"], events_of(app)):
        assert names == sorted(set(names))


def test_buttons_work_and_tokens_do_not_expire(app: dict[str, Any]) -> None:
    assert app["settings"]["interactivity"]["is_enabled"] is True
    assert app["settings"]["token_rotation_enabled"] is False  # once switched on it can never be switched off


def test_both_manifests_are_one_app() -> None:
    http, socket = (without_urls(manifest(name)) for name in FILES)
    assert http["settings"].pop("socket_mode_enabled") is False
    assert socket["settings"].pop("socket_mode_enabled") is True
    assert http == socket


def test_over_http_everything_but_oauth_comes_to_one_address() -> None:
    app = manifest("app.yaml")
    settings = app["settings"]
    addresses = [command["url"] for command in app["features"]["slash_commands"]]
    addresses += [settings["event_subscriptions"]["request_url"], settings["interactivity"]["request_url"]]
    addresses += [settings["interactivity"]["message_menu_options_url"]]
    assert set(addresses) == {"https://bridge.example.com/slack/events"}
    assert app["oauth_config"]["redirect_urls"] == ["https://bridge.example.com/slack/oauth_redirect"]


def test_with_socket_mode_no_address_is_needed() -> None:
    assert "http" not in yaml.safe_dump(manifest("app-socket-mode.yaml"))
