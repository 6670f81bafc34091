// The measurement at the right: number, interval, call and reason in words, trend, reviews.

import { $, bdi, el } from "./dom.js";
import { intervalPicture } from "./interval.js";
import { day, difference, digitsOf, interval, mm, moment, number } from "./numbers.js";
import { trendPicture } from "./trend.js";
import { callLong, callReason, inWords, reviewWords, stateWords } from "./words.js";

const QUIET_MS = 400; // a screen reader hears the number when the hand rests

/** All that does not change while something is drawn. */
export function showClip(reading, place, open) {
  const { data } = reading;
  $("clip-name").textContent = data.name;
  document.title = `${data.name} · endometer review`;
  const facts = [data.patient, day(data.acquired_at)].filter(Boolean);
  $("clip-facts").replaceChildren(...facts.flatMap((fact, i) => (i ? [" · ", bdi(fact)] : [bdi(fact)])));
  $("position").textContent = place.index ? `${place.index} of ${place.of}` : "";
  showFacts(reading);
  showState(data);
  showTrend(reading, open);
  showHistory(data);
  $("note").value = reading.note;
  $("panel-scroll").scrollTop = 0;
}

function showFacts({ data }) {
  const found = data.measurement;
  const scale = data.row_mm ? `${number(data.row_mm, 3)} × ${number(data.column_mm, 3)}\u00a0mm per pixel` : null;
  const pairs = [
    ["Frame", found?.frame && data.frames > 1 ? `${found.frame} of ${data.frames}` : null],
    ["Quality", found?.quality == null ? null : number(found.quality, 2)],
    ["Scale", scale && el("span", {}, scale, el("br"), el("span", { class: "quiet" }, data.calibration_words))],
    ["Calipers in the picture", found?.sonographer_mm == null ? null : mm(found.sonographer_mm)],
  ].filter(([, value]) => value);
  $("facts").replaceChildren(
    ...pairs.flatMap(([what, value]) => [el("dt", {}, what), el("dd", {}, value)]),
  );
}

function showState({ review, history, can_save: canSave }) {
  const chip = $("state-chip");
  const withdrawn = !review && history[0]?.action === "withdraw";
  chip.hidden = !review && !withdrawn && canSave;
  if (review) chip.textContent = stateWords(review.state);
  else chip.textContent = withdrawn ? "Withdrawn" : "To look at only";
}

function showTrend({ data, limit }, open) {
  const shown = data.trend.filter((point) => point.thickness_mm != null);
  $("trend-box").hidden = shown.length < 2;
  if (shown.length > 1) $("trend").replaceChildren(trendPicture(shown, data.id, limit, open));
}

function showHistory({ history, threshold_mm: limit }) {
  $("history-box").hidden = history.length === 0;
  const counts = history.find((review) => review.action !== "withdraw");
  $("history").replaceChildren(
    ...history.map((review) => {
      const said = [review.reason_words, review.note].filter(Boolean).join(": ");
      const current = review === counts && history[0] === review;
      return el(
        "li",
        { class: current ? "counts" : "" },
        el("span", {}, reviewWords(review, limit), " · ", bdi(review.reviewer)),
        el("span", { class: "when" }, moment(review.at)),
        said ? el("span", { class: "said" }, said) : null,
      );
    }),
  );
}

let speaking = null;

/** The number and all that follows from it; called for every move of a caliper. */
export function showNumber(reading) {
  const { data, edits, limit, thickness, mine, call } = reading;
  const big = $("big");
  big.classList.toggle("mine", mine && thickness !== null);
  big.classList.toggle("none", thickness === null);
  const rejected = !edits.changed && data.review?.action === "reject";
  big.classList.toggle("void", rejected && thickness !== null);
  if (thickness === null) big.textContent = nothing(reading);
  else big.replaceChildren(number(thickness, digitsOf(thickness, limit)), el("span", { class: "unit" }, "mm"));
  const line = $("call");
  line.textContent = rejected ? "Rejected" : data.blind || !call ? "" : callLong(call, limit);
  line.className = `call ${rejected || data.blind ? "" : (call ?? "")}`;
  showInterval(reading);
  showLayers(reading);
  $("why").textContent = why(reading);
  showCompare(reading);
  const words = thickness === null ? nothing(reading) : `${mm(thickness, limit)}. ${line.textContent}`;
  clearTimeout(speaking);
  speaking = setTimeout(() => {
    if ($("spoken").textContent !== words) $("spoken").textContent = words;
  }, QUIET_MS);
}

