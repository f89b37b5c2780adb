"""The whole service in a process of its own between a simulated Jollor and a simulated Slack.

Tests act as customers and colleagues, and judge by what the two ends really received. Waiting is always for
something to be seen, with a limit; nothing sleeps for a guessed time.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import aiohttp

from sandbox.clock import SandboxClock
from sandbox.faults import Faults
from sandbox.jollor import SimulatedJollor
from sandbox.jollor.model import Conversation, Project
from sandbox.ledger import Ledger
from sandbox.slack import Channel, Limits, SimulatedSlack, User
from sandbox.slack import Message as SlackMessage
from sandbox.wire import Wire
from tests.scenario.processes import Running, Streams, start

T = TypeVar("T")

SCALE = 20.0
"""How much faster than real all waiting times of bridge and sandbox run, unless a test says otherwise."""

PATIENCE_S = 30.0
"""How long a test waits for something to be seen, in real seconds."""


async def eventually(
    look: Callable[[], T | None], *, what: str = "", within_s: float = PATIENCE_S, evidence: object = None
) -> T:
    """Return the first true value of `look`; fail with `what` if there is none within `within_s`."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + within_s
    while True:
        found = look()
        if found:
            return found
        if loop.time() > deadline:
            told = evidence() if callable(evidence) else ""
            raise AssertionError(f"not seen within {within_s:g} s: {what or look}\n{told}")
        await asyncio.sleep(0.02)


def free_port() -> int:
    """Return a port of the loopback address that is free at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Service:
    """A `jollor-slack` process: started, killed, started again on the same database."""

    environment: dict[str, str]
    folder: Path
    port: int
    command: tuple[str, ...] = ("serve",)
    process: Running | None = None
    log: Path = field(init=False)

    def __post_init__(self) -> None:
        self.log = self.folder / f"{'-'.join(self.command)}-{self.port}.log"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    async def start(self, *, until_ready: bool = True) -> None:
        """Start the process; return once it answers `/readyz` with 200."""
        self.process = await start(
            self.command,
            environment=self.environment,
            folder=self.folder,
            streams=Streams(self.log, self.log),
        )
        if until_ready:
            await self.ready()

    async def ready(self, *, within_s: float = 30.0) -> None:
        """Wait until the process is ready; fail with its log if it ends before."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + within_s
        async with aiohttp.ClientSession() as session:
            while True:
                assert self.process is not None
                assert self.process.returncode is None, (
                    f"ended with {self.process.returncode}:\n{self.said()}"
                )
                try:
                    async with session.get(f"{self.url}/readyz") as answer:
                        if answer.status == 200:
                            return
                except aiohttp.ClientError:
                    pass  # not listening yet
                assert loop.time() < deadline, f"not ready:\n{self.said()}"
                await asyncio.sleep(0.02)

    async def kill(self) -> None:
        """SIGKILL, as a crash or a power cut would."""
        await self._end(signal.SIGKILL)

    async def stop(self) -> int:
        """SIGTERM; return the exit code."""
        return await self._end(signal.SIGTERM)

    async def ended(self, *, within_s: float = 20.0) -> int:
        """Wait for the process to end by itself and return its exit code."""
        assert self.process is not None
        return await asyncio.wait_for(self.process.wait(), within_s)

    async def _end(self, how: signal.Signals) -> int:
        assert self.process is not None
        if self.process.returncode is None:
            self.process.send_signal(how)
        return await asyncio.wait_for(self.process.wait(), 30)

    def said(self) -> str:
        """Return the end of the process's log."""
        return self.log.read_text(errors="replace")[-6000:] if self.log.exists() else ""


