// SPDX-License-Identifier: Apache-2.0
// Everything about one point or one run: facts, ids to copy, the statement, what its start and stop carried.
// Comes in: model and row. Goes out: the panel's elements; values only as text.

function paintDetails(panel, view, code, actions) {
  const close = element("button", "ghost close", "✕");
  close.type = "button";
  close.setAttribute("aria-label", "Close the details");
  close.addEventListener("click", actions.close);
  const content = code < 0 ? runDetails(view, -1 - code, actions) : pointDetails(view, code, actions);
  panel.replaceChildren(close, ...content);
  panel.scrollTop = 0;
}

function pointDetails({ model }, point, actions) {
  const info = startInfo(model, point);
  const service = serviceOf(model, point);
  const summary = summariseFully(model, point, info);
  const error = errorOf(model, point);
  const content = [
    element("p", "details-kind", element("i", `swatch service-${service.colour}`), visible(service.label), element("span", "tag", visible(pointName(model, point)))),
    element("h2", "", visible(summary)),
  ];
  if (error) content.push(element("div", "error-box", element("strong", "", "✕ ", visible(error.type)), element("p", "", visible(error.message))));
  content.push(factList(pointFacts(model, point)));
  const statement = textAt(info, ["db", "statement"]);
  if (statement !== null) content.push(section("Statement", statementBlock(statement), copyButton("the statement", statement)));
  content.push(section("Ids", idList(model, point, actions)));
  content.push(infoSection(model, "Start", model.columns.start_info[point], info, model.start[point], statement === null ? [] : ["statement"]));
  content.push(infoSection(model, "Stop", model.columns.stop_info[point], stopInfo(model, point), model.stop[point], []));
  content.push(...otherSections(model, point));
  return content;
}

function summariseFully(model, point, info) {
  return summarise(pointName(model, point), info).text.slice(0, 300) || pointName(model, point);
}

function pointFacts(model, point) {
  const took = model.stop[point] - model.start[point];
  const above = model.parent[point];
  const below = model.end[point] - point - 1;
  const facts = [
    ["Duration", neverEnded(model, point) ? "never ended" : duration(took)],
    ["Self time", duration(model.self[point])],
    ["Begins at", `+ ${duration(model.start[point])}`],
    ["Of the trace", share(took, model.duration)],
  ];
  if (above >= 0) facts.push(["Of its parent", share(took, model.stop[above] - model.start[above])]);
  if (below > 0) facts.push(["Points below", count(below)]);
  facts.push(["Depth", count(model.depth[point] + 1)]);
  const host = hostOf(model, point);
  if (host !== null) facts.push(["Host", visible(host)]);
  return facts;
}

// A run may be as long as the trace; what its members did is read from their infos, for so many of them.
const MOST_GROUPED = 5000;

function runDetails({ model, runs }, run, actions) {
  const [first, last] = [runs.first[run], runs.last[run]];
  const { total, most } = runs.totals[run];
  const service = serviceOf(model, first);
  let until = 0;
  for (let point = first; point < last; point++) until = Math.max(until, model.stop[point]);
  const groups = new Map();
  const grouped = Math.min(last, first + MOST_GROUPED);
  for (let point = first; point < grouped; point++) {
    const text = summaryOf(model, point).text || pointName(model, point);
    const group = groups.get(text) ?? { count: 0, total: 0, first: point };
    group.count++;
    group.total += model.stop[point] - model.start[point];
    groups.set(text, group);
  }
  const list = [...groups].sort(([, a], [, b]) => b.total - a.total).slice(0, 50);
  const rows = list.map(([text, group]) => {
    const jump = element("button", "link", oneLine(text));
    jump.type = "button";
    jump.addEventListener("click", () => actions.show(group.first));
    return element("tr", "", element("td", "", jump), element("td", "number", count(group.count)), element("td", "number", duration(group.total)));
  });
  const head = element("tr", "", element("th", "", "What"), element("th", "number", "Count"), element("th", "number", "Total"));
  return [
    element("p", "details-kind", element("i", `swatch service-${service.colour}`), visible(service.label), element("span", "tag", visible(pointName(model, first)))),
    element("h2", "", `${count(last - first)} points in a row`),
    factList([
      ["Total", duration(total)], ["Longest", duration(most)], ["On average", duration(Math.round(total / (last - first)))],
      ["Begins at", `+ ${duration(model.start[first])}`], ["Spread over", duration(until - model.start[first])], ["Of the trace", share(total, model.duration)],
    ]),
    section(grouped < last ? `What the first ${count(MOST_GROUPED)} did` : "By what they did", element("table", "table", element("thead", "", head), element("tbody", "", ...rows)), null),
  ];
}

