// Several faults in one go: 全部接警 and 全部办结 above the list. Only faults are ever chosen here, and nothing is offered
// while a fire, gas, a call for help or an intrusion waits to be taken: that one comes first. Which are meant is fixed
// when the question is asked, each with the version that was on the screen; what is said afterwards is what the gateway
// answered for each of them.

import { Refused, get, repeat } from "./api.js";
import { fillIn, find, make, show } from "./dom.js";
import { isMain } from "./list.js";
import { language, spotName, word } from "./words.js";

const FEWEST = 2;
const MOST = 200; // at once, as the gateway takes them
const MOST_RULES = 20;
const MOST_TOLD = 5; // refusals in words; of more their number
const HANDLERS = ["duty", "supervisor"];
const DANGERS = ["fire", "gas", "sos", "security"];
const IN_HAND = ["taken", "verifying", "handling"];

export class Bulk {
  constructor(isFresh, follow, moved) {
    this.isFresh = isFresh;
    this.follow = follow; // buttons of a screen that may be wrong are off
    this.moved = moved; // the list has been pushed: no click meant for another row
    this.asking = null; // {verb, chosen, all, rules}: the question that is open
    this.isBusy = false;
    this.offered = [[], []];
    this.said = null; // {done, refused, total} | {text}
  }

  draw(alarms, role) {
    const isLater = !HANDLERS.includes(role) || alarms.some((each) => isMain(each) && DANGERS.includes(each.class) && each.handling === "new");
    if (isLater) this.asking = null; // an open question would stand above it
    const faults = isLater ? [] : alarms.filter((each) => isMain(each) && each.class === "fault");
    this.offered = [faults.filter((each) => each.handling === "new"), faults.filter((each) => IN_HAND.includes(each.handling))];
    this.redraw();
  }

  redraw() {
    const [untaken, inHand] = this.asking || this.isBusy ? [[], []] : this.offered;
    const before = find("rows").offsetTop;
    fillIn(find("bulk-offers"), [language(), untaken.length, inHand.length], () => [this.offer("take", untaken), this.offer("close", inHand)]);
    fillIn(find("bulk-ask"), [language(), this.asking && [this.asking.verb, this.asking.all, this.asking.chosen.map((each) => each.id)]], () => (this.asking ? this.question() : []));
    fillIn(find("bulk-said"), [language(), this.isBusy, this.said], () => this.answer());
    if (find("rows").offsetTop !== before) this.moved();
    this.follow();
  }

  offer(verb, alarms) {
    if (alarms.length < FEWEST) return "";
    return make("button", { type: "button", className: `act bulk-${verb}`, textContent: word(verb === "take" ? "bulkTake" : "bulkClose", { n: alarms.length }), on: { click: () => this.ask(verb) } });
  }

  async ask(verb) {
    const all = this.offered[verb === "take" ? 0 : 1];
    const chosen = all.slice(0, MOST);
    if (this.isBusy || !this.isFresh() || chosen.length < FEWEST) return;
    this.said = null;
    let rules = new Map();
    if (verb === "close") {
      this.isBusy = true;
      this.redraw();
      try {
        rules = await outcomesOf(chosen);
      } catch {
        this.said = { text: word("noAnswer") };
      }
      this.isBusy = false;
    }
    this.asking = this.said ? null : { verb, chosen: chosen.filter((each) => verb === "take" || rules.has(each.rule)), all: all.length, rules };
    this.redraw();
    (find("bulk-ask").querySelector("select, input") || find("bulk-ask").querySelector(".bulk-no"))?.focus();
  }

  leave() {
    this.asking = null;
    this.redraw();
  }

  question() {
    const { verb, chosen, all, rules } = this.asking;
    const no = make("button", { type: "button", className: "bulk-no", textContent: word("operateNo"), on: { click: () => this.leave() } });
    const part = chosen.length < all ? word("bulkPart", { n: chosen.length, all }) : "";
    if (verb === "take") {
      return [make("div", { className: "group" }, make("span", { className: "caption", textContent: word("bulkTakeAsk", { n: chosen.length }) + part }),
        make("button", { type: "button", className: "act bulk-yes", textContent: word("bulkTakeYes", { n: chosen.length }), on: { click: () => this.go(verb, chosen, {}) } }), no)];
    }
    return [this.closing(chosen, rules, part, no)];
  }

