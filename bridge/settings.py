"""What one process is told from outside: the environment, or a `.env` file in the working directory.

The only reader of the environment. Each part of the service gets its own section. What is missing or wrong
is reported all at once, one sentence per variable, never with a value.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar, cast
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from bridge.store.secrets import KeyRing, KeyTrouble

DRIVERS = {
    "sqlite": "sqlite+aiosqlite",
    "sqlite+aiosqlite": "sqlite+aiosqlite",
    "postgres": "postgresql+asyncpg",
    "postgresql": "postgresql+asyncpg",
    "postgresql+asyncpg": "postgresql+asyncpg",
}
"""What people write, and the driver that is meant."""


class SettingsError(Exception):
    """The settings do not fit; `problems` holds one sentence per variable, without any value."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def is_loopback(host: str | None) -> bool:
    """Return whether `host` is this machine and nobody else's."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False


def _web_address(value: str) -> str:
    """Return `value` without a slash at its end; plain http is for loopback only, since secrets travel."""
    try:
        parts = urlsplit(value)
        _ = parts.port  # raises where it is not a number
    except ValueError:
        raise ValueError("is not an address") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must start with https:// and name a host")
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise ValueError("must start with https://; plain http is for loopback addresses only")
    if parts.query or parts.fragment or parts.username or parts.password:
        raise ValueError("must hold no user name, no password, no “?” and no “#”")
    return value.rstrip("/")


def _database_address(value: SecretStr) -> SecretStr:
    """Return the address with the driver that is meant; never in words, since it may hold a password."""
    try:
        url = make_url(value.get_secret_value())
    except (ArgumentError, ValueError):
        raise ValueError("is not a database address") from None
    if url.drivername not in DRIVERS:
        raise ValueError("names a database that is not supported")
    url = url.set(drivername=DRIVERS[url.drivername])
    if url.get_backend_name() == "sqlite":
        if url.database in (None, "", ":memory:") or str(url.database).startswith("file:"):
            raise ValueError("must name a file, since what is kept in memory is lost")
    elif not url.database:
        raise ValueError("names no database after the host")
    return SecretStr(_with_ssl(url).render_as_string(hide_password=False))


def _with_ssl(url: URL) -> URL:
    """Return `url` with libpq's `sslmode`, which providers hand out, under the driver's name for it."""
    if "sslmode" not in url.query:
        return url
    query = {"ssl" if key == "sslmode" else key: value for key, value in url.query.items()}
    return url.set(query=query)


def _split(value: Any) -> Any:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


def _plain(value: Any) -> Any:
    return value.strip() if isinstance(value, str) else value


Address = Annotated[str, BeforeValidator(_plain), AfterValidator(_web_address)]


class _Section(BaseSettings):
    """A group of variables with one prefix. A field's description says what was expected."""

    model_config = SettingsConfigDict(
        env_file_encoding="utf-8", env_ignore_empty=True, extra="ignore", frozen=True, validate_default=True
    )