function factList(facts) {
  const list = element("dl", "fact-list");
  for (const [term, value] of facts) list.append(element("div", "", element("dt", "", term), element("dd", "", value)));
  return list;
}

function section(title, content, action = null) {
  return element("section", "block", element("h3", "", title, action), content);
}

// The statement as it was sent, its keywords set off, each clause on a line of its own.
const CLAUSE = /\b(SELECT|FROM|WHERE|(?:LEFT |RIGHT |INNER |OUTER |CROSS |LEFT OUTER )?JOIN|ORDER BY|GROUP BY|HAVING|LIMIT|OFFSET|UNION(?: ALL)?|INSERT INTO|VALUES|UPDATE|SET|DELETE FROM|RETURNING)\b/g;

function statementBlock(statement) {
  const block = element("pre", "statement");
  let position = 0;
  for (const found of statement.slice(0, 100000).matchAll(CLAUSE)) {
    block.append(visible(statement.slice(position, found.index)), element("b", "", found[0]));
    position = found.index + found[0].length;
  }
  block.append(visible(statement.slice(position)));
  return block;
}

function idList(model, point, actions) {
  const list = element("dl", "ids");
  const id = pointId(model, point);
  const parent = parentId(model, point);
  const above = model.parent[point];
  const up = above >= 0 ? element("button", "ghost small", "show") : null;
  if (up) {
    up.type = "button";
    up.setAttribute("aria-label", "Show the parent");
    up.addEventListener("click", () => actions.show(above));
  }
  const note = above >= 0 || parent === model.traceId ? "" : model.flags[point] & FLAG.cycle ? " (in a circle)" : " (not in the trace)";
  for (const [term, value, action] of [["point", id, null], [`parent${note}`, parent, up], ["trace", model.traceId, null]]) {
    list.append(element("div", "", element("dt", "", term), element("dd", "", element("code", "", visible(value)), action, copyButton(`the id of the ${term}`, value))));
  }
  return list;
}

function infoSection(model, title, number, entries, at, without) {
  if (number < 0) return section(title, element("p", "absent", `No ${title.toLowerCase()} notification is in the store.`));
  const text = model.texts.get(number);
  const when = element("time", "when", moment(model.started, at));
  return section(title, element("div", "", when, infoTree(entries, without)), copyButton(`the info of the ${title.toLowerCase()} as JSON`, text));
}

const MOST_OTHERS = 50;

// Notifications under the same id that are neither its start nor its stop: other names, of a program that went astray.
function otherSections(model, point) {
  const { other_point: points, other_name: names, other_us: times, other_info: infos } = model.columns;
  const sections = [];
  let index = points.indexOf(point);
  for (; index >= 0 && sections.length < MOST_OTHERS; index = points.indexOf(point, index + 1)) {
    sections.push(infoSection(model, visible(model.texts.get(names[index])), infos[index], infoEntries(model, infos[index]), times[index], []));
  }
  if (index >= 0) sections.push(element("p", "absent", `Only the first ${count(MOST_OTHERS)} are shown; the JSON report has all.`));
  return sections;
}

const DEEPEST_INDENT = 12;
// An info may hold a million values; each is an element.
const MOST_LINES = 2000;

function infoTree(entries, without) {
  const tree = element("div", "info");
  for (const entry of entries.slice(0, MOST_LINES)) {
    if (entry.depth === 0 && entry.key === null && entry.kind === "object" && entry.size > 0) continue;
    const line = element("div", `info-line ${entry.kind}`);
    line.style.paddingLeft = `${Math.min(DEEPEST_INDENT, Math.max(0, entry.depth - 1)) * 14}px`;
    if (entry.key !== null) line.append(element("span", "key", visible(String(entry.key))));
    if (without.includes(entry.key) && entry.depth === 2) line.append(element("span", "aside", "see above"));
    else if (entry.kind === "object" || entry.kind === "array") line.append(element("span", "aside", entry.size === 0 ? "empty" : ""));
    else line.append(element("span", "value", visible(entry.text)));
    tree.append(line);
  }
  const rest = entries.length - MOST_LINES;
  if (rest > 0) tree.append(element("p", "absent", `and ${plural(rest, "more value")}; a copy has them all`));
  if (!tree.firstChild) tree.append(element("p", "absent", "Nothing but the start itself."));
  return tree;
}
