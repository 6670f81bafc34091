// Outline and calipers over the picture, drawn with Konva; caliper ends and lines can be dragged.

import { Konva } from "./konva.js";
import { clampPoint, middle, shiftPoints } from "./geometry.js";

const COLOURS = { outline: "#62c6f2", fluid: "#9fe8e0", caliper: "#ffd640", halo: "#000000a8" };
const ARM = 9; // screen pixels of a caliper cross
const TOUCH = 22; // how near a finger must come

export class Overlay {
  /** `hooks`: start(), moved(pairs, end), end() of a drag; points in frame pixels. */
  constructor(stage, hooks) {
    this.stage = stage;
    this.hooks = hooks;
    this.outlines = new Konva.Group({ listening: false });
    this.pairs = new Konva.Group();
    this.extra = new Konva.Group({ listening: false });
    this.tools = new Konva.Group({ listening: false }); // what tools draw
    stage.layer.add(this.outlines, this.pairs, this.extra, this.tools);
    this.state = { pairs: [], contours: [], fluid: [], label: "", visible: true, movable: true };
  }

  /** Draw a state: pairs of calipers, contours, fluid, a label; whether it is seen and movable. */
  draw(state) {
    this.state = { ...this.state, ...state };
    this.redraw();
  }

  redraw() {
    const { pairs, contours, fluid, visible, movable } = this.state;
    this.outlines.visible(visible);
    this.pairs.visible(visible);
    this.pairs.listening(movable);
    this.drawOutlines(contours, fluid);
    if (this.pairs.getChildren().length !== pairs.length) this.buildPairs(pairs.length);
    const [inner, next] = pairs.length > 1 ? [pairs[0][1], pairs[1][0]].map((p) => this.stage.toScreen(p)) : [];
    const gap = inner ? Math.hypot(inner.x - next.x, inner.y - next.y) : Infinity;
    pairs.forEach((pair, i) =>
      this.placePair(this.pairs.getChildren()[i], pair, i ? [gap, Infinity] : [Infinity, gap]),
    );
    this.placeLabel(pairs);
    this.stage.layer.batchDraw();
  }

  drawOutlines(contours, fluid) {
    const all = [
      ...contours.map((line) => [line, COLOURS.outline]),
      ...fluid.map((line) => [line, COLOURS.fluid]),
    ];
    for (const line of this.outlines.getChildren().slice(2 * all.length)) line.destroy();
    for (let i = this.outlines.getChildren().length; i < 2 * all.length; i++)
      this.outlines.add(new Konva.Line({ closed: true, lineJoin: "round" }));
    all.forEach(([line, stroke], i) => {
      const points = this.flat(line);
      const [halo, drawn] = this.outlines.getChildren().slice(2 * i, 2 * i + 2);
      halo.setAttrs({ points, stroke: COLOURS.halo, strokeWidth: 3.5 });
      drawn.setAttrs({ points, stroke, strokeWidth: 1.6, dash: stroke === COLOURS.fluid ? [5, 4] : [] });
    });
  }

  flat(line) {
    return line.flatMap((point) => {
      const { x, y } = this.stage.toScreen(point);
      return [x, y];
    });
  }

  buildPairs(n) {
    this.pairs.destroyChildren();
    for (let i = 0; i < n; i++) {
      const group = new Konva.Group();
      const halo = new Konva.Line({ stroke: COLOURS.halo, strokeWidth: 3, listening: false });
      const line = new Konva.Line({ stroke: COLOURS.caliper, strokeWidth: 1.2, dash: [3, 4], hitStrokeWidth: TOUCH, draggable: true });
      line.on("dragstart", () => {
        this.grabbed = this.state.pairs[i]; // Konva counts from where the drag began
        this.hooks.start();
      });
      line.on("dragmove", () => this.dragLine(i, line));
      line.on("dragend", () => this.hooks.end());
      this.pointer(line, "move");
      group.add(halo, line, this.buildEnd(i, 0), this.buildEnd(i, 1));
      this.pairs.add(group);
    }
    this.label = new Konva.Group({ listening: false });
    this.label.add(new Konva.Rect({ fill: "#0a0c0ecc", cornerRadius: 5 }));
    this.label.add(new Konva.Text({ fontSize: 14, fontFamily: "Inter, Segoe UI, Roboto, sans-serif", fontStyle: "600", fill: COLOURS.caliper, padding: 5 }));
    this.extra.destroyChildren();
    this.extra.add(this.label);
  }

