# SPDX-License-Identifier: Apache-2.0
"""What a reader does with a trace: looks, folds, opens details, searches, follows errors, zooms, all by keys alone."""

import json

import pytest
from playwright.sync_api import Page, expect

from browser.reading import (
    DESKTOP,
    FIXTURES,
    PHONE,
    Reports,
    details,
    notification,
    picture,
    press,
    rows,
    selected,
    settle,
)

TRACES = sorted(path.stem for path in FIXTURES.glob("*.jsonl"))


def facts(page: Page) -> dict[str, str]:
    """Read the facts in the page's head."""
    pairs = page.locator("#facts > div").all()
    return {pair.locator("dt").inner_text(): pair.locator("dd").inner_text() for pair in pairs}


def notices(page: Page) -> list[str]:
    """Read what the page says about the trace's completeness."""
    return [" ".join(text.split()).removeprefix("!").strip() for text in page.locator("#notices li").all_inner_texts()]


@pytest.mark.parametrize("name", TRACES)
def test_every_recorded_trace_opens(reports: Reports, name: str):
    told = [json.loads(line) for line in (FIXTURES / f"{name}.jsonl").read_text().splitlines()]
    errors = sum(1 for line in told if line["name"].endswith("stop") and "etype" in line["info"])
    page = reports.fixture(name)
    assert page.title() == f"{told[0]['base_id']} · OSProfiler trace"
    assert page.locator("#trace-id").inner_text() == told[0]["base_id"]
    assert facts(page)["Points"] == f"{len({line['trace_id'] for line in told}):,}"
    assert facts(page)["Errors"].removeprefix("✕ ") == str(errors)
    services = {f"{line['project']}/{line['service']}" for line in told}
    assert {text.split()[0] for text in page.locator("#services li").all_inner_texts()} == services
    assert notices(page) == []


def test_runs_of_like_points_are_one_row(reports: Reports):
    page = reports.fixture("image-list")
    shown = rows(page)
    assert shown[:6] == [
        "wsgi GET /v3 keystone/public 1.15 ms",
        "▾ wsgi POST /v3/auth/tokens keystone/public 746 ms",
        "▸ db × 132 in a row, at most 8.82 ms keystone/public 187 ms",
        "▾ wsgi GET /v2/images glance/api 1.71 s",
        "▾ wsgi GET /v3/auth/tokens keystone/public 1.70 s",
        "▸ db × 447 in a row, at most 10.3 ms keystone/public 589 ms",
    ]
    assert shown[6].startswith("db SELECT images WHERE images.os_hidden = false")


def test_every_point_has_its_row(reports: Reports):
    """Unfold all and walk down to the end: each point once, and the runs' own rows."""
    page = reports.fixture("token-issue")
    press(page, "x", "Home")
    walked = []
    here = place(page)
    while not walked or walked[-1] != here:
        walked.append(here)
        press(page, "ArrowDown")
        here = place(page)
    runs = [row for row, *_ in walked if "×" in row]
    assert (len(walked) - len(runs), len(set(walked))) == (134, len(walked))


def place(page: Page) -> tuple[str, float]:
    """Tell which row is selected, and how far down it stands."""
    down = page.evaluate(
        "document.getElementById('rows').scrollTop"
        " + new DOMMatrix(getComputedStyle(document.getElementById('band')).transform).f"
    )
    return selected(page), down


def test_folding_by_keys(reports: Reports):
    page = reports.fixture("image-list")
    press(page, "ArrowDown", "ArrowLeft")
    assert selected(page).startswith("▸ wsgi POST /v3/auth/tokens")
    assert len(rows(page)) == 6
    press(page, "ArrowRight")
    assert len(rows(page)) == 7
    press(page, "ArrowRight")
    assert "× 132" in selected(page)
    press(page, "ArrowRight", "ArrowRight")
    assert selected(page).startswith("db SELECT project")
    press(page, "ArrowLeft")
    assert "× 132" in selected(page)
    press(page, "ArrowLeft", "ArrowLeft")
    assert "POST /v3/auth/tokens" in selected(page)
    press(page, "End")
    assert selected(page).startswith("db SELECT images")
    press(page, "Home")
    assert selected(page).startswith("wsgi GET /v3")


def test_details_by_click_and_by_key(reports: Reports):
    page = reports.fixture("image-list")
    page.locator(".row:visible").last.click()
    expect(page.locator("#details h2")).to_have_text("SELECT images")
    shown = details(page)
    for part in (
        "glance/api",
        "2.40 ms",
        "06c94b3a-e090-4a20-8b1e-11ce00e38fa0",
        "images.min_disk",
        "2026-11-22 15:48:34.418980",
    ):
        assert part in shown
    press(page, "Escape")
    expect(page.locator("#details")).to_be_hidden()
    press(page, "Home", "ArrowDown", "Enter")
    assert "POST /v3/auth/tokens" in details(page)
    press(page, "ArrowUp")
    assert "1.15 ms" in details(page)
    press(page, "Enter")
    expect(page.locator("#details")).to_be_hidden()


