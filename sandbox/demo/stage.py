"""Both simulated ends and the bridge between them, started and stopped as one."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType

from sandbox.clock import SandboxClock
from sandbox.demo.bridge_process import SERVE, BridgeProcess
from sandbox.demo.scene import NotLinked, Scene
from sandbox.demo.troubles import Troubles
from sandbox.faults import Faults
from sandbox.jollor.simulated import SimulatedJollor
from sandbox.jollor.switches import RenderForm
from sandbox.ledger import Ledger
from sandbox.slack import SimulatedSlack
from sandbox.wire import Wire

UNDO_WINDOW_S = 2


class Stage:
    """Everything that the page shows and plays. An asynchronous context: on leaving it all is stopped."""

    jollor: SimulatedJollor
    slack: SimulatedSlack
    bridge: BridgeProcess
    scene: Scene
    troubles: Troubles

    def __init__(self, *, page_url: str, socket_mode: bool = False, command: Sequence[str] = SERVE) -> None:
        """`page_url` is where links to Jollor's dashboard lead; `command` runs the bridge."""
        self.page_url = page_url
        self.socket_mode = socket_mode
        self._command = command
        self._open = AsyncExitStack()
        self.clock = SandboxClock()
        self.wire = Wire(clock=self.clock)
        self.faults = Faults(clock=self.clock)
        self.ledger = Ledger(clock=self.clock)

    async def __aenter__(self) -> Stage:
        async with AsyncExitStack() as opening:
            folder = Path(opening.enter_context(tempfile.TemporaryDirectory(prefix="jollor-slack-demo-")))
            self.jollor = await SimulatedJollor.start(
                clock=self.clock, wire=self.wire, faults=self.faults, ledger=self.ledger
            )
            opening.push_async_callback(self.jollor.stop)
            # what a person wrote shall be seen: without these, Jollor's posts have neither text nor author
            self.jollor.switches.post_members = True
            self.jollor.switches.render_form = RenderForm.HTML
            self.slack = await SimulatedSlack.start(
                clock=self.clock, wire=self.wire, faults=self.faults, ledger=self.ledger
            )
            opening.push_async_callback(self.slack.stop)
            self.bridge = BridgeProcess(self._settings(), folder, command=self._command)
            opening.push_async_callback(self.bridge.stop)
            self.slack.switches.socket_mode = self.socket_mode
            self.slack.events_url = f"{self.bridge.url}/slack/events"
            self.scene = Scene(self.jollor, self.slack)
            self.troubles = Troubles(self.jollor, self.slack, self.faults)
            self._open = opening.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._open.aclose()

    async def set_up(self) -> None:
        """Start the bridge, link the projects, let the first customers write."""
        self.scene.furnish()
        await self.bridge.start()
        await self.bridge.ready()
        try:
            await self.scene.link()
        except NotLinked as error:
            raise NotLinked("\n".join([str(error), *self.bridge.log])) from error
        self.scene.let_customers_write()

    def _settings(self) -> dict[str, str]:
        slack = {"SLACK_BOT_TOKEN": self.slack.bot_token, "SLACK_API_URL": self.slack.api_url}
        if self.socket_mode:
            slack["SLACK_APP_TOKEN"] = self.slack.app_token
        else:
            slack["SLACK_SIGNING_SECRET"] = self.slack.signing_secret
        jollor = self.jollor.environment() | {"JOLLOR_DASHBOARD_URL": f"{self.page_url}/dashboard"}
        return slack | jollor | {"BRIDGE_UNDO_WINDOW_S": str(UNDO_WINDOW_S), "BRIDGE_LOG_LEVEL": "INFO"}
