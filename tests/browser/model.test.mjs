// SPDX-License-Identifier: Apache-2.0
// What follows from the columns: shape, self time, search, statistics; and that the block is read as it is written.

import assert from "node:assert/strict";
import test from "node:test";
import { deflateRawSync } from "node:zlib";

import { draw, viewer } from "./viewer.mjs";

const { decodeBlock, errorOf, neverEnded, search, statistics, withAncestors } = viewer;

const TREE = `
  wsgi 0-100 @api {"request": {"method": "GET", "path": "/v3/Images"}}
    db 10-30 @api {"db": {"statement": "SELECT a FROM b"}}
    rpc 20-60 @volume error {"function": {"name": "a.b.create"}}
      driver 25-50 @volume
  wsgi 120- @api
`;

test("the shape follows from the parents", () => {
  const model = draw(TREE);
  assert.deepEqual([...model.depth], [0, 1, 1, 2, 0]);
  assert.deepEqual([...model.end], [4, 2, 4, 4, 5]);
  assert.deepEqual([...model.children], [2, 0, 1, 0, 0]);
  assert.deepEqual([...model.position], [0, 0, 1, 0, 1]);
  assert.equal(model.tops, 2);
});

test("children that overlap count once in self time, and only within their parent", () => {
  assert.deepEqual([...draw(TREE).self], [50, 20, 15, 25, 0]);
  assert.deepEqual([...draw("a 10-20\n  b 0-15\n  c 12-40").self], [0, 15, 28]);
});

test("services come in order of appearance, with their points", () => {
  assert.deepEqual(draw(TREE).services.map(({ label, points }) => `${label} ${points}`), ["api 3", "volume 2"]);
});

test("errors say what they are, and points without a stop are told", () => {
  const model = draw(TREE);
  assert.deepEqual([...model.errors], [2]);
  assert.deepEqual({ ...errorOf(model, 2) }, { type: "a.Broken", message: "it broke" });
  assert.equal(errorOf(model, 0), null);
  assert.equal(neverEnded(model, 4), true);
  assert.deepEqual([...withAncestors(model, model.errors)], [1, 0, 1, 0, 0]);
});

test("search finds names, services, values and ids, all words of the query", () => {
  const model = draw(TREE);
  for (const [query, found] of [
    ["db", [1]],
    ["IMAGES", [0]],
    ["select api", [1]],
    ["volume", [2, 3]],
    ["broken", [2]],
    ["it broke", [2]],
    ['"it broke"', [2]],
    ['"broke it"', []],
    ["name:wsgi", [0, 4]],
    ["name:ws", []],
    ["service:volume driver", [3]],
    ["method", []],
    ["   ", []],
    ["nothing like it", []],
  ]) assert.deepEqual([...search(model, query)], found, query);
});

test("statistics add up by name and service", () => {
  const rows = statistics(draw(TREE)).map(({ name, service, count, total, self, max, slowest, errors }) => [name, service, count, total, self, max, slowest, errors].join(" "));
  assert.deepEqual(rows, ["wsgi 0 2 100 50 100 0 0", "db 0 1 20 20 20 1 0", "rpc 1 1 40 15 40 2 1", "driver 1 1 25 25 25 3 0"]);
});

test("a chain of 100,000 points is as good as any", () => {
  const parent = Int32Array.from({ length: 100000 }, (_, point) => point - 1);
  const { depth, end } = viewer.shape(parent);
  assert.equal(depth[99999], 99999);
  assert.equal(end[0], 100000);
});

function block(head, ...columns) {
  const text = Buffer.from(JSON.stringify({ format: 1, ...head, columns: columns.map(([name, type, values]) => [name, type, values.length]) }));
  const length = Buffer.alloc(4);
  length.writeUInt32LE(text.length);
  const pad = (bytes) => Buffer.concat([bytes, Buffer.alloc((8 - (bytes.length % 8)) % 8)]);
  const types = { i32: Int32Array, f64: Float64Array, u32: Uint32Array, u8: Uint8Array };
  const bodies = columns.map(([, type, values]) => pad(Buffer.from(types[type].from(values).buffer)));
  return deflateRawSync(Buffer.concat([pad(Buffer.concat([length, text])), ...bodies])).toString("base64");
}

test("a block is read back, texts of any script included", async () => {
  const bytes = Buffer.from("één\u{1f600}");
  const { head, columns, texts } = await decodeBlock(block({ base_id: 7 }, ["a", "i32", [-1, 5]], ["b", "u8", [1]], ["c", "f64", [1e15]], ["text_end", "u32", [5, 5, 9]], ["text_bytes", "u8", bytes]));
  assert.equal(head.base_id, 7);
  assert.deepEqual([...columns.a, ...columns.b, ...columns.c], [-1, 5, 1, 1e15]);
  assert.deepEqual([0, 1, 2, -1].map((number) => texts.get(number)), ["één", "", "\u{1f600}", null]);
});

test("a block of another format is refused by name", async () => {
  await assert.rejects(decodeBlock(block({ format: 2 })), /format 1, the data has 2/);
});
