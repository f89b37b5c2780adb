"""The command line, in this process: answers, exit codes, and errors as one sentence on stderr."""

from __future__ import annotations

import asyncio
import errno
import io
import json
import logging
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from pydantic import TypeAdapter
from sqlalchemy import Connection, insert, select, update

from bridge import cli
from bridge.content import Notice
from bridge.deliveries import put_channel_post
from bridge.errors import PermanentError
from bridge.events import CleanUp, ConversationChanged, LineTyped
from bridge.ids import ChannelId, TeamId
from bridge.queue.job import NewJob
from bridge.queue.jobs import Jobs
from bridge.store.attempts import record_attempt
from bridge.store.engine import Op, Store, T
from bridge.store.secrets import KeyRing, key_path, new_key
from bridge.store.tables import accounts, deliveries, jobs, links, projects

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
NEED_THE_DATABASE = [
    "links",
    "jobs list",
    "jobs show 1",
    "jobs retry 1",
    "jobs retry --all",
    "jobs cancel 1",
    "migrate",
    "rotate-keys",
]
ROWS = TypeAdapter(list[dict[str, Any]])


class Answer(NamedTuple):
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def rows(self) -> list[dict[str, Any]]:
        return ROWS.validate_json(self.out)


class CommandLine:
    """Runs commands with an environment and a working directory of its own."""

    def __init__(self, patch: pytest.MonkeyPatch, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._patch = patch
        self._capsys = capsys
        self.folder = folder

    def set(self, **variables: str) -> None:
        for name, value in variables.items():
            self._patch.setenv(name, value)

    def __call__(self, *arguments: str, stdin: str = "") -> Answer:
        self._patch.setattr("sys.stdin", io.StringIO(stdin))
        code = cli.run(arguments)
        out, err = self._capsys.readouterr()
        return Answer(code, out, err)


@pytest.fixture
def command(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Iterator[CommandLine]:
    for name in os.environ:
        if name.startswith(("BRIDGE_", "SLACK_", "JOLLOR_")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    root = logging.getLogger()
    before = root.handlers[:], root.level
    yield CommandLine(monkeypatch, tmp_path, capsys)
    root.handlers[:], root.level = before


@pytest.fixture
def with_database(command: CommandLine, migrated_url: str) -> CommandLine:
    command.set(BRIDGE_DATABASE_URL=migrated_url, BRIDGE_ENCRYPTION_KEYS=new_key())
    return command


def done(url: str, op: Op[T]) -> T:
    """Return what `op` returns after its commit."""

    async def do() -> T:
        async with Store(url) as store:
            return await store.write(op)

    return asyncio.run(do())


def put(url: str, *new: NewJob) -> list[int]:
    """Put jobs and return their numbers."""

    async def do() -> list[int]:
        async with Store(url) as store:
            await Jobs(store).receive(list(new))
            ids = select(jobs.c.id).order_by(jobs.c.id)
            return await store.read(lambda conn: list(conn.execute(ids).scalars()))

    return asyncio.run(do())


def discard(url: str, *ids: int) -> None:
    def write(conn: Connection) -> None:
        conn.execute(
            update(jobs)
            .where(jobs.c.id.in_(ids))
            .values(state="discarded", finished_at=NOW, reason="not_found: It is \x1b[31mgone.")
        )
        for id_ in ids:
            record_attempt(conn, f"job:{id_}", NOW, 1, "discarded", "not_found")

    done(url, write)


# --- usage -------------------------------------------------------------------------------------------


def test_the_version_is_told(command: CommandLine) -> None:
    answer = command("--version")
    assert (answer.code, answer.out.startswith("jollor-slack "), answer.err) == (0, True, "")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nonsense"], "No such command 'nonsense'. See jollor-slack --help."),
        (["jobs", "show"], "See jollor-slack jobs show --help."),
        (["jobs", "show", "x"], "Invalid value for 'ID'"),
        (["jobs", "retry"], "Name jobs by number, or --all."),
        (["jobs", "retry", "1", "--all"], "Name jobs by number, or --all."),
        (["link", "only-a-project"], "Missing argument 'channel'."),
        (["link", "p", "c", "--kind", "cats"], "Invalid value for '--kind'"),
        (["link", "p", "c", "--undo-window", "soon"], "expected seconds from 0 to 600, or default"),
        (["serve", "--wat"], "No such option"),
        (["demo", "--port", "99999"], "Invalid value for '--port'"),
        (["link", "p", "c", "--webhook-secret-stdin"], "expects the secret as a line on standard input."),
    ],
)
def test_wrong_usage_is_one_sentence_and_exit_code_2(
    command: CommandLine, arguments: list[str], sentence: str
) -> None:
    answer = command(*arguments)
    assert (answer.code, answer.out) == (2, "")
    assert sentence in answer.err
    assert answer.err.count("\n") == 1


@pytest.mark.parametrize("arguments", [[], ["jobs"]])
def test_without_a_command_the_commands_are_listed(command: CommandLine, arguments: list[str]) -> None:
    answer = command(*arguments)
    assert answer.code == 2
    assert "Commands:" in answer.err


@pytest.mark.parametrize("name", ["serve", "worker", "projects", "link p c", "unlink p"])
def test_missing_settings_are_said_one_per_line_with_exit_code_2(command: CommandLine, name: str) -> None:
    answer = command(*name.split())
    assert (answer.code, answer.out) == (2, "")
    assert [line.split()[0] for line in answer.err.splitlines()] == [
        "SLACK_BOT_TOKEN",
        "SLACK_SIGNING_SECRET",
        "JOLLOR_CLIENT_ID",
        "JOLLOR_CLIENT_SECRET",
        "JOLLOR_USERNAME",
        "JOLLOR_PASSWORD",
    ]


@pytest.mark.parametrize("name", NEED_THE_DATABASE)
def test_a_database_that_is_not_there_is_refused_and_not_made(command: CommandLine, name: str) -> None:
    answer = command(*name.split())
    assert (answer.code, answer.out) == (1, "")
    assert answer.err == (
        "There is no database at data/bridge.db: start jollor-slack serve once, or correct "
        "BRIDGE_DATABASE_URL.\n"
    )
    assert list(command.folder.iterdir()) == []


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (PermanentError("code", user_message="It went wrong."), "It went wrong.\n"),
        (ExceptionGroup("g", [PermanentError("c", user_message="It went wrong.")]), "It went wrong.\n"),
        (OSError(errno.EADDRINUSE, "address already in use"), "That failed: address already in use.\n"),
        (ZeroDivisionError("division by zero"), "That failed: ZeroDivisionError: division by zero.\n"),
    ],
)
def test_whatever_fails_is_a_sentence_without_a_traceback(
    command: CommandLine, monkeypatch: pytest.MonkeyPatch, error: Exception, sentence: str
) -> None:
    def fail(**_: object) -> None:
        raise error

    monkeypatch.setattr(cli, "app", fail)
    assert command("serve") == (1, "", sentence)


