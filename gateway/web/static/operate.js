// What can be operated from an alarm (开门 of a visitor's call), and the picture at the door. Of an alarm that nobody has
// taken, one press takes it and acts; later one press asks and the second acts. What is said afterwards is what the
// device answered, not what was wished.

import { Refused, act, get } from "./api.js";
import { make, say, show } from "./dom.js";
import { clockText, language, outcomeName, whereName, word } from "./words.js";

const LOOK_MS = 700;
const LOOKS = 60; // then somebody has to go and look

export class Operate {
  constructor(panel) {
    this.panel = panel;
    this.forget();
  }

  // Another alarm is in the panel: nothing of the one before may stay.
  forget() {
    this.offers = [];
    this.picture = null;
    this.asking = -1; // place of the offer that waits for the second press
    this.isBusy = false; // a second press while the first is under way is none
    this.said = { text: "", kind: "" };
    this.element = null;
  }

  build() {
    this.element = make("section", { id: "operate" });
    this.front = make("div", { className: "front" }); // stands before 接警, where the next step is always in sight
    this.draw();
    return this.element;
  }

  take({ offers = [], picture = null }) {
    this.offers = offers;
    this.picture = picture;
    this.draw();
  }

  // Only when it says something else: a button does not go away under a finger.
  draw() {
    if (!this.element) return;
    const { is_open: isOpen, handling } = this.panel.alarm || {};
    const mine = isOpen && handling !== "closed" ? this.offers : [];
    const state = JSON.stringify([language(), this.picture, mine, handling === "new", this.asking, this.said]);
    if (this.element.dataset.state === state) return;
    this.element.dataset.state = state;
    const isNew = handling === "new";
    const rows = mine.map((each, place) => (isNew && each.may_operate ? null : this.row(each, place))).filter(Boolean);
    this.front.replaceChildren(...mine.filter((each) => isNew && each.may_operate).map((each) => make("button", {
      type: "button", className: "act take-and", textContent: word("operateTakeAnd", { title: titleOf(each) }), on: { click: () => this.takeAnd(each) } })));
    this.element.replaceChildren(...(this.picture ? [this.drawPicture()] : []), ...rows,
      make("p", { id: "operate-said", className: this.said.kind, textContent: this.said.text, attributes: { role: "status" } }));
    show(this.element, Boolean(this.picture || rows.length || this.said.text));
    this.panel.follow();
  }

  row(offer, place) {
    const button = (text, more, click) => make("button", { type: "button", className: more, textContent: text, on: { click } });
    if (!offer.may_operate) return make("p", { textContent: word("operateOthers", { title: titleOf(offer) }) });
    if (this.asking !== place) return make("div", { className: "verbs" }, button(`${titleOf(offer)}…`, "act operate", () => this.ask(place)), make("span", { className: "caption", textContent: whereOf(offer) }));
    return make("div", { className: "verbs group asking" },
      make("span", { className: "caption", textContent: word("operateAsk", { title: titleOf(offer), where: whereOf(offer) }) }),
      button(word("operateYes", { title: titleOf(offer) }), "act operate-yes", () => this.go(offer)), button(word("operateNo"), "operate-no", () => this.ask(-1)));
  }

  ask(place) {
    this.asking = place;
    this.tell("", "");
    (this.element.querySelector(".operate-no") || this.element.querySelector(".operate"))?.focus();
  }

  // Two acts in one press, each with its own entry in the journal: who does not get the alarm does not open the door.
  async takeAnd(offer) {
    const { alarm } = this.panel;
    if (this.isBusy || !this.panel.isFresh()) return;
    this.isBusy = true;
    this.tell(word("operateTaking"), "");
    try {
      const { version } = await act(alarm, "take", {}, () => this.retrying(alarm));
      await this.command(offer, { ...alarm, version }, "operateOnlyTaken");
    } catch (error) {
      this.refuse(alarm, error, "unsure");
    } finally {
      if (this.isMine(alarm)) this.isBusy = false;
    }
  }

  async go(offer) {
    if (!this.panel.isFresh()) return;
    this.asking = -1;
    await this.command(offer, this.panel.alarm, "");
  }

  // ``before`` is the word for what was done already when this is refused.
  async command(offer, alarm, before) {
    const title = titleOf(offer);
    if (this.isMine(alarm)) this.tell(word("operateSending", { title }), "");
    try {
      const { operation } = await act(alarm, "operate", { point: offer.point, value: offer.value }, () => this.retrying(alarm));
      if (this.isMine(alarm)) this.tell(word("operateSent", { title }), "");
      await this.follow(operation, offer, () => this.isMine(alarm));
    } catch (error) {
      this.refuse(alarm, error, "operateUnsure", before && error instanceof Refused ? word(before, { title }) : "");
    }
  }

  isMine(alarm) {
    return this.panel.alarm?.id === alarm.id;
  }

  retrying(alarm) {
    if (this.isMine(alarm)) this.tell(word("retrying"), "");
  }

  refuse(alarm, error, unsure, before = "") {
    if (this.isMine(alarm)) this.tell(before + (error instanceof Refused ? error.message : word(unsure)), "refused");
  }

  // Until the device has answered, or the gateway has given up.
  async follow(operation, offer, isMine) {
    for (let look = 0; look < LOOKS && isMine(); look += 1) {
      await new Promise((resolve) => { setTimeout(resolve, LOOK_MS); });
      const found = await get(`/api/v1/operations/${operation}`).catch((error) => {
        if (error instanceof TypeError) return null; // no answer this time
        throw error;
      });
      if (isMine() && found?.outcome) {
        this.tell(...became(found, offer));
        return;
      }
    }
    if (isMine()) this.tell(word("operateUnsure"), "refused");
  }

  tell(text, kind) {
    this.said = { text, kind };
    this.draw();
  }

  // Straight from the panel at the door: the gateway neither asks for it nor keeps it.
  drawPicture() {
    if (this.shown?.address === this.picture) return this.shown.element;
    const image = make("img", { alt: word("pictureAlt"), referrerPolicy: "no-referrer", decoding: "async" });
    const note = make("span", { className: "note", textContent: word("pictureLoading") });
    image.addEventListener("load", () => { show(image, true); say(note, word("pictureAt", { at: clockText(Date.now()) })); });
    image.addEventListener("error", () => { show(image, false); say(note, word("pictureNone")); });
    const again = make("button", { type: "button", className: "again", textContent: word("pictureAgain"), on: { click: () => {
      say(note, word("pictureLoading"));
      image.src = `${this.picture}${this.picture.includes("?") ? "&" : "?"}_=${Date.now()}`;
    } } });
    show(image, false);
    // Cookies know no ports: a camera that has the gateway's own name would be sent the session.
    const isOurs = new URL(this.picture, location.href).hostname === location.hostname;
    if (isOurs) say(note, word("pictureNone"));
    else image.src = this.picture;
    const element = make("figure", {}, image, make("figcaption", {}, note, isOurs ? "" : again));
    this.shown = { address: this.picture, element };
    return element;
  }
}

const titleOf = (offer) => offer.title || `${offer.point_title} ${offer.value}`;
const whereOf = (offer) => whereName(offer.place, offer.device_title, " · ");

function became({ outcome, detail, closed_at: at }, offer) {
  const fields = { title: titleOf(offer), at: at ? clockText(Date.parse(at)) : "", why: [outcomeName(outcome), detail].filter(Boolean).join(": ") };
  if (outcome === "done") return [word("operateDone", fields), "done"];
  return [word(outcome === "unconfirmed" ? "operateUnconfirmed" : "operateFailed", fields), "refused"];
}
