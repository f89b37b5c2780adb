"""The composition root: opens the parts, wires them, and runs the service. Nobody else imports all three.

`open_bridge` gives commands what they need; `serve` runs HTTP, workers and schedules until told to stop.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from aiohttp import web
from slack_bolt.async_app import AsyncApp

from bridge.connections import Connections
from bridge.content import ActionId
from bridge.deliveries import Deliveries
from bridge.errors import BridgeError
from bridge.events import LineFound, LineTyped, SlackEventReceived
from bridge.health import Health
from bridge.ids import ProjectId
from bridge.people import People, TeamFacts
from bridge.queries import Queries
from bridge.queue.jobs import Job, Jobs
from bridge.queue.schedule import Schedule
from bridge.queue.worker import LEASE_S, Handler, Handlers, Worker, worker_id
from bridge.relay.advice import Advice
from bridge.relay.again import SecondTries
from bridge.relay.alerts import Alerts
from bridge.relay.cards import Cards
from bridge.relay.catchup import CatchUp, came_back
from bridge.relay.changes import Changes
from bridge.relay.commands import Commands
from bridge.relay.delayed import Delayed
from bridge.relay.dialogues import Dialogues
from bridge.relay.floods import Floods
from bridge.relay.hints import Hints
from bridge.relay.holding import HoldingBack
from bridge.relay.inbound import Inbound
from bridge.relay.outages import Outages
from bridge.relay.outbound import Outbound
from bridge.relay.posts import Posts
from bridge.relay.readback import ReadBack, look_after_silence
from bridge.relay.replies import Replies
from bridge.relay.settling import Settling
from bridge.relay.silences import Silences
from bridge.relay.takeover import TakeOver
from bridge.relay.thread_reading import ThreadReading
from bridge.relay.unread import Unread
from bridge.relay.upkeep import Upkeep
from bridge.relay.watching import Watching
from bridge.sender import Sender
from bridge.settings import JollorSettings, Settings
from bridge.store import lock, schema
from bridge.store.engine import Store, utc_now
from bridge.store.secrets import KeyRing, check, open_ring
from bridge.store.tokens import AccountTokens
from bridge.webhooks import Registration, Webhooks
from jollor.auth import Account, Auth
from jollor.client import JollorClient, Limits, Servers, open_funnel
from jollor.errors import JollorError
from jollor.receiver import WebhookReceiver
from jollor.social import JollorSocial
from jollor.tokens import StoredToken
from slack_app.app import build_app
from slack_app.chat import SlackChat
from slack_app.clients import DEFAULT_TIMEOUT_S, Clients, OneToken
from slack_app.http import SlackRoute
from slack_app.reading import read_event
from slack_app.socket import SocketMode
from slack_app.translate import needed_ids, translate

log = logging.getLogger(__name__)

SHORTEST_LEASE_S = 5.0
"""However much the time is scaled: a busy machine must be able to keep its leases."""
SHORTEST_CALL_S = 5.0
"""For the same reason."""


@dataclass(frozen=True, slots=True)
class Bridge:
    """The parts of an open bridge."""

    settings: Settings
    store: Store
    ring: KeyRing
    jobs: Jobs
    clients: Clients
    chat: SlackChat
    auth: Auth
    social: JollorSocial
    hooks: Webhooks
    connections: Connections
    people: People
    queries: Queries


@contextlib.asynccontextmanager
async def open_store(settings: Settings) -> AsyncIterator[tuple[Store, KeyRing]]:
    """Open the database and its keys; raises if what is stored cannot be decrypted."""
    bridge = settings.bridge
    ring = open_ring([key.get_secret_value() for key in bridge.encryption_keys], bridge.sqlite_path)
    async with Store(bridge.database_url.get_secret_value()) as store:
        await check(store, ring)
        yield store, ring


@contextlib.asynccontextmanager
async def open_bridge(settings: Settings) -> AsyncIterator[Bridge]:
    """Open everything that commands need, without running anything. The schema must be there."""
    slack, bridge = settings.slack, settings.bridge
    async with contextlib.AsyncExitStack() as stack:
        store, ring = await stack.enter_async_context(open_store(settings))
        jobs = Jobs(store, scale=bridge.time_scale)
        clients = await stack.enter_async_context(
            Clients(
                OneToken(slack.bot_token.get_secret_value()),
                api_url=slack.api_url,
                timeout_s=max(DEFAULT_TIMEOUT_S / bridge.time_scale, SHORTEST_CALL_S),
            )
        )
        chat = SlackChat(clients, now=utc_now)
        servers = Servers(settings.jollor.app_url, settings.jollor.auth_url)
        answers = Limits(total_s=max(Limits().total_s / bridge.time_scale, SHORTEST_CALL_S))
        funnel = await stack.enter_async_context(open_funnel(servers, answers))
        tokens = AccountTokens(store, ring, StoredToken.model_validate_json)
        auth = await stack.enter_async_context(
            Auth(funnel.exchange, _account(settings.jollor), tokens, now=utc_now)
        )
        social = JollorSocial(JollorClient(funnel, auth, now=utc_now), now=utc_now)
        hooks = Webhooks(store, jobs, ring, social, public_url=bridge.public_url, scale=bridge.time_scale)
        connections = Connections(store, social, chat, hooks)
        people = People(store, chat)
        queries = Queries(
            store, dashboard_url=settings.jollor.dashboard_url, scale=settings.bridge.time_scale
        )
        yield Bridge(
            settings, store, ring, jobs, clients, chat, auth, social, hooks, connections, people, queries
        )


def _account(jollor: JollorSettings) -> Account:
    return Account(
        client_id=jollor.client_id,
        client_secret=jollor.client_secret.get_secret_value(),
        username=jollor.username,
        password=jollor.password.get_secret_value(),
    )


async def serve(settings: Settings, *, with_worker: bool = True, with_http: bool = True) -> int:
    """Run until SIGTERM or SIGINT; return the exit code. Makes and migrates an embedded database.

    Raises `BridgeError` with a sentence if the service cannot start.
    """
    url = settings.bridge.database_url.get_secret_value()
    path = settings.bridge.sqlite_path
    with _alone_with(path):
        await schema.create_or_migrate(url)
        async with open_bridge(settings) as bridge:
            await _run(bridge, with_worker=with_worker, with_http=with_http, alone=path is not None)
    return 0


def _alone_with(path: Path | None) -> contextlib.AbstractContextManager[None]:
    if path is None:
        return contextlib.nullcontext()
    path.parent.mkdir(parents=True, exist_ok=True)
    return lock.held(path)


async def _run(bridge: Bridge, *, with_worker: bool, with_http: bool, alone: bool) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stopping.set)
    await _introduce(bridge)
    slack = bridge.settings.slack
    app = build_app(
        inbox=bridge.jobs,
        clients=bridge.clients,
        now=utc_now,
        signing_secret=slack.signing_secret.get_secret_value() if slack.signing_secret else "",
    )
    async with contextlib.AsyncExitStack() as stack:
        worker = sender = None
        if with_worker:
            await came_back(bridge.store, scale=bridge.settings.bridge.time_scale)
            worker, sender = make_workers(bridge, alone=alone)
        if with_http:
            await stack.enter_async_context(_listening(bridge, app))
        if slack.app_token is not None and with_http:
            scale = bridge.settings.bridge.time_scale
            await stack.enter_async_context(
                SocketMode(
                    app,
                    bridge.clients,
                    app_token=slack.app_token.get_secret_value(),
                    on_return=partial(look_after_silence, bridge.store, scale=scale),
                )
            )
        async with asyncio.TaskGroup() as tasks:
            if worker is not None and sender is not None:
                tasks.create_task(worker.run(), name="worker")
                tasks.create_task(sender.run(), name="sender")
                await stack.enter_async_context(
                    Schedule(bridge.jobs, scale=bridge.settings.bridge.time_scale)
                )
            await stopping.wait()
            log.info("service.stopping")
            if worker is not None and sender is not None:
                worker.stop()
                sender.stop()


async def _introduce(bridge: Bridge) -> None:
    """Ask Slack who we are; a start without Slack goes on with what was stored."""
    try:
        bot = await bridge.clients.bot()
    except BridgeError as error:
        log.warning("slack.not_introduced", extra={"reason": error.user_message})
        return
    facts = TeamFacts(bot.team, bot.team_name, bot.bot_id or "", bot.user)
    await bridge.people.remember_team(facts)


@contextlib.asynccontextmanager
async def _listening(bridge: Bridge, app: AsyncApp) -> AsyncIterator[None]:
    """Serve HTTP within; addresses are not logged, since a webhook's holds its secret."""
    settings = bridge.settings
    web_app = web.Application(client_max_size=2 * 2**20)
    web_app.add_routes(WebhookReceiver(bridge.hooks, now=utc_now).routes())
    Health(bridge.store).add_to(web_app)
    if settings.slack.app_token is None and settings.slack.signing_secret is not None:
        secret = settings.slack.signing_secret.get_secret_value()
        SlackRoute(app, signing_secret=secret, now=utc_now).add_to(web_app)
    runner = web.AppRunner(web_app, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, settings.bridge.host, settings.bridge.port)
        await site.start()
        log.info("http.listening", extra={"host": settings.bridge.host, "port": _port(runner)})
        yield
    finally:
        await runner.cleanup()


