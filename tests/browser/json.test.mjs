// SPDX-License-Identifier: Apache-2.0
// What `json.js` makes of an info, valid or not: one line an entry, `depth key kind text`.

import assert from "node:assert/strict";
import test from "node:test";

import { viewer } from "./viewer.mjs";

const { readJson, textAt } = viewer;

function check(text, ...expected) {
  const lines = readJson(text).map(({ depth, key, kind, text: value }) => [depth, key ?? "", kind, value].join(" ").trim());
  assert.deepEqual(lines, expected, text);
}

test("objects, arrays and their members come in order", () => {
  check('{"a": {"b": [1, "x"]}, "c": null}', "0  object", "1 a object", "2 b array", "3 0 number 1", "3 1 string x", "1 c word null");
  check("[]", "0  array");
  check('"alone"', "0  string alone");
});

test("what Python writes beyond JSON is kept as it is", () => {
  check(
    '{"n": NaN, "i": -Infinity, "big": 123456789012345678901234567890, "e": 1.0e-7}',
    "0  object", "1 n word NaN", "1 i word -Infinity", "1 big number 123456789012345678901234567890", "1 e number 1.0e-7",
  );
});

test("strings are decoded, lone surrogates included", () => {
  check(String.raw`{"a\"b": "\u00e9\n\\\"", "s": "\ud800"}`, "0  object", '1 a"b string é\n\\"', "1 s string \ud800");
  check('{"end": "\\\\"}', "0  object", "1 end string \\");
  check('{"raw": "a\nb"}', "0  object", "1 raw string a\nb");
});

test("names that mean something to JavaScript are only names", () => {
  check('{"__proto__": {"x": 1}, "constructor": 2}', "0  object", "1 __proto__ object", "2 x number 1", "1 constructor number 2");
});

test("what is no JSON ends as one broken entry", () => {
  check('{"a": 1, "b', "0  object", "1 a number 1");
  check("{'a': 1}", "0  object", "1  word 'a'", "1  number 1");
  check("", ...[]);
});

test("depth costs no stack", () => {
  const deep = 200000;
  assert.equal(readJson("[".repeat(deep) + "]".repeat(deep)).length, deep);
});

test("a long string costs no stack", () => {
  const [, entry] = readJson(`{"s": "${"x\\n".repeat(500000)}"}`);
  assert.equal(entry.text.length, 1000000);
});

test("textAt looks from the top only, and finds texts only", () => {
  const entries = readJson('{"x": {"db": {"statement": "no"}}, "db": {"params": {"statement": "nor this"}, "statement": "yes"}, "statement": {}}');
  assert.equal(textAt(entries, ["db", "statement"]), "yes");
  assert.equal(textAt(entries, ["statement"]), null);
  assert.equal(textAt(entries, ["db", "none"]), null);
  assert.equal(textAt([], ["db"]), null);
});
