"""The webhook of the simulated Jollor: set-up, deliveries, repetition, disabling."""

import asyncio
from collections.abc import AsyncIterator
from itertools import pairwise

import pytest
from pydantic import JsonValue

from sandbox.clock import SandboxClock
from sandbox.faults import Fault, FaultKind
from sandbox.jollor import SimulatedJollor
from sandbox.jollor.model import Project
from sandbox.jollor.switches import KNOWN_EVENTS, PayloadForm
from sandbox.jollor.webhooks import DeliveryState
from sandbox.wire import Direction, End
from tests.sandbox_jollor_support import Caller, Receiver, calling, hooked, receiving

DAY_S = 24 * 3600.0


@pytest.fixture
async def jollor() -> AsyncIterator[SimulatedJollor]:
    running = await SimulatedJollor.start(clock=SandboxClock(200))
    yield running
    await running.stop()


@pytest.fixture
def bakery(jollor: SimulatedJollor) -> Project:
    return jollor.add_project("Harbour Bakery")


@pytest.fixture
async def caller(jollor: SimulatedJollor, bakery: Project) -> AsyncIterator[Caller]:
    async with calling(jollor) as ready:
        await ready.sign_in(bakery)
        yield ready


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as listening:
        yield listening


def hook(project: Project, rest: str = "") -> str:
    return f"/projects/{project.id}/webhook{rest}"


async def settled(jollor: SimulatedJollor, *, timeout_s: float = 5.0) -> None:
    """Wait until no delivery is under way, looking whenever a webhook call has ended."""
    with jollor.wire.subscribe() as changes:
        async with asyncio.timeout(timeout_s):
            while jollor.webhooks.under_way() or not jollor.webhooks.deliveries:
                try:
                    await asyncio.wait_for(changes.next(), 0.05)
                except TimeoutError:
                    continue


# ---- set-up


async def test_enabling_gives_a_secret_and_nothing_more(caller: Caller, bakery: Project) -> None:
    assert (await caller.call("GET", hook(bakery))).status == 404
    made = await caller.call("POST", hook(bakery))
    assert set(made.member) == {"verify_token", "_links"}
    assert len(str(made.member["verify_token"])) == 40
    assert (await caller.call("GET", hook(bakery))).json == made.json
    assert (await caller.call("POST", hook(bakery))).json == made.json


async def test_setting_the_address_calls_it_with_the_secret(
    jollor: SimulatedJollor, caller: Caller, bakery: Project, receiver: Receiver
) -> None:
    secret = (await caller.call("POST", hook(bakery))).member["verify_token"]
    updated = (await caller.call("PUT", hook(bakery), {"callback_url": receiver.url})).member
    assert [(call.method, call.challenge) for call in receiver.calls] == [("GET", secret)]
    assert (updated["status"], updated["callback_url"]) == ("active", receiver.url)
    assert str(secret) not in repr(jollor.wire.entries())


@pytest.mark.parametrize(("status", "echo"), [(403, True), (204, True), (200, False)])
async def test_an_address_that_fails_verification_is_not_set(
    jollor: SimulatedJollor, caller: Caller, bakery: Project, receiver: Receiver, status: int, echo: bool
) -> None:
    receiver.status, receiver.echo = status, echo
    await caller.call("POST", hook(bakery))
    assert (await caller.call("PUT", hook(bakery), {"callback_url": receiver.url})).status == 400
    webhook = jollor.webhook(bakery)
    assert webhook is not None
    assert webhook.callback_url is None
    assert not webhook.is_active


async def test_the_verification_body_may_not_be_looked_at(
    jollor: SimulatedJollor, caller: Caller, bakery: Project, receiver: Receiver
) -> None:
    jollor.switches.check_verification_body = False
    receiver.echo = False
    await hooked(caller, bakery, receiver)
    receiver.status = 404
    assert (await caller.call("PUT", hook(bakery), {"callback_url": receiver.url})).status == 400


@pytest.mark.parametrize("body", [{}, {"callback_url": 3}, {"callback_url": "no address"}])
async def test_an_update_without_an_address_is_refused(
    caller: Caller, bakery: Project, body: dict[str, JsonValue]
) -> None:
    await caller.call("POST", hook(bakery))
    assert (await caller.call("PUT", hook(bakery), body)).status == 400


async def test_an_address_where_nobody_listens_is_refused(caller: Caller, bakery: Project) -> None:
    async with receiving() as gone:
        url = gone.url
    await caller.call("POST", hook(bakery))
    refused = await caller.call("PUT", hook(bakery), {"callback_url": url})
    assert refused.status == 400
    assert "ClientConnectorError" in refused.text


