// The alarm list: class, then those nobody has taken, then the oldest. Consequences of another alarm stand under it, by
// number; nothing else folds, and rows are moved, not redrawn.

import { hasCard } from "./calls.js";
import { find, make, say, show } from "./dom.js";
import { isTest } from "./marks.js";
import { CLASSES } from "./names.js";
import { drawLimit, limitOf } from "./respond.js";
import { call120Text, classIcon, className, clockText, language, markName, spanText, spotName, whatText, word } from "./words.js";

const STEADY_MS = 500; // a row that has just moved does not take a click meant for another
const MOST_MEMBERS = 100;
const RANK = Object.fromEntries(Object.keys(CLASSES).map((name, place) => [name, place]));

function byDuty(a, b) {
  return isTest(a) - isTest(b) || RANK[a.class] - RANK[b.class]
    || (a.suppressed_by !== "") - (b.suppressed_by !== "")
    || (a.handling !== "new") - (b.handling !== "new")
    || b.point.startsWith("@") - a.point.startsWith("@") // a confirmed fire before those it consists of
    || a.raised_at.localeCompare(b.raised_at) || (a.id < b.id ? -1 : 1);
}

export const inDutyOrder = (alarms) => [...alarms].sort(byDuty);

// The first that nobody has taken; asked every second, so without sorting thousands.
export function topUntaken(alarms) {
  let top;
  for (const each of alarms) if (each.handling === "new" && isMain(each) && (!top || byDuty(each, top) < 0)) top = each;
  return top;
}

// Annunciated: neither shelved, nor under a cause, nor out of service. The others have their own lists (aside.js).
export const isMain = (alarm) => !alarm.is_muted;

// Alarm id -> how many stand under it; "" -> those whose cause has gone and that are waited for.
export function countMembers(alarms) {
  const open = new Set(alarms.map((each) => each.id));
  const counts = new Map();
  for (const { suppressed_by: cause } of alarms) {
    const key = open.has(cause) ? cause : "";
    if (cause) counts.set(key, (counts.get(key) || 0) + 1);
  }
  return counts;
}

// What is only a drill or a test says so beside its class.
export function badgeText(alarm) {
  return [`${classIcon(alarm.class)} ${className(alarm.class)}`, ...alarm.marks.map(markName)].join(" · ");
}

export function stateText(alarm) {
  const by = alarm.handling === "taken" && alarm.taken_by ? ` ${alarm.taken_by}` : "";
  const found = alarm.handling !== "closed" && alarm.is_real !== null ? ` · ${word(alarm.is_real ? "real" : "falseAlarm")}` : "";
  const outcome = alarm.handling === "closed" && alarm.outcome ? ` · ${alarm.outcome}` : "";
  return word(alarm.handling) + by + found + outcome;
}

export class List {
  constructor(onOpen, onTake) {
    this.rows = new Map();
    this.onOpen = onOpen;
    this.onTake = onTake;
    this.all = []; // everything that is open, in duty order
  }

  draw(alarms, selected) {
    const all = inDutyOrder(alarms);
    this.all = all;
    const members = countMembers(all);
    const ordered = all.filter(isMain);
    say(find("waiting"), members.has("") ? word("waiting", { n: members.get("") }) : "");
    show(find("waiting"), members.has(""));
    const wanted = new Set(ordered.map((each) => each.id));
    for (const [id, row] of this.rows) {
      if (!wanted.has(id)) {
        row.element.remove();
        this.rows.delete(id);
      }
    }
    const parent = find("rows");
    parent.classList.toggle("long", ordered.length > 200);
    const focused = document.activeElement;
    let next = parent.firstElementChild; // what stands where the row of this turn belongs
    ordered.forEach((alarm, place) => {
      const row = this.rows.get(alarm.id) || this.add(alarm);
      if (next && next !== row.element && next.nextElementSibling === row.element) next.remove(); // one went down: not all others up
      else if (next !== row.element) parent.insertBefore(row.element, next);
      next = row.element.nextElementSibling;
      if (row.place !== place) row.movedAt = performance.now();
      row.place = place;
      fill(row, alarm, alarm.id === selected, members.get(alarm.id) || 0);
      this.unfold(row, all);
    });
    if (document.activeElement !== focused && parent.contains(focused)) focused.focus({ preventScroll: true });
    return ordered;
  }

