"""The Slack app manifests keep Slack's limits, agree with each other, and ask for what the app uses.

Limits: Slack's manifest schema 2.0.0. Scopes: the page of each event and method in Slack's reference.
The schema itself would not notice a wrong scope or event name.
"""

from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
FILES = ["app.yaml", "app-socket-mode.yaml"]
SCOPES_OF_EVENTS = {
    "app_uninstalled": None,
    "channel_archive": "channels:read",
    "channel_deleted": "channels:read",
    "channel_rename": "channels:read",
    "channel_unarchive": "channels:read",
    "group_archive": "groups:read",
    "group_deleted": "groups:read",
    "group_rename": "groups:read",
    "group_unarchive": "groups:read",
    "message.channels": "channels:history",
    "message.groups": "groups:history",
    "tokens_revoked": None,
}


def manifest(name: str) -> dict[str, Any]:
    loaded = yaml.safe_load((ROOT / "manifests" / name).read_text())
    assert isinstance(loaded, dict)
    return loaded


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
    for shortcut in app["features"].get("shortcuts", []):
        assert len(shortcut["name"]) <= 24


def test_every_subscribed_event_has_its_scope(app: dict[str, Any]) -> None:
    events = app["settings"]["event_subscriptions"]["bot_events"]
    scopes = {SCOPES_OF_EVENTS[event] for event in events} - {None}
    assert len(events) <= 100
    assert scopes - set(app["oauth_config"]["scopes"]["bot"]) == set()


def test_no_list_in_a_manifest_names_anything_twice_or_out_of_order(app: dict[str, Any]) -> None:
    for names in (app["oauth_config"]["scopes"]["bot"], app["settings"]["event_subscriptions"]["bot_events"]):
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