async def test_an_update_obeys_more_members_only_if_switched_on(
    jollor: SimulatedJollor, caller: Caller, bakery: Project, receiver: Receiver
) -> None:
    await hooked(caller, bakery, receiver)
    more: dict[str, JsonValue] = {"callback_url": receiver.url, "subscriptions": {"post_received": True}}
    assert (await caller.call("PUT", hook(bakery), more)).member["subscriptions"] == {}
    jollor.switches.update_takes_all = True
    updated = (await caller.call("PUT", hook(bakery), more | {"verify_token": "12345"})).member
    assert (updated["subscriptions"], updated["verify_token"]) == ({"post_received": True}, "12345")


async def test_a_webhook_can_be_deleted_once(
    jollor: SimulatedJollor, caller: Caller, bakery: Project
) -> None:
    await caller.call("POST", hook(bakery))
    assert (await caller.call("DELETE", hook(bakery))).json == {}
    assert (await caller.call("DELETE", hook(bakery))).status == 404
    assert (await caller.call("PUT", hook(bakery), {"callback_url": "http://x"})).status == 404


async def test_event_types_are_subscribed_and_unsubscribed(
    jollor: SimulatedJollor, caller: Caller, bakery: Project, receiver: Receiver
) -> None:
    await hooked(caller, bakery, receiver, *KNOWN_EVENTS)
    jollor.switches.webhook_shows_all = True
    path = hook(bakery, "/subscriptions?object_type=message_sent")
    assert (await caller.call("DELETE", path)).json == {}
    shown = (await caller.call("GET", hook(bakery))).member["subscriptions"]
    assert shown == {kind: kind != "message_sent" for kind in KNOWN_EVENTS}
    assert (await caller.call("POST", hook(bakery, "/subscriptions"))).status == 400
    unknown = hook(bakery, "/subscriptions?object_type=weather")
    assert (await caller.call("POST", unknown)).status == 400
    jollor.switches.subscribable = None
    assert (await caller.call("POST", unknown)).status == 200


async def test_a_sample_delivery_is_keyed_by_type(caller: Caller, bakery: Project) -> None:
    sample = (await caller.call("GET", hook(bakery, "/test?object_type=post_received"))).member
    assert sample["project_id"] == bakery.id
    events = sample["events"]
    assert isinstance(events, list)
    first = events[0]
    assert isinstance(first, dict)
    assert list(first) == ["post_received"]


async def test_a_test_delivery_is_sent_for_every_type(
    jollor: SimulatedJollor, caller: Caller, bakery: Project, receiver: Receiver
) -> None:
    path = hook(bakery, "/test?object_type=")
    await caller.call("POST", hook(bakery))
    assert (await caller.call("POST", f"{path}post_received")).status == 400
    await hooked(caller, bakery, receiver)
    for kind in KNOWN_EVENTS:
        assert (await caller.call("POST", path + kind)).json == {}
    assert receiver.types == list(KNOWN_EVENTS)


async def test_a_test_delivery_may_name_real_objects(
    jollor: SimulatedJollor, caller: Caller, bakery: Project, receiver: Receiver
) -> None:
    await hooked(caller, bakery, receiver)
    jollor.switches.test_names_real_objects = True
    message = jollor.customer_writes(bakery, "facebook", "Robin", "hi")
    post = jollor.comment(bakery, "facebook", "Robin", "hi")
    for kind in ("message_received", "post_received"):
        await caller.call("POST", hook(bakery, f"/test?object_type={kind}"))
    first, second = receiver.bodies
    assert isinstance(first, dict)
    assert isinstance(second, dict)
    assert (first["message_id"], second["post_id"]) == (message.id, post.id)


# ---- deliveries


async def test_a_message_is_delivered_with_the_secret(
    jollor: SimulatedJollor, caller: Caller, bakery: Project, receiver: Receiver
) -> None:
    await hooked(caller, bakery, receiver, "message_received")
    message = jollor.customer_writes(bakery, "facebook", "Robin", "hi")
    bodies = await receiver.until(1)
    webhook = jollor.webhook(bakery)
    assert webhook is not None
    assert receiver.calls[-1].challenge == webhook.verify_token
    assert bodies == [
        {
            "event_type": "message_received",
            "message_id": message.id,
            "conversation_id": message.conversation.id,
            "project_id": bakery.id,
        }
    ]
    await settled(jollor)
    assert [delivery.state for delivery in jollor.webhooks.deliveries] == [DeliveryState.DELIVERED]
    assert len(jollor.wire.entries(direction=Direction.OUT, operation="message_received")) == 1