def test_details_of_a_run_say_what_it_did(reports: Reports):
    page = reports.fixture("image-list")
    press(page, "ArrowDown", "ArrowDown", "Enter")
    expect(page.locator("#details h2")).to_have_text("132 points in a row")
    page.locator("#details").get_by_role("button", name="SELECT user", exact=True).click()
    assert selected(page).startswith("db SELECT user")


def test_the_parent_is_a_step_away(reports: Reports):
    page = reports.fixture("image-list")
    press(page, "End", "Enter")
    page.get_by_role("button", name="Show the parent").click()
    assert "GET /v2/images" in selected(page)


def test_ids_are_copied_whole(reports: Reports):
    page = reports.fixture("image-list")
    page.evaluate("navigator.clipboard.writeText = (text) => { window.copied = text; return Promise.resolve(); }")
    page.get_by_role("button", name="Copy the trace id").click()
    assert page.evaluate("window.copied") == "ccb879ed-7546-49b7-a7be-20a69fbc3963"


def test_search_finds_and_counts(reports: Reports):
    page = reports.fixture("image-list")
    press(page, "/")
    page.keyboard.type("v3/auth")
    found = page.locator("#found")
    expect(found).to_have_text("2 matches")
    press(page, "Enter")
    expect(found).to_have_text("1 of 2")
    assert "POST /v3/auth/tokens" in selected(page)
    press(page, "n")
    assert "GET /v3/auth/tokens" in selected(page)
    press(page, "n")
    expect(found).to_have_text("1 of 2")
    press(page, "N")
    expect(found).to_have_text("2 of 2")
    press(page, "Escape")
    expect(found).to_have_text("")
    expect(page.locator("#query")).to_have_value("")


def test_a_match_within_a_run_is_unfolded(reports: Reports):
    page = reports.fixture("image-list")
    statements = (FIXTURES / "image-list.jsonl").read_text().splitlines()
    expected = sum(1 for line in statements if "federated_user" in line)
    press(page, "/")
    page.keyboard.type("federated_user")
    press(page, "Enter")
    expect(page.locator("#found")).to_have_text(f"1 of {expected}")
    assert selected(page).startswith("db SELECT")
    press(page, "Enter")
    assert "federated_user" in details(page)


def test_a_search_without_a_match_says_so(reports: Reports):
    page = reports.fixture("token-issue")
    press(page, "/")
    page.keyboard.type("no such thing")
    expect(page.locator("#found")).to_have_text("nothing found")


def test_a_service_is_a_click_away(reports: Reports):
    page = reports.fixture("server-show")
    page.locator("#services button", has_text="glance/api").click()
    expect(page.locator("#found")).to_have_text("1 of 3")
    assert "glance/api" in selected(page)


def test_errors_are_jumped_to_and_filtered(reports: Reports):
    page = reports.fixture("server-stop-error")
    press(page, "e")
    assert "✕ error API.get InstanceNotFound" in selected(page)
    press(page, "Enter")
    assert "nova.exception.InstanceNotFound" in details(page)
    assert "Instance lab-vm could not be found." in details(page)
    press(page, "Escape", "e")
    assert "✕ error ComputeManager.stop_instance InstanceNotFound" in selected(page)
    press(page, "E")
    expect(page.locator("#errors")).to_have_attribute("aria-pressed", "true")
    shown = rows(page)
    assert [" ".join(row.removeprefix("▾ ").split()[:3]) for row in shown] == [
        "wsgi GET /v2.1/servers/lab-vm",
        "compute_api ✕ error",
        "wsgi POST /v2.1/servers/358a1e69-1353-4e0e-91d2-231ffc27c0d1/action",
        "compute_api API.stop nova.compute.api",
        "compute_api API.force_stop nova.compute.api",
        "rpc ComputeAPI.stop_instance nova.compute.rpcapi",
        "rpc ✕ error",
    ]
    press(page, "Escape")
    expect(page.locator("#errors")).to_have_attribute("aria-pressed", "false")
    picture(page, "server-stop-error-light")


def test_a_trace_without_errors_says_so(reports: Reports):
    page = reports.fixture("image-list")
    expect(page.locator("#errors")).to_have_text("No errors")
    expect(page.locator("#errors")).to_be_disabled()


def test_the_axis_is_zoomed_by_keys_and_by_dragging(reports: Reports):
    page = reports.fixture("image-list")
    window = page.locator("#window")
    expect(window).to_have_text("")
    press(page, "ArrowDown", "z")
    before = window.inner_text()
    assert "ms" in before
    press(page, "+")
    assert window.inner_text() != before
    press(page, "0")
    expect(window).to_have_text("")
    box = page.locator("#overview").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 4, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 20, steps=4)
    page.mouse.up()
    expect(window).to_have_text("642 ms – 1.28 s")
    page.get_by_role("button", name="Whole trace").click()
    expect(window).to_have_text("")


