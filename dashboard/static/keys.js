// The keyboard, and what is remembered of taste: theme and colours.

import { select, showInterval, state } from "./state.js";
import { goLive, paint } from "./chart.js";
import { move, toTop } from "./tape.js";

const byId = (/** @type {string} */ id) => /** @type {HTMLElement} */ (document.getElementById(id));
const root = document.documentElement;
const TASTES = { theme: ["dark", "light"], palette: ["classic", "blue-orange"] };

/** @param {"theme" | "palette"} name */
function change(name) {
  const [first, second] = TASTES[name];
  root.dataset[name] = root.dataset[name] === first ? second : first;
  localStorage.setItem(`ifd.${name}`, root.dataset[name] ?? first);
  paint();
}

function recall() {
  for (const [name, known] of Object.entries(TASTES)) {
    const kept = localStorage.getItem(`ifd.${name}`);
    if (kept !== null && known.includes(kept)) root.dataset[name] = kept;
  }
}

/** @param {number} interval */
function show(interval) {
  showInterval(interval);
  markInterval();
}

function markInterval() {
  for (const button of document.querySelectorAll("[data-interval]")) {
    button.setAttribute("aria-pressed", String(Number(/** @type {HTMLElement} */ (button).dataset.interval) === state.interval));
  }
}

const help = /** @type {HTMLDialogElement} */ (byId("help"));

/** @type {Record<string, () => void>} */
const ACTIONS = {
  "/": () => byId("filter").focus(),
  j: () => move(1),
  k: () => move(-1),
  ArrowDown: () => move(1),
  ArrowUp: () => move(-1),
  Escape: () => select(null),
  l: () => (goLive(), toTop()),
  1: () => show(60),
  5: () => show(300),
  d: () => change("theme"),
  c: () => change("palette"),
  "?": () => help.showModal(),
};

/** @param {KeyboardEvent} event */
function press(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || help.open) return;
  const filter = /** @type {HTMLInputElement} */ (byId("filter"));
  if (event.target === filter) {
    if (event.key !== "Escape" && event.key !== "Enter") return;
    if (event.key === "Escape") {
      filter.value = "";
      filter.dispatchEvent(new Event("input"));
    }
    filter.blur();
    return;
  }
  if (event.target instanceof HTMLInputElement && event.key.startsWith("Arrow")) return;
  const action = ACTIONS[event.key];
  if (!action) return;
  event.preventDefault();
  action();
}

export function start() {
  recall();
  markInterval();
  addEventListener("keydown", press);
  byId("help-open").onclick = () => help.showModal();
  for (const button of document.querySelectorAll("[data-interval]")) {
    const node = /** @type {HTMLElement} */ (button);
    node.onclick = () => show(Number(node.dataset.interval));
  }
}
