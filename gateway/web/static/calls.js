// A call for help that nobody has taken for three minutes: whom to phone, and the address to say (alarms.md section 5).

import { find, make, show } from "./dom.js";
import { isTest } from "./marks.js";
import { clockText, placeName, word } from "./words.js";

const CALL_120_S = 180;
const MOST_CARDS = 3; // one on a low screen: the list must stay in view
const LOW_PX = 900;

export function isLate(alarm) {
  return alarm.class === "sos" && alarm.is_open && !alarm.is_muted && alarm.handling === "new" && alarm.escalated_s >= CALL_120_S;
}

let carded = new Set();

// Has this call a card now? Then its row need not say the same.
export const hasCard = (alarm) => carded.has(alarm.id);

// ``late``: those of `isLate`, in duty order.
export function drawCalls(late, site, onOpen) {
  const most = window.innerHeight < LOW_PX ? 1 : MOST_CARDS;
  carded = new Set(late.slice(0, most).map((each) => each.id));
  const state = JSON.stringify([word("call120Title"), most, late.map((each) => each.id)]);
  const bar = find("call-bar");
  show(bar, late.length > 0);
  if (bar.dataset.state === state) return;
  bar.dataset.state = state;
  const more = late.length > most ? make("strong", { textContent: word("call120More", { n: late.length - most }) }) : "";
  const cards = late.slice(0, most).map((each) => card(each, site, onOpen));
  cards.at(-1)?.firstElementChild.append(more);
  bar.replaceChildren(...cards);
}

function card(alarm, site, onOpen) {
  const address = [site, placeName(alarm.place, alarm.device_title)].filter(Boolean).join(" ");
  const title = word(isTest(alarm) ? "call120Drill" : "call120Title");
  return make("div", { className: "card" },
    make("div", { className: "words" }, make("b", { textContent: `${title} · ${word("call120Since", { at: clockText(Date.parse(alarm.raised_at)) })}` }),
      make("p", { className: "address", textContent: address })),
    isTest(alarm) ? "" : make("a", { href: "tel:120", className: "dial", textContent: word("dial120") }),
    make("button", { type: "button", textContent: word("handle"), on: { click: () => onOpen(alarm.id) } }));
}
