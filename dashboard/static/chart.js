// Candles, volume and arrows. The library knows no time zones, so bars are drawn at New York time
// written as UTC; the true start of a bar stays in the state.

import { barsOf, on, passes, select, serverNow, shown, state } from "./state.js";
import { clock, clockMs, countdown, day, points, share, shortDate, signed, strikeOf, whole, words } from "./format.js";
import { arrows, barOf, group, labels } from "./markers.js";
import { Overlay, shift } from "./overlay.js";
import {
  CandlestickSeries, createChart, createSeriesMarkers, CrosshairMode, HistogramSeries,
} from "./vendor/lightweight-charts.standalone.production.mjs";

/** @typedef {import("./state.js").Bar} Bar */

const BAR_SPACING = { 60: 6, 300: 9 };
const RIGHT_BARS = 7;
const TIP_SIGNALS = 6;
/** Makes the countdown as wide as the price above it. */
const INDENT = "\u00a0".repeat(4);
const WIDEST_SPACING = 15;

const byId = (/** @type {string} */ id) => /** @type {HTMLElement} */ (document.getElementById(id));
const css = (/** @type {string} */ name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

/** @param {number} volume */
const lots = (volume) => (volume >= 10_000 ? `${(volume / 1000).toFixed(volume >= 100_000 ? 0 : 1)}k` : whole(volume));

const box = byId("chart");
export const chart = createChart(box, {
  autoSize: true,
  layout: { attributionLogo: true, fontFamily: "'IBM Plex Sans', sans-serif", fontSize: 11 },
  crosshair: { mode: CrosshairMode.Normal },
  timeScale: { timeVisible: true, secondsVisible: false, rightOffset: RIGHT_BARS, minBarSpacing: 1.5 },
  rightPriceScale: { minimumWidth: 78 },
  localization: {
    timeFormatter: (/** @type {number} */ shifted) => {
      const start = starts[times.indexOf(shifted)];
      return start === undefined ? "" : `${day(start * 1000)}  ${clock(start * 1000).slice(0, 5)} ET`;
    },
  },
});
export const candles = chart.addSeries(CandlestickSeries, { borderVisible: false, priceLineStyle: 2, priceFormat: { type: "custom", formatter: points, minMove: 0.25 } });
export const volume = chart.addSeries(HistogramSeries, { priceFormat: { type: "custom", formatter: lots, minMove: 1 }, lastValueVisible: false, priceLineVisible: false }, 1);
export const markers = createSeriesMarkers(candles, []);
const overlay = new Overlay();
overlay.barAt = (index) => barsOf(state.interval)[index];
candles.attachPrimitive(/** @type {any} */ (overlay));

/** Index of the bar under the crosshair. @type {number | null} */
let hovered = null;
/** True start of each drawn bar in seconds, and the same as drawn. @type {number[]} */
let starts = [];
/** @type {number[]} */
let times = [];
/** @type {import("./markers.js").Group[]} */
let groups = [];
let colors = { up: "", down: "", faintUp: "", faintDown: "", volumeUp: "", volumeDown: "" };
let markersDue = false;

/** Take the colours of the style sheet. */
export function paint() {
  colors = {
    up: css("up"), down: css("down"), faintUp: css("up-faint"), faintDown: css("down-faint"),
    volumeUp: css("up-volume"), volumeDown: css("down-volume"),
  };
  const line = css("grid");
  const label = css("raised");
  chart.applyOptions({
    layout: { background: { color: css("panel") }, textColor: css("muted"), panes: { separatorColor: css("line"), separatorHoverColor: css("raised") } },
    grid: { vertLines: { color: line }, horzLines: { color: line } },
    crosshair: { vertLine: { color: css("faint"), labelBackgroundColor: label }, horzLine: { color: css("faint"), labelBackgroundColor: label } },
    rightPriceScale: { borderColor: css("line") },
    timeScale: { borderColor: css("line") },
  });
  candles.applyOptions({ upColor: colors.up, downColor: colors.down, wickUpColor: colors.up, wickDownColor: colors.down });
  overlay.colors = { shade: css("shade"), selected: css("selected-bar"), label: css("raised"), text: css("text"), up: colors.up, down: colors.down, panel: css("panel") };
  drawAll();
}

/** @param {Bar} bar @param {number} time */
const candle = (bar, time) => ({ time: /** @type {any} */ (time), open: bar.open, high: bar.high, low: bar.low, close: bar.close });
/** @param {Bar} bar @param {number} time */
const column = (bar, time) => ({ time: /** @type {any} */ (time), value: bar.volume, color: bar.close >= bar.open ? colors.volumeUp : colors.volumeDown });

/** Give a bar its place. In the hour that autumn repeats, places go on by seconds: they must ascend. @param {number} start */
function place(start) {
  starts.push(start);
  times.push(Math.max(shift(start), (times.at(-1) ?? -Infinity) + 1));
}

function drawAll() {
  const bars = barsOf(state.interval);
  starts = [];
  times = [];
  for (const bar of bars) place(bar.start_s);
  overlay.times = times;
  candles.setData(bars.map((bar, index) => candle(bar, times[index])));
  volume.setData(bars.map((bar, index) => column(bar, times[index])));
  byId("chart-empty").hidden = bars.length > 0;
  drawMarkers();
  hovered = null;
  legend(hovered);
}

/** @param {Bar} bar */
function drawNewest(bar) {
  if (bar.interval_s !== state.interval) return;
  if (starts.at(-1) !== bar.start_s) {
    place(bar.start_s);
    byId("chart-empty").hidden = true;
    drawMarkersSoon();
  }
  const time = times[times.length - 1];
  candles.update(candle(bar, time));
  volume.update(column(bar, time));
  legend(hovered);
}

function drawMarkers() {
  groups = group(shown(), starts, state.interval);
  markers.setMarkers(/** @type {any} */ (arrows(groups, { times, ...colors })));
  overlay.texts = labels(groups);
  markSelected();
}

function drawMarkersSoon() {
  if (markersDue) return;
  markersDue = true;
  requestAnimationFrame(() => {
    markersDue = false;
    drawMarkers();
  });
}

function markSelected() {
  const signal = state.selected === null ? undefined : state.byId.get(state.selected);
  const index = signal ? barOf(signal.ts_event / 1e9, starts, state.interval) : -1;
  overlay.selected = index < 0 ? null : index;
  overlay.update();
  return index;
}

/** Bring the bar of the selected signal into sight when it is not. */
function showSelected() {
  const index = markSelected();
  const range = chart.timeScale().getVisibleLogicalRange();
  if (index < 0 || range === null || (index > range.from + 2 && index < range.to - 2)) return;
  const half = (range.to - range.from) / 2;
  chart.timeScale().setVisibleLogicalRange({ from: index - half, to: index + half });
}

/** Choose how much is seen: a young day fills the width, a long history keeps readable candles. */
function frame() {
  const least = BAR_SPACING[/** @type {60 | 300} */ (state.interval)] ?? 8;
  const filling = (box.clientWidth - 80) / (starts.length + RIGHT_BARS);
  chart.timeScale().applyOptions({ barSpacing: Math.min(Math.max(filling, least), WIDEST_SPACING) });
  chart.timeScale().scrollToPosition(RIGHT_BARS, false);
}

let framed = false;
function frameOnce() {
  if (framed || starts.length === 0) return;
  framed = true;
  frame();
}

export function goLive() {
  chart.timeScale().scrollToRealTime();
  candles.priceScale().applyOptions({ autoScale: true });
}

// ---- legend, countdown ----------------------------------------------------------------------

/** Numbers of the bar under the crosshair, else of the newest. @param {number | null} index */
function legend(index) {
  const bars = barsOf(state.interval);
  const newest = bars.at(-1);
  const bar = index === null ? newest : bars[index];
  byId("symbol").textContent = state.symbol ?? "NQ";
  byId("last").textContent = newest ? points(newest.close) : "–";
  byId("last").dataset.way = newest ? (newest.close >= newest.open ? "up" : "down") : "";
  changeToday(newest);
  byId("ohlc").replaceChildren(...(bar ? ohlc(bar) : []));
}

/** @param {Bar | undefined} newest */
function changeToday(newest) {
  const node = byId("change");
  node.textContent = "";
  if (!newest) return;
  const first = barsOf(state.interval).find((bar) => shift(bar.start_s) >= sessionStart(shift(newest.start_s)));
  const open = (first ?? newest).open;
  const move = newest.close - open;
  node.textContent = `${signed(move, 2)}  ${signed((move / open) * 100, 2)} %`;
  node.dataset.way = move >= 0 ? "up" : "down";
  node.title = "since the first bar of this Globex session (18:00 ET)";
}

/** Globex sessions begin at 18:00. @param {number} shifted */
const sessionStart = (shifted) => Math.floor((shifted - 18 * 3600) / 86_400) * 86_400 + 18 * 3600;

/** @param {Bar} bar */
function ohlc(bar) {
  const way = bar.close >= bar.open ? "up" : "down";
  const numbers = [["O", points(bar.open)], ["H", points(bar.high)], ["L", points(bar.low)], ["C", points(bar.close)], ["V", whole(bar.volume)]];
  return numbers.flatMap(([name, value]) => {
    const key = document.createElement("i");
    key.textContent = name;
    const number = document.createElement("span");
    number.textContent = value;
    number.dataset.way = name === "V" ? "" : way;
    return [key, number];
  });
}

/** The time left in the newest bar, on the price axis; nothing when the market's time is not now. */
function tick() {
  const newest = barsOf(state.interval).at(-1);
  const left = newest ? (newest.start_s + state.interval) * 1000 - serverNow() : -1;
  const running = newest !== undefined && left > 0 && left <= state.interval * 1000;
  overlay.countdown = running ? { price: newest.close, text: `${INDENT}${countdown(left)}${INDENT}` } : null;
  overlay.update();
}

// ---- pointer --------------------------------------------------------------------------------

/** @param {any} event */
const groupAt = (event) => groups.find((item) => item.best.signal_id === (event.hoveredInfo?.objectId ?? event.hoveredObjectId));

chart.subscribeCrosshairMove((event) => {
  const index = event.time === undefined ? -1 : times.indexOf(/** @type {any} */ (event.time));
  hovered = index < 0 ? null : index;
  legend(hovered);
  tip(event.point ? groupAt(event) : undefined, event.point);
});

chart.subscribeClick((event) => {
  const found = groupAt(event);
  if (!found) return;
  // A second click on the same arrow goes on to its next signal.
  const at = found.signals.findIndex((signal) => signal.signal_id === state.selected);
  select(at < 0 ? found.best.signal_id : found.signals[(at + 1) % found.signals.length].signal_id);
});

/** @param {import("./markers.js").Group | undefined} item @param {{x: number, y: number} | undefined} point */
function tip(item, point) {
  const node = byId("tip");
  node.hidden = !item || !point;
  box.classList.toggle("pointing", !node.hidden);
  if (!item || !point) return;
  const lines = item.signals.slice(0, TIP_SIGNALS).map((signal) => {
    const line = document.createElement("div");
    const facts = [
      ["time", clockMs(signal.ts_event / 1e6).slice(0, 8)], [signal.side.toLowerCase(), signal.side],
      ["name", `${strikeOf(signal.strike)} ${signal.right}`], ["", shortDate(signal.expiration)],
      ["lots", `${whole(signal.volume)} lots`], ["", words(signal.pattern)], ["sure", share(signal.confidence)],
    ];
    line.append(...facts.map(([name, text]) => Object.assign(document.createElement("span"), { className: name, textContent: text })));
    return line;
  });
  if (item.signals.length > TIP_SIGNALS) lines.push(Object.assign(document.createElement("div"), { className: "more", textContent: `and ${item.signals.length - TIP_SIGNALS} more` }));
  node.replaceChildren(...lines);
  const left = Math.min(point.x + 16, box.clientWidth - node.offsetWidth - 90);
  const top = point.y + 18 + node.offsetHeight > box.clientHeight ? point.y - node.offsetHeight - 12 : point.y + 18;
  node.style.transform = `translate(${Math.max(left, 4)}px, ${top}px)`;
}

// ---- wiring ---------------------------------------------------------------------------------

export function start() {
  paint();
  chart.panes()[0].setStretchFactor(5);
  chart.panes()[1]?.setStretchFactor(1);
  volume.priceScale().applyOptions({ scaleMargins: { top: 0.15, bottom: 0 }, entireTextOnly: true });
  candles.priceScale().applyOptions({ scaleMargins: { top: 0.09, bottom: 0.09 }, entireTextOnly: true });
  on("bars", drawAll);
  on("bar", drawNewest);
  on("signal", (signal) => passes(signal) && drawMarkersSoon());
  on("signals", drawMarkersSoon);
  on("filter", drawMarkersSoon);
  on("selected", showSelected);
  on("bars", frameOnce);
  on("interval", () => {
    drawAll();
    frame();
    showSelected();
  });
  chart.timeScale().subscribeVisibleLogicalRangeChange(() => {
    byId("go-live").hidden = chart.timeScale().scrollPosition() > -1 || starts.length === 0;
  });
  byId("go-live").onclick = goLive;
  setInterval(tick, 500);
}
