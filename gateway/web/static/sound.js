// Tones by class: fire, gas, call and fault cannot be mistaken for each other. Locked until somebody has clicked and
// said that they hear it. The gateway's buzzer does not depend on this page.

import { isTest } from "./marks.js";
import { CLASSES } from "./names.js";

// Each pattern: [frequency from, frequency to, start s, length s], repeated every `every` seconds.
export const PATTERNS = {
  fire: { every: 1.2, type: "sawtooth", tones: [[600, 1400, 0, 1.0]] },
  gas: { every: 1.2, type: "square", tones: [[1000, 1000, 0, 0.15], [1000, 1000, 0.3, 0.15], [1000, 1000, 0.6, 0.15]] },
  sos: { every: 2, type: "sine", tones: [[1320, 1320, 0, 0.2], [1050, 1050, 0.25, 0.2], [1320, 1320, 0.5, 0.2], [1050, 1050, 0.75, 0.4]] },
  security: { every: 2, type: "square", tones: [[500, 500, 0, 0.3], [500, 500, 0.5, 0.3]] },
  warning: { every: 5, type: "sine", tones: [[660, 660, 0, 0.4]] },
  supervisory: { every: 4, type: "sine", tones: [[520, 520, 0, 0.25], [660, 660, 0.3, 0.25]] },
  fault: { every: 3, type: "triangle", tones: [[450, 450, 0, 0.6], [600, 600, 0.6, 0.6]] },
};
const LOST = { every: 5, type: "square", tones: [[880, 440, 0, 0.5]] };
const TEST = { every: 9, type: "sine", tones: [[800, 800, 0, 0.5], [1000, 1000, 0.5, 0.5]] };

export class Sound {
  constructor() {
    this.context = null;
    this.isHeard = false;
    this.muted = new Set(); // "<alarm id>@<activation>": a new alarm, or the same one again, is not in it
    this.playing = "";
    this.next = 0;
    this.voices = [];
  }

  get isOn() {
    return this.isHeard && this.context?.state === "running";
  }

  async unlock() {
    this.context ??= new AudioContext();
    await this.context.resume();
    this.start(TEST);
  }

  // Says which class sounds now; silence takes effect at once.
  follow(alarms, isDead) {
    const names = Object.keys(CLASSES);
    const sounding = alarms.filter((each) => each.is_sounding && PATTERNS[each.class]);
    const present = new Set(sounding.map(tag));
    for (const each of this.muted) if (!present.has(each)) this.muted.delete(each);
    const loud = sounding.filter((each) => !this.muted.has(tag(each)));
    loud.sort((a, b) => isTest(a) - isTest(b) || names.indexOf(a.class) - names.indexOf(b.class));
    const wanted = isDead ? "lost" : loud[0]?.class || "";
    if (wanted !== this.playing) {
      this.stop();
      this.playing = wanted;
      this.next = 0;
    }
    this.tick();
    return wanted;
  }

  mute(alarms) {
    for (const each of alarms) if (each.is_sounding) this.muted.add(tag(each));
  }

  // Called several times a second; plays the pattern again when it is due.
  tick() {
    if (!this.isOn || !this.playing || this.context.currentTime < this.next) return;
    const pattern = this.playing === "lost" ? LOST : PATTERNS[this.playing];
    this.start(pattern);
    this.next = this.context.currentTime + pattern.every;
  }

  start(pattern) {
    this.stop();
    const from = this.context.currentTime + 0.02;
    this.voices = pattern.tones.map(([low, high, start, length]) => {
      const oscillator = this.context.createOscillator();
      const gain = this.context.createGain();
      oscillator.type = pattern.type;
      oscillator.frequency.setValueAtTime(low, from + start);
      oscillator.frequency.linearRampToValueAtTime(high, from + start + length);
      gain.gain.setValueAtTime(0.3, from + start);
      gain.gain.setTargetAtTime(0, from + start + length - 0.03, 0.01);
      oscillator.connect(gain).connect(this.context.destination);
      oscillator.start(from + start);
      oscillator.stop(from + start + length + 0.05);
      return oscillator;
    });
  }

  stop() {
    for (const each of this.voices) each.stop();
    this.voices = [];
  }
}

const tag = (alarm) => `${alarm.id}@${alarm.count}`;