@dataclass
class Stage:
    """Both ends, the people, and the service."""

    jollor: SimulatedJollor
    slack: SimulatedSlack
    faults: Faults
    wire: Wire
    ledger: Ledger
    service: Service
    bakery: Project
    support: Channel
    anna: User
    """An admin of the workspace."""
    ben: User
    """A full member."""
    folder: Path

    _commands: int = 0

    # --- doing ---------------------------------------------------------------------------------------

    async def run(self, *arguments: str, stdin: str | None = None) -> tuple[int, str, str]:
        """Run a command of the service's command line; return exit code, stdout and stderr."""
        self._commands += 1
        files = {name: self.folder / f"{name}-{self._commands}.txt" for name in ("stdin", "stdout", "stderr")}
        files["stdin"].write_text(stdin or "")
        process = await start(
            arguments, environment=self.service.environment, folder=self.folder, streams=Streams(**files)
        )
        code = await asyncio.wait_for(process.wait(), 60)
        return code, files["stdout"].read_text(), files["stderr"].read_text()

    async def link(self, project: Project, channel: Channel, *more: str) -> None:
        """Link a project with the command line, while the service answers Jollor's verification."""
        code, said, complained = await self.run("link", project.id, channel.id, *more)
        assert code == 0, f"{said}\n{complained}\n{self.service.said()}"

    def writes(
        self,
        text: str,
        *,
        customer: str = "Robin",
        provider: str = "facebook",
        project: Project | None = None,
    ) -> Conversation:
        """A customer writes a private message; their conversation is made with the first one."""
        known = self._conversations.get((customer, provider))
        message = self.jollor.customer_writes(
            project or self.bakery,
            provider,
            customer,
            text,
            conversation_id=None if known is None else known.id,
        )
        self._conversations[customer, provider] = message.conversation
        return message.conversation

    _conversations: dict[tuple[str, str], Conversation] = field(default_factory=dict)

    def types(self, text: str, thread: SlackMessage | str, *, by: User | None = None) -> str:
        """A colleague writes a line in a thread; returns its `ts`."""
        ts = thread if isinstance(thread, str) else thread.ts
        return self.slack.people.say((by or self.ben).id, self.support.id, text, thread_ts=ts)

    # --- seeing --------------------------------------------------------------------------------------

    def seen(self, text: str, *, channel: Channel | None = None) -> list[SlackMessage]:
        """Return our messages in a channel that show `text`."""
        return [m for m in self.slack.messages((channel or self.support).id) if m.bot_id and text in shown(m)]

    async def thread(self, text: str, *, channel: Channel | None = None) -> SlackMessage:
        """Wait for the thread whose root shows `text`; return the root."""
        place = channel or self.support

        def look() -> SlackMessage | None:
            roots = [m for m in self.slack.roots(place.id) if m.bot_id and text in shown(m)]
            return roots[0] if roots else None

        return await eventually(look, what=f"a thread for {text!r}", evidence=self.evidence)

    async def line(self, root: SlackMessage, text: str) -> SlackMessage:
        """Wait for our reply under `root` that shows `text`."""

        def look() -> SlackMessage | None:
            found = [m for m in self.replies(root) if text in shown(m)]
            return found[0] if found else None

        return await eventually(look, what=f"a line {text!r}", evidence=self.evidence)

    def replies(self, root: SlackMessage, *, channel: Channel | None = None) -> list[SlackMessage]:
        """Return our replies under `root`, oldest first."""
        place = channel or self.support
        return [m for m in self.slack.thread(place.id, root.ts)[1:] if m.bot_id]

    def transcript(self, root: SlackMessage, *, channel: Channel | None = None) -> list[SlackMessage]:
        """Return the customers' and other people's messages under `root`, oldest first."""
        return [
            m
            for m in self.replies(root, channel=channel)
            if m.metadata and m.metadata["event_payload"]["kind"] == "message"
        ]

    async def marked(self, ts: str, mark: str) -> None:
        """Wait until the line's only mark is `mark`."""
        await eventually(
            lambda: self.slack.marks(self.support.id, ts) == [mark],
            what=f"mark {mark} on {ts}, has {self.slack.marks(self.support.id, ts)}",
            evidence=self.evidence,
        )

    def received(self, conversation: Conversation) -> list[str]:
        """Return what the customer really received, oldest first."""
        return self.jollor.received_by_customer(conversation)

    async def customer_has(self, conversation: Conversation, *texts: str) -> None:
        """Wait until the customer has received exactly `texts`."""
        await eventually(
            lambda: self.received(conversation) == list(texts),
            what=f"the customer has {list(texts)}, not {self.received(conversation)}",
            evidence=self.evidence,
        )

    def evidence(self) -> str:
        """What helps to understand a failure."""
        return self.service.said()


