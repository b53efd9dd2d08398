# SPDX-License-Identifier: Apache-2.0
"""Debian's Chromium without a network, and the reports that tests open in it.

Whatever a page logs, throws or requests beside its own file fails the test.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from browser.reading import Reports

CHROMIUM = "/usr/bin/chromium"
# Far longer than anything takes here; Playwright's own 30 s, and 5 s for what is expected, are not on a busy machine.
MILLISECONDS = 120_000
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


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Start Chromium in a network namespace of its own, where there is not even a loopback."""
    offline = "unshare --net" if os.geteuid() == 0 else "unshare --map-root-user --net"
    launcher = tmp_path_factory.mktemp("chromium") / "chromium"
    launcher.write_text(f'#!/bin/sh\nexec {offline} -- {CHROMIUM} "$@"\n')
    launcher.chmod(0o755)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=str(launcher), args=ARGUMENTS, timeout=MILLISECONDS)
        expect.set_options(timeout=MILLISECONDS)
        yield chromium
        chromium.close()


@pytest.fixture
def reports(browser: Browser, tmp_path: Path) -> Iterator[Reports]:
    """Give reports whose pages must neither log, nor throw, nor request."""
    made = Reports(browser, tmp_path, MILLISECONDS)
    yield made
    for context in made.contexts:
        context.close()
    assert made.faults == []
