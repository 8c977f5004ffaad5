// Signals as arrows: one arrow for all signals of one bar and direction. The
// overlay writes beside an arrow where there is room.

import { share } from "./format.js";
import { direction } from "./state.js";

/**
 * @typedef {import("./state.js").Signal} Signal
 * @typedef {{index: number, way: number, signals: Signal[], best: Signal}} Group
 */

export const MOST_MARKERS = 500;
const LABEL_FROM = 0.8;
const FAINT_BELOW = 0.7;

/**
 * Groups in order of bars; `signals` of a group newest first.
 * @param {Signal[]} signals newest first
 * @param {number[]} starts start of each bar in seconds, ascending
 * @param {number} interval seconds of a bar
 * @returns {Group[]}
 */
export function group(signals, starts, interval) {
  /** @type {Map<number, Group>} */
  const groups = new Map();
  for (const signal of signals) {
    const index = barOf(signal.ts_event / 1e9, starts, interval);
    if (index < 0) continue;
    const way = direction(signal);
    const key = index * 2 + (way > 0 ? 1 : 0);
    const known = groups.get(key);
    if (!known) {
      if (groups.size === MOST_MARKERS) continue;
      groups.set(key, { index, way, signals: [signal], best: signal });
    } else {
      known.signals.push(signal);
      if (signal.confidence > known.best.confidence) known.best = signal;
    }
  }
  return [...groups.values()].sort((a, b) => a.index - b.index || a.way - b.way);
}

/**
 * Index of the bar that holds a moment; -1 before the first. A moment in a hole belongs to the bar before it.
 * @param {number} seconds @param {number[]} starts @param {number} interval
 */
export function barOf(seconds, starts, interval) {
  let low = 0;
  let high = starts.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (starts[middle] <= seconds) low = middle + 1;
    else high = middle;
  }
  // A signal that is ahead of the newest bar by more than one interval has no candle yet.
  if (low === starts.length && low > 0 && seconds >= starts[low - 1] + 2 * interval) return -1;
  return low - 1;
}

/** Height of an arrow as a multiple of the library's. @param {Group} group */
const sizeOf = ({ best }) => 0.7 + 1.1 * Math.max(best.confidence - 0.5, 0) * 2;

/**
 * Markers for the chart library, in order of time.
 * @param {Group[]} groups
 * @param {{times: number[], up: string, down: string, faintUp: string, faintDown: string}} look
 */
export function arrows(groups, look) {
  return groups.map((item) => {
    const { index, way, best } = item;
    const faint = best.confidence < FAINT_BELOW;
    return {
      time: look.times[index],
      position: way > 0 ? "belowBar" : "aboveBar",
      shape: way > 0 ? "arrowUp" : "arrowDown",
      color: way > 0 ? (faint ? look.faintUp : look.up) : faint ? look.faintDown : look.down,
      size: sizeOf(item),
      id: best.signal_id,
    };
  });
}

/**
 * Where every arrow is and what may be written beside it, the surest first.
 * @param {Group[]} groups
 * @returns {import("./overlay.js").Label[]}
 */
export function labels(groups) {
  const bySureness = [...groups].sort((a, b) => b.best.confidence - a.best.confidence);
  return bySureness.map((item) => {
    const { index, way, best, signals } = item;
    const several = signals.length > 1;
    const text = several ? `${signals.length}× ${share(best.confidence)}` : share(best.confidence);
    return { index, way, size: sizeOf(item), text: several || best.confidence >= LABEL_FROM ? text : "" };
  });
}
