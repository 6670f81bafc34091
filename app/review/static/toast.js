// Short messages at the foot of the page; they say what happened and offer one way back.

import { $, el } from "./dom.js";

const SHOWN_MS = 8000;
let present = null;

/** Show a message; `action` {words, key, run} is a button. Only the newest stays. */
export function toast(words, { action = null, problem = false, ms = SHOWN_MS } = {}) {
  dismiss();
  const message = el("div", { class: `toast${action ? "" : " plain"}${problem ? " problem" : ""}` }, el("span", {}, words));
  if (action) {
    const button = el("button", { type: "button", onclick: () => act() }, action.words);
    if (action.key) button.append(" ", el("kbd", { "aria-hidden": "true" }, action.key));
    message.append(button);
  }
  const act = () => {
    dismiss();
    action.run();
  };
  const timer = problem ? null : setTimeout(dismiss, ms);
  present = { message, timer, act: action ? act : null };
  $("toasts").append(message);
}

/** Do what the toast offers, as its button would. Returns whether there was something to do. */
export function actOnToast() {
  if (!present?.act) return false;
  present.act();
  return true;
}

export function dismiss() {
  clearTimeout(present?.timer);
  present?.message.remove();
  present = null;
}
