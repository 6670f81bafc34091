// The way through the worklist: the order in which it was entered, and what has been done since.

import { get } from "./api.js";
import { keepList, keptList } from "./drafts.js";

export class Walk {
  constructor(list = keptList()) {
    this.items = Array.isArray(list?.items) ? list.items : [];
  }

  has(id) {
    return this.items.some((item) => item.id === id);
  }

  place(id) {
    return { index: this.items.findIndex((item) => item.id === id) + 1, of: this.items.length };
  }

  /** The neighbour in a direction (1 or -1), or null. */
  neighbour(id, way) {
    const at = this.items.findIndex((item) => item.id === id);
    return at < 0 ? null : this.items[at + way]?.id ?? null;
  }

  /** The next clip nobody has looked at, from the start again if there is none behind; or null. */
  nextOpen(id) {
    const at = this.items.findIndex((item) => item.id === id);
    const around = [...this.items.slice(at + 1), ...this.items.slice(0, Math.max(at, 0))];
    return around.find((item) => item.state === "open")?.id ?? null;
  }

  mark(id, state) {
    const item = this.items.find((each) => each.id === id);
    if (!item) return;
    item.state = state;
    keepList({ items: this.items });
  }
}

/** Remember the list that a query gives, to walk through it. */
export async function enterList(query) {
  try {
    const { items } = await get(`/api/worklist/ids?${query}`);
    keepList({ items });
  } catch {
    keepList(null); // without a list the order of the server is walked
  }
}