def shown(message: SlackMessage) -> str:
    """Return everything that a person sees of a message, as one text."""
    return " ".join([message.text, *_texts(message.blocks)])


def spoken(messages: Iterable[SlackMessage]) -> list[str]:
    """Return what was said, one text for each message of a conversation: a post may hold several."""
    return [
        " ".join(_texts(block))
        for message in messages
        for block in message.blocks
        if block.get("type") == "rich_text"
    ]


def _texts(node: object) -> list[str]:
    if isinstance(node, Mapping):
        own = [node["text"]] if isinstance(node.get("text"), str) else []
        return own + [text for value in node.values() for text in _texts(value)]
    if isinstance(node, list | tuple):
        return [text for item in node for text in _texts(item)]
    return []


@asynccontextmanager
async def open_stage(
    folder: Path,
    database_url: str,
    *,
    scale: float = SCALE,
    limits: Limits | None = None,
    link: bool = True,
    start: bool = True,
    socket_mode: bool = False,
    environment: Mapping[str, str] | None = None,
) -> AsyncIterator[Stage]:
    """Give a stage with one project, one channel, an admin and a member; the service runs and is linked."""
    clock = SandboxClock(scale=scale)
    wire, faults, ledger = Wire(clock=clock), Faults(clock=clock), Ledger(clock=clock)
    jollor = await SimulatedJollor.start(clock=clock, wire=wire, faults=faults, ledger=ledger)
    slack = await SimulatedSlack.start(clock=clock, wire=wire, faults=faults, ledger=ledger, limits=limits)
    port = free_port()
    own = {
        "SLACK_BOT_TOKEN": slack.bot_token,
        "SLACK_API_URL": slack.api_url,
        "BRIDGE_DATABASE_URL": database_url,
        "BRIDGE_HOST": "127.0.0.1",
        "BRIDGE_PORT": str(port),
        "BRIDGE_PUBLIC_URL": f"http://127.0.0.1:{port}",
        "BRIDGE_UNDO_WINDOW_S": "0",
        "BRIDGE_TIME_SCALE": str(scale),
        "BRIDGE_LOG_LEVEL": "INFO",
        "PYTHONPATH": str(Path(__file__).parents[2]),
        **jollor.environment(),
    }
    if socket_mode:
        slack.switches.socket_mode = True
        own["SLACK_APP_TOKEN"] = slack.app_token
    else:
        own["SLACK_SIGNING_SECRET"] = slack.signing_secret
    if database_url.startswith("postgresql"):
        own["BRIDGE_ENCRYPTION_KEYS"] = "c2FuZGJveC1rZXktZm9yLXRlc3RzLW9ubHktMzJieXQ="
    kept = {name: os.environ[name] for name in os.environ if name.startswith(("PATH", "HOME", "COV", "LANG"))}
    service = Service({**kept, **own, **(environment or {})}, folder, port)
    anna = slack.add_user("Anna", is_admin=True)
    ben = slack.add_user("Ben")
    support = slack.add_channel("support", members=[anna, ben])
    bakery = jollor.add_project("Harbour Bakery")
    stage = Stage(jollor, slack, faults, wire, ledger, service, bakery, support, anna, ben, folder)
    try:
        if not socket_mode:
            slack.app.url = f"{service.url}/slack/events"
        if start:
            await service.start()
        if start and link:
            await stage.link(bakery, support)
        yield stage
    finally:
        if service.process is not None and service.process.returncode is None:
            await service.stop()
        await slack.stop()
        await jollor.stop()
