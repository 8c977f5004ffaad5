// What the page knows, and who is told when it changes. Knows nothing of sockets or drawing.

/**
 * @typedef {Record<string, any> & {signal_id: string, id: number, ts_event: number}} Signal
 * @typedef {{raw_symbol: string, interval_s: number, start_s: number, open: number, high: number,
 *            low: number, close: number, volume: number, trades: number, closed: boolean}} Bar
 */

const MOST_SIGNALS = 5_000;
const MOST_BARS = 5_000;

export const state = {
  /** @type {string | null} */ source: null,
  /** @type {string | null} */ profile: null,
  /** @type {string | null} */ session: null,
  /** @type {string | null} */ prefectUrl: null,
  /** @type {string | null} */ notice: null,
  /** @type {string | null} */ symbol: null,
  /** @type {Record<string, any> | null} */ run: null,
  /** @type {Record<string, any> | null} */ health: null,
  /** Bars by interval, oldest first. @type {Map<number, Bar[]>} */ bars: new Map(),
  /** Newest first. @type {Signal[]} */ signals: [],
  /** @type {Map<string, Signal>} */ byId: new Map(),
  interval: 300,
  filter: { text: "", least: 0 },
  /** @type {string | null} */ selected: null,
  /** Milliseconds to add to this machine's clock to read the server's. */ clockOffset: 0,
  /** True once the first snapshot is in. */ loaded: false,
};

/** @type {Map<string, ((value?: any) => void)[]>} */
const listeners = new Map();

/** Call `listener` at each change of `topic`. @param {string} topic @param {(value?: any) => void} listener */
export function on(topic, listener) {
  listeners.set(topic, [...(listeners.get(topic) ?? []), listener]);
}

/** @param {string} topic @param {any} [value] */
function tell(topic, value) {
  for (const listener of listeners.get(topic) ?? []) listener(value);
}

/** The server's clock now, in ms. */
export const serverNow = () => performance.timeOrigin + performance.now() + state.clockOffset;

/** @param {Record<string, any>} hello */
export function greet(hello) {
  state.prefectUrl = hello.prefect_url;
  setNotice(hello.notice ?? null);
  tell("hello");
}

/** Take a snapshot: bars are replaced; signals are facts, so those known stay. @param {Record<string, any>} snap */
export function load(snap) {
  state.symbol = snap.future?.raw_symbol ?? null;
  state.bars = new Map();
  for (const bar of snap.bars) barsOf(bar.interval_s).push(bar);
  for (const signal of [...snap.signals].reverse()) insert(signal);
  state.loaded = true;
  setRun(snap.run);
  setHealth(snap.health);
  tell("bars");
  tell("signals");
}

/** @param {number} interval */
export function barsOf(interval) {
  let bars = state.bars.get(interval);
  if (!bars) state.bars.set(interval, (bars = []));
  return bars;
}

/** @param {Bar} bar */
export function addBar(bar) {
  if (bar.raw_symbol !== state.symbol) return; // of a future that a snapshot has replaced since
  const bars = barsOf(bar.interval_s);
  let at = bars.length;
  while (at > 0 && bars[at - 1].start_s >= bar.start_s) at--;
  const known = bars[at]?.start_s === bar.start_s;
  const last = at >= bars.length - (known ? 1 : 0);
  bars.splice(at, known ? 1 : 0, bar);
  if (bars.length > MOST_BARS) bars.shift();
  // Only the newest bar may be drawn by itself; one in the middle means drawing all.
  tell(last ? "bar" : "bars", bar);
}

/** @param {Signal} signal */
export function addSignal(signal) {
  if (state.byId.has(signal.signal_id)) return;
  insert(signal);
  tell("signal", signal);
}

/** @param {Signal} signal */
function insert(signal) {
  if (state.byId.has(signal.signal_id)) return;
  state.byId.set(signal.signal_id, signal);
  let at = 0;
  while (at < state.signals.length && isNewer(state.signals[at], signal)) at++;
  state.signals.splice(at, 0, signal);
  if (state.signals.length > MOST_SIGNALS) {
    const gone = state.signals.pop();
    if (gone) state.byId.delete(gone.signal_id);
  }
}

/** @param {Signal} a @param {Signal} b */
const isNewer = (a, b) => a.ts_event > b.ts_event || (a.ts_event === b.ts_event && a.id > b.id);

/** @param {Record<string, any> | null} run */
export function setRun(run) {
  state.run = run;
  state.source = run?.source ?? null;
  state.profile = run?.profile ?? null;
  state.session = run?.session_date ?? null;
  tell("run");
}

/** @param {Record<string, any> | null} health */
export function setHealth(health) {
  state.health = health;
  tell("health");
}

/** @param {string | null} text */
export function setNotice(text) {
  state.notice = text;
  tell("notice");
}

/** @param {number} interval */
export function showInterval(interval) {
  if (state.interval === interval) return;
  state.interval = interval;
  tell("interval");
}

/** @param {{text?: string, least?: number}} change */
export function setFilter(change) {
  Object.assign(state.filter, change);
  tell("filter");
}

/** Open the explanation of a signal, or close it with null. @param {string | null} id */
export function select(id) {
  if (state.selected === id) return;
  state.selected = id;
  tell("selected");
}

/** What a signal means for the future: 1 up, -1 down. @param {Signal} signal */
export const direction = (signal) => ((signal.side === "BUY") === (signal.right === "C") ? 1 : -1);

/** @type {WeakMap<Signal, string>} */
const haystacks = new WeakMap();

/** @param {Signal} signal */
function haystack(signal) {
  let text = haystacks.get(signal);
  if (text === undefined) {
    const facts = [
      signal.side, `${signal.strike}${signal.right}`, signal.right === "C" ? "call" : "put", signal.raw_symbol,
      signal.pattern, signal.tier, signal.action, signal.expiration, direction(signal) > 0 ? "bullish" : "bearish",
      signal.signal_id, signal.late ? "late" : "",
    ];
    text = facts.join(" ").replaceAll("_", " ").toLowerCase();
    haystacks.set(signal, text);
  }
  return text;
}

/** True when the signal passes the filter box and the slider. @param {Signal} signal */
export function passes(signal) {
  if (signal.confidence < state.filter.least) return false;
  const wanted = state.filter.text.toLowerCase().replaceAll("_", " ").split(/\s+/);
  return wanted.every((word) => haystack(signal).includes(word.replace(/(\d),(\d)/g, "$1$2")));
}

/** Signals that pass, newest first. */
export const shown = () => state.signals.filter(passes);
