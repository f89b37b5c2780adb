"""Linking and unlinking between both simulated ends, with another process answering Jollor's verification.

The "other process" is a receiver over HTTP on a book of its own: it shares the database and nothing else.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import pytest
from aiohttp import web
from sqlalchemy import select

from bridge.connections import Connections, LinkOutcome
from bridge.errors import BridgeError, PermanentError, TargetDown
from bridge.ids import ChannelId, PostId, ProjectId, TeamId
from bridge.mapping import is_from_before
from bridge.model import LinkKind, Webhook
from bridge.ports import Social
from bridge.queue.jobs import Jobs
from bridge.store.engine import Store, utc_now
from bridge.store.secrets import KeyRing, new_key
from bridge.store.tables import jobs
from bridge.webhooks import EVENT_TYPES, Webhooks
from bridge.webhooks.book import StoredWebhook, WebhookState, examined
from bridge.webhooks.registration import Registration, is_ours
from jollor.receiver import WebhookReceiver
from sandbox.clock import SandboxClock
from sandbox.faults import Fault, FaultKind
from sandbox.jollor import SimulatedJollor
from sandbox.jollor.model import Post, Project
from sandbox.jollor.model import Webhook as SandboxWebhook
from sandbox.jollor.switches import DOCUMENTED_EVENTS, KNOWN_EVENTS
from sandbox.slack import Channel, Limits, SimulatedSlack
from sandbox.wire import End
from slack_app.chat import SlackChat
from slack_app.clients import Clients, OneToken
from tests.jollor_support import connected

TESTED = "Its webhook is set up and was tested."


@dataclass
class Linking:
    """What a command has in hand, and both ends."""

    jollor: SimulatedJollor
    slack: SimulatedSlack
    store: Store
    social: Social
    chat: SlackChat
    ring: KeyRing
    url: str
    bakery: Project
    support: Channel

    @property
    def team(self) -> TeamId:
        return TeamId(self.slack.team.id)

    @property
    def id(self) -> ProjectId:
        return ProjectId(self.bakery.id)

    def hooks(self, public_url: str | None = "own") -> Webhooks:
        url = self.url if public_url == "own" else public_url
        return Webhooks(self.store, Jobs(self.store), self.ring, self.social, public_url=url)

    def connections(self, public_url: str | None = "own") -> Connections:
        """A process that has just started."""
        return Connections(self.store, self.social, self.chat, self.hooks(public_url))

    async def link(self, *, again: bool = False, secret: str | None = None) -> LinkOutcome:
        return await self.connections().link(
            self.team, self.bakery.name, ChannelId(self.support.id), replace=again, secret=secret
        )

    async def stored(self) -> StoredWebhook:
        found = await self.hooks().stored(self.id)
        assert found is not None
        return found

    @property
    def webhook(self) -> SandboxWebhook:
        found = self.jollor.webhook(self.bakery)
        assert found is not None
        return found

    def somebody_elses_webhook(self) -> SandboxWebhook:
        made = SandboxWebhook(self.bakery, "their secret", "active")
        made.callback_url = "https://elsewhere.example/hook"
        self.jollor.store.webhooks[self.bakery.id] = made
        return made

    async def is_from_before(self, post: Post) -> bool:
        return await self.store.read(lambda conn: is_from_before(conn, self.id, PostId(post.id)))

    async def jobs(self) -> list[str]:
        return await self.store.read(lambda conn: list(conn.execute(select(jobs.c.kind)).scalars()))


@asynccontextmanager
async def serving(store: Store, ring: KeyRing, social: Social) -> AsyncIterator[str]:
    hooks = Webhooks(store, Jobs(store), ring, social, public_url=None)
    app = web.Application()
    app.add_routes(WebhookReceiver(hooks, now=utc_now).routes())
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Linking]:
    clock = SandboxClock(scale=100)
    slack = await SimulatedSlack.start(clock=clock, limits=Limits(enabled=False))
    jollor = await SimulatedJollor.start(clock=clock)
    bakery, support = jollor.add_project("Harbour Bakery"), slack.add_channel("support")
    ring = KeyRing([new_key()])
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(slack.stop)
        stack.push_async_callback(jollor.stop)
        store = await stack.enter_async_context(Store(url))
        line = await stack.enter_async_context(connected(jollor))
        clients = await stack.enter_async_context(Clients(OneToken(slack.bot_token), api_url=slack.api_url))
        address = await stack.enter_async_context(serving(store, ring, line.social))
        chat = SlackChat(clients, now=utc_now)
        yield Linking(jollor, slack, store, line.social, chat, ring, address, bakery, support)


@pytest.fixture
async def linking(migrated_sqlite_url: str) -> AsyncIterator[Linking]:
    async with opened(migrated_sqlite_url) as linking:
        yield linking


async def refusal(doing: Callable[[], Awaitable[object]]) -> BridgeError:
    with pytest.raises(BridgeError) as caught:
        await doing()
    return caught.value


# --- the webhook -------------------------------------------------------------------------------------


async def test_a_link_makes_points_subscribes_and_tests_a_webhook(migrated_url: str) -> None:
    async with opened(migrated_url) as linking:
        outcome = await linking.link()
        assert not outcome.needs_attention
        assert outcome.sentences == ("“Harbour Bakery” now goes to #support (all).", TESTED)
        assert linking.webhook.callback_url == outcome.callback_url
        assert outcome.callback_url == f"{linking.url}/webhooks/jollor/{linking.bakery.id}"
        assert linking.webhook.is_active
        assert {name for name, on in linking.webhook.subscriptions.items() if on} == set(EVENT_TYPES)
        stored = await linking.stored()
        assert (stored.secret, stored.state) == (linking.webhook.verify_token, WebhookState.ACTIVE)
        assert "post_changed" in await linking.jobs(), "the test delivery came in"


async def test_linking_again_changes_nothing(linking: Linking) -> None:
    first = await linking.link()
    secret = linking.webhook.verify_token
    again = await linking.link()
    assert again.sentences == first.sentences
    assert linking.webhook.verify_token == secret
    assert len(await linking.connections().links()) == 1


@pytest.mark.parametrize("shows_all", [False, True])
async def test_linking_again_switches_a_webhook_on_that_jollor_had_disabled(
    linking: Linking, shows_all: bool
) -> None:
    linking.jollor.switches.webhook_shows_all = shows_all
    await linking.link()
    linking.webhook.status = "disabled"
    linking.webhook.subscriptions["message_received"] = False
    outcome = await linking.link()
    assert not outcome.needs_attention
    assert linking.webhook.is_active
    assert linking.webhook.subscriptions["message_received"]


async def test_a_type_that_jollor_does_not_know_is_no_failure(linking: Linking) -> None:
    linking.jollor.switches.subscribable = frozenset(DOCUMENTED_EVENTS)
    assert not (await linking.link()).needs_attention


async def test_a_documented_type_that_is_refused_is_named_and_the_others_are_subscribed(
    linking: Linking,
) -> None:
    linking.jollor.switches.subscribable = frozenset(KNOWN_EVENTS) - {"message_sent"}
    outcome = await linking.link()
    assert outcome.needs_attention
    assert "Jollor will not call us for message_sent: it refused to subscribe that." in outcome.sentences
    assert linking.webhook.subscriptions["dialogue_ended"]
    assert TESTED in outcome.sentences


@pytest.mark.parametrize("shows_all", [False, True])
async def test_somebody_elses_webhook_is_left_alone_until_told_otherwise(
    linking: Linking, shows_all: bool
) -> None:
    linking.jollor.switches.webhook_shows_all = shows_all
    theirs = linking.somebody_elses_webhook()
    for _ in range(2):
        outcome = await linking.link()
        assert outcome.needs_attention
        where = theirs.callback_url if shows_all else "an address that Jollor does not tell"
        assert f"The project's webhook points to {where}." in outcome.sentences[-1]
        assert "jollor-slack link PROJECT CHANNEL --replace" in outcome.sentences[-1]
        assert theirs.callback_url == "https://elsewhere.example/hook"
    taken = await linking.link(again=True)
    assert not taken.needs_attention
    assert theirs.callback_url == taken.callback_url


async def test_a_webhook_that_was_pointed_elsewhere_after_us_is_not_taken_back(linking: Linking) -> None:
    linking.jollor.switches.webhook_shows_all = True
    await linking.link()
    linking.webhook.callback_url = "https://elsewhere.example/hook"
    outcome = await linking.link()
    assert "points to https://elsewhere.example/hook" in outcome.sentences[-1]
    assert (await linking.stored()).is_foreign


async def test_a_bridge_that_moved_takes_its_own_webhook_along(linking: Linking) -> None:
    linking.jollor.switches.webhook_shows_all = True
    await linking.link()
    async with serving(linking.store, linking.ring, linking.social) as moved_to:
        moved = linking.connections(moved_to)
        outcome = await moved.link(linking.team, linking.id, ChannelId(linking.support.id))
        assert not outcome.needs_attention
        assert linking.webhook.callback_url == f"{moved_to}/webhooks/jollor/{linking.id}"


async def test_the_secret_of_a_webhook_from_the_dashboard_is_stored_and_jollor_not_asked(
    linking: Linking,
) -> None:
    linking.somebody_elses_webhook()
    outcome = await linking.link(secret="from the dashboard")
    assert outcome.sentences[-1] == "The webhook's secret is stored."
    assert (await linking.stored()).secret == "from the dashboard"
    assert not linking.jollor.wire.entries(operation="getWebhook")


async def test_without_an_address_of_our_own_the_link_stands_and_the_rest_is_said(linking: Linking) -> None:
    outcome = await linking.connections(None).link(linking.team, linking.id, ChannelId(linking.support.id))
    assert "BRIDGE_PUBLIC_URL is not set" in outcome.sentences[-1]
    assert outcome.needs_attention
    assert linking.jollor.webhook(linking.bakery) is None


async def test_an_address_where_nobody_answers_is_named(linking: Linking) -> None:
    nowhere = linking.connections("http://127.0.0.1:9")
    outcome = await nowhere.link(linking.team, linking.id, ChannelId(linking.support.id))
    assert f"Jollor did not accept http://127.0.0.1:9/webhooks/jollor/{linking.id}" in outcome.sentences[-1]
    assert "jollor-slack serve" in outcome.sentences[-1]
    assert (await linking.stored()).state == WebhookState.UNFINISHED
    assert not (await linking.link()).needs_attention


STEPS = ["getWebhook", "enableWebhook", "updateWebhook", "subscribeEvent", "sendTestWebhook"]


@pytest.mark.parametrize("kind", [FaultKind.STATUS, FaultKind.CUT_AFTER, FaultKind.STATUS_AFTER])
@pytest.mark.parametrize("step", STEPS)
async def test_a_link_that_was_cut_off_goes_on_when_it_is_repeated(
    linking: Linking, step: str, kind: FaultKind
) -> None:
    fault = linking.jollor.faults.add(End.JOLLOR, Fault(kind, status=500), step)
    outcome = await linking.link()
    if outcome.needs_attention:
        assert outcome.sentences[-1].startswith(("The webhook is not ready yet: ", "Jollor did not accept"))
        assert outcome.sentences[-1].endswith(("Link again to go on.", "Then link again."))
    else:  # Jollor was asked what had become of it, or it was done all the same
        assert step == "enableWebhook"
    fault.enabled = False
    again = await linking.link()
    assert again.sentences[-1] == TESTED
    assert not again.needs_attention
    assert linking.webhook.is_active


async def test_a_webhook_whose_making_was_never_answered_is_known_as_ours(linking: Linking) -> None:
    linking.jollor.faults.add(End.JOLLOR, Fault(FaultKind.CUT_AFTER), "enableWebhook", times=1)
    first_look = linking.jollor.wire.entries(operation="getWebhook")
    assert not first_look
    looking_fails = linking.jollor.faults.add(
        End.JOLLOR,
        Fault(FaultKind.STATUS, status=503),
        "getWebhook",
        predicate=lambda _: linking.jollor.webhook(linking.bakery) is not None,
    )
    outcome = await linking.link()
    assert outcome.needs_attention
    assert linking.jollor.webhook(linking.bakery) is not None, "it was made all the same"
    looking_fails.enabled = False
    assert not (await linking.link()).needs_attention


async def test_a_test_delivery_that_does_not_arrive_is_said(linking: Linking) -> None:
    lost = Fault(FaultKind.STATUS, status=200, body="{}")
    linking.jollor.faults.add(End.JOLLOR, lost, "sendTestWebhook")
    await linking.link(secret="s")  # the link itself; the webhook follows
    hooks = linking.hooks()
    registration = Registration(linking.social, hooks, test_takes_s=0.3)
    connections = linking.connections()
    connections._registration = registration
    outcome = await connections.link(linking.team, linking.id, ChannelId(linking.support.id))
    assert outcome.needs_attention
    assert "did not arrive here" in outcome.sentences[-1]


async def test_a_test_that_jollor_refuses_is_no_failure(linking: Linking) -> None:
    linking.jollor.faults.add(End.JOLLOR, Fault(FaultKind.STATUS, status=400), "sendTestWebhook")
    outcome = await linking.link()
    assert not outcome.needs_attention
    assert outcome.sentences[-1] == "Its webhook is set up; Jollor made no test delivery."


async def test_a_secret_that_jollor_does_not_tell_is_asked_for(linking: Linking) -> None:
    linking.jollor.switches.webhook_shows_all = True
    linking.somebody_elses_webhook()
    linking.jollor.switches.null_members.add("*.verify_token")
    outcome = await linking.link(again=True)
    assert "--webhook-secret-stdin" in outcome.sentences[-1]


# --- how a webhook is --------------------------------------------------------------------------------


async def test_looking_at_jollor_tells_how_the_webhook_is(linking: Linking) -> None:
    switches = linking.jollor.switches
    switches.webhook_shows_all = True
    await linking.link()
    connections = linking.connections()

    async def state() -> tuple[str | None, bool]:
        await connections.examine()
        stored = await linking.stored()
        return stored.state, stored.is_foreign

    assert await state() == ("active", False)
    linking.webhook.status = "disabled"
    assert await state() == ("disabled", False)
    linking.webhook.callback_url = "https://elsewhere.example/hook"
    assert await state() == ("disabled", True)
    linking.jollor.faults.add(End.JOLLOR, Fault(FaultKind.STATUS, status=500), "getWebhook", times=1)
    assert await state() == ("disabled", True), "what Jollor did not say stays as it was"
    linking.webhook.verify_token = "another"
    assert await state() == (WebhookState.REPLACED, True)
    kept = linking.jollor.store.webhooks.pop(linking.bakery.id)
    assert await state() == (WebhookState.MISSING, False)
    linking.jollor.store.webhooks[linking.bakery.id] = kept
    assert not (await linking.link(again=True)).needs_attention
    assert await state() == ("active", False)


START = datetime(2026, 11, 23, 12, tzinfo=UTC)
OURS = StoredWebhook("s", "https://here/p", "active", is_foreign=False, last_event_at=None, created_at=START)


@pytest.mark.parametrize(
    ("theirs", "before", "after"),
    [
        (Webhook("s", None, None, None), "active", ("active", False)),
        (Webhook("s", None, None, None), WebhookState.UNFINISHED, (WebhookState.UNFINISHED, False)),
        (Webhook("s", None, None, None), WebhookState.MISSING, (None, False)),
        (Webhook("s", None, None, None), WebhookState.REPLACED, (None, False)),
        (Webhook("", None, None, None), "active", ("active", False)),
        (Webhook("s", "https://there", "active", None), "active", ("active", True)),
        (None, "active", (WebhookState.MISSING, False)),
    ],
)
def test_what_jollor_does_not_tell_of_a_webhook_stays_as_it_was(
    theirs: Webhook | None, before: str, after: tuple[str | None, bool]
) -> None:
    assert examined(replace(OURS, state=before), theirs, "https://here/p") == after


@pytest.mark.parametrize(
    ("found", "ours", "expected"),
    [
        (Webhook("x", "https://here/p", None, None), None, True),
        (Webhook("s", "https://there", None, None), OURS, False),
        (Webhook("s", "https://old/p", None, None), replace(OURS, callback_url="https://old/p"), True),
        (Webhook("x", "https://old/p", None, None), replace(OURS, callback_url="https://old/p"), False),
        (Webhook("s", None, None, None), OURS, True),
        (Webhook("x", None, None, None), OURS, False),
        (Webhook("", None, None, None), OURS, True),
        (Webhook("x", None, None, None), None, False),
        (Webhook("x", None, None, None), replace(OURS, state=WebhookState.BEING_MADE), True),
        (Webhook("s", None, None, None), replace(OURS, is_foreign=True), False),
    ],
)
def test_a_webhook_is_ours_by_address_or_by_a_secret_that_only_we_know(
    found: Webhook, ours: StoredWebhook | None, expected: bool
) -> None:
    assert is_ours(found, ours, "https://here/p") is expected


# --- what was there before ---------------------------------------------------------------------------


async def test_posts_that_were_there_before_a_link_are_known_by_having_been_there(linking: Linking) -> None:
    before = linking.jollor.comment(linking.bakery, "instagram", "Mia", "Lovely!")
    await linking.link()
    after = linking.jollor.comment(linking.bakery, "instagram", "Mia", "Still lovely!")
    assert await linking.is_from_before(before)
    assert not await linking.is_from_before(after)
    second = linking.slack.add_channel("second")
    connections = linking.connections()
    await connections.link(linking.team, linking.id, ChannelId(second.id))
    assert not await linking.is_from_before(after), "the project was linked all the time"
    await connections.unlink(linking.team, linking.id)
    await linking.link()
    assert await linking.is_from_before(after), "it was not linked for a while"


async def test_an_inbox_that_cannot_be_read_does_not_keep_from_linking(linking: Linking) -> None:
    linking.jollor.faults.add(End.JOLLOR, Fault(FaultKind.STATUS, status=500), "listIncomingPosts")
    assert not (await linking.link()).needs_attention


# --- projects and channels ---------------------------------------------------------------------------


@pytest.mark.parametrize("wanted", ["Harbour Bakery", "harbour bakery", "  HARBOUR BAKERY ", "harb"])
async def test_a_project_is_found_by_its_name(linking: Linking, wanted: str) -> None:
    linking.jollor.add_project("Bank")
    assert (await linking.connections().find_project(wanted)).id == linking.bakery.id


async def test_a_project_that_is_not_there_or_not_clear_is_answered_with_those_that_are(
    linking: Linking,
) -> None:
    connections = linking.connections()
    assert (await connections.find_project(linking.bakery.id)).name == "Harbour Bakery"
    second = linking.jollor.add_project("Harbour Books")
    ambiguous = await refusal(lambda: connections.find_project("harbour"))
    assert ambiguous.user_message == (
        f"“harbour” fits several projects: “Harbour Bakery” ({linking.bakery.id}), "
        f"“Harbour Books” ({second.id})."
    )
    unknown = await refusal(lambda: connections.find_project("Bank"))
    assert unknown.user_message.startswith("There is no project “Bank”. There are: “Harbour Bakery”")
    for number in range(20):
        linking.jollor.add_project(f"Shop {number}")
    many = await refusal(lambda: connections.find_project("Bank"))
    assert many.user_message.endswith("and 12 more.")
    linking.jollor.store.projects.clear()
    none = await refusal(lambda: connections.find_project("Bank"))
    assert none.user_message.endswith("The account sees no project at all.")


async def test_while_jollor_is_away_a_link_says_so_and_nothing_is_linked(linking: Linking) -> None:
    await linking.jollor.down()
    away = await refusal(linking.link)
    assert isinstance(away, TargetDown)
    assert away.user_message == "Jollor cannot be reached."
    assert await linking.connections().links() == []


async def test_a_channel_that_cannot_be_used_is_a_sentence_and_nothing_is_linked(linking: Linking) -> None:
    archived = linking.slack.add_channel("old")
    linking.slack.archive(archived.id)
    private = linking.slack.add_channel("board", is_private=True, with_bot=False)
    connections = linking.connections()

    async def says(channel: str) -> str:
        error = await refusal(lambda: connections.link(linking.team, linking.id, ChannelId(channel)))
        return error.user_message

    assert await says(archived.id) == "#old is archived; unarchive it first."
    assert "private and I am not in it" in await says(private.id)
    assert "deleted" in await says("C0NOWHERE1")
    assert await connections.links() == []
    assert linking.jollor.webhook(linking.bakery) is None


async def test_a_public_channel_is_joined(linking: Linking) -> None:
    public = linking.slack.add_channel("open", with_bot=False)
    await linking.connections().link(linking.team, linking.id, ChannelId(public.id))
    assert linking.slack.team.bot.id in public.members


# --- unlinking ---------------------------------------------------------------------------------------


async def test_unlinking_needs_nobody_and_takes_names(linking: Linking) -> None:
    second = linking.slack.add_channel("second")
    connections = linking.connections()
    await linking.link()
    await connections.link(linking.team, linking.id, ChannelId(second.id), LinkKind.ALERT)
    await linking.jollor.down()
    await linking.slack.down()
    ended = await connections.unlink(linking.team, "harbour", ChannelId(second.id))
    assert [(link.channel, link.kind) for link in ended] == [(second.id, LinkKind.ALERT)]
    project, mine = await connections.linked(linking.team, "Harbour Bakery")
    assert (project.name, [link.channel for link in mine]) == ("Harbour Bakery", [linking.support.id])
    assert await connections.unlink(TeamId("T0OTHER"), linking.id) == [], "another workspace's stay"
    assert len(await connections.unlink(linking.team, linking.id)) == 1
    gone = await refusal(lambda: connections.unlink(linking.team, linking.id))
    assert isinstance(gone, PermanentError)
    assert gone.user_message == f"There is no linked project “{linking.id}”. No project is linked."


async def test_a_name_that_fits_several_links_is_answered_with_them(linking: Linking) -> None:
    books = linking.jollor.add_project("Harbour Books")
    await linking.link()
    await linking.connections().link(linking.team, books.id, ChannelId(linking.support.id))
    unclear = await refusal(lambda: linking.connections().unlink(linking.team, "Harbour"))
    assert "fits several linked projects" in unclear.user_message
    assert len(await linking.connections().links()) == 2


def test_every_event_type_that_jollor_documents_is_subscribed() -> None:
    assert set(EVENT_TYPES) == set(KNOWN_EVENTS)
