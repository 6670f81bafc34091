// Sign in, and go on where one was.

import { nextPage, request } from "./api.js";
import { $ } from "./dom.js";
import { allKept } from "./drafts.js";

const form = $("login");
const kept = allKept();
$("kept").hidden = kept.length === 0;
$("kept").textContent = kept.length === 1 ? "Your unsaved work on a clip is kept in this tab." : `Your unsaved work on ${kept.length} clips is kept in this tab.`;

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = form.querySelector("button");
  button.disabled = true;
  $("problem").textContent = "";
  try {
    const { name, password } = Object.fromEntries(new FormData(form));
    await request("POST", "/api/login", { name, password }, { stay: true });
    location.assign(nextPage());
  } catch (error) {
    $("problem").textContent = error.message;
    form.elements.password.value = "";
    form.elements.password.focus();
    button.disabled = false;
  }
});
form.elements.name.focus();
