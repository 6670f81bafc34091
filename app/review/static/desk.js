// The desk: one clip on the screen, its frames, what is drawn on it, and the way to the next.

import { $ } from "./dom.js";
import { Clips, firstFrame, hasOutline } from "./clips.js";
import * as drafts from "./drafts.js";
import { Frames } from "./frames.js";
import { clampPoint } from "./geometry.js";
import { Handles } from "./handles.js";
import { Loupe } from "./loupe.js";
import { mm } from "./numbers.js";
import { Overlay } from "./overlay.js";
import { showClip, showNumber, showVerdict } from "./panel.js";
import { Player } from "./player.js";
import { Reading } from "./reading.js";
import { Saving } from "./saving.js";
import { snapshot } from "./snapshot.js";
import { Stage } from "./stage.js";
import { Strip } from "./strip.js";
import { toast } from "./toast.js";
import { Tools } from "./tools.js";
import { Walk } from "./walk.js";

export class Desk {
  constructor() {
    this.frames = new Frames();
    this.clips = new Clips(this.frames);
    this.walk = new Walk();
    this.reading = null;
    this.frame = 0; // on the screen
    this.hidden = false;
    this.stage = new Stage($("stage"), () => this.overlay && this.redraw());
    this.loupe = new Loupe($("loupe"), this.stage);
    this.overlay = new Overlay(this.stage, {
      start: () => this.player.stop(),
      moved: (pairs, point) => this.movePairs(pairs, point),
      end: () => this.settle(),
    });
    this.handles = new Handles($("handles"), {
      moved: (pair, end, offset) => this.nudge(pair, end, offset),
      settled: () => this.settle(),
      focused: () => this.player.stop(),
    });
    this.strip = new Strip($("strip"), (k) => this.scrub(k));
    this.player = new Player({
      frame: () => this.frame,
      frames: () => this.reading?.data.frames ?? 1,
      show: (k) => this.showFrame(k),
      changed: (playing) => {
        $("cine").classList.toggle("playing", playing);
        $("play").setAttribute("aria-label", playing ? "Pause" : "Play");
      },
    });
    this.saving = new Saving(this);
    this.tools = new Tools(this);
  }

  /** Show a clip. `push` makes it a place to come back to; `draft` is work to take up. */
  async open(id, { push = true, draft = null } = {}) {
    if (!id) return;
    const turn = (this.turn = {});
    this.player.stop();
    let got;
    let bitmap = null;
    try {
      got = await this.clips.get(id);
      if (!got.data.problem) bitmap = await this.frames.get(id, firstFrame(got.data)).catch(() => null);
    } catch (error) {
      if (this.turn === turn) toast(error.message, { problem: true });
      return;
    }
    if (this.turn !== turn) return;
    if (push && location.pathname !== `/clip/${id}`) history.pushState(null, "", `/clip/${id}`);
    this.take(got.data, bitmap, draft ?? drafts.kept(id), draft !== null);
    this.after(got, turn);
  }

  /** Put a clip and its picture on the screen, all at once. */
  take(data, bitmap, draft, quiet = false) {
    this.reading = new Reading(data);
    const back = this.reading.takeUp(draft);
    this.stage.frameOf(data.box ?? [0, 0, 479, 639], this.reading.spacing());
    this.frame = firstFrame(data);
    this.stage.show(bitmap);
    $("loading").hidden = bitmap !== null;
    $("loading").textContent = data.problem ?? "The picture could not be loaded.";
    $("cine").hidden = !(data.frames > 1) || Boolean(data.problem);
    this.player.speed(data.frame_ms ?? 0);
    this.setStrip();
    this.tools.reset();
    const place = this.walk.has(data.id) ? this.walk.place(data.id) : data.position;
    showClip(this.reading, place, (id) => this.open(id));
    $("previous").disabled = !this.neighbour(-1);
    $("next").disabled = !this.neighbour(1);
    this.draw();
    if (this.frame !== this.reading.work.frame) this.showFrame(this.reading.work.frame);
    $("top").dataset.shown = data.id;
    if (back && !quiet) toast("Your unsaved work on this clip is back.", { action: { words: "Discard", run: () => this.discard() } });
  }

  /** What may come a moment later: the outline, the other frames, the next clip. */
  async after({ data, stale }, turn) {
    const here = () => this.turn === turn;
    if (stale) this.refresh(turn);
    if (hasOutline(data)) await this.learn(data.measurement.frame);
    if (!here()) return;
    await this.clips.ahead(this.walk.nextOpen(data.id) ?? this.neighbour(1));
    if (here() && data.frames > 1) await this.frames.ahead(data.id, this.frame, data.frames, here);
  }

  /** A clip that was fetched ahead a while ago: ask again, and show what has changed meanwhile. */
  async refresh(turn) {
    const { id, version } = this.reading.data;
    const data = await this.clips.fetch(id).catch(() => null);
    if (!data || this.turn !== turn || data.version === version || this.reading.unsaved) return;
    this.take(data, this.stage.picture.image() ?? null, null);
    if (hasOutline(data)) this.learn(data.measurement.frame);
  }

  async reload() {
    const { id } = this.reading.data;
    this.clips.forget(id);
    await this.open(id, { push: false });
  }

  /** Ask the machine about a frame, and draw what it says if the clip is still there. */
  async learn(k) {
    const { reading } = this;
    try {
      const found = await this.clips.onFrame(reading.data.id, k);
      reading.onFrame.set(k, found);
      if (reading === this.reading) this.draw();
      return found;
    } catch (error) {
      return { error };
    }
  }

