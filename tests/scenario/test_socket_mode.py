"""The same service over Socket Mode: the whole main job, and connections that end in every way."""

from __future__ import annotations

from pathlib import Path

from sandbox.wire import Direction, End
from tests.outbound_support import A_SECOND, commands, locked, told
from tests.scenario.stage import eventually, open_stage, shown


async def test_the_whole_main_job_runs_over_socket_mode_commands_and_buttons_included(
    tmp_path: Path, migrated_sqlite_url: str
) -> None:
    async with open_stage(tmp_path, migrated_sqlite_url, socket_mode=True) as stage:
        slack, place = stage.slack, stage.support.id
        robin = stage.writes("Open on Sunday?")
        root = await stage.thread("Open on Sunday?")
        line, note = stage.types("Yes, from eight.", root), stage.types("// is that so?", root)
        await stage.marked(line, "white_check_mark")
        await stage.marked(note, "lock")
        assert stage.received(robin) == ["Yes, from eight."]

        await commands(stage, "projects", "Harbour Bakery")
        stage.jollor.expire_profile(stage.bakery)
        alert = await stage.thread("onnection")
        await slack.press(stage.anna.id, place, alert.ts, "mark_reconnected")
        await eventually(
            lambda: stage.anna.id in shown(alert), what="who cleared it", evidence=stage.evidence
        )

        slack.switches.ack_limit_s = 2.5
        with locked(migrated_sqlite_url):
            late = stage.types("In bad times", root)
            await eventually(lambda: told(stage, "In bad times"), what="an attempt")
        await stage.marked(late, "white_check_mark")
        assert [entry.status for entry in told(stage, "In bad times")] == [None, 200]
        assert stage.received(robin) == ["Yes, from eight.", "In bad times"]
        everything = stage.wire.entries(end=End.SLACK, direction=Direction.OUT)
        assert {entry.method for entry in everything} == {"WS"}


async def test_connections_that_end_lose_and_double_nothing(tmp_path: Path, migrated_sqlite_url: str) -> None:
    async with open_stage(tmp_path, migrated_sqlite_url, socket_mode=True, environment=A_SECOND) as stage:
        sockets = stage.slack.sockets
        robin = stage.writes("Talk to me")
        root = await stage.thread("Talk to me")
        texts: list[str] = []

        def talk() -> None:
            for _ in range(2):
                texts.append(f"line {len(texts) + 1}")
                stage.types(texts[-1], root)

        talk()
        await sockets.disconnect("warning", close=False)
        talk()
        await stage.customer_has(robin, *texts)
        talk()
        await sockets.disconnect("refresh_requested")
        talk()
        await stage.customer_has(robin, *texts)
        talk()
        await sockets.cut()
        talk()
        await stage.customer_has(robin, *texts)
        await stage.slack.courier.idle()
        assert stage.received(robin) == texts
        assert not stage.slack.courier.lost
        opened = stage.wire.entries(direction=Direction.IN, operation="apps.connections.open")
        assert len(opened) >= 4
