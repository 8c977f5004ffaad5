// Puts the page together: socket → state → chart, tape, explanation and header.

import * as chart from "./chart.js";
import * as explain from "./explain.js";
import * as header from "./header.js";
import * as keys from "./keys.js";
import * as lag from "./lag.js";
import * as tape from "./tape.js";
import { addBar, addSignal, barsOf, greet, load, on, select, setHealth, setNotice, setRun, state } from "./state.js";
import { points } from "./format.js";
import { Connection } from "./ws.js";

/** @type {Record<string, (message: Record<string, any>) => void>} */
const TAKE = {
  hello: greet,
  snap: load,
  bar: (message) => addBar(message.bar),
  signal: (message) => addSignal(message.signal),
  run: (message) => setRun(message.run),
  health: (message) => setHealth(message.health),
  notice: (message) => setNotice(message.text),
};

/** @param {Record<string, any>} message @param {boolean} isReplay */
function take(message, isReplay) {
  TAKE[message.type]?.(message);
  if (isReplay) return;
  if (message.type === "signal") lag.measure("signal", message.signal.committed_ns / 1e6);
  if (message.type === "bar") lag.measure("bar", message.ts / 1e6);
}

// The chart draws text on a canvas, which does not wait for a font to arrive.
await Promise.allSettled(["400 12px", "500 12px", "600 12px"].map((font) => document.fonts.load(`${font} 'IBM Plex Sans'`)));
keys.start();
chart.start();
tape.start();
explain.start();
const connection = new Connection(take, (offset) => (state.clockOffset = offset));
header.start(connection);
lag.start(connection);

const linked = new URL(location.href).searchParams.get("signal");
if (linked) {
  const open = () => state.selected === null && select(linked);
  // With the first snapshot, so that a known signal needs no question to the server.
  let first = true;
  on("signals", () => {
    if (first) open();
    first = false;
  });
}

const price = () => {
  const newest = barsOf(state.interval).at(-1);
  if (newest) document.title = `${points(newest.close)} ${state.symbol} · Institutional Flow`;
};
setInterval(price, 1_000);

// For browser tests and for the curious.
Object.assign(window, {
  __ifd: { state, chart: chart.chart, candles: chart.candles, volume: chart.volume, markers: chart.markers, connection, lag: lag.samples },
});
