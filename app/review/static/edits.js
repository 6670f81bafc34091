// The work on one clip, with undo and redo. States are frozen; a gesture is one step.
//
// A state: { frame, calipers, layers, contours, fluid, stale }. `calipers` is one pair of points or
// null, `layers` two pairs (then they count instead), `contours` and `fluid` lists of closed outlines;
// null means "as the machine drew them on that frame". `stale`: the outline is newer than the calipers.

const FIELDS = ["frame", "calipers", "layers", "contours", "fluid", "stale"];
const DEEPEST = 200;

export class Edits {
  constructor(baseline) {
    this.baseline = Object.freeze({ ...baseline });
    this.now = this.baseline;
    this.past = [];
    this.future = [];
    this.before = null;
  }

  /** Something differs from what was there at first. */
  get changed() {
    return !same(this.now, this.baseline);
  }

  /** Show a change while the hand still moves. */
  live(patch) {
    this.before ??= this.now;
    this.now = Object.freeze({ ...this.now, ...patch });
  }

  /** The hand has let go: one step to undo. Returns whether anything changed. */
  commit() {
    const before = this.before;
    this.before = null;
    if (!before || same(before, this.now)) return false;
    this.past.push(before);
    if (this.past.length > DEEPEST) this.past.shift();
    this.future = [];
    return true;
  }

  /** Give up what the hand was doing. */
  cancel() {
    if (this.before) this.now = this.before;
    this.before = null;
  }

  set(patch) {
    this.live(patch);
    return this.commit();
  }

  undo() {
    this.cancel();
    return this.step(this.past, this.future);
  }

  redo() {
    this.cancel();
    return this.step(this.future, this.past);
  }

  step(from, to) {
    if (!from.length) return false;
    to.push(this.now);
    this.now = from.pop();
    return true;
  }
}

/** Whether two states are the same work. */
export function same(a, b) {
  return FIELDS.every((name) => a[name] === b[name] || JSON.stringify(a[name]) === JSON.stringify(b[name]));
}

/** Whether a value read back from storage has the form of a state. */
export function isState(value) {
  const point = (p) => Array.isArray(p) && p.length === 2 && p.every(Number.isFinite);
  const list = (test) => (v) => v === null || (Array.isArray(v) && v.every(test));
  const pair = (v) => Array.isArray(v) && v.length === 2 && v.every(point);
  return (
    value !== null &&
    typeof value === "object" &&
    Number.isInteger(value.frame) &&
    (value.calipers === null || pair(value.calipers)) &&
    (value.layers === null || (list(pair)(value.layers) && value.layers.length === 2)) &&
    list(list(point))(value.contours) &&
    list(list(point))(value.fluid)
  );
}
