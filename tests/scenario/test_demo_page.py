"""The demo's page, played in a real browser: what a newcomer does in the first minutes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.demo_stage import Demo, open_page, open_thread, running_browser, running_demo, write_as

pytestmark = [pytest.mark.page, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with running_browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def demo(browser: Browser) -> Iterator[Demo]:
    with running_demo() as demo:
        yield demo


@pytest.fixture
def page(browser: Browser, demo: Demo) -> Iterator[Page]:
    with open_page(browser, demo) as page:
        yield page


def test_the_first_steps_lead_from_a_question_to_an_answer_on_the_phone(page: Page, demo: Demo) -> None:
    tour = page.get_by_role("region", name="First steps")
    tour.get_by_role("button", name="Fill it in for me").click()
    page.keyboard.press("Enter")
    tour.get_by_role("button", name="Open the thread").click()
    thread = page.get_by_role("complementary", name="Thread")
    expect(thread.locator(".message", has_text="Robin · Facebook").last).to_contain_text("open on Sunday")
    tour.get_by_role("button", name="Write an answer for me").click()
    page.keyboard.press("Enter")

    mine = thread.locator(".message", has_text="from eight to two")
    expect(mine.get_by_role("img", name="Sent: Jollor took it")).to_be_visible()
    phone = page.locator("#phone .bubble.theirs", has_text="from eight to two")
    expect(phone).to_contain_text("from Slack")
    expect(tour).to_contain_text("It arrived")
    assert demo.received("Robin") == ["Yes, from eight to two. See you on Sunday!"]

    tour.get_by_role("button", name="Close first steps").click()
    expect(tour).to_be_hidden()
    page.reload()
    expect(page.get_by_role("button", name="First steps")).to_be_visible()
    expect(tour).to_be_hidden()


def test_an_internal_note_gets_a_lock_and_stays_inside(page: Page, demo: Demo) -> None:
    write_as(page, "Nora", "Is the oven on?")
    open_thread(page, "Nora")
    reply = page.get_by_role("textbox", name="Reply in thread")
    reply.fill("// she asks every week")
    reply.press("Enter")
    line = page.locator("#thread .message", has_text="she asks every week")
    expect(line.locator("[data-reaction=lock]")).to_be_visible()
    assert demo.received("Nora") == []


def test_a_comment_becomes_a_card_in_the_channel(page: Page) -> None:
    write_as(page, "Petra", "Lovely window display!", comment=True)
    card = page.locator("#timeline .message", has_text="Lovely window display!")
    expect(card).to_contain_text("Petra · Facebook · Harbour Bakery")
    expect(page.get_by_role("heading", name="Petra’s phone")).to_be_visible()


def test_jollor_projects_is_answered_to_the_one_who_asked(page: Page) -> None:
    page.get_by_label("You are").select_option(label="Anna (admin)")
    message = page.get_by_label("Message #harbour-bakery")
    message.fill("/")
    page.get_by_role("button", name="/jollor projects", exact=True).last.click()
    message.press("Enter")
    answer = page.locator("#timeline .message.ephemeral", has_text="Jollor: 2 projects")
    expect(answer).to_contain_text("Only visible to you")
    expect(answer.locator(".mention")).to_have_text(["#harbour-bakery", "#north-pier-cinema"])
    expect(answer.get_by_role("button", name="Link another channel")).to_have_count(2)

    page.get_by_label("You are").select_option(label="Ben (member)")
    expect(answer).to_have_count(0)


def test_a_menu_of_slack_really_links_a_channel(page: Page) -> None:
    page.get_by_label("You are").select_option(label="Anna (admin)")
    message = page.get_by_label("Message #harbour-bakery")
    message.fill("/jollor link North Pier Cinema")
    message.press("Enter")
    question = page.locator(
        "#timeline .message.ephemeral", has_text="Which channel should North Pier Cinema go to?"
    )
    question.get_by_role("button", name="Choose a channel").click()
    page.get_by_role("menuitem", name="#harbour-bakery").click()
    said = page.locator("#timeline .message.ephemeral", has_text="now goes to #harbour-bakery")
    expect(said).to_be_visible()


def test_an_expired_profile_raises_an_alert_that_a_press_clears(page: Page) -> None:
    page.get_by_role("button", name="A social profile expires").click()
    page.get_by_role("menuitem", name="Harbour Bakery").click()
    alert = page.locator(
        "#timeline .message", has_text="A social profile of Harbour Bakery lost its connection"
    )
    alert.get_by_role("button", name="Mark as reconnected").click()
    cleared = page.locator("#timeline .message", has_text="Marked by").filter(has_text="Harbour Bakery")
    expect(cleared).to_contain_text("@Ben")
    expect(page.get_by_role("button", name="Mark as reconnected")).to_have_count(0)


def test_what_a_customer_writes_is_text_and_nothing_else(page: Page) -> None:
    hostile = '<img src=x onerror="document.title=1"> <!channel> *bold* <b>b</b>'
    write_as(page, "Eve <b>", hostile)
    card = page.locator("#timeline .message", has_text="onerror").first
    expect(card).to_contain_text(hostile)
    expect(page.locator("#phone .bubble.mine p")).to_have_text([hostile])
    expect(card.locator("strong", has_text="bold")).to_have_count(0)
    expect(page.locator("#panes img, #panes b, #panes .mention.loud")).to_have_count(0)
    expect(page).to_have_title("jollor-slack demo")


def test_slash_commands_in_threads_are_refused_as_slack_refuses_them(page: Page) -> None:
    write_as(page, "Theo", "Do you deliver?")
    open_thread(page, "Theo")
    reply = page.get_by_role("textbox", name="Reply in thread")
    reply.fill("/jollor status")
    reply.press("Enter")
    expect(page.get_by_role("alert").filter(has_text="do not work in threads")).to_be_visible()
    expect(reply).to_have_value("/jollor status")


def test_a_line_can_be_taken_back_before_it_goes_out(page: Page, demo: Demo) -> None:
    write_as(page, "Uma", "Any jobs?")
    open_thread(page, "Uma")
    reply = page.get_by_role("textbox", name="Reply in thread")
    reply.fill("No, never!")
    reply.press("Enter")
    line = page.locator("#thread .message", has_text="No, never!")
    line.hover()
    line.get_by_role("button", name="More actions").click()
    page.get_by_role("menuitem", name="Delete message").click()
    expect(line).to_have_count(0)
    reply.fill("Yes, ask for Maren.")
    reply.press("Enter")
    sent = page.locator("#thread .message", has_text="ask for Maren")
    expect(sent.locator("[data-reaction=white_check_mark]")).to_be_visible()
    assert demo.received("Uma") == ["Yes, ask for Maren."]


def test_a_line_can_be_held_back_from_its_menu(page: Page, demo: Demo) -> None:
    write_as(page, "Wim", "Any news?")
    open_thread(page, "Wim")
    reply = page.get_by_role("textbox", name="Reply in thread")
    reply.fill("None of your business")
    reply.press("Enter")
    line = page.locator("#thread .message", has_text="None of your business")
    line.hover()
    line.get_by_role("button", name="More actions").click()
    page.get_by_role("menuitem", name="Hold back").click()
    expect(line.locator("[data-reaction=lock]")).to_be_visible()
    assert demo.received("Wim") == []


def test_a_colleagues_answer_from_the_dashboard_appears_in_the_thread_with_its_label(page: Page) -> None:
    write_as(page, "Vera", "Hello?")
    open_thread(page, "Vera")
    page.get_by_label("Write as", exact=True).select_option("dashboard")
    elsewhere = page.get_by_label("Write on the project’s behalf")
    elsewhere.fill("Hello Vera, from the dashboard.")
    elsewhere.press("Enter")
    line = page.locator("#thread .message", has_text="Hello Vera, from the dashboard.")
    expect(line).to_contain_text("sent from the Jollor dashboard")
    expect(page.locator("#phone .bubble.theirs")).to_contain_text("from Jollor’s dashboard")
