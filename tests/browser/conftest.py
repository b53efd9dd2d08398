# SPDX-License-Identifier: Apache-2.0
"""The HTML report in Debian's Chromium, which has no network: pages come from the command named in OSPROFILER_BIN.

Whatever the page logs, throws or requests beside its own file fails the test. OSPROFILER_SCREENSHOTS may name a folder
for pictures of what was tested.
"""

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures"
CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

DESKTOP = {"width": 1280, "height": 800}
PHONE = {"width": 390, "height": 844}


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Start Chromium in a network namespace of its own, where there is not even a loopback."""
    offline = "unshare --net" if os.geteuid() == 0 else "unshare --map-root-user --net"
    launcher = tmp_path_factory.mktemp("chromium") / "chromium"
    launcher.write_text(f'#!/bin/sh\nexec {offline} -- {CHROMIUM} "$@"\n')
    launcher.chmod(0o755)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=str(launcher), args=ARGUMENTS)
        yield chromium
        chromium.close()


@dataclass
class Reports:
    """Makes HTML reports and opens them; each opened page is watched until the test ends."""

    browser: Browser
    folder: Path
    faults: list[str] = field(default_factory=list)
    contexts: list = field(default_factory=list)

    def make(self, trace: Path) -> Path:
        """Write the report of a file of notifications with the command."""
        page = self.folder / f"{trace.stem}.html"
        command = [os.environ["OSPROFILER_BIN"], "trace", "show", str(trace), "--html", "-o", str(page)]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
        return page

    def open(self, trace: Path, *, viewport: dict = DESKTOP, scheme: str = "light") -> Page:
        """Open the report of a file of notifications and wait until it is painted."""
        address = self.make(trace).as_uri()
        context = self.browser.new_context(viewport=viewport, color_scheme=scheme)
        self.contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: self.faults.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: self.faults.append(f"error: {error}"))
        page.on("request", lambda request: self._judge(request.url, address))
        page.goto(address)
        page.wait_for_selector("html[data-ready]")
        settle(page)
        return page

    def fixture(self, name: str, **options: object) -> Page:
        """Open the report of a recorded trace."""
        return self.open(FIXTURES / f"{name}.jsonl", **options)

    def drawn(self, *lines: dict, name: str = "drawn", **options: object) -> Page:
        """Open the report of these notifications."""
        trace = self.folder / f"{name}.jsonl"
        trace.write_text("".join(json.dumps(line) + "\n" for line in lines))
        return self.open(trace, **options)

    def _judge(self, url: str, address: str) -> None:
        if url not in (address, "data:,"):
            self.faults.append(f"request: {url[:200]}")


@pytest.fixture
def reports(browser: Browser, tmp_path: Path) -> Iterator[Reports]:
    """Give reports whose pages must neither log, nor throw, nor request."""
    made = Reports(browser, tmp_path)
    yield made
    for context in made.contexts:
        context.close()
    assert made.faults == []


def settle(page: Page) -> None:
    """Wait until what was asked for is painted."""
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def press(page: Page, *keys: str) -> None:
    """Press keys one after another."""
    for key in keys:
        page.keyboard.press(key)
    settle(page)


def rows(page: Page) -> list[str]:
    """Read the rows in sight, from top to bottom."""
    return [" ".join(text.split()) for text in page.locator(".row:visible").all_inner_texts()]


def selected(page: Page) -> str:
    """Read the selected row; screen readers are told the same row."""
    row = page.locator(f"#{page.locator('#rows').get_attribute('aria-activedescendant')}")
    assert row.get_attribute("aria-selected") == "true"
    return " ".join(row.inner_text().split())


def details(page: Page) -> str:
    """Read the panel beside the rows."""
    return page.locator("#details").inner_text()


def picture(page: Page, name: str) -> None:
    """Keep a picture, if somebody wants them."""
    folder = os.environ.get("OSPROFILER_SCREENSHOTS")
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=str(Path(folder) / f"{name}.png"))


def notification(kind: str, trace_id: str, parent_id: str, micros: int, info: dict | None = None, **also: str) -> dict:
    """Make one notification; `kind` is its full name."""
    seconds, fraction = divmod(micros, 1_000_000)
    moment = f"2026-01-01T00:{seconds // 60:02}:{seconds % 60:02}.{fraction:06}"
    told = {"name": kind, "base_id": "B", "trace_id": trace_id, "parent_id": parent_id, "timestamp": moment}
    return told | {"info": {"host": "h"} | (info or {}), "project": "p", "service": "s"} | also
