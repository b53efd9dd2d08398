// SPDX-License-Identifier: Apache-2.0
// The page: its state, what each action changes, and one repaint a frame after a change.
// Comes in: the inert block and the reader's keys, pointer and scrolling. Goes out: calls to the painters.
// Everything that can be computed without the page is in model.js and layout.js.

async function openPage() {
  const message = byId("message");
  try {
    const trace = await decodeBlock(byId("trace").textContent);
    byId("trace").remove();
    const page = new Page(makeModel(trace));
    page.start();
    message.hidden = true;
    document.documentElement.dataset.ready = "true";
  } catch (error) {
    message.textContent = typeof DecompressionStream === "undefined"
      ? "This browser is too old to read the trace: it needs Chrome 103, Firefox 113, Safari 16.4 or later."
      : `The trace in this page cannot be read: ${error.message}`;
    throw error;
  }
}

class Page {
  constructor(model) {
    this.model = model;
    this.runs = findRuns(model);
    this.pool = [];
    this.state = {
      selected: null, hovered: null, closed: new Uint8Array(model.count), unfolded: new Uint8Array(this.runs.first.length),
      keep: null, hits: null, found: [], current: -1, window: { from: 0, to: Math.max(1, model.duration) }, sort: { key: "self", descending: true },
    };
    this.overviewKey = "";
    this.pending = false;
  }

  get whole() {
    return Math.max(1, this.model.duration);
  }

  start() {
    const { model } = this;
    paintHeader(model, { onService: (label) => this.searchFor(`service:"${label}"`) });
    paintHelp(byId("help"));
    paintHints(byId("hints"));
    this.layoutRows();
    this.state.selected = this.rows.length > 0 ? this.rows[0] : null;
    this.paintErrorToggle();
    byId("unfold").hidden = this.runs.first.length === 0;
    this.readTheme();
    listen(this);
    byId("rows").focus({ preventScroll: true });
    this.repaint();
  }

  // Rows and where they lie ---------------------------------------------------------------------------------------------

  layoutRows() {
    this.rows = visibleRows(this.model, this.runs, this.state);
    this.measure();
  }

  measure() {
    const box = byId("rows");
    this.stacked = window.matchMedia("(max-width: 720px)").matches;
    this.rowHeight = this.stacked ? 48 : 28;
    this.viewport = box.clientHeight;
    this.across = box.clientWidth;
    this.extent = scrollExtent(this.rows.length, this.rowHeight, this.viewport);
    byId("stage").style.height = `${this.viewport}px`;
    byId("filler").style.height = `${Math.max(0, this.extent.element - this.viewport)}px`;
    this.left = this.stacked ? 12 : byId("splitter").offsetLeft + byId("splitter").offsetWidth;
  }

  offset() {
    return offsetOfScroll(this.extent, byId("rows").scrollTop);
  }

  rowIndex(code) {
    return this.rows.indexOf(code);
  }

  // Painting ------------------------------------------------------------------------------------------------------------

  repaint() {
    if (this.pending) return;
    this.pending = true;
    requestAnimationFrame(() => {
      this.pending = false;
      this.paint();
    });
  }

  paint() {
    if (byId("timeline").hidden) return;
    const offset = this.offset();
    const first = Math.floor(offset / this.rowHeight);
    const last = Math.min(this.rows.length, first + Math.ceil(this.viewport / this.rowHeight) + 1);
    const shown = [];
    for (let index = first; index < last; index++) {
      const code = this.rows[index];
      shown.push({ code, top: index * this.rowHeight - offset });
    }
    this.paintRows(shown);
    this.paintBand("band", shown, this.state.selected);
    this.paintBand("hover-band", shown, this.state.hovered);
    const area = { left: this.left, width: Math.max(1, this.across - this.left - 12), height: this.viewport, rowHeight: this.rowHeight, stacked: this.stacked };
    paintWaterfall(byId("waterfall"), this, shown, area, this.colours);
    const axis = byId("axis");
    const stack = this.stacked ? 0 : this.left;
    axis.style.left = `${stack}px`;
    paintAxis(axis, this.state, this.colours, area.width + (this.stacked ? 12 : 0), axis.parentElement.clientHeight);
    this.paintOverview();
    this.paintWindow();
  }

