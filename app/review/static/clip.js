// The page of a clip: puts the desk together and binds keys and buttons to it.

import { account } from "./account.js";
import { $ } from "./dom.js";
import { Desk } from "./desk.js";
import * as drafts from "./drafts.js";
import { help } from "./help.js";
import { CLIP_KEYS, listen } from "./keys.js";
import { Light } from "./light.js";
import { actOnToast, toast } from "./toast.js";

const desk = new Desk();
const light = new Light(desk.stage);
const showHelp = help(CLIP_KEYS);
account();

/** Accept what stands there: the machine's number, or a correction that was saved before. */
function accept() {
  const { reading } = desk;
  if (reading.data.blind) return void toast("In a blind study there is nothing to accept: C saves your reading.");
  if (reading.edits.changed) return void toast("You have changed the measurement: C saves it, U takes it back.");
  if (!reading.data.can_save) return void toast("Your account may look, not save.");
  desk.saving.save(reading.data.review?.action === "correct" ? "correct" : "accept");
}

/** Save what was drawn; an outline that was not measured is said first, once. */
function correct() {
  const { reading } = desk;
  if (!reading.data.can_save) return void toast("Your account may look, not save.");
  if (!reading.edits.changed) return void toast(reading.data.blind ? "Place the calipers first." : "Nothing has been changed: A accepts it.");
  if (reading.thickness === null) return void toast("Place the calipers first (D).");
  if (reading.work.stale && desk.warned !== reading.work) {
    desk.warned = reading.work;
    return void toast("The outline has changed: S measures it; C again saves the calipers as they are.");
  }
  desk.saving.save("correct");
}

function reject() {
  if (!desk.reading.data.can_save) return void toast("Your account may look, not save.");
  desk.saving.reject();
}

function back() {
  location.assign("/worklist");
}

const actions = {
  accept,
  correct,
  reject,
  note: () => $("note").focus(),
  undo: () => (desk.reading.edits.past.length ? desk.undo() : actOnToast() || desk.undo()),
  redo: () => desk.redo(),
  calipers: () => desk.tools.use("calipers"),
  place: () => desk.tools.place(),
  outline: () => desk.tools.use("outline"),
  brush: () => desk.tools.use("brush"),
  erase: () => desk.tools.erase(),
  brushSize: (key) => desk.tools.width(desk.tools.all.brush.widthMm + (key === "[" ? -0.5 : 0.5)),
  snap: () => desk.tools.snap(),
  fluid: () => desk.tools.fluid(),
  here: () => desk.tools.here(),
  step: (key) => desk.step(key === "ArrowLeft" ? -1 : 1),
  ends: (key) => desk.step(key === "Home" ? -1e9 : 1e9),
  measured: () => desk.scrub(desk.reading.work.frame),
  play: () => desk.stage.hold(true), // held it drags the picture, tapped it plays: see below
  hide: () => {
    desk.hidden = !desk.hidden;
    desk.draw();
  },
  zoom: (key) => (key === "0" ? desk.stage.fit() : desk.stage.zoom(key === "+" ? 1 : -1)),
  brightness: (key) => light.step("brightness", key === "Q" ? -10 : 10),
  contrast: (key) => light.step("contrast", key === "Shift+Q" ? -10 : 10),
  light: () => light.reset(),
  next: () => desk.open(desk.neighbour(1)),
  previous: () => desk.open(desk.neighbour(-1)),
  list: back,
  escape: () => {
    if (!desk.tools.escape()) desk.tools.use("calipers");
  },
  help: showHelp,
};

// The tool in hand comes first: arrows move its cross, and not the frames.
document.addEventListener("keydown", (event) => {
  if (!desk.reading || event.target !== document.body || document.querySelector("dialog[open]")) return;
  if (!desk.tools.key(event)) return;
  event.preventDefault();
  event.stopImmediatePropagation();
});

// The desk answers keys only while a clip is on it.
listen(
  CLIP_KEYS,
  Object.fromEntries(
    Object.entries(actions).map(([name, run]) => [name, (key, event) => (desk.reading ? void run(key, event) : false)]),
  ),
);

document.addEventListener("keyup", (event) => {
  if (event.key !== " " || !desk.stage.space) return;
  const { panned } = desk.stage;
  desk.stage.hold(false);
  if (!panned) desk.player.toggle();
});
window.addEventListener("blur", () => desk.stage.hold(false));

const buttons = {
  accept: () => (desk.reading.data.blind || desk.reading.edits.changed ? correct() : accept()),
  reject,
  previous: actions.previous,
  next: actions.next,
  snap: actions.snap,
  fluid: actions.fluid,
  here: actions.here,
  hide: actions.hide,
  undo: () => desk.undo(),
  redo: () => desk.redo(),
  reset: () => desk.change(desk.reading.ofMachine(desk.reading.data.measurement)),
  play: () => desk.player.toggle(),
  "frame-back": () => desk.step(-1),
  "frame-on": () => desk.step(1),
  "zoom-in": () => desk.stage.zoom(1),
  "zoom-out": () => desk.stage.zoom(-1),
  "zoom-fit": () => desk.stage.fit(),
};
for (const [id, run] of Object.entries(buttons)) $(id).addEventListener("click", () => desk.reading && run());

// A button that was clicked must not be pressed again by the space bar that means to play.
document.addEventListener("click", ({ target, detail }) => {
  const button = detail > 0 ? target.closest?.("button, summary") : null;
  if (button && !button.closest("dialog")) button.blur();
});

$("note").addEventListener("input", () => {
  const { reading } = desk;
  reading.note = $("note").value;
  if (reading.unsaved) drafts.keep(reading.data.id, reading.data.name, reading.draft());
  else drafts.forget(reading.data.id);
});
$("note").addEventListener("keydown", (event) => {
  if (event.key === "Escape" || (event.key === "Enter" && (event.ctrlKey || event.metaKey))) $("note").blur();
});

window.addEventListener("popstate", () => desk.open(location.pathname.split("/").pop(), { push: false }));
desk.open($("top").dataset.clip, { push: false });
