// The clouds in the system section: state, what waits, how fast; rows a platform has refused, and sending one again.

import { get, post } from "./api.js";
import { make } from "./dom.js";
import { clockText, word } from "./words.js";

const SHOWN = 20;
const asked = new Set(); // letters that the bridge was asked to send again

export async function readUplinks() {
  const { uplinks, may_retry: mayRetry } = await get("/api/v1/uplinks");
  const letters = await Promise.all(uplinks.map((each) => (each.dead_letters
    ? get(`/api/v1/uplinks/${encodeURIComponent(each.id)}/letters`).then((answer) => answer.letters) : [])));
  return { uplinks, mayRetry, letters: letters.flat() };
}

export function uplinkRow(each) {
  const waiting = Object.values(each.waiting).reduce((sum, n) => sum + n, 0);
  const parts = [word(`uplink_${each.state}`), word("backlogLong", { n: waiting })];
  if (each.oldest_waiting && waiting) parts.push(word("uplinkOldest", { at: clockText(Date.parse(each.oldest_waiting), true) }));
  if (each.rows_per_s) parts.push(word("uplinkRate", { n: each.rows_per_s.toFixed(each.rows_per_s < 10 ? 1 : 0) }));
  if (each.dead_letters) parts.push(word("uplinkRefused", { n: each.dead_letters }));
  if (each.error) parts.push(each.error);
  return [`${each.id} (${each.type})`, parts.join(" · ")];
}

export function lettersTable({ letters, mayRetry }) {
  if (!letters.length) return "";
  const rows = letters.slice(0, SHOWN).map((each) => make("tr", {},
    make("th", { scope: "row", textContent: `${each.uplink} ${each.id}` }),
    make("td", { textContent: each.reason }),
    make("td", {}, mayRetry ? retryButton(each) : "")));
  return make("table", { id: "dead-letters" },
    make("caption", { textContent: word("deadLetters") }), make("tbody", {}, ...rows));
}

function retryButton(letter) {
  const button = make("button", { type: "button", textContent: word("retryLetter"), disabled: asked.has(letter.id) });
  button.addEventListener("click", async () => {
    button.disabled = true;
    try {
      await post(`/api/v1/uplinks/${encodeURIComponent(letter.uplink)}/letters/${letter.id}/retry`);
      asked.add(letter.id);
      button.textContent = word("retryAsked");
    } catch (error) {
      button.disabled = false;
      button.title = error.message;
    }
  });
  return button;
}