  paintRows(shown) {
    const pool = byId("pool");
    while (this.pool.length < shown.length) {
      const made = makeRow(this.pool.length);
      this.pool.push(made);
      pool.append(made.row);
    }
    const depths = shown.map(({ code }) => rowDepth(this.model, this.runs, code));
    const room = (this.stacked ? this.across : this.left) * 0.42;
    const { base, step } = indentation(depths, room);
    byId("column-name").textContent = base > 0 ? `Trace point · from level ${count(base + 1)}` : "Trace point";
    let active = null;
    this.pool.forEach((made, slot) => {
      made.row.hidden = slot >= shown.length;
      if (made.row.hidden) return;
      const { code, top } = shown[slot];
      fillRow(made, this, code, { top, depth: depths[slot], indent: 8 + (depths[slot] - base) * step });
      if (code === this.state.selected) active = made.row.id;
    });
    if (active) byId("rows").setAttribute("aria-activedescendant", active);
    else byId("rows").removeAttribute("aria-activedescendant");
  }

  paintBand(id, shown, code) {
    const place = shown.find((row) => row.code === code);
    byId(id).hidden = !place;
    if (place) byId(id).style.transform = `translateY(${place.top}px)`;
  }

  paintOverview() {
    const canvas = byId("overview");
    const [width, height] = [canvas.parentElement.clientWidth, canvas.parentElement.clientHeight];
    const key = `${width} ${height} ${window.devicePixelRatio} ${this.dark}`;
    if (key !== this.overviewKey) {
      this.overviewKey = key;
      this.overviewTrace ??= document.createElement("canvas");
      paintOverviewTrace(this.overviewTrace, this.model, this.colours, width, height);
    }
    const context = sizedContext(canvas, width, height);
    if (width > 0 && height > 0) context.drawImage(this.overviewTrace, 0, 0, width, height);
    paintOverviewWindow(context, this.state.window, this.model.duration, this.colours, width, height);
  }

  paintWindow() {
    const { from, to } = this.state.window;
    const zoomedIn = to - from < this.whole;
    byId("window").textContent = zoomedIn ? `${duration(Math.round(from))} – ${duration(Math.round(to))}` : "";
    byId("zoom-reset").hidden = !zoomedIn;
  }

  paintErrorToggle() {
    const button = byId("errors");
    const errors = this.model.errors.length;
    button.textContent = errors ? `✕ ${plural(errors, "error")}` : "No errors";
    button.disabled = errors === 0;
    button.setAttribute("aria-pressed", this.state.keep !== null);
  }

  // Moving about --------------------------------------------------------------------------------------------------------

  select(code) {
    this.state.selected = code;
    const index = this.rowIndex(code);
    if (index >= 0) {
      const box = byId("rows");
      const offset = offsetShowing(index, this.rowHeight, this.offset(), this.viewport);
      if (offset !== this.offset()) box.scrollTop = scrollOfOffset(this.extent, offset);
    }
    if (!byId("details").hidden) this.paintDetails();
    this.repaint();
  }

  move(by) {
    if (this.rows.length === 0) return;
    const now = Math.max(0, this.rowIndex(this.state.selected));
    this.select(this.rows[Math.max(0, Math.min(this.rows.length - 1, now + by))]);
  }

  screenful() {
    return Math.max(1, Math.floor(this.viewport / this.rowHeight) - 2);
  }

  isOpen(code) {
    return code < 0 ? this.state.unfolded[-1 - code] === 1 : this.model.children[code] > 0 && this.state.closed[code] === 0;
  }

  setOpen(code, open) {
    if (this.state.keep) return;
    if (code < 0) this.state.unfolded[-1 - code] = open ? 1 : 0;
    else this.state.closed[code] = open ? 0 : 1;
    this.layoutRows();
    this.repaint();
  }

