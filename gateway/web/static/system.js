// The system section: lines, clouds, what was refused or lost, devices that cannot be heard, the last records.

import { Refused, get } from "./api.js";
import { find, make } from "./dom.js";
import { lossName, lossTitle } from "./losses.js";
import { lettersTable, readUplinks, uplinksTable } from "./uplinks.js";
import { className, clockText, spotName, whereName, word } from "./words.js";

let chosen = "";

export function chooseDevices(state) {
  chosen = state;
  find("system").open = true;
  find("system").scrollIntoView();
}

export async function drawSystem(now = Date.now()) {
  if (!find("system").open) return;
  try {
    const [status, clouds, records, devices] = await Promise.all([
      get("/api/v1/status"), readUplinks(), get("/api/v1/records?limit=10"), chosen ? get(`/api/v1/devices?state=${chosen}&limit=200`) : null]);
    find("system-body").replaceChildren(
      ...(devices ? deviceList(devices) : []),
      table(word("bus"), Object.entries(status.buses).map(([id, isUp]) => [id, upText(isUp)])),
      uplinksTable(status, clouds.uplinks, now),
      lettersTable(clouds),
      table(word("loss"), status.drops.map((each) => [lossName(each), String(each.count), lossTitle(each)])),
      table(word("records"), records.records.map((each) => [
        `${clockText(Date.parse(each.raised_at), true)} ${className(each.class)} ${spotName(each)} ${each.title}`, [each.outcome, each.cause].filter(Boolean).join(" · ")])),
      make("p", { textContent: word("version", { v: status.version, gateway: status.gateway }) }));
  } catch (error) {
    if (!(error instanceof Refused) && !(error instanceof TypeError)) throw error; // else the freshness bar says it
  }
}

function deviceList(answer) {
  const rows = answer.devices.map((each) => [whereName(each.place, each.title), [each.reason, each.since && clockText(Date.parse(each.since), true)].filter(Boolean).join(" · ") || each.bus]);
  return [
    table(word("devicesOf", { state: word(chosen) }), rows),
    answer.next ? make("p", { textContent: word("more", { n: answer.total }) }) : "",
  ];
}

const upText = (isUp) => word(isUp === null ? "untried" : isUp ? "up" : "down");

function table(title, rows) {
  const body = rows.length ? rows : [[word("noLoss"), ""]];
  return make("table", {}, make("caption", { textContent: title }),
    make("tbody", {}, ...body.map(([name, value, tip = ""]) => make("tr", { title: tip }, make("th", { textContent: name, scope: "row" }), make("td", { textContent: value })))));
}
