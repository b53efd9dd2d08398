# SPDX-License-Identifier: Apache-2.0
"""Making HTML reports with the command named in OSPROFILER_BIN, opening them, and reading what they show.

OSPROFILER_SCREENSHOTS may name a folder for pictures of what was tested.
"""

import json
import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from playwright.sync_api import Browser, Page

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures"
DESKTOP = {"width": 1280, "height": 800}
PHONE = {"width": 390, "height": 844}


@dataclass
class Reports:
    """Makes HTML reports and opens them; each opened page is watched until the test ends."""

    browser: Browser
    folder: Path
    # How long anything may take.
    milliseconds: float
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
        return self.visit(self.make(trace), "html[data-ready]", viewport=viewport, scheme=scheme)

    def visit(self, path: Path, ready: str, *, viewport: dict = DESKTOP, scheme: str = "light") -> Page:
        """Open a page and wait until what the selector `ready` means is in sight."""
        address = path.as_uri()
        context = self.browser.new_context(viewport=viewport, color_scheme=scheme)
        context.set_default_timeout(self.milliseconds)
        self.contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: self.faults.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: self.faults.append(f"error: {error}"))
        page.on("request", lambda request: self._judge(request.url, address))
        page.goto(address)
        page.wait_for_selector(ready)
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
    settle(page)
    return [" ".join(text.split()) for text in page.locator(".row:visible").all_inner_texts()]


def selected(page: Page) -> str:
    """Read the selected row; screen readers are told the same row."""
    settle(page)  # a click is painted with the next frame, which would come between two of these reads
    row = page.locator(f"#{page.locator('#rows').get_attribute('aria-activedescendant')}")
    assert row.get_attribute("aria-selected") == "true"
    return " ".join(row.inner_text().split())


def details(page: Page) -> str:
    """Read the panel beside the rows."""
    settle(page)
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
