// What is not annunciated, so that nobody forgets it: shelved, under a cause, out of service, standing for a day, and
// the marks. The line with the numbers is always in view; the lists open under it.

import { find, make, say, show } from "./dom.js";
import { lift, markText } from "./marks.js";
import { classIcon, className, clockText, markName, spotName, whatText, word } from "./words.js";

const MOST_ROWS = 100;
const LISTS = {
  shelved: (each) => each.shelved_until_at !== null,
  service: (each) => each.is_out_of_service,
  suppressed: (each) => each.suppressed_by !== "",
  stale: (each) => each.is_stale,
};

export class Aside {
  constructor(onOpen, onUnshelve) {
    this.onOpen = onOpen;
    this.onUnshelve = onUnshelve;
    this.drawn = "";
  }

  // A list is only built anew when it says something else: a button does not go away under a finger.
  draw(all, marks) {
    const lists = Object.entries(LISTS).map(([name, belongs]) => [name, all.filter(belongs)]);
    const set = marks.filter((each) => each.mark !== "shelved");
    const idle = marks.filter((each) => each.mark === "shelved" && !lists[0][1].some((alarm) => shelfOf(alarm) === each.key));
    const counts = [...lists.map(([name, found]) => [name, found.length + (name === "shelved" ? idle.length : 0)]), ["marks", set.length]];
    say(find("aside-counts"), counts.filter(([, n]) => n).map(([name, n]) => `${word(`list_${name}`)} ${n}`).join(" · ") || word("none"));
    find("aside").classList.toggle("some", counts.some(([, n]) => n > 0));
    if (!find("aside").open) return;
    const reasons = new Map(marks.filter((each) => each.mark === "shelved").map((each) => [each.key, each]));
    const state = JSON.stringify([word("list_shelved"), lists.map(([, found]) => found.map((each) => [each.id, each.version])), set, idle]);
    if (state === this.drawn) return;
    this.drawn = state;
    find("aside-lists").replaceChildren(
      ...lists.map(([name, found]) => section(name, found.length + (name === "shelved" ? idle.length : 0), [
        ...found.slice(0, MOST_ROWS).map((each) => this.row(name, each, reasons)),
        ...(name === "shelved" ? idle.map((each) => markRow(each, markName("shelved"))) : [])])),
      section("marks", set.length, set.slice(0, MOST_ROWS).map((each) => markRow(each, ""))));
  }

  row(name, alarm, reasons) {
    const shelf = reasons.get(shelfOf(alarm));
    const why = {
      shelved: alarm.shelved_until_at && `${word("until", { at: clockText(Date.parse(alarm.shelved_until_at), true) })} · ${alarm.shelved_by}${shelf ? `: ${shelf.reason}` : ""}`,
      stale: clockText(Date.parse(alarm.raised_at), true),
    }[name] || clockText(Date.parse(alarm.raised_at));
    const open = make("button", { type: "button", className: "open", on: { click: () => this.onOpen(alarm.id) } },
      make("span", { className: "badge", textContent: `${classIcon(alarm.class)} ${className(alarm.class)}` }),
      make("b", { textContent: spotName(alarm) }), make("span", { textContent: whatText(alarm) }), make("span", { textContent: why }));
    const act = name === "shelved" ? make("button", { type: "button", className: "act", textContent: word("unshelve"), on: { click: () => this.onUnshelve(alarm) } }) : "";
    return make("li", { className: `class-${alarm.class}` }, open, act);
  }
}

const shelfOf = (alarm) => `${alarm.rule}:${alarm.point}`;

function markRow(mark, note) {
  const text = note ? `${mark.key} · ${word("nowQuiet")} · ${markText(mark)}` : markText(mark);
  return make("li", {}, make("span", { className: "text", textContent: text }),
    make("button", { type: "button", className: "act", textContent: word("liftMark"), on: { click: () => lift(mark) } }));
}

function section(name, n, rows) {
  const more = n > rows.length ? [make("li", { textContent: word("moreRows", { n: n - rows.length }) })] : [];
  const element = make("section", { id: `list-${name}` }, make("h3", { textContent: `${word(`list_${name}`)} ${n}` }), make("ul", {}, ...rows, ...more));
  show(element, n > 0);
  return element;
}
