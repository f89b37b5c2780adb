"""What the funnel tells of calls that fail: never sent, sent without an answer, refused, too much."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta

import pytest
from aiohttp import web

from jollor import operations as op
from jollor.client import Limits, Servers, open_funnel
from jollor.errors import (
    BadAnswer,
    Forbidden,
    JollorError,
    NotFound,
    NotSent,
    OutcomeUnknown,
    RateLimited,
    Rejected,
    ServerDown,
    Unauthorized,
)
from jollor.protocol import Answer, Request
from sandbox.clock import SandboxClock
from sandbox.faults import CallerGets, Fault, FaultKind
from sandbox.jollor import CLIENT_SECRET, PASSWORD, SimulatedJollor
from sandbox.jollor.model import Conversation, Project
from sandbox.jollor.switches import ErrorForm
from sandbox.server import DownMode
from sandbox.wire import End
from tests.jollor_support import LIMITS, Connected, connected

IMPATIENT = replace(LIMITS, total_s=0.8, connect_s=0.4)


@pytest.fixture
async def jollor() -> AsyncIterator[SimulatedJollor]:
    running = await SimulatedJollor.start(clock=SandboxClock(1000))
    yield running
    await running.stop()


@pytest.fixture
def project(jollor: SimulatedJollor) -> Project:
    return jollor.add_project("Harbour Bakery")


@pytest.fixture
def conversation(jollor: SimulatedJollor, project: Project) -> Conversation:
    return jollor.customer_writes(project, "zalo", "Robin Example", "Hello?").conversation


@pytest.fixture
async def line(jollor: SimulatedJollor, project: Project) -> AsyncIterator[Connected]:
    """A client that has its token already, so that faults strike the call itself."""
    async with connected(jollor, limits=IMPATIENT) as client:
        await client.auth.bearer(project.id)
        yield client


async def reply(line: Connected, conversation: Conversation, text: str = "hi") -> None:
    call = op.create_message_reply(conversation.project.id, conversation.provider, conversation.id, text)
    await line.client.send(call)


async def read(line: Connected, project: Project) -> None:
    await line.client.send(op.list_conversations(project.id))


# --- never sent --------------------------------------------------------------------------------------


async def test_without_a_connection_nothing_was_sent(
    line: Connected, project: Project, conversation: Conversation
) -> None:
    await line.jollor.down(DownMode.REFUSED)
    for attempt in (reply(line, conversation), read(line, project)):
        with pytest.raises(NotSent):
            await attempt
    await line.jollor.up()
    await reply(line, conversation)
    assert line.jollor.received_by_customer(conversation) == ["hi"]


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1", "http://does-not-exist.invalid", "https://127.0.0.1:{port}"]
)
async def test_an_address_where_nobody_listens_name_or_tls_is_wrong_was_not_sent_to(
    jollor: SimulatedJollor, url: str
) -> None:
    address = url.format(port=jollor.server.port)
    async with open_funnel(Servers(app=address, auth=address), IMPATIENT) as funnel:
        request = op.create_message_reply("P", "zalo", "c", "hi").request
        with pytest.raises(NotSent):
            await funnel.exchange(request, timeout_s=2)


async def test_a_connection_that_does_not_open_in_time_was_not_sent_over() -> None:
    # a listener whose queue is full takes no further connection
    async with (
        silent_listener() as port,
        open_funnel(Servers(app=f"http://127.0.0.1:{port}"), IMPATIENT) as funnel,
    ):
        with pytest.raises(NotSent):
            await funnel.exchange(op.create_message_reply("P", "zalo", "c", "hi").request)


# --- sent, no answer ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "arrives"),
    [
        (Fault(FaultKind.CUT_BEFORE), False),
        (Fault(FaultKind.CUT_AFTER), True),
        (Fault(FaultKind.HANG), False),
        (Fault(FaultKind.HANG_AFTER), True),
        (Fault(FaultKind.STATUS, status=500), False),
        (Fault(FaultKind.STATUS_AFTER, status=502), True),
        (Fault(FaultKind.LATE, seconds=1, caller_gets=CallerGets.CUT), True),
    ],
)
async def test_a_reply_without_an_answer_may_have_been_sent_and_is_not_repeated(
    line: Connected, conversation: Conversation, fault: Fault, arrives: bool
) -> None:
    line.jollor.faults.add(End.JOLLOR, fault, "createMessageReply", times=1)
    received = asyncio.Event()
    line.jollor.ledger.watch(lambda _: received.set())
    with pytest.raises(OutcomeUnknown):
        await reply(line, conversation)
    if arrives:
        async with asyncio.timeout(2):
            await received.wait()
    assert line.asked("createMessageReply") == 1
    assert line.jollor.received_by_customer(conversation) == (["hi"] if arrives else [])


@pytest.mark.parametrize("mode", [DownMode.RESET, DownMode.SILENT, DownMode.UNAVAILABLE])
async def test_a_server_that_is_away_leaves_a_reply_in_doubt_and_a_read_to_be_repeated(
    line: Connected, project: Project, conversation: Conversation, mode: DownMode
) -> None:
    await line.jollor.down(mode)
    with pytest.raises(OutcomeUnknown):
        await reply(line, conversation)
    with pytest.raises(ServerDown):
        await read(line, project)
    await line.jollor.up()
    await read(line, project)
    assert line.jollor.received_by_customer(conversation) == []


async def test_a_reply_uses_a_fresh_connection_although_one_is_open(
    line: Connected, project: Project, conversation: Conversation
) -> None:
    await read(line, project)  # leaves a connection in the pool
    await line.jollor.down(DownMode.REFUSED)  # cuts it
    await line.jollor.up()
    await reply(line, conversation)
    assert line.jollor.received_by_customer(conversation) == ["hi"]


async def test_a_shorter_deadline_of_the_caller_holds(line: Connected, conversation: Conversation) -> None:
    line.jollor.faults.add(End.JOLLOR, FaultKind.HANG, "createMessageReply", times=1)
    clock = asyncio.get_running_loop().time
    started = clock()
    call = op.create_message_reply(conversation.project.id, "zalo", conversation.id, "hi")
    with pytest.raises(OutcomeUnknown):
        await line.client.send(call, timeout_s=0.1)
    assert clock() - started < IMPATIENT.total_s


# --- before sending ----------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [FaultKind.HANG, FaultKind.CUT_BEFORE])
async def test_a_reply_for_which_there_is_no_token_was_not_sent(
    jollor: SimulatedJollor, conversation: Conversation, fault: FaultKind
) -> None:
    async with connected(jollor, limits=IMPATIENT) as line:
        jollor.faults.add(End.JOLLOR, fault, "createToken")
        with pytest.raises(ServerDown):
            await reply(line, conversation)
        assert line.asked("createMessageReply") == 0


@pytest.mark.parametrize("has_token", [False, True])
async def test_a_reply_that_has_no_time_left_was_not_sent(
    jollor: SimulatedJollor, conversation: Conversation, has_token: bool
) -> None:
    async with connected(jollor) as line:
        if has_token:
            await line.auth.bearer(conversation.project.id)
        call = op.create_message_reply(conversation.project.id, "zalo", conversation.id, "hi")
        with pytest.raises(ServerDown, match="nothing was sent"):
            await line.client.send(call, timeout_s=0)
    assert jollor.received_by_customer(conversation) == []


@pytest.mark.parametrize(
    "address",
    [
        "",
        "app.jollor.com/api",
        "ftp://x.example",
        "https://",
        "http://x.example:nonsense",
        "https://x.example?a=1",
    ],
)
def test_an_address_that_cannot_be_one_is_refused_by_the_name_of_its_setting(address: str) -> None:
    with pytest.raises(ValueError, match="JOLLOR_APP_URL"):
        Servers(app=address)
    with pytest.raises(ValueError, match="JOLLOR_AUTH_URL"):
        Servers(auth=address)


def test_paths_are_appended_to_the_base_as_they_are() -> None:
    servers = Servers(app="https://x.example/api/")
    url = servers.url(op.get_message("P", "a/../b c").request)
    assert str(url) == "https://x.example/api/public/v1/messages/a%2F..%2Fb%20c"


# --- answered ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, Rejected),
        (403, Forbidden),
        (404, NotFound),
        (422, Rejected),
        (429, RateLimited),
        (500, ServerDown),
    ],
)
@pytest.mark.parametrize("form", ErrorForm)
async def test_a_refusal_is_told_by_its_status_whatever_its_body(
    line: Connected, project: Project, status: int, kind: type[JollorError], form: ErrorForm
) -> None:
    bodies = {
        ErrorForm.OBJECT: ('{"error": "no"}', "application/json"),
        ErrorForm.TEXT: ("no", "text/plain"),
        ErrorForm.HTML: ("<h1>no</h1>", "text/html"),
        ErrorForm.EMPTY: ("", "application/json"),
    }
    body, content_type = bodies[form]
    fault = Fault(FaultKind.STATUS, status=status, body=body, content_type=content_type)
    line.jollor.faults.add(End.JOLLOR, fault, "listConversations", times=1)
    with pytest.raises(JollorError) as caught:
        await read(line, project)
    assert type(caught.value) is kind


async def test_a_reply_that_was_refused_was_not_sent(line: Connected, conversation: Conversation) -> None:
    conversation.max_reply_length = 5
    with pytest.raises(Rejected) as caught:
        await reply(line, conversation, "far too long")
    assert caught.value.status == 400
    assert line.jollor.received_by_customer(conversation) == []


async def test_a_rate_limit_tells_how_long_to_wait(line: Connected, conversation: Conversation) -> None:
    fault = Fault(FaultKind.STATUS, status=429, retry_after=7)
    line.jollor.faults.add(End.JOLLOR, fault, "createMessageReply", times=1)
    with pytest.raises(RateLimited) as caught:
        await reply(line, conversation)
    assert caught.value.retry_after == timedelta(seconds=7)


async def test_a_401_is_answered_by_a_new_token_and_one_repetition(
    line: Connected, conversation: Conversation
) -> None:
    line.jollor.expire_tokens(refresh_tokens=False)
    await reply(line, conversation)
    assert line.asked("createMessageReply") == 2
    assert line.jollor.received_by_customer(conversation) == ["hi"]


async def test_a_401_that_stays_is_given_up_after_one_repetition(
    line: Connected, conversation: Conversation
) -> None:
    line.jollor.faults.add(End.JOLLOR, Fault(FaultKind.STATUS, status=401), "createMessageReply")
    with pytest.raises(Unauthorized):
        await reply(line, conversation)
    assert line.asked("createMessageReply") == 2


# --- strange answers ---------------------------------------------------------------------------------

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def answering(handler: Handler) -> AsyncIterator[str]:
    """The address of a server that answers everything with `handler`."""
    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", handler)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    try:
        yield f"http://{host}:{port}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def silent_listener() -> AsyncIterator[int]:
    """The port of a listener that accepts nothing and whose queue is full."""
    import socket

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        waiting = [socket.socket() for _ in range(4)]
        try:
            for one in waiting:
                one.setblocking(False)
                one.connect_ex(("127.0.0.1", port))
            yield port
        finally:
            for one in waiting:
                one.close()


async def exchanged(handler: Handler, request: Request, **limits: float) -> Answer:
    chosen = Limits(max_answer_bytes=1000, total_s=limits.get("total_s", 2.0), connect_s=0.2)
    async with answering(handler) as url, open_funnel(Servers(app=url), chosen) as funnel:
        return await funnel.exchange(request, token="tok")


READ = op.list_conversations("P").request
REPLY = op.create_message_reply("P", "zalo", "c", "hi").request


async def too_large(request: web.Request) -> web.StreamResponse:
    return web.Response(body=b"[" + b" " * 2000 + b"]")


async def cut_in_the_body(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": "100"})
    await response.prepare(request)
    await response.write(b"{")
    assert request.transport is not None
    request.transport.abort()
    return response


async def stuck_in_the_body(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    await response.write(b"{")
    await asyncio.sleep(2)
    return response


async def elsewhere(request: web.Request) -> web.StreamResponse:
    raise web.HTTPTemporaryRedirect("/login")


@pytest.mark.parametrize("request_", [READ, REPLY])
async def test_an_answer_that_is_too_large_is_not_held(request_: Request) -> None:
    answer = await exchanged(too_large, request_)
    assert (answer.status, answer.body, answer.is_complete) == (200, b"", False)


@pytest.mark.parametrize("handler", [cut_in_the_body, stuck_in_the_body])
async def test_a_reply_is_settled_by_its_status_even_if_the_body_never_comes(handler: Handler) -> None:
    answer = await exchanged(handler, REPLY, total_s=0.8)
    assert (answer.status, answer.is_complete) == (200, False)


@pytest.mark.parametrize("handler", [cut_in_the_body, stuck_in_the_body])
async def test_half_an_answer_to_a_read_is_none(handler: Handler) -> None:
    with pytest.raises(ServerDown):
        await exchanged(handler, READ, total_s=0.8)


async def test_a_read_that_is_too_large_says_so(jollor: SimulatedJollor, project: Project) -> None:
    jollor.customer_writes(project, "zalo", "Robin Example", "x" * 5000)
    async with connected(jollor, limits=replace(LIMITS, max_answer_bytes=3000)) as line:
        conversation = next(iter(await line.client.send(op.list_conversations(project.id))))
        with pytest.raises(BadAnswer, match="too large"):
            await line.client.send(
                op.list_conversation_messages(project.id, conversation.conversation_id, 1000)
            )


async def test_a_redirect_is_not_followed_with_the_token() -> None:
    assert (await exchanged(elsewhere, READ)).status == 307


async def test_every_request_carries_what_the_reference_wants() -> None:
    seen: list[web.Request] = []

    async def note(request: web.Request) -> web.StreamResponse:
        seen.append(request)
        assert await request.json() == {"text": "hi"}
        return web.json_response({})

    await exchanged(note, REPLY)
    (request,) = seen
    assert request.headers["Authorization"] == "Bearer tok"
    assert request.headers["Content-Type"] == request.headers["Accept"] == "application/json"
    assert request.headers["Connection"] == "close"
    assert request.raw_path == "/public/v1/projects/P/zalo/conversations/c/messages"


# --- secrets -----------------------------------------------------------------------------------------


async def test_no_secret_and_no_text_reaches_a_log_or_an_error(
    jollor: SimulatedJollor, conversation: Conversation, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    errors: list[str] = []
    store_secrets: list[str] = []
    async with connected(jollor, limits=IMPATIENT) as line:
        token = await line.auth.bearer(conversation.project.id)
        store_secrets.append(token)
        echo = json.dumps({"message": f"Bearer {token} may not send: the private words of the reply"})
        for fault in (
            Fault(FaultKind.STATUS, status=422, body=echo),
            Fault(FaultKind.STATUS, status=401, body=echo),
            Fault(FaultKind.STATUS, status=401, body=echo),
            Fault(FaultKind.CUT_AFTER),
            Fault(FaultKind.HANG),
        ):
            jollor.faults.add(End.JOLLOR, fault, "createMessageReply", times=1)
        for _ in range(4):
            with pytest.raises(JollorError) as caught:
                await reply(line, conversation, "the private words of the reply")
            chain: BaseException | None = caught.value
            while chain is not None:
                errors.append(f"{chain} {chain!r}")
                chain = chain.__cause__
        store_secrets.append(await line.auth.bearer(conversation.project.id))
    shown = "\n".join([*errors, *(f"{record.getMessage()} {record.__dict__}" for record in caplog.records)])
    for secret in (*store_secrets, PASSWORD, CLIENT_SECRET, "private words", "Basic "):
        assert secret not in shown
