// The list of signals, newest first. Rows are built once and kept; a filter only rearranges them.

import { direction, on, select, setFilter, shown, state } from "./state.js";
import { clockMs, day, msOf, share, shortDate, signed, strikeOf, whole, words } from "./format.js";

/** @typedef {import("./state.js").Signal} Signal */

const MOST_ROWS = 400;
const MANY = 20;

const byId = (/** @type {string} */ id) => /** @type {HTMLElement} */ (document.getElementById(id));
const rows = byId("rows");
/** @type {WeakMap<Signal, HTMLElement>} */
const built = new WeakMap();

/** @param {string} name @param {string} text */
function cell(name, text) {
  const node = document.createElement("span");
  node.className = name;
  node.textContent = text;
  return node;
}

/** @param {Signal} signal */
function row(signal) {
  let node = built.get(signal);
  if (node) return node;
  node = document.createElement("div");
  node.className = "row";
  node.setAttribute("role", "option");
  node.id = `signal-${signal.signal_id}`;
  node.dataset.id = signal.signal_id;
  node.dataset.side = signal.side;
  node.dataset.tier = signal.tier;
  node.dataset.testid = "row";
  const up = direction(signal) > 0;
  const arrow = cell(up ? "arrow up" : "arrow down", up ? "▲" : "▼");
  arrow.title = up ? "bullish for the future" : "bearish for the future";
  const time = cell("time", clockMs(msOf(signal.ts_event)));
  time.title = `${day(msOf(signal.ts_event))}, New York`;
  const sure = cell("sure", "");
  const level = document.createElement("i");
  level.style.setProperty("--share", String(signal.confidence));
  sure.append(level, cell("number", share(signal.confidence)));
  const z = signal.baseline_zscore;
  node.append(
    time, arrow, cell("side", signal.side), cell("strike n", `${strikeOf(signal.strike)} ${signal.right}`),
    cell("expiry", shortDate(signal.expiration)), cell("lots n", whole(signal.volume)), sure,
    cell("tier", words(signal.tier)), cell("pattern", words(signal.pattern) + (signal.late ? " · late" : "")),
    cell("z n", z === null || z === undefined ? "–" : signed(z)),
  );
  node.title = signal.late ? "found while catching up" : "";
  built.set(signal, node);
  return node;
}

function drawAll() {
  const listed = shown();
  rows.replaceChildren(...listed.slice(0, MOST_ROWS).map(row));
  summary(listed);
  markSelected();
}

/** @type {Signal[]} */
let arrived = [];

/** Rows are drawn with the next frame, together with the arrows of the chart. @param {Signal} signal */
function drawSoon(signal) {
  arrived.push(signal);
  if (arrived.length === 1) requestAnimationFrame(drawArrived);
}

function drawArrived() {
  const fresh = arrived;
  arrived = [];
  if (fresh.length > MANY) return drawAll();
  const listed = shown();
  summary(listed);
  for (const signal of fresh) insert(signal, listed.indexOf(signal));
  markSelected();
}

/** @param {Signal} signal @param {number} at */
function insert(signal, at) {
  if (at < 0 || at >= MOST_ROWS) return;
  const node = row(signal);
  node.classList.add("new");
  rows.insertBefore(node, rows.children[at] ?? null);
  if (rows.children.length > MOST_ROWS) rows.lastElementChild?.remove();
}

/** @param {Signal[]} listed */
function summary(listed) {
  const all = state.signals.length;
  byId("count").textContent = listed.length === all ? whole(all) : `${whole(listed.length)} of ${whole(all)}`;
  const ups = listed.filter((signal) => direction(signal) > 0).length;
  const tilt = byId("tilt");
  tilt.hidden = listed.length === 0;
  tilt.replaceChildren(cell("up", `▲ ${whole(ups)}`), cell("down", `▼ ${whole(listed.length - ups)}`));
  byId("tape-empty").hidden = listed.length > 0;
  if (listed.length === 0) emptyText(all);
}

/** @param {number} all */
function emptyText(all) {
  const [title, text] = all > 0
    ? ["Nothing passes the filter", "Esc in the filter box clears it."]
    : state.loaded
      ? ["No signals yet", "One appears here the moment it is committed."]
      : ["Waiting for the first records…", ""];
  const bold = document.createElement("b");
  bold.textContent = title;
  byId("tape-empty").replaceChildren(bold, cell("", text));
}

function markSelected() {
  rows.querySelector("[aria-selected=true]")?.removeAttribute("aria-selected");
  const node = state.selected === null ? null : document.getElementById(`signal-${state.selected}`);
  node?.setAttribute("aria-selected", "true");
  return node;
}

/** Select the next (1) or previous (-1) signal of the list. @param {number} step */
export function move(step) {
  const listed = shown();
  if (listed.length === 0) return;
  const at = listed.findIndex((signal) => signal.signal_id === state.selected);
  const next = at < 0 ? 0 : Math.min(Math.max(at + step, 0), listed.length - 1);
  select(listed[next].signal_id);
}

/** Back to the newest. */
export function toTop() {
  rows.scrollTop = 0;
}

export function start() {
  const filter = /** @type {HTMLInputElement} */ (byId("filter"));
  const confidence = /** @type {HTMLInputElement} */ (byId("confidence"));
  filter.oninput = () => setFilter({ text: filter.value.trim() });
  confidence.oninput = () => {
    setFilter({ least: Number(confidence.value) });
    byId("least").textContent = Number(confidence.value) > 0 ? `≥ ${share(Number(confidence.value))}` : "all";
  };
  rows.onclick = (event) => {
    const node = /** @type {HTMLElement} */ (event.target).closest(".row");
    if (node instanceof HTMLElement) select(node.dataset.id ?? null);
  };
  on("signals", drawAll);
  on("signal", drawSoon);
  on("filter", drawAll);
  on("selected", () => markSelected()?.scrollIntoView({ block: "nearest" }));
  drawAll();
}
