// SPDX-License-Identifier: Apache-2.0
// Where things stand: which rows there are, how far they are indented, where bars and ticks of the time axis lie.
// Comes in: the model's columns, what is folded, sizes in pixels. Goes out: numbers. Pure: no DOM, no canvas, no state.
// A row is a point (its number) or a run of like siblings (-1 minus the run's number).

const RUN_LENGTH = 6;
const INDENT = 16;
const INDENT_LEAST = 1;

// Runs: neighbouring points without children, with the same parent, name and service, and nothing remarkable about any.
function findRuns({ start, stop, parent, end, flags, service, count, columns }) {
  const usual = FLAG.started | FLAG.stopped;
  const first = [];
  const last = [];
  const ofPoint = new Int32Array(count).fill(-1);
  let from = 0;
  while (from < count) {
    let to = from;
    while (
      to < count && end[to] === to + 1 && flags[to] === usual && parent[to] === parent[from] &&
      columns.name[to] === columns.name[from] && service[to] === service[from]
    ) to++;
    if (to - from >= RUN_LENGTH) {
      ofPoint.fill(first.length, from, to);
      first.push(from);
      last.push(to);
    }
    from = Math.max(to, from + 1);
  }
  return { first, last, ofPoint, totals: first.map((from, run) => runTotal(start, stop, from, last[run])) };
}

// How long the members of a run took, all together and the longest.
function runTotal(start, stop, from, to) {
  let total = 0;
  let most = 0;
  for (let point = from; point < to; point++) {
    const took = stop[point] - start[point];
    total += took;
    if (took > most) most = took;
  }
  return { total, most };
}

// The rows that are there to scroll through, from top to bottom. `keep` (or null) leaves only some points, all unfolded.
function visibleRows({ end, count }, runs, { closed, unfolded, keep }) {
  const rows = new Int32Array(count + runs.first.length);
  let length = 0;
  let point = 0;
  while (point < count) {
    if (keep) {
      if (!keep[point]) {
        point = end[point];
        continue;
      }
    } else {
      const run = runs.ofPoint[point];
      if (run >= 0 && runs.first[run] === point) {
        rows[length++] = -1 - run;
        if (!unfolded[run]) {
          point = runs.last[run];
          continue;
        }
      }
    }
    rows[length++] = point;
    point = !keep && closed[point] ? end[point] : point + 1;
  }
  return rows.subarray(0, length);
}

// The points and all above them, as a mask for `visibleRows`.
function withAncestors({ parent, count }, points) {
  const keep = new Uint8Array(count);
  for (let point of points) {
    while (point >= 0 && !keep[point]) {
      keep[point] = 1;
      point = parent[point];
    }
  }
  return keep;
}

function rowDepth(model, runs, row) {
  if (row < 0) return model.depth[runs.first[-1 - row]];
  return model.depth[row] + (runs.ofPoint[row] >= 0 ? 1 : 0);
}

// Deep trees: what is on the screen decides. Rows are indented from the shallowest one in sight on, and by smaller steps
// if the deepest would not leave `room`; a tree that fits is indented from its root.
function indentation(depths, room) {
  if (depths.length === 0) return { base: 0, step: INDENT };
  let least = depths[0];
  let most = depths[0];
  for (const depth of depths) {
    if (depth < least) least = depth;
    if (depth > most) most = depth;
  }
  const base = most * INDENT <= room ? 0 : Math.max(0, least - 1);
  const step = most > base ? Math.min(INDENT, room / (most - base)) : INDENT;
  return { base, step: Math.max(INDENT_LEAST, step) };
}

// Which part of `total` rows a viewport shows. Browsers end elements at some 10 to 30 million pixels, so a longer list
// scrolls by more than a pixel a pixel.
const LONGEST = 8000000;

function scrollExtent(total, rowHeight, viewport) {
  const whole = total * rowHeight;
  return { whole, element: Math.min(whole, LONGEST), viewport };
}

function offsetOfScroll({ whole, element, viewport }, scrollTop) {
  if (whole <= viewport) return 0;
  if (whole === element) return Math.min(scrollTop, whole - viewport);
  return Math.min(1, scrollTop / (element - viewport)) * (whole - viewport);
}

function scrollOfOffset({ whole, element, viewport }, offset) {
  if (whole <= viewport) return 0;
  if (whole === element) return offset;
  return (offset / (whole - viewport)) * (element - viewport);
}

// The offset that brings a row into sight with a row to spare, moving as little as possible.
function offsetShowing(row, rowHeight, offset, viewport) {
  const top = Math.max(0, (row - 1) * rowHeight);
  const bottom = (row + 2) * rowHeight - viewport;
  return Math.max(0, Math.min(top, Math.max(offset, bottom)));
}

const LEAST_BAR = 2;

// A bar in pixels within `width`, at least two wide; null if it lies outside of the window.
function bar(start, stop, { from, to }, width) {
  // A quotient first, so that the window's end comes out at `width` to the last bit.
  const left = ((start - from) / (to - from)) * width;
  const right = ((Math.max(start, stop) - from) / (to - from)) * width;
  if (right < 0 || left > width) return null;
  const x = Math.max(-4, Math.min(left, width - LEAST_BAR));
  return { x, width: Math.max(LEAST_BAR, Math.min(width + 4, right) - x) };
}

// Round steps of the time axis, about one in `spacing` pixels.
function ticks({ from, to }, width, spacing = 110) {
  const rough = ((to - from) * spacing) / Math.max(1, width);
  const power = 10 ** Math.floor(Math.log10(Math.max(rough, 1)));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((candidate) => candidate >= rough) ?? 10 * power;
  const list = [];
  // By number: far from zero a step may be too small to change a time. Rounding may put the first before the window.
  const first = Math.ceil(from / step);
  for (let index = 0; index <= (to - from) / step; index++) {
    const tick = (first + index) * step;
    if (tick >= from && tick <= to) list.push(tick);
  }
  return { step, list };
}

// The window after zooming by `factor` round `centre`, within the whole and never below ten microseconds.
function zoomed({ from, to }, factor, centre, whole) {
  const length = Math.min(whole, Math.max(10, (to - from) * factor));
  const start = centre - ((centre - from) / (to - from)) * length;
  return moved({ from: start, to: start + length }, 0, whole);
}

function moved({ from, to }, by, whole) {
  const length = to - from;
  const start = Math.max(0, Math.min(whole - length, from + by));
  return { from: start, to: start + length };
}