  // Which outcomes there are is each rule's: beside each stands how many it fits, and only those are closed with it.
  closing(chosen, rules, part, no) {
    const fitting = (outcome) => chosen.filter((each) => !rules.get(each.rule).length || rules.get(each.rule).includes(outcome));
    const words = [...new Set([...rules.values()].flat())];
    const outcome = words.length
      ? make("select", { name: "outcome" }, make("option", { value: "", textContent: word("pick") }),
        ...words.map((each) => make("option", { value: each, textContent: word("bulkOutcome", { outcome: each, n: fitting(each).length }) })))
      : make("input", { name: "outcome", maxLength: 200, autocomplete: "off" });
    const cause = make("input", { name: "cause", maxLength: 200, autocomplete: "off" });
    const need = make("p", { className: "refused", attributes: { role: "status" } });
    const submit = (event) => {
      event.preventDefault();
      const fields = { outcome: outcome.value.trim(), cause: cause.value.trim() };
      if (fields.outcome && fields.cause) this.go("close", fitting(fields.outcome), fields);
      else need.textContent = word("needBoth");
    };
    return make("form", { className: "group", noValidate: true, on: { submit } },
      make("span", { className: "caption", textContent: word("bulkCloseAsk", { n: chosen.length }) + part }),
      make("label", {}, make("span", { textContent: word("outcome") }), outcome),
      make("label", {}, make("span", { textContent: word("cause") }), cause),
      make("button", { type: "submit", className: "act bulk-yes", textContent: word("bulkCloseYes") }), no, need);
  }

  async go(verb, chosen, fields) {
    if (this.isBusy || !this.isFresh()) return;
    this.isBusy = true;
    this.asking = null;
    this.said = null;
    this.redraw();
    const alarms = chosen.map(({ key, version }) => ({ key, version }));
    try {
      const told = await repeat("/api/v1/alarms/bulk", { verb, alarms, ...fields }, () => {});
      const byKey = new Map(chosen.map((each) => [each.key, each]));
      const refused = told.alarms.filter((each) => !each.is_accepted).map((each) => ({ alarm: byKey.get(each.key), detail: each.detail }));
      this.said = { verb, done: told.accepted, refused };
    } catch (error) {
      this.said = { text: error instanceof Refused ? error.message : word("bulkUnsure") };
    }
    this.isBusy = false;
    this.redraw();
  }

  answer() {
    if (this.isBusy) return [word("sending")];
    if (!this.said) return [];
    const { text, verb, done, refused } = this.said;
    const seen = make("button", { type: "button", className: "plain bulk-seen", textContent: word("seen"), on: { click: () => { this.said = null; this.redraw(); } } });
    if (text) return [make("span", { className: "refused", textContent: text }), seen];
    const what = word(verb === "take" ? "taken" : "closed");
    const lines = refused.slice(0, MOST_TOLD).map((each) => make("li", { textContent: `${spotName(each.alarm)}: ${each.detail}` }));
    if (refused.length > MOST_TOLD) lines.push(make("li", { textContent: word("moreRows", { n: refused.length - MOST_TOLD }) }));
    return [make("span", { textContent: word(refused.length ? "bulkDoneBut" : "bulkDone", { n: done, what, not: refused.length }) }), seen, lines.length ? make("ul", {}, ...lines) : ""];
  }
}

// The outcomes of the alarms' rules, by rule; a rule that is gone, or one of very many, is left out.
async function outcomesOf(alarms) {
  const one = new Map(alarms.map((each) => [each.rule, each]));
  const found = await Promise.all([...one.values()].slice(0, MOST_RULES).map((each) => get(`/api/v1/alarms/${each.key}`)));
  return new Map(found.map(({ alarm, rule }) => [alarm.rule, rule?.outcomes || []]));
}
