// Who went through which door: by door, person, time and result. Whole numbers of cards, looking for one, and the file are for
// the supervisor; the gateway decides that and keeps a record of it, the page only leaves out what would be refused.

import { Refused, get } from "./api.js";
import { find, make, say, show } from "./dom.js";
import { csv, save } from "./sheet.js";
import { clockText, dayText, directionName, instantOf, passResult, wayName, whereName, word } from "./words.js";

const PAGE = 100;
const MOST_IN_FILE = 20_000; // rows; more than a month of a busy estate's door
const MAY_SEE_ALL = ["supervisor"];

let next = null; // where the page after this one begins
let shown = 0;
let role = "";

export function listenPasses() {
  const search = (event) => { event?.preventDefault(); load(null); };
  find("passes-form").addEventListener("submit", search);
  find("passes").addEventListener("toggle", () => { if (find("passes").open) { drawDoors(); load(null); find("passes").scrollIntoView({ block: "nearest" }); } });
  find("passes-more").addEventListener("click", () => load(next));
  find("passes-save").addEventListener("click", saveAll);
}

export function drawPasses(mine) {
  role = mine;
  const { result } = find("passes-form").elements;
  const { value } = result;
  result.replaceChildren(...["", "granted", "denied"].map((each) => make("option", { value: each, textContent: each ? passResult(each) : word("passAny") })));
  result.value = value;
  show(find("passes-person"), MAY_SEE_ALL.includes(role));
  show(find("passes-save"), MAY_SEE_ALL.includes(role));
  find("passes-rows").replaceChildren();
  if (find("passes").open) load(null);
}

async function drawDoors() {
  const { door } = find("passes-form").elements;
  if (door.options.length) return;
  const found = await get("/api/v1/places?scope=device&kind=door&limit=200").catch(() => ({ places: [] }));
  door.replaceChildren(make("option", { value: "", textContent: word("passAny") }),
    ...found.places.map((each) => make("option", { value: each.key, textContent: whereName(each.place, each.title) })));
}

// What the form asks for, as the API wants it.
function wanted(limit, before) {
  const { door, person, result, since, until } = find("passes-form").elements;
  const asked = { limit, before, device: door.value, credential: person.value.trim(), result: result.value, since: instantText(since.value, 0), until: instantText(until.value, 60_000) };
  return new URLSearchParams(Object.entries(asked).filter(([, value]) => value !== null && value !== ""));
}

// By the clock of the site, wherever the screen is. A minute that somebody has chosen as the end belongs to it.
const instantText = (text, moreMs) => (text ? new Date(instantOf(text) + moreMs).toISOString() : "");

async function load(before) {
  if (before === null) shown = 0;
  say(find("passes-said"), word("passLoading"));
  try {
    const answer = await get(`/api/v1/passes?${wanted(PAGE, before)}`);
    const rows = answer.passes.map(row);
    if (before === null) find("passes-rows").replaceChildren(...rows);
    else find("passes-rows").append(...rows);
    shown += rows.length;
    next = answer.next;
    show(find("passes-more"), next !== null);
    say(find("passes-said"), shown ? "" : word("passNone"));
  } catch (error) {
    say(find("passes-said"), error instanceof Refused ? error.message : word("noAnswer"));
  }
}

const cells = (each) => [`${dayText(Date.parse(each.at))} ${clockText(Date.parse(each.at))}`, whereName(each.place, each.device_title || each.device),
  each.credential, wayName(each.way), directionName(each.direction), passResult(each.result)];

function row(each) {
  const isRefused = each.result !== "" && each.result !== "granted";
  return make("tr", { className: isRefused ? "refused" : "", title: each.device },
    ...cells(each).map((text, place) => make("td", { textContent: (isRefused && place === 5 ? "✖ " : "") + text, attributes: { "data-name": word(HEADS[place]) } })));
}

export const HEADS = ["passAt", "passDoor", "passPerson", "passWay", "passDirection", "passResult"];

// Everything the form asks for, page by page: never half of it under a name that looks whole.
async function saveAll() {
  const lines = [HEADS.map((each) => word(each))];
  let before = null;
  try {
    do {
      const answer = await get(`/api/v1/passes?${wanted(500, before)}`);
      lines.push(...answer.passes.map(cells));
      before = answer.next;
      say(find("passes-said"), word("passSaving", { n: lines.length - 1 }));
    } while (before !== null && lines.length <= MOST_IN_FILE);
  } catch (error) {
    say(find("passes-said"), error instanceof Refused ? error.message : word("noAnswer"));
    return;
  }
  save(`${word("passFile")}-${dayText(Date.now())}.csv`, csv(lines));
  say(find("passes-said"), word(before === null ? "passSaved" : "passSavedPart", { n: lines.length - 1 }));
}
