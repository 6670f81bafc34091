// Tools over the picture, and the actions that need the server: snap, measure here, fluid.

import { $, el } from "./dom.js";
import { post } from "./api.js";
import { BrushTool, WIDTHS_MM } from "./brush_tool.js";
import { clampPoint } from "./geometry.js";
import { number, parse } from "./numbers.js";
import { OutlineTool } from "./outline_tool.js";
import { PlaceTool } from "./place_tool.js";
import { toast } from "./toast.js";

const NAMES = ["calipers", "place", "outline", "brush"];

export class Tools {
  constructor(desk) {
    this.desk = desk;
    this.name = "calipers";
    this.target = "contours";
    const { stage } = desk;
    const drawing = (kind) => ({
      contours: () => desk.reading.contours(desk.frame, kind()),
      spacing: () => desk.reading.spacing() ?? [1, 1],
      live: (lines) => this.drawLive(kind(), lines),
      done: () => desk.settle(),
      loupe: (point) => (point ? desk.loupe.show(point) : desk.loupe.hide()),
    });
    const layer = desk.overlay.tools;
    this.all = {
      calipers: null,
      place: new PlaceTool({
        preview: (pair) => this.preview(pair),
        placed: (pair) => this.placed(pair),
        inside: (point) => clampPoint(point, stage.box),
      }),
      outline: new OutlineTool(stage, layer, drawing(() => "contours")),
      brush: new BrushTool(stage, layer, drawing(() => this.target)),
    };
    for (const name of NAMES) $(`tool-${name}`).addEventListener("click", () => this.use(name));
    this.bindBrush();
  }

