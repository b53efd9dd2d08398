# SPDX-License-Identifier: Apache-2.0
"""Values that would rather be something else stay values: inert, whole, and shown."""

import json

import pytest
from playwright.sync_api import expect

from browser.reading import Reports, details, notification, press, rows

SCRIPT = "</script><script>window.pwned=1</script>"
VALUES = [
    SCRIPT,
    "<img src=x onerror=window.pwned=1>",
    "<!--<script>",
    "]]>",
    "$DATA $LOCAL {{data}} {{script}} ${1}",
    "javascript:window.pwned=1",
    "&lt;b&gt; &amp;",
    '"; window.pwned=1; //',
    "__proto__",
    "'; DROP TABLE trace; --",
]


@pytest.mark.parametrize("value", VALUES)
def test_markup_is_only_text(reports: Reports, value: str):
    page = reports.drawn(
        notification(
            f"{value}-start",
            value,
            "B",
            0,
            {value: value, "db": {"statement": value}, "host": value},
            project=value,
            service=value,
        ),
        notification(f"{value}-stop", value, "B", 10, {"etype": value, "message": value}),
    )
    assert value in rows(page)[0]
    press(page, "Enter")
    assert details(page).count(value) >= 8
    press(page, "s")
    assert value in page.locator("#statistics").inner_text()
    assert page.evaluate("window.pwned") is None
    assert page.evaluate("document.scripts.length") == 1
    assert page.evaluate("document.images.length") == 0


@pytest.mark.parametrize(
    ("json_text", "shown"),
    [
        ('"a\\u202eb"', "a⟨U+202E⟩b"),
        ('"a\\u2066b\\u2069"', "a⟨U+2066⟩b⟨U+2069⟩"),
        ('"a\\u2028b"', "a⟨U+2028⟩b"),
        ('"a\\u0000b"', "a⟨U+0000⟩b"),
        ('"\\ud800"', "⟨U+D800⟩"),
        ('"\\ud83d\\ude00"', "\U0001f600"),
        ('"\\u05d0\\u05d1"', "\u05d0\u05d1"),
        ("NaN", "NaN"),
        ("-Infinity", "-Infinity"),
        ("123456789012345678901234567890", "123456789012345678901234567890"),
        ("1e400", "1e400"),
        ("[" * 300 + "7" + "]" * 300, "7"),
    ],
    ids=lambda value: value[:12],
)
def test_what_python_writes_is_shown(reports: Reports, json_text: str, shown: str):
    trace = reports.folder / "odd.jsonl"
    start = json.dumps(notification("x-start", "1", "B", 0)).replace('{"host"', f'{{"odd": {json_text}, "host"')
    trace.write_text(start + "\n" + json.dumps(notification("x-stop", "1", "B", 5)) + "\n")
    page = reports.open(trace)
    press(page, "Enter")
    assert shown in page.locator("#details .value").all_inner_texts()


def test_a_lone_surrogate_in_a_name_does_not_break_the_page(reports: Reports):
    page = reports.drawn(notification("\ud800x-start", "1", "B", 0), notification("\ud800x-stop", "1", "B", 5))
    assert len(rows(page)) == 1


def test_a_long_value_is_shown_whole(reports: Reports):
    statement = "SELECT " + "x" * 200_000 + "end"
    page = reports.drawn(
        notification("db-start", "1", "B", 0, {"db": {"statement": statement}}), notification("db-stop", "1", "B", 5)
    )
    press(page, "Enter")
    assert page.locator(".statement").inner_text() == statement


def test_the_policy_forbids_markup_and_requests(reports: Reports):
    """What the browser itself refuses, whatever the script would do."""
    page = reports.fixture("token-issue")
    refused = page.evaluate(
        """() => {
          const tries = {
            markup: () => { document.body.innerHTML = 'x'; },
            script: () => { const made = document.createElement('script'); made.text = 'window.pwned = 1'; },
          };
          const throws = (act) => { try { act(); return false; } catch { return true; } };
          return Object.keys(tries).filter((name) => throws(tries[name]));
        }"""
    )
    assert refused == ["markup", "script"]
    assert page.evaluate("window.pwned") is None
    reports.faults.clear()
    assert page.evaluate("fetch('http://127.0.0.1:1/').then(() => 'answered', () => 'refused')") == "refused"
    expect(page.locator("#rows")).to_be_visible()
    reports.faults.clear()
