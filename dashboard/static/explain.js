// Why a signal was given, in words and numbers: everything the row knows, nothing made up.

import { direction, on, select, state } from "./state.js";
import { clockMs, day, latency, msOf, points, price, share, shortDate, signed, strikeOf, whole, words } from "./format.js";

/** @typedef {import("./state.js").Signal} Signal */

const panel = /** @type {HTMLElement} */ (document.getElementById("explain"));
/** Signals asked from the server because they are older than the page. @type {Map<string, Signal>} */
const fetched = new Map();

/**
 * @param {string} tag @param {string} [name] @param {(Node | string)[]} children
 * @returns {HTMLElement}
 */
function make(tag, name = "", ...children) {
  const node = document.createElement(tag);
  if (name) node.className = name;
  node.append(...children);
  return node;
}

/** @param {Signal} signal */
function draw(signal) {
  const up = direction(signal) > 0;
  panel.replaceChildren(
    head(signal, up),
    make("div", "body", why(signal), factors(signal), context(signal), path(signal), ids(signal)),
  );
  panel.dataset.id = signal.signal_id;
  panel.dataset.side = signal.side;
  panel.hidden = false;
  panel.scrollTop = 0;
}

/** @param {Signal} signal @param {boolean} up */
function head(signal, up) {
  const copy = make("button", "button", "Copy link");
  copy.onclick = async () => {
    await navigator.clipboard.writeText(location.href);
    copy.textContent = "Copied";
  };
  const tier = make("span", "chip", words(signal.tier));
  tier.dataset.tier = signal.tier;
  const contract = `${strikeOf(signal.strike)} ${signal.right === "C" ? "call" : "put"}`;
  return make(
    "div", "head",
    make("b", "side", signal.side),
    make("b", "contract", contract),
    make("span", "expiry", shortDate(signal.expiration, true)),
    tier,
    make("span", "meaning", make("i", up ? "up" : "down", up ? "▲" : "▼"), ` ${up ? "bullish" : "bearish"} for ${signal.underlying}`),
    make("span", "fill"),
    copy, closer(),
  );
}

function closer() {
  const close = make("button", "button round", "✕");
  close.title = "Close (Esc)";
  close.setAttribute("aria-label", "Close");
  close.onclick = () => select(null);
  return close;
}

/** @param {string} title @param {string} name @param {Node[]} children */
function section(title, name, ...children) {
  return make("section", name, make("h3", "", title), ...children);
}

/** @param {Signal} signal */
function why(signal) {
  const verdict = make(
    "div", "verdict",
    make("b", "", share(signal.confidence)), make("span", "", "confidence"),
    make("b", "", words(signal.action)), make("span", "", `× ${signal.position_size_multiplier} size, risk ${share(signal.risk_score)}`),
  );
  return section("Why", "why", make("ul", "", ...signal.why.map((/** @type {string} */ reason) => make("li", "", reason))), verdict);
}

/** What every flow starts with: far larger than any factor, so it neither leads nor sets the scale. */
const START = "intercept";

/** Bars from the middle where some factors speak against, else from the left. @param {Signal} signal */
function factors(signal) {
  /** @type {[string, number][]} */
  const listed = Object.entries(signal.factors ?? {});
  listed.sort((a, b) => Number(a[0] === START) - Number(b[0] === START) || Math.abs(b[1]) - Math.abs(a[1]));
  if (listed.length === 0) return section("What weighed", "factors", make("p", "none", "no factors were stored"));
  const largest = Math.max(...listed.map(([name, value]) => (name === START ? 0 : Math.abs(value))), 1e-9);
  const both = listed.some(([, value]) => value < 0);
  const bars = listed.map(([name, value]) => {
    const bar = make("i", value < 0 ? "against" : "for");
    bar.style.setProperty("--share", String(Math.min(Math.abs(value) / largest, 1)));
    const kind = name === START ? " start" : value === 0 ? " silent" : "";
    return make("div", `factor${both ? " both" : ""}${kind}`, make("span", "name", words(name)), make("span", "track", bar), make("span", "n", both ? signed(value, 2) : value.toFixed(2)));
  });
  return section("What weighed", "factors", ...bars);
}

/** @param {string} name @param {string | HTMLElement} value @param {string} [title] */
function fact(name, value, title = "") {
  const node = make("div", "", make("dt", "", name), make("dd", "", value));
  node.title = title;
  return node;
}

/** @param {number} value 0..1 @param {string} [name] */
function meter(value, name = "") {
  const level = make("i");
  level.style.setProperty("--share", String(value));
  return make("span", `meter ${name}`, level, share(value));
}