def _port(runner: web.AppRunner) -> int:
    return int(runner.addresses[0][1]) if runner.addresses else 0


def make_workers(bridge: Bridge, *, alone: bool) -> tuple[Worker, Sender]:
    """Return what does the work of this process: the jobs' worker and the deliveries' sender."""
    scale = bridge.settings.bridge.time_scale
    cards = Cards(dashboard_url=bridge.settings.jollor.dashboard_url, scale=scale)
    name = worker_id()
    lease_s = max(LEASE_S / scale, SHORTEST_LEASE_S)
    sender = Sender(
        bridge.store,
        Deliveries(bridge.store, scale=scale),
        bridge.chat,
        worker=name,
        root_card=cards.root_again,
        scale=scale,
        alone=alone,
        lease_s=lease_s,
    )

    def waking(handler: Handler) -> Handler:
        """What a job has put is looked at now, not at the next poll."""

        async def handle(event: Any, job: Job) -> None:
            await handler(event, job)
            sender.woken.set()
            bridge.jobs.woken.set()

        return handle

    handlers = _handlers(bridge, cards, scale)
    handlers = replace(handlers, by_kind={kind: waking(one) for kind, one in handlers.by_kind.items()})
    worker = Worker(bridge.store, bridge.jobs, handlers, id_=name, scale=scale, alone=alone, lease_s=lease_s)
    return worker, sender


