// SPDX-License-Identifier: Apache-2.0
// What the reader does, wired to the page's actions: keys, clicks, scrolling, dragging over times, the splitter.
// Comes in: events. Goes out: calls of `Page`. No state but that of a drag under way.

function listen(page) {
  document.addEventListener("keydown", (event) => {
    const found = actionFor(event);
    if (!found) return;
    event.preventDefault();
    found.run(page);
  });
  listenToRows(page);
  listenToSearch(page);
  listenToTimes(page);
  listenToSplitter(page);
  const click = (id, act) => byId(id).addEventListener("click", act);
  click("help-open", () => page.help());
  click("theme", () => page.toggleTheme());
  click("errors", () => page.toggleErrors());
  click("unfold", () => page.toggleUnfold());
  click("zoom-reset", () => page.zoomWhole());
  click("tab-timeline", () => page.setView("timeline"));
  click("tab-statistics", () => page.setView("statistics"));
  for (const [id, other] of [["tab-timeline", "tab-statistics"], ["tab-statistics", "tab-timeline"]]) {
    byId(id).addEventListener("keydown", (event) => {
      if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
      page.setView(other.slice(4));
      byId(other).focus();
    });
  }
  new ResizeObserver(() => page.resized()).observe(byId("rows"));
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    page.readTheme();
    page.repaint();
  });
}

function listenToRows(page) {
  const rows = byId("rows");
  const codeAt = (event) => {
    const index = Math.floor((page.offset() + event.clientY - rows.getBoundingClientRect().top) / page.rowHeight);
    return index < page.rows.length ? page.rows[index] : null;
  };
  rows.addEventListener("scroll", () => page.repaint(), { passive: true });
  rows.addEventListener("pointermove", (event) => {
    const code = codeAt(event);
    if (code === page.state.hovered) return;
    page.state.hovered = code;
    page.repaint();
  });
  rows.addEventListener("pointerleave", () => {
    page.state.hovered = null;
    page.repaint();
  });
  rows.addEventListener("click", (event) => {
    const code = codeAt(event);
    if (code === null || page.dragged) return;
    if (event.target.closest(".twist")?.textContent) {
      page.select(code);
      page.setOpen(code, !page.isOpen(code));
      return;
    }
    page.select(code);
    if (byId("details").hidden) page.openDetails();
  });
}

const SEARCH_DELAY_MS = 120;

function listenToSearch(page) {
  const query = byId("query");
  let waiting = 0;
  query.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => page.search(), SEARCH_DELAY_MS);
  });
  query.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    clearTimeout(waiting);
    if (page.state.current < 0) page.search();
    page.step(event.shiftKey ? -1 : 1);
    if (!event.shiftKey) byId("rows").focus({ preventScroll: true });
  });
  byId("next").addEventListener("click", () => page.step(1));
  byId("previous").addEventListener("click", () => page.step(-1));
}

// Dragging over the bars or over the overview selects a range of time; a double click gives the whole trace back.
function listenToTimes(page) {
  dragOver(byId("rows"), page, () => ({ left: page.left, width: page.across - page.left - 12, range: page.state.window }), () => !page.stacked);
  dragOver(byId("axis"), page, () => ({ left: 0, width: byId("axis").clientWidth, range: page.state.window }), () => !page.stacked);
  dragOver(byId("overview"), page, () => ({ left: 0, width: byId("overview").clientWidth, range: { from: 0, to: page.whole } }), () => true);
  for (const id of ["rows", "overview", "axis"]) {
    byId(id).addEventListener("dblclick", (event) => {
      if (id !== "rows" || event.offsetX > page.left) page.zoomWhole();
    });
  }
  byId("rows").addEventListener("wheel", (event) => {
    const x = event.clientX - byId("rows").getBoundingClientRect().left - page.left;
    if (!event.ctrlKey || x < 0) return;
    event.preventDefault();
    const { from, to } = page.state.window;
    const centre = from + ((to - from) * x) / (page.across - page.left - 12);
    page.setWindow(zoomed(page.state.window, event.deltaY > 0 ? 1.25 : 0.8, centre, page.whole));
  }, { passive: false });
}

const DRAG_LEAST = 5;

function dragOver(target, page, area, allowed) {
  target.addEventListener("pointerdown", (event) => {
    page.dragged = false;
    if (event.button !== 0 || !allowed()) return;
    const edge = target.getBoundingClientRect().left;
    const { left, width, range } = area();
    const timeAt = (clientX) => range.from + Math.max(0, Math.min(1, (clientX - edge - left) / width)) * (range.to - range.from);
    if (event.clientX - edge < left) return;
    const began = event.clientX;
    const brush = element("div", "brush");
    const move = (moving) => {
      if (!page.dragged && Math.abs(moving.clientX - began) < DRAG_LEAST) return;
      if (!page.dragged) {
        page.dragged = true;
        document.body.append(brush);
      }
      const box = target.getBoundingClientRect();
      const [a, b] = [Math.min(began, moving.clientX), Math.max(began, moving.clientX)];
      brush.style.left = `${Math.max(box.left + left, a)}px`;
      brush.style.width = `${Math.min(box.right, b) - Math.max(box.left + left, a)}px`;
      brush.style.top = `${box.top}px`;
      brush.style.height = `${box.height}px`;
    };
    const finish = (ending) => {
      document.removeEventListener("pointermove", move);
      document.removeEventListener("pointerup", finish);
      document.removeEventListener("pointercancel", finish);
      brush.remove();
      byId("rows").focus({ preventScroll: true });
      if (!page.dragged || ending.type === "pointercancel") return;
      const [from, to] = [timeAt(began), timeAt(ending.clientX)].sort((a, b) => a - b);
      if (to - from >= 1) page.setWindow({ from, to: Math.max(to, from + 10) });
    };
    document.addEventListener("pointermove", move);
    document.addEventListener("pointerup", finish);
    document.addEventListener("pointercancel", finish);
  });
}

function listenToSplitter(page) {
  const splitter = byId("splitter");
  const setWidth = (width) => {
    const box = byId("rows").getBoundingClientRect();
    const bounded = Math.max(220, Math.min(box.width - 160, width));
    byId("timeline").style.setProperty("--tree-width", `${bounded}px`);
    splitter.setAttribute("aria-valuenow", Math.round((100 * bounded) / box.width));
    page.resized();
  };
  splitter.setAttribute("aria-valuenow", Math.round((100 * splitter.offsetLeft) / byId("rows").clientWidth));
  splitter.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -24, ArrowRight: 24 }[event.key];
    if (!by) return;
    event.preventDefault();
    setWidth(splitter.offsetLeft + by);
  });
  splitter.addEventListener("pointerdown", (event) => {
    splitter.setPointerCapture(event.pointerId);
    const edge = byId("rows").getBoundingClientRect().left;
    const move = (moving) => setWidth(moving.clientX - edge);
    splitter.addEventListener("pointermove", move);
    splitter.addEventListener("lostpointercapture", () => splitter.removeEventListener("pointermove", move), { once: true });
  });
}
