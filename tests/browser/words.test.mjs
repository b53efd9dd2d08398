// SPDX-License-Identifier: Apache-2.0
// Units, summaries and what is done to characters that must not be taken at face value.

import assert from "node:assert/strict";
import test from "node:test";

import { viewer } from "./viewer.mjs";

const { count, duration, moment, oneLine, readJson, share, summarise, tickLabel, visible } = viewer;

test("durations have three digits that count, and a unit", () => {
  for (const [micros, text] of [
    [0, "0 µs"], [999, "999 µs"], [1000, "1.00 ms"], [12345, "12.3 ms"], [999900, "1000 ms"], [2570000, "2.57 s"],
    [61e6, "1 min 1 s"], [3725e6, "1 h 2 min"], [-1500, "-1.50 ms"],
  ]) assert.equal(duration(micros), text);
});

test("ticks have as many digits as their step", () => {
  for (const [micros, step, text] of [[0, 1000, "0"], [500000, 500000, "500 ms"], [1500000, 500000, "1.5 s"], [2e6, 1e6, "2 s"], [20, 10, "20 µs"], [1020, 10, "1.02 ms"], [1250500, 500, "1.2505 s"]]) {
    assert.equal(tickLabel(micros, step), text);
  }
});

test("counts and shares", () => {
  assert.equal(count(1234567), "1,234,567");
  assert.equal(share(1, 2), "50 %");
  assert.equal(share(1, 1e6), "< 0.1 %");
  assert.equal(share(1, 0), "–");
});

test("a moment keeps its microseconds, across days and before 1970", () => {
  assert.equal(moment("2026-12-31T23:59:59.999999", 2), "2027-01-01 00:00:00.000001");
  assert.equal(moment("1969-12-31T23:59:59.000001", 0), "1969-12-31 23:59:59.000001");
  assert.equal(moment("9999-12-31T23:59:59.999999", 0), "9999-12-31 23:59:59.999999");
});

test("a point is summed up by what it did", () => {
  const check = (info, text, more = "") => assert.deepEqual({ ...summarise("x", readJson(JSON.stringify(info))) }, { text, more });
  const sql = (statement, text, more) => check({ db: { statement } }, text, more);
  sql("SELECT project.id, project.name \nFROM project \nWHERE project.id = %(a)s", "SELECT project", "WHERE project.id = %(a)s");
  sql("SELECT project_tag.x FROM (SELECT project.id FROM project) AS anon_1 JOIN project_tag", "SELECT project_tag");
  sql("SELECT anon_1.images_id AS a FROM (SELECT images.id AS images_id FROM images) AS anon_1", "SELECT images");
  sql("SELECT `group`.id FROM `group`", "SELECT group");
  sql('INSERT INTO "token" (id) VALUES (1)', "INSERT token");
  sql("UPDATE volumes SET a = 1", "UPDATE volumes");
  sql("delete from t where a = 1", "DELETE t", "where a = 1");
  sql("PRAGMA  journal_mode", "PRAGMA journal_mode");
  check({ request: { method: "GET", path: "/v3", query: "a=b" } }, "GET /v3", "?a=b");
  check({ function: { name: "nova.compute.api.API.get" } }, "API.get", "nova.compute.api");
  check({ host: "h" }, "");
});

test("characters that mislead are written as their code", () => {
  assert.equal(visible("a\u202eb"), "a⟨U+202E⟩b");
  assert.equal(visible("\ud800x"), "⟨U+D800⟩x");
  assert.equal(visible("\u2028\u0000"), "⟨U+2028⟩⟨U+0000⟩");
  assert.equal(visible("a\u00adb\u{e0041}\ufff9"), "a⟨U+00AD⟩b⟨U+E0041⟩⟨U+FFF9⟩");
  assert.equal(visible("é 😀\n\tתּ"), "é 😀\n\tתּ");
  assert.equal(oneLine("a\n  b"), "a b");
});
