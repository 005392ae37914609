// What can be operated from an alarm (开门 of a visitor's call), and the picture at the door. One press asks, the second
// acts. What is said afterwards is what the device answered, not what was wished.

import { Refused, act, get } from "./api.js";
import { make, say, show } from "./dom.js";
import { clockText, language, outcomeName, placeName, word } from "./words.js";

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
    this.said = { text: "", kind: "" };
    this.element = null;
  }

  build() {
    this.element = make("section", { id: "operate" });
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
    this.element.replaceChildren(...(this.picture ? [this.drawPicture()] : []), ...mine.map((each, place) => this.row(each, place)),
      make("p", { id: "operate-said", className: this.said.kind, textContent: this.said.text, attributes: { role: "status" } }));
    show(this.element, Boolean(this.picture || mine.length || this.said.text));
    this.panel.follow();
  }

  row(offer, place) {
    const button = (text, more, click) => make("button", { type: "button", className: more, textContent: text, on: { click } });
    if (!offer.may_operate) return make("p", { textContent: word("operateOthers", { title: titleOf(offer) }) });
    if (this.panel.alarm.handling === "new") return make("p", { textContent: word("operateTakeFirst", { title: titleOf(offer) }) });
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

  async go(offer) {
    const { alarm } = this.panel;
    const isMine = () => this.panel.alarm?.id === alarm.id;
    if (!this.panel.isFresh()) return;
    this.asking = -1;
    this.tell(word("operateSending", { title: titleOf(offer) }), "");
    try {
      const { operation } = await act(alarm, "operate", { point: offer.point, value: offer.value }, () => isMine() && this.tell(word("retrying"), ""));
      if (isMine()) this.tell(word("operateSent", { title: titleOf(offer) }), "");
      await this.follow(operation, offer, isMine);
    } catch (error) {
      if (isMine()) this.tell(error instanceof Refused ? error.message : word("operateUnsure"), "refused");
    }
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
const whereOf = (offer) => [placeName(offer.place), offer.device_title].filter(Boolean).join(" · ");

function became({ outcome, detail, closed_at: at }, offer) {
  const fields = { title: titleOf(offer), at: at ? clockText(Date.parse(at)) : "", why: [outcomeName(outcome), detail].filter(Boolean).join(": ") };
  if (outcome === "done") return [word("operateDone", fields), "done"];
  return [word(outcome === "unconfirmed" ? "operateUnconfirmed" : "operateFailed", fields), "refused"];
}
