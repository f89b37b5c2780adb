"""The simulated Jollor as tests and the demo use it: a server, and hands to make things happen in it."""

from collections.abc import Iterable
from datetime import datetime
from random import Random

from sandbox.clock import SandboxClock
from sandbox.faults import Faults
from sandbox.jollor.auth import Access, AuthServer
from sandbox.jollor.ids import Ids, person_id
from sandbox.jollor.inbox import Inbox
from sandbox.jollor.inbox_routes import InboxRoutes
from sandbox.jollor.model import (
    Account,
    Agency,
    Conversation,
    Dialogue,
    Message,
    Participant,
    Post,
    Project,
    Webhook,
)
from sandbox.jollor.paths import APP_PREFIX, AUTH_PREFIX
from sandbox.jollor.post_routes import PostRoutes
from sandbox.jollor.routes import add_routes, describe, operations
from sandbox.jollor.shapes import Shapes
from sandbox.jollor.store import Store
from sandbox.jollor.switches import Switches
from sandbox.jollor.tokens import Tokens
from sandbox.jollor.webhook_routes import WebhookRoutes
from sandbox.jollor.webhooks import Webhooks
from sandbox.ledger import Cause, Ledger
from sandbox.server import DownMode, SandboxServer
from sandbox.wire import End, Wire

CLIENT_ID = "4711"
CLIENT_SECRET = "sandbox-client-secret"
USERNAME = "harbour@example.com"
PASSWORD = "sandbox-password"


