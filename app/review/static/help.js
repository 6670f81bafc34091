// The dialog that lists the keys.

import { $, ask, el } from "./dom.js";
import { keyWords } from "./keys.js";

/** Fill the dialog from a list of keys and return what opens it. */
export function help(list) {
  const line = ({ keys, words }) =>
    el("div", {}, el("span", {}, ...keys.map((key) => el("kbd", {}, keyWords(key)))), el("span", {}, words));
  for (const group of new Set(list.map((entry) => entry.group))) {
    const lines = list.filter((entry) => entry.group === group).map(line);
    $("keys-list").append(el("section", {}, el("h3", {}, group), ...lines));
  }
  const open = () => ask($("keys"));
  $("help").addEventListener("click", open);
  return open;
}
