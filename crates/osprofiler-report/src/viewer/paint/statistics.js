// SPDX-License-Identifier: Apache-2.0
// The table of names and services: where the time went, sortable by every column.
// Comes in: the model's statistics. Goes out: a table; a row's button searches for its points.

// A program may give each point a name of its own; a table of a hundred thousand rows would freeze the page.
const MOST_ROWS = 500;

const STATISTICS_COLUMNS = [
  { key: "name", title: "Name", of: (row) => visible(row.name) },
  { key: "service", title: "Service", of: (row) => row.service },
  { key: "count", title: "Count", of: (row) => count(row.count) },
  { key: "total", title: "Total", of: (row) => duration(row.total) },
  { key: "self", title: "Self", of: (row) => duration(row.self) },
  { key: "mean", title: "Mean", of: (row) => duration(Math.round(row.mean)) },
  { key: "max", title: "Longest", of: (row) => duration(row.max) },
  { key: "errors", title: "Errors", of: (row) => (row.errors ? `✕ ${count(row.errors)}` : "–") },
];

function paintStatistics(panel, model, sort, actions) {
  const rows = statistics(model);
  const sign = sort.descending ? -1 : 1;
  const label = (row) => (sort.key === "service" ? model.services[row.service].label : row[sort.key]);
  rows.sort((a, b) => sign * (label(a) < label(b) ? -1 : label(a) > label(b) ? 1 : 0));
  const most = rows.reduce((most, row) => Math.max(most, row.self), 1);
  const head = element("tr", "");
  for (const column of STATISTICS_COLUMNS) {
    const button = element("button", "sort", column.title, element("span", "arrow", sort.key === column.key ? (sort.descending ? "↓" : "↑") : ""));
    button.type = "button";
    button.addEventListener("click", () => actions.sort(column.key));
    const cell = element("th", column.key === "name" || column.key === "service" ? "" : "number", button);
    cell.scope = "col";
    cell.setAttribute("aria-sort", sort.key !== column.key ? "none" : sort.descending ? "descending" : "ascending");
    head.append(cell);
  }
  const share = element("th", "share-head", "Self time");
  share.scope = "col";
  head.append(share);
  const body = element("tbody", "", ...rows.slice(0, MOST_ROWS).map((row) => statisticsRow(model, row, most, actions)));
  const table = element("table", "table wide", element("caption", "off-screen", "Points by name and service"), element("thead", "", head), body);
  const rest = rows.length - MOST_ROWS;
  const more = rest > 0 ? element("p", "absent", `and ${count(rest)} more in this order`) : "";
  panel.replaceChildren(element("div", "table-frame", table), more);
}

function statisticsRow(model, row, most, actions) {
  const service = model.services[row.service];
  const line = element("tr", row.errors ? "failed" : "");
  for (const column of STATISTICS_COLUMNS) {
    if (column.key === "name") {
      const find = element("button", "link", column.of(row));
      find.type = "button";
      find.title = "Find these points";
      find.addEventListener("click", () => actions.find(`name:"${row.name}" service:"${service.label}"`));
      line.append(element("td", "", find));
    } else if (column.key === "service") {
      line.append(element("td", "", element("i", `swatch service-${service.colour}`), visible(service.label)));
    } else if (column.key === "max") {
      const jump = element("button", "link", column.of(row));
      jump.type = "button";
      jump.title = "Show the longest";
      jump.addEventListener("click", () => actions.show(row.slowest));
      line.append(element("td", "number", jump));
    } else {
      line.append(element("td", "number", column.of(row)));
    }
  }
  const meter = element("span", `meter service-${service.colour}`);
  meter.style.width = `${Math.max(0, (100 * row.self) / most)}%`;
  line.append(element("td", "share", meter));
  return line;
}