def test_statistics_add_up_and_sort(reports: Reports):
    page = reports.fixture("image-list")
    press(page, "s")
    table = page.locator("#statistics tbody tr")
    cells = [[" ".join(cell.split()) for cell in row.locator("td").all_inner_texts()] for row in table.all()]
    assert sorted(" ".join(row[:3]) for row in cells) == [
        "db glance/api 1",
        "db keystone/public 579",
        "wsgi glance/api 1",
        "wsgi keystone/public 3",
    ]
    page.get_by_role("button", name="Count").click()
    settle(page)
    assert [row.locator("td").nth(2).inner_text() for row in table.all()] == ["579", "3", "1", "1"]
    table.first.get_by_role("button", name="db").click()
    expect(page.locator("#found")).to_have_text("1 of 579")
    expect(page.locator("#rows")).to_be_focused()
    picture(page, "image-list-search-light")


def test_help_lists_the_keys(reports: Reports):
    page = reports.fixture("token-issue")
    press(page, "?")
    expect(page.locator("#help")).to_be_visible()
    assert "next error" in page.locator("#help").inner_text()
    press(page, "Escape")
    expect(page.locator("#help")).to_be_hidden()


# The element with the focus, by its id or kind; throws if nothing shows that it has it.
FOCUSED = """() => {
  const at = document.activeElement;
  const shown = [at, at.closest('.search'), at.querySelector('#band')].filter(Boolean);
  const outlined = shown.some((one) => getComputedStyle(one).outlineStyle !== 'none');
  if (at !== document.body && !outlined) throw new Error(`no visible focus on ${at.id}`);
  return at.id || at.className || at.tagName;
}"""


def test_everything_is_reached_with_tab_and_shows_its_focus(reports: Reports):
    page = reports.fixture("server-stop-error")
    reached = set()
    for _ in range(40):
        press(page, "Tab")
        reached.add(page.evaluate(FOCUSED))
    expected = {"theme", "help-open", "copy-trace", "tab-timeline", "query", "errors", "unfold", "rows", "splitter"}
    assert expected <= reached


def test_rows_tell_screen_readers_where_they_are(reports: Reports):
    page = reports.fixture("image-list")
    tree = page.get_by_role("tree", name="Trace points")
    levels = [row.get_attribute("aria-level") for row in tree.get_by_role("treeitem").all() if row.is_visible()]
    assert levels == ["1", "1", "2", "1", "2", "3", "2"]
    expanded = [row.get_attribute("aria-expanded") for row in tree.get_by_role("treeitem").all() if row.is_visible()]
    assert expanded == [None, "true", "false", "true", "true", "false", None]


def test_what_is_wrong_with_a_trace_is_said(reports: Reports):
    page = reports.drawn(
        notification("wsgi-start", "1", "B", 0),
        notification("db-start", "2", "1", 1000),
        notification("wsgi-stop", "1", "B", 5000),
        notification("rpc-start", "3", "gone", 2000),
        notification("rpc-stop", "3", "gone", 3000),
        notification("x-start", "4", "5", 2000),
        notification("y-start", "5", "4", 2500),
        notification("y-stop", "5", "4", 2600),
        notification("x-stop", "4", "5", 2700),
        notification("late-stop", "6", "1", 4000),
    )
    assert notices(page) == [
        "1 point without the parent it names stands at the top",
        "1 circle of points that name each other as parents: cut at the earliest point",
        "1 point never ended",
        "1 point ended without a start",
    ]
    shown = rows(page)
    assert "db p/s never ended" in shown
    assert "rpc ⚠ orphan p/s 1.00 ms" in shown
    assert "▾ x ⟲ cycle p/s 700 µs" in shown
    assert "late ⚠ no start p/s 0 µs" in shown
    picture(page, "notices-light")


def test_unreadable_lines_are_told(reports: Reports):
    trace = reports.folder / "half.jsonl"
    lines = [json.dumps(notification(f"db-{kind}", "1", "B", 0)) for kind in ("start", "stop")]
    trace.write_text("\n".join([*lines, '{"name": "db-sta']))
    assert notices(reports.open(trace)) == ["1 stored element could not be read and was skipped"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("size", "viewport"), [("desktop", DESKTOP), ("phone", PHONE)])
def test_it_fits_the_screen_in_both_themes(reports: Reports, scheme: str, size: str, viewport: dict):
    for name in ("image-list", "server-show", "server-stop-error"):
        page = reports.fixture(name, viewport=viewport, scheme=scheme)
        assert page.evaluate("document.documentElement.scrollWidth") == viewport["width"]
        assert page.evaluate("getComputedStyle(document.documentElement).colorScheme") == scheme
        picture(page, f"{name}-{size}-{scheme}")
        press(page, "e" if name == "server-stop-error" else "End", "Enter")
        assert page.evaluate("document.documentElement.scrollWidth") == viewport["width"]
        picture(page, f"{name}-details-{size}-{scheme}")


def test_the_theme_is_switched_by_key(reports: Reports):
    page = reports.fixture("token-issue", scheme="dark")
    scheme = "getComputedStyle(document.documentElement).colorScheme"
    press(page, "t")
    assert page.evaluate(scheme) == "light"
    press(page, "t")
    assert page.evaluate(scheme) == "dark"