  inward() {
    const code = this.state.selected;
    if (code === null || (code >= 0 && this.model.children[code] === 0)) return;
    if (this.isOpen(code)) this.move(1);
    else this.setOpen(code, true);
  }

  outward() {
    const code = this.state.selected;
    if (code === null) return;
    if (this.isOpen(code) && !this.state.keep) return this.setOpen(code, false);
    const run = code >= 0 && !this.state.keep ? this.runs.ofPoint[code] : -1;
    const above = run >= 0 ? -1 - run : this.model.parent[code < 0 ? this.runs.first[-1 - code] : code];
    if (run >= 0 || above >= 0) this.select(above);
  }

  // Makes a point's row exist, whatever is folded, and goes there.
  show(point) {
    if (this.state.keep && !this.state.keep[point]) this.toggleErrors();
    this.setView("timeline");
    for (let above = this.model.parent[point]; above >= 0; above = this.model.parent[above]) this.state.closed[above] = 0;
    if (this.runs.ofPoint[point] >= 0) this.state.unfolded[this.runs.ofPoint[point]] = 1;
    this.layoutRows();
    this.select(point);
  }

  toggleUnfold() {
    const { unfolded, closed } = this.state;
    const open = unfolded.includes(0) || closed.includes(1) ? 1 : 0;
    unfolded.fill(open);
    closed.fill(0);
    byId("unfold").setAttribute("aria-pressed", open === 1);
    byId("unfold").textContent = open ? "Fold runs" : "Unfold all";
    const selected = this.state.selected;
    this.layoutRows();
    if (selected !== null && this.rowIndex(selected) < 0) return this.select(-1 - this.runs.ofPoint[selected]);
    if (selected !== null) this.select(selected);
  }

  // Details -------------------------------------------------------------------------------------------------------------

  toggleDetails() {
    if (!byId("details").hidden) this.closeDetails();
    else this.openDetails();
  }

  openDetails() {
    if (this.state.selected === null) return;
    byId("details").hidden = false;
    this.paintDetails();
    this.resized();
    this.select(this.state.selected);
    if (this.stacked) byId("details").focus();
  }

  closeDetails() {
    byId("details").hidden = true;
    this.resized();
    byId("rows").focus({ preventScroll: true });
  }

  paintDetails() {
    paintDetails(byId("details"), this, this.state.selected, { close: () => this.closeDetails(), show: (point) => this.show(point) });
  }

  // Search and errors ---------------------------------------------------------------------------------------------------

  focusSearch() {
    byId("query").focus();
    byId("query").select();
  }

  searchFor(query) {
    byId("query").value = query;
    this.setView("timeline");
    this.search();
    this.step(1);
  }

  search() {
    const query = byId("query").value;
    const { state, model } = this;
    const asked = query.trim() !== "";
    state.found = asked ? search(model, query) : [];
    state.current = -1;
    state.hits = asked ? new Uint8Array(model.count) : null;
    for (const point of state.found) state.hits[point] = 1;
    this.paintFound();
    this.repaint();
  }

  step(by) {
    const { state } = this;
    if (state.found.length === 0) return;
    state.current = state.current < 0 ? (by > 0 ? 0 : state.found.length - 1) : (state.current + by + state.found.length) % state.found.length;
    this.paintFound();
    this.show(state.found[state.current]);
  }

  paintFound() {
    const { hits, found, current } = this.state;
    const place = current >= 0 ? `${count(current + 1)} of ` : "";
    byId("found").textContent = hits === null ? "" : found.length === 0 ? "nothing found" : place ? `${place}${count(found.length)}` : plural(found.length, "match").replace("matchs", "matches");
    byId("previous").hidden = byId("next").hidden = found.length === 0;
  }

  nextError() {
    const { errors } = this.model;
    if (errors.length === 0) return;
    const now = this.state.selected ?? -1;
    const at = now < 0 ? this.runs.first[-1 - now] : now;
    this.show(errors.find((point) => point > at) ?? errors[0]);
  }

