// Earlier and later studies of a patient as a small chart; every point opens its clip.

import { el, svg } from "./dom.js";
import { day, mm, threshold as thresholdWords } from "./numbers.js";

const [LEFT, RIGHT, TOP, BOTTOM] = [36, 294, 8, 96];

/** `points` [{id, acquired_at, thickness_mm, reviewed, call}] with a thickness, oldest first. */
export function trendPicture(points, here, limit, open) {
  const shown = points.filter((point) => point.thickness_mm != null);
  const most = Math.max(2 * limit, ...shown.map((point) => point.thickness_mm * 1.1));
  const days = shown.map((point, i) => dayNumber(point.acquired_at) ?? i);
  const [first, span] = [Math.min(...days), Math.max(...days) - Math.min(...days)];
  const x = (i) => (span > 0 ? LEFT + 12 + ((days[i] - first) / span) * (RIGHT - LEFT - 24) : (LEFT + RIGHT) / 2);
  const y = (value) => BOTTOM - (value / most) * (BOTTOM - TOP);
  const picture = svg("svg", { class: "trend", viewBox: "0 0 300 118", role: "group", "aria-label": "Thickness over the studies of this patient" });
  picture.append(
    svg("path", { class: "axis", d: `M${LEFT} ${BOTTOM}H${RIGHT}` }),
    svg("path", { class: "limit", d: `M${LEFT} ${y(limit)}H${RIGHT}` }),
    svg("text", { x: LEFT - 5, y: y(limit) + 4, "text-anchor": "end" }, thresholdWords(limit)),
    svg("text", { x: LEFT - 5, y: BOTTOM + 3, "text-anchor": "end" }, "0"),
    svg("path", { class: "path", d: shown.map((p, i) => `${i ? "L" : "M"}${x(i)} ${y(p.thickness_mm)}`).join("") }),
  );
  shown.forEach((point, i) => picture.append(dot(point, x(i), y(point.thickness_mm), point.id === here, limit, open)));
  if (shown.length) {
    const [from, to] = [day(shown[0].acquired_at), day(shown[shown.length - 1].acquired_at)];
    picture.append(svg("text", { x: LEFT, y: 113 }, from));
    if (to !== from) picture.append(svg("text", { x: RIGHT, y: 113, "text-anchor": "end" }, to));
  }
  const words = `Line at ${thresholdWords(limit)}. Filled: reviewed.`;
  return el("div", {}, picture, el("p", { class: "quiet small" }, words));
}

function dot(point, cx, cy, current, limit, open) {
  const words = `${day(point.acquired_at)}: ${mm(point.thickness_mm, limit)}${point.reviewed ? ", reviewed" : ""}${current ? ", this clip" : ""}`;
  return svg(
    "a",
    {
      href: `/clip/${point.id}`,
      class: `${point.reviewed ? "reviewed" : ""}${current ? " here" : ""}`,
      "aria-label": words,
      onclick: (event) => {
        if (event.ctrlKey || event.metaKey || event.shiftKey) return;
        event.preventDefault();
        if (!current) open(point.id);
      },
    },
    svg("title", {}, words),
    svg("circle", { class: "ring", cx, cy, r: 11 }),
    svg("circle", { class: "dot", cx, cy, r: 4.5 }),
  );
}

/** Days since 1970 of a date as the tables write it, or null. */
function dayNumber(text) {
  const match = /^(\d{4})-?(\d{2})-?(\d{2})/.exec(text ?? "");
  return match ? Date.UTC(match[1], match[2] - 1, match[3]) / 86_400_000 : null;
}