# --- jobs --------------------------------------------------------------------------------------------


def test_an_empty_queue_is_a_sentence_and_an_empty_list(with_database: CommandLine) -> None:
    assert with_database("jobs", "list") == (0, "There are no such jobs.\n", "")
    assert with_database("jobs", "list", "--json").rows == []


def test_jobs_are_listed_with_state_lane_and_reason(with_database: CommandLine, migrated_url: str) -> None:
    event = ConversationChanged(project_id="p1", conversation_id="c1")
    dead, waiting = put(migrated_url, NewJob(event), NewJob(CleanUp()))
    discard(migrated_url, dead)
    rows = with_database("jobs", "list", "--json").rows
    assert [(row["id"], row["kind"], row["state"]) for row in rows] == [
        (dead, "conversation_changed", "discarded"),
        (waiting, "clean_up", "available"),
    ]
    assert rows[0]["lane"] == event.lane
    only = with_database("jobs", "list", "--state", "discarded", "--json").rows
    assert [row["id"] for row in only] == [dead]
    assert [row["id"] for row in with_database("jobs", "list", "--limit", "1", "--json").rows] == [dead]


def test_what_comes_from_outside_cannot_command_the_terminal(
    with_database: CommandLine, migrated_url: str
) -> None:
    (dead,) = put(migrated_url, NewJob(CleanUp()))
    discard(migrated_url, dead)
    for arguments in (["jobs", "list"], ["jobs", "show", str(dead)]):
        out = with_database(*arguments).out
        assert "gone." in out
        assert "\x1b" not in out