  toggleErrors() {
    const { state, model } = this;
    if (model.errors.length === 0) return;
    state.keep = state.keep ? null : withAncestors(model, model.errors);
    this.setView("timeline");
    this.layoutRows();
    this.paintErrorToggle();
    if (this.rowIndex(state.selected) < 0) this.select(this.rows.find((code) => code >= 0 && model.flags[code] & FLAG.error) ?? this.rows[0]);
    else this.select(state.selected);
  }

  // Time window ---------------------------------------------------------------------------------------------------------

  setWindow(range) {
    this.state.window = range;
    this.repaint();
  }

  selectedRange() {
    const code = this.state.selected;
    if (code === null) return { from: 0, to: this.whole };
    const [first, last] = code < 0 ? [this.runs.first[-1 - code], this.runs.last[-1 - code]] : [code, code + 1];
    let to = this.model.start[first];
    for (let point = first; point < last; point++) to = Math.max(to, neverEnded(this.model, point) ? this.whole : this.model.stop[point]);
    return { from: this.model.start[first], to };
  }

  zoom(factor) {
    const { from, to } = this.selectedRange();
    const { window: now } = this.state;
    const middle = (from + to) / 2;
    const inSight = middle >= now.from && middle <= now.to;
    const range = inSight ? now : moved(now, middle - (now.from + now.to) / 2, this.whole);
    this.setWindow(zoomed(range, factor, factor < 1 ? middle : (range.from + range.to) / 2, this.whole));
    if (factor > 1) this.setWindow(moved(this.state.window, 0, this.whole));
  }

  zoomToRow() {
    const { from, to } = this.selectedRange();
    const margin = Math.max(5, (to - from) * 0.04);
    this.setWindow(moved({ from: from - margin, to: Math.min(to + margin, from - margin + this.whole) }, 0, this.whole));
  }

  zoomWhole() {
    this.setWindow({ from: 0, to: this.whole });
  }

  pan(part) {
    const { from, to } = this.state.window;
    this.setWindow(moved(this.state.window, (to - from) * part, this.whole));
  }

  // Views, theme, stepping back -----------------------------------------------------------------------------------------

  setView(name) {
    for (const view of ["timeline", "statistics"]) {
      byId(view).hidden = view !== name;
      byId(`tab-${view}`).setAttribute("aria-selected", view === name);
      byId(`tab-${view}`).tabIndex = view === name ? 0 : -1;
    }
    if (name === "statistics") return this.paintStatistics();
    this.resized();
    const focused = document.activeElement;
    if (focused === document.body || byId("statistics").contains(focused)) byId("rows").focus({ preventScroll: true });
  }

  toggleView() {
    const name = byId("timeline").hidden ? "timeline" : "statistics";
    this.setView(name);
    byId(name === "timeline" ? "rows" : "statistics").focus({ preventScroll: true });
  }

  paintStatistics() {
    paintStatistics(byId("statistics"), this.model, this.state.sort, {
      sort: (key) => {
        const { sort } = this.state;
        this.state.sort = { key, descending: sort.key === key ? !sort.descending : key !== "name" && key !== "service" };
        this.paintStatistics();
      },
      find: (query) => this.searchFor(query),
      show: (point) => this.show(point),
    });
  }

  readTheme() {
    const chosen = document.documentElement.dataset.theme;
    this.dark = chosen ? chosen === "dark" : window.matchMedia("(prefers-color-scheme: dark)").matches;
    this.colours = readColours();
  }

  toggleTheme() {
    document.documentElement.dataset.theme = this.dark ? "light" : "dark";
    this.readTheme();
    this.repaint();
  }

  help() {
    byId("help").showModal();
  }

  back() {
    const query = byId("query");
    if (!byId("details").hidden) return this.closeDetails();
    if (query.value !== "") {
      query.value = "";
      this.search();
    } else if (this.state.keep) {
      this.toggleErrors();
    } else if (byId("timeline").hidden) {
      this.setView("timeline");
    } else if (this.state.window.to - this.state.window.from < this.whole) {
      this.zoomWhole();
    }
    byId("rows").focus({ preventScroll: true });
  }

  resized() {
    if (byId("timeline").hidden) return;
    this.measure();
    this.repaint();
  }
}
