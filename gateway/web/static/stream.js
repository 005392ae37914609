// What the gateway tells, and how old it is. An open connection proves nothing: only a heartbeat that repeats the
// revision and the counts of what is on the screen makes it fresh.

import { Refused, get } from "./api.js";

export const STALE_S = 6;
export const DEAD_S = 10;
const RECONNECT_S = 4;

export class Stream {
  constructor(onChange, onLoggedOut) {
    this.onChange = onChange; // (kind, details)
    this.onLoggedOut = onLoggedOut;
    this.alarms = new Map();
    this.marks = new Map();
    this.revision = -1;
    this.counts = null;
    this.beat = null;
    this.offsetMs = 0; // gateway's clock minus ours
    this.source = null;
    this.proof = null; // the last heartbeat that agreed with the screen; a snapshot alone proves nothing
    this.tried = 0;
    this.startedAt = this.moment();
  }

  open() {
    this.close();
    this.tried = performance.now();
    const source = new EventSource("/api/v1/stream");
    this.source = source;
    const on = (name, handler) => source.addEventListener(name, (event) => {
      if (this.source === source) handler.call(this, JSON.parse(event.data));
    });
    on("snapshot", this.takeSnapshot);
    on("change", this.takeChange);
    on("beat", this.takeBeat);
    on("reload", this.open);
    source.addEventListener("error", () => {
      if (this.source === source && source.readyState === EventSource.CLOSED) this.findOutWhy();
    });
  }

  close() {
    if (this.source) this.source.close();
    this.source = null;
  }

  async findOutWhy() {
    try {
      if (!(await get("/api/v1/session")).user) this.onLoggedOut();
    } catch (error) {
      if (!(error instanceof Refused) && !(error instanceof TypeError)) throw error; // else the gateway is away: watch() tries again
    }
  }

  takeSnapshot(body) {
    const before = this.alarms;
    const isFirst = this.revision < 0;
    this.alarms = new Map(body.alarms.map((each) => [each.id, each]));
    this.marks = new Map(body.marks.map((each) => [markKey(each), each]));
    this.revision = body.revision;
    this.counts = body.counts;
    const came = body.alarms.filter((each) => !before.has(each.id)).length;
    const went = [...before.keys()].filter((id) => !this.alarms.has(id)).length;
    this.onChange("snapshot", { came: isFirst ? 0 : came, went, wasStale: this.age() > STALE_S });
  }

  takeChange(body) {
    if (body.revision !== this.revision + 1) {
      this.open();
      return;
    }
    this.revision = body.revision;
    const fresh = [];
    for (const alarm of body.alarms) {
      if (!this.alarms.has(alarm.id) && alarm.is_open) fresh.push(alarm);
      if (alarm.is_open) this.alarms.set(alarm.id, alarm);
      else this.alarms.delete(alarm.id);
    }
    for (const mark of body.marks) {
      if (mark.is_set) this.marks.set(markKey(mark), mark);
      else this.marks.delete(markKey(mark));
    }
    this.onChange("change", { fresh, changed: body.alarms });
  }

  takeBeat(body) {
    this.beat = body;
    this.counts = body.counts;
    this.offsetMs = Date.parse(body.at) - Date.now();
    if (this.isInStep(body)) this.prove();
    else if (performance.now() - this.tried > RECONNECT_S * 1000) this.open();
    this.onChange("beat", {});
  }

  // The revision and the number of alarms of each class, and of marks, must be what is shown.
  isInStep(body) {
    if (body.revision !== this.revision || body.counts.marks !== this.marks.size) return false;
    const mine = {};
    for (const alarm of this.alarms.values()) mine[alarm.class] = (mine[alarm.class] || 0) + 1;
    return Object.entries(body.counts.by_class).every(([name, n]) => n === (mine[name] || 0));
  }

  // Two clocks: one stops while the machine sleeps, the other may be set. The older answer counts.
  moment() {
    return { steady: performance.now(), wall: Date.now() };
  }

  prove() {
    this.proof = this.moment();
    this.onChange("fresh", {});
  }

  age() {
    const since = this.proof || this.startedAt;
    return Math.max(performance.now() - since.steady, Date.now() - since.wall, 0) / 1000;
  }

  state() {
    const age = this.age();
    if (age > DEAD_S) return "dead";
    if (age > STALE_S) return "stale";
    return this.proof ? "fresh" : "connecting";
  }

  // Called every second: a connection that looks open but is silent is opened anew.
  watch() {
    const isSilent = this.age() > STALE_S || this.source?.readyState === EventSource.CLOSED;
    if (isSilent && performance.now() - this.tried > RECONNECT_S * 1000) this.open();
  }

  now() {
    return Date.now() + this.offsetMs;
  }
}

const markKey = ({ mark, scope, key }) => `${mark}|${scope}|${key}`;
