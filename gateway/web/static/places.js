// Where a mark goes: choose a building or a zone, type a word, press the place. A key can also be typed as it stands.
// The gateway searches: a site has more devices than a page should load.

import { Refused, get } from "./api.js";
import { find, make, say, show } from "./dom.js";
import { placeName, scopeText, word } from "./words.js";

const PAUSE_MS = 250; // after a key, before asking
const MOST_SHOWN = 24;
const WIDE = ["building", "zone", "site"]; // nothing to narrow down

let asked = 0;
let timer = 0;

export function listenPlaces() {
  const { key, within } = find("mark-form").elements;
  key.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(drawPlaces, PAUSE_MS); });
  within.addEventListener("change", () => { key.value = ""; drawPlaces(); });
}

// The buildings and zones to narrow down by; asked once per log-in and language.
export async function drawWithin() {
  const answers = await Promise.all(["building", "zone"].map((scope) => search({ scope, limit: 200 })));
  const options = answers.flatMap((answer, n) => answer.places.map(({ key }) => [`${n ? "zone" : "building"}:${key}`, scopeText(n ? "zone" : "building", key)]));
  const { within } = find("mark-form").elements;
  const { value } = within;
  within.replaceChildren(...[["", word("markAnywhere")], ...options].map(([key, text]) => make("option", { value: key, textContent: text })));
  if (options.some(([key]) => key === value)) within.value = value;
}

// The places that fit what is typed. What was asked before may be answered later: it is not shown any more.
export async function drawPlaces() {
  const { scope, key, within } = find("mark-form").elements;
  asked += 1;
  const mine = asked;
  show(find("mark-within"), !WIDE.includes(scope.value));
  show(find("mark-key"), scope.value !== "site");
  show(find("mark-places"), scope.value !== "site");
  key.placeholder = word("markSearch");
  if (scope.value === "site") return;
  const narrow = WIDE.includes(scope.value) ? {} : Object.fromEntries([within.value.split(/:(.*)/s).slice(0, 2)].filter(([name]) => name));
  const text = key.value.trim();
  const found = await search({ scope: scope.value, ...narrow, words: text, limit: MOST_SHOWN });
  if (mine === asked) draw(found, scope.value, text);
}

function draw({ total, places }, scope, text) {
  const chosen = places.find((each) => each.key === text);
  const shown = chosen ? [] : places;
  find("mark-places").firstElementChild.replaceChildren(...shown.map((each) => make("li", {}, make("button", {
    type: "button", className: "place", on: { click: () => choose(each) } },
  make("b", { textContent: nameOf(each, scope) }), make("span", { textContent: rest(each, scope) })))));
  say(find("mark-places").lastElementChild, chosen ? word("markChosen", { where: [nameOf(chosen, scope), rest(chosen, scope)].filter(Boolean).join(" · ") })
    : !total ? word("markNone") : word(total > places.length ? "markMore" : "markFound", { n: total, shown: places.length }));
}

function choose({ key }) {
  const { key: input } = find("mark-form").elements;
  input.value = key;
  input.focus();
  drawPlaces();
}

const isThing = (scope) => ["device", "point"].includes(scope);
const nameOf = ({ key, place, title }, scope) => (isThing(scope) ? placeName(place, title) : scopeText(scope, key));
const rest = ({ place, title, devices }, scope) => {
  if (!isThing(scope)) return word("markDevices", { n: devices });
  return placeName(place, title) === placeName(place) ? title : "";
};

async function search(fields) {
  try {
    return await get(`/api/v1/places?${new URLSearchParams(fields)}`);
  } catch (error) {
    if (!(error instanceof Refused) && !(error instanceof TypeError)) throw error; // the freshness bar says it
    return { total: 0, places: [] };
  }
}
