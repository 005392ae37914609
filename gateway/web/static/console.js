// The duty screen. Each part is in its own file; here they are put together and the clock ticks.

import { get, post } from "./api.js";
import { Aside } from "./aside.js";
import { Bulk } from "./bulk.js";
import { drawCalls, isLate } from "./calls.js";
import { fillIn, find, make, say, show } from "./dom.js";
import { drawEntry, listenEntry } from "./entry.js";
import { List, badgeText, inDutyOrder, isMain, stateText, topUntaken } from "./list.js";
import { drawMarkForm, drawTests, isTest, listenMarks } from "./marks.js";
import { drawPasses, listenPasses } from "./passes.js";
import { Panel } from "./panel.js";
import { drawPeople, listenPeople } from "./people.js";
import { Sound } from "./sound.js";
import { Stream } from "./stream.js";
import { chooseDevices, drawSystem } from "./system.js";
import { CLASSES } from "./names.js";
import { classIcon, className, clockText, language, markName, reasonName, spanText, speak, spotName, word } from "./words.js";

const DRAW_EVERY_MS = 100;

let session = {};
let selected = "";
let lastState = "connecting";
let pending = 0; // the timer of the next drawing
let drawnAt = 0;

const sound = new Sound();
const stream = new Stream(onChange, () => enter());
const membersOf = (id) => [...stream.alarms.values()].filter((each) => each.suppressed_by === id);
const panel = new Panel(() => select(""), isFresh, membersOf);
const list = new List((id) => select(id), take);
const bulk = new Bulk(isFresh, () => panel.follow(), () => list.pushed());
const aside = new Aside((id) => select(id), (alarm) => { select(alarm.id); panel.go("unshelve", {}, word("unshelve"), alarm); });

function isFresh() {
  return stream.state() === "fresh";
}

async function enter() {
  session = await get("/api/v1/session");
  speak(localStorage.getItem("language") || session.language, session.timezone);
  const isIn = Boolean(session.user);
  show(find("entry"), !isIn);
  show(find("console"), isIn);
  document.body.dataset.view = isIn ? "console" : "entry";
  if (isIn) {
    stream.startedAt = stream.moment();
    stream.proof = null;
    stream.open();
    redraw();
  } else {
    stream.close();
    sound.stop();
    drawEntry(session);
  }
}

function onChange(kind, details) {
  if (kind === "snapshot" && details.wasStale && details.came + details.went) {
    say(find("news-bar").firstElementChild, word("news", details));
    show(find("news-bar"), true);
  }
  for (const alarm of (details.fresh || []).filter(isMain)) say(find("announce"), `${badgeText(alarm)} ${spotName(alarm)}`);
  if (kind === "snapshot" || kind === "change") drawSoon();
  if (kind === "beat") drawCounts();
  if (kind === "fresh") drawFreshness();
}

// At once; in a flood ten times a second, so that a page of thousands still answers to a click.
function drawSoon() {
  if (pending) return;
  pending = setTimeout(drawAlarms, Math.max(0, drawnAt + DRAW_EVERY_MS - performance.now()));
}

function drawAlarms() {
  clearTimeout(pending);
  pending = 0;
  drawnAt = performance.now();
  drawCalls(inDutyOrder([...stream.alarms.values()].filter(isLate)), session.title, select); // first: rows leave out what a card says
  const ordered = list.draw(stream.alarms.values(), selected);
  const alarm = stream.alarms.get(selected);
  if (alarm || !selected) panel.open(alarm || null);
  else showEnded();
  drawFirst(ordered);
  drawTests([...stream.marks.values()], stream.now());
  aside.draw(list.all, [...stream.marks.values()]);
  bulk.draw(list.all, session.role);
  drawCounts();
  list.tick(stream.now());
  panel.tick(stream.now());
  panel.follow();
  followSound();
}

// The alarm in the panel has ended: say so, and keep its words in view.
async function showEnded() {
  if (!panel.alarm?.is_open) return;
  try {
    const { alarm } = await get(`/api/v1/alarms/${panel.alarm.key}`);
    if (selected === alarm.id) panel.open(alarm);
  } catch {
    select("");
  }
}

