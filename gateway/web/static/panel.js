// The handling panel beside the list: what is known of one alarm, and the verbs. Which verb is allowed is the gateway's
// decision; the page only puts the next step forward and shows the words of a refusal.

import { Refused, act, get } from "./api.js";
import { find, make, say, show } from "./dom.js";
import { history, summary } from "./history.js";
import { badgeText, stateText } from "./list.js";
import { isTest } from "./marks.js";
import { Operate } from "./operate.js";
import { drawLimit, limitOf } from "./respond.js";
import { shelveForm, shelvedText, unshelveGroup } from "./shelving.js";
import { clockText, kindName, language, spanWords, spotName, whatText, word } from "./words.js";

const HOLD_MS = 2000;
const SHOWN_MS = 1000; // a done act is said after so long, also where the stream is late
const LOOK_AGAIN_MS = 1500; // while a command is under way
const NEXT = { new: "take", taken: "verify", verifying: "verify", handling: "close", closed: "reset" };

export class Panel {
  constructor(onClose, isFresh, membersOf) {
    this.membersOf = membersOf; // alarms that stand under this one
    this.onClose = onClose;
    this.isFresh = isFresh;
    this.alarm = null;
    this.rule = null;
    this.longest = null; // minutes that this account may shelve it; null: not at all
    this.readAt = 0; // version at which the journal was read
    this.operate = new Operate(this);
    this.done = null; // what was done and is not on the screen yet
    this.built = ""; // what the elements were built for: they stay while only the alarm changes
  }

  // Show this alarm as it is now. What somebody is typing or holding down is not disturbed.
  open(alarm) {
    if (this.alarm?.id !== alarm?.id) {
      this.rule = null;
      this.longest = null;
      this.readAt = 0;
      this.built = "";
      this.done = null;
      this.operate.forget();
    }
    this.alarm = alarm;
    this.draw();
    if (alarm && this.readAt !== alarm.version) this.read(alarm);
  }

  async read(alarm) {
    this.readAt = alarm.version;
    try {
      const [detail, journal, told] = await Promise.all([
        get(`/api/v1/alarms/${alarm.key}`), get(`/api/v1/alarms/${alarm.key}/events`), get(`/api/v1/alarms/${alarm.key}/notices`)]);
      if (this.alarm?.id !== alarm.id) return;
      this.rule = detail.rule;
      this.longest = detail.shelvable_minutes;
      this.draw();
      this.operate.take(detail);
      find("journal").replaceChildren(...history(alarm, journal.events, detail.commands, told.notices));
      find("commands").replaceChildren(...summary(detail.commands));
      if (detail.commands.some((each) => each.outcome === null) || told.notices.some((each) => each.state === "sending")) {
        setTimeout(() => this.alarm?.id === alarm.id && this.readAt === alarm.version && this.read(alarm), LOOK_AGAIN_MS);
      }
    } catch (error) {
      if (!(error instanceof Refused) && !(error instanceof TypeError)) throw error;
      this.readAt = 0; // read again at the next change
    }
  }

  draw() {
    const { alarm } = this;
    const wanted = alarm ? [alarm.id, this.rule?.id, this.rule?.response, this.longest, language()].join(" ") : `none ${language()}`;
    if (wanted !== this.built) {
      this.built = wanted;
      find("panel").replaceChildren(...(alarm ? this.build(alarm) : [make("p", { className: "choose", textContent: word("choose") })]));
    }
    find("panel").className = alarm ? `open class-${alarm.class} next-${alarm.is_open ? NEXT[alarm.handling] : "none"}` : "";
    if (!alarm) return;
    find("facts").replaceChildren(...facts(alarm));
    this.operate.draw();
    const members = this.membersOf(alarm.id);
    say(find("members-title"), members.length ? word("members", { n: members.length }) : "");
    find("members").replaceChildren(...members.map((each) => make("li", { textContent: `${spotName(each)} ${clockText(Date.parse(each.raised_at))}` })));
    for (const each of find("panel").querySelectorAll(".verbs")) show(each, alarm.is_open);
    show(find("panel").querySelector("form.verb-close"), alarm.is_open && alarm.handling !== "closed");
    const isShelved = alarm.is_open && alarm.shelved_until_at !== null;
    show(find("shelve"), alarm.is_open && !isShelved && this.longest !== null);
    show(find("unshelve"), isShelved);
    if (isShelved) say(find("unshelve").firstElementChild, shelvedText(alarm));
    this.follow();
    this.tellIfShown();
  }

