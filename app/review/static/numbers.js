// Every number that is shown or typed goes through here: dot or comma as the reader's language has it.

/** The decimal mark of a language: "," or "." (whatever else a language uses is shown as "."). */
export function decimalMark(language) {
  try {
    const parts = new Intl.NumberFormat(language).formatToParts(1.5);
    return parts.find((part) => part.type === "decimal")?.value === "," ? "," : ".";
  } catch {
    return ".";
  }
}

const mark = decimalMark(globalThis.navigator?.languages?.[0] ?? "en");

/** A number with a fixed count of decimals, without a unit. */
export function number(value, digits = 1, decimal = mark) {
  return value.toFixed(digits).replace(".", decimal).replace(/^-/, "\u2212");
}

/** One decimal, or two where rounding would put the number on the other side of the threshold. */
export function digitsOf(value, threshold) {
  if (threshold == null) return 1;
  return Number(value.toFixed(1)) < threshold === value < threshold ? 1 : 2;
}

/** A thickness with its unit: "5.7 mm". */
export function mm(value, threshold = null, decimal = mark) {
  return `${number(value, digitsOf(value, threshold), decimal)}\u00a0mm`;
}

/** An interval with its unit: "3.9–8.5 mm". */
export function interval(lower, upper, threshold = null, decimal = mark) {
  const digits = Math.max(digitsOf(lower, threshold), digitsOf(upper, threshold));
  return `${number(lower, digits, decimal)}\u2013${number(upper, digits, decimal)}\u00a0mm`;
}

/** A threshold as people write it: "6 mm", "5.5 mm". */
export function threshold(value, decimal = mark) {
  return `${String(value).replace(".", decimal)}\u00a0mm`;
}

/** A difference with its sign: "+0.4 mm". */
export function difference(value, decimal = mark) {
  const text = number(value, 1, decimal);
  return `${Number(value.toFixed(1)) > 0 ? "+" : ""}${text}\u00a0mm`;
}

/** What a person typed, with a dot or a comma; NaN where it is no number (1.234,5 is none). */
export function parse(text) {
  const plain = String(text).trim().replace("\u2212", "-").replace(/\s*mm$/i, "");
  return /^[+-]?(\d+([.,]\d*)?|[.,]\d+)$/.test(plain) ? Number(plain.replace(",", ".")) : NaN;
}

/** A day as the reader's language writes it, unmistakable: "5 Jan 2026". */
export function day(text) {
  const match = /^(\d{4})-?(\d{2})-?(\d{2})/.exec(text ?? "");
  if (!match) return "";
  const date = new Date(Number(match[1]), Number(match[2]) - 1, Number(match[3]));
  return date.toLocaleDateString("en-GB", { day: "numeric", month: "short", year: "numeric" });
}

/** A moment: "5 Jan 2026, 14:05". */
export function moment(text) {
  const date = new Date(text);
  if (Number.isNaN(date.getTime())) return "";
  const time = date.toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" });
  const when = date.toLocaleDateString("en-GB", { day: "numeric", month: "short", year: "numeric" });
  return `${when}, ${time}`;
}