function drawFirst(ordered) {
  const fires = ordered.filter((each) => each.class === "fire").sort((a, b) => isTest(a) - isTest(b) || a.raised_at.localeCompare(b.raised_at));
  const first = fires[0];
  show(find("first"), Boolean(first));
  if (!first) return;
  find("first").className = isTest(first) ? "test" : "";
  fillIn(find("first"), [first.id, first.version, language()], () => [make("button", { type: "button", on: { click: () => select(first.id) } },
    make("b", { textContent: [...first.marks.map(markName), word("firstFire")].join(" ") }), first.is_confirmed ? make("b", { textContent: word("fireConfirmed") }) : "", make("time", { textContent: clockText(Date.parse(first.raised_at)) }),
    make("strong", { textContent: spotName(first) }), make("span", { textContent: first.title }), make("span", { textContent: stateText(first) }))]);
}

function drawCounts() {
  const { counts } = stream;
  if (pending) drawAlarms(); // the numbers are those of the rows at every instant
  else if (counts) drawTotals(counts);
}

function drawTotals(counts) {
  const shown = Object.fromEntries(Object.keys(CLASSES).map((name) => [name, 0]));
  const main = [...stream.alarms.values()].filter(isMain);
  for (const alarm of main) shown[alarm.class] += 1;
  fillIn(find("classes"), [shown, language()], () => Object.entries(shown).map(([name, n]) => make("li", { className: `class-${name} ${n ? "some" : "none"}` },
    make("span", { textContent: `${classIcon(name)} ${className(name)}` }), make("b", { textContent: String(n) }))));
  const { total, online, offline, unknown } = counts.devices;
  const chip = (state, n) => make("li", { className: `devices-${state} ${n ? "some" : "none"}` },
    make("button", { type: "button", on: { click: () => { chooseDevices(state); drawSystem(stream.now()); } } }, make("span", { textContent: word(state) }), make("b", { textContent: String(n) })));
  fillIn(find("devices"), [counts.devices, language()], () => [chip("unknown", unknown), chip("offline", offline), chip("online", `${online}/${total}`)]);
  const muted = stream.alarms.size - main.length;
  say(find("quiet"), word(muted ? "quietBut" : "quiet", { total, online, offline, unknown, muted }));
  show(find("quiet"), main.length === 0 && find("waiting").hidden);
}

function drawFreshness() {
  const state = stream.state();
  const age = Math.floor(stream.age());
  const { beat } = stream;
  document.body.dataset.fresh = state;
  lamp("screen", state === "fresh", state === "connecting" ? word("connecting") : word("screen", { n: age }));
  if (beat) {
    const [isCloudGood, cloudText] = cloud(Object.values(beat.uplinks));
    lamp("lines", state === "fresh" ? beat.lines.up === beat.lines.total : null, word("lines", beat.lines));
    lamp("cloud", state === "fresh" ? isCloudGood : null, cloudText);
    const trouble = [...beat.reasons, ...beat.notes];
    say(find("trouble-bar"), trouble.length ? word("trouble", { what: trouble.map(reasonName).join("; ") }) : "");
    show(find("trouble-bar"), trouble.length > 0);
  }
  const isDead = state === "dead";
  const bars = { fresh: "", connecting: word("startBar"), stale: word("staleBar", { n: age }), dead: word("deadBar", { n: age }) };
  say(find("stale-bar"), bars[state]);
  show(find("stale-bar"), state !== "fresh");
  say(find("dead").firstElementChild, isDead && stream.proof ? word("deadText", { at: clockText(stream.proof.wall + stream.offsetMs) }) : "");
  show(find("dead"), isDead && Boolean(stream.proof));
  if (state !== lastState) {
    lastState = state;
    panel.follow();
  }
}

function cloud(uplinks) {
  if (!uplinks.length) return [null, word("cloudNone")];
  const backlog = uplinks.reduce((sum, each) => sum + each.backlog, 0);
  const tail = backlog ? word("backlog", { n: backlog }) : "";
  const down = uplinks.filter((each) => each.is_up === false);
  if (down.length) {
    const since = down.map((each) => each.since).filter(Boolean).sort()[0];
    return [false, word(down.length < uplinks.length ? "cloudPart" : "cloudDown", { down: down.length, all: uplinks.length, since: since ? ` ${spanText((stream.now() - Date.parse(since)) / 1000)}` : "" }) + tail];
  }
  const end = Math.min(...uplinks.map((each) => (each.certificate_until ? Date.parse(each.certificate_until) : Infinity)));
  const days = Math.floor((end - stream.now()) / 86400000);
  if (days < 30) return [false, word(days < 0 ? "certificateOver" : "certificateSoon", { n: days }) + tail];
  return uplinks.every((each) => each.is_up) ? [true, word("cloudUp") + tail] : [null, word("cloudUnknown") + tail];
}

