"""Settings: what is missing or wrong is said by name, all at once, and never with a value."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.settings import (
    SECTIONS,
    BridgeSettings,
    JollorSettings,
    SettingsError,
    SlackSettings,
    load,
    load_section,
    variables,
)

COMPLETE = {
    "SLACK_BOT_TOKEN": "xoxb-hush-1",
    "SLACK_SIGNING_SECRET": "hush-2",
    "JOLLOR_CLIENT_ID": "client",
    "JOLLOR_CLIENT_SECRET": "hush-3",
    "JOLLOR_USERNAME": "someone@example.com",
    "JOLLOR_PASSWORD": "hush-4",
}
A_KEY = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
ANOTHER_KEY = "B" * 42 + "A="


class Environment:
    """The environment of one test: only what it sets, and an own `.env`."""

    def __init__(self, patch: pytest.MonkeyPatch, folder: Path) -> None:
        self._patch = patch
        self.file = folder / ".env"

    def set(self, **variables: str) -> None:
        for name, value in variables.items():
            self._patch.setenv(name, value)

    def complaints(self) -> list[str]:
        with pytest.raises(SettingsError) as caught:
            load(self.file)
        assert "hush" not in str(caught.value)
        return caught.value.problems

    def bridge(self, **variables: str) -> BridgeSettings:
        self.set(**variables)
        return load_section(BridgeSettings, self.file)


@pytest.fixture
def env(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Environment:
    for section in SECTIONS:
        for name in variables(section):
            monkeypatch.delenv(name, raising=False)
    return Environment(monkeypatch, tmp_path)


def test_the_defaults_are_those_of_a_first_try(env: Environment) -> None:
    env.set(**COMPLETE)
    settings = load(env.file)
    assert settings.bridge.sqlite_path == Path("data/bridge.db")
    assert (settings.bridge.host, settings.bridge.port) == ("127.0.0.1", 3000)
    assert settings.bridge.public_url is None
    assert settings.bridge.undo_window_s == 5
    assert settings.bridge.time_scale == 1
    assert settings.slack.api_url == "https://slack.com/api/"
    assert not settings.slack.is_socket_mode
    assert settings.jollor.app_url == "https://app.jollor.com/api"


def test_everything_that_is_missing_is_said_at_once_with_what_was_expected(env: Environment) -> None:
    assert env.complaints() == [
        "SLACK_BOT_TOKEN is missing: expected the bot token of your workspace, xoxb-….",
        "SLACK_SIGNING_SECRET is missing: expected the app's signing secret, or SLACK_APP_TOKEN for "
        "Socket Mode in its place.",
        "JOLLOR_CLIENT_ID is missing: expected the client id that Jollor gave you.",
        "JOLLOR_CLIENT_SECRET is missing: expected the client secret that Jollor gave you.",
        "JOLLOR_USERNAME is missing: expected the login of the Jollor account that replies come from.",
        "JOLLOR_PASSWORD is missing: expected the password of that account.",
    ]


def test_an_empty_variable_counts_as_missing(env: Environment) -> None:
    env.set(**COMPLETE | {"JOLLOR_PASSWORD": "", "SLACK_SIGNING_SECRET": ""})
    assert [line.split()[0] for line in env.complaints()] == ["SLACK_SIGNING_SECRET", "JOLLOR_PASSWORD"]


def test_an_app_token_takes_the_place_of_the_signing_secret(env: Environment) -> None:
    env.set(**COMPLETE | {"SLACK_SIGNING_SECRET": "", "SLACK_APP_TOKEN": "xapp-1"})
    assert load(env.file).slack.is_socket_mode


@pytest.mark.parametrize("name", ["SLACK_BOT_TOKEN", "SLACK_APP_TOKEN"])
def test_a_token_of_another_kind_is_noticed(env: Environment, name: str) -> None:
    env.set(**COMPLETE | {name: "xoxp-hush"})
    assert [line.split(" must")[0] for line in env.complaints()] == [name]


@pytest.mark.parametrize("name", ["SLACK_CLIENT_ID", "SLACK_CLIENT_SECRET"])
def test_several_workspaces_are_known_but_come_later(env: Environment, name: str) -> None:
    env.set(**COMPLETE | {name: "hush"})
    assert env.complaints() == [
        f"{name} cannot be used yet: several workspaces through OAuth come later: expected nothing, for now."
    ]


def test_a_variable_of_the_environment_wins_over_the_file(env: Environment) -> None:
    env.file.write_text("BRIDGE_PORT=4000\nBRIDGE_HOST=0.0.0.0\n")
    settings = env.bridge(BRIDGE_PORT="5000")
    assert (settings.host, settings.port) == ("0.0.0.0", 5000)


def test_a_file_that_is_not_text_is_said_so(env: Environment) -> None:
    env.file.write_bytes(b"BRIDGE_PORT=\xff\xfe")
    with pytest.raises(SettingsError, match="expected text in UTF-8"):
        load_section(BridgeSettings, env.file)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("BRIDGE_PORT", "hush", "a port number"),
        ("BRIDGE_PORT", "70000", "a port number"),
        ("BRIDGE_UNDO_WINDOW_S", "-1", "seconds, 0 or more"),
        ("BRIDGE_UNDO_WINDOW_S", "inf", "seconds, 0 or more"),
        ("BRIDGE_TIME_SCALE", "0", "greater than 0"),
        ("BRIDGE_TIME_SCALE", "nan", "greater than 0"),
        ("BRIDGE_LOG_FORMAT", "hush", "text or json"),
        ("BRIDGE_LOG_LEVEL", "hush", "DEBUG, INFO, WARNING or ERROR"),
        ("BRIDGE_PUBLIC_URL", "http://hush.example.com", "for loopback addresses only"),
        ("BRIDGE_PUBLIC_URL", "hush.example.com", "must start with https://"),
        ("BRIDGE_PUBLIC_URL", "https://user:hush@example.com", "no password"),
        ("BRIDGE_PUBLIC_URL", "https://example.com/?hush=1", "no “?”"),
        ("BRIDGE_PUBLIC_URL", "https://example.com:hush", "is not an address"),
        ("BRIDGE_DATABASE_URL", "mysql://u:hush@host/db", "not supported"),
        ("BRIDGE_DATABASE_URL", "hush", "is not a database address"),
        ("BRIDGE_DATABASE_URL", "sqlite+aiosqlite://", "must name a file"),
        ("BRIDGE_DATABASE_URL", "postgres://u:hush@host", "names no database"),
        ("SLACK_API_URL", "http://hush.example.com/api/", "loopback"),
        ("JOLLOR_AUTH_URL", "http://hush.example.com", "loopback"),
    ],
)
def test_a_wrong_value_is_named_and_not_shown(env: Environment, name: str, value: str, expected: str) -> None:
    env.set(**COMPLETE | {name: value})
    (complaint,) = env.complaints()
    assert complaint.startswith(f"{name} ")
    assert expected in complaint
    assert complaint.count("\n") == 0


@pytest.mark.parametrize(
    "url", ["http://localhost:3000", "http://127.0.0.1:3000", "http://[::1]:3000", "https://b.example.com/x"]
)
def test_plain_http_is_for_loopback_addresses(env: Environment, url: str) -> None:
    assert env.bridge(BRIDGE_PUBLIC_URL=f" {url}/ ").public_url == url


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("postgres://u:p@host/db", "postgresql+asyncpg://u:p@host/db"),
        ("postgresql://u:p@host/db?sslmode=require", "postgresql+asyncpg://u:p@host/db?ssl=require"),
        ("sqlite:///data/x.db", "sqlite+aiosqlite:///data/x.db"),
        ("sqlite+aiosqlite:////data/x.db", "sqlite+aiosqlite:////data/x.db"),
    ],
)
def test_a_database_address_gets_the_driver_that_is_meant(env: Environment, written: str, meant: str) -> None:
    settings = env.bridge(BRIDGE_DATABASE_URL=written, BRIDGE_ENCRYPTION_KEYS=A_KEY)
    assert settings.database_url.get_secret_value() == meant


def test_the_database_is_named_to_people_without_its_password(env: Environment) -> None:
    settings = env.bridge(BRIDGE_DATABASE_URL="postgres://u:hush@host/db", BRIDGE_ENCRYPTION_KEYS=A_KEY)
    assert settings.database_name == "postgresql+asyncpg://u:***@host/db"
    assert settings.sqlite_path is None


def test_postgres_needs_keys(env: Environment) -> None:
    env.set(**COMPLETE, BRIDGE_DATABASE_URL="postgres://u:hush@host/db")
    (complaint,) = env.complaints()
    assert complaint.startswith("BRIDGE_ENCRYPTION_KEYS is missing")
    assert "openssl rand -base64 32" in complaint


def test_keys_are_separated_by_commas(env: Environment) -> None:
    settings = env.bridge(BRIDGE_ENCRYPTION_KEYS=f"{A_KEY}, {ANOTHER_KEY},")
    assert [key.get_secret_value() for key in settings.encryption_keys] == [A_KEY, ANOTHER_KEY]


def test_levels_and_formats_may_be_written_in_any_case(env: Environment) -> None:
    settings = env.bridge(BRIDGE_LOG_LEVEL="debug", BRIDGE_LOG_FORMAT="JSON")
    assert (settings.log_level, settings.log_format) == ("DEBUG", "json")


def test_no_section_shows_a_secret_when_printed(env: Environment) -> None:
    env.set(**COMPLETE, BRIDGE_DATABASE_URL="postgres://u:hush@host/db", BRIDGE_ENCRYPTION_KEYS=A_KEY)
    printed = repr(load(env.file))
    assert "hush" not in printed
    assert A_KEY not in printed


@pytest.mark.parametrize("keys", ["hush", f"{A_KEY},hush", "hush" * 11])
def test_a_key_that_cannot_be_one_is_refused_before_anything_is_made(env: Environment, keys: str) -> None:
    env.set(**COMPLETE, BRIDGE_ENCRYPTION_KEYS=keys)
    (complaint,) = env.complaints()
    assert complaint.startswith("BRIDGE_ENCRYPTION_KEYS holds a key that cannot be one: expected 32")
    assert "hush" not in complaint


def test_a_part_needs_only_its_own_section(env: Environment) -> None:
    env.set(SLACK_BOT_TOKEN="xoxb-hush", SLACK_SIGNING_SECRET="hush")
    assert load_section(SlackSettings, env.file).signing_secret is not None
    with pytest.raises(SettingsError):
        load_section(JollorSettings, env.file)
