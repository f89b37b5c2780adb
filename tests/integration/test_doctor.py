"""The doctor: each thing that can be wrong is one finding that says what to do, and nothing is changed."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import http.client
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from aiohttp import web
from aiohttp.test_utils import TestServer
from pydantic import SecretStr
from sqlalchemy import Connection, insert

from bridge.doctor import Parts, examine
from bridge.doctor.ends import SCOPES, check_jollor, check_link, check_slack, check_webhook
from bridge.doctor.finding import Finding, State, wrong_settings
from bridge.doctor.machine import check_address, check_clock, check_database, server_time
from bridge.doctor.reading import check_reading
from bridge.errors import PermanentError, Snooze, TargetDown
from bridge.ids import ChannelId, LinkId, ProjectId, TeamId
from bridge.model import Channel, Link, LinkKind, Project, Reading, Webhook
from bridge.ports import ChannelThreads, WebhookSecret
from bridge.relay import limits
from bridge.settings import BridgeSettings, JollorSettings, Settings, SlackSettings
from bridge.store import pauses, schema
from bridge.store.engine import Store
from bridge.store.secrets import KeyRing, key_path, new_key, open_ring
from bridge.store.tables import alerts, links, projects, webhooks
from bridge.webhooks import EVENT_TYPES, OPTIONAL_TYPES

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
TEAM, CHANNEL, BAKERY = TeamId("T1"), ChannelId("C1"), ProjectId("p1")
A_LINK = Link(LinkId("l1"), TEAM, BAKERY, CHANNEL, LinkKind.ALL, NOW)
CALLBACK = "https://bridge.example.com/webhooks/jollor/p1"
OURS = Webhook("s3cret", CALLBACK, "active", frozenset(EVENT_TYPES))
DOWN = TargetDown("refused", target="team:T1", user_message="Slack cannot be reached.")


@dataclass
class ABot:
    team: TeamId = TEAM
    team_name: str = "Harbour"


@dataclass
class FakeEnds:
    """Slack and Jollor as the doctor sees them; `away` holds what does not answer."""

    granted: frozenset[str] = frozenset(SCOPES)
    place: Channel = field(default_factory=lambda: Channel(CHANNEL, "support"))
    known: Sequence[Project] = (Project(BAKERY, "Bakery"),)
    hook: Webhook | None = OURS
    stored: WebhookSecret | None = field(default_factory=lambda: WebhookSecret("s3cret", is_linked=True))
    public: bool = True
    away: frozenset[str] = frozenset()
    shown: ChannelThreads = field(default_factory=lambda: ChannelThreads((), None, None))
    reads_allowed: int = 2
    reads: int = 0

    def _reach(self, what: str) -> None:
        if what in self.away:
            raise DOWN

    async def bot(self) -> ABot:
        self._reach("bot")
        return ABot()

    async def scopes(self) -> frozenset[str]:
        return self.granted

    async def channel(self, team: TeamId, channel: ChannelId) -> Channel:
        self._reach("channel")
        return self.place

    async def threads(self, team: TeamId, channel: ChannelId) -> ChannelThreads:
        self._reach("threads")
        self.reads += 1
        if self.reads > self.reads_allowed:
            raise Snooze("reads_limited", delay=timedelta(seconds=60))
        return self.shown

    async def projects(self) -> Sequence[Project]:
        self._reach("projects")
        return self.known

    async def webhook(self, project: ProjectId) -> Webhook | None:
        self._reach("webhook")
        return self.hook

    def callback_url(self, project: ProjectId) -> str | None:
        return CALLBACK if self.public else None

    async def secret(self, project: ProjectId, *, fresh: bool = False) -> WebhookSecret | None:
        return self.stored

    async def open_socket(self) -> None:
        self._reach("socket")


def settings_of(url: str, **changes: object) -> BridgeSettings:
    """Settings as they are without an environment."""
    plain = BridgeSettings.model_construct()
    return plain.model_copy(
        update={"database_url": SecretStr(url), "public_url": "https://bridge.example.com", **changes}
    )


def all_of(bridge: BridgeSettings) -> Settings:
    slack = SlackSettings.model_construct(bot_token=SecretStr("xoxb-1"))
    return Settings(slack, JollorSettings.model_construct(), bridge)


# --- this machine ------------------------------------------------------------------------------------


async def a_database(url: str, folder: Path, *, ring: KeyRing | None = None) -> None:
    await schema.migrate(url)
    ring = ring or open_ring([], folder / "bridge.db")

    def write(conn: Connection) -> None:
        conn.execute(insert(projects).values(id=BAKERY, name="Bakery", updated_at=NOW))
        conn.execute(
            insert(links).values(
                id="l1", team=TEAM, project_id=BAKERY, channel_id=CHANNEL, kind="all", linked_at=NOW
            )
        )
        conn.execute(
            insert(webhooks).values(project_id=BAKERY, secret=ring.encrypt("s3cret"), created_at=NOW)
        )

    async with Store(url) as store:
        await store.write(write)


async def test_a_database_that_works_is_fine(sqlite_url: str, tmp_path: Path) -> None:
    await a_database(sqlite_url, tmp_path)
    finding = await check_database(settings_of(sqlite_url))
    assert finding.state is State.OK
    assert str(tmp_path) in finding.says


async def test_a_missing_database_is_not_made(sqlite_url: str, tmp_path: Path) -> None:
    finding = await check_database(settings_of(sqlite_url))
    assert finding.state is State.PROBLEM
    assert "There is no database" in finding.advice
    assert list(tmp_path.iterdir()) == []


async def test_a_missing_key_file_is_not_replaced(sqlite_url: str, tmp_path: Path) -> None:
    await a_database(sqlite_url, tmp_path)
    key_path(tmp_path / "bridge.db").unlink()
    finding = await check_database(settings_of(sqlite_url))
    assert "bridge.db.key is gone" in finding.says
    assert not key_path(tmp_path / "bridge.db").exists()


async def test_a_wrong_key_is_found(sqlite_url: str, tmp_path: Path) -> None:
    await a_database(sqlite_url, tmp_path, ring=KeyRing([new_key()]))
    keys = (SecretStr(new_key()),)
    finding = await check_database(settings_of(sqlite_url, encryption_keys=keys))
    assert finding.state is State.PROBLEM
    assert "none of the keys" in finding.advice


def test_without_a_public_address_it_says_what_that_costs() -> None:
    finding = check_address(settings_of("sqlite+aiosqlite:///x.db", public_url=None))
    assert finding.state is State.PROBLEM
    assert "BRIDGE_PUBLIC_URL" in finding.says


@pytest.mark.parametrize(
    ("seconds", "state", "words"),
    [(3, State.OK, "3 s apart"), (90, State.PROBLEM, "90 s ahead"), (-600, State.PROBLEM, "600 s behind")],
)
async def test_the_clock_is_held_against_a_servers(seconds: int, state: State, words: str) -> None:
    async def time_of(url: str) -> datetime:
        return NOW - timedelta(seconds=seconds)

    finding = await check_clock("Slack", "https://slack.example.com", time_of, lambda: NOW)
    assert (finding.state, words in finding.says) == (state, True)


@pytest.mark.parametrize("error", [ConnectionRefusedError(), http.client.BadStatusLine("x"), ValueError()])
async def test_a_server_that_tells_no_time_is_a_problem(error: Exception) -> None:
    async def time_of(url: str) -> datetime:
        raise error

    finding = await check_clock("Slack", "https://slack.example.com", time_of, lambda: NOW)
    assert finding.state is State.PROBLEM
    assert type(error).__name__ in finding.says


async def test_a_servers_time_is_that_of_its_answer_whatever_its_status() -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=404, headers={"Date": "Mon, 23 Nov 2026 12:00:00 GMT"})

    app = web.Application()
    app.router.add_route("HEAD", "/api/", answer)
    async with TestServer(app) as server:
        assert await server_time(str(server.make_url("/api/"))) == NOW


async def test_a_server_without_a_date_is_a_value_error() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(ValueError):
            await server_time(f"http://127.0.0.1:{port}")


# --- Slack and Jollor --------------------------------------------------------------------------------


async def test_slack_is_fine_with_a_good_token_and_all_scopes() -> None:
    ends = FakeEnds()
    found = await check_slack(ends, ends.open_socket)
    assert [finding.state for finding in found] == [State.OK] * 3
    assert "Harbour (T1)" in found[0].says


async def test_a_bad_token_is_one_problem_and_nothing_else_is_asked() -> None:
    (finding,) = await check_slack(FakeEnds(away=frozenset({"bot"})), None)
    assert (finding.state, finding.says) == (State.PROBLEM, "Slack cannot be reached.")
    assert "SLACK_BOT_TOKEN" in finding.advice


async def test_a_missing_scope_is_named_with_what_it_costs() -> None:
    _, finding = await check_slack(FakeEnds(granted=frozenset(SCOPES) - {"reactions:write"}), None)
    assert finding.says == "missing: reactions:write (lines get no marks)"
    assert "install the app again" in finding.advice


async def test_scopes_that_slack_does_not_tell_are_not_called_missing() -> None:
    _, finding = await check_slack(FakeEnds(granted=frozenset()), None)
    assert finding.state is State.SKIPPED


async def test_a_refused_socket_names_its_token() -> None:
    ends = FakeEnds(away=frozenset({"socket"}))
    *_, finding = await check_slack(ends, ends.open_socket)
    assert finding.state is State.PROBLEM
    assert "SLACK_APP_TOKEN" in finding.advice


async def test_signing_in_tells_how_many_projects_there_are() -> None:
    finding, known = await check_jollor(FakeEnds())
    assert (finding.state, finding.says, known) == (
        State.OK,
        "the account sees 1 project",
        frozenset({BAKERY}),
    )


async def test_a_failed_sign_in_names_its_settings() -> None:
    finding, known = await check_jollor(FakeEnds(away=frozenset({"projects"})))
    assert (finding.state, known) == (State.PROBLEM, None)
    assert "JOLLOR_PASSWORD" in finding.advice


async def test_an_account_without_projects_is_a_problem() -> None:
    finding, _ = await check_jollor(FakeEnds(known=()))
    assert "sees no project" in finding.says


@pytest.mark.parametrize(
    ("ends", "known", "words"),
    [
        (FakeEnds(), frozenset[ProjectId](), "does not see the project"),
        (FakeEnds(away=frozenset({"channel"})), None, "Slack cannot be reached."),
        (FakeEnds(place=Channel(CHANNEL, "support", is_archived=True)), None, "#support is archived"),
        (FakeEnds(place=Channel(CHANNEL, "support", is_member=False)), None, "not in #support"),
    ],
)
async def test_a_link_that_does_not_work_says_why(
    ends: FakeEnds, known: frozenset[ProjectId] | None, words: str
) -> None:
    finding = await check_link(ends, A_LINK, "Bakery", known)
    assert finding.state is State.PROBLEM
    assert words in finding.says
    assert finding.advice


async def test_a_link_that_works_is_fine() -> None:
    finding = await check_link(FakeEnds(), A_LINK, "Bakery", frozenset({BAKERY}))
    assert finding == Finding("link Bakery to C1", State.OK, "#support, all")


@pytest.mark.parametrize(
    ("ends", "words"),
    [
        (FakeEnds(hook=None), "Jollor has none"),
        (FakeEnds(stored=None), "not known here"),
        (
            FakeEnds(hook=dataclasses.replace(OURS, callback_url="https://else.example.com")),
            "points to https://else",
        ),
        (FakeEnds(hook=dataclasses.replace(OURS, secret="other")), "another one"),
        (FakeEnds(hook=dataclasses.replace(OURS, status="disabled")), "its status is disabled"),
        (
            FakeEnds(hook=dataclasses.replace(OURS, subscriptions=frozenset(EVENT_TYPES) - {"message_sent"})),
            "not called for message_sent",
        ),
        (FakeEnds(away=frozenset({"webhook"})), "cannot be reached"),
    ],
)
async def test_a_webhook_that_does_not_deliver_says_why_and_shows_no_secret(
    ends: FakeEnds, words: str
) -> None:
    finding = await check_webhook(ends, ends, BAKERY, "Bakery")
    assert finding.state is State.PROBLEM
    assert words in finding.says
    assert "s3cret" not in str(finding)


@pytest.mark.parametrize(
    "ends",
    [
        FakeEnds(),
        FakeEnds(hook=Webhook("s3cret", None, None, None)),
        FakeEnds(public=False),
        FakeEnds(hook=dataclasses.replace(OURS, subscriptions=frozenset(EVENT_TYPES) - OPTIONAL_TYPES)),
    ],
)
async def test_a_webhook_is_fine_where_nothing_speaks_against_it(ends: FakeEnds) -> None:
    assert (await check_webhook(ends, ends, BAKERY, "Bakery")).state is State.OK


async def test_a_webhook_whose_status_jollor_does_not_tell_is_not_called_active() -> None:
    ends = FakeEnds(hook=Webhook("s3cret", None, None, None))
    assert "does not tell" in (await check_webhook(ends, ends, BAKERY, "Bakery")).says


# --- all together ------------------------------------------------------------------------------------


async def examined(bridge: BridgeSettings, ends: FakeEnds) -> list[Finding]:
    async def time_of(url: str) -> datetime:
        return NOW

    @contextlib.asynccontextmanager
    async def open_parts(settings: Settings) -> AsyncIterator[Parts]:
        async with Store(settings.bridge.database_url.get_secret_value()) as store:
            yield Parts(store, ends, ends, ends, ends, None, ends)

    return [
        finding async for finding in examine(all_of(bridge), open_parts, server_time=time_of, now=lambda: NOW)
    ]


async def test_all_is_well_when_every_finding_is_ok(sqlite_url: str, tmp_path: Path) -> None:
    await a_database(sqlite_url, tmp_path)
    found = await examined(settings_of(sqlite_url), FakeEnds())
    assert {finding.state for finding in found} == {State.OK}
    assert [finding.check for finding in found] == [
        "settings",
        "database",
        "public address",
        "clock against Slack",
        "clock against Jollor",
        "Slack token",
        "Slack scopes",
        "Jollor sign-in",
        "link Bakery to C1",
        "Slack reading",
        "webhook of Bakery",
        "pauses",
    ]


async def test_what_the_bridge_has_found_to_be_away_or_silent_is_told(
    sqlite_url: str, tmp_path: Path
) -> None:
    await a_database(sqlite_url, tmp_path)

    def trouble(conn: Connection) -> None:
        pauses.pause(conn, f"project:{BAKERY}", "jollor_sign_in: Jollor does not let us in.", NOW, 1.0)
        pauses.pause(conn, f"team:{TEAM}", "Slack does not answer at the moment.", NOW, 1.0)
        row = {"team": TEAM, "channel_id": CHANNEL, "project_id": BAKERY, "kind": "webhook_silent"}
        conn.execute(insert(alerts).values(id="a1", since=NOW, reminded_at=NOW, **row))

    async with Store(sqlite_url) as store:
        await store.write(trouble)
    found = [f for f in await examined(settings_of(sqlite_url), FakeEnds()) if f.state is State.PROBLEM]
    assert [(finding.check, finding.says) for finding in found] == [
        ("paused: Jollor for Bakery", "since 2026-11-23 12:00 UTC: Jollor does not let us in."),
        ("paused: team:T1", "since 2026-11-23 12:00 UTC: Slack does not answer at the moment."),
        ("test of Bakery's webhook", "two test deliveries that Jollor was asked for did not arrive"),
    ]
    assert all(finding.advice for finding in found)


async def test_without_a_database_slack_and_jollor_are_asked_all_the_same(
    sqlite_url: str, tmp_path: Path
) -> None:
    found = {finding.check: finding.state for finding in await examined(settings_of(sqlite_url), FakeEnds())}
    assert found["database"] is State.PROBLEM
    assert found["Slack token"] is State.OK
    assert found["Jollor sign-in"] is State.OK
    assert found["links"] is State.SKIPPED
    assert list(tmp_path.iterdir()) == []


async def test_a_bridge_without_links_is_told_the_next_step(sqlite_url: str, tmp_path: Path) -> None:
    await schema.migrate(sqlite_url)
    open_ring([], tmp_path / "bridge.db")
    *_, finding = await examined(settings_of(sqlite_url), FakeEnds())
    assert (finding.check, finding.state) == ("links", State.PROBLEM)
    assert "jollor-slack link" in finding.advice


async def test_parts_that_do_not_open_are_a_problem(sqlite_url: str, tmp_path: Path) -> None:
    await a_database(sqlite_url, tmp_path)

    @contextlib.asynccontextmanager
    async def open_parts(settings: Settings) -> AsyncIterator[Parts]:
        raise PermanentError("broken", user_message="It does not open.")
        yield  # type: ignore[unreachable]

    async def time_of(url: str) -> datetime:
        return NOW

    settings = all_of(settings_of(sqlite_url))
    *_, last = [f async for f in examine(settings, open_parts, server_time=time_of, now=lambda: NOW)]
    assert (last.state, last.says) == (State.PROBLEM, "It does not open.")


def test_wrong_settings_are_one_finding_each() -> None:
    found = wrong_settings(["SLACK_BOT_TOKEN is missing.", "BRIDGE_PORT is wrong."])
    assert [(finding.state, finding.says) for finding in found] == [
        (State.PROBLEM, "SLACK_BOT_TOKEN is missing."),
        (State.PROBLEM, "BRIDGE_PORT is wrong."),
    ]


@pytest.mark.parametrize("name", ["app.yaml", "app-socket-mode.yaml"])
def test_the_scopes_that_are_checked_are_those_of_the_manifest(name: str) -> None:
    manifest = yaml.safe_load((Path(__file__).parents[2] / "manifests" / name).read_text())
    assert set(SCOPES) == set(manifest["oauth_config"]["scopes"]["bot"])


# --- reading -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("stored", list(Reading))
async def test_how_much_may_be_read_is_known_from_what_was_read(stored: Reading) -> None:
    ends = FakeEnds()
    finding = await check_reading(ends, stored, [A_LINK])
    assert ends.reads == 0
    assert finding.state is State.OK
    assert ("one read a minute" in finding.says) is (stored is Reading.RESTRICTED)
    assert ("Delayed Events" in finding.advice) is (stored is Reading.RESTRICTED)


@pytest.mark.parametrize(
    ("shown", "allowed", "says", "reads"),
    [
        (Reading.FULL, 1, "full", 1),
        (Reading.RESTRICTED, 1, "one read a minute", 1),
        (None, 2, "full", 2),
        (None, 1, "one read a minute", 2),
    ],
)
async def test_otherwise_two_reads_at_most_find_out(
    shown: Reading | None, allowed: int, says: str, reads: int
) -> None:
    ends = FakeEnds(shown=ChannelThreads((), None, shown), reads_allowed=allowed)
    alerts = dataclasses.replace(A_LINK, kind=LinkKind.ALERT)
    finding = await check_reading(ends, None, [alerts, A_LINK])
    assert says in finding.says
    assert ends.reads == reads


async def test_without_a_channel_for_answers_or_without_slack_it_says_so() -> None:
    alerts = dataclasses.replace(A_LINK, kind=LinkKind.ALERT)
    assert (await check_reading(FakeEnds(), None, [alerts])).state is State.SKIPPED
    away = await check_reading(FakeEnds(away=frozenset({"threads"})), None, [A_LINK])
    assert (away.state, away.says) == (State.PROBLEM, "Slack cannot be reached.")


async def test_what_was_read_before_is_taken_from_the_database(sqlite_url: str, tmp_path: Path) -> None:
    await a_database(sqlite_url, tmp_path)
    async with Store(sqlite_url) as store:
        await store.write(lambda conn: limits.note_reading(conn, NOW, TEAM, Reading.RESTRICTED))
    found = await examined(settings_of(sqlite_url), FakeEnds())
    assert ["one read a minute" in one.says for one in found if one.check == "Slack reading"] == [True]