async def test_events_that_nobody_wants_are_withheld_with_the_reason(
    jollor: SimulatedJollor, caller: Caller, bakery: Project, receiver: Receiver
) -> None:
    jollor.expire_profile(bakery)
    await caller.call("POST", hook(bakery))
    jollor.expire_profile(bakery)
    await hooked(caller, bakery, receiver, "message_received")
    jollor.expire_profile(bakery)
    reasons = [announcement.withheld for announcement in jollor.webhooks.announcements]
    assert reasons == ["no webhook", "webhook is inactive", "not subscribed"]


async def test_events_close_in_time_may_share_a_delivery(
    jollor: SimulatedJollor, caller: Caller, bakery: Project, receiver: Receiver
) -> None:
    jollor.switches.payload_form = PayloadForm.ENVELOPE
    jollor.switches.batch_window_s = 10.0
    await hooked(caller, bakery, receiver, "message_received", "token_expired")
    jollor.customer_writes(bakery, "facebook", "Robin", "one")
    jollor.customer_writes(bakery, "facebook", "Robin", "two")
    jollor.expire_profile(bakery)
    (body,) = await receiver.until(1)
    assert isinstance(body, dict)
    events = body["events"]
    assert isinstance(events, list)
    assert [event["event_type"] for event in events if isinstance(event, dict)] == [
        "message_received",
        "message_received",
        "token_expired",
    ]


@pytest.mark.parametrize("status", [201, 204, 302, 403, 500, 503])
async def test_anything_but_200_is_repeated(
    jollor: SimulatedJollor, caller: Caller, bakery: Project, receiver: Receiver, status: int
) -> None:
    await hooked(caller, bakery, receiver, "token_expired")
    receiver.status = status
    jollor.expire_profile(bakery)
    await receiver.until(2)
    receiver.status = 200
    await settled(jollor)
    delivery = jollor.webhooks.deliveries[0]
    assert delivery.state is DeliveryState.DELIVERED
    assert [attempt.status for attempt in delivery.attempts][-2:] == [status, 200]


async def test_a_wrong_body_counts_as_failure_unless_the_switch_is_off(
    jollor: SimulatedJollor, caller: Caller, bakery: Project, receiver: Receiver
) -> None:
    await hooked(caller, bakery, receiver, "token_expired")
    receiver.echo = False
    jollor.expire_profile(bakery)
    await receiver.until(2)
    jollor.switches.check_delivery_body = False
    await settled(jollor)
    problems = [attempt.problem for attempt in jollor.webhooks.deliveries[0].attempts]
    assert problems[0] == "body is not the shared secret"
    assert problems[-1] is None


async def test_a_receiver_that_does_not_answer_counts_as_failure(
    jollor: SimulatedJollor, caller: Caller, bakery: Project, receiver: Receiver
) -> None:
    jollor.switches.least_timeout_s = 0.05
    await hooked(caller, bakery, receiver, "token_expired")
    receiver.silent = True
    jollor.expire_profile(bakery)
    await receiver.until(1)
    receiver.silent = False
    await settled(jollor)
    attempts = jollor.webhooks.deliveries[0].attempts
    assert [attempt.problem for attempt in attempts] == ["no answer in time", None]


async def test_repetitions_grow_apart_for_a_day_and_then_the_webhook_is_disabled() -> None:
    jollor = await SimulatedJollor.start(clock=SandboxClock(DAY_S / 0.5))  # a day in half a second
    try:
        jollor.switches.access_token_lifetime_s = 1000 * DAY_S
        bakery = jollor.add_project("Bakery")
        async with calling(jollor) as caller, receiving() as receiver:
            await hooked(caller, bakery, receiver, "token_expired")
            receiver.status = 503
            jollor.expire_profile(bakery)
            await settled(jollor)
            webhook = jollor.webhook(bakery)
            assert webhook is not None
            assert webhook.status == "disabled"
            delivery = jollor.webhooks.deliveries[0]
            assert delivery.state is DeliveryState.GIVEN_UP
            seconds = [
                (after.at - before.at).total_seconds() * jollor.clock.scale
                for before, after in pairwise(delivery.attempts)
            ]
            assert sum(seconds) >= DAY_S * 0.99
            assert seconds[0] < 3600 * 2 <= seconds[-2] * 3
            jollor.expire_profile(bakery)
            assert jollor.webhooks.announcements[-1].withheld == "webhook is disabled"
            receiver.status = 200
            await caller.call("POST", hook(bakery))
            jollor.expire_profile(bakery)
            assert jollor.webhooks.announcements[-1].withheld is None
    finally:
        await jollor.stop()


