// Numbers and times as a trader reads them. Times on the screen are New York's.
// A time zone is looked up once an hour of data: Intl is far too slow for every bar.

const NEW_YORK = new Intl.DateTimeFormat("en-US", {
  timeZone: "America/New_York", hourCycle: "h23",
  year: "numeric", month: "numeric", day: "numeric", hour: "numeric", minute: "numeric", second: "numeric",
});
const HOUR_MS = 3_600_000;
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const DAYS = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const WHOLE = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });
const POINTS = new Intl.NumberFormat("en-US", { minimumFractionDigits: 2, maximumFractionDigits: 2 });

/** @type {Map<number, number>} */
const offsets = new Map();

/** Milliseconds to add to an epoch so that its UTC fields read as New York time. @param {number} ms */
export function newYorkOffset(ms) {
  const hour = Math.floor(ms / HOUR_MS);
  let offset = offsets.get(hour);
  if (offset === undefined) {
    const part = Object.fromEntries(NEW_YORK.formatToParts(hour * HOUR_MS).map((p) => [p.type, Number(p.value)]));
    offset = Date.UTC(part.year, part.month - 1, part.day, part.hour, part.minute, part.second) - hour * HOUR_MS;
    offsets.set(hour, offset);
  }
  return offset;
}

/** @param {number} ns */
export const msOf = (ns) => ns / 1e6;

/** @param {number} value @param {number} width */
const pad = (value, width = 2) => String(value).padStart(width, "0");

/** "10:31:04" in New York. @param {number} ms */
export function clock(ms) {
  const t = new Date(ms + newYorkOffset(ms));
  return `${pad(t.getUTCHours())}:${pad(t.getUTCMinutes())}:${pad(t.getUTCSeconds())}`;
}

/** "10:31:04.123" in New York. @param {number} ms */
export const clockMs = (ms) => `${clock(ms)}.${pad(Math.floor(((ms % 1000) + 1000) % 1000), 3)}`;

/** "Mon 23 Nov" in New York. @param {number} ms */
export function day(ms) {
  const t = new Date(ms + newYorkOffset(ms));
  return `${DAYS[t.getUTCDay()]} ${t.getUTCDate()} ${MONTHS[t.getUTCMonth()]}`;
}

/** "24 Nov" of an ISO date; with the year when asked. @param {string} iso @param {boolean} [year] */
export function shortDate(iso, year = false) {
  const [y, m, d] = iso.split("-").map(Number);
  return m ? `${d} ${MONTHS[m - 1]}${year ? ` ${y}` : ""}` : iso;
}

/** @param {number} value */
export const whole = (value) => WHOLE.format(value);
/** Points with two decimals. @param {number} value */
export const points = (value) => POINTS.format(value);
/** A price in 1e-9 as points. @param {number} nanos */
export const price = (nanos) => points(nanos / 1e9);
/** Strike without needless decimals. @param {number} strike */
export const strikeOf = (strike) => (Number.isInteger(strike) ? whole(strike) : points(strike));
/** ".92", and "1.0" for certainty. @param {number} share */
export const share = (share) => (share >= 0.995 ? "1.0" : share.toFixed(2).slice(1));
/** "+4.2" with a real minus. @param {number} value @param {number} digits */
export const signed = (value, digits = 1) =>
  (value < 0 ? "−" : "+") + Math.abs(value).toFixed(digits);
/** "VERY HIGH", "baseline surprise". @param {string} name */
export const words = (name) => name.replaceAll("_", " ");

/** "0.3 s", "4 min", "2 h": how long ago, in one glance. @param {number} ms */
export function age(ms) {
  const s = Math.max(ms, 0) / 1000;
  if (s < 10) return `${s.toFixed(1)} s`;
  if (s < 120) return `${Math.round(s)} s`;
  if (s < 7200) return `${Math.round(s / 60)} min`;
  return `${Math.round(s / 3600)} h`;
}

/** "03:12" left. @param {number} ms */
export function countdown(ms) {
  const s = Math.max(Math.ceil(ms / 1000), 0);
  return `${pad(Math.floor(s / 60))}:${pad(s % 60)}`;
}

/** "1.9 ms", "14 ms", "2.4 s". @param {number} ms */
export function latency(ms) {
  if (Math.abs(ms) < 10) return `${ms.toFixed(1)} ms`;
  if (Math.abs(ms) < 1000) return `${Math.round(ms)} ms`;
  return `${(ms / 1000).toFixed(1)} s`;
}

/** "231 MB". @param {number} bytes */
export const megabytes = (bytes) => `${whole(bytes / 1e6)} MB`;
