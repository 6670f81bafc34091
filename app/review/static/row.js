// One line of the worklist.

import { bdi, el, svg } from "./dom.js";
import { intervalPicture } from "./interval.js";
import { day, interval, mm, moment, number } from "./numbers.js";
import { callShort, stateWords } from "./words.js";

/** The line of a clip. */
export function row(item) {
  const done = item.state !== "open";
  return el(
    "li",
    {},
    el(
      "a",
      { class: `row${done ? " done" : ""}`, href: `/clip/${item.id}` },
      thumbnail(item),
      el("span", { class: "what" }, el("span", { class: "two name" }, bdi(item.name)), el("span", { class: "two quiet small" }, frames(item))),
      el("span", { class: "thick" }, ...thickness(item)),
      el("span", { class: "call-cell" }, call(item)),
      el("span", { class: "quality" }, ...quality(item)),
      el("span", { class: "who" }, el("span", { class: "two" }, bdi(item.patient ?? "")), el("span", { class: "two quiet small" }, day(item.acquired_at))),
      el("span", { class: "review" }, ...review(item, done)),
    ),
  );
}

/** The line above the first clip of a kind of need. */
export function heading(words) {
  return el("li", { class: "need" }, el("h2", {}, words));
}

const frames = ({ frames: n }) => (n > 1 ? `Cine, ${n} frames` : n ? "Still" : "");

function thumbnail({ id, status }) {
  const nothing = () => el("span", { class: "thumb none", "aria-hidden": "true" });
  if (status === "failed") return nothing();
  const picture = { class: "thumb", loading: "lazy", decoding: "async", width: 104, height: 64, alt: "" };
  const image = el("img", { ...picture, src: `/thumbnails/${id}.jpg` });
  image.onerror = () => image.replaceWith(nothing());
  return image;
}

function thickness(item) {
  const { thickness_mm: value, review_mm: reviewed, threshold_mm: limit, state } = item;
  const mine = state === "corrected" ? reviewed : null;
  const shown = mine ?? value;
  if (shown == null) return [el("span", { class: "quiet" }, item.words ?? "")];
  const range = mine === null && item.lower_mm != null ? interval(item.lower_mm, item.upper_mm, limit) : "";
  const parts = [el("span", { class: "mm" }, mm(shown, limit)), el("span", { class: "range" }, range)];
  if (value != null) parts.push(intervalPicture(item, limit, { mine, axis: false }));
  return parts;
}

function call(item) {
  const value = item.state === "corrected" ? item.review_call : item.call;
  return value ? el("span", { class: `chip ${value}` }, callShort(value)) : "";
}

function quality({ quality: value }) {
  if (value == null) return [];
  const bar = el("span");
  bar.style.width = `${Math.round(100 * value)}%`;
  return [el("span", { class: "small" }, el("span", { class: "unseen" }, "Quality "), number(value, 2)), el("span", { class: "meter", "aria-hidden": "true" }, bar)];
}

function review(item, done) {
  if (!done) return [el("span", { class: "quiet" }, stateWords("open"))];
  const tick = svg("svg", { class: "icon tick", viewBox: "0 0 24 24", "aria-hidden": "true" }, svg("path", { d: "M5 12.5l4.5 4.5L19 7.5" }));
  const who = el("span", { class: "two quiet small" }, bdi(item.reviewer ?? ""), item.reviewed_at ? ` · ${day(item.reviewed_at)}` : "");
  who.title = moment(item.reviewed_at);
  return [el("span", { class: "reviewed" }, item.state === "rejected" ? "" : tick, stateWords(item.state)), who];
}
