"""Tokens of the Jollor account while the service runs: renewed in time, replaced when refused, or told."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest

from sandbox.jollor import USERNAME
from sandbox.jollor.switches import RefreshRotation
from sandbox.jollor.tokens import GrantType
from sandbox.slack import Limits
from sandbox.wire import End
from tests.scenario.stage import Service, Stage, eventually, open_stage

pytestmark = pytest.mark.timeout(120)


def granted(stage: Stage) -> dict[str, int]:
    """Return how many grants of each type were asked for and answered with a token."""
    return {kind.value: count for kind, count in stage.jollor.tokens.counts().items()}


def refused(stage: Stage, kind: GrantType) -> int:
    return sum(1 for one in stage.jollor.tokens.grants if one.grant_type is kind and one.status != 200)


def unauthorised(stage: Stage) -> list[str]:
    """Return the calls to Jollor that were answered with 401."""
    return [e.operation for e in stage.wire.entries(end=End.JOLLOR) if e.status == 401]


async def heard(stage: Stage, text: str) -> None:
    """A customer writes; wait until it stands in the channel: our tokens are good."""
    stage.writes(text, customer=text)
    await stage.thread(text)


async def status(stage: Stage) -> str:
    """Return what `/jollor status` says."""
    before = len(stage.slack.ephemerals(stage.anna.id))
    await stage.slack.slash_command(stage.anna.id, stage.support.id, "/jollor", "status")
    seen = await eventually(
        lambda: stage.slack.ephemerals(stage.anna.id)[before + 1 :],
        what="an answer",
        evidence=stage.evidence,
    )
    return seen[-1].text


async def test_tokens_are_renewed_during_service_and_replaced_when_refused(
    tmp_path: Path, migrated_sqlite_url: str
) -> None:
    # Lifetimes are told in seconds and taken as such: the ends keep real time, only the schedule hurries.
    async with open_stage(
        tmp_path,
        migrated_sqlite_url,
        scale=1.0,
        limits=Limits(enabled=False),
        environment={"BRIDGE_TIME_SCALE": "200"},
    ) as stage:
        await heard(stage, "one")
        before = granted(stage)

        # a 401: renewed once, and nobody waits for longer than that
        stage.jollor.expire_tokens(refresh_tokens=False)
        await heard(stage, "two")
        after = granted(stage)
        assert after["refresh_token"] == before.get("refresh_token", 0) + 1
        assert after["password"] == before["password"]
        assert after["token_exchange"] == before["token_exchange"]

        # refresh tokens are dead, too: exchange, which needs the user's token, which needs the password
        stage.jollor.expire_tokens()
        await heard(stage, "three")
        assert granted(stage)["password"] == after["password"] + 1
        assert granted(stage)["token_exchange"] == after["token_exchange"] + 1

        # before they end: the schedule renews at 80 % of the lifetime, without any call being refused
        stage.jollor.switches.access_token_lifetime_s = 5.0
        stage.jollor.expire_tokens(refresh_tokens=False)
        await heard(stage, "four")
        calls = len(unauthorised(stage))
        known = granted(stage)["refresh_token"]
        await eventually(
            lambda: granted(stage)["refresh_token"] >= known + 2,
            what="two renewals by the schedule",
            within_s=30,
            evidence=stage.evidence,
        )
        assert len(unauthorised(stage)) == calls
        assert granted(stage)["password"] == after["password"] + 1


async def test_a_refused_password_is_one_sentence_and_asked_once(
    tmp_path: Path, migrated_sqlite_url: str
) -> None:
    async with open_stage(tmp_path, migrated_sqlite_url) as stage:
        accounts = stage.jollor.store.accounts
        accounts[USERNAME] = replace(accounts[USERNAME], password="changed by somebody")
        stage.jollor.expire_tokens()
        stage.writes("Does anybody hear me?")

        advice = "Jollor refused the sign-in; check JOLLOR_USERNAME and JOLLOR_PASSWORD"
        said = ""
        for _ in range(30):
            said = await status(stage)
            if advice in said:
                break
        assert f"Jollor for Harbour Bakery: Jollor does not let us in: {advice}" in said
        assert said.count(advice) == 1
        code, out, _ = await stage.run("doctor", "--json")
        assert code == 1
        findings = {one["check"]: one for one in json.loads(out)}
        sign_in = next(one for name, one in findings.items() if "sign-in" in name)
        assert "JOLLOR_USERNAME and JOLLOR_PASSWORD" in json.dumps(sign_in)

        # the service asks once, however often what waits is probed; the doctor asked for itself
        asked = refused(stage, GrantType.PASSWORD)
        for number in range(3):
            stage.writes("And me?", customer=f"customer {number}")
            assert advice in await status(stage)
        assert refused(stage, GrantType.PASSWORD) == asked <= 2
        assert "sandbox-password" not in stage.service.said() + out
        assert "Traceback" not in stage.service.said()

        # mended: the password in the settings is the account's again
        stage.service.environment["JOLLOR_PASSWORD"] = accounts[USERNAME].password
        assert await stage.service.stop() == 0
        await stage.service.start()
        await stage.thread("Does anybody hear me?")
        await stage.thread("And me?")
        assert "All is well" in await status(stage)


@pytest.mark.postgres
async def test_two_processes_spend_a_refresh_token_once(tmp_path: Path, migrated_postgres_url: str) -> None:
    async with open_stage(tmp_path, migrated_postgres_url) as stage:
        stage.jollor.switches.refresh_rotation = RefreshRotation.DIES
        worker = Service(stage.service.environment, tmp_path, stage.service.port, command=("worker",))
        await worker.start(until_ready=False)
        try:
            await heard(stage, "one")
            for number in range(3):
                before = granted(stage).get("refresh_token", 0)
                stage.jollor.expire_tokens(refresh_tokens=False)
                texts = [f"round {number}, customer {c}" for c in range(8)]
                await asyncio.gather(*(heard(stage, text) for text in texts))
                assert granted(stage)["refresh_token"] == before + 1
            assert refused(stage, GrantType.REFRESH_TOKEN) == 0
            assert granted(stage)["password"] <= 2, "link and serve sign in; nobody had to again"
        finally:
            assert await worker.stop() == 0
