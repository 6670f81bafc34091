// The interval as a picture: a line from 0 to twice the threshold (or more), the threshold marked.

import { svg } from "./dom.js";
import { interval as intervalWords, mm, threshold as thresholdWords } from "./numbers.js";

/** `numbers` {thickness_mm, lower_mm, upper_mm}, `mine` a person's mm or null; an SVG element. */
export function intervalPicture(numbers, limit, { mine = null, axis = true } = {}) {
  const { thickness_mm: value, lower_mm: lower, upper_mm: upper } = numbers;
  const most = Math.max(2 * limit, ...[value, upper, mine].map((each) => (each ?? 0) * 1.05));
  const x = (each) => 4 + (Math.min(each, most) / most) * 292;
  const words = [
    value == null ? null : `machine ${mm(value, limit)}`,
    lower == null ? null : `interval ${intervalWords(lower, upper, limit)}`,
    mine == null ? null : `reviewed ${mm(mine, limit)}`,
    `threshold ${thresholdWords(limit)}`,
  ];
  const picture = svg("svg", {
    class: "interval",
    viewBox: axis ? "0 0 300 32" : "0 0 300 14",
    role: "img",
    "aria-label": words.filter(Boolean).join(", "),
  });
  picture.append(svg("path", { class: "line", d: "M4 8H296" }));
  if (lower != null) picture.append(svg("path", { class: "held", d: `M${x(lower)} 8H${x(upper)}` }));
  picture.append(svg("path", { class: "limit", d: `M${x(limit)} 0V16` }));
  if (value != null) picture.append(svg("circle", { class: "at", cx: x(value), cy: 8, r: 6 }));
  if (mine != null) picture.append(svg("circle", { class: "mine", cx: x(mine), cy: 8, r: 6 }));
  if (axis)
    picture.append(
      svg("text", { x: 4, y: 29 }, "0"),
      svg("text", { x: x(limit), y: 29, "text-anchor": "middle" }, thresholdWords(limit)),
      svg("text", { x: 296, y: 29, "text-anchor": "end" }, mm(most).replace(/[.,]0(?=\u00a0)/, "")),
    );
  return picture;
}
