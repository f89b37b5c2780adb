"""The demo's page when things go wrong at the push of a button: the bridge killed, answers lost …"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.demo_stage import Demo, is_alive, open_page, open_thread, running_browser, running_demo, write_as

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


def switch(page: Page, name: str) -> Locator:
    return page.get_by_role("switch", name=name)


def reply(page: Page, text: str) -> Locator:
    """Answer in the open thread; return the line."""
    box = page.get_by_role("textbox", name="Reply in thread")
    box.fill(text)
    box.press("Enter")
    return page.locator("#thread .message", has_text=text).first


def test_what_is_written_while_the_bridge_is_dead_arrives_once_it_is_back(page: Page, demo: Demo) -> None:
    pid = demo.state["bridge"]["pid"]
    page.get_by_role("button", name="Kill it").click()
    expect(page.locator("#bridge-card")).to_contain_text("killed (SIGKILL)")
    expect(page.locator("#bridge-pill")).to_have_text("Bridge stopped")
    assert not is_alive(pid)

    write_as(page, "Dora", "Is anybody there?")
    refused = page.locator("#wire .entry.bad[data-operation=message_received]").first
    expect(refused).to_contain_text("Jollor → Bridge")
    page.get_by_role("button", name="Start again").click()
    expect(page.locator("#bridge-pill")).to_have_text("Bridge running")
    expect(page.locator("#timeline .message", has_text="Is anybody there?").first).to_be_visible()
    assert demo.state["bridge"]["pid"] != pid


def test_a_lost_answer_is_marked_as_unsure_and_not_sent_twice(page: Page, demo: Demo) -> None:
    write_as(page, "Lena", "Can I order a cake?")
    open_thread(page, "Lena")
    lost = switch(page, "Lose the answer to the next reply")
    lost.click()
    expect(lost).to_be_checked()
    reply(page, "Gladly! Which one?")
    expect(page.locator("#phone .bubble.theirs", has_text="Gladly! Which one?")).to_be_visible()
    entry = page.locator("#wire .entry.bad[data-operation=createMessageReply]").first
    expect(entry).to_contain_text("cut after")
    expect(lost).not_to_be_checked()
    line = page.locator("#thread .message", has_text="Gladly! Which one?").first
    expect(line.locator("[data-reaction=warning], [data-reaction=white_check_mark]")).to_be_visible()
    assert demo.received("Lena") == ["Gladly! Which one?"]


def test_messages_wait_while_slack_says_429_and_none_is_lost(page: Page) -> None:
    busy = switch(page, "Slack answers 429")
    busy.click()
    write_as(page, "Mia", "Is the café open?")
    entry = page.locator("#wire .entry.bad[data-operation='chat.postMessage']").first
    expect(entry).to_contain_text("429")
    expect(page.locator("#bridge-pill")).to_contain_text("1 fault on")
    expect(page.locator("#timeline .message", has_text="Is the café open?")).to_have_count(0)
    busy.click()
    expect(page.locator("#timeline .message", has_text="Is the café open?").first).to_be_visible()


def test_everything_three_times_still_appears_once(page: Page, demo: Demo) -> None:
    triple = switch(page, "Everything arrives three times")
    triple.click()
    write_as(page, "Otis", "Only once, please")
    open_thread(page, "Otis")
    thread = page.locator("#thread .message")
    expect(thread.filter(has_text="Otis · Facebook").filter(has_text="Only once, please")).to_have_count(2)
    line = reply(page, "Once it is.")
    expect(line.locator("[data-reaction=white_check_mark]")).to_be_visible()
    triple.click()
    assert demo.received("Otis") == ["Once it is."]


def test_an_answer_written_while_jollor_is_down_goes_out_when_it_is_back(page: Page, demo: Demo) -> None:
    write_as(page, "Paul", "Is the market on?")
    open_thread(page, "Paul")
    down = switch(page, "Jollor is down")
    down.click()
    line = reply(page, "Every Friday.")
    expect(line.locator("[data-reaction=hourglass_flowing_sand]")).to_be_visible()
    assert demo.received("Paul") == []
    down.click()
    expect(line.locator("[data-reaction=white_check_mark]")).to_be_visible(timeout=60_000)
    assert demo.received("Paul") == ["Every Friday."]


def test_expired_api_tokens_are_renewed_without_anybody_noticing(page: Page, demo: Demo) -> None:
    page.get_by_role("button", name="Jollor’s API tokens expire").click()
    write_as(page, "Quin", "Gluten-free?")
    open_thread(page, "Quin")
    line = reply(page, "On Mondays.")
    expect(line.locator("[data-reaction=white_check_mark]")).to_be_visible()
    expect(page.locator("#wire .entry.bad").filter(has_text="401").first).to_be_visible()
    assert demo.received("Quin") == ["On Mondays."]


def test_the_wire_can_be_filtered_held_and_cleared(page: Page) -> None:
    entries = page.locator("#wire .entry")
    write_as(page, "Rosa", "One")
    expect(entries.filter(has_text="message_received").first).to_be_visible()
    page.get_by_label("Filter requests by words").fill("message_received")
    expect(entries.filter(has_not_text="message_received")).to_have_count(0)
    page.get_by_label("Filter requests by words").fill("")
    page.get_by_label("Which requests").select_option("slack")
    expect(page.locator("#wire .entry.jollor")).to_have_count(0)
    page.get_by_label("Which requests").select_option("all")

    page.get_by_role("button", name="Pause").click()
    page.get_by_role("button", name="Clear").click()
    expect(entries).to_have_count(0)
    write_as(page, "Rosa", "Two")
    expect(page.get_by_role("button", name=re.compile(r"Go on \(\d+\)"))).to_be_visible()
    expect(entries).to_have_count(0)
    page.get_by_role("button", name="Go on").click()
    told = page.locator("#wire .entry.good[data-operation=message_received]").last
    told.locator("summary").click()
    expect(told.locator(".path")).to_contain_text("POST /webhooks/jollor/")


def test_secrets_are_dots_on_the_wire(page: Page) -> None:
    page.get_by_label("Filter requests by words").fill("challenge=")
    expect(page.locator("#wire .entry .path").first).to_contain_text("challenge=•••")
