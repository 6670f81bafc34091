// Drag the outline anywhere: the nearest point follows, its neighbours softly.

import { Konva } from "./konva.js";
import { bend, distanceMm, nearest, resample } from "./geometry.js";

const STEP_MM = 0.25; // between points of an outline that is edited
const SOFT_MM = 2; // how far the neighbours follow at least
const TOUCH_PX = 26;

export class OutlineTool {
  /** `hooks`: contours(), spacing(), live(contours), done(), loupe(point or null). */
  constructor(stage, layer, hooks) {
    this.stage = stage;
    this.hooks = hooks;
    this.cursor = "grab";
    this.grip = new Konva.Circle({ radius: 6, fill: "#e9edf0", stroke: "#0a0c0e", strokeWidth: 1.5, listening: false, visible: false });
    layer.add(this.grip);
  }

  /** The nearest point of the outline within reach of the pointer, or null. */
  near(point) {
    const found = nearest(this.hooks.contours(), point, this.hooks.spacing());
    if (found.contour < 0) return null;
    const [a, b] = [point, this.hooks.contours()[found.contour][found.index]].map((p) => this.stage.toScreen(p));
    return Math.hypot(a.x - b.x, a.y - b.y) <= TOUCH_PX ? found : null;
  }

  hover(point) {
    const found = this.near(point);
    this.showGrip(found ? this.hooks.contours()[found.contour][found.index] : null);
  }

  leave() {
    this.showGrip(null);
  }

  down(point) {
    if (!this.near(point)) return false;
    const spacing = this.hooks.spacing();
    const contours = this.hooks.contours().map((line) => resample(line, spacing, STEP_MM));
    this.from = { contours, ...nearest(contours, point, spacing), point };
    this.move(point);
    return true;
  }

  move(point) {
    const { contours, contour, index, point: start } = this.from;
    const way = [point[0] - start[0], point[1] - start[1]];
    const spacing = this.hooks.spacing();
    const softMm = Math.max(SOFT_MM, 0.7 * distanceMm(point, start, spacing)); // far pulls stay round
    const bent = contours.map((line, k) => (k === contour ? bend(line, index, way, spacing, softMm) : line));
    this.hooks.live(bent);
    this.showGrip(bent[contour][index]);
    this.hooks.loupe(bent[contour][index]);
  }

  up() {
    this.hooks.loupe(null);
    this.hooks.done();
  }

  cancel() {
    this.leave();
    this.hooks.loupe(null);
  }

  showGrip(point) {
    this.grip.visible(point !== null);
    if (point) this.grip.position(this.stage.toScreen(point));
    this.stage.layer.batchDraw();
  }
}