  bindBrush() {
    for (const input of document.querySelectorAll('input[name="brush-target"]'))
      input.addEventListener("change", () => (this.target = input.value));
    for (const input of document.querySelectorAll('input[name="brush-way"]'))
      input.addEventListener("change", () => (this.all.brush.adds = input.value === "add"));
    const size = $("brush-size");
    size.addEventListener("change", () => this.width(parse(size.value)));
    size.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== "Escape") return;
      this.width(parse(size.value));
      size.blur();
    });
    this.width(this.all.brush.widthMm);
  }

  /** Set the width of the brush in mm; what is no number leaves it as it was. */
  width(mm) {
    const { brush } = this.all;
    if (Number.isFinite(mm)) brush.widthMm = Math.min(Math.max(mm, WIDTHS_MM[0]), WIDTHS_MM[1]);
    $("brush-size").value = number(brush.widthMm);
    if (this.name === "brush" && brush.at) brush.showRing(brush.at);
  }

  erase() {
    if (this.name !== "brush") this.use("brush");
    const { brush } = this.all;
    brush.adds = !brush.adds;
    document.querySelector(`input[name="brush-way"][value="${brush.adds ? "add" : "erase"}"]`).checked = true;
    if (brush.at) brush.showRing(brush.at);
  }

  use(name) {
    const { desk } = this;
    this.escape();
    if (name !== "calipers" && !this.mayDraw()) return;
    this.name = name;
    for (const each of NAMES) $(`tool-${each}`).setAttribute("aria-pressed", String(each === name));
    this.all.outline.leave();
    this.all.brush.leave();
    $("brush-bar").hidden = name !== "brush";
    desk.stage.tool = this.all[name];
    desk.stage.restCursor();
    if (name !== "calipers" && desk.hidden) desk.hidden = false;
    desk.player.stop();
    desk.draw();
  }

  /** Place calipers: with the pointer, and asked for again with the keyboard. */
  place() {
    const { place } = this.all;
    if (this.name !== "place") return void this.use("place");
    document.activeElement.blur(); // the arrows are the cross's now
    if (!place.cross) place.begin(this.desk.stage.middle());
  }

  /** Give a key to the tool in hand; returns whether it took it. */
  key(event) {
    return event.ctrlKey || event.metaKey || event.altKey ? false : this.all[this.name]?.key?.(event) ?? false;
  }

  /** A new clip: in a blind study calipers are wanted first, else there is something to look at. */
  reset() {
    const { data, pairs } = this.desk.reading;
    this.all.place.forget();
    this.use(data.blind && !pairs.length && this.mayDraw(true) ? "place" : "calipers");
  }

  mayDraw(quiet = false) {
    const { data } = this.desk.reading;
    const words = data.problem
      ? "There is no picture to draw on."
      : !data.can_save
        ? "Your account may look, not save."
        : this.desk.reading.spacing() || data.scales.length
          ? null
          : "Without a safe scale there are no millimetres: calipers cannot be placed.";
    if (words && !quiet) toast(words);
    return words === null;
  }

  /** Stop what was begun; returns whether something was. */
  escape() {
    const { edits } = this.desk.reading;
    const begun = this.all.place.begun || edits.before !== null;
    this.all[this.name]?.cancel?.();
    edits.cancel();
    this.desk.loupe.hide();
    if (begun) this.desk.draw();
    return begun;
  }

  preview(pair) {
    const { desk } = this;
    const { edits } = desk.reading;
    if (pair) edits.live(desk.reading.drawnOn(desk.frame, { calipers: pair, layers: null, stale: false }));
    else edits.cancel();
    desk.draw();
    if (pair) desk.loupe.show(pair[1]);
    else desk.loupe.hide();
  }

  placed(pair) {
    const { desk } = this;
    desk.change(desk.reading.drawnOn(desk.frame, { calipers: pair, layers: null, stale: false }));
    this.use("calipers");
  }

  drawLive(kind, lines) {
    const { desk } = this;
    const stale = kind === "contours" || desk.reading.work.contours !== null || lines.length > 0;
    desk.reading.edits.live(desk.reading.drawnOn(desk.frame, { [kind]: lines, stale }));
    desk.draw();
  }

  /** Measure from the outline, as the machine would. */
  async snap() {
    const { desk } = this;
    const { reading, frame } = desk;
    if (!this.mayDraw()) return;
    const contours = reading.contours(frame);
    if (!contours.length) {
      toast("There is no outline on this frame. Draw one with the brush (B), or measure here (M).");
      return;
    }
    if (reading.fluidUnknown) {
      toast("There is fluid in the cavity: paint it with the brush (Fluid) first, or measure two layers (F).");
      return;
    }
    try {
      const fluid = reading.contours(frame, "fluid");
      const found = await post(`/api/clip/${reading.data.id}/snap`, { frame, contours, fluid });
      if (reading !== desk.reading) return;
      // the calipers span the fluid: what is taken off must be saved with them
      const drawn = fluid.length ? { contours, fluid } : {};
      if (fluid.length) reading.snapped.set(found.calipers, { mm: found.thickness_mm, contours, fluid });
      desk.change(reading.drawnOn(frame, { calipers: found.calipers, layers: null, stale: false, ...drawn }));
    } catch (error) {
      toast(error.message, { problem: true });
    }
  }

  /** Two single layers, or one pair again. */
  fluid() {
    const { desk } = this;
    if (!this.mayDraw()) return;
    const patch = desk.frame === desk.reading.work.frame ? desk.reading.toggledFluid() : null;
    if (patch) desk.change({ ...patch, stale: false });
    else toast("Place calipers on this frame first (D).");
  }

  /** Let the machine measure the frame on the screen. */
  async here() {
    const { desk } = this;
    const { reading, frame } = desk;
    if (reading.data.blind || !this.mayDraw()) return;
    desk.player.stop();
    $("here").classList.add("waiting");
    const found = await desk.learn(frame);
    $("here").classList.remove("waiting");
    if (reading !== desk.reading) return;
    if (found.error) toast(found.error.message, { problem: true });
    else if (found.thickness_mm == null || !found.calipers) toast(`Frame ${frame}: ${found.words}.`);
    else desk.change(reading.ofMachine(found));
  }

  /** A clip that the machine refused, and that a person may measure all the same. */
  wantsNumber({ data, edits, work }) {
    const refused = data.measurement && data.measurement.thickness_mm == null;
    return refused && !edits.changed && !data.review && data.can_save && this.desk.frame === work.frame && this.mayDraw(true);
  }

  /** The line above the picture that says what is meant next. */
  hint() {
    const { desk } = this;
    const { reading, frame } = desk;
    const { work, pairs } = reading;
    let words = "";
    const buttons = [];
    const button = (text, key, run) => buttons.push(el("button", { type: "button", onclick: run }, text, " ", el("kbd", {}, key)));
    if (this.name === "place") {
      const { cross, first } = this.all.place;
      const where = first ? "the other interface" : "one basal interface";
      words = cross ? `Move to ${where} with the arrows (Shift: faster), then Enter` : `Click on ${where}`;
    }
    else if (work.stale && frame === work.frame) {
      words = "The outline has changed";
      button("Measure it", "S", () => this.snap());
    } else if (pairs.length && frame !== work.frame && !desk.player.playing) {
      words = `The calipers are on frame ${work.frame}`;
      button("Go there", "G", () => desk.scrub(work.frame));
      if (!reading.data.blind) button("Measure here", "M", () => this.here());
    }
    else if (this.wantsNumber(reading)) {
      const outlined = reading.contours(frame).length > 0;
      words = pairs.length ? "No number: drag the calipers, or" : "No number:";
      if (outlined) button("Measure the outline", "S", () => this.snap());
      else button("Place calipers", "D", () => this.use("place"));
    }
    const state = `${words}|${buttons.map((each) => each.textContent)}`;
    if (state === this.hinted) return;
    this.hinted = state;
    $("hint").hidden = !words;
    $("hint").classList.toggle("plain", !buttons.length);
    $("hint").replaceChildren(words, ...buttons);
  }
}
