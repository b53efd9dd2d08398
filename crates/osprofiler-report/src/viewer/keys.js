// SPDX-License-Identifier: Apache-2.0
// What each key does. The help dialog and the line at the bottom are made from this table, so they cannot differ from it.
// `run` gets the page's actions. Keys of `tree` rows act while nothing else (a field, a button, a table) has the focus.

const KEYS = [
  { keys: ["ArrowDown", "j"], show: "↓ j", what: "next row", tree: true, run: (page) => page.move(1) },
  { keys: ["ArrowUp", "k"], show: "↑ k", what: "row before", tree: true, run: (page) => page.move(-1) },
  { keys: ["ArrowRight"], show: "→", what: "unfold, or go to the first below", tree: true, run: (page) => page.inward() },
  { keys: ["ArrowLeft"], show: "←", what: "fold, or go to the parent", tree: true, run: (page) => page.outward() },
  { keys: ["PageDown"], show: "Page ↓", what: "a screen down", tree: true, run: (page) => page.move(page.screenful()) },
  { keys: ["PageUp"], show: "Page ↑", what: "a screen up", tree: true, run: (page) => page.move(-page.screenful()) },
  { keys: ["Home"], show: "Home", what: "first row", tree: true, run: (page) => page.move(-Infinity) },
  { keys: ["End"], show: "End", what: "last row", tree: true, run: (page) => page.move(Infinity) },
  { keys: ["Enter", " "], show: "Enter", what: "details of the row", tree: true, run: (page) => page.toggleDetails() },
  { keys: ["/"], show: "/", what: "search", hint: true, run: (page) => page.focusSearch() },
  { keys: ["n"], show: "n", what: "next match", run: (page) => page.step(1) },
  { keys: ["N"], show: "N", what: "match before", run: (page) => page.step(-1) },
  { keys: ["e"], show: "e", what: "next error", hint: true, run: (page) => page.nextError() },
  { keys: ["E"], show: "E", what: "only errors and what is above them", run: (page) => page.toggleErrors() },
  { keys: ["x"], show: "x", what: "unfold all, or fold again", hint: true, run: (page) => page.toggleUnfold() },
  { keys: ["+", "="], show: "+", what: "zoom in at the row", hint: true, run: (page) => page.zoom(0.5) },
  { keys: ["-"], show: "−", what: "zoom out", run: (page) => page.zoom(2) },
  { keys: ["0"], show: "0", what: "whole trace", run: (page) => page.zoomWhole() },
  { keys: ["z"], show: "z", what: "zoom to the row", run: (page) => page.zoomToRow() },
  { keys: ["["], show: "[", what: "earlier", run: (page) => page.pan(-0.25) },
  { keys: ["]"], show: "]", what: "later", run: (page) => page.pan(0.25) },
  { keys: ["s"], show: "s", what: "statistics, or the timeline again", hint: true, run: (page) => page.toggleView() },
  { keys: ["t"], show: "t", what: "light or dark", run: (page) => page.toggleTheme() },
  { keys: ["Escape"], show: "Esc", what: "close, clear, step back", run: (page) => page.back() },
  { keys: ["?"], show: "?", what: "this help", hint: true, run: (page) => page.help() },
];

// The action for a key press, or null. Native keys of fields, buttons and tables stay theirs.
function actionFor(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return null;
  const target = event.target;
  if (target.closest("dialog")) return null;
  if (target.closest("input")) return event.key === "Escape" ? KEYS.find((entry) => entry.keys.includes("Escape")) : null;
  const found = KEYS.find((entry) => entry.keys.includes(event.key));
  if (!found) return null;
  if (found.tree && target !== document.body && !target.closest("#rows")) return null;
  return found;
}

function paintHelp(dialog) {
  const list = element("dl", "keys");
  for (const entry of KEYS) list.append(element("div", "", element("dt", "", ...entry.show.split(" ").map((key) => element("kbd", "", key))), element("dd", "", entry.what)));
  const close = element("button", "", "Close");
  close.type = "button";
  close.addEventListener("click", () => dialog.close());
  const title = element("h2", "", "Keyboard");
  title.id = "help-title";
  const mouse = element("p", "aside", "Drag over the bars or the overview to zoom, double-click to see the whole trace, Ctrl and the wheel to zoom at the pointer. In the search, name:db and service:\"keystone/public\" ask for that column alone.");
  dialog.replaceChildren(title, list, mouse, close);
}

function paintHints(footer) {
  const hints = [["↑ ↓", "rows"], ["← →", "fold"], ["Enter", "details"], ...KEYS.filter((entry) => entry.hint).map((entry) => [entry.show, entry.what.split(",")[0]])];
  footer.replaceChildren(...hints.map(([show, what]) => element("span", "", ...show.split(" ").map((key) => element("kbd", "", key)), ` ${what}`)));
}
