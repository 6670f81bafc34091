// The menu of the account; menus close when one looks elsewhere.

import { post } from "./api.js";
import { $ } from "./dom.js";

export function account() {
  $("logout")?.addEventListener("click", async () => {
    await post("/api/logout", {}, { stay: true }).catch(() => null);
    location.assign("/login");
  });
  document.addEventListener("pointerdown", ({ target }) => {
    for (const menu of document.querySelectorAll("details.menu[open]"))
      if (!menu.contains(target)) menu.open = false;
  });
  document.addEventListener("keydown", (event) => {
    const menu = event.key === "Escape" ? document.querySelector("details.menu[open]") : null;
    if (!menu) return;
    event.preventDefault();
    menu.open = false;
    menu.querySelector("summary").focus();
  });
}
