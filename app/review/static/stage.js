// The picture: drawn with Konva, zoomed, panned and lit; tools get what the pointer does on it.

import { Konva } from "./konva.js";
import { clampPoint } from "./geometry.js";
import { fit, keepInside, toFrame, toScreen, zoomAt } from "./transform.js";

const STEP = 1.25;
Konva.dragButtons = [0]; // the middle one pans

export class Stage {
  /** `element` holds the canvas. `onView` is called when the picture has moved on the screen. */
  constructor(element, onView) {
    this.element = element;
    this.onView = onView;
    this.box = [0, 0, 1, 1];
    this.spacing = null;
    this.fitted = true;
    this.tool = null; // {down, move, up, leave, cursor} in frame points; down returns true to take over
    this.pointers = new Map();
    this.konva = new Konva.Stage({ container: element, width: 10, height: 10 });
    this.pictureLayer = new Konva.Layer({ listening: false });
    this.layer = new Konva.Layer();
    this.picture = new Konva.Image({ image: undefined });
    this.pictureLayer.add(this.picture);
    this.konva.add(this.pictureLayer, this.layer);
    this.view = { scale: 1, x: 0, y: 0 };
    new ResizeObserver(() => this.resize()).observe(element);
    this.listen();
    this.resize();
  }

  /** What is shown: the box in frame pixels and the mm per pixel (null: square). */
  frameOf(box, spacing) {
    [this.box, this.spacing] = [box, spacing];
    this.fit();
  }

  show(bitmap) {
    this.picture.image(bitmap ?? undefined);
    this.place();
  }

  /** Brightness and contrast in percent. */
  light(brightness, contrast) {
    this.filter = `brightness(${brightness / 100}) contrast(${contrast / 100})`;
    this.pictureLayer.getNativeCanvasElement().style.filter = this.filter;
  }

  resize() {
    const { clientWidth, clientHeight } = this.element;
    this.konva.size({ width: Math.max(clientWidth, 1), height: Math.max(clientHeight, 1) });
    if (this.fitted) this.fit();
    else this.move(this.view);
  }

  fit() {
    this.fitted = true;
    this.view = fit(this.box, this.spacing, this.konva.width(), this.konva.height());
    this.place();
  }

  /** Zoom by steps, at a place of the window or in its middle. */
  zoom(steps, at = { x: this.konva.width() / 2, y: this.konva.height() / 2 }) {
    this.zoomBy(STEP ** steps, at);
  }

  zoomBy(factor, at) {
    const least = fit(this.box, this.spacing, this.konva.width(), this.konva.height()).scale * 0.5;
    this.move(zoomAt(this.view, factor, at.x, at.y, least));
  }

  pan(dx, dy) {
    this.move({ ...this.view, x: this.view.x + dx, y: this.view.y + dy });
  }

  move(view) {
    this.fitted = false;
    this.view = keepInside(view, this.box, this.spacing, this.konva.width(), this.konva.height());
    this.place();
  }

  place() {
    const [r0, c0, r1, c1] = this.box;
    const from = this.toScreen([r0 - 0.5, c0 - 0.5]);
    const to = this.toScreen([r1 + 0.5, c1 + 0.5]);
    this.picture.setAttrs({ ...from, width: to.x - from.x, height: to.y - from.y });
    this.pictureLayer.batchDraw();
    this.onView();
  }

  toScreen(point) {
    return toScreen(point, this.view, this.box, this.spacing);
  }

  toFrame(at) {
    return toFrame(at, this.view, this.box, this.spacing);
  }

  /** The frame point in the middle of what is seen. */
  middle() {
    return this.toFrame({ x: this.konva.width() / 2, y: this.konva.height() / 2 });
  }

  /** A frame point under an event, kept on the picture. */
  pointAt(event) {
    return clampPoint(this.toFrame(this.placeOf(event)), this.box);
  }

  placeOf({ clientX, clientY }) {
    const { left, top } = this.element.getBoundingClientRect();
    return { x: clientX - left, y: clientY - top };
  }

