// Requests to the gateway. Every POST carries our header; an act is repeated under the same id until it is answered.

import { language } from "./words.js";

const TRIES = 4;
const PATIENCE_MS = 4000;

export class Refused extends Error {
  constructor(status, body) {
    super(body.detail || String(status));
    this.status = status;
    this.body = body;
  }
}

async function ask(path, options = {}) {
  const headers = { "Accept-Language": language() === "en" ? "en" : "zh-CN", "X-Shouwang": "1", ...options.headers };
  const answer = await fetch(path, { ...options, headers, credentials: "same-origin", cache: "no-store" });
  const body = answer.status === 204 ? {} : await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Refused(answer.status, body);
  return body;
}

export const get = (path, signal) => ask(path, { signal });

export function post(path, body = {}, signal) {
  return ask(path, { method: "POST", body: JSON.stringify(body), headers: { "Content-Type": "application/json" }, signal });
}

function newId() {
  return Array.from(crypto.getRandomValues(new Uint8Array(12)), (each) => each.toString(16).padStart(2, "0")).join("");
}

// Do one thing to one alarm.
export function act(alarm, verb, fields, onRetry) {
  return repeat(`/api/v1/alarms/${alarm.key}/${verb}`, { version: alarm.version, ...fields }, onRetry);
}

// Ask for something to be done. Resolves when committed, throws Refused when the gateway says no,
// and another error when nobody knows: the request id makes asking again harmless.
export async function repeat(path, fields, onRetry) {
  const body = { request_id: newId(), ...fields };
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await post(path, body, AbortSignal.timeout(PATIENCE_MS));
    } catch (error) {
      const isAnswer = error instanceof Refused && error.status !== 503;
      if (isAnswer || attempt === TRIES) throw error;
      onRetry();
      await new Promise((resolve) => { setTimeout(resolve, 500 * attempt); });
    }
  }
}
