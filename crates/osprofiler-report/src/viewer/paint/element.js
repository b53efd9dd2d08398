// SPDX-License-Identifier: Apache-2.0
// The one way by which anything enters the document: elements made by name, and values as text.
// No HTML is ever parsed here; the page's policy (`require-trusted-types-for`) makes the browser refuse to.

function element(name, className, ...content) {
  const made = document.createElement(name);
  if (className) made.className = className;
  made.append(...content.filter((part) => part !== null));
  return made;
}

function byId(id) {
  return document.getElementById(id);
}

function copyButton(what, text) {
  const button = element("button", "ghost small copy", "copy");
  button.type = "button";
  button.setAttribute("aria-label", `Copy ${what}`);
  button.addEventListener("click", () => copyText(button, text));
  return button;
}

// The clipboard needs a secure context, which a file is not everywhere; a selection always works.
async function copyText(button, text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = element("textarea", "off-screen");
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
    button.focus();
  }
  button.textContent = "copied";
  button.addEventListener("blur", () => { button.textContent = "copy"; }, { once: true });
}

// A canvas as large as its box, in device pixels; returns a context that draws in CSS pixels.
function sizedContext(canvas, width, height) {
  const ratio = window.devicePixelRatio || 1;
  const [across, down] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== across || canvas.height !== down) {
    canvas.width = across;
    canvas.height = down;
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
  }
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  return context;
}

// The colours of the style sheet, for canvases.
function readColours() {
  const style = getComputedStyle(document.documentElement);
  const token = (name) => style.getPropertyValue(name).trim();
  return {
    services: Array.from({ length: SERVICE_COLOURS }, (_, index) => token(`--service-${index}`)),
    text: token("--text"),
    muted: token("--text-muted"),
    line: token("--line"),
    faint: token("--line-faint"),
    surface: token("--surface"),
    shade: token("--shade"),
    accent: token("--accent"),
    error: token("--error"),
    selected: token("--selected"),
    hover: token("--hover"),
    font: `11.5px ${token("--font")}`,
  };
}
