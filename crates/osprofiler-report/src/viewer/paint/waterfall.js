// SPDX-License-Identifier: Apache-2.0
// The bars beside the rows, the axis above them and the whole trace in small, on canvases.
// Comes in: model, rows in sight, time window, colours. Goes out: pixels; nothing is measured or kept here.

function paintAxis(canvas, { window: range }, colours, width, height) {
  const context = sizedContext(canvas, width, height);
  const { step, list } = ticks(range, width);
  context.font = colours.font;
  context.textBaseline = "middle";
  for (const tick of list) {
    const { x } = bar(tick, tick, range, width);
    context.fillStyle = colours.line;
    context.fillRect(Math.round(x), height - 7, 1, 7);
    context.fillStyle = colours.muted;
    const label = tickLabel(tick, step);
    const room = context.measureText(label).width;
    if (x + 5 + room <= width) context.fillText(label, x + 5, height / 2 + 1);
  }
}

// Beyond the end of the axis, so that the frame of a bar that ends there is whole.
const EDGE = 6;

// `shown` is [{ code, top }]; `area` is { left, width, height, rowHeight, stacked }.
function paintWaterfall(canvas, view, shown, area, colours) {
  const context = sizedContext(canvas, area.left + area.width + EDGE, area.height);
  context.save();
  context.beginPath();
  context.rect(area.left, 0, area.width + EDGE, area.height);
  context.clip();
  context.translate(area.left, 0);
  context.fillStyle = colours.faint;
  if (!area.stacked) for (const tick of ticks(view.state.window, area.width).list) context.fillRect(Math.round(bar(tick, tick, view.state.window, area.width).x), 0, 1, area.height);
  context.font = colours.font;
  context.textBaseline = "middle";
  for (const { code, top } of shown) {
    if (code < 0) paintRun(context, view, -1 - code, top, area, colours);
    else paintPoint(context, view, code, top, area, colours);
  }
  context.restore();
}

function barBox(area) {
  return area.stacked ? { inset: area.rowHeight - 13, height: 6 } : { inset: (area.rowHeight - 12) / 2, height: 12 };
}

function paintPoint(context, { model, state }, point, top, area, colours) {
  const open = neverEnded(model, point);
  const stop = open ? model.duration : model.stop[point];
  const box = bar(model.start[point], stop, state.window, area.width);
  if (!box) return;
  const { inset, height } = barBox(area);
  const colour = colours.services[serviceOf(model, point).colour];
  const dimmed = state.hits !== null && state.hits[point] === 0;
  const y = top + inset;
  context.globalAlpha = dimmed ? 0.3 : 1;
  context.fillStyle = colour;
  if (open) {
    context.globalAlpha *= 0.35;
    roundedBar(context, box.x, y, box.width, height);
    context.globalAlpha = dimmed ? 0.3 : 1;
    context.strokeStyle = colour;
    context.setLineDash([4, 3]);
    context.strokeRect(box.x + 0.5, y + 0.5, box.width - 1, height - 1);
    context.setLineDash([]);
  } else {
    roundedBar(context, box.x, y, box.width, height);
  }
  if (model.flags[point] & FLAG.error) paintErrorMark(context, box, y, height, colours);
  context.globalAlpha = 1;
  if (!area.stacked) paintBarLabel(context, box, top, area, open ? "never ended" : duration(stop - model.start[point]), colours);
}

// A cross at the bar's end and a frame round it: seen without colour.
function paintErrorMark(context, box, y, height, colours) {
  context.strokeStyle = colours.error;
  context.lineWidth = 2;
  context.strokeRect(box.x - 1, y - 1, box.width + 2, height + 2);
  context.lineWidth = 1;
}

function paintBarLabel(context, box, top, area, text, colours) {
  const room = context.measureText(text).width;
  const middle = top + area.rowHeight / 2 + 0.5;
  context.fillStyle = colours.muted;
  if (box.x + box.width + 8 + room < area.width) context.fillText(text, box.x + box.width + 6, middle);
  else if (box.x - 8 - room > 0) context.fillText(text, box.x - 6 - room, middle);
}

// All members of a run in one row. Members that fall on a pixel already painted are skipped, so that
// a run of a million costs a pass over its numbers and as many rectangles as there are pixels.
function paintRun(context, { model, runs, state }, run, top, area, colours) {
  const { inset, height } = barBox(area);
  const first = runs.first[run];
  const scale = area.width / (state.window.to - state.window.from);
  context.fillStyle = colours.services[serviceOf(model, first).colour];
  let painted = -Infinity;
  for (let point = first; point < runs.last[run]; point++) {
    const left = (model.start[point] - state.window.from) * scale;
    const right = Math.max(left + 1, (model.stop[point] - state.window.from) * scale);
    if (right <= painted || right < 0 || left > area.width) continue;
    context.globalAlpha = state.hits !== null && state.hits[point] === 0 ? 0.25 : 0.9;
    const from = Math.max(left, painted, -2);
    context.fillRect(from, top + inset, Math.min(right, area.width + 2) - from, height);
    painted = right;
  }
  context.globalAlpha = 1;
}

function roundedBar(context, x, y, width, height) {
  context.beginPath();
  context.roundRect(x, y, width, height, Math.min(3, width / 2));
  context.fill();
}

// The whole trace in small: a lane for each depth, children below their parents. Painted once for each size and theme.
function paintOverviewTrace(canvas, model, colours, width, height) {
  const context = sizedContext(canvas, width, height);
  const whole = { from: 0, to: Math.max(1, model.duration) };
  let deepest = 1;
  for (let point = 0; point < model.count; point++) if (model.depth[point] > deepest) deepest = model.depth[point];
  const step = (height - 8) / (deepest + 1);
  const thick = Math.max(1, Math.min(10, step - 1.5));
  for (let point = 0; point < model.count; point++) {
    const box = bar(model.start[point], model.stop[point], whole, width);
    if (!box) continue;
    context.fillStyle = model.flags[point] & FLAG.error ? colours.error : colours.services[serviceOf(model, point).colour];
    context.fillRect(box.x, 4 + model.depth[point] * step, Math.max(1, box.width), thick);
  }
}

function paintOverviewWindow(context, range, whole, colours, width, height) {
  const box = bar(range.from, range.to, { from: 0, to: Math.max(1, whole) }, width);
  if (!box || (range.from <= 0 && range.to >= whole)) return;
  context.fillStyle = colours.shade;
  context.fillRect(0, 0, box.x, height);
  context.fillRect(box.x + box.width, 0, width, height);
  context.fillStyle = colours.accent;
  for (const x of [box.x, box.x + box.width]) {
    context.fillRect(x - 1, 0, 2, height);
    context.fillRect(x - 3, height / 2 - 8, 6, 16);
  }
}
