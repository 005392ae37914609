// Marks of places and points: the banner while something is only a drill or a test, setting one, ending one early.
// Which role may set which is the gateway's decision: the form only leaves out what would be refused.

import { Refused, get, repeat } from "./api.js";
import { find, make, say, show } from "./dom.js";
import { MARKS, SCOPES } from "./names.js";
import { drawPlaces, drawWithin, listenPlaces } from "./places.js";
import { clockText, markName, minutesText, scopeName, scopeText, spanText, word } from "./words.js";

const TESTS = ["drill", "walk_test", "commissioning"];
const MOST_LINES = 4;
const MINUTES = [15, 30, 60, 120, 240, 480, 720, 1440, 4320, 10080, 43200, 129600];

let limits = {};

export const isTest = (alarm) => alarm.marks.length > 0;

// 演练中 · 3栋 · 还剩 0:42 · 王主管: 消防演练. Called every second.
export function drawTests(marks, now) {
  const tests = marks.filter((each) => TESTS.includes(each.mark)).sort((a, b) => TESTS.indexOf(a.mark) - TESTS.indexOf(b.mark) || a.since.localeCompare(b.since));
  const lines = tests.slice(0, MOST_LINES).map((each) => word("testLine", {
    mark: markName(each.mark), where: scopeText(each.scope, each.key), by: each.by, reason: each.reason,
    left: each.until ? word("timeLeft", { span: spanText((Date.parse(each.until) - now) / 1000) }) : "" }));
  if (tests.length > MOST_LINES) lines.push(word("testMore", { n: tests.length - MOST_LINES }));
  const bar = find("test-bar");
  while (bar.children.length > lines.length) bar.lastElementChild.remove();
  lines.forEach((text, place) => say(bar.children[place] || bar.appendChild(make("span")), text));
  show(bar, lines.length > 0);
  document.body.dataset.testing = String(lines.length > 0);
}

// What a mark covers, until when, who set it and why.
export function markText(each) {
  const until = each.until ? word("until", { at: clockText(Date.parse(each.until), true) }) : word("noEnd");
  return [markName(each.mark), scopeText(each.scope, each.key), until, `${each.by}: ${each.reason}`].join(" · ");
}

export async function lift({ mark, scope, key }) {
  await send("/api/v1/marks/lift", { mark, scope, key }, word("lifted", { mark: markName(mark) }));
}

export async function listenMarks(chosen) {
  const { elements } = find("mark-form");
  listenPlaces();
  elements.mark.addEventListener("change", () => drawScopes(chosen()));
  elements.scope.addEventListener("change", () => prefill(chosen()));
  find("mark-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const body = { mark: elements.mark.value, scope: elements.scope.value, key: elements.scope.value === "site" ? "" : elements.key.value.trim(), reason: elements.reason.value.trim() };
    if (elements.minutes.value) body.minutes = Number(elements.minutes.value);
    if (!body.reason) tell(word("needReason"), "refused");
    else send("/api/v1/marks", body, word("marked", { mark: markName(body.mark) }));
  });
}

// Asked once per log-in and language: what this account may set.
export async function drawMarkForm(chosen) {
  try {
    ({ limits } = await get("/api/v1/marks"));
  } catch (error) {
    if (!(error instanceof Refused) && !(error instanceof TypeError)) throw error; // asked again at the next opening
    return;
  }
  const mine = Object.keys(MARKS).filter((each) => limits[each]?.may_set);
  show(find("mark-form"), mine.length > 0);
  fillSelect("mark", mine.map((each) => [each, markName(each)]));
  await drawWithin();
  drawScopes(chosen);
}

function drawScopes(chosen) {
  const limit = limits[find("mark-form").elements.mark.value];
  if (!limit) return;
  fillSelect("scope", Object.keys(SCOPES).filter((each) => limit.scopes.includes(each)).map((each) => [each, scopeName(each)]));
  const longest = limit.longest_minutes ?? Infinity;
  const offered = MINUTES.filter((each) => each <= longest).map((each) => [String(each), minutesText(each)]);
  fillSelect("minutes", limit.longest_minutes === null ? [...offered, ["", word("noEnd")]] : offered);
  prefill(chosen);
}

// The alarm in the panel says what is probably meant; anything can be chosen or typed instead.
function prefill(alarm) {
  const { scope, key } = find("mark-form").elements;
  const parts = alarm ? alarm.place.split("-") : [];
  const depth = { building: 1, unit: 2, floor: 3, room: 4 }[scope.value];
  key.value = "";
  if (alarm && depth && parts.length === 4) key.value = parts.slice(0, depth).join("-");
  else if (alarm) key.value = { device: alarm.device, point: alarm.device && alarm.point }[scope.value] ?? "";
  drawPlaces();
}

function fillSelect(name, options) {
  const select = find("mark-form").elements[name];
  const { value } = select;
  select.replaceChildren(...options.map(([key, text]) => make("option", { value: key, textContent: text })));
  if (options.some(([key]) => key === value)) select.value = value;
}

async function send(path, body, done) {
  tell(word("sending"), "");
  try {
    await repeat(path, body, () => tell(word("retrying"), ""));
    tell(done, "done");
  } catch (error) {
    tell(error instanceof Refused ? error.message : word("unsureMark"), "refused");
  }
}

function tell(text, kind) {
  find("mark-said").className = kind;
  say(find("mark-said"), text);
}