  // In another language: the gateway's own sentences too.
  speakAnew() {
    this.readAt = 0;
    this.open(this.alarm);
  }

  build(alarm) {
    const text = find("message")?.dataset.alarm === alarm.id ? find("message").textContent : "";
    const close = make("button", { type: "button", className: "plain fold", textContent: word("closePanel"), on: { click: this.onClose } });
    const message = make("p", { id: "message", textContent: text, attributes: { role: "status", "data-alarm": alarm.id } });
    const button = (name, label, fields = {}, more = "") => make("button", {
      type: "button", textContent: label, className: `act verb-${name} ${more}`, on: { click: () => this.go(name, fields, label) } });
    const real = word(alarm.class === "fire" ? "verifyFire" : "verifyReal");
    const steps = this.rule?.plan || [];
    return [make("div", { className: "scroll" },
      make("div", { className: "heading" }, make("h2", { id: "panel-title", textContent: spotName(alarm) }), close),
      this.response(),
      this.operate.build(),
      make("div", { id: "facts" }),
      make("p", { id: "commands" }),
      make("h3", { id: "members-title" }),
      make("ul", { id: "members" }),
      steps.length ? make("div", { className: "plan" }, make("h3", { textContent: word("plan") }), make("ol", {}, ...steps.map((each) => make("li", { textContent: each })))) : "",
      make("div", { className: "verbs group-take" }, this.operate.front, button("take", word("take")), button("arrive", word("arrive")), button("silence", word("silence"))),
      make("div", { className: "verbs group verb-verify" }, make("span", { className: "caption", textContent: word("verify") }),
        button("verify", real, { real: true }, "real"), button("verify", word("verifyFalse"), { real: false })),
      this.closing(),
      make("div", { className: "verbs group-reset" }, this.resetButton()),
      this.noting(),
      shelveForm(this.longest ?? 0, this),
      unshelveGroup(this),
      this.why(),
      make("h3", { textContent: word("journal") }),
      make("ol", { id: "journal" })), message];
  }

  // What to do, in one sentence that can be read from two metres.
  response() {
    const { response, respond_within_s: within } = this.rule || {};
    const limit = within ? make("span", { className: "within", textContent: word("within", { span: spanWords(within) }) }) : "";
    return make("p", { id: "response" }, response || "", limit, make("span", { id: "respond", className: "limit" }));
  }

  // Why it may have happened and what follows: below what must be done now.
  why() {
    const { cause, consequence } = this.rule || {};
    const text = [cause && word("possibleCause", { text: cause }), consequence && word("consequence", { text: consequence })].filter(Boolean).join(" ");
    return text ? make("p", { id: "why", textContent: text }) : "";
  }

  // Once a second: how long is left to take it, or by how much that was late.
  tick(now) {
    const element = find("respond");
    if (!element || !this.alarm) return;
    const limit = limitOf(this.alarm, now);
    drawLimit(element, limit);
    show(find("response"), Boolean(this.rule?.response || limit));
  }

  noting() {
    const text = make("input", { name: "note", maxLength: 200, autocomplete: "off" });
    const submit = (event) => {
      event.preventDefault();
      if (text.value.trim()) this.go("note", { text: text.value.trim() }, word("note"));
      else this.tell(word("needNote"), "refused");
    };
    return make("form", { className: "verbs group verb-note", noValidate: true, on: { submit } },
      make("label", {}, make("span", { textContent: word("note") }), text),
      make("button", { type: "submit", className: "act verb-note", textContent: word("noteGo") }));
  }

  closing() {
    const words = this.rule?.outcomes || [];
    const outcome = words.length
      ? make("select", { name: "outcome" }, make("option", { value: "", textContent: word("pick") }), ...words.map((each) => make("option", { value: each, textContent: each })))
      : make("input", { name: "outcome", maxLength: 200 });
    const cause = make("input", { name: "cause", maxLength: 200, autocomplete: "off" });
    const submit = (event) => {
      event.preventDefault();
      const fields = { outcome: outcome.value.trim(), cause: cause.value.trim() };
      if (fields.outcome && fields.cause) this.go("close", fields, word("close"));
      else this.tell(word("needBoth"), "refused");
    };
    return make("form", { className: "verbs group verb-close", noValidate: true, on: { submit } },
      make("label", {}, make("span", { textContent: word("outcome") }), outcome),
      make("label", {}, make("span", { textContent: word("cause") }), cause),
      make("button", { type: "submit", className: "act verb-close", textContent: word("close") }));
  }

