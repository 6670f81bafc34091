// A round brush adds to an outline or erases from it.

import { Konva } from "./konva.js";
import { outerContours, paint, rasterise } from "./field.js";
import { areaMm2, resample } from "./geometry.js";
import { aspect } from "./transform.js";

const STEP_MM = 0.25; // between points of a painted outline
const LEAST_MM2 = 0.5; // smaller islands are slips of the brush
export const WIDTHS_MM = [0.5, 20];

export class BrushTool {
  /** `hooks`: contours(), spacing(), live(contours), done(). `adds` and `widthMm` are set by the page. */
  constructor(stage, layer, hooks) {
    this.stage = stage;
    this.hooks = hooks;
    this.cursor = "none";
    this.takesDoubleClick = true;
    this.adds = true;
    this.widthMm = 3;
    this.ring = new Konva.Ellipse({ radiusX: 1, radiusY: 1, strokeWidth: 1.5, listening: false, visible: false });
    layer.add(this.ring);
  }

  hover(point) {
    this.at = point;
    this.showRing(point);
  }

  leave() {
    this.showRing(null);
  }

  down(point, event) {
    this.field = rasterise(this.hooks.contours(), this.stage.box);
    this.last = point;
    this.erases = !this.adds || event.altKey;
    this.stroke(point);
    return true;
  }

  move(point) {
    this.stroke(point);
  }

  stroke(point) {
    paint(this.field, this.last, point, this.widthMm / 2, this.hooks.spacing(), !this.erases);
    this.last = this.at = point;
    this.showRing(point);
    this.waiting ??= requestAnimationFrame(() => {
      this.waiting = null;
      if (this.field) this.hooks.live(this.traced());
    });
  }

  up() {
    this.hooks.live(this.traced());
    this.cancel();
    this.hooks.done();
  }

  cancel() {
    cancelAnimationFrame(this.waiting);
    this.waiting = null;
    this.field = null;
  }

  traced() {
    const spacing = this.hooks.spacing();
    return outerContours(this.field)
      .filter((line) => areaMm2(line, spacing) >= LEAST_MM2)
      .map((line) => resample(line, spacing, STEP_MM));
  }

  /** The brush where it would paint, as large as it is in millimetres. */
  showRing(point) {
    this.ring.visible(point !== null);
    if (point) {
      const spacing = this.hooks.spacing();
      const { x, y } = aspect(spacing);
      const radius = this.widthMm / 2;
      this.ring.setAttrs({
        ...this.stage.toScreen(point),
        radiusX: (radius / spacing[1]) * x * this.stage.view.scale,
        radiusY: (radius / spacing[0]) * y * this.stage.view.scale,
        stroke: this.adds ? "#e9edf0" : "#ff9f7a",
        dash: this.adds ? [] : [4, 3],
      });
    }
    this.stage.layer.batchDraw();
  }
}
