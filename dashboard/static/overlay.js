// What is drawn on the candles besides them: the hours outside the cash session, the bar of the
// selected signal, texts beside arrows, and the countdown under the last price. A series primitive
// of the chart library, whose own marker texts run into each other.

import { newYorkOffset } from "./format.js";

const OPEN_S = 9.5 * 3600;
const CLOSE_S = 16 * 3600;
const AXIS_LABEL_HEIGHT = 20;
const FONT = "500 11px 'IBM Plex Sans', sans-serif";
const TEXT_HEIGHT = 14;

/**
 * @typedef {{index: number, way: number, size: number, text: string}} Label
 * @typedef {{left: number, right: number, top: number, bottom: number}} Rectangle
 */

/** The library's own arithmetic of arrows. @param {number} spacing @param {number} size */
const arrowHeight = (spacing, size) => 2 * Math.ceil(Math.min(Math.max(spacing, 12), 30) / 2) * size;

/** @param {Rectangle} a @param {Rectangle} b */
const touch = (a, b) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;

/** @param {number} shiftedSeconds seconds whose UTC fields read as New York time */
const isCash = (shiftedSeconds) => {
  const second = shiftedSeconds % 86_400;
  return second >= OPEN_S && second < CLOSE_S;
};

/** @param {number} seconds */
export const shift = (seconds) => seconds + newYorkOffset(seconds * 1000) / 1000;

export class Overlay {
  constructor() {
    /** Shifted start of each bar drawn, in order. @type {number[]} */ this.times = [];
    /** @type {number | null} */ this.selected = null;
    /** @type {{price: number, text: string} | null} */ this.countdown = null;
    /** Of every arrow, the surest first; `text` may be empty. @type {Label[]} */ this.texts = [];
    /** High and low of a bar. @type {(index: number) => {high: number, low: number} | undefined} */ this.barAt = () => undefined;
    this.colors = { shade: "#fff1", selected: "#fff2", label: "#333", text: "#fff", up: "#0f0", down: "#f00", panel: "#000" };
    const view = (/** @type {string} */ zOrder, /** @type {(target: any) => void} */ draw) => ({ zOrder: () => zOrder, renderer: () => ({ draw }) });
    this.views = [view("bottom", (target) => this.drawBehind(target)), view("top", (target) => this.drawTexts(target))];
    this.labels = [{
      coordinate: () => this.labelY(),
      text: () => this.countdown?.text ?? "",
      textColor: () => this.colors.text,
      backColor: () => this.colors.label,
      visible: () => this.countdown !== null,
    }];
  }

  /** @param {any} parameters */
  attached({ chart, series, requestUpdate }) {
    this.chart = chart;
    this.series = series;
    this.requestUpdate = requestUpdate;
  }

  paneViews() {
    return this.views;
  }

  priceAxisViews() {
    return this.labels;
  }

  /** Draw again at the next frame. */
  update() {
    this.requestUpdate?.();
  }

  labelY() {
    const y = this.countdown === null ? null : this.series.priceToCoordinate(this.countdown.price);
    return y === null ? -100 : y + AXIS_LABEL_HEIGHT;
  }

  /** @param {any} target */
  drawBehind(target) {
    const range = this.chart.timeScale().getVisibleLogicalRange();
    if (range === null) return;
    target.useBitmapCoordinateSpace((/** @type {any} */ scope) => {
      const { context, bitmapSize, horizontalPixelRatio } = scope;
      const half = this.chart.timeScale().options().barSpacing / 2;
      const x = (/** @type {number} */ index) => this.chart.timeScale().logicalToCoordinate(index);
      const fill = (/** @type {number} */ from, /** @type {number} */ to, /** @type {string} */ color) => {
        const left = Math.round((x(from) - half) * horizontalPixelRatio);
        const right = Math.round((x(to) + half) * horizontalPixelRatio);
        context.fillStyle = color;
        context.fillRect(left, 0, right - left, bitmapSize.height);
      };
      const first = Math.max(Math.floor(range.from), 0);
      const last = Math.min(Math.ceil(range.to), this.times.length - 1);
      let from = -1;
      for (let index = first; index <= last + 1; index++) {
        const shaded = index <= last && !isCash(this.times[index]);
        if (shaded && from < 0) from = index;
        if (!shaded && from >= 0) {
          fill(from, index - 1, this.colors.shade);
          from = -1;
        }
      }
      if (this.selected !== null) fill(this.selected, this.selected, this.colors.selected);
    });
  }

  /** Texts by confidence; one that would touch another text or arrow is left out. @param {any} target */
  drawTexts(target) {
    const range = this.chart.timeScale().getVisibleLogicalRange();
    if (range === null) return;
    const seen = this.texts.filter((label) => label.index >= range.from - 1 && label.index <= range.to + 1);
    target.useMediaCoordinateSpace((/** @type {any} */ { context }) => {
      context.font = FONT;
      context.textAlign = "center";
      context.textBaseline = "middle";
      const arrows = seen.map((label) => this.arrowBox(label));
      /** @type {Rectangle[]} */
      const taken = [];
      seen.forEach((label, at) => {
        const arrow = arrows[at];
        if (!label.text || arrow === null) return;
        const width = context.measureText(label.text).width;
        const isFree = (/** @type {Rectangle} */ box) =>
          !taken.some((other) => touch(other, box)) &&
          !arrows.some((other) => other !== null && other !== arrow && touch(other, box));
        const box = [0, 0.5, -0.5].map((aside) => textBox(arrow, label.way, width, aside)).find(isFree);
        if (!box) return;
        taken.push(box);
        this.write(context, label, box);
      });
    });
  }

  /** @param {Label} label @returns {Rectangle | null} */
  arrowBox({ index, way, size }) {
    const bar = this.barAt(index);
    if (!bar) return null;
    const height = arrowHeight(this.chart.timeScale().options().barSpacing, size);
    const x = this.chart.timeScale().logicalToCoordinate(index);
    const y = this.series.priceToCoordinate(way > 0 ? bar.low : bar.high);
    const top = way > 0 ? y : y - height;
    return { left: x - height / 2, right: x + height / 2, top, bottom: top + height };
  }

  /** @param {any} context @param {Label} label @param {Rectangle} box */
  write(context, label, box) {
    context.globalAlpha = 0.8;
    context.fillStyle = this.colors.panel;
    context.beginPath();
    context.roundRect(box.left, box.top, box.right - box.left, box.bottom - box.top, 3);
    context.fill();
    context.globalAlpha = 1;
    context.fillStyle = label.way > 0 ? this.colors.up : this.colors.down;
    context.fillText(label.text, (box.left + box.right) / 2, (box.top + box.bottom) / 2 + 0.5);
  }
}

/**
 * Place for a text beyond the tail of its arrow, a share of its width aside.
 * @param {Rectangle} arrow @param {number} way @param {number} width @param {number} aside @returns {Rectangle}
 */
function textBox(arrow, way, width, aside) {
  const middle = (arrow.left + arrow.right) / 2 + aside * width;
  const top = way > 0 ? arrow.bottom + 1 : arrow.top - TEXT_HEIGHT - 1;
  return { left: middle - width / 2 - 3, right: middle + width / 2 + 3, top, bottom: top + TEXT_HEIGHT };
}