class SlackSettings(_Section):
    """How Slack is reached, for one workspace."""

    model_config = SettingsConfigDict(env_prefix="SLACK_")

    bot_token: Annotated[SecretStr, Field(description="the bot token of your workspace, xoxb-…")]
    app_token: Annotated[
        SecretStr | None, Field(description="an app-level token, xapp-…, for Socket Mode")
    ] = None
    signing_secret: Annotated[
        SecretStr | None,
        Field(description="the app's signing secret, or SLACK_APP_TOKEN for Socket Mode in its place"),
    ] = None
    client_id: Annotated[str | None, Field(description="nothing, for now")] = None
    client_secret: Annotated[SecretStr | None, Field(description="nothing, for now")] = None
    api_url: Annotated[Address, Field(description="an https address")] = "https://slack.com/api/"

    @field_validator("bot_token", "app_token", mode="after")
    @classmethod
    def _is_of_its_kind(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        prefix = "xoxb-" if info.field_name == "bot_token" else "xapp-"
        if value is not None and not value.get_secret_value().startswith(prefix):
            raise ValueError(f"must start with {prefix}")
        return value

    @field_validator("signing_secret", mode="after")
    @classmethod
    def _some_way_in(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if value is None and info.data.get("app_token", "wrong already") is None:
            raise ValueError("is missing")
        return value

    @field_validator("client_id", "client_secret", mode="after")
    @classmethod
    def _several_workspaces_come_later(cls, value: SecretStr | str | None) -> SecretStr | str | None:
        if value is not None:
            raise ValueError("cannot be used yet: several workspaces through OAuth come later")
        return value

    @field_validator("api_url", mode="after")
    @classmethod
    def _ends_with_a_slash(cls, value: str) -> str:
        return f"{value}/"

    @property
    def is_socket_mode(self) -> bool:
        """An app-level token means Socket Mode instead of HTTP."""
        return self.app_token is not None


class JollorSettings(_Section):
    """How Jollor is reached: one account."""

    model_config = SettingsConfigDict(env_prefix="JOLLOR_")

    client_id: Annotated[str, Field(description="the client id that Jollor gave you")]
    client_secret: Annotated[SecretStr, Field(description="the client secret that Jollor gave you")]
    username: Annotated[str, Field(description="the login of the Jollor account that replies come from")]
    password: Annotated[SecretStr, Field(description="the password of that account")]
    app_url: Annotated[Address, Field(description="an https address")] = "https://app.jollor.com/api"
    auth_url: Annotated[Address, Field(description="an https address")] = "https://auth.jollor.com"
    dashboard_url: Annotated[Address, Field(description="an https address")] = "https://app.jollor.com"


def _upper(value: Any) -> Any:
    return value.strip().upper() if isinstance(value, str) else value


def _lower(value: Any) -> Any:
    return value.strip().lower() if isinstance(value, str) else value


class BridgeSettings(_Section):
    """The process itself: database, address, keys, times, log."""

    model_config = SettingsConfigDict(env_prefix="BRIDGE_")

    database_url: Annotated[
        SecretStr,
        AfterValidator(_database_address),
        Field(description="sqlite+aiosqlite:///path/to/file or postgresql+asyncpg://user:password@host/name"),
    ] = SecretStr("sqlite+aiosqlite:///data/bridge.db")
    host: Annotated[str, Field(description="an address of this machine to listen on")] = "127.0.0.1"
    port: Annotated[
        int, Field(ge=0, le=65535, description="a port number up to 65535; 0 takes a free one")
    ] = 3000
    public_url: Annotated[
        Address | None, Field(description="the https address under which Jollor and Slack reach the bridge")
    ] = None
    encryption_keys: Annotated[
        tuple[SecretStr, ...],
        NoDecode,
        BeforeValidator(_split),
        Field(description="32 random bytes in Base64 each, comma-separated, such as openssl rand -base64 32"),
    ] = ()
    undo_window_s: Annotated[float, Field(ge=0, allow_inf_nan=False, description="seconds, 0 or more")] = 5.0
    time_scale: Annotated[float, Field(gt=0, allow_inf_nan=False, description="a number greater than 0")] = (
        1.0
    )
    log_format: Annotated[
        str, BeforeValidator(_lower), Field(pattern="^(text|json)$", description="text or json")
    ] = "text"
    log_level: Annotated[
        str,
        BeforeValidator(_upper),
        Field(pattern="^(DEBUG|INFO|WARNING|ERROR)$", description="DEBUG, INFO, WARNING or ERROR"),
    ] = "INFO"

    @field_validator("encryption_keys", mode="after")
    @classmethod
    def _keys_fit(cls, value: tuple[SecretStr, ...], info: ValidationInfo) -> tuple[SecretStr, ...]:
        database: SecretStr | None = info.data.get("database_url")
        if not value and database is not None and database.get_secret_value().startswith("postgresql"):
            raise ValueError("is missing, and PostgreSQL has no place beside it where one could be kept")
        if value:
            try:
                KeyRing([key.get_secret_value() for key in value])
            except KeyTrouble:
                raise ValueError("holds a key that cannot be one") from None
        return value

    @property
    def sqlite_path(self) -> Path | None:
        """The file of an embedded database, None on PostgreSQL."""
        url = make_url(self.database_url.get_secret_value())
        return Path(str(url.database)) if url.get_backend_name() == "sqlite" else None

    @property
    def database_name(self) -> str:
        """The database address as people may see it, without its password."""
        return make_url(self.database_url.get_secret_value()).render_as_string(hide_password=True)


@dataclass(frozen=True, slots=True)
class Settings:
    """All sections; each part of the service is handed its own."""

    slack: SlackSettings
    jollor: JollorSettings
    bridge: BridgeSettings


SECTIONS: tuple[type[_Section], ...] = (SlackSettings, JollorSettings, BridgeSettings)

S = TypeVar("S", bound=_Section)


def load(env_file: Path = Path(".env")) -> Settings:
    """Read everything. Raises `SettingsError` with what is wrong in any section."""
    problems: list[str] = []
    read: dict[type[_Section], _Section] = {}
    for section in SECTIONS:
        try:
            read[section] = load_section(section, env_file)
        except SettingsError as error:
            problems += error.problems
    if problems:
        raise SettingsError(problems)
    return Settings(
        cast(SlackSettings, read[SlackSettings]),
        cast(JollorSettings, read[JollorSettings]),
        cast(BridgeSettings, read[BridgeSettings]),
    )


def load_section(section: type[S], env_file: Path = Path(".env")) -> S:
    """Read one section, for what needs no more. Raises `SettingsError`."""
    try:
        return section(_env_file=env_file)
    except ValidationError as error:
        raise SettingsError(list(_sentences(section, error))) from None
    except UnicodeDecodeError:
        raise SettingsError([f"{env_file} cannot be read: expected text in UTF-8."]) from None


def variables(section: type[_Section]) -> dict[str, str]:
    """Return the variables of a section and what each of them is expected to be."""
    prefix = section.model_config["env_prefix"]
    return {f"{prefix}{name.upper()}": info.description or "" for name, info in section.model_fields.items()}


def _sentences(section: type[_Section], error: ValidationError) -> Iterator[str]:
    expected = variables(section)
    told = set()
    for problem in error.errors(include_input=False, include_url=False):
        name = f"{section.model_config['env_prefix']}{problem['loc'][0]}".upper()
        if name in told:
            continue
        told.add(name)
        match problem["type"]:
            case "missing":
                what = "is missing"
            case "value_error":
                what = str(problem["ctx"]["error"])
            case _:
                what = "is wrong"
        yield f"{name} {what}: expected {expected[name]}."
