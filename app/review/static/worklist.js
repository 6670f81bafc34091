// The worklist: filters in the address, rows from the server, keys to walk through them.

import { account } from "./account.js";
import { get } from "./api.js";
import { $, bdi, el } from "./dom.js";
import * as drafts from "./drafts.js";
import { help } from "./help.js";
import { LIST_KEYS, listen } from "./keys.js";
import { heading, row } from "./row.js";
import { toast } from "./toast.js";
import { enterList } from "./walk.js";
import { callShort, statusWords } from "./words.js";

const FIELDS = ["state", "need", "call", "status", "reviewer", "patient", "from", "to"];
const form = $("filters");
const showHelp = help(LIST_KEYS);
let query = new URLSearchParams(location.search);
let turn = null;

account();
query.set("state", query.get("state") ?? "open");

/** Ask for the list that the address names, and show it. */
async function load({ focus = false } = {}) {
  const mine = (turn = {});
  document.body.classList.add("waiting");
  let list;
  try {
    list = await get(`/api/worklist?${query}`);
  } catch (error) {
    toast(error.message, { problem: true });
    return;
  } finally {
    document.body.classList.remove("waiting");
  }
  if (turn !== mine) return;
  showProgress(list.progress);
  showFilters(list.filters);
  const rows = list.items.flatMap((item, i) => {
    const first = item.need_words && item.need_words !== list.items[i - 1]?.need_words;
    return first ? [heading(item.need_words), row(item)] : [row(item)];
  });
  $("rows").replaceChildren(...rows);
  $("rows").dataset.loaded = "yes";
  showEmpty(list);
  showPages(list);
  if (focus) document.querySelector(".row")?.focus();
  await enterList(filtersOnly());
}

function filtersOnly() {
  const only = new URLSearchParams(query);
  only.delete("page");
  return only;
}

function showProgress({ total, done, open }) {
  $("progress-bar").style.width = `${total ? (100 * done) / total : 0}%`;
  $("progress-words").textContent = `${done} of ${total}, ${open} to look at`;
}

/** Offer what there is to filter by, and show what is chosen. */
function showFilters({ reviewers, calls, statuses }) {
  fill("call", calls, callShort);
  fill("status", statuses, statusWords);
  fill("reviewer", reviewers, (name) => name);
  const blind = calls.length + statuses.length === 0;
  for (const field of form.querySelectorAll(".field")) field.hidden = blind;
  for (const name of FIELDS) {
    const value = query.get(name) ?? "";
    if (name === "state") for (const input of form.elements.state) input.checked = input.value === value;
    else if (form.elements[name] && document.activeElement !== form.elements[name]) form.elements[name].value = value;
  }
  $("clear").hidden = !FIELDS.slice(1).some((name) => query.get(name));
}

function fill(name, values, words) {
  const select = form.elements[name];
  const chosen = query.get(name);
  const all = chosen && !values.includes(chosen) ? [...values, chosen] : values;
  select.replaceChildren(el("option", { value: "" }, "Any"), ...all.map((value) => el("option", { value }, words(value))));
}

function showEmpty({ items, progress }) {
  const filtered = FIELDS.slice(1).some((name) => query.get(name));
  $("empty").hidden = items.length > 0;
  $("empty").textContent = filtered
    ? "No clip fits these filters."
    : progress.total === 0
      ? "There are no clips in this run."
      : query.get("state") === "open"
        ? "Every clip has been looked at."
        : "Nothing here yet.";
}

function showPages({ page, pages, total }) {
  $("pages").hidden = pages < 2;
  $("page-words").textContent = `Page ${page} of ${pages}, ${total} clips`;
  $("page-back").disabled = page <= 1;
  $("page-on").disabled = page >= pages;
  query.set("page", page);
}

/** Change the query, keep it in the address, and load. */
function apply(changes, { page = 1 } = {}) {
  for (const [name, value] of Object.entries(changes))
    if (value) query.set(name, value);
    else query.delete(name);
  query.set("page", page);
  history.pushState(null, "", `/worklist?${query}`);
  document.querySelector("main").scrollTop = 0;
  load();
}

form.addEventListener("change", ({ target }) => {
  if (target.name && (query.get(target.name) ?? "") !== target.value) apply({ [target.name]: target.value.trim() });
});
form.addEventListener("submit", (event) => event.preventDefault());
$("clear").addEventListener("click", () => apply(Object.fromEntries(FIELDS.slice(1).map((name) => [name, ""]))));
$("page-back").addEventListener("click", () => apply({}, { page: Number(query.get("page")) - 1 }));
$("page-on").addEventListener("click", () => apply({}, { page: Number(query.get("page")) + 1 }));
window.addEventListener("popstate", () => {
  query = new URLSearchParams(location.search);
  query.set("state", query.get("state") ?? "open");
  load();
});

/** Move the focus by lines. */
function move(by) {
  const links = [...document.querySelectorAll(".row")];
  const at = links.indexOf(document.activeElement);
  const to = at < 0 ? 0 : Math.min(Math.max(at + by, 0), links.length - 1);
  links[to]?.focus();
  links[to]?.scrollIntoView({ block: "nearest" });
}

listen(LIST_KEYS, {
  down: () => void move(1),
  up: () => void move(-1),
  search: () => void form.elements.patient.focus(),
  help: () => void showHelp(),
});

/** Unsaved work that this tab still holds. */
function showKept() {
  const kept = drafts.allKept();
  $("kept").hidden = kept.length === 0;
  $("kept").replaceChildren(
    ...kept.map(({ id, name }) =>
      el("div", { class: "kept-line" },
        el("p", {}, "Unsaved work on ", bdi(name), " is kept in this tab."),
        el("a", { class: "button small-button", href: `/clip/${encodeURIComponent(id)}` }, "Go on"),
        el("button", { type: "button", class: "small-button", onclick: () => (drafts.forget(id), showKept()) }, "Discard"),
      ),
    ),
  );
}

showKept();
load({ focus: true });
window.addEventListener("pageshow", (event) => event.persisted && load());
