// SPDX-License-Identifier: Apache-2.0
// Rows, indentation, scrolling and the time axis: trees are drawn, and so are the rows they give.

import assert from "node:assert/strict";
import test from "node:test";

import { draw, viewer } from "./viewer.mjs";

const { bar, findRuns, indentation, moved, offsetOfScroll, offsetShowing, rowDepth, scrollExtent, scrollOfOffset, ticks, visibleRows, withAncestors, zoomed } = viewer;

const QUERIES = "  db 1-2\n".repeat(6);

// The rows of a drawing: two blanks a level, points by name and number, runs with their length.
function rows(drawing, change = () => {}) {
  const model = draw(drawing);
  const runs = findRuns(model);
  const state = { closed: new Uint8Array(model.count), unfolded: new Uint8Array(runs.first.length), keep: null };
  change(state, model);
  return [...visibleRows(model, runs, state)].map((row) => {
    const what = row < 0 ? `run of ${runs.last[-1 - row] - runs.first[-1 - row]}` : `${model.texts.get(model.columns.name[row])} ${row}`;
    return "  ".repeat(rowDepth(model, runs, row)) + what;
  });
}

test("six like siblings in a row are one row; fewer, or others, are not", () => {
  assert.deepEqual(rows(`a 0-9\n${QUERIES}`), ["a 0", "  run of 6"]);
  assert.deepEqual(rows("a 0-9\n" + "  db 1-2\n".repeat(5)), ["a 0", "  db 1", "  db 2", "  db 3", "  db 4", "  db 5"]);
  assert.deepEqual(rows(`a 0-9\n${QUERIES}  rpc 3-4\n${QUERIES}`), ["a 0", "  run of 6", "  rpc 7", "  run of 6"]);
  assert.deepEqual(rows(`a 0-9\n${QUERIES}b 0-9\n${QUERIES}`), ["a 0", "  run of 6", "b 7", "  run of 6"]);
});

test("what is remarkable is never folded away", () => {
  for (const odd of ["db 1-2 error", "db 1-", "db 1-2 orphan", "db 1-2 @other", "db 1-2\n    x 1-2"]) {
    const shown = rows(`a 0-9\n${QUERIES}  ${odd}\n${QUERIES}`);
    assert.deepEqual([shown[1], shown[2], shown.at(-1)], ["  run of 6", "  db 7", "  run of 6"], odd);
  }
});

test("an unfolded run shows its members one level below", () => {
  assert.deepEqual(
    rows(`a 0-9\n${QUERIES}`, (state) => { state.unfolded[0] = 1; }),
    ["a 0", "  run of 6", "    db 1", "    db 2", "    db 3", "    db 4", "    db 5", "    db 6"],
  );
});

test("a closed point hides all that is below it", () => {
  const tree = "a 0-9\n  b 1-8\n    c 2-3\n  d 8-9\ne 9-10";
  assert.deepEqual(rows(tree, (state) => { state.closed[1] = 1; }), ["a 0", "  b 1", "  d 3", "e 4"]);
  assert.deepEqual(rows(tree, (state) => { state.closed[0] = 1; }), ["a 0", "e 4"]);
});

test("a filter shows its points and what is above them, whatever is closed", () => {
  const tree = "a 0-9\n  b 1-8\n    c 2-3 error\n  d 8-9\ne 9-10";
  const filter = (state, model) => {
    state.closed.fill(1);
    state.keep = withAncestors(model, model.errors);
  };
  assert.deepEqual(rows(tree, filter), ["a 0", "  b 1", "    c 2"]);
});

test("no points, no rows", () => {
  assert.deepEqual(rows(""), []);
});

test("a tree that fits is indented from its root; a deep one from what is in sight", () => {
  const check = (depths, room, base, step) => assert.deepEqual({ ...indentation(depths, room) }, { base, step });
  check([0, 1, 2], 200, 0, 16);
  check([5, 6], 200, 0, 16);
  check([5000, 5001, 5002], 200, 4999, 16);
  check([4000, 4001, 4100], 202, 3999, 2);
  check([0, 100000], 200, 0, 1);
  check([], 200, 0, 16);
});

