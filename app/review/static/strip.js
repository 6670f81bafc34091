// The thickness of every frame as a strip under a cine; a click or drag goes to a frame.

import { svg } from "./dom.js";
import { mm, threshold as thresholdWords } from "./numbers.js";

const [LEFT, TOP, FOOT] = [36, 8, 16];

export class Strip {
  /** `go(frame)` is called when a person chooses a frame. */
  constructor(element, go) {
    this.element = element;
    this.go = go;
    this.data = null;
    element.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      this.held = true;
      try {
        element.setPointerCapture(event.pointerId);
      } catch {
        // nothing to capture
      }
      this.choose(event);
    });
    element.addEventListener("pointermove", (event) => this.held && this.choose(event));
    for (const name of ["pointerup", "pointercancel"])
      element.addEventListener(name, () => (this.held = false));
    new ResizeObserver(() => this.data && this.draw()).observe(element);
  }

  /** `data`: {frames, rows: per_frame, limit, best, mine}; `shown` is the frame on the screen. */
  set(data, shown) {
    this.data = data;
    this.shown = shown;
    this.element.setAttribute("aria-valuemax", data.frames);
    this.draw();
  }

  /** Mark the frame on the screen; cheap, for scrubbing. */
  mark(shown) {
    this.shown = shown;
    if (!this.now) return;
    const x = this.x(shown);
    const wide = Math.max(this.x(2) - this.x(1), 4);
    this.now.setAttribute("x", x - wide / 2);
    this.now.setAttribute("width", wide);
    this.nowLine.setAttribute("d", `M${x} 0V${this.height - FOOT}`);
    this.number.setAttribute("x", Math.min(Math.max(x, LEFT + 8), this.width - 12));
    this.number.textContent = shown;
    const row = this.data.rows.find(({ frame }) => frame === shown);
    const said = row?.thickness_mm == null ? "not measured" : mm(row.thickness_mm, this.data.limit);
    this.element.setAttribute("aria-valuenow", shown);
    this.element.setAttribute("aria-valuetext", `Frame ${shown} of ${this.data.frames}${this.data.rows.length ? `, ${said}` : ""}`);
  }

  x(frame) {
    const n = this.data.frames;
    return LEFT + ((frame - 0.5) / n) * (this.width - LEFT - 4);
  }

  choose(event) {
    const { left } = this.element.getBoundingClientRect();
    const share = (event.clientX - left - LEFT) / (this.width - LEFT - 4);
    const frame = Math.min(Math.max(Math.ceil(share * this.data.frames), 1), this.data.frames);
    if (frame !== this.shown) this.go(frame);
  }

  draw() {
    const { rows, limit, best, mine } = this.data;
    this.width = Math.max(this.element.clientWidth, 50);
    this.height = Math.max(this.element.clientHeight, 40);
    const most = Math.max(1.5 * limit, ...rows.map(({ upper_mm: upper, thickness_mm: value }) => Math.min(upper ?? 0, (value ?? 0) * 1.6)));
    const floor = this.height - FOOT;
    const y = (value) => floor - (Math.min(value, most) / most) * (floor - TOP);
    const picture = svg("svg", { viewBox: `0 0 ${this.width} ${this.height}`, "aria-hidden": "true" });
    this.now = svg("rect", { class: "now", y: 0, height: floor });
    this.nowLine = svg("path", { class: "now-line" });
    this.number = svg("text", { y: this.height - 2, "text-anchor": "middle" });
    picture.append(this.now, svg("path", { class: "axis", d: `M${LEFT} ${floor}H${this.width}` }));
    if (rows.length)
      picture.append(
        svg("path", { class: "limit", d: `M${LEFT} ${y(limit)}H${this.width}` }),
        svg("text", { x: LEFT - 4, y: y(limit) + 4, "text-anchor": "end" }, thresholdWords(limit)),
      );
    for (const row of rows) picture.append(...this.markOf(row, y, floor, best));
    if (mine != null) picture.append(svg("path", { class: "mine", d: `M${this.x(mine) - 4} ${floor + 9}L${this.x(mine)} ${floor + 2}L${this.x(mine) + 4} ${floor + 9}Z` }));
    picture.append(this.nowLine, this.number);
    this.element.replaceChildren(picture);
    this.mark(this.shown);
  }

  markOf(row, y, floor, best) {
    const x = this.x(row.frame);
    const { thickness_mm: value, lower_mm: lower, upper_mm: upper } = row;
    if (value == null) return [svg("path", { class: "none", d: `M${x} ${floor - 4}V${floor}` })];
    const held = lower == null ? [] : [svg("path", { class: "held", d: `M${x} ${y(lower)}V${y(upper)}` })];
    if (row.frame === best) return [...held, svg("path", { class: "best", d: star(x, y(value), 7.5) })];
    return [...held, svg("circle", { class: row.status === "measured" ? "dot" : "poor", cx: x, cy: y(value), r: 3.2 })];
  }
}

/** A five-pointed star around (x, y). */
function star(x, y, r) {
  const point = (i) => {
    const [angle, far] = [(Math.PI * i) / 5 - Math.PI / 2, i % 2 ? r * 0.45 : r];
    return `${(x + far * Math.cos(angle)).toFixed(1)} ${(y + far * Math.sin(angle)).toFixed(1)}`;
  };
  return `M${Array.from({ length: 10 }, (_, i) => point(i)).join("L")}Z`;
}