def _handlers(bridge: Bridge, cards: Cards, scale: float) -> Handlers:
    inbound = Inbound(bridge.store, bridge.social, cards, scale=scale)
    hints = Hints(bridge.store, bridge.social)
    posts = Posts(bridge.store, bridge.social, cards, scale=scale)
    dialogues = Dialogues(bridge.store, inbound, cards)
    alerts = Alerts(bridge.store, cards, scale=scale)
    outbound = Outbound(
        bridge.store,
        bridge.chat,
        cards,
        undo_window=timedelta(seconds=bridge.settings.bridge.undo_window_s),
        scale=scale,
    )
    changes = Changes(bridge.store, outbound, cards)
    holding = HoldingBack(bridge.store, bridge.chat, outbound)
    second_tries = SecondTries(bridge.store, bridge.chat, scale=scale)
    advice = Advice(
        bridge.store,
        bridge.chat,
        bridge.social,
        undo_window=timedelta(seconds=bridge.settings.bridge.undo_window_s),
    )
    unread = Unread(bridge.store, cards)
    settling = Settling(bridge.store, bridge.chat, bridge.social, cards, scale=scale)
    replies = Replies(bridge.store, bridge.social, cards, settling, scale=scale)
    catch_up = CatchUp(bridge.store, bridge.social, cards, scale=scale)
    floods = Floods(bridge.store)
    delayed = Delayed(bridge.store, scale=scale)
    read_back = ReadBack(bridge.store, bridge.chat, scale=scale)
    thread_reading = ThreadReading(bridge.store, bridge.chat, scale=scale)
    upkeep = Upkeep(bridge.store, lambda projects: _keep_fresh(bridge.auth, projects))
    registration = Registration(bridge.social, bridge.hooks)
    take_over = TakeOver(bridge.store, bridge.chat, bridge.hooks, registration, bridge.people, cards)
    silences = Silences(bridge.store, registration, cards, scale=scale)
    watching = Watching(
        bridge.store, bridge.social, bridge.hooks, registration, take_over, silences, cards, scale=scale
    )
    outages = Outages(bridge.store, scale=scale)
    commands = Commands(
        bridge.chat,
        bridge.connections,
        bridge.people,
        bridge.queries,
        presses={
            ActionId.MARK_RECONNECTED: alerts.mark_reconnected,
            ActionId.SETTLE_ARRIVED: settling.arrived,
            ActionId.SETTLE_SEND_AGAIN: settling.send_again,
            ActionId.SETTLE_DROP: settling.drop,
            ActionId.SEND_ANYWAY: settling.send_anyway,
            ActionId.LOAD_ALL: floods.load_all,
            ActionId.SEND_AGAIN: second_tries.send_again,
            ActionId.SEND_CORRECTION: second_tries.send_correction,
            ActionId.TAKE_OVER_WEBHOOK: take_over.pressed,
        },
    )
    by_kind: dict[str, Handler] = {
        "conversation_changed": inbound.conversation_changed,
        "message_hinted": hints.message_hinted,
        "message_missing": hints.message_missing,
        "post_changed": posts.post_changed,
        "dialogue_changed": dialogues.dialogue_changed,
        "profile_expired": alerts.profile_expired,
        "line_typed": outbound.line_typed,
        "line_edited": changes.line_edited,
        "line_deleted": changes.line_deleted,
        "hold_back_chosen": holding.hold_back,
        "advice_due": advice.advice_due,
        "channel_state": upkeep.channel_state,
        "app_removed": upkeep.app_removed,
        "command_given": commands.command_given,
        "button_pressed": commands.button_pressed,
        "send_reply": replies.send_reply,
        "settle_reply": settling.settle_reply,
        "mark_waiting": replies.mark_waiting,
        "sweep_all": catch_up.sweep_all,
        "sweep": catch_up.sweep,
        "came_back": catch_up.came_back,
        "watch_webhooks": watching.watch_webhooks,
        "watch_webhook": watching.watch_webhook,
        "take_over_webhook": take_over.take_over,
        "tell_of_outages": outages.tell,
        "read_back_all": read_back.read_back_all,
        "read_channel": read_back.read_channel,
        "read_thread": thread_reading.read_thread,
        "renew_tokens": upkeep.renew_tokens,
        "remind_of_alerts": alerts.remind,
        "look_for_delays": delayed.look,
        "clean_up": upkeep.clean_up,
    }

    async def slack_event(event: SlackEventReceived, job: Job) -> None:
        """Read a stored Slack event and do what the happening in it calls for."""
        happening = await read_event(bridge.chat, event)
        if happening is not None:
            await by_kind[happening.kind](happening, job)

    async def line_found(event: LineFound, job: Job) -> None:
        """Do what a line that was found by reading calls for, as if an event had told of it."""
        await by_kind[event.line.kind](event.line, job)

    async def line_found_lost(event: LineFound, reason: str) -> None:
        if isinstance(event.line, LineTyped):
            await outbound.could_not_take(event.line, reason)

    async def slack_event_lost(event: SlackEventReceived, reason: str) -> None:
        """Say at a line that it was not dealt with; the names in it do not matter any more."""
        happening = translate(event.body, {}, received_at=event.received_at)
        if isinstance(happening, LineTyped):
            is_whole = not needed_ids(event.body).channels
            await outbound.could_not_take(happening, reason, is_whole=is_whole)

    return Handlers(
        by_kind={**by_kind, "slack_event": slack_event, "line_found": line_found},
        coalesced=frozenset(
            {"conversation_changed", "sweep", "renew_tokens", "watch_webhook", "read_channel"}
        ),
        farewells={
            "button_pressed": commands.could_not_do,
            "hold_back_chosen": holding.could_not_hold_back,
            "command_given": commands.could_not_do,
            "conversation_changed": unread.message_not_read,
            "message_hinted": unread.message_not_read,
            "message_missing": unread.message_not_read,
            "settle_reply": settling.could_not_settle,
            "post_changed": unread.post_not_read,
            "send_reply": replies.could_not_send,
            "slack_event": slack_event_lost,
            "take_over_webhook": take_over.could_not_take_over,
            "line_found": line_found_lost,
        },
    )


async def _keep_fresh(auth: Auth, projects: Sequence[ProjectId]) -> Mapping[ProjectId, str]:
    failed: dict[ProjectId, str] = {}
    for project in projects:
        for error in await auth.keep_fresh([project]):
            failed[project] = _sentence(error)
    return failed


def _sentence(error: JollorError) -> str:
    return f"Jollor gives us no token: {error.reason}"