function nothing({ data, edits }) {
  if (data.blind) return "Place the calipers";
  if (edits.changed) return "Place the calipers";
  return data.measurement?.status === "failed" ? "Not read" : "Not measured";
}

function showInterval({ data, limit, thickness, mine }) {
  const box = $("interval");
  const found = data.measurement;
  box.hidden = !found || (found.thickness_mm == null && thickness === null);
  if (!box.hidden) box.replaceChildren(intervalPicture(found, limit, { mine: mine ? thickness : null }));
}

function showLayers(reading) {
  const { layers } = reading.work;
  const spacing = layers && reading.spacing(layers.flat());
  $("layers").hidden = !spacing;
  if (!spacing) return;
  const [one, two] = layers.map(([a, b]) => number(Math.hypot((a[0] - b[0]) * spacing[0], (a[1] - b[1]) * spacing[1])));
  $("layers").textContent = `Two layers: ${one} + ${two}\u00a0mm, without the fluid between them`;
}

function why(reading) {
  const { data, limit, mine, edits } = reading;
  const found = data.measurement;
  if (data.problem) return data.problem;
  if (data.blind) return reading.thickness === null ? "Two clicks in the picture: one on each basal interface." : "";
  if (!reading.spacing() && !found?.thickness_mm) return data.calibration_words;
  const here = reading.onFrame.get(reading.work.frame);
  if (mine && edits.changed && here?.thickness_mm != null && here.frame !== found?.frame)
    return `The machine on frame ${here.frame}: ${inWords(here, limit)}.`;
  if (mine) return "";
  if (data.review?.action === "reject") return sentence(data.review.reason_words);
  if (found?.status !== "measured") return found?.message ?? found?.words ?? "";
  const range = `90\u00a0% interval ${interval(found.lower_mm, found.upper_mm, limit)}. `;
  return range + callReason(found.call, limit) + (found.message ? ` ${found.message}` : "");
}

function sentence(words) {
  return words ? `${words[0].toUpperCase()}${words.slice(1)}.` : "";
}

function showCompare(reading) {
  const { data, limit, thickness, mine } = reading;
  const found = data.measurement;
  const line = $("compare");
  line.hidden = !mine || data.blind || !found;
  $("reset").hidden = line.hidden || !found?.calipers;
  if (line.hidden) return;
  if (found.thickness_mm == null) line.textContent = "The machine gave no number.";
  else {
    const away = thickness === null ? 0 : thickness - found.thickness_mm;
    const apart = Math.abs(away) < 0.05 ? "" : ` · yours ${difference(away)}`;
    line.textContent = `Machine ${inWords(found, limit)}${apart}`;
  }
}

/** What the two buttons say and whether they can be pressed. */
export function showVerdict(reading, busy) {
  const { data, thickness, edits } = reading;
  const [accept, words, key] = [$("accept"), $("accept-words"), $("accept-key")];
  const correcting = data.blind || edits.changed;
  const corrected = data.review?.action === "correct";
  const refused = !corrected && data.measurement?.thickness_mm == null;
  words.textContent = data.blind ? "Save reading" : correcting ? "Save" : corrected ? "Confirm" : refused ? "Agree" : "Accept";
  key.textContent = correcting ? "C" : "A";
  accept.setAttribute("aria-keyshortcuts", key.textContent);
  accept.title = correcting ? "Save what was drawn" : refused ? "Agree: there is nothing to measure" : "";
  accept.disabled = busy || !data.can_save || (correcting && (thickness === null || !edits.changed));
  $("reject").disabled = busy || !data.can_save;
}
