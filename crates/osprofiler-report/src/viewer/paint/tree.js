// SPDX-License-Identifier: Apache-2.0
// The rows of the tree as elements: a pool as large as the screen, filled anew as the list scrolls.
// Comes in: model, rows and what is selected. Goes out: `treeitem`s with level, position and state, for eyes and screen readers.

const ROW_PARTS = ["twist", "swatch", "tag", "badge", "summary", "more", "service", "duration"];

function makeRow(slot) {
  const row = element("div", "row");
  row.id = `row-${slot}`;
  row.setAttribute("role", "treeitem");
  const parts = {};
  for (const part of ROW_PARTS) {
    parts[part] = element(part === "swatch" ? "i" : "span", part);
    row.append(parts[part]);
  }
  return { row, parts };
}

// Fills one row of the pool. `place` says where: { top, depth, indent }.
function fillRow({ row, parts }, view, code, place) {
  const { model, runs, state } = view;
  const isRun = code < 0;
  const run = -1 - code;
  const point = isRun ? runs.first[run] : code;
  const members = isRun ? runs.last[run] - runs.first[run] : 0;
  const service = serviceOf(model, point);
  const folds = isRun || model.children[point] > 0;
  const open = folds && (isRun ? state.unfolded[run] === 1 : state.keep !== null || state.closed[point] === 0);
  const error = isRun ? null : errorOf(model, point);
  const flags = model.flags[point];

  row.style.transform = `translateY(${place.top}px)`;
  row.style.paddingLeft = `${place.indent}px`;
  row.className = ["row", isRun ? "run" : "", error ? "failed" : "", code === state.selected ? "selected" : "", isHit(view, code) ? "hit" : ""].filter(Boolean).join(" ");
  row.setAttribute("aria-level", place.depth + 1);
  row.setAttribute("aria-selected", code === state.selected);
  row.setAttribute("aria-posinset", model.position[point] + 1);
  row.setAttribute("aria-setsize", model.parent[point] < 0 ? model.tops : model.children[model.parent[point]]);
  if (folds) row.setAttribute("aria-expanded", open);
  else row.removeAttribute("aria-expanded");

  parts.twist.textContent = folds ? (open ? "▾" : "▸") : "";
  parts.swatch.className = `swatch service-${service.colour}`;
  parts.tag.textContent = oneLine(pointName(model, point));
  parts.service.textContent = visible(service.label);
  if (isRun) {
    const sum = runs.totals[run];
    parts.badge.textContent = `× ${count(members)}`;
    parts.summary.textContent = "";
    parts.more.textContent = `in a row, at most ${duration(sum.most)}`;
    parts.duration.textContent = duration(sum.total);
    return;
  }
  const summary = summaryOf(model, point);
  parts.badge.textContent = badge(flags, error);
  parts.summary.textContent = oneLine(summary.text);
  parts.more.textContent = oneLine(error ? shortType(error.type) : summary.more);
  parts.duration.textContent = neverEnded(model, point) ? "never ended" : duration(model.stop[point] - model.start[point]);
}

// What is remarkable about a point, in words: colour alone never says it.
function badge(flags, error) {
  if (error) return "✕ error";
  if (flags & FLAG.cycle) return "⟲ cycle";
  if (flags & FLAG.orphan) return "⚠ orphan";
  if (!(flags & FLAG.started)) return "⚠ no start";
  return "";
}

function shortType(type) {
  return type.split(".").pop();
}

function isHit({ runs, state }, code) {
  if (!state.hits) return false;
  if (code >= 0) return state.hits[code] === 1;
  const run = -1 - code;
  return state.hits.subarray(runs.first[run], runs.last[run]).includes(1);
}