test("any number of rows can be scrolled through, to the last", () => {
  for (const total of [10, 5000, 100000, 5000000]) {
    const extent = scrollExtent(total, 28, 600);
    assert.ok(extent.element <= 8000000);
    const end = Math.max(0, total * 28 - 600);
    assert.equal(offsetOfScroll(extent, extent.element - 600), end);
    assert.equal(offsetOfScroll(extent, 0), 0);
    assert.ok(Math.abs(offsetOfScroll(extent, scrollOfOffset(extent, end / 3)) - end / 3) < 1e-6);
  }
});

test("a row comes into sight with one to spare, and nothing moves if it is there", () => {
  assert.equal(offsetShowing(5, 10, 0, 100), 0);
  assert.equal(offsetShowing(20, 10, 0, 100), 120);
  assert.equal(offsetShowing(3, 10, 500, 100), 20);
  assert.equal(offsetShowing(0, 10, 500, 100), 0);
});

test("bars lie within the window, are never too thin to see, and vanish outside", () => {
  const span = { from: 100, to: 200 };
  assert.deepEqual({ ...bar(110, 160, span, 1000) }, { x: 100, width: 500 });
  assert.deepEqual({ ...bar(150, 150, span, 1000) }, { x: 500, width: 2 });
  assert.deepEqual({ ...bar(200, 200, span, 1000) }, { x: 998, width: 2 });
  assert.deepEqual({ ...bar(0, 1000, span, 1000) }, { x: -4, width: 1008 });
  assert.deepEqual({ ...bar(150, 120, span, 1000) }, { x: 500, width: 2 });
  assert.equal(bar(0, 99, span, 1000), null);
  assert.equal(bar(201, 300, span, 1000), null);
});

test("ticks are round", () => {
  assert.deepEqual([...ticks({ from: 0, to: 2570000 }, 600).list], [0, 500000, 1000000, 1500000, 2000000, 2500000]);
  assert.deepEqual([...ticks({ from: 1001, to: 1009 }, 600).list], [1002, 1004, 1006, 1008]);
  assert.ok(ticks({ from: 0, to: 1 }, 0).list.length < 10);
});

test("a tick at either end of any window lies within it", () => {
  for (let width = 100; width < 1500; width++) {
    for (const from of [0, 0.1, 7 / 3, 1e9 / 7]) {
      for (const length of [10, 100, 70000, 1e6 / 3]) {
        const span = { from, to: from + length };
        assert.notEqual(bar(span.from, span.from, span, width), null);
        assert.notEqual(bar(span.to, span.to, span, width), null);
        for (const tick of ticks(span, width).list) assert.notEqual(bar(tick, tick, span, width), null);
      }
    }
  }
});

test("ticks end where a step is too small to change a time", () => {
  assert.ok(ticks({ from: 3e17, to: 3e17 + 64 }, 1000).list.length < 100);
});

test("zooming keeps what is under the pointer and stays within the trace", () => {
  assert.deepEqual({ ...zoomed({ from: 0, to: 1000 }, 0.5, 500, 1000) }, { from: 250, to: 750 });
  assert.deepEqual({ ...zoomed({ from: 250, to: 750 }, 4, 300, 1000) }, { from: 0, to: 1000 });
  assert.deepEqual({ ...zoomed({ from: 0, to: 12 }, 0.1, 0, 1000) }, { from: 0, to: 10 });
  assert.deepEqual({ ...moved({ from: 0, to: 100 }, -50, 1000) }, { from: 0, to: 100 });
  assert.deepEqual({ ...moved({ from: 800, to: 900 }, 500, 1000) }, { from: 900, to: 1000 });
});