  buildEnd(pair, end) {
    const shape = new Konva.Shape({
      draggable: true,
      sceneFunc: (context) => {
        for (const [stroke, width] of [[COLOURS.halo, 4.5], [COLOURS.caliper, 2]]) {
          context.beginPath();
          context.moveTo(-ARM, 0);
          context.lineTo(ARM, 0);
          context.moveTo(0, -ARM);
          context.lineTo(0, ARM);
          context.setAttr("strokeStyle", stroke);
          context.setAttr("lineWidth", width);
          context.stroke();
        }
      },
      hitFunc: (context, self) => {
        const { x, y, beyond, within } = self.getAttr("reach");
        context.beginPath();
        for (const [along, across] of [[beyond, TOUCH], [beyond, -TOUCH], [-within, -TOUCH], [-within, TOUCH]])
          context.lineTo(x * along - y * across, y * along + x * across);
        context.closePath();
        context.fillStrokeShape(self);
      },
      reach: { x: 1, y: 0, beyond: TOUCH, within: TOUCH },
    });
    shape.on("dragstart", () => this.hooks.start());
    shape.on("dragmove", () => this.dragEnd(pair, end, shape));
    shape.on("dragend", () => this.hooks.end());
    this.pointer(shape, "none");
    return shape;
  }

  pointer(shape, name) {
    shape.on("mouseenter", () => (this.stage.konva.content.style.cursor = name === "none" ? "pointer" : name));
    shape.on("mouseleave", () => (this.stage.konva.content.style.cursor = ""));
    shape.on("dragstart", () => (this.stage.konva.content.style.cursor = name));
    shape.on("dragend", () => (this.stage.konva.content.style.cursor = ""));
  }

  /** `gaps`: screen pixels from either end to the neighbouring layer, or Infinity. */
  placePair(group, pair, gaps) {
    const ends = pair.map((point) => this.stage.toScreen(point));
    const [halo, line, ...crosses] = group.getChildren();
    const points = ends.flatMap(({ x, y }) => [x, y]);
    halo.points(points);
    line.setAttrs({ points, x: 0, y: 0 });
    crosses.forEach((cross, k) => {
      cross.position(ends[k]);
      cross.setAttr("reach", reachOf(ends[k], ends[1 - k], gaps[k]));
    });
  }

  placeLabel(pairs) {
    if (!this.label) return;
    this.label.visible(this.state.visible && pairs.length > 0 && this.state.label !== "");
    if (!this.label.visible()) return;
    const [back, text] = this.label.getChildren();
    text.text(this.state.label);
    back.size({ width: text.width(), height: text.height() });
    const ends = pairs.flat().map((point) => this.stage.toScreen(point));
    const right = Math.max(...ends.map(({ x }) => x)) + ARM + 8;
    const room = this.stage.konva.width() - text.width() - 4;
    const left = Math.min(...ends.map(({ x }) => x)) - ARM - 8 - text.width();
    const y = ends.reduce((sum, end) => sum + end.y, 0) / ends.length - text.height() / 2;
    this.label.position({ x: right <= room ? right : left, y });
  }

  dragEnd(pair, end, shape) {
    const point = clampPoint(this.stage.toFrame(shape.position()), this.stage.box);
    const pairs = this.state.pairs.map((each, i) =>
      i === pair ? each.map((old, k) => (k === end ? point : old)) : each,
    );
    this.hooks.moved(pairs, point);
  }

  dragLine(pair, line) {
    const from = this.stage.toFrame({ x: 0, y: 0 });
    const to = this.stage.toFrame(line.position());
    const moved = shiftPoints(this.grabbed, [to[0] - from[0], to[1] - from[1]], this.stage.box);
    const pairs = this.state.pairs.map((each, i) => (i === pair ? moved : each));
    this.hooks.moved(pairs, middle(moved));
  }
}

/** Where an end is grabbed: well beyond it, and as far within as leaves room to grab the line. */
function reachOf(end, other, gap) {
  const long = Math.hypot(end.x - other.x, end.y - other.y);
  const [x, y] = long > 0 ? [(end.x - other.x) / long, (end.y - other.y) / long] : [1, 0];
  return { x, y, beyond: Math.min(TOUCH, gap / 2), within: Math.min(TOUCH, long / 3) };
}