def test_a_line_in_a_pipe_is_not_broken(with_database: CommandLine, migrated_url: str) -> None:
    put(migrated_url, NewJob(ConversationChanged(project_id="p" * 80, conversation_id="c" * 200)))
    assert len(with_database("jobs", "list").out.splitlines()) == 2


def test_a_job_is_shown_with_its_attempts_and_without_what_people_wrote(
    with_database: CommandLine, migrated_url: str
) -> None:
    line = LineTyped(
        team_id="T1",
        channel_id="C1",
        ts="1.1",
        thread_ts="1.0",
        user_id="U1",
        text="private words",
        received_at=NOW,
    )
    (dead,) = put(migrated_url, NewJob(line))
    discard(migrated_url, dead)
    answer = with_database("jobs", "show", str(dead))
    assert "not_found" in answer.out
    shown = with_database("jobs", "show", str(dead), "--json").out
    assert "private words" not in answer.out + shown
    facts = json.loads(shown)
    assert facts["about"]["channel_id"] == "C1"
    assert facts["attempts"] == [
        {"at": "2026-11-23T12:00:00+00:00", "attempt": 1, "outcome": "discarded", "reason": "not_found"}
    ]


def test_a_job_that_did_not_fail_says_so(with_database: CommandLine, migrated_url: str) -> None:
    (waiting,) = put(migrated_url, NewJob(CleanUp()))
    assert "It has not failed so far." in with_database("jobs", "show", str(waiting)).out


def test_a_job_that_is_not_there_is_a_sentence(with_database: CommandLine) -> None:
    assert with_database("jobs", "show", "7") == (1, "", "There is no job 7.\n")


def states(url: str) -> list[str]:
    return done(url, lambda conn: list(conn.execute(select(jobs.c.state).order_by(jobs.c.id)).scalars()))


def test_dead_letters_run_again_by_number_or_all(with_database: CommandLine, migrated_url: str) -> None:
    ids = put(migrated_url, *[NewJob(CleanUp()) for _ in range(3)])
    discard(migrated_url, *ids)
    assert with_database("jobs", "retry", str(ids[0])) == (0, "1 job will run again.\n", "")
    assert states(migrated_url) == ["available", "discarded", "discarded"]
    assert with_database("jobs", "retry", "--all") == (0, "2 jobs will run again.\n", "")
    assert states(migrated_url) == ["available"] * 3
    for arguments in (["--all"], [str(ids[0])]):
        answer = with_database("jobs", "retry", *arguments)
        assert (answer.code, answer.err.startswith("Nothing changed: only discarded")) == (1, True)


def test_waiting_and_dead_jobs_are_cancelled(with_database: CommandLine, migrated_url: str) -> None:
    ids = put(migrated_url, *[NewJob(CleanUp()) for _ in range(3)])
    discard(migrated_url, ids[1])
    done(
        migrated_url,
        lambda conn: conn.execute(jobs.update().where(jobs.c.id == ids[2]).values(state="running")).close(),
    )
    answer = with_database("jobs", "cancel", *map(str, ids))
    assert answer == (0, "2 jobs cancelled.\n", "")
    assert states(migrated_url) == ["cancelled", "cancelled", "running"]
    assert with_database("jobs", "cancel", str(ids[2])).code == 1


def refused(url: str, *texts: str) -> list[str]:
    """Put messages that Slack refused; return how all of those are named."""

    def write(conn: Connection) -> list[str]:
        for text in texts:
            id_ = put_channel_post(conn, NOW, TeamId("T1"), ChannelId("C1"), "notice", Notice(text=text))
            given_up = {
                "state": "refused",
                "attempt": 1,
                "finished_at": NOW,
                "reason": "msg_too_long: Too long.",
            }
            conn.execute(update(deliveries).where(deliveries.c.id == id_).values(**given_up))
            record_attempt(conn, f"delivery:{id_}", NOW, 1, "refused", "msg_too_long: Too long.")
        return [
            f"d{seq}" for seq in conn.execute(select(deliveries.c.seq).order_by(deliveries.c.seq)).scalars()
        ]

    return done(url, write)


