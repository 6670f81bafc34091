// The dialog that lists the keys.

import { $, ask, el } from "./dom.js";
import { keyWords } from "./keys.js";

/** Fill the dialog from a list of keys and return what opens it. */
export function help(list) {
  const parts = [];
  for (const group of new Set(list.map((entry) => entry.group))) {
    parts.push(el("h3", {}, group));
    for (const { keys, words } of list.filter((entry) => entry.group === group))
      parts.push(el("div", {}, el("span", {}, ...keys.map((key) => el("kbd", {}, keyWords(key)))), el("span", {}, words)));
  }
  $("keys-list").append(...parts);
  const open = () => ask($("keys"));
  $("help").addEventListener("click", open);
  return open;
}
