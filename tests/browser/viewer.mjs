// SPDX-License-Identifier: Apache-2.0
// The viewer's own scripts, loaded as the page loads them: one after another into one scope, without a browser.
// Also draws models out of indented text, so that a case reads like the tree it is about.

import { readFileSync } from "node:fs";

const FOLDER = new URL("../../crates/osprofiler-report/src/viewer/", import.meta.url);

export function source(name) {
  return readFileSync(new URL(name, FOLDER), "utf8");
}

// The functions and classes of scripts that need no document, in one scope of their own as in the page.
export function load(...names) {
  const text = names.map(source).join("\n");
  const words = [...text.matchAll(/^(?:async )?(?:function|class|const) (\w+)/gm)].map(([, word]) => word);
  return new Function(`"use strict";\n${text}\nreturn { ${words.join(", ")} };`)();
}

export const viewer = load("decode.js", "json.js", "words.js", "model.js", "layout.js");

const FLAGS = { error: 4, orphan: 8, cycle: 16 };

// A model of lines such as `  db 10-25 @keystone error {"db": ...}`: two blanks a level, times in microseconds,
// `-` for no stop. What follows the times may be a service, flags and the start's info, in that order.
export function draw(drawing) {
  const lines = drawing.split("\n").filter((line) => line.trim() !== "");
  const margin = Math.min(...lines.map((line) => line.search(/\S/)));
  const texts = [];
  const number = (text) => {
    if (!texts.includes(text)) texts.push(text);
    return texts.indexOf(text);
  };
  const columns = {
    parent: [], start_us: [], stop_us: [], name: [], origin: [], flags: [], id: [], id_text: [], parent_text: [], start_info: [], stop_info: [],
    origin_project: [], origin_service: [], origin_host: [], loss_reason: [], loss_count: [],
  };
  const path = [];
  lines.forEach((line, point) => {
    const [, blanks, name, from, to, service, flags, info] = /^( *)(\S+) (\d+)-(\d*)(?: @(\S+))?((?: (?:error|orphan|cycle))*)(?: (\{.*))?$/.exec(line.slice(margin));
    const level = blanks.length / 2;
    path.length = level;
    columns.parent.push(level === 0 ? -1 : path[level - 1]);
    path.push(point);
    columns.start_us.push(Number(from));
    columns.stop_us.push(Number(to || from));
    columns.name.push(number(name));
    const origin = number(service ?? "s");
    let found = columns.origin_service.indexOf(origin);
    if (found < 0) {
      found = columns.origin_service.push(origin) - 1;
      columns.origin_project.push(-1);
      columns.origin_host.push(-1);
    }
    columns.origin.push(found);
    columns.flags.push(flags.trim().split(" ").filter(Boolean).reduce((sum, flag) => sum | FLAGS[flag], to ? 3 : 1));
    columns.id.push(...Array(16).fill(0));
    columns.id_text.push(number(`id ${point}`));
    columns.parent_text.push(level === 0 ? number("B") : -1);
    columns.start_info.push(number(info ?? "{}"));
    columns.stop_info.push(to ? number(flags.includes("error") ? '{"etype": "a.Broken", "message": "it broke"}' : "{}") : -1);
  });
  const head = { format: 1, base_id: number("B"), started: number("2026-01-01T00:00:00.000000"), duration_us: Math.max(0, ...columns.stop_us), skipped: 0 };
  return viewer.makeModel({ head, columns, texts: { get: (index) => (index < 0 ? null : texts[index]) } });
}
