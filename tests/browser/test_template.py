# SPDX-License-Identifier: Apache-2.0
"""`cmd/template.html`, which Rally fills in by replacing text: it opens offline, whatever the report holds."""

import html
import json
import os
import subprocess
from pathlib import Path

import pytest
from osprofiler import cmd
from osprofiler.drivers import base
from playwright.sync_api import Page

from browser.reading import FIXTURES, Reports, notification

HOSTILE = "</script></plaintext><script>window.pwned=1</script><!-- ]]> {{1}} ${2} &lt; $DATA"


def filled(report: dict, local: bool = False) -> str:
    """Fill the template in as rally-openstack does."""
    template = Path(os.path.dirname(cmd.__file__), "template.html").read_text()
    data = json.dumps(report, indent=4, separators=(",", ": "))
    return template.replace("$DATA", data).replace("$LOCAL", "true" if local else "false")


def shown(page: Page) -> list[list[str]]:
    """Read the table's rows: a point's name, its duration, its service."""
    rows = page.locator("#points > tr:visible").all()
    return [[cell.strip() for cell in row.locator("td").all_inner_texts()[:3]] for row in rows]


def line(node: dict) -> list[str]:
    """Return the line of a folded node."""
    info = node["info"]
    name = ("▸" if node["children"] else "") + info["name"]
    return [name, f"{info['finished'] - info['started']} ms", f"{info['project']}, {info['service']}"]


@pytest.fixture
def visit(reports: Reports, tmp_path: Path):
    """Return what opens a page of that text."""

    def open_page(text: str) -> Page:
        (tmp_path / "page.html").write_text(text)
        return reports.visit(tmp_path / "page.html", "#points > tr, iframe")

    return open_page


@pytest.mark.parametrize("local", [False, True])
def test_a_recorded_trace_is_shown(visit, local):
    command = [os.environ["OSPROFILER_BIN"], "trace", "show", FIXTURES / "token-issue.jsonl", "--json"]
    report = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    page = visit(filled(report, local))
    lines = [["▾total", f"{report['info']['finished']} ms", ""], *(line(node) for node in report["children"])]
    assert shown(page) == lines
    page.locator("button.fold", has_text="▸").first.click()
    below = next(node["children"] for node in report["children"] if node["children"])
    assert len(shown(page)) == len(lines) + len(below)
    assert page.locator("html").get_attribute("data-local") == ("true" if local else "false")


def hostile_report() -> dict:
    """Return a report whose texts would rather be markup."""
    driver = base.Driver("rally://")
    for event in (
        notification(f"{HOSTILE}-start", "1", "B", 0, {"db": {"statement": HOSTILE}, "host": HOSTILE}),
        notification(f"{HOSTILE}-stop", "1", "B", 2000, {"etype": HOSTILE}),
    ):
        ids = event["trace_id"], event["parent_id"], event["name"]
        driver._append_results(*ids, HOSTILE, HOSTILE, HOSTILE, event["timestamp"], event)
    return driver._parse_results()


def test_what_a_report_holds_stays_text(visit):
    report = hostile_report()
    page = visit(filled(report))
    name = report["children"][0]["info"]["name"]
    assert shown(page)[1][0] == f"{name} ({HOSTILE})"
    page.locator("button", has_text="pwned").first.click()
    assert page.locator("pre").inner_text().count("pwned") >= 5
    assert page.evaluate("window.pwned") is None
    assert page.evaluate("document.scripts.length") == 1


def test_it_can_stand_in_a_frame_of_a_larger_report(visit):
    """Rally's own report embeds the page."""
    page = visit(f'<iframe srcdoc="{html.escape(filled(hostile_report()))}"></iframe>')
    frame = page.frame_locator("iframe")
    frame.locator("#points > tr").first.wait_for()
    assert frame.locator("#points > tr").count() == 2
    assert page.evaluate("window.pwned") is None
