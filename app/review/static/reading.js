// One clip under review: what the machine says, what a person has made of it, and the numbers of both.

import { Edits, isState } from "./edits.js";
import { callOf, distanceMm, insideMm, joinLayers, splitLayers, sumMm } from "./geometry.js";

const EMPTY = { calipers: null, layers: null, contours: null, fluid: null, stale: false };

export class Reading {
  /** `data` is the clip as the server gives it. */
  constructor(data) {
    this.data = data;
    this.limit = data.threshold_mm;
    this.onFrame = new Map(); // frame -> what the machine measured and drew there
    this.snapped = new WeakMap(); // calipers -> the thickness that came with them, and of what
    this.edits = new Edits(this.start(data));
    this.note = "";
  }

  get work() {
    return this.edits.now;
  }

  start({ review, measurement, frame }) {
    if (review?.action === "correct") {
      const { calipers, layers, contours, fluid } = review;
      return { ...EMPTY, frame: review.frame ?? frame, calipers, layers, contours, fluid };
    }
    if (measurement?.calipers) return this.ofMachine(measurement);
    return { ...EMPTY, frame };
  }

  /** The state that is what the machine measured on a frame. */
  ofMachine(found) {
    const state = { ...EMPTY, frame: found.frame };
    const spacing = this.spacing(found.calipers);
    if (!found.fluid || !spacing || found.thickness_mm == null) return { ...state, calipers: found.calipers };
    return { ...state, layers: splitLayers(found.calipers, found.thickness_mm, spacing) };
  }

  /** Millimetres per pixel [row, column] where the points lie, or null where there is no scale. */
  spacing(points = []) {
    const { scales, row_mm: row, column_mm: column } = this.data;
    const held = scales?.find(({ box }) =>
      points.length ? points.every(([r, c]) => r >= box[0] - 0.5 && r <= box[2] + 0.5 && c >= box[1] - 0.5 && c <= box[3] + 0.5) : false,
    );
    if (held) return [held.row_mm, held.column_mm];
    return row && column ? [row, column] : null;
  }

  get pairs() {
    return this.work.layers ?? (this.work.calipers ? [this.work.calipers] : []);
  }

  /** The outlines on a frame: a person's, or the machine's if it has been asked there. */
  contours(frame, kind = "contours") {
    const own = frame === this.work.frame ? this.work[kind] : null;
    const drawn = this.onFrame.get(frame);
    return own ?? (kind === "fluid" ? drawn?.fluid_contours : drawn?.contours) ?? [];
  }

  /** The machine saw fluid on the frame of the work, and nobody can say where: see `snap`. */
  get fluidUnknown() {
    const { frame, fluid } = this.work;
    const found = this.onFrame.get(frame) ?? (this.data.measurement?.frame === frame ? this.data.measurement : null);
    return fluid === null && Boolean(found?.fluid) && !found.fluid_contours?.length;
  }

  /** The thickness in mm that stands there now, or null. */
  get thickness() {
    const { review, measurement } = this.data;
    if (!this.edits.changed) {
      if (review?.action === "correct") return review.thickness_mm;
      return measurement?.thickness_mm ?? null;
    }
    return this.drawnMm;
  }

  /** What calipers or layers measure, as the server computes it from what is sent. */
  get drawnMm() {
    const { calipers, layers, contours, fluid } = this.work;
    const spacing = this.spacing(this.pairs.flat());
    if (!spacing) return null;
    if (layers) return sumMm(layers, spacing);
    if (!calipers) return null;
    const snapped = this.snapped.get(calipers);
    if (snapped && snapped.contours === contours && snapped.fluid === fluid) return snapped.mm;
    return distanceMm(...calipers, spacing) - insideMm(...calipers, fluid ?? [], spacing);
  }

  /** A person's number stands there, not the machine's. */
  get mine() {
    return this.edits.changed || this.data.review?.action === "correct";
  }

  get call() {
    if (!this.mine) return this.data.measurement?.call ?? null;
    return this.thickness === null ? null : callOf(this.thickness, this.limit);
  }

  /** Replace pairs of points, as calipers or as layers. */
  withPairs(pairs, more = {}) {
    return pairs.length === 2 ? { layers: pairs, ...more } : { calipers: pairs[0], layers: null, ...more };
  }

  /** What to change to measure two single layers, or one pair again; null without calipers. */
  toggledFluid() {
    const { calipers, layers } = this.work;
    if (layers) return { layers: null, calipers: joinLayers(layers) };
    const spacing = this.spacing(calipers ?? []);
    if (!calipers || !spacing) return null;
    const outer = distanceMm(...calipers, spacing);
    const gap = Math.min(Math.max(0.15 * outer, 1), outer / 2);
    return { layers: splitLayers(calipers, outer - gap, spacing) };
  }

  /** What to change where something is drawn on `frame`: on another frame all begins anew. */
  drawnOn(frame, patch) {
    return frame === this.work.frame ? patch : { ...EMPTY, frame, ...patch };
  }

  /** What is sent to the server to save it. */
  body(action, more = {}) {
    const { frame, calipers, layers, contours, fluid } = this.work;
    const drawn = action === "correct";
    const outlined = drawn && (contours !== null || fluid !== null);
    return {
      version: this.data.version,
      action,
      frame: action === "withdraw" ? null : frame,
      calipers: drawn && !layers ? calipers : null,
      layers: drawn ? layers : null,
      contours: outlined ? this.contours(frame) : null,
      fluid: drawn ? fluid : null,
      note: this.note.trim() || null,
      ...more,
    };
  }

  draft() {
    return { version: this.data.version, work: this.work, note: this.note };
  }

  /** Take up kept work. Returns whether there was any of use. */
  takeUp(draft) {
    if (!draft) return false;
    this.note = typeof draft.note === "string" ? draft.note : "";
    const changed = isState(draft.work) && this.edits.set(draft.work);
    return changed || this.note !== "";
  }

  get unsaved() {
    return this.edits.changed || this.note.trim() !== "";
  }
}