async def test_waiting_repetitions_can_be_hurried_and_end_with_the_webhook(
    jollor: SimulatedJollor, caller: Caller, bakery: Project, receiver: Receiver
) -> None:
    jollor.switches.retry_intervals_s = (DAY_S,)
    await hooked(caller, bakery, receiver, "token_expired")
    receiver.status = 500
    jollor.expire_profile(bakery)
    first = await jollor.wire.wait_for(lambda entry: entry.operation == "token_expired")
    jollor.webhooks.retry_now()
    await jollor.wire.wait_for(
        lambda entry: entry.operation == "token_expired" and entry.number > first.number
    )
    await caller.call("DELETE", hook(bakery))
    jollor.webhooks.retry_now()
    await settled(jollor)
    assert jollor.webhooks.deliveries[0].state is DeliveryState.ABANDONED


async def test_enabling_again_may_change_the_secret(
    jollor: SimulatedJollor, caller: Caller, bakery: Project
) -> None:
    jollor.switches.enabling_again_changes_secret = True
    first = (await caller.call("POST", hook(bakery))).member["verify_token"]
    assert (await caller.call("POST", hook(bakery))).member["verify_token"] != first


async def test_deliveries_run_beside_each_other_up_to_the_limit(
    jollor: SimulatedJollor, caller: Caller, bakery: Project, receiver: Receiver
) -> None:
    jollor.switches.least_timeout_s = 5.0
    jollor.switches.parallel_deliveries = 2
    await hooked(caller, bakery, receiver, "token_expired")
    receiver.silent = True
    for _ in range(4):
        jollor.expire_profile(bakery)
    await receiver.until(2)
    running = [entry for entry in jollor.wire.entries(direction=Direction.OUT) if not entry.finished]
    assert len(running) == 2


# ---- faults of deliveries


async def test_a_delivery_may_come_several_times(
    jollor: SimulatedJollor, caller: Caller, bakery: Project, receiver: Receiver
) -> None:
    await hooked(caller, bakery, receiver, "token_expired")
    jollor.faults.add(End.JOLLOR, Fault(FaultKind.DUPLICATE, copies=11), "token_expired")
    jollor.expire_profile(bakery)
    assert len(await receiver.until(11)) == 11


async def test_a_delivery_may_be_lost(
    jollor: SimulatedJollor, caller: Caller, bakery: Project, receiver: Receiver
) -> None:
    await hooked(caller, bakery, receiver, "token_expired", "message_received")
    jollor.faults.add(End.JOLLOR, FaultKind.DROP, "token_expired")
    jollor.expire_profile(bakery)
    jollor.customer_writes(bakery, "facebook", "Robin", "hi")
    await receiver.until(1)
    assert receiver.types == ["message_received"]
    assert jollor.webhooks.announcements[0].withheld == "fault: drop"


async def test_deliveries_may_overtake_each_other(
    jollor: SimulatedJollor, caller: Caller, bakery: Project, receiver: Receiver
) -> None:
    await hooked(caller, bakery, receiver, "message_received")
    jollor.faults.add(End.JOLLOR, Fault(FaultKind.SHUFFLE, seconds=20), "message_received")
    sent = [jollor.customer_writes(bakery, "facebook", "Robin", str(n)).id for n in range(12)]
    bodies = await receiver.until(12)
    arrived = [body["message_id"] for body in bodies if isinstance(body, dict)]
    assert sorted(str(one) for one in arrived) == sorted(sent)
    assert arrived != sent


async def test_a_delivery_may_be_postponed(
    jollor: SimulatedJollor, caller: Caller, bakery: Project, receiver: Receiver
) -> None:
    await hooked(caller, bakery, receiver, "message_received", "token_expired")
    jollor.faults.add(End.JOLLOR, Fault(FaultKind.POSTPONE, seconds=20), "message_received")
    jollor.customer_writes(bakery, "facebook", "Robin", "hi")
    jollor.expire_profile(bakery)
    await receiver.until(2)
    assert receiver.types == ["token_expired", "message_received"]


async def test_a_caller_that_hangs_up_counts_as_failed_and_comes_again(
    jollor: SimulatedJollor, caller: Caller, bakery: Project, receiver: Receiver
) -> None:
    await hooked(caller, bakery, receiver, "token_expired")
    jollor.faults.add(End.JOLLOR, Fault(FaultKind.ABANDON, seconds=40), "token_expired", times=1)
    receiver.silent = True
    jollor.expire_profile(bakery)
    await receiver.until(1)
    receiver.silent = False
    await settled(jollor)
    attempts = jollor.webhooks.deliveries[0].attempts
    assert [attempt.problem for attempt in attempts] == ["hung up (fault)", None]
    assert len(receiver.bodies) == 2