def test_messages_that_slack_refused_are_listed_shown_and_sent_again(
    with_database: CommandLine, migrated_url: str
) -> None:
    (dead,) = put(migrated_url, NewJob(CleanUp()))
    discard(migrated_url, dead)
    first, second = refused(migrated_url, "private words", "other words")
    rows = with_database("jobs", "list", "--json").rows
    assert [(row["id"], row["state"]) for row in rows] == [
        (dead, "discarded"),
        (first, "refused"),
        (second, "refused"),
    ]
    assert with_database("jobs", "list", "--state", "available", "--json").rows == []
    listed = with_database("jobs", "list").out
    assert "Too long." in listed
    assert "msg_too_long" not in listed
    shown = with_database("jobs", "show", first.upper())
    assert "a sentence of the bridge" in shown.out
    assert "It was given up" in shown.out
    as_json = with_database("jobs", "show", first, "--json").out
    assert json.loads(as_json)["attempts"][0]["reason"] == "msg_too_long: Too long."
    assert "private words" not in shown.out + as_json
    assert with_database("jobs", "retry", first) == (0, "1 message to Slack will be sent again.\n", "")
    assert with_database("jobs", "retry", "--all") == (
        0,
        "1 job will run again.\n1 message to Slack will be sent again.\n",
        "",
    )
    refused(migrated_url, "a third")
    third = with_database("jobs", "list", "--state", "discarded", "--json").rows[-1]["id"]
    assert with_database("jobs", "cancel", third) == (0, "1 message to Slack dropped.\n", "")
    assert with_database("jobs", "cancel", third).code == 1
    assert with_database("jobs", "show", "d99") == (1, "", "There is no message to Slack d99.\n")


def test_a_job_is_shown_hop_by_hop_in_words(with_database: CommandLine, migrated_url: str) -> None:
    (dead,) = put(migrated_url, NewJob(ConversationChanged(project_id="p1", conversation_id="c1")))
    discard(migrated_url, dead)
    assert with_database("jobs", "retry", str(dead)).code == 0
    out = with_database("jobs", "show", str(dead)).out
    assert "Reading a conversation in Jollor" in out
    for words in (
        "It was stored",
        "It was given up",
        "It was put back to be tried again",
        "It waits from then on",
    ):
        assert words in out
    hops = json.loads(with_database("jobs", "show", str(dead), "--json").out)["hops"]
    assert [hop["reason"] for hop in hops if hop["what"].startswith("It was put")] == [
        "by whoever runs the bridge"
    ]


# --- links -------------------------------------------------------------------------------------------


def test_links_are_listed_with_names_and_problems(with_database: CommandLine, migrated_url: str) -> None:
    assert with_database("links").out == "No project is linked: see jollor-slack link --help.\n"

    def write(conn: Connection) -> None:
        conn.execute(insert(projects).values(id="p1", name="Bakery", updated_at=NOW))
        for id_, ended in (("l1", None), ("l2", NOW)):
            conn.execute(
                insert(links).values(
                    id=id_,
                    team="T1",
                    project_id="p1",
                    channel_id=f"C{id_}",
                    kind="all",
                    linked_at=NOW,
                    unlinked_at=ended,
                    problem="The channel is archived.",
                    undo_window_s=7.5,
                )
            )

    done(migrated_url, write)
    assert with_database("links", "--json").rows == [
        {
            "project_id": "p1",
            "project": "Bakery",
            "channel_id": "Cl1",
            "kind": "all",
            "undo_window_s": 7.5,
            "linked_at": "2026-11-23T12:00:00+00:00",
            "problem": "The channel is archived.",
        }
    ]
    assert "Bakery" in with_database("links").out


# --- schema and keys ---------------------------------------------------------------------------------


