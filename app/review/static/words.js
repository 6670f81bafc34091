// What the page says in words about results; numbers come from numbers.js.

import { interval, mm, threshold } from "./numbers.js";

const STATES = { open: "To look at", accepted: "Accepted", corrected: "Corrected", rejected: "Rejected" };
const ACTIONS = { accept: "Accepted", correct: "Corrected", reject: "Rejected", withdraw: "Withdrawn" };
const STATUSES = { measured: "Measured", not_measurable: "Not measured", failed: "Not read" };

export const stateWords = (state) => STATES[state] ?? state;
export const actionWords = (action) => ACTIONS[action] ?? action;
export const statusWords = (status) => STATUSES[status] ?? status;

/** The call in two words, for chips. */
export function callShort(call) {
  return { thin: "Thin", not_thin: "Not thin", indeterminate: "Indeterminate" }[call] ?? "";
}

/** The call with its threshold. */
export function callLong(call, limit) {
  const at = threshold(limit);
  return (
    { thin: `Thin: below ${at}`, not_thin: `Not thin: ${at} or more`, indeterminate: `Indeterminate at ${at}` }[call] ?? ""
  );
}

/** Why the machine called it so. */
export function callReason(call, limit) {
  const at = threshold(limit);
  return (
    {
      thin: `The whole interval lies below ${at}.`,
      not_thin: `No part of the interval lies below ${at}.`,
      indeterminate: `The interval holds ${at}: it may be either.`,
    }[call] ?? ""
  );
}

/** A measurement in one line, for lists and screen readers. */
export function inWords({ thickness_mm: value, lower_mm: lower, upper_mm: upper }, limit) {
  if (value == null) return "";
  const range = lower == null ? "" : ` (${interval(lower, upper, limit)})`;
  return `${mm(value, limit)}${range}`;
}

/** What a saved review says, in one line. */
export function reviewWords(review, limit) {
  const value = review.thickness_mm == null || review.action === "reject" ? "" : ` ${mm(review.thickness_mm, limit)}`;
  return `${actionWords(review.action)}${value}`;
}