class SimulatedJollor:
    """One Jollor with an account and an agency; projects are added. Made by `start`, ended by `stop`."""

    def __init__(
        self,
        *,
        clock: SandboxClock,
        wire: Wire,
        faults: Faults,
        ledger: Ledger,
        switches: Switches,
        seed: int,
    ) -> None:
        self.clock = clock
        self.wire = wire
        self.faults = faults
        self.ledger = ledger
        self.switches = switches
        self.store = Store(clock=clock, ids=Ids(seed), switches=switches, random=Random(seed))
        self.tokens = Tokens(clock=clock, ids=self.store.ids, switches=switches)
        shapes = Shapes(switches)
        self.webhooks = Webhooks(self.store, shapes, clock=clock, wire=wire, faults=faults)
        self.inbox = Inbox(self.store, self.webhooks, ledger, faults)
        access = Access(self.store, self.tokens)
        auth = AuthServer(self.store, shapes, self.tokens, client_id=CLIENT_ID, client_secret=CLIENT_SECRET)
        inbox_routes = InboxRoutes(self.store, shapes, access, self.inbox, clock=clock)
        post_routes = PostRoutes(self.store, shapes, access, self.inbox, inbox_routes)
        webhook_routes = WebhookRoutes(self.store, shapes, access, self.webhooks)
        self.operations = operations(auth, inbox_routes, post_routes, webhook_routes)
        self.server = SandboxServer(End.JOLLOR, describe(self.store), clock=clock, wire=wire, faults=faults)
        self._owns_faults = False

    @classmethod
    async def start(
        cls,
        *,
        clock: SandboxClock | None = None,
        wire: Wire | None = None,
        faults: Faults | None = None,
        ledger: Ledger | None = None,
        switches: Switches | None = None,
        seed: int = 0,
        port: int = 0,
    ) -> "SimulatedJollor":
        """A running Jollor. Pass clock, wire, faults and ledger to share them with the simulated Slack."""
        clock = clock or SandboxClock()
        jollor = cls(
            clock=clock,
            wire=wire or Wire(clock=clock),
            faults=faults or Faults(clock=clock, seed=seed),
            ledger=ledger or Ledger(clock=clock),
            switches=switches or Switches(),
            seed=seed,
        )
        jollor._owns_faults = faults is None
        account = jollor.add_account(USERNAME, PASSWORD, "harbour_community")
        jollor.add_agency("Harbour Agency", [account])
        app = jollor.server.application()
        add_routes(app, jollor.operations, jollor.switches)
        await jollor.webhooks.start()
        await jollor.server.start(app, port=port)
        return jollor

    async def stop(self) -> None:
        """Stop calling and serving. A fault script that was passed in is left to its owner."""
        await self.webhooks.stop()
        if self._owns_faults:
            await self.faults.stop()
        await self.server.stop()

    # ---- where it is

    @property
    def app_url(self) -> str:
        return self.server.url + APP_PREFIX

    @property
    def auth_url(self) -> str:
        return self.server.url + AUTH_PREFIX

    def environment(self) -> dict[str, str]:
        """The settings with which the bridge finds this Jollor and signs in."""
        return {
            "JOLLOR_APP_URL": self.app_url,
            "JOLLOR_AUTH_URL": self.auth_url,
            "JOLLOR_DASHBOARD_URL": self.server.url,
            "JOLLOR_CLIENT_ID": CLIENT_ID,
            "JOLLOR_CLIENT_SECRET": CLIENT_SECRET,
            "JOLLOR_USERNAME": USERNAME,
            "JOLLOR_PASSWORD": PASSWORD,
        }

    # ---- what is there

    def add_account(self, username: str, password: str, screen_name: str) -> Account:
        account = Account(self.store.new_id(), username, password, screen_name)
        self.store.accounts[username] = account
        return account

    def add_agency(self, name: str, accounts: Iterable[Account]) -> Agency:
        agency = Agency(self.store.new_id(), name, frozenset(account.id for account in accounts))
        self.store.agencies[agency.id] = agency
        return agency

    def add_project(self, name: str, agency: Agency | None = None) -> Project:
        """A new project, of the first agency unless one is given."""
        owner = agency or next(iter(self.store.agencies.values()))
        project = Project(self.store.new_id(), name, owner.id)
        self.store.projects[project.id] = project
        return project

    def project(self, project_id: str) -> Project:
        return self.store.projects[project_id]

    def conversation(self, project: Project, conversation_id: str) -> Conversation:
        return self.store.conversations[project.id, conversation_id]

    def webhook(self, project: Project) -> Webhook | None:
        return self.store.webhooks.get(project.id)

    # ---- what happens

    def customer_writes(
        self,
        project: Project,
        provider: str,
        customer_name: str,
        text: str,
        conversation_id: str | None = None,
        *,
        at: datetime | None = None,
        announced: bool = True,
    ) -> Message:
        """A customer sends a private message, in their conversation or a new one.

        `at` puts it into the past; `announced` False keeps the webhook silent.
        """
        if conversation_id is None:
            conversation = self.store.conversation_with(project, provider, customer_name)
        else:
            conversation = self.store.conversations.get((project.id, conversation_id))
        if conversation is None:
            conversation = self.store.add_conversation(project, provider, customer_name, conversation_id)
        return self.inbox.receive(conversation, text, at=at, announced=announced)

    def dashboard_replies(
        self, conversation: Conversation, text: str, *, at: datetime | None = None, announced: bool = True
    ) -> Message:
        """A colleague answers in Jollor's dashboard."""
        return self._replies(conversation, text, Cause.DASHBOARD, "dashboard_replies", at, announced)

    def agent_replies(
        self, conversation: Conversation, text: str, *, at: datetime | None = None, announced: bool = True
    ) -> Message:
        """Jollor's automatic agent answers."""
        return self._replies(conversation, text, Cause.AUTOMATIC, "agent_replies", at, announced)

    def comment(
        self,
        project: Project,
        provider: str,
        author: str,
        text: str,
        *,
        parent: Post | None = None,
        html: str | None = None,
        tags: Iterable[str] = (),
    ) -> Post:
        """Somebody comments or mentions the project. `html` replaces what render makes of the text."""
        writer = Participant(person_id(provider, author), author)
        post = self.inbox.add_post(
            project, provider, writer, text, is_incoming=True, parent=parent, html=html, tags=frozenset(tags)
        )
        self.inbox.announce_post("post_received", post)
        return post

    def own_post(
        self, project: Project, provider: str, text: str, *, html: str | None = None, published: bool = True
    ) -> Post:
        """The project makes a post in Jollor, and publishes it unless `published` is False."""
        profile = self.store.profile(project, provider)
        post = self.inbox.add_post(project, provider, profile, text, is_incoming=False, html=html)
        self.inbox.announce_post("post_created", post)
        if published:
            self.inbox.announce_post("post_published", post)
        return post

    def expire_profile(self, project: Project) -> None:
        """A social profile's connection breaks: `token_expired`."""
        self.inbox.expire_profile(project)

    def start_dialogue(self, conversation: Conversation) -> Dialogue:
        return self.inbox.start_dialogue(conversation)

    def end_dialogue(self, dialogue: Dialogue) -> None:
        self.inbox.end_dialogue(dialogue)

    def human_needed(self, dialogue: Dialogue) -> None:
        self.inbox.need_human(dialogue)

    def expire_tokens(self, *, refresh_tokens: bool = True) -> None:
        """Every access token of the API ends now; refresh tokens too unless they are spared."""
        if refresh_tokens:
            self.tokens.expire_all()
        else:
            self.tokens.expire_access()

    async def down(self, mode: DownMode = DownMode.REFUSED) -> None:
        await self.server.down(mode)

    async def up(self) -> None:
        await self.server.up()

    # ---- what became of it

    def received_by_customer(self, conversation: Conversation) -> list[str]:
        """The texts that the customer got, whoever sent them, in order."""
        receipts = self.ledger.of_customer(conversation.id, project=conversation.project.id)
        return [receipt.text for receipt in receipts]

    def seen_under(self, post: Post) -> list[str]:
        """The replies that the public sees under a post, in order."""
        return [receipt.text for receipt in self.ledger.of_customer(post.id, project=post.project.id)]

    def _replies(
        self,
        conversation: Conversation,
        text: str,
        cause: Cause,
        operation: str,
        at: datetime | None,
        announced: bool,
    ) -> Message:
        message = self.inbox.send(conversation, text, cause=cause, operation=operation, at=at)
        if announced:
            self.inbox.announce_sent(message)
        return message
