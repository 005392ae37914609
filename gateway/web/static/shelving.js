// 搁置 in the panel: for how long and why. Only where the gateway says that this account may; fire, gas and calls never.

import { make } from "./dom.js";
import { clockText, minutesText, word } from "./words.js";

const MINUTES = [15, 30, 60, 120, 240, 480, 720, 1440];

export function shelveForm(longest, panel) {
  const offered = MINUTES.filter((each) => each <= longest);
  const minutes = make("select", { name: "minutes" }, ...(offered.length ? offered : [longest]).map((each) => make("option", { value: String(each), textContent: minutesText(each) })));
  const reason = make("input", { name: "reason", maxLength: 200, autocomplete: "off" });
  const submit = (event) => {
    event.preventDefault();
    if (reason.value.trim()) panel.go("shelve", { minutes: Number(minutes.value), reason: reason.value.trim() }, word("shelve"));
    else panel.tell(word("needReason"), "refused");
  };
  return make("details", { id: "shelve" }, make("summary", { textContent: word("shelveOpen") }),
    make("form", { className: "verbs group", noValidate: true, on: { submit } },
      make("label", {}, make("span", { textContent: word("howLong") }), minutes),
      make("label", {}, make("span", { textContent: word("reason") }), reason),
      make("button", { type: "submit", className: "act verb-shelve", textContent: word("shelve") })));
}

export function unshelveGroup(panel) {
  return make("div", { id: "unshelve", className: "verbs group" }, make("span", { className: "caption" }),
    make("button", { type: "button", className: "act verb-unshelve", textContent: word("unshelve"), on: { click: () => panel.go("unshelve", {}, word("unshelve")) } }));
}

export function shelvedText(alarm) {
  return word("isShelved", { at: clockText(Date.parse(alarm.shelved_until_at), true), by: alarm.shelved_by });
}
