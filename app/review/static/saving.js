// Saving a verdict: what is sent, what is said, what happens if somebody else was faster.

import { ApiError, post } from "./api.js";
import { $, ask, bdi, el } from "./dom.js";
import * as drafts from "./drafts.js";
import { mm, moment } from "./numbers.js";
import { dismiss, toast } from "./toast.js";
import { reviewWords } from "./words.js";

const STATES = { accept: "accepted", correct: "corrected", reject: "rejected", withdraw: "open" };

export class Saving {
  /** `desk`: reading, open(id, {work}), reload(), goOn(next), busy(flag), picture(). */
  constructor(desk) {
    this.desk = desk;
    this.busy = false;
    this.last = null; // {id, version, draft, action}: what can be taken back
  }

  /** Save a verdict on the clip that is shown, and go on. Returns whether it was saved. */
  async save(action, more = {}) {
    if (this.busy) return false;
    const { reading } = this.desk;
    this.set(true);
    dismiss();
    try {
      const saved = await this.send(reading, reading.body(action, more));
      if (!saved) return false;
      this.done(reading, action, saved);
      return true;
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      const again = error.status === 0 || error.status >= 500;
      const action2 = { words: "Try again", run: () => this.save(action, more) };
      toast(`Not saved. ${error.message}`, { problem: true, action: again ? action2 : null });
      return false;
    } finally {
      this.set(false);
    }
  }

  set(busy) {
    this.busy = busy;
    this.desk.busy();
  }

  /** Send it; a conflict is shown and decided. Null if theirs is kept. */
  async send(reading, body) {
    try {
      return await post(`/api/clip/${reading.data.id}/reviews`, body);
    } catch (error) {
      if (error.status !== 409 || !error.data.review) throw error;
      const choice = await this.conflict(reading, body, error.data.review);
      if (choice !== "mine") {
        if (choice === "theirs") {
          drafts.forget(reading.data.id);
          await this.desk.reload();
        }
        return null;
      }
      const version = error.data.version ?? body.version;
      return this.send(reading, { ...body, version, override: true });
    }
  }

  done(reading, action, saved) {
    const { id, name } = reading.data;
    this.last = { id, version: saved.version, action, draft: reading.draft() };
    drafts.forget(id);
    this.desk.saved(id, STATES[action]);
    const words = `${name}: ${reviewWords(saved.review, reading.limit).toLowerCase()}`;
    toast(words, { action: { words: "Undo", key: "U", run: () => this.withdraw() } });
    this.desk.goOn(saved.next);
  }

  /** Take back what was saved last, and show it again with what was drawn. */
  async withdraw() {
    const { last } = this;
    if (!last || this.busy) return false;
    this.last = null;
    this.set(true);
    try {
      await post(`/api/clip/${last.id}/reviews`, { version: last.version, action: "withdraw" });
      this.desk.saved(last.id, "open");
      await this.desk.open(last.id, { draft: last.action === "accept" ? null : last.draft });
      toast("Taken back: the clip is open again.");
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      const words = error.status === 409 ? "Somebody else has reviewed it since." : error.message;
      toast(`Not taken back. ${words}`, { problem: true });
    } finally {
      this.set(false);
    }
    return true;
  }

  /** Ask why; a digit or a click answers and saves. */
  async reject() {
    const { reading } = this.desk;
    const dialog = $("reject-dialog");
    const reasons = reading.data.reasons;
    $("reasons").replaceChildren(
      ...reasons.map(({ key, words }, i) =>
        el("li", {}, el("button", { type: "button", onclick: () => dialog.close(key) }, el("kbd", {}, String(i + 1)), el("span", {}, words[0].toUpperCase() + words.slice(1)))),
      ),
    );
    const digit = (event) => {
      const chosen = /^[1-9]$/.test(event.key) ? reasons[Number(event.key) - 1] : null;
      if (chosen && !event.repeat) {
        event.preventDefault();
        dialog.close(chosen.key);
      }
    };
    dialog.addEventListener("keydown", digit);
    const reason = await ask(dialog);
    dialog.removeEventListener("keydown", digit);
    if (!reason) return;
    if (reason === "other" && !reading.note.trim()) {
      toast("Another reason: write it in the note, then reject again.");
      $("note").focus();
      return;
    }
    await this.save("reject", { reason });
  }

  /** Show both reviews; "mine", "theirs", or "" to think about it. */
  conflict(reading, body, theirs) {
    const dialog = $("conflict-dialog");
    const mine = { ...body, reviewer: "You", at: null, thickness_mm: body.action === "accept" ? reading.data.measurement?.thickness_mm : reading.thickness };
    mine.reason_words = reading.data.reasons.find(({ key }) => key === body.reason)?.words;
    $("conflict-words").textContent = "Their review was saved after you opened the clip. Which one counts? Both stay in the history.";
    $("both").replaceChildren(this.side("Theirs", theirs, reading), this.side("Yours", mine, reading));
    $("keep-theirs").onclick = () => dialog.close("theirs");
    $("save-mine").onclick = () => dialog.close("mine");
    return ask(dialog);
  }

  side(title, review, { limit }) {
    const number = review.action === "reject" || review.thickness_mm == null ? "No number" : mm(review.thickness_mm, limit);
    const said = [review.reason_words, review.note].filter(Boolean).join(": ");
    const who = el("p", { class: "quiet small" }, bdi(review.reviewer), review.at ? ` · ${moment(review.at)}` : "", review.frame ? ` · frame ${review.frame}` : "");
    const picture = this.desk.picture(review);
    return el("section", { "aria-label": title }, el("h3", {}, `${title}: ${reviewWords({ ...review, thickness_mm: null }, limit).toLowerCase()}`), el("p", { class: "number" }, number), who, picture, said ? el("p", {}, said) : null);
  }
}
