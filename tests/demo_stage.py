"""The demo in a process of its own, and a browser to look at it with."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

ROOT = Path(__file__).parents[1]
PATIENCE_MS = 20_000
"""For what travels through the whole bridge on a busy machine; most of it is there in one or two seconds."""
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
QUIET_CHROMIUM = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
)


@dataclass(frozen=True)
class Demo:
    """A running demo: its process, and where its page is."""

    process: subprocess.Popen[str]
    url: str

    @property
    def state(self) -> dict[str, Any]:
        """What the page is told, as JSON."""
        with urllib.request.urlopen(f"{self.url}/demo/api/state", timeout=10) as answer:
            state: dict[str, Any] = json.load(answer)
            return state

    def received(self, customer: str) -> list[str]:
        """The texts that a customer with that name got."""
        return [
            message["text"]
            for each in self.state["customers"]
            for message in each["messages"]
            if each["customer"] == customer and not message["is_customer"]
        ]


def start_demo(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "sandbox.demo", "--no-browser", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def stop_demo(process: subprocess.Popen[str], how: signal.Signals = signal.SIGTERM) -> str:
    """Stop it and return the rest of what it said."""
    process.send_signal(how)
    said, _ = process.communicate(timeout=30)
    return said


@contextmanager
def running_demo(*arguments: str) -> Iterator[Demo]:
    """A demo on a free port, set up, its first messages on their way; stopped with SIGTERM, in peace."""
    process = start_demo("--port", "0", *arguments)
    assert process.stdout is not None
    said = []
    try:
        for line in process.stdout:
            said.append(line)
            if found := re.search(r"http://127\.0\.0\.1:\d+", line):
                yield Demo(process, found[0])
                return
        raise AssertionError(f"the demo ended with {process.wait(timeout=10)}:\n{''.join(said)}")
    finally:
        if process.poll() is None:
            said_last = stop_demo(process)
            assert process.returncode == 0, said_last
        else:
            process.stdout.close()


def find_chromium() -> str | None:
    """Where the system has Chromium, None if nowhere."""
    return next(filter(None, map(shutil.which, CHROMIUM)), None)


@contextmanager
def running_browser() -> Iterator[Browser]:
    """Chromium as the system has it; the test is skipped where there is none."""
    path = find_chromium()
    if path is None:
        pytest.skip(f"page tests need Chromium; none of {', '.join(CHROMIUM)} is installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(QUIET_CHROMIUM))
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def open_page(
    browser: Browser, demo: Demo, *, tolerating: str | None = None, **settings: Any
) -> Iterator[Page]:
    """The page in a context of its own; fails if it complained in the console (but `tolerating` that)."""
    expect.set_options(timeout=PATIENCE_MS)
    settings.setdefault("viewport", {"width": 1440, "height": 900})
    context = browser.new_context(**settings)
    context.set_default_timeout(PATIENCE_MS)
    complaints: list[str] = []
    page = context.new_page()
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    try:
        page.goto(demo.url)
        expect(page.locator("#channels button")).not_to_have_count(0)
        yield page
        assert [each for each in complaints if tolerating is None or tolerating not in each] == []
    finally:
        context.close()


def write_as(page: Page, name: str, text: str, *, comment: bool = False) -> None:
    """Let somebody write to the first project on Facebook."""
    page.get_by_role("button", name="New message").click()
    page.get_by_label("Name").fill(name)
    page.get_by_label("Public comment" if comment else "Private message").check()
    page.get_by_label("Text").fill(text)
    page.get_by_role("button", name="Send", exact=True).first.click()


def open_thread(page: Page, name: str) -> None:
    """Open the thread of a customer's conversation in the channel that is shown."""
    card = page.locator("#timeline .message").filter(has_text=f"{name} · Facebook")
    card.locator(".replies").click()


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
