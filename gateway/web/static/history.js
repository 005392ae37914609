// 经过: what people did, and what the gateway did by itself and what became of it.

import { make } from "./dom.js";
import { channelName, clockText, kindName, noticeName, outcomeName, whereName, word } from "./words.js";

export function history(alarm, events, commands, notices) {
  const lines = [...events.map((each) => [each.at, eventLine(each)]), ...commands.map((each) => [each.issued_at, commandLine(each, alarm.place)]),
    ...notices.map((each) => [each.at, noticeLine(each)])];
  return lines.sort(([a], [b]) => Date.parse(a) - Date.parse(b)).map(([, line]) => line);
}

// How many were carried out; the rest, if any, in red: nobody may believe that a door is open because it was told to.
export function summary(commands) {
  if (!commands.length) return [];
  const count = (outcome) => commands.filter((each) => each.outcome === outcome).length;
  const wrong = [...new Set(commands.map((each) => each.outcome))].filter(isWrong).map((each) => `${outcomeName(each)} ${count(each)}`);
  return [word("commandSummary", { done: count("done"), all: commands.length }), wrong.length ? make("b", { className: "wrong", textContent: ` ✖ ${wrong.join(" · ")}` }) : ""];
}

const isWrong = (outcome) => outcome !== null && outcome !== "done";

function eventLine(event) {
  const said = { true: word("real"), false: word("falseAlarm") }[event.data.real] || "";
  const rest = [said, event.data.outcome, event.data.cause, event.data.text, event.data.reason, event.data.until && word("until", { at: clockText(Date.parse(event.data.until), true) })].filter(Boolean).join(" · ");
  return make("li", {}, make("time", { textContent: clockText(Date.parse(event.at)) }), ` ${event.actor.name} `,
    make("b", { textContent: kindName(event.kind) }), rest ? ` · ${rest}` : "");
}

function commandLine(command, here) {
  const became = outcomeName(command.outcome) + (isWrong(command.outcome) && command.detail ? `: ${command.detail}` : "");
  return make("li", { className: isWrong(command.outcome) ? "command wrong" : "command", title: command.point },
    make("time", { textContent: clockText(Date.parse(command.issued_at)) }), " 守望 ",
    make("b", { textContent: actText(command) }), ` ${deviceText(command, here)} · `, make("b", { className: "outcome", textContent: became }));
}

// Accepted is a provider's word, not a person's: nobody may believe that somebody has read it.
function noticeLine(notice) {
  const isFailed = notice.state === "failed";
  const became = noticeName(notice.state) + (isFailed && notice.detail ? `: ${notice.detail}` : "");
  return make("li", { className: isFailed ? "notice wrong" : "notice", title: notice.text },
    make("time", { textContent: clockText(Date.parse(notice.at)) }), " 守望 ",
    make("b", { textContent: word("toldLine", { who: notice.recipient_title || notice.recipient, channel: channelName(notice.channel) }) }), " · ",
    make("b", { className: "outcome", textContent: became }));
}

function actText({ value, socket, unit }) {
  if (typeof value === "boolean") return word(socket ? (value ? "powerOn" : "powerOff") : value ? "switchOn" : "switchOff");
  return word("setTo", { value: `${value} ${unit}`.trim() });
}

// The place only where it is another one than the alarm's.
function deviceText(command, here) {
  const part = command.socket ? word("socket", { n: command.socket }) : command.point_title;
  const title = command.device_title || command.device;
  return [part, command.place === here ? title : whereName(command.place, title, " · ")].filter(Boolean).join(" · ");
}
