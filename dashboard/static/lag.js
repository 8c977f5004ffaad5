// How long a signal took from its commit to the screen, as this page sees it; told to the server
// so that the promise can be watched where it is made.

import { serverNow } from "./state.js";

const KEPT = 1_000;
const REPORT_MS = 10_000;

/** @type {{type: string, receive_ms: number, paint_ms: number}[]} */
export const samples = [];
/** @type {number[]} */
let unreported = [];

/**
 * Measure one message after its frame has been drawn.
 * @param {string} type @param {number} sinceMs server time it is measured from
 */
export function measure(type, sinceMs) {
  const receive = serverNow() - sinceMs;
  if (document.hidden) return; // no frames are drawn for a hidden page
  requestAnimationFrame(() => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      const paint = serverNow() - sinceMs;
      samples.push({ type, receive_ms: receive, paint_ms: paint });
      if (samples.length > KEPT) samples.shift();
      if (type === "signal") unreported.push(paint);
    };
    port2.postMessage(null); // runs after the frame
  });
}

/** @param {import("./ws.js").Connection} connection */
export function start(connection) {
  setInterval(() => {
    if (unreported.length > 0) connection.send({ type: "lag", paint_ms: unreported.slice(-200) });
    unreported = [];
  }, REPORT_MS);
}
