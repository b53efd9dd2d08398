// SPDX-License-Identifier: Apache-2.0
// Reads the JSON of an `info` as Python writes it: NaN, Infinity, integers of any length, lone surrogates.
// Comes in: text. Goes out: a flat list of entries { depth, key, kind, text }, in order, which is what gets shown,
// searched and summarised. No recursion, whatever the depth; what is no JSON ends up as one entry of kind `broken`.

const JSON_TOKEN = /[\s,:]*(?:([{[])|([}\]])|(")|([^\s,:{}[\]"]+))/y;

function readJson(text) {
  const entries = [];
  const open = [];
  let position = 0;
  let key = null;
  while (position < text.length) {
    JSON_TOKEN.lastIndex = position;
    const token = JSON_TOKEN.exec(text);
    if (!token) break;
    position = JSON_TOKEN.lastIndex;
    const [, opens, closes, quote, word] = token;
    if (closes) {
      open.pop();
      continue;
    }
    let string = null;
    if (quote) {
      const end = stringEnd(text, position);
      string = decodeString(text.slice(position - 1, end));
      position = end;
    }
    const parent = open[open.length - 1];
    if (parent && parent.kind === "object" && key === null && string !== null) {
      key = string;
      continue;
    }
    const entry = { depth: open.length, key: parent && parent.kind === "array" ? parent.size : key, kind: "", text: "", size: 0 };
    key = null;
    if (parent) parent.size++;
    if (opens) {
      entry.kind = opens === "{" ? "object" : "array";
      open.push(entry);
    } else if (string !== null) {
      entry.kind = "string";
      entry.text = string;
    } else {
      entry.kind = /^-?\d/.test(word) ? "number" : "word";
      entry.text = word;
    }
    entries.push(entry);
  }
  const rest = text.slice(position).trim();
  if (rest) entries.push({ depth: open.length, key: null, kind: "broken", text: rest, size: 0 });
  return entries;
}

// Past the quote that ends the string whose characters begin at `position`: the first one not behind a backslash.
function stringEnd(text, position) {
  for (;;) {
    const quote = text.indexOf('"', position);
    if (quote < 0) return text.length;
    let slash = quote;
    while (slash > position && text[slash - 1] === "\\") slash--;
    position = quote + 1;
    if ((quote - slash) % 2 === 0) return position;
  }
}

function decodeString(token) {
  try {
    return JSON.parse(token);
  } catch {
    return token.slice(1, -1);
  }
}

// The text at a path such as ["db", "statement"], or null. A path is looked for from the top only.
function textAt(entries, path) {
  let level = 0;
  for (const entry of entries) {
    if (entry.depth === 0) continue;
    if (entry.depth <= level) level = entry.depth - 1;
    if (entry.depth !== level + 1 || entry.key !== path[level]) continue;
    if (level + 1 === path.length) return entry.kind === "object" || entry.kind === "array" ? null : entry.text;
    level++;
  }
  return null;
}
