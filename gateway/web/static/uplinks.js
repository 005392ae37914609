// The clouds in the system section: state, what waits, how fast; rows a platform has refused, and sending one again.

import { get, post } from "./api.js";
import { make } from "./dom.js";
import { clockText, language, spanWords, word } from "./words.js";

const SHOWN = 20;
const SOON_DAYS = 30; // as the lamp
const asked = new Set(); // letters that the bridge was asked to send again

export async function readUplinks() {
  const { uplinks, may_retry: mayRetry } = await get("/api/v1/uplinks");
  const letters = await Promise.all(uplinks.map((each) => (each.dead_letters
    ? get(`/api/v1/uplinks/${encodeURIComponent(each.id)}/letters`).then((answer) => answer.letters) : [])));
  return { uplinks, mayRetry, letters: letters.flat() };
}

// By state: what the row says, and whether it is good.
const STATES = {
  up: ["已连", "connected", "good"],
  down: ["连不上", "down", "bad"],
  connecting: ["正在连", "connecting", "idle"],
  stopped: ["已停", "stopped", "idle"],
  silent: ["云桥没有在运行", "the bridge is not running", "bad"],
};
const KINDS = { mqtt: "MQTT", influxdb: ["时序库", "time series"], thingsboard: "ThingsBoard", sparkplug: "Sparkplug B" };

const say = (zh, en) => (language() === "en" ? en : zh);
const said = (both) => say(both.zh, both.en);
const ago = (at, now) => say(`${spanWords((now - Date.parse(at)) / 1000)}前`, `${spanWords((now - Date.parse(at)) / 1000)} ago`);

// The clouds: one row each, in sentences; what to do stands first where something is wrong.
export function uplinksTable(status, uplinks, now) {
  const rows = uplinks.map((each) => uplinkRow(each, status.uplinks[each.id]?.certificate_until, now));
  if (!rows.length) rows.push(row(word("noLoss"), []));
  if (status.saved) rows.push(row(word("savedName"), [line(word("saved", { n: many(status.saved) }))]));
  return make("table", { id: "clouds" }, make("caption", { textContent: word("cloud") }), make("tbody", {}, ...rows));
}

function uplinkRow(each, certificateUntil, now) {
  const [zh, en, look] = STATES[each.state];
  const since = each.state === "down" && each.since ? ` ${spanWords((now - Date.parse(each.since)) / 1000)}` : "";
  const lines = [make("p", {}, make("b", { className: `state ${look}`, textContent: say(zh, en) + since }))];
  if (each.error && each.state !== "silent") lines.push(line(said(each.advice), "advice"), line(each.error, "raw"));
  if (each.state === "silent") lines.push(line(say("请安装维护人员看网关的日志,启动云桥", "Have the log looked at and the bridge started"), "advice")); // what it said last is no longer so
  lines.push(line(waitingText(each, now)));
  if (each.dead_letters) lines.push(line(say(`平台拒收 ${each.dead_letters} 条,留在本机`, `${each.dead_letters} refused, kept here`)));
  if (certificateUntil) lines.push(certificateLine(certificateUntil, now));
  const kind = KINDS[each.type] || each.type;
  return row(each.id, lines, Array.isArray(kind) ? say(...kind) : kind);
}

function certificateLine(until, now) {
  const days = Math.floor((Date.parse(until) - now) / 86400000);
  const text = word("certificateUntil", { day: until.slice(0, 10) });
  if (days >= SOON_DAYS) return line(text);
  const left = days < 0 ? say("已过期", "expired") : say(`还有 ${days} 天`, `${days} days left`);
  return line(`${text}${say(`(${left}):请安装维护人员换新的`, ` (${left}): have it replaced`)}`, "bad");
}

function waitingText(each, now) {
  const { alarm = 0, telemetry = 0 } = each.waiting;
  if (!alarm && !telemetry) return say("没有等着送的", "Nothing waits");
  const what = [alarm ? say(`报警 ${many(alarm)} 条`, `${many(alarm)} alarm events`) : "", telemetry ? say(`数据 ${many(telemetry)} 批`, `${many(telemetry)} batches of readings`) : ""].filter(Boolean).join(say("、", ", "));
  const oldest = each.oldest_waiting ? say(`,最早的是 ${ago(each.oldest_waiting, now)}(${clockText(Date.parse(each.oldest_waiting), true)})`, `, the oldest ${ago(each.oldest_waiting, now)} (${clockText(Date.parse(each.oldest_waiting), true)})`) : "";
  const rate = each.rows_per_s && each.state === "up" ? say(`,每秒送 ${each.rows_per_s.toFixed(each.rows_per_s < 10 ? 1 : 0)} 批`, `, ${each.rows_per_s.toFixed(1)} rows/s`) : "";
  const kept = each.state === "up" ? "" : say("。都存在本机,连上后自动补送", ". All kept here, sent by itself later");
  return say("等着送:", "Waiting: ") + what + oldest + rate + kept;
}

const line = (textContent, className = "") => make("p", { className, textContent });
const row = (name, lines, kind = "") => make("tr", {}, make("th", { scope: "row" }, name, make("small", { textContent: kind })), make("td", {}, ...lines));
const many = (count) => count.toLocaleString("en");

export function lettersTable({ letters, mayRetry }) {
  if (!letters.length) return "";
  const rows = letters.slice(0, SHOWN).map((each) => row(
    `${each.uplink} ${say(each.lane === "alarm" ? "报警" : "数据", each.lane)} #${each.id}${each.at_ms ? ` ${clockText(each.at_ms, true)}` : ""}`,
    [line(said(each.advice), "advice"), line(each.reason, "raw"), mayRetry ? retryButton(each) : ""]));
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
