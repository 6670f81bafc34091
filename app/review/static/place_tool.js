// Two clicks set a pair of calipers; between them a line follows the pointer. By keyboard a cross
// takes the place of the pointer: arrows move it, Enter sets an end.

import { WAYS } from "./handles.js";

const STEP = [1, 10]; // frame pixels, without and with Shift
const DRAGGED = 3; // frame pixels: a click may tremble by so much

export class PlaceTool {
  /** `hooks`: preview(pair or null), placed(pair), inside(point) the nearest point of the picture. */
  constructor(hooks) {
    this.hooks = hooks;
    this.cursor = "cross";
    this.takesDoubleClick = true;
    this.forget();
  }

  /** Begin with the keyboard at a frame point. */
  begin(point) {
    this.cross = this.hooks.inside(point);
    this.hooks.preview([this.first ?? this.cross, this.cross]);
  }

  /** Take a key while the cross is out; returns whether it was one of its own. */
  key({ key, shiftKey }) {
    if (!this.cross) return false;
    const { cross } = this;
    const way = WAYS[key];
    if (way) this.begin(cross.map((value, axis) => value + way[axis] * STEP[Number(shiftKey)]));
    else if (key === "Enter") {
      this.down(cross);
      this.up(cross);
    }
    return way !== undefined || key === "Enter";
  }

  get begun() {
    return this.first !== null || this.cross !== null;
  }

  down(point) {
    if (this.first) this.held = "second";
    else {
      this.first = point;
      this.held = "first";
    }
    this.hooks.preview([this.first, point]);
    return true;
  }

  move(point) {
    this.hooks.preview([this.first, point]);
  }

  hover(point) {
    if (this.first) this.hooks.preview([this.first, point]);
  }

  /** Both a click at either end and one drag from end to end set a pair. */
  up(point) {
    const apart = Math.hypot(point[0] - this.first[0], point[1] - this.first[1]);
    if (apart <= (this.held === "first" ? DRAGGED : 0)) return;
    const first = this.first;
    this.cancel();
    this.hooks.placed([first, point]);
  }

  cancel() {
    const had = this.begun;
    this.forget();
    this.hooks.preview(null);
    return had;
  }

  forget() {
    this.first = null;
    this.cross = null;
  }
}
