// SPDX-License-Identifier: Apache-2.0
// What the page says: times and shares with their units, one line that sums up a point, and text made safe to look at.
// Pure: values in, strings out.

function duration(micros) {
  const size = Math.abs(micros);
  if (size < 1000) return `${micros} µs`;
  if (size < 1e6) return `${digits(micros / 1e3)} ms`;
  if (size < 6e7) return `${digits(micros / 1e6)} s`;
  const seconds = Math.round(size / 1e6);
  const sign = micros < 0 ? "-" : "";
  if (seconds < 3600) return `${sign}${Math.floor(seconds / 60)} min ${seconds % 60} s`;
  return `${sign}${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
}

// A point on the time axis: no more digits than its step has.
function tickLabel(micros, step) {
  if (micros === 0) return "0";
  const [unit, size] = step < 1000 && micros < 1e6 ? (micros < 1000 ? ["µs", 1] : ["ms", 1e3]) : micros < 1e6 ? ["ms", 1e3] : ["s", 1e6];
  const places = Math.max(0, Math.ceil(Math.log10(size) - Math.log10(step) - 1e-9));
  return `${(micros / size).toFixed(Math.min(6, places))} ${unit}`;
}

// Three digits that count.
function digits(value) {
  const size = Math.abs(value);
  return value.toFixed(size < 10 ? 2 : size < 100 ? 1 : 0);
}

function count(value) {
  return String(value).replace(/\B(?=(\d{3})+$)/g, ",");
}

function plural(number, word) {
  return `${count(number)} ${word}${number === 1 ? "" : "s"}`;
}

function share(part, whole) {
  if (!(whole > 0)) return "–";
  const percent = (100 * part) / whole;
  return percent > 0 && percent < 0.1 ? "< 0.1 %" : `${percent.toFixed(percent < 10 ? 1 : 0)} %`;
}

// `2026-01-01 00:00:00.000000` of a moment `micros` after `started`, which is a notification's own text.
function moment(started, micros) {
  const whole = BigInt(Date.parse(`${started.slice(0, 23)}Z`)) * 1000n + BigInt(started.slice(23, 26) || 0) + BigInt(Math.round(micros));
  const fraction = ((whole % 1000000n) + 1000000n) % 1000000n;
  const text = new Date(Number((whole - fraction) / 1000n)).toISOString();
  return `${text.slice(0, 10)} ${text.slice(11, 19)}.${String(fraction).padStart(6, "0")}`;
}

// One line for a point: what it did, and something to tell it from its like.
function summarise(name, info) {
  const statement = textAt(info, ["db", "statement"]);
  if (statement !== null) return { text: statementHead(statement), more: statementCondition(statement) };
  const path = textAt(info, ["request", "path"]);
  if (path !== null) {
    const query = textAt(info, ["request", "query"]);
    return { text: `${textAt(info, ["request", "method"]) ?? ""} ${path}`.trim(), more: query ? `?${query}` : "" };
  }
  const callee = textAt(info, ["function", "name"]) ?? textAt(info, ["name"]);
  if (callee !== null) {
    const parts = callee.split(".");
    return { text: parts.slice(-2).join("."), more: parts.slice(0, -2).join(".") };
  }
  return { text: "", more: "" };
}

const TABLE = "[\"'`\\[]?([\\w$]+)";
const STATEMENT_TABLES = [
  new RegExp(`^\\s*(SELECT)\\s+(?:DISTINCT\\s+)?(?!anon_)${TABLE}["'\`\\]]?\\.`, "i"),
  new RegExp(`^\\s*(INSERT|REPLACE)\\s+(?:\\w+\\s+)?INTO\\s+${TABLE}`, "i"),
  new RegExp(`^\\s*(UPDATE)\\s+${TABLE}`, "i"),
  new RegExp(`^\\s*(DELETE)\\s+FROM\\s+${TABLE}`, "i"),
  new RegExp(`^\\s*(SELECT)\\b[^]*?\\bFROM\\s+(?!\\()${TABLE}`, "i"),
];

function statementHead(statement) {
  for (const table of STATEMENT_TABLES) {
    const found = table.exec(statement.slice(0, 20000));
    if (found) return `${found[1].toUpperCase()} ${found[2]}`;
  }
  return statement.slice(0, 120).replace(/\s+/g, " ").trim();
}

function statementCondition(statement) {
  const where = statement.search(/\bWHERE\b/i);
  return where < 0 ? "" : statement.slice(where, where + 160).replace(/\s+/g, " ");
}

// Characters that would reorder, hide or break what stands around them, written as their code: a value must not be
// able to look like something it is not. The same ones as at the terminal, and halves of characters.
const UNSEEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]|[\udb40-\udb43][\udc00-\udfff]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;

function visible(text) {
  return text.replace(UNSEEN, (character) => `\u27e8U+${character.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}\u27e9`);
}

function oneLine(text) {
  return visible(text.slice(0, 400)).replace(/\s+/g, " ");
}
