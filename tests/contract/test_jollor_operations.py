"""Every operation of the API description over HTTP, with good answers and with bent ones."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from pydantic import JsonValue

from jollor import operations as op
from jollor.errors import BadAnswer, NotFound
from jollor.models import Rows, WireReplyCreated
from jollor.protocol import Call
from jollor.webhooks import WebhookEvent, read_events
from sandbox.clock import SandboxClock
from sandbox.jollor import SimulatedJollor
from sandbox.jollor.model import Dialogue, Message, Post, Project
from sandbox.jollor.switches import LengthAt, Newness, RenderForm
from tests.jollor_support import Connected, connected
from tests.sandbox_jollor_support import receiving


@dataclass
class World:
    """A project with one of everything."""

    connected: Connected
    project: Project
    message: Message
    dialogue: Dialogue
    post: Post
    callback_url: str

    @property
    def jollor(self) -> SimulatedJollor:
        return self.connected.jollor

    def calls(self) -> dict[str, Call[object]]:
        """Every operation but the token grants, by its operationId, in an order in which they all succeed."""
        project, message, post = self.project.id, self.message.id, self.post.id
        conversation, agency = self.message.conversation.id, self.project.agency_id
        calls: list[Call[object]] = [
            op.get_current_user(),
            op.list_agencies(),
            op.get_agency(agency),
            op.list_agency_projects(agency),
            op.get_project(project),
            op.list_conversations(project),
            op.list_conversation_messages(project, conversation, 1000),
            op.create_message_reply(project, "zalo", conversation, "hello"),
            op.list_dialogue_messages(project, self.dialogue.id, 1000),
            op.close_dialogue(project, self.dialogue.id),
            op.get_message(project, message),
            op.get_message_capabilities(project, message),
            op.list_incoming_posts(project),
            op.list_tagged_posts(project, "vip"),
            op.get_post(project, post),
            op.get_post_capabilities(project, post),
            op.create_post_reply(project, post, "thanks"),
            op.render_message(project, message, ["zalo"]),
            op.render_post(project, post, ["twitter"]),
            op.get_suggestions(project, message, "official"),
            op.rate_automatic_reply(project, message, is_good=True),
            op.translate_text(project, "Hallo", "en"),
            op.new_media(project, "fb", "jpg"),
            op.enable_webhook(project),
            op.get_webhook(project),
            op.update_webhook(project, self.callback_url),
            op.subscribe_event(project, "post_received"),
            op.unsubscribe_event(project, "post_received"),
            op.get_test_webhook(project, "post_received"),
            op.send_test_webhook(project, "post_received"),
            op.delete_webhook(project),
        ]
        return {call.request.operation: call for call in calls}


MEMBERS = [
    "screen_name",
    "name",
    "roles",
    "_links",
    "provider",
    "last_message_at",
    "sent_at",
    "is_incoming",
    "sender",
    "recipient",
    "text",
    "author",
    "published_at",
    "message_id",
    "post_id",
    "reply",
    "max_reply_length",
    "attachment_formats",
    "suggestion",
    "url",
    "verify_token",
    "callback_url",
    "status",
    "subscriptions",
    "project_id",
    "events",
    "post_received",
    "html",
    "token_type",
    "scope",
    "expire_in",
]


@pytest.fixture
async def world() -> AsyncIterator[World]:
    jollor = await SimulatedJollor.start(clock=SandboxClock(1000))
    project = jollor.add_project("Harbour Bakery")
    conversation_id = "t_5/55=+%2F ü?#&" + "x" * 200
    jollor.customer_writes(project, "zalo", "Robin Example", "one", announced=False)  # another conversation
    message = jollor.customer_writes(project, "zalo", "Kim Example", "Are you open?", conversation_id)
    dialogue = jollor.start_dialogue(message.conversation)
    jollor.customer_writes(project, "zalo", "Kim Example", "Hello?", conversation_id)
    post = jollor.comment(project, "twitter", "Sam Example", "Great bread!", tags=["vip"])
    async with receiving() as receiver, connected(jollor) as client:
        yield World(client, project, message, dialogue, post, receiver.url)
    await jollor.stop()


async def test_every_operation_of_the_api_succeeds(world: World) -> None:
    calls = world.calls()
    for call in calls.values():
        await world.connected.client.send(call)
    described = {operation.name for operation in world.jollor.operations}
    assert set(calls) | {"createToken"} == described
    assert all(world.connected.asked(operation) for operation in described)


async def test_what_jollor_answers_is_read(world: World) -> None:
    send, project = world.connected.client.send, world.project.id
    assert (await send(op.get_current_user())).screen_name == "harbour_community"
    (agency,) = await send(op.list_agencies())
    assert (agency.name, agency.roles) == ("Harbour Agency", ("member",))
    assert [one.name for one in await send(op.list_agency_projects(agency.id))] == ["Harbour Bakery"]
    assert (await send(op.get_project(project))).name == "Harbour Bakery"
    conversations = await send(op.list_conversations(project))
    assert {one.provider for one in conversations} == {"zalo"}
    assert world.message.conversation.id in {one.conversation_id for one in conversations}
    message = await send(op.get_message(project, world.message.id))
    assert (message.text, message.is_incoming) == ("Are you open?", True)
    assert message.sender is not None
    assert message.sender.name == "Kim Example"
    assert message.sent_at is not None
    assert abs((message.sent_at - world.message.sent_at).total_seconds()) < 0.001
    suggestions = await send(op.get_suggestions(project, world.message.id, "official"))
    assert all(one.suggestion for one in suggestions)
    assert await send(op.translate_text(project, "Hallo", "en"))


async def test_a_conversation_whose_id_is_hostile_to_urls_is_read_and_answered(world: World) -> None:
    conversation = world.message.conversation
    rows = await world.connected.client.send(
        op.list_conversation_messages(world.project.id, conversation.id, 1000)
    )
    assert [row.text for row in rows] == ["Are you open?", "Hello?"]
    text = 'Yes, "Sunday" 8–12 \\ 🥐\n'
    reply = op.create_message_reply(world.project.id, "zalo", conversation.id, text)
    assert await world.connected.client.send(reply) == WireReplyCreated()
    assert world.jollor.received_by_customer(conversation) == [text]


@pytest.mark.parametrize("status", [200, 201, 202, 204])
async def test_a_reply_is_accepted_with_any_2xx(world: World, status: int) -> None:
    world.jollor.switches.reply_status = status
    conversation = world.message.conversation
    await world.connected.client.send(
        op.create_message_reply(world.project.id, "zalo", conversation.id, "hi")
    )
    assert world.jollor.received_by_customer(conversation) == ["hi"]


@pytest.mark.parametrize("how", ["missing", "null", "mistyped", "unknown"])
async def test_no_member_but_an_id_is_needed(world: World, how: str) -> None:
    switches = world.jollor.switches
    await world.connected.auth.bearer(world.project.id)
    bent = {f"*.{name}" for name in MEMBERS}
    switches.missing_members = bent if how == "missing" else set()
    switches.null_members = bent if how == "null" else set()
    switches.mistyped_members = bent if how == "mistyped" else set()
    switches.unknown_members = how == "unknown"
    for operation, call in world.calls().items():
        if operation == "getTestWebhook":
            continue  # its answer is taken as it is; the next test reads it
        read = await world.connected.client.send(call)
        if operation == "getSuggestions" and how in ("missing", "null", "mistyped"):
            assert isinstance(read, Rows)
            assert (len(read), read.left_out) == (0, 2)


async def test_a_test_sample_is_understood_as_a_delivery(world: World) -> None:
    sample = await world.connected.client.send(op.get_test_webhook(world.project.id, "post_received"))
    (event,) = read_events(sample).events
    assert isinstance(event, WebhookEvent)
    assert (event.type, event.project_id) == ("post_received", world.project.id)


@pytest.mark.parametrize("how", ["missing", "null", "mistyped"])
async def test_without_its_id_a_row_is_left_out_and_an_object_is_a_bad_answer(world: World, how: str) -> None:
    await world.connected.auth.bearer(world.project.id)
    getattr(world.jollor.switches, f"{how}_members").update({"*.id", "*.conversation_id"})
    outcomes = {}
    for operation, call in world.calls().items():
        try:
            read = await world.connected.client.send(call)
        except BadAnswer:
            outcomes[operation] = "bad"
        else:
            outcomes[operation] = "left out" if isinstance(read, Rows) and read.left_out else "fine"
    assert {name for name, outcome in outcomes.items() if outcome == "bad"} == {
        "getCurrentUser",
        "getAgency",
        "getProject",
        "getMessage",
        "getPost",
    }
    assert {name for name, outcome in outcomes.items() if outcome == "left out"} == {
        "listAgencies",
        "listAgencyProjects",
        "listConversations",
        "listConversationMessages",
        "listDialogueMessages",
        "listIncomingPosts",
        "listTaggedPosts",
    }


async def test_numbers_as_ids_are_compared_as_strings(world: World) -> None:
    world.jollor.switches.numeric_ids = True
    message = world.jollor.customer_writes(world.project, "zalo", "Kim Example", "numbered")
    assert (await world.connected.client.send(op.get_message(world.project.id, message.id))).id == message.id


@pytest.mark.parametrize(
    ("where", "longest"), [(place, 900) for place in LengthAt if place is not LengthAt.NOWHERE]
)
async def test_the_longest_reply_is_found_in_every_place(world: World, where: LengthAt, longest: int) -> None:
    world.jollor.switches.message_length_at = world.jollor.switches.post_length_at = where
    world.message.conversation.max_reply_length = world.post.reply_length = longest
    send, project = world.connected.client.send, world.project.id
    assert (await send(op.get_message_capabilities(project, world.message.id))).longest_reply == longest
    assert (await send(op.get_post_capabilities(project, world.post.id))).longest_reply == longest


async def test_a_length_that_is_nowhere_is_not_known(world: World) -> None:
    world.jollor.switches.message_length_at = LengthAt.NOWHERE
    capabilities = await world.connected.client.send(
        op.get_message_capabilities(world.project.id, world.message.id)
    )
    assert (capabilities.longest_reply, capabilities.reply.allowed) == (None, True)


@pytest.mark.parametrize("form", RenderForm)
async def test_rendered_markup_is_taken_in_every_form(world: World, form: RenderForm) -> None:
    world.jollor.switches.render_form = form
    markup = await world.connected.client.send(op.render_post(world.project.id, world.post.id, ["twitter"]))
    expected: dict[RenderForm, JsonValue] = {
        RenderForm.EMPTY: {},
        RenderForm.STRING: "<p>Great bread!</p>",
        RenderForm.HTML: "<p>Great bread!</p>",
        RenderForm.OBJECT: {"html": "<p>Great bread!</p>"},
    }
    assert markup == expected[form]


@pytest.mark.parametrize("as_object", [False, True])
async def test_a_translation_may_come_in_an_object(world: World, as_object: bool) -> None:
    world.jollor.switches.translation_as_object = as_object
    assert isinstance(
        await world.connected.client.send(op.translate_text(world.project.id, "Hallo", "en")), str
    )


async def test_a_media_ticket_is_read_if_there_is_one(world: World) -> None:
    world.jollor.switches.media_ticket = True
    ticket = await world.connected.client.send(op.new_media(world.project.id, "fb", "jpg"))
    assert ticket.id or ticket.url


@pytest.mark.parametrize("order", Newness)
async def test_lists_come_in_any_order(world: World, order: Newness) -> None:
    world.jollor.switches.message_order = world.jollor.switches.conversation_order = order
    conversation = world.message.conversation.id
    rows = await world.connected.client.send(
        op.list_conversation_messages(world.project.id, conversation, 1000)
    )
    assert {row.text for row in rows} == {"Are you open?", "Hello?"}


async def test_closing_twice_is_done_or_refused_as_jollor_likes(world: World) -> None:
    close = op.close_dialogue(world.project.id, world.dialogue.id)
    await world.connected.client.send(close)
    await world.connected.client.send(close)
    world.jollor.switches.close_twice_status = 404
    with pytest.raises(NotFound):
        await world.connected.client.send(close)
