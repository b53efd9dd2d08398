// SPDX-License-Identifier: Apache-2.0
// The trace as the page thinks of it: columns of points in pre-order, and what follows from them.
// Comes in: what `decode.js` read. Goes out: depth, subtree ends, self times, services, summaries, search, statistics.
// Knows nothing of the screen. Each pass is a loop over columns, so depth and number of points cost no more than their length.

const FLAG = { started: 1, stopped: 2, error: 4, orphan: 8, cycle: 16, repeated: 32 };
const SERVICE_COLOURS = 8;

function makeModel({ head, columns, texts }) {
  const { parent, start_us: start, stop_us: stop, flags } = columns;
  const model = { head, columns, texts, parent, start, stop, flags, count: parent.length };
  model.traceId = texts.get(head.base_id) ?? "";
  model.started = texts.get(head.started) ?? "";
  model.duration = head.duration_us;
  Object.assign(model, shape(parent), services(model));
  model.self = selfTimes(model);
  model.errors = pointsWith(model, FLAG.error);
  model.infos = new Map();
  model.haystacks = new Map();
  return model;
}

// Depth, where each subtree ends, how many children, and which of its siblings a point is. Parents come before children.
function shape(parent) {
  const count = parent.length;
  const depth = new Int32Array(count);
  const end = new Int32Array(count);
  const children = new Int32Array(count);
  const position = new Int32Array(count);
  let tops = 0;
  for (let point = 0; point < count; point++) {
    const above = parent[point];
    end[point] = point + 1;
    depth[point] = above < 0 ? 0 : depth[above] + 1;
    position[point] = above < 0 ? tops++ : children[above]++;
  }
  for (let point = count - 1; point >= 0; point--) {
    const above = parent[point];
    if (above >= 0 && end[above] < end[point]) end[above] = end[point];
  }
  return { depth, end, children, position, tops };
}

// A point's time without that of its children; children that overlap count once.
function selfTimes({ parent, start, stop, count }) {
  const self = new Float64Array(count);
  const covered = new Float64Array(count).fill(-Infinity);
  for (let point = 0; point < count; point++) self[point] = stop[point] - start[point];
  for (let point = 0; point < count; point++) {
    const above = parent[point];
    if (above < 0) continue;
    const from = Math.max(start[point], start[above], covered[above]);
    const to = Math.min(stop[point], stop[above]);
    if (to <= from) continue;
    self[above] -= to - from;
    covered[above] = to;
  }
  return self;
}

// Services in order of first appearance, and the service of each origin (who recorded: project, service, host).
function services({ columns, texts, count }) {
  const byLabel = new Map();
  const list = [];
  const ofOrigin = Array.from(columns.origin_service, (service, origin) => {
    const parts = [texts.get(columns.origin_project[origin]), texts.get(service)].filter((part) => part !== null && part !== "");
    const label = parts.join("/") || "unknown service";
    if (!byLabel.has(label)) {
      byLabel.set(label, list.length);
      list.push({ label, colour: list.length % SERVICE_COLOURS, points: 0 });
    }
    return byLabel.get(label);
  });
  const service = new Int32Array(count);
  for (let point = 0; point < count; point++) {
    service[point] = ofOrigin[columns.origin[point]];
    list[service[point]].points++;
  }
  return { services: list, service };
}

function pointsWith({ flags, count }, flag) {
  const points = [];
  for (let point = 0; point < count; point++) if (flags[point] & flag) points.push(point);
  return points;
}

function pointName(model, point) {
  return model.texts.get(model.columns.name[point]);
}

function serviceOf(model, point) {
  return model.services[model.service[point]];
}

function hostOf(model, point) {
  return model.texts.get(model.columns.origin_host[model.columns.origin[point]]);
}

// The entries of an info by the number of its text; kept, since infos repeat and rows are painted often.
function infoEntries(model, number) {
  if (number < 0) return [];
  let entries = model.infos.get(number);
  if (!entries) {
    entries = readJson(model.texts.get(number));
    model.infos.set(number, entries);
  }
  return entries;
}

function startInfo(model, point) {
  return infoEntries(model, model.columns.start_info[point]);
}

function stopInfo(model, point) {
  return infoEntries(model, model.columns.stop_info[point]);
}

function summaryOf(model, point) {
  return summarise(pointName(model, point), startInfo(model, point));
}

// What went wrong: the exception's type and its message, if the point ended with an error.
function errorOf(model, point) {
  if (!(model.flags[point] & FLAG.error)) return null;
  const info = stopInfo(model, point);
  return { type: textAt(info, ["etype"]) ?? "error", message: textAt(info, ["message"]) ?? "" };
}

function neverEnded(model, point) {
  return !(model.flags[point] & FLAG.stopped);
}

function pointId(model, point) {
  const number = model.columns.id_text[point];
  if (number >= 0) return model.texts.get(number);
  const hex = Array.from(model.columns.id.subarray(point * 16, point * 16 + 16), (byte) => byte.toString(16).padStart(2, "0")).join("");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}

function parentId(model, point) {
  const number = model.columns.parent_text[point];
  return number >= 0 ? model.texts.get(number) : pointId(model, model.parent[point]);
}

// Points whose name, service, host, id or any value of their infos holds every word of the query. `name:x` and `service:y`
// ask for that column alone, and for all of it; quotes keep words together.
function search(model, query) {
  const words = queryWords(query);
  if (words.length === 0) return [];
  const found = [];
  for (let point = 0; point < model.count; point++) {
    if (words.every((word) => matches(model, point, word))) found.push(point);
  }
  return found;
}

function queryWords(query) {
  const words = [];
  for (const [, field, quoted, bare] of query.matchAll(/(?:(name|service):)?(?:"([^"]*)"?|(\S+))/g)) {
    const text = (quoted ?? bare ?? "").toLowerCase();
    if (text) words.push({ field: field ?? "", text });
  }
  return words;
}

function matches(model, point, { field, text }) {
  const name = pointName(model, point).toLowerCase();
  const service = serviceOf(model, point).label.toLowerCase();
  if (field === "name") return name === text;
  if (field === "service") return service === text;
  return (
    name.includes(text) ||
    service.includes(text) ||
    haystack(model, model.columns.start_info[point]).includes(text) ||
    haystack(model, model.columns.stop_info[point]).includes(text) ||
    (text.length >= 8 && pointId(model, point).toLowerCase().startsWith(text))
  );
}

function haystack(model, number) {
  if (number < 0) return "";
  let text = model.haystacks.get(number);
  if (text === undefined) {
    text = readJson(model.texts.get(number)).map((entry) => entry.text).join("\n").toLowerCase();
    model.haystacks.set(number, text);
  }
  return text;
}

// One row for each name and service: how often, how long in all, without children, on average, at most, how many errors.
function statistics(model) {
  const rows = new Map();
  for (let point = 0; point < model.count; point++) {
    const key = model.columns.name[point] * model.services.length + model.service[point];
    let row = rows.get(key);
    if (!row) {
      row = { name: pointName(model, point), service: model.service[point], count: 0, total: 0, self: 0, max: -Infinity, slowest: point, errors: 0 };
      rows.set(key, row);
    }
    const took = model.stop[point] - model.start[point];
    row.count++;
    row.total += took;
    row.self += model.self[point];
    if (model.flags[point] & FLAG.error) row.errors++;
    if (took > row.max) {
      row.max = took;
      row.slowest = point;
    }
  }
  return Array.from(rows.values(), (row) => ({ ...row, mean: row.total / row.count }));
}