/** @param {Signal} signal */
function context(signal) {
  const z = signal.baseline_zscore;
  const rank = signal.percentile_rank;
  const none = z === null || z === undefined;
  const seconds = Math.round((signal.window_end - signal.window_start) / 1e9);
  return section(
    "Context", "context",
    make(
      "dl", "facts",
      fact("Pressure", ratio(signal.pressure_ratio), "lots bought for each lot sold by the aggressor"),
      fact("Volume", `${whole(signal.volume)} lots`),
      fact("Baseline z", none ? "no baseline yet" : signed(z, 2), "robust deviations from the median of past sessions at this time of day"),
      fact("Percentile", rank === null || rank === undefined ? "no baseline yet" : `${(rank * 100).toFixed(1)} %`),
      fact("Market maker", meter(signal.market_making_probability, "doubt"), "probability that this is market making"),
      fact("Coordination", meter(signal.coordination), "how much neighbouring strikes lean the same way"),
      fact("Option price", price(signal.price)),
      fact(signal.underlying, signal.underlying_price === null ? "unknown" : price(signal.underlying_price)),
      fact("Window ET", `${clockMs(msOf(signal.window_start)).slice(0, 8)} + ${seconds} s`),
      fact("Pattern", words(signal.pattern)),
    ),
  );
}

/** @param {number} value */
function ratio(value) {
  if (value > 0 && value < 1) return `1 : ${points(1 / value)}`;
  return `${points(value)} : 1`;
}

/** Where the time went between the event and the row. @param {Signal} signal */
function path(signal) {
  const event = msOf(signal.ts_event);
  const facts = [fact("Event ET", clockMs(event), day(event))];
  if (signal.received_ns === null || signal.received_ns === undefined) {
    facts.push(fact("Event → committed", "replayed from a file"));
  } else {
    const received = (signal.received_ns - signal.ts_event) / 1e6;
    const committed = (signal.committed_ns - signal.ts_event) / 1e6;
    facts.push(fact("→ received", latency(received)), fact("→ committed", latency(committed), "from the event to the committed row"));
  }
  facts.push(fact("Delivery", signal.late ? "late: found while catching up" : "fresh"));
  return section("Time", "path", make("dl", "facts", ...facts));
}

/** @param {Signal} signal */
function ids(signal) {
  const legs = signal.group_id ? state.signals.filter((other) => other.group_id === signal.group_id && other !== signal) : [];
  const list = [
    fact("Symbol", signal.raw_symbol), fact("Instrument", String(signal.instrument_id)),
    fact("Signal", signal.signal_id), fact("Row", `${signal.id}${signal.run_id === null ? "" : ` of run ${signal.run_id}`}`),
    fact("Session", signal.session_date), fact("Source", signal.source),
    fact("Profile", signal.profile), fact("Parameters", signal.params_fingerprint), fact("Model", signal.model_version),
  ];
  if (signal.group_id) list.push(fact("Group", signal.group_id));
  const others = legs.map((leg) => {
    const button = make("button", "button", `${leg.side} ${strikeOf(leg.strike)} ${leg.right}`);
    button.onclick = () => select(leg.signal_id);
    return button;
  });
  return section("Identity", "ids", make("dl", "facts", ...list), ...(others.length ? [make("div", "legs", "Other legs: ", ...others)] : []));
}

/** @param {string} title @param {string} text */
function say(title, text) {
  panel.replaceChildren(make("div", "head", make("b", "contract", title), make("span", "fill"), closer()), make("div", "body", make("p", "none", text)));
  panel.hidden = false;
}

async function open() {
  const id = state.selected;
  remember(id);
  document.body.classList.toggle("explaining", id !== null);
  if (id === null) {
    panel.hidden = true;
    return;
  }
  const signal = state.byId.get(id) ?? fetched.get(id);
  if (signal) return draw(signal);
  say("Looking it up…", `signal ${id}`);
  const answer = await ask(id);
  if (state.selected === id) {
    if (typeof answer === "string") say("Not found", answer);
    else draw(answer);
  }
}

/** @param {string} id @returns {Promise<Signal | string>} */
async function ask(id) {
  try {
    const answer = await fetch(`/api/signals/${encodeURIComponent(id)}`);
    const body = await answer.json();
    if (!answer.ok) return body.error;
    fetched.set(id, body);
    return body;
  } catch {
    return "The server does not answer: try again when the connection is back.";
  }
}

/** Keep the address a link to what is open. @param {string | null} id */
function remember(id) {
  const url = new URL(location.href);
  if (id === null) url.searchParams.delete("signal");
  else url.searchParams.set("signal", id);
  history.replaceState(null, "", url);
}

export function start() {
  on("selected", open);
}
