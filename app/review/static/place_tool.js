// Two clicks set a pair of calipers; between them a line follows the pointer.

export class PlaceTool {
  /** `hooks`: preview(pairs or null), placed(pair). */
  constructor(hooks) {
    this.hooks = hooks;
    this.cursor = "cross";
    this.takesDoubleClick = true;
    this.first = null;
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
    const far = Math.hypot(point[0] - this.first[0], point[1] - this.first[1]) > 3;
    if (this.held === "first" && !far) return;
    const first = this.first;
    this.cancel();
    this.hooks.placed([first, point]);
  }

  cancel() {
    const had = this.first !== null;
    this.first = null;
    this.hooks.preview(null);
    return had;
  }
}
