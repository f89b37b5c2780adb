"""The webhook receiver of the running service, called over HTTP as Jollor and strangers would call it."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from urllib.parse import quote

import aiohttp
import pytest
from pydantic import JsonValue
from sqlalchemy import select
from yarl import URL

from bridge.store.engine import Store
from bridge.store.tables import jobs, kept_bodies
from sandbox.faults import Fault, FaultKind
from sandbox.jollor.switches import RenderForm
from sandbox.wire import End
from tests.scenario.stage import Stage, eventually, open_stage, shown

pytestmark = pytest.mark.timeout(120)


@dataclass
class Caller:
    """Somebody who calls the service over HTTP."""

    stage: Stage
    http: aiohttp.ClientSession

    @property
    def secret(self) -> str:
        webhook = self.stage.jollor.webhook(self.stage.bakery)
        assert webhook is not None
        return webhook.verify_token

    def at(self, challenge: str | None, project: str | None = None) -> URL:
        of = project if project is not None else self.stage.bakery.id
        query = "" if challenge is None else f"?challenge={challenge}"
        return URL(f"{self.stage.service.url}/webhooks/jollor/{of}{query}", encoded=True)

    async def get(self, challenge: str | None, project: str | None = None) -> tuple[int, str]:
        async with self.http.get(self.at(challenge, project)) as answer:
            if answer.status == 200:
                assert answer.content_type == "text/plain"
            return answer.status, await answer.text()

    async def post(
        self, body: JsonValue | bytes, challenge: str | None = None, project: str | None = None
    ) -> tuple[int, str]:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        url = self.at(self.secret if challenge is None else challenge, project)
        async with self.http.post(url, data=BytesIO(data)) as answer:
            return answer.status, await answer.text()

    async def read(self, path: str) -> tuple[int, str]:
        async with self.http.get(self.stage.service.url + path) as answer:
            return answer.status, await answer.text()

    async def metric(self, name: str) -> float:
        """Return a metric of the service's, 0 if it is not there yet."""
        _, text = await self.read("/metrics")
        found = [line.rpartition(" ")[2] for line in text.splitlines() if line.startswith(f"{name} ")]
        return float(found[0]) if found else 0.0

    def message(self, message: str, conversation: str, **more: JsonValue) -> dict[str, JsonValue]:
        own: dict[str, JsonValue] = {"event_type": "message_received", "project_id": self.stage.bakery.id}
        return own | {"message_id": message, "conversation_id": conversation} | more


@asynccontextmanager
async def calling(stage: Stage) -> AsyncIterator[Caller]:
    async with aiohttp.ClientSession() as http:
        yield Caller(stage, http)


async def kept(url: str) -> list[str]:
    """Return the bodies that were kept aside."""
    async with Store(url) as store:
        return await store.read(lambda conn: list(conn.execute(select(kept_bodies.c.body)).scalars()))


async def states(url: str) -> set[tuple[str, str]]:
    """Return the kinds and states of all jobs."""
    async with Store(url) as store:
        rows = await store.read(lambda conn: conn.execute(select(jobs.c.kind, jobs.c.state)).all())
    return {(kind, state) for kind, state in rows}


async def until(look: Callable[[], object], stage: Stage, what: str) -> None:
    await eventually(look, what=what, evidence=stage.evidence)


REFUSED = (403, "wrong challenge")
UNUSABLE: tuple[bytes, ...] = (
    b"",
    b"not json",
    b"\xff\xfe\x00",
    b"null",
    b"[" * 5000,
    b'{"event_type": "weather_changed", "project_id": "x"}',
    b'{"event_type": "message_received"}',
    b'{"events": [{"event_type": ["a"]}, 7]}',
)


