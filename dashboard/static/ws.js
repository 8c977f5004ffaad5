// The connection: hello, then what was missed or a snapshot, then what happens.
// It comes back by itself, knows how old its news is and what the server's clock says.

const PING_MS = 2_000;
const SILENT_MS = 9_000;
const FIRST_WAIT_MS = 250;
const LONGEST_WAIT_MS = 8_000;

export class Connection {
  /**
   * @param {(message: Record<string, any>, isReplay: boolean) => void} onMessage
   * @param {(offset: number) => void} onClock told when a better estimate of the server's clock is there
   */
  constructor(onMessage, onClock) {
    this.onMessage = onMessage;
    this.onClock = onClock;
    /** @type {WebSocket | null} */ this.socket = null;
    /** @type {number | null} */ this.seq = null;
    this.resumeSeq = 0;
    this.heard = performance.now();
    this.attempts = 0;
    this.reconnects = 0;
    /** @type {number | null} */ this.roundTrip = null;
    /** @type {"connecting" | "open" | "waiting"} */ this.state = "connecting";
    /** True when the server is there and wants a token. */ this.refused = false;
    /** @type {ReturnType<typeof setTimeout> | undefined} */ this.timer = undefined;
    this.bestRoundTrip = Infinity;
    setInterval(() => this.beat(), PING_MS);
    addEventListener("online", () => this.hurry());
    document.addEventListener("visibilitychange", () => document.hidden || this.hurry());
    this.open();
  }

  /** Milliseconds since anything was heard. */
  get silence() {
    return performance.now() - this.heard;
  }

  open() {
    clearTimeout(this.timer);
    this.state = "connecting";
    const since = this.seq === null ? "" : `?since=${this.seq}`;
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const socket = new WebSocket(`${scheme}://${location.host}/ws${since}`);
    this.socket = socket;
    socket.onmessage = (event) => this.socket === socket && this.receive(event.data);
    socket.onclose = () => this.socket === socket && this.lost();
  }

  /** @param {string} text */
  receive(text) {
    this.heard = performance.now();
    const message = JSON.parse(text);
    if (message.type === "pong") return this.setClock(message);
    if (message.type === "hello") {
      if (this.attempts > 0 || this.seq !== null) this.reconnects++;
      this.attempts = 0;
      this.refused = false;
      this.bestRoundTrip = Infinity;
      this.resumeSeq = message.last_seq;
      this.state = "open";
      this.ping();
    } else {
      this.seq = message.seq;
    }
    this.onMessage(message, message.seq <= this.resumeSeq);
  }

  lost() {
    this.socket = null;
    const wait = Math.min(FIRST_WAIT_MS * 2 ** this.attempts, LONGEST_WAIT_MS) * (0.5 + Math.random() / 2);
    this.attempts++;
    this.state = "waiting";
    if (this.attempts % 3 === 2) this.askWhy();
    this.timer = setTimeout(() => this.open(), wait);
  }

  /** A browser does not say why a WebSocket was refused; plain HTTP does. */
  async askWhy() {
    try {
      const answer = await fetch("/healthz");
      this.refused = answer.status === 401;
    } catch {
      this.refused = false; // nobody there at all
    }
  }

  hurry() {
    if (this.socket === null) this.open();
  }

  beat() {
    if (this.socket === null) return;
    if (this.silence > SILENT_MS) {
      this.socket.onclose = null;
      this.socket.close();
      this.lost();
    } else if (this.state === "open") this.ping();
  }

  ping() {
    this.send({ type: "ping", echo: performance.now() });
  }

  /** @param {Record<string, any>} message */
  send(message) {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }

  /** The quickest answer gives the best clock. @param {Record<string, any>} pong */
  setClock(pong) {
    const now = performance.now();
    this.roundTrip = now - pong.echo;
    if (this.roundTrip > this.bestRoundTrip) {
      this.bestRoundTrip *= 1.05; // clocks drift: an old best must not rule for ever
      return;
    }
    this.bestRoundTrip = this.roundTrip;
    const middle = performance.timeOrigin + (now + pong.echo) / 2;
    this.onClock(pong.ts / 1e6 - middle);
  }
}
