"""`make screenshot`: plays a conversation on the demo's page and takes its picture for the README.

Needs Chromium, and for a picture like the one in the repository the fonts Inter and Noto Color Emoji.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from playwright.sync_api import Locator, Page, expect

from tests.demo_stage import Demo, find_chromium, open_page, running_browser, running_demo, write_as

PICTURE = Path(__file__).parents[1] / "docs" / "images" / "demo.png"
SIZE = {"width": 1440, "height": 900}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.screenshot", description=__doc__)
    parser.add_argument("--to", type=Path, default=PICTURE, help="where the picture goes")
    parser.add_argument("--dark", action="store_true", help="the page in the dark")
    given = parser.parse_args()
    if find_chromium() is None:
        print("No picture without a browser: install Chromium.", file=sys.stderr)
        return 1
    given.to.parent.mkdir(parents=True, exist_ok=True)
    scheme = "dark" if given.dark else "light"
    with (
        running_browser() as browser,
        running_demo() as demo,
        open_page(
            browser, demo, viewport=SIZE, color_scheme=scheme, locale="en-GB", reduced_motion="reduce"
        ) as page,
    ):
        play(page, demo)
        page.screenshot(path=given.to)
    print(f"{given.to}: {given.to.stat().st_size // 1024} kB")
    return 0


def play(page: Page, demo: Demo) -> None:
    """A question answered, a note that stayed inside, a fault on the wire."""
    write_as(page, "Robin", "Hi! Are you open on Sunday?")
    card = page.locator("#timeline .message").filter(has_text="Robin · Facebook")
    card.locator(".replies").click()
    persona = page.get_by_label("You are")
    mark(reply(page, "Yes, from eight to two. See you on Sunday!"), "white_check_mark")
    persona.select_option(label="Anna (admin)")
    mark(reply(page, "// Robin comes every week. Offer the new loaf?"), "lock")
    phone = page.get_by_role("textbox", name="Write as Robin")
    phone.fill("Great! Could you put a sourdough loaf aside for me?")
    phone.press("Enter")
    expect(page.locator("#thread .message", has_text="sourdough loaf")).to_be_visible()
    mark(reply(page, "Of course. It is waiting under your name 🥖"), "white_check_mark")
    expect(page.locator("#thread .message").first).to_contain_text("Answered")
    busy = page.get_by_role("switch", name="Slack answers 429")
    busy.click()
    write_as(page, "Ada Novak", "The new window display is lovely!", comment=True)
    page.locator("#people button", has_text="Robin").click()
    expect(page.locator("#wire .entry", has_text="429").first).to_be_visible()
    busy.click()
    expect(page.locator("#bridge-pill")).to_have_text("Bridge running")
    page.evaluate("document.activeElement.blur()")
    page.mouse.move(720, 22)


def reply(page: Page, text: str) -> Locator:
    box = page.get_by_role("textbox", name="Reply in thread")
    box.fill(text)
    box.press("Enter")
    return page.locator("#thread .message", has_text=text)


def mark(line: Locator, name: str) -> None:
    """Wait for the bridge's mark on a line."""
    expect(line.locator(f"[data-reaction={name}]")).to_be_visible()


if __name__ == "__main__":
    sys.exit(main())
