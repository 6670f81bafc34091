// Every key of the page: one list for what it does and for the help.

const VERDICT = "Verdict";
const DRAW = "Measure and draw";
const LOOK = "Look";
const GO = "Go";

export const CLIP_KEYS = [
  { keys: ["A"], run: "accept", group: VERDICT, words: "Accept, next clip" },
  { keys: ["C", "Enter"], run: "correct", group: VERDICT, words: "Save the correction, next clip" },
  { keys: ["R"], run: "reject", group: VERDICT, words: "Reject; 1\u20139 choose the reason" },
  { keys: ["T"], run: "note", group: VERDICT, words: "Write a note (Esc leaves it)" },
  { keys: ["U", "Ctrl+Z"], run: "undo", group: VERDICT, words: "Undo; without changes: take back what was saved last", again: true },
  { keys: ["Shift+U", "Ctrl+Shift+Z"], run: "redo", group: VERDICT, words: "Redo", again: true },
  { keys: ["V"], run: "calipers", group: DRAW, words: "Calipers: drag an end, or the line" },
  { keys: ["D"], run: "place", group: DRAW, words: "Place calipers: two clicks, or drag; D again: with arrows and Enter" },
  { keys: ["Tab"], words: "Go to a caliper end; arrows move it by 0.1 pixel, with Shift by 1", group: DRAW },
  { keys: ["O"], run: "outline", group: DRAW, words: "Drag the outline; neighbours follow" },
  { keys: ["B"], run: "brush", group: DRAW, words: "Brush" },
  { keys: ["E"], run: "erase", group: DRAW, words: "Brush: erase or add" },
  { keys: ["[", "]"], run: "brushSize", group: DRAW, words: "Smaller, larger brush", again: true },
  { keys: ["S"], run: "snap", group: DRAW, words: "Snap: measure from the outline" },
  { keys: ["F"], run: "fluid", group: DRAW, words: "Fluid: two single layers, their sum counts" },
  { keys: ["M"], run: "here", group: DRAW, words: "Measure this frame" },
  { keys: ["ArrowLeft", "ArrowRight"], run: "step", group: LOOK, words: "Frame before, after", again: true },
  { keys: ["Home", "End"], run: "ends", group: LOOK, words: "First, last frame" },
  { keys: ["G"], run: "measured", group: LOOK, words: "Go to the frame with the calipers" },
  { keys: ["Space"], run: "play", group: LOOK, words: "Play, pause; held: drag the picture" },
  { keys: ["H"], run: "hide", group: LOOK, words: "Hide outline and calipers" },
  { keys: ["+", "-", "0"], run: "zoom", group: LOOK, words: "Zoom in, out, fit", again: true },
  { keys: ["Q", "W"], run: "brightness", group: LOOK, words: "Darker, brighter", again: true },
  { keys: ["Shift+Q", "Shift+W"], run: "contrast", group: LOOK, words: "Less, more contrast", again: true },
  { keys: ["X"], run: "light", group: LOOK, words: "Reset brightness and contrast" },
  { keys: ["N"], run: "next", group: GO, words: "Next clip" },
  { keys: ["P"], run: "previous", group: GO, words: "Previous clip" },
  { keys: ["L"], run: "list", group: GO, words: "Worklist" },
  { keys: ["Escape"], run: "escape", group: GO, words: "Stop what was begun" },
  { keys: ["?"], run: "help", group: GO, words: "These keys" },
];

export const LIST_KEYS = [
  { keys: ["J", "ArrowDown"], run: "down", group: GO, words: "Next line", again: true },
  { keys: ["K", "ArrowUp"], run: "up", group: GO, words: "Line before", again: true },
  { keys: ["Enter"], words: "Open the clip", group: GO },
  { keys: ["/"], run: "search", group: GO, words: "Filter by patient" },
  { keys: ["?"], run: "help", group: GO, words: "These keys" },
];

const SHOWN = { ArrowLeft: "\u2190", ArrowRight: "\u2192", ArrowUp: "\u2191", ArrowDown: "\u2193", Escape: "Esc", "-": "\u2212" };

export const keyWords = (key) => SHOWN[key] ?? key;

/** The name of a key press as in the lists: letters as written on the key, whatever the script. */
export function keyName(event) {
  const { key, code } = event;
  const letter = /^[a-z]$/i.test(key) ? key : foreign(event) ? code.slice(3) : null;
  const control = event.ctrlKey || event.metaKey;
  if (letter && (!event.altKey || event.getModifierState?.("AltGraph"))) {
    const shift = event.shiftKey ? "Shift+" : "";
    return `${control ? "Ctrl+" : ""}${shift}${letter.toUpperCase()}`;
  }
  if (control && !event.altKey) return null; // the browser's own
  if (key === " ") return "Space";
  return { "=": "+", _: "-", "\u2212": "-" }[key] ?? key;
}

/** Another script or an input method is on: the place of the key says which letter is meant. */
function foreign({ key, code, isComposing }) {
  const hidden = isComposing || key === "Process" || key === "Unidentified";
  return /^Key[A-Z]$/.test(code ?? "") && (hidden || key.charCodeAt(0) > 127);
}

/** Call `actions[run](key, event)` for the keys of a list; keys that a field needs are left to it. */
export function listen(list, actions) {
  const known = new Map(list.filter(({ run }) => run).flatMap((entry) => entry.keys.map((key) => [key, entry])));
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || document.querySelector("dialog[open]")) return;
    const name = keyName(event);
    const entry = known.get(name);
    if (!entry || (event.repeat && !entry.again) || taken(event, name)) return;
    if (actions[entry.run](name, event) !== false) event.preventDefault();
  });
}

function taken({ target }, name) {
  if (!(target instanceof Element)) return false;
  if (target.closest("textarea, select, input:not([type=range]):not([type=radio])")) return true;
  if (target.closest("input") && /^(Arrow|Home|End)/.test(name)) return true;
  return (name === "Space" || name === "Enter") && target.closest("button, a, summary, input") !== null;
}