@pytest.mark.postgres
def test_migrate_brings_an_empty_postgres_database_up_to_date(
    command: CommandLine, postgres_url: str
) -> None:
    command.set(BRIDGE_DATABASE_URL=postgres_url, BRIDGE_ENCRYPTION_KEYS=new_key())
    refused = command("jobs", "list")
    assert refused == (1, "", "The database is empty: run jollor-slack migrate, then start again.\n")
    first = command("migrate")
    assert first.code == 0
    assert first.out.startswith("The schema was brought to ")
    assert command("migrate") == (0, "The schema is up to date.\n", "")
    assert command("jobs", "list").code == 0


def sealed_account(url: str, ring: KeyRing) -> None:
    done(
        url,
        lambda conn: conn.execute(
            insert(accounts).values(key="default", token=ring.encrypt("token"), updated_at=NOW)
        ).close(),
    )


def test_keys_of_the_settings_are_rotated_to_the_first(with_database: CommandLine, migrated_url: str) -> None:
    old, new = new_key(), new_key()
    sealed_account(migrated_url, KeyRing([old]))
    with_database.set(BRIDGE_ENCRYPTION_KEYS=f"{new},{old}")
    answer = with_database("rotate-keys")
    assert answer == (0, "Encrypted anew with the first key in BRIDGE_ENCRYPTION_KEYS: 1.\n", "")
    sealed = done(migrated_url, lambda conn: conn.execute(select(accounts.c.token)).scalar_one())
    assert KeyRing([new]).decrypt(sealed or "") == "token"


def test_rotating_without_the_right_key_changes_nothing_until_told_to_forget(
    with_database: CommandLine, migrated_url: str
) -> None:
    sealed_account(migrated_url, KeyRing([new_key()]))
    answer = with_database("rotate-keys")
    assert (answer.code, "nothing was changed" in answer.err) == (1, True)
    forgotten = with_database("rotate-keys", "--forget-unreadable")
    assert forgotten.code == 0
    assert "Forgotten: 1." in forgotten.out
    assert done(migrated_url, lambda conn: conn.execute(select(accounts)).all()) == []


def test_a_key_file_gets_a_new_key(command: CommandLine, migrated_sqlite_url: str) -> None:
    command.set(BRIDGE_DATABASE_URL=migrated_sqlite_url)
    assert command("rotate-keys").code == 0
    before = key_path(command.folder / "bridge.db").read_text()
    answer = command("rotate-keys")
    assert str(key_path(command.folder / "bridge.db")) in answer.out
    assert key_path(command.folder / "bridge.db").read_text().split()[1] == before.split()[0]


# --- manifest ----------------------------------------------------------------------------------------


def test_the_manifest_has_the_address_that_was_named(command: CommandLine) -> None:
    answer = command("manifest", "--url", "https://bridge.test/sub/")
    manifest = yaml.safe_load(answer.out)
    assert (
        manifest["settings"]["event_subscriptions"]["request_url"] == "https://bridge.test/sub/slack/events"
    )
    assert "example.com" not in answer.out
    assert answer.err == ""


def test_the_manifest_takes_the_public_address(command: CommandLine) -> None:
    command.set(BRIDGE_PUBLIC_URL="https://bridge.test")
    assert "https://bridge.test/slack/events" in command("manifest").out


def test_without_an_address_the_manifest_says_what_stands_for_it(command: CommandLine) -> None:
    answer = command("manifest")
    assert answer.code == 0
    assert "https://bridge.example.com stands for your address" in answer.err
    assert yaml.safe_load(answer.out)


def test_the_manifest_for_socket_mode_needs_no_address(command: CommandLine) -> None:
    answer = command("manifest", "--socket-mode")
    assert yaml.safe_load(answer.out)["settings"]["socket_mode_enabled"] is True
    assert answer.err == ""


def test_a_wrong_address_for_the_manifest_is_wrong_usage(command: CommandLine) -> None:
    answer = command("manifest", "--url", "http://bridge.test")
    assert (answer.code, answer.out) == (2, "")
    assert "https://" in answer.err


# --- doctor ------------------------------------------------------------------------------------------


def test_the_doctor_names_each_wrong_setting(command: CommandLine) -> None:
    answer = command("doctor")
    assert (answer.code, answer.err) == (2, "")
    assert len(answer.out.splitlines()) == 6
    rows = command("doctor", "--json").rows
    assert {row["state"] for row in rows} == {"problem"}
    assert rows[0]["check"] == "settings"
