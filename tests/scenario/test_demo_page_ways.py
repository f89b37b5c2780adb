"""The demo's page for everybody: by keyboard alone, in the dark, on a narrow window; and what it draws."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.demo_stage import Demo, open_page, running_browser, running_demo

pytestmark = [pytest.mark.page, pytest.mark.timeout(120)]

DRAW = """async (blocks) => {
    const { drawBlocks } = await import("/page/blocks.js");
    const box = document.createElement("div");
    box.append(...drawBlocks(blocks, { channel: "C", ts: "1" }));
    return box.innerHTML;
}"""
LOOKS_FOCUSED = """() => {
    const active = document.activeElement;
    const box = active.closest(".composer-box") ?? active;
    const style = getComputedStyle(box);
    return style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 1;
}"""
FOCUS = "() => document.activeElement.dataset.focus ?? document.activeElement.textContent.trim()"


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


@pytest.fixture(scope="module")
def still(browser: Browser, demo: Demo) -> Iterator[Page]:
    """One page for tests that change nothing on it."""
    with open_page(browser, demo) as page:
        yield page


def tab_to(page: Page, wanted: str, *, most: int = 60) -> None:
    """Press Tab until the focus is on something whose `data-focus` or text starts so; always visibly."""
    passed = []
    for _ in range(most):
        page.keyboard.press("Tab")
        assert page.evaluate(LOOKS_FOCUSED), f"the focus cannot be seen on {page.evaluate(FOCUS)!r}"
        passed.append(page.evaluate(FOCUS))
        if passed[-1].startswith(wanted):
            return
    raise AssertionError(f"{wanted!r} was not reached by Tab, only {passed}")


def test_a_whole_round_works_by_keyboard_alone(page: Page, demo: Demo) -> None:
    keyboard = page.keyboard
    keyboard.press("n")
    expect(page.get_by_label("Name")).to_be_focused()
    keyboard.type("Klara")
    keyboard.press("Tab")  # the network: the first one
    keyboard.press("Tab")  # the project: the first one
    keyboard.press("Tab")  # a private message
    keyboard.press("Tab")
    keyboard.type("Do you have almond croissants?")
    keyboard.press("Tab")
    expect(page.get_by_role("button", name="Send", exact=True).first).to_be_focused()
    keyboard.press("Enter")

    card = page.locator("#timeline .message", has_text="almond croissants")
    replies = card.locator(".replies")
    expect(replies).to_be_visible()
    keyboard.press("F6")
    keyboard.press("F6")
    expect(page.get_by_role("region", name="Wire")).to_be_focused()
    keyboard.press("Shift+F6")
    expect(page.get_by_role("region", name="Slack")).to_be_focused()
    tab_to(page, str(replies.get_attribute("data-focus")))
    keyboard.press("Enter")
    expect(page.get_by_role("textbox", name="Reply in thread")).to_be_focused()
    keyboard.type("Fresh from the oven.")
    keyboard.press("Enter")
    line = page.locator("#thread .message", has_text="Fresh from the oven.")
    expect(line.locator("[data-reaction=white_check_mark]")).to_be_visible()
    expect(page.get_by_role("log", name="New messages")).to_contain_text(
        "Klara received: Fresh from the oven."
    )
    assert demo.received("Klara") == ["Fresh from the oven."]

    keyboard.press("Escape")
    expect(page.locator("#thread")).to_be_hidden()
    expect(replies).to_be_focused()
    keyboard.press("/")
    keyboard.type("jollor help")
    keyboard.press("Enter")
    expect(page.locator("#timeline .ephemeral", has_text="this overview")).to_be_visible()
    page.get_by_role("region", name="Wire").focus()
    tab_to(page, "mishap:profile_expired")
    keyboard.press("Enter")
    expect(page.get_by_role("menuitem", name="Harbour Bakery")).to_be_focused()
    keyboard.press("ArrowDown")
    keyboard.press("Enter")
    alert = page.locator("#timeline .message", has_text="North Pier Cinema lost its connection")
    expect(alert).to_be_visible()


def test_the_keys_are_listed_and_single_ones_can_be_switched_off(page: Page) -> None:
    page.keyboard.press("?")
    dialog = page.get_by_role("dialog", name="Keys")
    expect(dialog).to_contain_text("New message from a customer")
    dialog.get_by_label("Single keys work outside of text fields").uncheck()
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    page.keyboard.press("n")
    expect(page.get_by_label("Name")).to_be_hidden()


def test_every_control_has_a_name(page: Page) -> None:
    page.locator("#timeline .replies").first.click()
    page.get_by_role("button", name="New message").click()
    session = page.context.new_cdp_session(page)
    nodes = session.send("Accessibility.getFullAXTree")["nodes"]
    controls = {
        "button",
        "textbox",
        "searchbox",
        "combobox",
        "switch",
        "link",
        "checkbox",
        "radio",
        "menuitem",
    }
    found = [
        node for node in nodes if node.get("role", {}).get("value") in controls and not node.get("ignored")
    ]
    nameless = [node["role"]["value"] for node in found if not node.get("name", {}).get("value")]
    assert len(found) > 30
    assert nameless == []


def test_dark_follows_the_system_until_somebody_chooses(browser: Browser, demo: Demo) -> None:
    lightness = "() => Number(getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0])"
    with open_page(browser, demo, color_scheme="dark") as page:
        assert page.evaluate(lightness) < 60
        theme = page.get_by_role("button", name="Theme")
        theme.click()
        expect(theme).to_have_text("Theme: light")
        assert page.evaluate(lightness) > 200
        page.reload()
        expect(theme).to_have_text("Theme: light")
        assert page.evaluate(lightness) > 200


def test_a_narrow_window_shows_one_pane_at_a_time_and_nothing_beside_it(browser: Browser, demo: Demo) -> None:
    with open_page(browser, demo, viewport={"width": 400, "height": 780}) as page:
        panes = page.get_by_role("navigation", name="Panes")
        for name in ("Customers", "Wire", "Slack"):
            panes.get_by_role("button", name=name).click()
            expect(page.get_by_role("region", name=name, exact=True)).to_be_visible()
            expect(page.locator(".pane:visible")).to_have_count(1)
            assert page.evaluate("document.documentElement.scrollWidth") <= 400
        page.locator("#timeline .replies").first.click()
        expect(page.locator("#thread")).to_be_visible()
        expect(page.locator("#timeline")).to_be_hidden()


def test_all_three_panes_fit_on_1280_pixels(browser: Browser, demo: Demo) -> None:
    with open_page(browser, demo, viewport={"width": 1280, "height": 720}) as page:
        expect(page.locator(".pane:visible")).to_have_count(3)
        assert page.evaluate("document.documentElement.scrollWidth") <= 1280
        assert page.evaluate("document.documentElement.scrollHeight") <= 720


def test_the_stream_comes_back_by_itself(browser: Browser, demo: Demo) -> None:
    with open_page(browser, demo, tolerating="net::ERR_FAILED") as page:
        page.route("**/demo/api/events", lambda route: route.abort())
        page.reload()
        expect(page.get_by_role("alert").filter(has_text="Trying again")).to_be_visible()
        page.unroute("**/demo/api/events")
        expect(page.locator("#channels button")).not_to_have_count(0)
        expect(page.get_by_text("Trying again")).to_be_hidden()


def text(kind: str, words: str) -> dict[str, str]:
    return {"type": kind, "text": words}


@pytest.mark.parametrize(
    ("block", "drawn"),
    [
        ({"type": "video"}, '<span class="unknown">unknown block type: video</span>'),
        (
            {"type": "actions", "elements": [{"type": "datepicker", "action_id": "d"}]},
            '<span class="unknown">unknown element type: datepicker</span>',
        ),
        ({"type": "divider"}, "<hr>"),
        ({"type": "header", "text": text("plain_text", "*Hi*")}, '<p class="heading">*Hi*</p>'),
        (
            {"type": "section", "text": text("mrkdwn", "*bold* _it_ ~no~ `a*b*` 2*3*4 snake_case_x")},
            "<strong><span>bold</span></strong> <em><span>it</span></em> <s><span>no</span></s> "
            "<code>a*b*</code> 2*3*4 snake_case_x",
        ),
        (
            {"type": "section", "text": text("mrkdwn", "a &amp; b &lt;i&gt; **not bold**")},
            "a &amp; b &lt;i&gt; **not bold**",
        ),
        (
            {"type": "section", "text": text("mrkdwn", "<https://example.com/?a=1&amp;b=2|here> <!here>")},
            '<a href="https://example.com/?a=1&amp;b=2" target="_blank" rel="noopener noreferrer">here</a> '
            '<span class="mention loud">@here</span>',
        ),
        ({"type": "section", "text": text("mrkdwn", "<javascript:alert(1)|x>")}, "<span>x</span>"),
        (
            {"type": "section", "text": text("mrkdwn", "&gt; said\n&gt; so")},
            "<blockquote>said<br>so</blockquote>",
        ),
        ({"type": "section", "text": text("mrkdwn", "```\nx <b>\n```")}, "<pre>x &lt;b&gt;</pre>"),
        ({"type": "section", "text": text("plain_text", "*x* <!here>")}, "*x* &lt;!here&gt;"),
        ({"type": "markdown", "text": "**bold** and *it*"}, "<strong><span>bold</span></strong> and <em>"),
        (
            {"type": "image", "image_url": "https://example.com/a.png", "alt_text": "A cake"},
            '<span class="picture" role="img" aria-label="A cake">',
        ),
        (
            {
                "type": "rich_text",
                "elements": [
                    {
                        "type": "rich_text_list",
                        "style": "bullet",
                        "elements": [
                            {
                                "type": "rich_text_section",
                                "elements": [text("text", "<b>*x*") | {"style": {"bold": True}}],
                            }
                        ],
                    },
                    {"type": "rich_text_table"},
                ],
            },
            "<li><strong>&lt;b&gt;*x*</strong></li></ul>"
            '<span class="unknown">unknown rich text type: rich_text_table</span>',
        ),
    ],
)
def test_blocks_are_drawn_by_slacks_rules_and_unknown_ones_named(
    still: Page, block: dict[str, object], drawn: str
) -> None:
    assert drawn in still.evaluate(DRAW, [{"block_id": "b", **block}])