  add(alarm) {
    const row = { movedAt: 0, place: -1 };
    row.badge = make("span", { className: "badge" });
    row.where = make("span", { className: "where" });
    row.what = make("span", { className: "what" });
    row.when = make("span", { className: "when" });
    row.state = make("span", { className: "state" });
    row.timer = make("span", { className: "timer" });
    row.limit = make("span", { className: "limit" });
    row.open = make("button", { type: "button", className: "open", on: { click: () => this.onOpen(row.alarm.id) } },
      make("span", { className: "upper" }, row.badge, row.where, row.timer),
      make("span", { className: "lower" }, row.when, row.what, row.limit, row.state));
    row.take = make("button", { type: "button", className: "act take", on: { click: () => this.onTake(row.alarm, this.isSteady(row.alarm.id)) } });
    row.unfold = make("button", { type: "button", className: "unfold", on: { click: () => this.toggle(row) } });
    row.under = make("div", { className: "under" });
    row.element = make("li", {}, row.open, row.unfold, row.take, row.under);
    this.rows.set(alarm.id, row);
    return row;
  }

  toggle(row) {
    row.isUnfolded = !row.isUnfolded;
    this.unfold(row, this.all);
  }

  // The consequences of a cause, one short line each, under its row.
  unfold(row, all) {
    const members = row.members && row.isUnfolded ? all.filter((each) => each.suppressed_by === row.alarm.id) : [];
    show(row.unfold, row.members > 0);
    say(row.unfold, row.members ? word(row.isUnfolded ? "foldMembers" : "unfoldMembers", { n: row.members }) : "");
    row.unfold.setAttribute("aria-expanded", String(Boolean(row.isUnfolded)));
    show(row.under, members.length > 0);
    const state = JSON.stringify([word("moreRows"), members.map((each) => each.id)]);
    if (row.drawn === state) return;
    row.drawn = state;
    row.under.replaceChildren(...members.slice(0, MOST_MEMBERS).map((each) => make("button", {
      type: "button", textContent: `${clockText(Date.parse(each.raised_at))} ${spotName(each)}`, on: { click: () => this.onOpen(each.id) } })),
    members.length > MOST_MEMBERS ? word("moreRows", { n: members.length - MOST_MEMBERS }) : "");
  }

  // Something above has pushed all rows.
  pushed() {
    for (const row of this.rows.values()) row.movedAt = performance.now();
  }

  isSteady(id) {
    return performance.now() - (this.rows.get(id)?.movedAt ?? 0) > STEADY_MS;
  }

  // Once a second: how long has nobody taken it?
  tick(now) {
    for (const row of this.rows.values()) {
      const isWaiting = row.alarm.handling === "new";
      drawLimit(row.limit, isWaiting ? limitOf(row.alarm, now) : null);
      say(row.timer, isWaiting ? spanText((now - Date.parse(row.alarm.raised_at)) / 1000) : "");
    }
  }
}

function fill(row, alarm, isSelected, members) {
  const state = `${isSelected} ${members} ${language()} ${hasCard(alarm)}`;
  if (row.alarm === alarm && row.filled === state) return;
  row.alarm = alarm;
  row.filled = state;
  const names = [`class-${alarm.class}`, alarm.handling === "new" ? "untaken" : "taken", alarm.condition];
  if (isSelected) names.push("selected");
  if (isTest(alarm)) names.push("test");
  row.members = members;
  const className_ = names.join(" ");
  if (row.element.className !== className_) row.element.className = className_;
  row.open.setAttribute("aria-pressed", String(isSelected));
  say(row.badge, badgeText(alarm));
  say(row.where, spotName(alarm));
  const more = [alarm.is_confirmed && word("fireConfirmed"), alarm.count > 1 && word("times", { n: alarm.count }), alarm.is_chattering && word("chattering"), members && word("members", { n: members })];
  say(row.what, [hasCard(alarm) ? "" : call120Text(alarm), whatText(alarm), ...more].filter(Boolean).join(" · "));
  say(row.when, clockText(Date.parse(alarm.raised_at)));
  const returned = alarm.condition === "returned" ? ` · ${word("isReturned", { at: clockText(Date.parse(alarm.returned_at)) })}` : "";
  say(row.state, stateText(alarm) + returned);
  say(row.take, word("take"));
  show(row.take, alarm.handling === "new");
}
