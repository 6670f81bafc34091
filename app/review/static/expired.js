// The session has ended: say what is kept, and come back to where one was.

import { $ } from "./dom.js";
import { nextPage } from "./api.js";
import { allKept } from "./drafts.js";

const kept = allKept();
$("kept").hidden = kept.length === 0;
$("kept").textContent = `Unsaved work on ${kept.map(({ name }) => name).join(", ")} is kept in this tab. It is offered again after you sign in.`;
const again = $("again");
if (again) again.href = `/login?next=${encodeURIComponent(nextPage())}`;
