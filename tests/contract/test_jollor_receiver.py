"""The webhook receiver over real HTTP: the table of answers, and the simulated Jollor's own deliveries."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from io import BytesIO
from urllib.parse import quote

import aiohttp
import pytest
from aiohttp import web
from pydantic import JsonValue
from yarl import URL

from bridge.errors import StoreUnavailable
from bridge.events import ConversationChanged, Event, MessageHinted, PostChanged, ProfileExpired
from bridge.ids import ProjectId
from bridge.ports import WebhookSecret
from jollor import operations as op
from jollor.errors import Rejected
from jollor.receiver import MAX_BODY_BYTES, WebhookReceiver
from sandbox.clock import SandboxClock
from sandbox.jollor import SimulatedJollor
from sandbox.jollor.switches import PayloadForm
from tests.jollor_support import connected, now

SECRET = "0123456789abcdef0123456789abcdef01234567"
FLAT: JsonValue = {"event_type": "post_received", "post_id": "p1", "project_id": "P"}


@dataclass
class Book:
    """A webhook book in memory. `stale` is what it knows without a fresh look."""

    secrets: dict[str, WebhookSecret] = field(default_factory=lambda: {"P": WebhookSecret(SECRET, True)})
    stale: dict[str, WebhookSecret] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    leftovers: list[str] = field(default_factory=list)
    foreign: int = 0
    is_down: bool = False
    taken: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def secret(self, project: ProjectId, *, fresh: bool = False) -> WebhookSecret | None:
        if self.is_down:
            raise StoreUnavailable("disk_full")
        return self.secrets.get(project) if fresh else self.stale.get(project, self.secrets.get(project))

    async def accept(
        self, project: ProjectId, events: Sequence[Event], leftovers: Sequence[str], *, foreign: int
    ) -> None:
        if self.is_down:
            raise StoreUnavailable("disk_full")
        async with self.taken:
            self.events.extend(events)
            self.leftovers.extend(leftovers)
            self.foreign += foreign
            self.taken.notify_all()

    async def until(self, events: int) -> list[Event]:
        async with asyncio.timeout(5), self.taken:
            await self.taken.wait_for(lambda: len(self.events) >= events)
        return self.events


@dataclass
class Line:
    """A caller of the receiver."""

    url: str
    session: aiohttp.ClientSession

    def at(self, project: str = "P", challenge: str | None = SECRET) -> URL:
        query = "" if challenge is None else f"?challenge={quote(challenge, safe='')}"
        return URL(f"{self.url}/webhooks/jollor/{quote(project, safe='')}{query}", encoded=True)

    async def get(self, project: str = "P", challenge: str | None = SECRET) -> tuple[int, str, str]:
        async with self.session.get(self.at(project, challenge)) as answer:
            return answer.status, await answer.text(), answer.content_type

    async def post(
        self, body: JsonValue | bytes = FLAT, project: str = "P", challenge: str | None = SECRET
    ) -> tuple[int, str, str]:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        async with self.session.post(self.at(project, challenge), data=BytesIO(data)) as answer:
            return answer.status, await answer.text(), answer.content_type


CONFIRMED = (200, SECRET, "text/plain")


@asynccontextmanager
async def served(book: Book, *, body_timeout_s: float = 5.0) -> AsyncIterator[str]:
    app = web.Application()
    app.add_routes(WebhookReceiver(book, now=now, body_timeout_s=body_timeout_s).routes())
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    try:
        yield f"http://{host}:{port}"
    finally:
        await runner.cleanup()


@pytest.fixture
def book() -> Book:
    return Book()


@pytest.fixture
async def line(book: Book) -> AsyncIterator[Line]:
    async with served(book) as url, aiohttp.ClientSession() as session:
        yield Line(url, session)


# --- the challenge -----------------------------------------------------------------------------------


async def test_the_secret_as_challenge_comes_back_as_plain_text(line: Line, book: Book) -> None:
    assert await line.get() == CONFIRMED
    assert await line.get() == CONFIRMED
    assert book.events == []


@pytest.mark.parametrize(
    ("project", "challenge"),
    [
        ("P", "wrong"),
        ("P", ""),
        ("P", None),
        ("P", SECRET + "0"),
        ("P", SECRET.upper()),
        ("P", "<script>"),
        ("P", "\u00e9\U0001f950"),
        ("never-linked", SECRET),
        ("never-linked", ""),
    ],
)
async def test_a_wrong_challenge_is_refused_without_an_echo(
    line: Line, book: Book, project: str, challenge: str | None
) -> None:
    for status, text, _ in (await line.get(project, challenge), await line.post(FLAT, project, challenge)):
        assert status == 403
        assert text == "wrong challenge"
    assert book.events == []


async def test_an_octet_string_that_is_no_text_is_refused(line: Line) -> None:
    url = URL(f"{line.url}/webhooks/jollor/P?challenge=%ff%fe", encoded=True)
    async with line.session.get(url) as answer:
        assert answer.status == 403


async def test_an_empty_secret_lets_nobody_in(line: Line, book: Book) -> None:
    book.secrets["P"] = WebhookSecret("", True)
    assert (await line.post(challenge=""))[0] == 403


async def test_a_secret_that_was_stored_a_moment_ago_is_found(line: Line, book: Book) -> None:
    book.stale["P"] = WebhookSecret("the old one", True)
    assert await line.get() == CONFIRMED
    book.stale["P"] = WebhookSecret(SECRET, False)
    assert await line.post() == CONFIRMED
    assert len(book.events) == 1, "linked a moment ago"


async def test_a_project_id_may_hold_any_character(line: Line, book: Book) -> None:
    book.secrets["a/b ü"] = WebhookSecret(SECRET, True)
    assert await line.post({"event_type": "token_expired"}, project="a/b ü") == CONFIRMED
    (event,) = book.events
    assert isinstance(event, ProfileExpired)
    assert event.project_id == "a/b ü"


# --- deliveries --------------------------------------------------------------------------------------


async def test_a_delivery_is_confirmed_after_it_was_committed(line: Line, book: Book) -> None:
    assert await line.post() == CONFIRMED
    assert book.events == [PostChanged(project_id="P", post_id="p1", what="received")]


async def test_what_cannot_be_stored_is_503_and_comes_again(
    line: Line, book: Book, caplog: pytest.LogCaptureFixture
) -> None:
    book.is_down = True
    for status, text, _ in (await line.get(), await line.post()):
        assert status == 503
        assert SECRET not in text
    book.is_down = False
    assert await line.post() == CONFIRMED
    assert len(book.events) == 1


async def test_a_store_that_fails_after_the_challenge_is_503(line: Line, book: Book) -> None:
    class Half(Book):
        async def accept(
            self, project: ProjectId, events: Sequence[Event], leftovers: Sequence[str], *, foreign: int
        ) -> None:
            raise StoreUnavailable("locked")

    async with served(Half()) as url:
        assert (await Line(url, line.session).post())[0] == 503


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"\xff\xfe", b"null", b"7", b"{}", b'{"event_type": "brand_new", "x": 1}', b"[" * 50_000],
)
async def test_an_unusable_body_is_confirmed_and_kept_aside(line: Line, book: Book, body: bytes) -> None:
    assert await line.post(body) == CONFIRMED
    assert book.events == []
    assert len(book.leftovers) == 1


async def test_an_empty_list_is_confirmed_and_nothing_is_kept(line: Line, book: Book) -> None:
    assert await line.post([]) == CONFIRMED
    assert (book.events, book.leftovers, book.foreign) == ([], [], 0)


async def test_what_is_kept_aside_shows_the_item_without_the_secret(line: Line, book: Book) -> None:
    await line.post({"event_type": "brand_new", "challenge": "x", "note": SECRET, "post_id": "p7"})
    (kept,) = book.leftovers
    assert kept.startswith("unknown_type: brand_new · ")
    assert "p7" in kept
    assert SECRET not in kept


async def test_items_of_another_project_are_dropped_and_counted(line: Line, book: Book) -> None:
    other: JsonValue = {"event_type": "token_expired", "project_id": "Q"}
    assert await line.post([FLAT, other, other]) == CONFIRMED
    assert (len(book.events), book.foreign) == (1, 2)


async def test_a_project_that_is_no_longer_linked_is_confirmed_and_dropped(line: Line, book: Book) -> None:
    book.secrets["P"] = WebhookSecret(SECRET, False)
    assert await line.get() == CONFIRMED
    assert await line.post([FLAT, FLAT]) == CONFIRMED
    assert (book.events, book.foreign) == ([], 2)


async def test_a_body_over_a_mebibyte_is_413(line: Line, book: Book) -> None:
    fits = json.dumps(FLAT).encode().ljust(MAX_BODY_BYTES)
    assert await line.post(fits) == CONFIRMED
    assert (await line.post(fits + b" "))[0] == 413
    assert len(book.events) == 1


async def test_a_body_without_a_length_is_measured_as_it_comes(line: Line, book: Book) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b" " * 2**16

    async with line.session.post(line.at(), data=endless()) as answer:
        assert answer.status == 413
    assert book.events == []


async def test_a_compressed_body_is_measured_unpacked(line: Line, book: Book) -> None:
    data = json.dumps(FLAT).encode()
    async with line.session.post(line.at(), data=data, compress="gzip") as answer:
        assert answer.status == 200
    async with line.session.post(line.at(), data=BytesIO(b" " * 5_000_000), compress="gzip") as answer:
        assert answer.status == 413
    assert len(book.events) == 1


async def test_the_body_of_a_stranger_is_not_read(line: Line, book: Book) -> None:
    assert (await line.post(b" " * (MAX_BODY_BYTES + 1), challenge="wrong"))[0] == 403


async def test_a_body_that_does_not_come_is_not_waited_for() -> None:
    book = Book()
    async with served(book, body_timeout_s=0.1) as url:
        target = URL(url)
        reader, writer = await asyncio.open_connection(target.host, target.port)
        head = (
            f"POST /webhooks/jollor/P?challenge={SECRET} HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{{"
        )
        writer.write(head.encode())
        async with asyncio.timeout(3):
            assert (await reader.readline()).startswith(b"HTTP/1.1 408")
        writer.close()
        await writer.wait_closed()
    assert book.leftovers == []


async def test_a_caller_that_hangs_up_leaves_nothing_behind(line: Line, book: Book) -> None:
    target = URL(line.url)
    _, writer = await asyncio.open_connection(target.host, target.port)
    head = f"POST /webhooks/jollor/P?challenge={SECRET} HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{{"
    writer.write(head.encode())
    await writer.drain()
    writer.transport.abort()
    assert await line.post() == CONFIRMED
    assert (len(book.events), book.leftovers) == (1, [])


@pytest.mark.parametrize("method", ["HEAD", "PUT", "DELETE", "PATCH"])
async def test_other_methods_are_not_answered(line: Line, method: str) -> None:
    async with line.session.request(method, line.at()) as answer:
        assert answer.status == 405


async def test_the_challenge_reaches_no_log(line: Line, book: Book, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    await line.get()
    await line.post()
    await line.post(b"{")
    await line.post(challenge="wrong-but-secret")
    book.is_down = True
    await line.post()
    shown = "\n".join(f"{record.getMessage()} {record.__dict__}" for record in caplog.records)
    assert SECRET not in shown
    assert "wrong-but-secret" not in shown


# --- together with Jollor ----------------------------------------------------------------------------


@pytest.mark.parametrize("form", PayloadForm)
async def test_jollors_own_deliveries_are_verified_confirmed_and_understood(form: PayloadForm) -> None:
    jollor = await SimulatedJollor.start(clock=SandboxClock(1000))
    jollor.switches.payload_form = form
    project = jollor.add_project("Harbour Bakery")
    book = Book(secrets={})
    async with served(book) as url, connected(jollor) as client:
        made = await client.client.send(op.enable_webhook(project.id))
        assert made.verify_token is not None
        book.secrets[project.id] = WebhookSecret(made.verify_token, True)
        updated = await client.client.send(
            op.update_webhook(project.id, f"{url}/webhooks/jollor/{project.id}")
        )
        assert updated.status == "active"
        for kind in ("message_received", "post_received", "token_expired"):
            await client.client.send(op.subscribe_event(project.id, kind))
        message = jollor.customer_writes(project, "zalo", "Robin Example", "hello")
        await book.until(1)
        post = jollor.comment(project, "twitter", "Sam Example", "nice")
        await book.until(2)
        jollor.expire_profile(project)
        first, second, third = await book.until(3)
        attempted = jollor.wire.entries(operation="message_received")
    await jollor.stop()
    if form is PayloadForm.KEYED:
        assert first == MessageHinted(project_id=project.id, message_id=message.id, cause="message_received")
    else:
        assert isinstance(first, ConversationChanged)
        assert (first.conversation_id, first.message_id) == (message.conversation.id, message.id)
    assert second == PostChanged(project_id=project.id, post_id=post.id, what="received")
    assert isinstance(third, ProfileExpired)
    assert [entry.status for entry in attempted] == [200]


async def test_jollor_does_not_accept_an_address_that_does_not_know_the_secret() -> None:
    jollor = await SimulatedJollor.start(clock=SandboxClock(1000))
    project = jollor.add_project("Harbour Bakery")
    async with served(Book(secrets={})) as url, connected(jollor) as client:
        await client.client.send(op.enable_webhook(project.id))
        with pytest.raises(Rejected, match="updateWebhook: refused with 400"):
            await client.client.send(op.update_webhook(project.id, f"{url}/webhooks/jollor/{project.id}"))
    await jollor.stop()
