"""The command line against a running service between both simulated ends, in processes of its own."""

from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path

import pytest

from tests.scenario.stage import Service, eventually, open_stage

pytestmark = pytest.mark.timeout(120)


async def test_linking_listing_examining_and_taking_back(migrated_sqlite_url: str, tmp_path: Path) -> None:
    async with open_stage(tmp_path, migrated_sqlite_url, link=False) as stage:
        code, out, err = await stage.run("projects", "--json")
        assert (code, err) == (0, "")
        assert json.loads(out) == [
            {"id": stage.bakery.id, "name": "Harbour Bakery", "channels": [], "health": "not linked"}
        ]

        code, out, err = await stage.run("link", "harbour bakery", "#support")
        assert (code, err) == (0, "")
        assert f"Callback URL: {stage.service.url}/webhooks/jollor/{stage.bakery.id}" in out

        code, out, err = await stage.run("doctor", "--json")
        assert (code, err) == (0, ""), out
        assert {finding["state"] for finding in json.loads(out)} == {"ok"}

        stage.jollor.switches.webhook_shows_all = True
        webhook = stage.jollor.webhook(stage.bakery)
        assert webhook is not None
        webhook.status = "disabled"
        code, out, _ = await stage.run("doctor")
        assert code == 1
        assert "webhook of Harbour Bakery: its status is" in out

        code, out, err = await stage.run("unlink", stage.bakery.id, "#support")
        assert (code, err) == (0, "")
        assert f"{stage.bakery.id} no longer goes to {stage.support.id} (all)." in out
        assert (await stage.run("unlink", stage.bakery.id))[0] == 1


async def test_what_does_not_exist_is_a_sentence(migrated_sqlite_url: str, tmp_path: Path) -> None:
    async with open_stage(tmp_path, migrated_sqlite_url, link=False, start=False) as stage:
        code, out, err = await stage.run("link", "Bank", "#support")
        assert (code, out) == (1, "")
        assert "There is no project “Bank”" in err
        assert "Harbour Bakery" in err
        code, out, err = await stage.run("link", stage.bakery.id, "#nowhere")
        assert (code, out) == (1, "")
        assert "There is no channel #nowhere" in err
        assert err.count("\n") == 1


async def test_a_webhook_made_in_the_dashboard_is_linked_with_its_secret(
    migrated_sqlite_url: str, tmp_path: Path
) -> None:
    async with open_stage(tmp_path, migrated_sqlite_url, link=False, start=False) as stage:
        arguments = ("link", stage.bakery.id, stage.support.id, "--webhook-secret-stdin")
        code, out, err = await stage.run(*arguments, stdin="the secret\n")
        assert (code, err) == (0, "")
        assert "The webhook's secret is stored." in out
        assert "the secret\n" not in out
        assert stage.jollor.webhook(stage.bakery) is None


async def test_without_a_public_address_a_project_is_linked_and_the_rest_said(
    migrated_sqlite_url: str, tmp_path: Path
) -> None:
    async with open_stage(
        tmp_path, migrated_sqlite_url, link=False, start=False, environment={"BRIDGE_PUBLIC_URL": ""}
    ) as stage:
        code, out, err = await stage.run("link", stage.bakery.id, stage.support.id)
        assert (code, err) == (0, "")
        assert "BRIDGE_PUBLIC_URL is not set" in out


async def test_with_socket_mode_the_doctor_asks_for_a_connection(
    migrated_sqlite_url: str, tmp_path: Path
) -> None:
    async with open_stage(tmp_path, migrated_sqlite_url, link=False, start=False, socket_mode=True) as stage:
        code, out, _ = await stage.run("doctor")
        assert code == 1
        assert "ok       Slack Socket Mode: a connection is given" in out
        stage.service.environment["SLACK_APP_TOKEN"] = "xapp-wrong"
        code, out, _ = await stage.run("doctor")
        assert "problem  Slack Socket Mode" in out
        assert "xapp-wrong" not in out


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
async def test_serve_stops_when_asked_and_leaves_nothing_locked(
    sqlite_url: str, tmp_path: Path, how: signal.Signals
) -> None:
    async with open_stage(tmp_path, sqlite_url, link=False) as stage:
        assert stage.service.process is not None
        stage.service.process.send_signal(how)
        assert await stage.service.ended() == 0
        assert "Traceback" not in stage.service.said()
        await stage.service.start()


@pytest.mark.parametrize("command", ["serve", "worker"])
async def test_a_second_process_on_the_same_file_is_refused_with_a_sentence(
    migrated_sqlite_url: str, tmp_path: Path, command: str
) -> None:
    async with open_stage(tmp_path, migrated_sqlite_url, link=False) as stage:
        code, out, err = await stage.run(command)
        assert (code, out) == (1, "")
        assert f"Another serve or worker (process {stage.service.pid}) already runs on" in err
        assert err.count("\n") == 1


async def test_a_taken_port_is_a_sentence(migrated_sqlite_url: str, tmp_path: Path) -> None:
    async with open_stage(tmp_path, migrated_sqlite_url, link=False, start=False) as stage:
        async with await asyncio.start_server(lambda *_: None, "127.0.0.1", stage.service.port):
            code, _, err = await stage.run("serve")
        assert code == 1
        assert "address already in use" in err
        assert "Traceback" not in err


@pytest.mark.postgres
async def test_serve_refuses_an_old_schema_on_postgres_and_names_the_command(
    postgres_url: str, tmp_path: Path
) -> None:
    async with open_stage(tmp_path, postgres_url, link=False, start=False) as stage:
        code, out, err = await stage.run("serve")
        assert (code, out) == (1, "")
        assert err == "The database is empty: run jollor-slack migrate, then start again.\n"
        assert (await stage.run("migrate"))[0] == 0
        await stage.service.start()


@pytest.mark.postgres
async def test_workers_beside_an_http_process_do_the_work(migrated_postgres_url: str, tmp_path: Path) -> None:
    async with open_stage(tmp_path, migrated_postgres_url, link=False, start=False) as stage:
        http = stage.service
        http.command = ("serve", "--no-worker")
        worker = Service(http.environment, tmp_path, http.port, command=("worker",))
        await http.start(until_ready=False)
        try:
            await worker.start(until_ready=False)
            await http.ready()
            await stage.link(stage.bakery, stage.support)
            stage.writes("Are you open on Sunday?")
            root = await stage.thread("Are you open on Sunday?")
            assert root is not None
        finally:
            assert await worker.stop() == 0


async def test_serve_says_where_it_listens(migrated_sqlite_url: str, tmp_path: Path) -> None:
    async with open_stage(
        tmp_path, migrated_sqlite_url, link=False, start=False, environment={"BRIDGE_PORT": "0"}
    ) as stage:
        await stage.service.start(until_ready=False)

        def listening() -> list[str]:
            return [line for line in stage.service.said().splitlines() if "http.listening" in line]

        (line,) = await eventually(listening, what="the address")
        assert int(line.partition("port=")[2].split()[0]) > 0