  /** Show a frame of the clip; of several asked for in a hurry the last one is shown. */
  async showFrame(k) {
    const { reading } = this;
    this.wanted = k;
    const bitmap = await this.frames.get(reading.data.id, k).catch(() => null);
    if (reading !== this.reading || this.wanted !== k) return;
    this.frame = k;
    this.stage.show(bitmap);
    $("loading").hidden = bitmap !== null;
    this.draw();
  }

  scrub(k) {
    this.player.stop();
    return this.showFrame(k);
  }

  step(by) {
    const { frames } = this.reading.data;
    if (frames > 1) this.scrub(Math.min(Math.max((this.wanted ?? this.frame) + by, 1), frames));
  }

  // ---- what is drawn

  /** Draw the present work, and the numbers that follow from it. */
  draw() {
    if (!this.reading) return;
    this.redraw();
    showNumber(this.reading);
    this.controls();
  }

  redraw() {
    const { reading, frame } = this;
    if (!reading) return;
    const here = frame === reading.work.frame && !this.player.playing;
    const pairs = here ? reading.pairs : [];
    const value = here ? reading.thickness : null;
    this.overlay.draw({
      pairs,
      contours: reading.contours(frame),
      fluid: reading.contours(frame, "fluid"),
      label: value === null ? "" : mm(value, reading.limit),
      visible: !this.hidden,
      movable: this.tools.name === "calipers",
    });
    const reachable = !this.hidden && reading.data.can_save;
    this.handles.place(reachable ? pairs.map((pair) => pair.map((p) => this.stage.toScreen(p))) : []);
  }

  controls() {
    const { reading } = this;
    this.strip.mark(this.frame);
    const { edits } = reading;
    $("undo").disabled = !edits.past.length && !edits.before && !this.saving.last;
    $("redo").disabled = !edits.future.length;
    $("fluid").setAttribute("aria-pressed", String(Boolean(reading.work.layers)));
    $("hide").setAttribute("aria-pressed", String(this.hidden));
    $("here").disabled = Boolean(reading.data.blind || reading.data.problem);
    showVerdict(reading, this.saving.busy);
    this.tools.hint();
    const row = reading.data.per_frame.find((each) => each.frame === this.frame);
    $("frame-words").textContent = `Frame ${this.frame} of ${reading.data.frames}`;
    $("frame-mm").textContent = reading.data.blind ? "" : row?.thickness_mm == null ? "not measured" : `machine ${mm(row.thickness_mm, reading.limit)}`;
  }

  setStrip() {
    const { data, limit } = this.reading;
    if (!(data.frames > 1)) return;
    const best = data.measurement?.frame ?? null;
    const mine = this.reading.mine ? this.reading.work.frame : null;
    this.strip.set({ frames: data.frames, rows: data.per_frame, limit, best, mine }, this.frame || firstFrame(data));
  }

  // ---- changes

  movePairs(pairs, point) {
    this.reading.edits.live(this.reading.withPairs(pairs, { stale: false }));
    this.draw();
    this.loupe.show(point);
  }

  nudge(pair, end, [dr, dc]) {
    const { reading } = this;
    const pairs = reading.pairs.map((each, i) =>
      each.map((p, k) => (i === pair && k === end ? clampPoint([p[0] + dr, p[1] + dc], this.stage.box) : p)),
    );
    this.movePairs(pairs, pairs[pair][end]);
  }

  /** The hand rests: one step to undo, and a copy in case the tab is lost. */
  settle() {
    this.loupe.hide();
    if (this.reading.edits.commit()) this.changed();
  }

  change(patch) {
    if (this.reading.edits.set(patch)) this.changed();
    else this.draw();
  }

  changed() {
    const { reading } = this;
    if (reading.unsaved) drafts.keep(reading.data.id, reading.data.name, reading.draft());
    else drafts.forget(reading.data.id);
    this.setStrip();
    this.draw();
  }

  undo() {
    if (this.reading.edits.undo()) {
      if (this.frame !== this.reading.work.frame) this.scrub(this.reading.work.frame);
      this.changed();
    } else this.saving.withdraw();
  }

  redo() {
    if (!this.reading.edits.redo()) return;
    if (this.frame !== this.reading.work.frame) this.scrub(this.reading.work.frame);
    this.changed();
  }

  discard() {
    drafts.forget(this.reading.data.id);
    this.take(this.reading.data, this.stage.picture.image() ?? null, null);
    if (hasOutline(this.reading.data)) this.learn(this.reading.data.measurement.frame);
  }

  // ---- to other clips

  neighbour(way) {
    const { data } = this.reading;
    if (this.walk.has(data.id)) return this.walk.neighbour(data.id, way);
    return way > 0 ? data.next : data.previous;
  }

  saved(id, state) {
    this.walk.mark(id, state);
    this.clips.forget(id);
  }

  /** After a save: the next clip nobody has looked at, or the worklist when there is none. */
  goOn(next) {
    const { id } = this.reading.data;
    const to = this.walk.has(id) ? this.walk.nextOpen(id) : next;
    if (to) this.open(to);
    else {
      this.open(id, { push: false });
      toast("All clips of this list have been looked at.", { action: { words: "Worklist", run: () => location.assign("/worklist") } });
    }
  }

  busy() {
    if (this.reading) showVerdict(this.reading, this.saving.busy);
  }

  picture(review) {
    const bitmap = this.stage.picture.image();
    return bitmap ? snapshot(bitmap, this.stage.box, this.stage.spacing, review) : null;
  }
}
