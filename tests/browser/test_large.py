# SPDX-License-Identifier: Apache-2.0
"""100,000 points, below one another or side by side: the page opens, answers to keys and shows the last one."""

import json
from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from browser.reading import Reports, details, notification, press, rows, selected

POINTS = 100_000


def chain() -> Iterator[dict]:
    """Each point within the one before."""
    for point in range(POINTS):
        info = {"function": {"name": f"module.step_{point}"}}
        yield notification("rpc-start", str(point + 1), str(point) if point else "B", point * 10, info)
    for point in reversed(range(POINTS)):
        yield notification("rpc-stop", str(point + 1), str(point) if point else "B", 20 * POINTS - point * 10)


def flat() -> Iterator[dict]:
    """All side by side."""
    for point in range(POINTS):
        info = {"db": {"statement": f"SELECT a FROM t WHERE id = {point}"}}
        yield notification("db-start", str(point + 1), "B", point * 20, info)
        yield notification("db-stop", str(point + 1), "B", point * 20 + 15)


@pytest.mark.parametrize(
    ("lines", "unfold", "last", "word"),
    [
        (chain, [], "rpc module.step_99999 p/s 20 µs", "step_77777"),
        (flat, ["ArrowRight"], "db SELECT t WHERE id = 99999 p/s 15 µs", "77777"),
    ],
    ids=["chain", "flat"],
)
def test_it_opens_and_answers(reports: Reports, lines, unfold: list[str], last: str, word: str):
    trace = reports.folder / "large.jsonl"
    with trace.open("w") as out:
        for line in lines():
            out.write(json.dumps(line) + "\n")
    page = reports.open(trace)
    press(page, *unfold, "End")
    assert selected(page) == last
    press(page, "ArrowUp")
    assert "99998" in selected(page)
    press(page, "Enter")
    assert "99998" in details(page)
    press(page, "Escape", "Home", "PageDown")
    assert len(rows(page)) < 60
    press(page, "/")
    page.keyboard.type(word)
    press(page, "Enter")
    expect(page.locator("#found")).to_have_text("1 of 1")
    assert word in selected(page)
    indented = page.locator(".row:visible").evaluate_all(
        "(rows) => rows.map((row) => parseFloat(row.style.paddingLeft))"
    )
    assert max(indented) < 400


def test_a_name_a_service_and_a_value_for_each_point(reports: Reports):
    """A page that shows some and says how many more there are, instead of one that freezes or fails."""
    points = 130_000
    trace = reports.folder / "names.jsonl"
    with trace.open("w") as out:
        for point in range(points):
            info = {"values": list(range(10_000))} if point == 0 else None
            line = notification(f"point {point}-start", str(point + 1), "B", point, info, service=f"service {point}")
            out.write(json.dumps(line) + "\n")
    page = reports.open(trace)
    assert "and 129,960 more" in page.locator("#services").inner_text()
    press(page, "Enter")
    assert "and 8,003 more values" in details(page)
    press(page, "s")
    assert "and 129,500 more" in page.locator("#statistics").inner_text()
