// Unsaved work, kept in this tab until it is saved or given up: coordinates and the note, no identity.

const PREFIX = "endometer.draft.";
const reviewer = () => document.querySelector('meta[name="reviewer"]')?.content ?? "";
const keyOf = (id) => `${PREFIX}${id}`;

/** Keep the work on a clip; `name` is what the page calls it. */
export function keep(id, name, draft) {
  write(keyOf(id), { ...draft, id, name, reviewer: reviewer() });
}

/** The kept work of this reviewer on a clip, or null. */
export function kept(id) {
  const draft = read(keyOf(id));
  return draft && draft.reviewer === reviewer() ? draft : null;
}

export function forget(id) {
  sessionStorage.removeItem(keyOf(id));
}

/** All kept work of this reviewer (of anybody, where the page does not know who looks). */
export function allKept() {
  const who = reviewer();
  return Object.keys(sessionStorage)
    .filter((key) => key.startsWith(PREFIX))
    .map(read)
    .filter((draft) => draft && (!who || draft.reviewer === who));
}

/** The list that a reviewer walks through: ids and states in order, and where it came from. */
export function keepList(list) {
  write("endometer.list", list);
}

export function keptList() {
  return read("endometer.list");
}

/** How the picture is lit: the same for all clips of a reading. */
export function keepLight(light) {
  write("endometer.light", light);
}

export function keptLight() {
  return read("endometer.light") ?? { brightness: 100, contrast: 100 };
}

function read(key) {
  try {
    return JSON.parse(sessionStorage.getItem(key));
  } catch {
    return null;
  }
}

function write(key, value) {
  try {
    sessionStorage.setItem(key, JSON.stringify(value));
  } catch {
    // a full or forbidden storage costs only the copy; the work itself is on the page
  }
}
