"""The `Social` adapter over HTTP: values come translated, failures as what comes next."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from bridge.errors import BridgeError, PermanentError, Snooze, TargetDown, UnconfirmedError
from bridge.ids import ConversationId, MessageId, PostId, ProjectId
from bridge.model import Project, ReplyRules
from bridge.ports import Social
from jollor.social import JollorSocial
from sandbox.clock import SandboxClock
from sandbox.faults import Fault, FaultKind
from sandbox.jollor import SimulatedJollor
from sandbox.jollor.model import Conversation
from sandbox.jollor.model import Project as SimulatedProject
from sandbox.jollor.switches import Newness, RenderForm
from sandbox.server import DownMode
from sandbox.wire import End
from tests.jollor_support import LIMITS, Connected, connected
from tests.sandbox_jollor_support import Receiver, receiving

IMPATIENT = replace(LIMITS, total_s=0.8, connect_s=0.4)
AT = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)


@pytest.fixture
async def jollor() -> AsyncIterator[SimulatedJollor]:
    running = await SimulatedJollor.start(clock=SandboxClock(1000))
    yield running
    await running.stop()


@pytest.fixture
def simulated(jollor: SimulatedJollor) -> SimulatedProject:
    return jollor.add_project("Harbour Bakery")


@pytest.fixture
def project(simulated: SimulatedProject) -> ProjectId:
    return ProjectId(simulated.id)


@pytest.fixture
def conversation(jollor: SimulatedJollor, simulated: SimulatedProject) -> Conversation:
    return jollor.customer_writes(simulated, "zalo", "Robin Example", "Hello?", at=AT).conversation


@pytest.fixture
async def line(jollor: SimulatedJollor, project: ProjectId) -> AsyncIterator[Connected]:
    async with connected(jollor, limits=IMPATIENT) as client:
        await client.auth.bearer(project)
        yield client


@pytest.fixture
def social(line: Connected) -> JollorSocial:
    return line.social


def test_it_is_the_port(social: JollorSocial) -> None:
    port: Social = social
    assert port is social


# --- reading -----------------------------------------------------------------------------------------


async def test_all_projects_of_all_agencies_are_listed_once(
    jollor: SimulatedJollor, project: ProjectId, social: JollorSocial
) -> None:
    account = jollor.store.accounts["harbour@example.com"]
    second = jollor.add_project("Second", jollor.add_agency("Other agency", [account]))
    assert await social.projects() == [
        Project(project, "Harbour Bakery"),
        Project(ProjectId(second.id), "Second"),
    ]


async def test_an_agency_that_cannot_be_read_hides_no_other(
    jollor: SimulatedJollor, project: ProjectId, social: JollorSocial
) -> None:
    account = jollor.store.accounts["harbour@example.com"]
    closed = jollor.add_agency("Closed", [account])
    jollor.add_project("Unreachable", closed)
    fault = Fault(FaultKind.STATUS, status=403)
    jollor.faults.add(End.JOLLOR, fault, "listAgencyProjects", where={"agency": closed.id})
    assert [one.id for one in await social.projects()] == [project]


@pytest.mark.parametrize("order", Newness)
async def test_conversations_and_messages_come_in_order_whatever_jollors_is(
    jollor: SimulatedJollor,
    simulated: SimulatedProject,
    project: ProjectId,
    social: JollorSocial,
    order: Newness,
) -> None:
    jollor.switches.conversation_order = jollor.switches.message_order = order
    for minute, name in enumerate(["Ann", "Ben", "Cleo"]):
        jollor.customer_writes(simulated, "zalo", name, "first", at=AT + timedelta(minutes=minute))
    ann = jollor.customer_writes(simulated, "zalo", "Ann", "second", at=AT + timedelta(hours=1))
    found = await social.conversations(project)
    assert found[0].id == ann.conversation.id
    assert found[0].last_message_at == AT + timedelta(hours=1)
    assert [one.last_message_at for one in found] == sorted(
        (one.last_message_at for one in found if one.last_message_at), reverse=True
    )
    listed = await social.messages(project, found[0].id, last_message_at=found[0].last_message_at)
    assert [(message.text, message.customer) for message in listed.messages] == [
        ("first", "Ann"),
        ("second", "Ann"),
    ]
    assert (listed.is_cut, listed.unreadable) == (False, 0)


async def test_a_list_that_jollor_shortened_is_known_to_be_cut(
    jollor: SimulatedJollor, project: ProjectId, conversation: Conversation, social: JollorSocial
) -> None:
    jollor.customer_writes(
        conversation.project, "zalo", "Robin Example", "newer", conversation.id, at=AT + timedelta(hours=1)
    )
    jollor.switches.max_limit = 1
    jollor.switches.limit_keeps = Newness.OLDEST
    last = AT + timedelta(hours=1)
    listed = await social.messages(project, ConversationId(conversation.id), last_message_at=last)
    assert ([message.text for message in listed.messages], listed.is_cut) == (["Hello?"], True)


async def test_a_message_is_read_by_its_id(
    jollor: SimulatedJollor, project: ProjectId, conversation: Conversation, social: JollorSocial
) -> None:
    sent = jollor.dashboard_replies(conversation, "We are open", at=AT)
    message = await social.message(project, MessageId(sent.id))
    assert (message.text, message.is_incoming, message.customer) == ("We are open", False, "Robin Example")
    assert message.sender == conversation.profile.name


async def test_reply_rules_are_read(
    project: ProjectId, conversation: Conversation, social: JollorSocial
) -> None:
    conversation.reply_allowed, conversation.max_reply_length = False, 300
    message = MessageId(conversation.messages[0].id)
    assert await social.reply_rules(project, message) == ReplyRules(False, 300)


# --- posts -------------------------------------------------------------------------------------------

HTML = '<p>Great <b>bread</b>, see <a href="https://x.example/?a=1&b=2">here</a> &lt;!channel&gt;</p>'


@pytest.mark.parametrize("form", [RenderForm.STRING, RenderForm.HTML, RenderForm.OBJECT])
async def test_a_post_is_rendered_for_slack(
    jollor: SimulatedJollor,
    simulated: SimulatedProject,
    project: ProjectId,
    social: JollorSocial,
    form: RenderForm,
) -> None:
    jollor.switches.render_form = form
    made = jollor.comment(simulated, "twitter", "Sam Example", "x", html=HTML)
    post = await social.post(project, PostId(made.id))
    assert post.mrkdwn == "Great *bread*, see <https://x.example/?a=1&amp;b=2|here> &lt;!channel&gt;"
    assert (post.provider, post.is_incoming, post.text, post.author) == ("twitter", True, "", "")


async def test_a_post_that_comes_with_its_text_needs_no_rendering(
    jollor: SimulatedJollor, simulated: SimulatedProject, project: ProjectId, line: Connected
) -> None:
    jollor.switches.post_members = True
    made = jollor.comment(simulated, "twitter", "Sam Example", "Great bread!")
    post = await line.social.post(project, PostId(made.id))
    assert (post.text, post.author, post.mrkdwn) == ("Great bread!", "Sam Example", "")
    assert line.asked("renderPost") == 0


@pytest.mark.parametrize("status", [None, 404, 500])
async def test_a_post_that_cannot_be_rendered_comes_without_text(
    jollor: SimulatedJollor,
    simulated: SimulatedProject,
    project: ProjectId,
    social: JollorSocial,
    status: int | None,
) -> None:
    made = jollor.own_post(simulated, "facebook", "We are open")
    if status is not None:
        jollor.faults.add(End.JOLLOR, Fault(FaultKind.STATUS, status=status), "renderPost")
    post = await social.post(project, PostId(made.id))
    assert (post.mrkdwn, post.text, post.is_incoming) == ("", "", False)


async def test_a_rate_limit_while_rendering_puts_the_post_off(
    jollor: SimulatedJollor, simulated: SimulatedProject, project: ProjectId, social: JollorSocial
) -> None:
    made = jollor.comment(simulated, "twitter", "Sam Example", "x")
    jollor.faults.add(End.JOLLOR, Fault(FaultKind.STATUS, status=429), "renderPost")
    with pytest.raises(Snooze):
        await social.post(project, PostId(made.id))


async def test_incoming_posts_are_listed(
    jollor: SimulatedJollor, simulated: SimulatedProject, project: ProjectId, social: JollorSocial
) -> None:
    made = jollor.comment(simulated, "twitter", "Sam Example", "x")
    assert await social.incoming_posts(project) == [made.id]


# --- replying ----------------------------------------------------------------------------------------


async def reply(
    social: JollorSocial, conversation: Conversation, text: str = "hi", provider: str = "zalo"
) -> None:
    project, target = ProjectId(conversation.project.id), ConversationId(conversation.id)
    await social.reply(project, target, provider, text, timeout_s=0.8)


async def test_a_reply_reaches_the_customer(
    jollor: SimulatedJollor, conversation: Conversation, social: JollorSocial
) -> None:
    await reply(social, conversation, "Yes, until noon")
    assert jollor.received_by_customer(conversation) == ["Yes, until noon"]


async def test_an_account_that_may_read_but_not_send_fails_the_reply_after_one_renewal(
    jollor: SimulatedJollor, conversation: Conversation, social: JollorSocial
) -> None:
    jollor.faults.add(End.JOLLOR, Fault(FaultKind.STATUS, status=401), "createMessageReply")
    with pytest.raises(PermanentError) as caught:
        await reply(social, conversation)
    assert "lets the bridge read here but not send" in caught.value.user_message
    assert len(jollor.wire.entries(operation="createMessageReply")) == 2, "as it was, and with a new token"
    assert jollor.received_by_customer(conversation) == []


async def test_a_token_that_is_refused_everywhere_is_a_pause_and_not_the_replys_failure(
    jollor: SimulatedJollor, conversation: Conversation, social: JollorSocial
) -> None:
    for operation in ("createMessageReply", "getProject"):
        jollor.faults.add(End.JOLLOR, Fault(FaultKind.STATUS, status=401), operation)
    with pytest.raises(TargetDown) as caught:
        await reply(social, conversation)
    assert caught.value.target == f"project:{conversation.project.id}"
    assert jollor.received_by_customer(conversation) == []


@pytest.mark.parametrize(
    "fault",
    [
        Fault(FaultKind.CUT_AFTER),
        Fault(FaultKind.CUT_BEFORE),
        Fault(FaultKind.HANG),
        Fault(FaultKind.STATUS, status=503, retry_after=1),
    ],
)
async def test_a_reply_in_doubt_is_unconfirmed(
    jollor: SimulatedJollor, conversation: Conversation, social: JollorSocial, fault: Fault
) -> None:
    jollor.faults.add(End.JOLLOR, fault, "createMessageReply")
    with pytest.raises(UnconfirmedError):
        await reply(social, conversation)


@pytest.mark.parametrize(
    ("mode", "kind"), [(DownMode.REFUSED, TargetDown), (DownMode.SILENT, UnconfirmedError)]
)
async def test_a_reply_to_a_server_that_is_away(
    jollor: SimulatedJollor,
    conversation: Conversation,
    social: JollorSocial,
    mode: DownMode,
    kind: type[BridgeError],
) -> None:
    await jollor.down(mode)
    with pytest.raises(kind):
        await reply(social, conversation)


async def test_a_reply_without_a_network_is_refused_in_words(
    conversation: Conversation, line: Connected
) -> None:
    with pytest.raises(PermanentError) as caught:
        await reply(line.social, conversation, provider="")
    assert caught.value.user_message
    assert line.asked("createMessageReply") == 0


async def test_a_reply_that_cannot_get_a_token_was_not_sent_and_asks_nothing_else(
    jollor: SimulatedJollor, conversation: Conversation
) -> None:
    async with connected(jollor, limits=IMPATIENT) as line:
        jollor.faults.add(End.JOLLOR, FaultKind.HANG, "createToken")
        with pytest.raises(TargetDown):
            await reply(line.social, conversation)
        assert line.asked("getProject") == 0


@pytest.mark.parametrize("fault", [Fault(FaultKind.STATUS, status=200), Fault(FaultKind.STATUS, status=500)])
async def test_a_sign_in_that_makes_no_sense_is_the_targets_fault(
    jollor: SimulatedJollor, conversation: Conversation, fault: Fault
) -> None:
    async with connected(jollor, limits=IMPATIENT) as line:
        jollor.faults.add(End.JOLLOR, fault, "createToken")
        with pytest.raises(TargetDown, match="jollor_sign_in"):
            await reply(line.social, conversation)


# --- whose fault -------------------------------------------------------------------------------------

Asking = Callable[[JollorSocial, ProjectId], Awaitable[object]]


def asking_for_a_message(social: JollorSocial, project: ProjectId) -> Awaitable[object]:
    return social.message(project, MessageId("64b0c0ffee00112233448801"))


def asking_for_conversations(social: JollorSocial, project: ProjectId) -> Awaitable[object]:
    return social.conversations(project)


@pytest.mark.parametrize(
    ("status", "kind", "code"),
    [
        (400, PermanentError, "jollor_rejected_400"),
        (403, PermanentError, "jollor_forbidden"),
        (404, PermanentError, "jollor_not_found"),
        (401, TargetDown, "jollor_unauthorized"),
        (429, Snooze, "jollor_rate_limited"),
    ],
)
async def test_a_status_says_what_comes_next(
    jollor: SimulatedJollor,
    project: ProjectId,
    social: JollorSocial,
    status: int,
    kind: type[BridgeError],
    code: str,
) -> None:
    jollor.faults.add(End.JOLLOR, Fault(FaultKind.STATUS, status=status), "getMessage")
    with pytest.raises(BridgeError) as caught:
        await asking_for_a_message(social, project)
    assert (type(caught.value), caught.value.code) == (kind, code)
    assert caught.value.user_message.endswith(".")
    assert caught.value.__cause__ is not None


@pytest.mark.parametrize(
    ("header", "delay"), [(7, timedelta(seconds=7)), (0, timedelta(seconds=1)), (None, timedelta(seconds=10))]
)
async def test_a_rate_limit_is_waited_for_as_long_as_jollor_says(
    jollor: SimulatedJollor, project: ProjectId, social: JollorSocial, header: int | None, delay: timedelta
) -> None:
    fault = Fault(FaultKind.STATUS, status=429, retry_after=header)
    jollor.faults.add(End.JOLLOR, fault, "listConversations")
    with pytest.raises(Snooze) as caught:
        await social.conversations(project)
    assert caught.value.delay == delay


@pytest.mark.parametrize("fault", [Fault(FaultKind.STATUS, status=500), Fault(FaultKind.CUT_BEFORE)])
async def test_an_object_over_which_jollor_fails_alone_is_the_objects_fault(
    jollor: SimulatedJollor, project: ProjectId, social: JollorSocial, fault: Fault
) -> None:
    jollor.faults.add(End.JOLLOR, fault, "getMessage")
    with pytest.raises(BridgeError) as caught:
        await asking_for_a_message(social, project)
    assert (type(caught.value), caught.value.code) == (BridgeError, "jollor_object_failed")


@pytest.mark.parametrize("mode", [DownMode.UNAVAILABLE, DownMode.RESET, DownMode.REFUSED, DownMode.SILENT])
@pytest.mark.parametrize("asking", [asking_for_a_message, asking_for_conversations])
async def test_a_jollor_that_is_away_is_the_targets_fault(
    jollor: SimulatedJollor, project: ProjectId, social: JollorSocial, mode: DownMode, asking: Asking
) -> None:
    await jollor.down(mode)
    with pytest.raises(TargetDown) as caught:
        await asking(social, project)
    assert caught.value.target == f"project:{project}"


async def test_an_account_that_cannot_sign_in_is_the_targets_fault_and_says_what_to_check(
    jollor: SimulatedJollor, project: ProjectId
) -> None:
    async with connected(jollor, password="wrong") as line:
        with pytest.raises(TargetDown, match="jollor_sign_in") as caught:
            await line.social.conversations(project)
        assert "JOLLOR_PASSWORD" in caught.value.user_message
        with pytest.raises(TargetDown) as of_account:
            await line.social.projects()
        assert of_account.value.target == "jollor"


async def test_an_answer_that_makes_no_sense_counts_against_the_object(
    jollor: SimulatedJollor, project: ProjectId, social: JollorSocial
) -> None:
    jollor.faults.add(End.JOLLOR, Fault(FaultKind.STATUS, status=200, body="<html>"), "listConversations")
    with pytest.raises(BridgeError) as caught:
        await social.conversations(project)
    assert (type(caught.value), caught.value.code) == (BridgeError, "jollor_bad_answer")


# --- webhook -----------------------------------------------------------------------------------------


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as ready:
        yield ready


async def test_a_webhook_is_looked_for_made_pointed_subscribed_and_tested(
    jollor: SimulatedJollor, project: ProjectId, social: JollorSocial, receiver: Receiver
) -> None:
    assert await social.webhook(project) is None
    made = await social.enable_webhook(project)
    assert made.secret
    pointed = await social.point_webhook(project, receiver.url)
    assert (pointed.callback_url, pointed.is_active, pointed.secret) == (receiver.url, True, made.secret)
    await social.subscribe(project, "message_received")
    await social.send_test(project, "message_received")
    await receiver.until(1)
    jollor.switches.webhook_shows_all = True
    seen = await social.webhook(project)
    assert seen is not None
    assert seen.subscriptions == frozenset({"message_received"})


@pytest.mark.parametrize("fault", [FaultKind.CUT_AFTER, FaultKind.HANG_AFTER])
async def test_a_webhook_whose_making_was_not_confirmed_is_looked_up(
    jollor: SimulatedJollor, project: ProjectId, social: JollorSocial, fault: FaultKind
) -> None:
    jollor.faults.add(End.JOLLOR, fault, "enableWebhook", times=1)
    assert (await social.enable_webhook(project)).secret
    assert jollor.webhook(jollor.project(project)) is not None


async def test_a_webhook_that_was_not_made_after_all_stays_in_doubt(
    jollor: SimulatedJollor, project: ProjectId, social: JollorSocial
) -> None:
    jollor.faults.add(End.JOLLOR, FaultKind.CUT_BEFORE, "enableWebhook", times=1)
    with pytest.raises(UnconfirmedError):
        await social.enable_webhook(project)


async def test_an_answer_without_the_secret_is_completed_by_a_look(
    jollor: SimulatedJollor, project: ProjectId, social: JollorSocial, receiver: Receiver
) -> None:
    made = await social.enable_webhook(project)
    fault = Fault(FaultKind.STATUS_AFTER, status=200, body="{}")
    jollor.faults.add(End.JOLLOR, fault, "enableWebhook", times=1)
    jollor.faults.add(End.JOLLOR, fault, "updateWebhook", times=1)
    assert (await social.enable_webhook(project)).secret == made.secret
    assert (await social.point_webhook(project, receiver.url)).secret == made.secret


async def test_a_webhook_that_hides_its_secret_says_what_to_do(
    jollor: SimulatedJollor, project: ProjectId, social: JollorSocial
) -> None:
    jollor.switches.missing_members = {"WebhookConfig.verify_token"}
    with pytest.raises(PermanentError, match="webhook_without_secret") as caught:
        await social.enable_webhook(project)
    assert "dashboard" in caught.value.user_message


async def test_an_address_that_jollor_cannot_verify_is_refused(
    project: ProjectId, social: JollorSocial, receiver: Receiver
) -> None:
    await social.enable_webhook(project)
    receiver.status = 403
    with pytest.raises(PermanentError):
        await social.point_webhook(project, receiver.url)


async def test_a_webhook_that_cannot_be_looked_up_is_an_error_and_not_missing(
    jollor: SimulatedJollor, project: ProjectId, social: JollorSocial
) -> None:
    await jollor.down(DownMode.REFUSED)
    with pytest.raises(TargetDown):
        await social.webhook(project)
