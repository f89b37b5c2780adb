"""Posts, rendering, AI and media of the simulated Jollor, over real HTTP."""

from collections.abc import AsyncIterator

import pytest

from sandbox.clock import SandboxClock
from sandbox.jollor import SimulatedJollor
from sandbox.jollor.model import Project
from sandbox.jollor.switches import RenderForm
from tests.sandbox_jollor_support import Caller, calling, hooked, receiving


@pytest.fixture
async def jollor() -> AsyncIterator[SimulatedJollor]:
    running = await SimulatedJollor.start(clock=SandboxClock(100))
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


async def test_only_incoming_posts_are_in_the_inbox(
    jollor: SimulatedJollor, bakery: Project, caller: Caller
) -> None:
    comment = jollor.comment(bakery, "facebook", "Robin", "Lovely!")
    own = jollor.own_post(bakery, "twitter", "New bread")
    listed = await caller.call("GET", f"/projects/{bakery.id}/posts/incoming")
    assert [item["id"] for item in listed.items] == [comment.id]
    assert (await caller.call("GET", f"/posts/{own.id}")).member["is_incoming"] is False


async def test_a_post_has_the_documented_members_and_no_others(
    jollor: SimulatedJollor, bakery: Project, caller: Caller
) -> None:
    post = jollor.comment(bakery, "facebook", "Robin", "Lovely!")
    shown = (await caller.call("GET", f"/posts/{post.id}")).member
    assert set(shown) == {"id", "provider", "is_incoming", "_links"}
    jollor.switches.post_members = True
    assert (await caller.call("GET", f"/posts/{post.id}")).member["text"] == "Lovely!"


async def test_tagged_posts_are_found_by_tag(
    jollor: SimulatedJollor, bakery: Project, caller: Caller
) -> None:
    praise = jollor.comment(bakery, "facebook", "Robin", "Lovely!", tags=["praise"])
    jollor.comment(bakery, "facebook", "Robin", "Hm", tags=["other"])
    jollor.comment(bakery, "facebook", "Robin", "untagged")
    path = f"/projects/{bakery.id}/posts/tagged"
    assert [item["id"] for item in (await caller.call("GET", f"{path}?tag=praise")).items] == [praise.id]
    assert len((await caller.call("GET", path)).items) == 2


async def test_a_reply_is_seen_by_the_public_and_read_back(
    jollor: SimulatedJollor, bakery: Project, caller: Caller
) -> None:
    post = jollor.comment(bakery, "facebook", "Robin", "Lovely!")
    answer = await caller.call("POST", f"/post/{post.id}/replies", {"text": "Thank you"})
    reply_id = answer.member["id"]
    assert jollor.seen_under(post) == ["Thank you"]
    assert (await caller.call("GET", f"/messages/{reply_id}")).member["text"] == "Thank you"
    assert (await caller.call("GET", f"/posts/{reply_id}")).status == 200
    jollor.switches.post_reply_is_message = jollor.switches.post_reply_is_post = False
    assert (await caller.call("GET", f"/messages/{reply_id}")).status == 404
    assert (await caller.call("GET", f"/posts/{reply_id}")).status == 404


async def test_a_reply_obeys_the_capabilities(
    jollor: SimulatedJollor, bakery: Project, caller: Caller
) -> None:
    post = jollor.comment(bakery, "facebook", "Robin", "Lovely!")
    post.reply_length = 3
    told = (await caller.call("GET", f"/posts/{post.id}/capabilities")).member
    assert told["reply"] == {"allowed": True, "reply_length": 3}
    assert (await caller.call("POST", f"/post/{post.id}/replies", {"text": "four"})).status == 400
    post.reply_allowed = False
    assert (await caller.call("POST", f"/post/{post.id}/replies", {"text": "ok"})).status == 400
    assert jollor.seen_under(post) == []


async def test_posts_of_others_are_closed(jollor: SimulatedJollor, caller: Caller) -> None:
    theirs = jollor.comment(jollor.add_project("Other"), "facebook", "Robin", "Lovely!")
    assert (await caller.call("GET", f"/posts/{theirs.id}")).status == 403
    assert (await caller.call("GET", "/posts/nothing")).status == 404


async def test_posts_are_announced(jollor: SimulatedJollor, bakery: Project, caller: Caller) -> None:
    async with receiving() as receiver:
        await hooked(caller, bakery, receiver, "post_received", "post_created", "post_published")
        comment = jollor.comment(bakery, "facebook", "Robin", "Lovely!")
        jollor.own_post(bakery, "twitter", "New bread")
        jollor.own_post(bakery, "twitter", "A draft", published=False)
        await caller.call("POST", f"/post/{comment.id}/replies", {"text": "Thank you"})
        await receiver.until(6)
        assert sorted(receiver.types) == ["post_created"] * 3 + ["post_published"] * 2 + ["post_received"]


@pytest.mark.parametrize(
    ("form", "content_type", "body"),
    [
        (RenderForm.EMPTY, "application/json", "{}"),
        (RenderForm.STRING, "application/json", '"<p>Lovely &amp; warm</p>"'),
        (RenderForm.HTML, "text/html", "<p>Lovely &amp; warm</p>"),
        (RenderForm.OBJECT, "application/json", '{"html": "<p>Lovely &amp; warm</p>"}'),
    ],
)
async def test_rendering_answers_in_the_form_of_the_switch(
    jollor: SimulatedJollor, bakery: Project, caller: Caller, form: RenderForm, content_type: str, body: str
) -> None:
    jollor.switches.render_form = form
    post = jollor.comment(bakery, "facebook", "Robin", "Lovely & warm")
    message = jollor.customer_writes(bakery, "facebook", "Robin", "Lovely & warm")
    for path in (f"/render/post/{post.id}", f"/render/message/{message.id}"):
        answer = await caller.call("POST", path, {"pending_selected_providers": ["facebook"]})
        assert (answer.status, answer.content_type, answer.text) == (200, content_type, body)
        assert (await caller.call("POST", path)).status == 200


async def test_given_markup_is_rendered_as_it_is(
    jollor: SimulatedJollor, bakery: Project, caller: Caller
) -> None:
    jollor.switches.render_form = RenderForm.HTML
    post = jollor.comment(bakery, "facebook", "Robin", "x", html="<ul><li>x<script>1</script></ul>")
    assert (await caller.call("POST", f"/render/post/{post.id}")).text == post.html


async def test_suggestions_translation_and_media(
    jollor: SimulatedJollor, bakery: Project, caller: Caller
) -> None:
    message = jollor.customer_writes(bakery, "facebook", "Robin", "Offen?")
    suggestions = (await caller.call("GET", f"/suggestions/{message.id}?style=official")).items
    assert all(isinstance(item["suggestion"], str) for item in suggestions)
    translate = f"/projects/{bakery.id}/translate"
    order = {"text": "Offen?", "out_lang_code": "en"}
    assert (await caller.call("POST", translate, {**order})).json == "[en] Offen?"
    jollor.switches.translation_as_object = True
    assert (await caller.call("POST", translate, {**order})).json == {"text": "[en] Offen?"}
    assert (await caller.call("POST", translate, {"text": "Offen?"})).status == 400
    media = f"/projects/{bakery.id}/media/new"
    assert (await caller.call("GET", f"{media}?purpose=fb&extension=jpg")).json == {}
    assert (await caller.call("GET", f"{media}?purpose=fb")).status == 400
    jollor.switches.media_ticket = True
    assert set((await caller.call("GET", f"{media}?purpose=fb&extension=jpg")).member) == {"id", "url"}
