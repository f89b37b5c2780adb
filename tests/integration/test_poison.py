"""A conversation that cannot be read: it holds up nobody else, and people are told in two minutes, once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime

import pytest

from bridge.content import ActionId, Notice
from bridge.deliveries.join import lines_in
from bridge.errors import BridgeError, PermanentError
from bridge.events import ConversationChanged
from bridge.ids import ConversationId, ProjectId
from bridge.model import MessageList
from bridge.relay.mending import Mending
from bridge.store.engine import Store
from tests.fakes.chat import FakePost
from tests.fakes.social import FakeSocial
from tests.outbox import TestClock
from tests.relay_stage import BAKERY, ROBIN, SUPPORT, Relay

BROKEN = BridgeError("jollor_object_failed", user_message="Jollor could not process this one.")
GONE = PermanentError("jollor_not_found", user_message="Jollor does not have it any more.")
KIM = ConversationId("kim")
UNREAD = "A message could not be read – open in Jollor."


@dataclass
class Poisoned(FakeSocial):
    """The lists of some conversations cannot be read."""

    poison: dict[ConversationId, Exception] = field(default_factory=dict)

    async def messages(
        self, project: ProjectId, conversation: ConversationId, *, last_message_at: datetime | None = None
    ) -> MessageList:
        if conversation in self.poison:
            raise self.poison[conversation]
        return await super().messages(project, conversation, last_message_at=last_message_at)


@pytest.fixture
def social() -> Poisoned:
    return Poisoned()


@pytest.fixture
async def relay(migrated_url: str, social: Poisoned) -> AsyncIterator[Relay]:
    clock = TestClock()
    async with Store(migrated_url, clock=clock) as store:
        relay = Relay(store, clock, social=social)
        await relay.link()
        yield relay


async def kim_writes(relay: Relay, text: str) -> None:
    message = relay.social.customer_writes(BAKERY, KIM, text, customer="Kim")
    await relay.jobs.put(ConversationChanged(project_id=BAKERY, conversation_id=KIM, message_id=message.id))


def unread(relay: Relay) -> list[FakePost]:
    return [post for post in relay.chat.posts if post.text.startswith(UNREAD)]


def shown(relay: Relay) -> list[str]:
    return [line.text for post in relay.chat.posts for line in lines_in(post.content)]


async def test_it_holds_up_nobody_and_becomes_a_line_in_two_minutes_in_its_thread(
    relay: Relay, social: Poisoned
) -> None:
    root = await relay.thread("Hello?")
    social.poison[ROBIN] = BROKEN
    await relay.customer_writes("poison")
    for number in range(5):
        await kim_writes(relay, f"fine {number}")
    await relay.pass_(10)
    assert [text for text in shown(relay) if text.startswith("fine")] == [f"fine {n}" for n in range(5)]
    assert unread(relay) == []
    await relay.pass_(50)
    assert unread(relay) == [], "there may yet be something to read"
    await relay.pass_(100)
    (line,) = unread(relay)
    assert line.text == f"{UNREAD} Jollor could not process this one."
    assert line.thread_ts == root
    assert isinstance(line.content, Notice)
    assert [button.action for button in line.content.buttons] == [ActionId.OPEN_DASHBOARD]
    # the lane goes on
    del social.poison[ROBIN]
    await relay.customer_writes("healed")
    await relay.pass_(10)
    assert shown(relay)[-2:] == ["poison", "healed"]


async def test_without_a_thread_the_line_stands_in_the_channel(relay: Relay, social: Poisoned) -> None:
    social.poison[ROBIN] = BROKEN
    await relay.customer_writes("poison")
    await relay.pass_(180)
    (line,) = unread(relay)
    assert line.outgoing.channel == SUPPORT
    assert line.thread_ts is None


async def test_many_events_of_it_and_every_sweep_are_told_once_until_it_could_be_read(
    relay: Relay, social: Poisoned
) -> None:
    await relay.thread()
    social.poison[ROBIN] = BROKEN
    for number in range(6):
        await relay.customer_writes(f"poison {number}")
    await relay.pass_(180)
    assert set(await relay.jobs_of("conversation_changed")) == {"completed", "discarded"}, (
        "all of them at once"
    )
    for _ in range(3):
        await relay.jobs.put(ConversationChanged(project_id=BAKERY, conversation_id=ROBIN, cause="sweep"))
        await relay.pass_(300)
    assert len(unread(relay)) == 1
    del social.poison[ROBIN]
    await relay.customer_writes("healed")
    await relay.pass_(10)
    assert shown(relay)[-1] == "healed"
    social.poison[ROBIN] = GONE
    await relay.customer_writes("poison again")
    await relay.pass_(10)
    assert len(unread(relay)) == 2
    assert unread(relay)[-1].text.endswith("Jollor does not have it any more.")


async def test_what_comes_in_while_it_is_poisoned_has_tries_of_its_own(
    relay: Relay, social: Poisoned
) -> None:
    await relay.thread()
    social.poison[ROBIN] = BROKEN
    await relay.customer_writes("first")
    await relay.pass_(60)
    await relay.customer_writes("second")
    await relay.pass_(100)
    assert (await relay.jobs_of("conversation_changed"))[1:] == ["discarded", "available"]
    del social.poison[ROBIN]
    await relay.pass_(60)
    assert shown(relay)[-2:] == ["first", "second"]


async def test_a_retried_dead_letter_shows_what_could_not_be_read(relay: Relay, social: Poisoned) -> None:
    await relay.thread()
    social.poison[ROBIN] = BROKEN
    await relay.customer_writes("poison")
    await relay.pass_(180)
    del social.poison[ROBIN]
    (dead,) = await relay.jobs.listed(["discarded"])
    assert await Mending(relay.store).retry([dead.id]) == 1
    await relay.pass_(5)
    assert shown(relay)[-1] == "poison"
    assert len(unread(relay)) == 1


async def test_an_announced_message_that_is_gone_is_told_of_and_keeps_nothing_waiting(
    relay: Relay, social: Poisoned
) -> None:
    root = await relay.thread()
    await relay.jobs.put(ConversationChanged(project_id=BAKERY, conversation_id=ROBIN, message_id="gone"))
    await relay.customer_writes("behind it")
    await relay.pass_(5)
    assert shown(relay)[-1] == "behind it"
    await relay.pass_(175)
    (line,) = unread(relay)
    assert line.thread_ts == root