  // No key, no single click: reset wants a finger (or the space bar) held for two seconds.
  resetButton() {
    let timer = 0;
    const button = make("button", { type: "button", className: "act verb-reset", textContent: word("reset") });
    const press = (event) => {
      if (timer || button.disabled || (event.type === "keydown" && event.key !== " " && event.key !== "Enter")) return;
      if (event.pointerId !== undefined) button.setPointerCapture(event.pointerId);
      button.classList.add("holding");
      timer = setTimeout(() => {
        timer = 0;
        button.classList.remove("holding");
        this.go("reset", {}, kindName("reset"));
      }, HOLD_MS);
    };
    const release = () => {
      if (!timer) return;
      clearTimeout(timer);
      timer = 0;
      button.classList.remove("holding");
      this.tell(word("holdLonger"), "");
    };
    for (const name of ["pointerdown", "keydown"]) button.addEventListener(name, press);
    for (const name of ["pointerup", "pointercancel", "blur", "keyup"]) button.addEventListener(name, release);
    button.addEventListener("contextmenu", (event) => event.preventDefault());
    return button;
  }

  async go(verb, fields, label, alarm = this.alarm) {
    const isMine = () => this.alarm?.id === alarm.id;
    if (!this.isFresh()) return;
    this.done = null;
    this.tell(word("sending"), "");
    try {
      const { version } = await act(alarm, verb, fields, () => isMine() && this.tell(word("retrying"), ""));
      if (isMine()) this.tellDone(version, word("done", { verb: label }));
    } catch (error) {
      const text = error instanceof Refused ? error.message : word("unsure");
      if (isMine()) this.tell(text, "refused");
    }
  }

  // Said when the screen shows what was done: whoever reads it may press the next button.
  tellDone(version, text) {
    const { id } = this.alarm;
    this.done = { version, text };
    this.tellIfShown();
    setTimeout(() => this.alarm?.id === id && this.tellIfShown(true), SHOWN_MS);
  }

  tellIfShown(isLate = false) {
    if (!this.done || (!isLate && this.alarm.version < this.done.version)) return;
    this.tell(this.done.text, "done");
    this.done = null;
  }

  tell(text, kind) {
    const element = find("message");
    if (!element) return;
    element.className = kind;
    say(element, text);
    find("panel").style.setProperty("--said", `${element.offsetHeight}px`); // the next step stands below it, not under it
  }

  // Buttons live only while the screen is known to be right.
  follow() {
    for (const each of document.querySelectorAll("button.act")) each.disabled = !this.isFresh();
    const take = find("panel").querySelector("button.verb-take");
    if (take && this.alarm.handling !== "new") take.disabled = true;
  }
}

function facts(alarm) {
  const condition = alarm.condition === "active" ? word("isActive") : word("isReturned", { at: clockText(Date.parse(alarm.returned_at)) });
  const parts = [
    badgeText(alarm), whatText(alarm), clockText(Date.parse(alarm.raised_at), true), condition,
    alarm.is_confirmed ? word("fireConfirmed") : "", stateText(alarm), alarm.is_latched ? word("isLatched") : "", alarm.count > 1 ? word("times", { n: alarm.count }) : "",
    alarm.is_chattering ? word("chattering") : "", alarm.is_stale ? word("isStale") : "", alarm.is_clock_unsure ? word("isClockUnsure") : "",
    alarm.is_out_of_service ? word("isOutOfService") : "", alarm.suppressed_by ? word("isSuppressed") : "",
    alarm.is_unconfirmed ? word("isUnconfirmed") : "", alarm.is_open ? "" : word("hasEnded"),
  ];
  return [...parts.filter(Boolean).map((text, place) => make("span", { textContent: text, className: place ? "" : `badge ${isTest(alarm) ? "test" : ""}` })),
    make("small", { textContent: [alarm.device && `${word("device")} ${alarm.device}`, alarm.text && alarm.title].filter(Boolean).join(" · ") })];
}
