// How long somebody has to take an alarm, as its rule says: counted down on its row and in the panel, and when the time is
// over counted up, in words and a sign that no colour is needed for.

import { say, show } from "./dom.js";
import { spanWords, word } from "./words.js";

// What to say now: { text, isLate }, or null where there is no limit or nobody has to come (shelved, out of service).
export function limitOf(alarm, now) {
  if (!alarm.respond_by_at) return null;
  const by = Date.parse(alarm.respond_by_at);
  if (alarm.handling === "new") return alarm.is_open && !alarm.is_muted ? said(by - now, "respondLeft", "respondOver", by - now) : null;
  const taken = Date.parse(alarm.taken_at);
  return Number.isNaN(taken) ? null : said(by - taken, "tookInTime", "tookLate", taken - Date.parse(alarm.raised_at));
}

function said(leftMs, inTime, late, shownMs) {
  const isLate = leftMs < 0;
  return { text: word(isLate ? late : inTime, { span: spanWords((isLate ? -leftMs : shownMs) / 1000) }), isLate };
}

export function drawLimit(element, limit) {
  show(element, limit !== null);
  if (!limit) return;
  say(element, limit.text);
  element.classList.toggle("late", limit.isLate);
}