async def test_every_row_of_the_table_of_answers(tmp_path: Path, migrated_url: str) -> None:
    async with open_stage(tmp_path, migrated_url) as stage, calling(stage) as caller:
        confirmed = (200, caller.secret)
        # verification
        assert await caller.get(quote(caller.secret, safe="")) == confirmed
        for wrong in (None, "", "wrong", "%00", "%ED%A0%80", "%F0%9F%98%80", caller.secret[:-1], "x" * 4000):
            assert await caller.get(wrong) == REFUSED, wrong
        for unknown in (
            "never-linked",
            "%00",
            "%ED%A0%80",
            "a%2Fb",
            "x" * 4000,
            "'%3Bdrop%20table%20links%3B--",
        ):
            assert await caller.get(caller.secret, unknown) == REFUSED, unknown
            assert await caller.post({}, caller.secret, unknown) == REFUSED, unknown
        # deliveries
        assert await caller.post({}, "wrong") == REFUSED
        assert (await caller.post(b" " * (2**20 + 1)))[0] == 413
        for method in ("PUT", "DELETE", "PATCH"):
            async with caller.http.request(method, caller.at(caller.secret)) as answer:
                assert answer.status == 405
        # what cannot be read is confirmed, counted and kept aside
        for body in UNUSABLE:
            assert await caller.post(body) == confirmed, body
        assert len(await kept(migrated_url)) == len(UNUSABLE) + 1, "one of them has two items"
        assert any("weather_changed" in body for body in await kept(migrated_url))
        assert await caller.metric("bridge_webhook_kept_total") == len(UNUSABLE) + 1
        # items of another project are dropped and counted
        foreign: JsonValue = {"events": [caller.message("m", "c", project_id="another")] * 2}
        assert await caller.post(foreign) == confirmed
        assert await caller.metric("bridge_webhook_foreign_items_total") == 2
        # hostile ids in events that are well-formed: nothing breaks, nothing is held up
        for hostile in ("\0", "a\0b", "\ud800", "../../etc", "x" * 100_000, "%2e%2e", "🙂" * 50):
            assert await caller.post(caller.message(hostile, hostile)) == confirmed, hostile[:20]
            for kind, member in (("post_received", "post_id"), ("dialogue_started", "dialogue_id")):
                event: JsonValue = {"event_type": kind, "project_id": stage.bakery.id, member: hostile}
                assert await caller.post(event) == confirmed, hostile[:20]
        stage.writes("Still there?")
        await stage.thread("Still there?")
        assert (await caller.read("/healthz"))[0] == 200
        assert await caller.read("/readyz") == (200, "ready\n")
        assert caller.secret not in stage.service.said()
        assert "Traceback" not in stage.service.said()


async def test_what_was_confirmed_survives_sigkill_and_what_is_repeated_comes_once(
    tmp_path: Path, migrated_url: str
) -> None:
    async with open_stage(tmp_path, migrated_url) as stage, calling(stage) as caller:
        # confirmed, then killed at once
        written = stage.jollor.customer_writes(
            stage.bakery, "facebook", "Robin", "Did you hear me?", announced=False
        )
        event = caller.message(written.id, written.conversation.id)
        assert await caller.post(event) == (200, caller.secret)
        await stage.service.kill()
        await stage.service.start()
        root = await stage.thread("Did you hear me?")
        await stage.line(root, "Did you hear me?")
        # Jollor tells it again, hangs up early, tells everything twice
        assert await caller.post(event) == (200, caller.secret)
        abandoned = stage.faults.add(End.JOLLOR, Fault(FaultKind.ABANDON), "message_received", times=1)
        stage.faults.add(End.JOLLOR, Fault(FaultKind.DUPLICATE, copies=3), "message_received", times=1)
        stage._conversations["Robin", "facebook"] = written.conversation
        stage.writes("And this?")
        await stage.line(root, "And this?")
        await until(lambda: not stage.jollor.webhooks.under_way(), stage, "all deliveries confirmed")
        assert abandoned.applied == 1
        stage.writes("The end")
        await stage.line(root, "The end")
        assert [shown(m).count("?") > 0 for m in stage.transcript(root)] == [True, True, False]