  cursor(name) {
    for (const each of ["grab", "grabbing", "cross", "none"])
      this.element.classList.toggle(each, each === name);
  }

  /** While the space bar is down every drag moves the picture. */
  hold(held) {
    this.space = held;
    this.panned = false;
    this.layer.listening(!held);
    this.restCursor();
  }

  restCursor() {
    this.cursor(this.space ? "grab" : this.tool?.cursor ?? "grab");
  }

  // One pointer works the tool or pans, two zoom; Konva drags its own shapes.
  listen() {
    const { element } = this;
    element.addEventListener("pointerdown", (event) => this.down(event));
    element.addEventListener("pointermove", (event) => this.moved(event));
    for (const name of ["pointerup", "pointercancel"])
      element.addEventListener(name, (event) => this.up(event));
    element.addEventListener("pointerleave", () => this.tool?.leave?.());
    element.addEventListener("dblclick", (event) => {
      if (!this.tool?.takesDoubleClick && !this.shapeAt(event)) this.fit();
    });
    element.addEventListener("contextmenu", (event) => event.preventDefault());
    element.addEventListener(
      "wheel",
      (event) => {
        event.preventDefault();
        const lines = event.deltaMode === 1 ? 16 : 1;
        const speed = event.ctrlKey ? 0.01 : 0.0016; // a pinch on a touchpad comes as ctrl + wheel
        this.zoomBy(Math.exp(-event.deltaY * lines * speed), this.placeOf(event));
      },
      { passive: false },
    );
  }

  shapeAt(event) {
    return !this.space && (this.konva.getIntersection(this.placeOf(event))?.draggable() ?? false);
  }

  down(event) {
    this.pointers.set(event.pointerId, this.placeOf(event));
    if (this.pointers.size === 2) return this.pinch();
    if (this.pointers.size > 2) return undefined;
    const pans = event.button === 1 || (event.button === 0 && this.space);
    if (event.button === 1) event.preventDefault();
    if (!pans && (event.button !== 0 || this.shapeAt(event))) return undefined;
    capture(this.element, event);
    if (!pans && this.tool?.down?.(this.pointAt(event), event)) this.mode = "tool";
    else {
      this.mode = "pan";
      this.cursor("grabbing");
    }
    return undefined;
  }

  /** A second finger: whatever the first one did is given up, both zoom. */
  pinch() {
    if (this.mode === "tool") this.tool?.cancel?.();
    this.onPinch?.();
    for (const shape of this.konva.find((node) => node.isDragging())) shape.stopDrag();
    this.mode = "pinch";
  }

  moved(event) {
    const at = this.placeOf(event);
    const before = this.pointers.get(event.pointerId);
    if (!before) return this.tool?.hover?.(this.pointAt(event));
    this.pointers.set(event.pointerId, at);
    if (this.mode === "tool") this.tool.move(this.pointAt(event), event);
    else if (this.mode === "pan") {
      this.panned = true;
      this.pan(at.x - before.x, at.y - before.y);
    } else if (this.mode === "pinch") this.pinched(event.pointerId, before, at);
    return undefined;
  }

  pinched(id, before, at) {
    const other = [...this.pointers].find(([each]) => each !== id)?.[1];
    if (!other) return;
    const was = Math.hypot(before.x - other.x, before.y - other.y);
    const is = Math.hypot(at.x - other.x, at.y - other.y);
    this.pan((at.x - before.x) / 2, (at.y - before.y) / 2);
    if (was > 0) this.zoomBy(is / was, { x: (at.x + other.x) / 2, y: (at.y + other.y) / 2 });
  }

  up(event) {
    this.pointers.delete(event.pointerId);
    if (this.mode === "tool") this.tool?.up(this.pointAt(event), event);
    if (this.mode !== "pinch" || !this.pointers.size) this.mode = null;
    this.restCursor();
  }
}

/** Keep getting the pointer's moves outside of the element; synthetic events have no pointer. */
function capture(element, event) {
  try {
    element.setPointerCapture(event.pointerId);
  } catch {
    // nothing to capture
  }
}
