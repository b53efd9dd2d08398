// SPDX-License-Identifier: Apache-2.0
// The page's head: which trace, when, how long, who took part, and what there is to know about its completeness.
// Comes in: the model. Goes out: elements, made once.

function paintHeader(model, { onService }) {
  document.title = `${visible(model.traceId)} · OSProfiler trace`;
  byId("trace-id").textContent = visible(model.traceId);
  byId("copy-trace").addEventListener("click", (event) => copyText(event.currentTarget, model.traceId));
  byId("heading").textContent = heading(model);
  byId("facts").replaceChildren(...facts(model));
  byId("services").replaceChildren(...serviceItems(model, onService));
  const notices = noticeTexts(model);
  byId("notices").replaceChildren(...notices.map((text) => element("li", "", element("span", "notice-mark", "!"), text)));
  byId("notices").hidden = notices.length === 0;
}

// The longest request at the top names the trace; a client's command is several requests.
function heading(model) {
  let longest = -1;
  for (let point = 0; point < model.count; point = model.end[point]) {
    if (longest < 0 || model.stop[point] - model.start[point] > model.stop[longest] - model.start[longest]) longest = point;
  }
  if (longest < 0) return "Empty trace";
  const text = oneLine(summaryOf(model, longest).text || pointName(model, longest));
  return model.tops > 1 ? `${text} and ${count(model.tops - 1)} more` : text;
}

function facts(model) {
  const errors = model.errors.length;
  const list = [
    ["Started", model.started ? `${moment(model.started, 0).slice(0, 23)} UTC` : "–"],
    ["Duration", duration(model.duration)],
    ["Points", count(model.count)],
    ["Errors", count(errors)],
  ];
  return list.map(([term, value]) => {
    const pair = element("div", term === "Errors" && errors > 0 ? "has-errors" : "");
    pair.append(element("dt", "", term), element("dd", "", value));
    return pair;
  });
}

// More would push the trace out of sight; the search finds the others.
const MOST_SERVICES = 40;

function serviceItems({ services }, onService) {
  const items = services.slice(0, MOST_SERVICES).map((service) => serviceItem(service, onService));
  const rest = services.length - MOST_SERVICES;
  if (rest > 0) items.push(element("li", "absent", `and ${count(rest)} more`));
  return items;
}

function serviceItem(service, onService) {
  const button = element("button", "service-chip", element("i", `swatch service-${service.colour}`), visible(service.label), element("b", "", count(service.points)));
  button.type = "button";
  button.title = `Find the points of ${visible(service.label)}`;
  button.addEventListener("click", () => onService(service.label));
  return element("li", "", button);
}

function noticeTexts(model) {
  const { head, columns, texts } = model;
  const notices = Array.from(columns.loss_count, (lost, index) => {
    return `${plural(lost, "notification")} of this trace ${lost === 1 ? "was" : "were"} lost: ${visible(texts.get(columns.loss_reason[index])).replaceAll("_", " ")}`;
  });
  if (head.skipped > 0) notices.push(`${plural(head.skipped, "stored element")} could not be read and ${head.skipped === 1 ? "was" : "were"} skipped`);
  const flagged = (flag) => pointsWith(model, flag).length;
  const orphans = flagged(FLAG.orphan);
  if (orphans > 0) notices.push(`${plural(orphans, "point")} without the parent ${orphans === 1 ? "it names stands" : "they name stand"} at the top`);
  const cycles = flagged(FLAG.cycle);
  if (cycles > 0) notices.push(`${plural(cycles, "circle")} of points that name each other as parents: cut at the earliest point`);
  const open = model.count - flagged(FLAG.stopped);
  if (open > 0) notices.push(`${plural(open, "point")} never ended`);
  const unstarted = model.count - flagged(FLAG.started);
  if (unstarted > 0) notices.push(`${plural(unstarted, "point")} ended without a start`);
  return notices;
}