function lamp(name, isGood, text) {
  const element = find(`lamp-${name}`);
  element.className = `lamp ${isGood === null ? "idle" : isGood ? "good" : "bad"}`;
  say(element, text);
}

function select(id) {
  selected = id;
  drawAlarms();
  if (id && window.matchMedia("(max-width: 900px)").matches) find("panel").scrollIntoView({ block: "start" });
}

function take(alarm, isSteady = true) {
  select(alarm.id);
  if (isSteady) panel.go("take", {}, word("take"), alarm);
  else panel.tell(word("drifted"), "refused");
}

function followSound() {
  const isIn = document.body.dataset.view === "console";
  const loud = isIn ? sound.follow([...stream.alarms.values()], stream.state() === "dead") : "";
  show(find("sound-bar"), !sound.isOn);
  const mute = find("mute");
  say(mute, word("mute"));
  mute.title = word("muteHelp");
  mute.className = loud && loud !== "lost" ? "loud" : "";
  const top = topUntaken(stream.alarms.values());
  const title = top ? `(${[...stream.alarms.values()].filter(isMain).length})${[...top.marks.map(markName), className(top.class)].join(" ")} ${top.place}` : session.title || "";
  const isLost = isIn && ["stale", "dead"].includes(stream.state());
  if (document.title !== title || isLost) document.title = isLost ? word("staleTitle") : title;
}

function askSound(isAsking, text) {
  say(find("sound-text"), word(text));
  show(find("sound-on"), !isAsking);
  show(find("sound-heard"), isAsking);
  show(find("sound-not-heard"), isAsking);
}

function redraw() {
  say(find("site"), session.title);
  say(find("person"), session.user);
  askSound(false, "soundOff");
  drawAlarms();
  drawFreshness();
  drawSystem(stream.now());
  drawPeople(session.role);
  drawMarkForm(panel.alarm);
  drawPasses(session.role);
}

function listen() {
  find("sound-on").addEventListener("click", async () => { await sound.unlock(); askSound(true, "soundAsk"); });
  find("sound-heard").addEventListener("click", () => { sound.isHeard = true; followSound(); });
  find("sound-not-heard").addEventListener("click", () => askSound(false, "soundFail"));
  const mute = () => { sound.mute(stream.alarms.values()); followSound(); };
  find("mute").addEventListener("click", mute);
  find("news-bar").lastElementChild.addEventListener("click", () => show(find("news-bar"), false));
  find("logout").addEventListener("click", async () => { await post("/api/v1/logout"); await enter(); });
  find("system").addEventListener("toggle", () => drawSystem(stream.now()));
  find("aside").addEventListener("toggle", () => {
    aside.draw(list.all, [...stream.marks.values()]);
    if (find("aside").open) find("aside").scrollIntoView({ block: "nearest" });
    panel.follow();
  });
  listenMarks(() => panel.alarm);
  for (const each of document.querySelectorAll("button.language")) {
    each.addEventListener("click", () => {
      localStorage.setItem("language", language() === "en" ? "zh" : "en");
      speak(localStorage.getItem("language"), session.timezone);
      if (session.user) { panel.speakAnew(); redraw(); } else drawEntry(session);
    });
  }
  find("keys").checked = localStorage.getItem("keys") !== "off";
  find("keys").addEventListener("change", (event) => localStorage.setItem("keys", event.target.checked ? "on" : "off"));
  document.addEventListener("keydown", (event) => {
    if (!session.user || event.repeat || !find("keys").checked) return;
    const top = topUntaken(stream.alarms.values());
    const keys = { F2: mute, F3: () => top && isFresh() && take(top, list.isSteady(top.id)), Escape: () => select("") };
    if (!keys[event.key]) return;
    event.preventDefault();
    keys[event.key]();
  });
  document.addEventListener("visibilitychange", tick);
  listenEntry(() => session, enter);
  listenPeople();
  listenPasses();
}

function tick() {
  if (!session.user) return;
  stream.watch();
  drawFreshness();
  list.tick(stream.now());
  panel.tick(stream.now());
  drawTests([...stream.marks.values()], stream.now());
  say(find("clock"), clockText(stream.now()));
  followSound();
}

listen();
setInterval(tick, 1000);
setInterval(() => sound.tick(), 200);
setInterval(() => session.user && drawSystem(stream.now()), 10000);
async function start() {
  try {
    await enter();
  } catch {
    setTimeout(start, 2000); // the gateway is not up yet
  }
}
start();