async def test_while_the_database_is_locked_jollor_is_told_to_come_again_and_it_comes_once(
    tmp_path: Path, migrated_sqlite_url: str
) -> None:
    async with open_stage(tmp_path, migrated_sqlite_url) as stage, calling(stage) as caller:
        stage.jollor.switches.least_timeout_s = 10  # the machine may be busy: 503 is what is asked about
        other_program = sqlite3.connect(tmp_path / "bridge.db", isolation_level=None)
        other_program.execute("begin immediate")
        stage.writes("Anybody in?")
        await until(
            lambda: any(one.attempts for one in stage.jollor.webhooks.under_way()), stage, "a first attempt"
        )
        (delivery,) = stage.jollor.webhooks.under_way()
        assert delivery.attempts[0].status == 503
        assert (await caller.read("/healthz"))[0] == 200
        status, reason = await caller.read("/readyz")
        assert (status, "database" in reason) == (503, True)
        refused = await stage.slack.slash_command(stage.anna.id, stage.support.id, "/jollor", "status")
        assert (refused.error, refused.text) == (
            None,
            "I could not note that down just now. Please try again in a minute.",
        )
        other_program.execute("rollback")
        other_program.close()
        root = await stage.thread("Anybody in?")
        await stage.line(root, "Anybody in?")
        await until(lambda: not stage.jollor.webhooks.under_way(), stage, "the delivery confirmed")
        assert len(stage.transcript(root)) == 1
        assert await caller.read("/readyz") == (200, "ready\n")


async def test_links_of_another_process_hold_at_once_and_nothing_older_is_posted(
    tmp_path: Path, migrated_sqlite_url: str
) -> None:
    async with open_stage(tmp_path, migrated_sqlite_url, link=False) as stage, calling(stage) as caller:
        stage.writes("long before")
        stage.jollor.comment(stage.bakery, "instagram", "Mia", "Lovely, before you came")
        stage.jollor.switches.test_names_real_objects = True
        stage.jollor.switches.render_form = RenderForm.HTML
        await stage.link(stage.bakery, stage.support)
        assert await caller.get(caller.secret) == (200, caller.secret)
        assert stage.jollor.webhooks.deliveries, "Jollor was asked for a test delivery"

        # the secret is replaced by another process; this one has just read the old one
        stage.jollor.webhook(stage.bakery).verify_token = "a-new-secret"  # type: ignore[union-attr]
        code, out, err = await stage.run("link", stage.bakery.id, stage.support.id)
        assert (code, err) == (1, "")
        assert "--replace" in out
        await stage.link(stage.bakery, stage.support, "--replace")
        assert await caller.get("a-new-secret") == (200, "a-new-secret")
        stage.writes("Are you there now?", customer="Kim")
        root = await stage.thread("Are you there now?")

        # unlinked: confirmed, dropped, counted; linked again: goes on in the old thread
        code, _, err = await stage.run("unlink", "harbour")
        assert code == 0, err
        stage.writes("spoken to nobody", customer="Kim")
        dropped = "bridge_webhook_foreign_items_total"
        event = caller.message("m1", "c1")
        deadline = time.monotonic() + 15
        while not await caller.metric(dropped):
            assert time.monotonic() < deadline, "noticed a few seconds late at most"
            assert await caller.post(event) == (200, "a-new-secret")
        await until(lambda: not stage.jollor.webhooks.under_way(), stage, "all deliveries confirmed")
        await stage.link(stage.bakery, stage.support)
        stage.writes("Hello again", customer="Kim")
        await stage.line(root, "Hello again")

        for text in ("long before", "before you came", "spoken to nobody"):
            assert not stage.seen(text), text
        assert not [m for m in stage.slack.messages(stage.support.id) if "could not" in shown(m)]
        assert not {state for _, state in await states(migrated_sqlite_url)} & {"discarded"}
