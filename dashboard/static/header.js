// The top line: what this is fed by, how it is, and how old that knowledge is.

import { on, serverNow, state } from "./state.js";
import { age, clock, day, latency, megabytes, msOf, whole } from "./format.js";

const SOURCES = { live: "LIVE", simulated: "SIMULATED", replay: "REPLAY" };
const QUIET_MS = 5_000;
const DEAD_MS = 15_000;
const STALE_MS = 4_500;
const SLOW_FEED_MS = 2_000;
const LOST_MS = 2_000;
const LOST = ["No connection to the dashboard's server; trying again.", "The server asks for its token: open /?token=… once."];

const byId = (/** @type {string} */ id) => /** @type {HTMLElement} */ (document.getElementById(id));

/** @type {Record<string, HTMLElement>} */
const values = {};

/** @param {string} key @param {string} name @param {string} title */
function vital(key, name, title) {
  const node = document.createElement("div");
  node.title = title;
  const term = document.createElement("dt");
  const value = document.createElement("dd");
  term.textContent = name;
  value.dataset.testid = `vital-${key}`;
  node.append(term, value);
  values[key] = value;
  return node;
}

/** @param {string} key @param {string} text @param {string} [mood] */
function set(key, text, mood = "") {
  values[key].textContent = text;
  values[key].dataset.mood = mood;
}

function source() {
  const node = byId("source");
  const name = state.source ?? "none";
  node.dataset.source = name;
  node.textContent = SOURCES[/** @type {keyof typeof SOURCES} */ (name)] ?? "NO STREAM";
  document.documentElement.dataset.source = name;
}

/** The stream in words: its state, and how old its last record is. */
function stream() {
  const run = state.run;
  if (!run) return set("stream", "never ran", "off");
  if (run.ended_ns) return set("stream", run.status, run.status === "failed" ? "bad" : "off");
  const beat = serverNow() - msOf(run.heartbeat_ns);
  if (beat > DEAD_MS) return set("stream", `silent for ${age(beat)}`, "bad");
  if (!run.last_record_ns) return set("stream", `${run.status}, no record yet`, "warn");
  // The row is written once a second: its own age is not the record's.
  const record = msOf(run.heartbeat_ns) - msOf(run.last_record_ns);
  const since = Math.max(record, 0) + (beat > QUIET_MS ? beat : 0);
  set("stream", `${run.status}, record ${age(since)} ago`, since > QUIET_MS || run.status !== "streaming" ? "warn" : "good");
}

function vitals() {
  const run = state.run;
  const live = run && !run.ended_ns;
  const metrics = live ? (state.health?.metrics ?? {}) : {};
  set("profile", state.profile ?? "–");
  set("session", state.session ?? "–");
  stream();
  set("rate", metrics.records_per_s === undefined ? "–" : whole(metrics.records_per_s));
  set("queue", metrics.queue_depth === undefined ? "–" : whole(metrics.queue_depth));
  set("lag", metrics.lag_ms === undefined ? "–" : latency(metrics.lag_ms), metrics.lag_ms > SLOW_FEED_MS ? "warn" : "");
  set("memory", metrics.rss_bytes === undefined ? "–" : megabytes(metrics.rss_bytes));
  set("gaps", run ? whole(run.gaps) : "–", run?.gaps ? "warn" : "");
  byId("vitals").title = run?.error ?? "";
}

/** @param {import("./ws.js").Connection} connection */
function link(connection) {
  const node = byId("link");
  const silence = connection.silence;
  let [mood, text] = ["connecting", "connecting"];
  if (connection.refused) [mood, text] = ["lost", "token refused"];
  else if (connection.state === "waiting" || (connection.state === "connecting" && connection.attempts > 0)) [mood, text] = ["lost", `stale since ${age(silence)}`];
  else if (connection.state === "open" && silence > STALE_MS) [mood, text] = ["stale", `stale since ${age(silence)}`];
  else if (connection.state === "open") [mood, text] = ["open", connection.roundTrip === null ? "connected" : `connected, ${Math.max(connection.roundTrip, 0.1).toFixed(connection.roundTrip < 10 ? 1 : 0)} ms`];
  node.dataset.state = mood;
  const words = /** @type {HTMLElement} */ (node.lastElementChild);
  words.textContent = text;
  node.title = `WebSocket; ${connection.reconnects} reconnects`;
  document.documentElement.dataset.link = mood;
  notice(mood === "lost" && silence > LOST_MS ? `${LOST[connection.refused ? 1 : 0]} The page shows what it knew at ${clock(serverNow() - silence)}.` : null);
}

/** @param {string | null} lost what to say of the connection, null when it is well */
function notice(lost) {
  const text = lost ?? state.notice;
  const node = byId("notice");
  if (node.textContent !== (text ?? "")) node.textContent = text ?? "";
  node.hidden = text === null;
}

/** @param {import("./ws.js").Connection} connection */
export function start(connection) {
  byId("vitals").append(
    vital("profile", "Profile", "settings profile of the stream"),
    vital("session", "Session", "trading date of the stream's session"),
    vital("stream", "Stream", "state of the stream process and age of its last record"),
    vital("rate", "Records/s", "market-by-order records in the last second"),
    vital("queue", "Queue", "events between socket and engine"),
    vital("lag", "Feed lag", "from the exchange's gateway to this machine, newest record"),
    vital("memory", "Memory", "of the stream process"),
    vital("gaps", "Gaps", "holes in what was received"),
  );
  on("run", () => (source(), vitals()));
  on("health", vitals);
  on("notice", () => link(connection));
  on("hello", () => {
    const prefect = /** @type {HTMLAnchorElement} */ (byId("prefect"));
    prefect.hidden = !state.prefectUrl;
    if (state.prefectUrl) prefect.href = state.prefectUrl;
  });
  const tick = () => {
    const now = serverNow();
    byId("clock").textContent = clock(now);
    byId("clock").title = day(now);
    stream();
    link(connection);
  };
  vitals();
  setInterval(tick, 250);
  tick();
}
