"""The relay in memory, with a project whose webhook is watched and people who are told of outages."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta

from sqlalchemy import insert

from bridge.content import ActionId
from bridge.events import (
    ButtonPressed,
    ConversationChanged,
    Event,
    PostChanged,
    TellOfOutages,
    WatchWebhook,
)
from bridge.ids import ChannelId, ProjectId, UserId
from bridge.links import remember_projects
from bridge.model import Channel, LinkKind, Person, Webhook
from bridge.people import People
from bridge.queue.jobs import Jobs
from bridge.queue.worker import Handler, Handlers, Worker
from bridge.relay.cards import Cards
from bridge.relay.hints import Hints
from bridge.relay.outages import Outages
from bridge.relay.posts import Posts
from bridge.relay.silences import Silences
from bridge.relay.takeover import TakeOver
from bridge.relay.unread import Unread
from bridge.relay.watching import Watching
from bridge.store.engine import Store
from bridge.store.tables import webhooks
from bridge.webhooks import EVENT_TYPES, Registration, Webhooks
from tests.fakes.chat import FakePost
from tests.relay_stage import BAKERY, BEN, ROBIN, SUPPORT, TEAM, Relay

ALARMS = ChannelId("C2")
ANNA = UserId("UANNA")
HERE = f"https://bridge.example/webhooks/jollor/{BAKERY}"
OURS = Webhook("s3cret", HERE, "active", frozenset(EVENT_TYPES))
THEIRS = Webhook("other", "https://elsewhere.example/hook", "active", frozenset())


class Plain:
    """A cipher that hides nothing."""

    def encrypt(self, text: str) -> str:
        return text

    def decrypt(self, stored: str) -> str:
        return stored


@dataclass
class Watched(Relay):
    """`watch` is one look of the watch; `hears` is the webhook calling."""

    public_url: str | None = "https://bridge.example"
    hooks: Webhooks = field(init=False)
    handlers: Handlers = field(init=False)
    swept: int = 0

    def a_worker(self, store: Store, jobs: Jobs, handlers: Handlers) -> Worker:
        self.handlers = handlers
        return super().a_worker(store, jobs, handlers)

    def __post_init__(self) -> None:
        super().__post_init__()
        cards = Cards(dashboard_url="https://jollor.example")
        self.hooks = Webhooks(self.store, self.jobs, Plain(), self.social, public_url=self.public_url)
        people = People(self.store, self.chat)
        registration = Registration(self.social, self.hooks)
        take_over = TakeOver(self.store, self.chat, self.hooks, registration, people, cards)
        silences = Silences(self.store, registration, cards)
        watching = Watching(self.store, self.social, self.hooks, registration, take_over, silences, cards)
        posts = Posts(self.store, self.social, cards)

        async def sweep(event: object, job: object) -> None:
            self.swept += 1

        mine: dict[str, Handler] = {
            "message_hinted": Hints(self.store, self.social).message_hinted,
            "watch_webhooks": watching.watch_webhooks,
            "watch_webhook": watching.watch_webhook,
            "take_over_webhook": take_over.take_over,
            "tell_of_outages": Outages(self.store).tell,
            "post_changed": posts.post_changed,
            "button_pressed": take_over.pressed,
            "sweep": sweep,
        }
        self.handlers = Handlers(
            by_kind={**self.handlers.by_kind, **mine},
            coalesced=self.handlers.coalesced | {"watch_webhook"},
            farewells={
                **self.handlers.farewells,
                "take_over_webhook": take_over.could_not_take_over,
                "post_changed": Unread(self.store, cards).post_not_read,
            },
        )
        self.worker = super().a_worker(self.store, self.jobs, self.handlers)
        self.chat.add_channel(Channel(ALARMS, "alarms"))
        self.chat.add_person(Person(ANNA, "Anna", is_admin=True))

    async def set_up(self, *, theirs: Webhook | None = OURS) -> None:
        """The project is linked to both channels, its webhook is ours; Robin wrote before that."""
        self.social.customer_writes(BAKERY, ROBIN, "earlier", at=self.clock() - timedelta(days=1))
        await self.link()
        await self.link(LinkKind.ALERT, channel=ALARMS)
        projects = await self.social.projects()
        await self.store.write(lambda conn: remember_projects(conn, self.clock(), projects))
        self.social.set_webhook(BAKERY, theirs)
        row = {"project_id": BAKERY, "secret": "s3cret", "callback_url": HERE, "status": "active"}
        if self.public_url is None:
            row["callback_url"] = None  # type: ignore[assignment]
        await self._execute(insert(webhooks).values(created_at=self.clock(), **row))
        self.social.test_arrives = self.test_arrives

    async def watch(self, *, within_s: float = 60.0) -> None:
        """One look, and what comes of it."""
        await self.jobs.put(WatchWebhook(project_id=BAKERY))
        await self.settle(within_s=within_s)

    async def tell(self) -> None:
        """One look at what is away."""
        await self.jobs.put(TellOfOutages())
        await self.settle(within_s=5)

    async def hears(self, *events: Event) -> None:
        """The webhook calls."""
        known = events or (ConversationChanged(project_id=BAKERY, conversation_id=ROBIN),)
        await self.hooks.accept(BAKERY, known, [], foreign=0)

    async def test_arrives(self, project: ProjectId, event_type: str) -> None:
        """Jollor's test delivery names a post that does not exist."""
        assert event_type == "post_received"
        sample = f"sample-{len(self.social.calls)}"
        await self.hears(PostChanged(project_id=project, post_id=sample, what="received"))

    async def is_quiet_for(self, **more: float) -> None:
        await self.pass_(timedelta(**more).total_seconds())

    async def presses_take_over(self, user: UserId = ANNA) -> None:
        """Somebody presses the button of the report, twice, as people do."""
        (post,) = self.alarms()
        for _ in range(2):
            await self.jobs.put(
                ButtonPressed(
                    team_id=TEAM,
                    channel_id=ALARMS,
                    user_id=user,
                    action_id=ActionId.TAKE_OVER_WEBHOOK,
                    value=BAKERY,
                    message_ts=post.ts,
                    response_url="https://slack.example/answer",
                )
            )

    def alarms(self) -> list[FakePost]:
        return [post for post in self.chat.posts if post.outgoing.channel == ALARMS]

    def alarmed(self) -> list[str]:
        """What stands in the channel for alerts, as it reads now."""
        return [post.text for post in self.alarms()]

    def offered(self) -> list[str]:
        """The buttons of the last alert."""
        return self.buttons(self.alarms()[-1])

    def support(self) -> list[str]:
        return [post.text for post in self.chat.posts if post.outgoing.channel == SUPPORT]

    def change(self, **values: object) -> None:
        """Somebody changes the webhook in Jollor."""
        known = self.social.webhook_of(BAKERY)
        assert known is not None
        self.social.set_webhook(BAKERY, replace(known, **values))  # type: ignore[arg-type]


__all__ = ["ALARMS", "ANNA", "BEN", "HERE", "OURS", "THEIRS", "Watched"]
