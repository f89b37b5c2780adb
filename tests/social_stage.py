"""One stage for the fake and the real `Social`: the same things can be done and seen on both."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol

from bridge.errors import Snooze, TargetDown, UnconfirmedError
from bridge.ids import ConversationId, MessageId, PostId, ProjectId
from bridge.model import Post, Project, ReplyRules
from bridge.ports import Social
from sandbox.clock import SandboxClock
from sandbox.faults import Fault, FaultKind
from sandbox.jollor import SimulatedJollor
from sandbox.jollor.model import Project as SimulatedProject
from sandbox.server import DownMode
from sandbox.wire import End
from tests.fakes.social import FakeSocial, When
from tests.jollor_support import LIMITS, connected
from tests.sandbox_jollor_support import Receiver, receiving

REPLY = "createMessageReply"


class Stage(Protocol):
    """An account with one project; customers write on `zalo`."""

    social: Social
    project: ProjectId

    def writes(self, customer: str, text: str, *, at: datetime) -> tuple[ConversationId, MessageId]: ...
    def answers_elsewhere(self, conversation: ConversationId, text: str) -> None: ...
    def received(self, conversation: ConversationId) -> list[str]: ...
    def set_rules(self, conversation: ConversationId, rules: ReplyRules) -> None: ...
    def comment(self, text: str) -> PostId: ...
    def lose_next_reply(self, *, took_effect: bool) -> None: ...
    def limit_next_reply(self, seconds: int) -> None: ...
    async def go_away(self) -> None: ...
    def callback_url(self) -> str: ...


class FakeStage:
    def __init__(self) -> None:
        self.fake = FakeSocial()
        self.social: Social = self.fake
        self.project = self.fake.add_project(Project(ProjectId("p1"), "Harbour Bakery")).id

    def writes(self, customer: str, text: str, *, at: datetime) -> tuple[ConversationId, MessageId]:
        conversation = ConversationId(f"of/{customer}==")
        message = self.fake.customer_writes(
            self.project, conversation, text, customer=customer, provider="zalo", at=at
        )
        return conversation, message.id

    def answers_elsewhere(self, conversation: ConversationId, text: str) -> None:
        self.fake.dashboard_replies(self.project, conversation, text)

    def received(self, conversation: ConversationId) -> list[str]:
        return self.fake.conversation(self.project, conversation).received

    def set_rules(self, conversation: ConversationId, rules: ReplyRules) -> None:
        self.fake.conversation(self.project, conversation).rules = rules

    def comment(self, text: str) -> PostId:
        post = Post(PostId("post1"), "zalo", True, "", "", text, None)
        return self.fake.add_post(self.project, post).id

    def lose_next_reply(self, *, took_effect: bool) -> None:
        when = When.AFTER if took_effect else When.BEFORE
        self.fake.fail_next(UnconfirmedError("jollor_unanswered"), method="reply", when=when)

    def limit_next_reply(self, seconds: int) -> None:
        self.fake.fail_next(Snooze("jollor_rate_limited", delay=timedelta(seconds=seconds)), method="reply")

    async def go_away(self) -> None:
        down = TargetDown("jollor_unreachable", target=f"project:{self.project}")
        for method in ("reply", "messages"):
            self.fake.fail_next(down, method=method, times=100)

    def callback_url(self) -> str:
        return "https://bridge.example/hook"


@dataclass
class RealStage:
    jollor: SimulatedJollor
    simulated: SimulatedProject
    social: Social
    receiver: Receiver

    @property
    def project(self) -> ProjectId:
        return ProjectId(self.simulated.id)

    @project.setter
    def project(self, project: ProjectId) -> None:
        raise AttributeError("the project is that of the simulated Jollor")

    def writes(self, customer: str, text: str, *, at: datetime) -> tuple[ConversationId, MessageId]:
        message = self.jollor.customer_writes(self.simulated, "zalo", customer, text, at=at)
        return ConversationId(message.conversation.id), MessageId(message.id)

    def answers_elsewhere(self, conversation: ConversationId, text: str) -> None:
        self.jollor.dashboard_replies(self.jollor.conversation(self.simulated, conversation), text)

    def received(self, conversation: ConversationId) -> list[str]:
        return self.jollor.received_by_customer(self.jollor.conversation(self.simulated, conversation))

    def set_rules(self, conversation: ConversationId, rules: ReplyRules) -> None:
        known = self.jollor.conversation(self.simulated, conversation)
        assert rules.is_allowed is not None
        assert rules.max_length is not None
        known.reply_allowed, known.max_reply_length = rules.is_allowed, rules.max_length

    def comment(self, text: str) -> PostId:
        return PostId(self.jollor.comment(self.simulated, "zalo", "Mia", "x", html=f"<p>{text}</p>").id)

    def lose_next_reply(self, *, took_effect: bool) -> None:
        kind = FaultKind.CUT_AFTER if took_effect else FaultKind.CUT_BEFORE
        self.jollor.faults.add(End.JOLLOR, Fault(kind), REPLY, times=1)

    def limit_next_reply(self, seconds: int) -> None:
        fault = Fault(FaultKind.STATUS, status=429, retry_after=seconds)
        self.jollor.faults.add(End.JOLLOR, fault, REPLY, times=1)

    async def go_away(self) -> None:
        await self.jollor.down(DownMode.REFUSED)

    def callback_url(self) -> str:
        return self.receiver.url


@asynccontextmanager
async def real_stage() -> AsyncIterator[RealStage]:
    """The adapter over HTTP against a simulated Jollor, signed in."""
    jollor = await SimulatedJollor.start(clock=SandboxClock(1000))
    simulated = jollor.add_project("Harbour Bakery")
    try:
        async with (
            connected(jollor, limits=replace(LIMITS, total_s=2.0)) as client,
            receiving() as receiver,
        ):
            await client.auth.bearer(ProjectId(simulated.id))
            yield RealStage(jollor, simulated, client.social, receiver)
    finally:
        await jollor.stop()
