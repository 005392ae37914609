// Before the console: the first account with the one-time code, or log-in.

import { Refused, post } from "./api.js";
import { find, say, show } from "./dom.js";
import { word } from "./words.js";

export function drawEntry(session) {
  const isSetup = session.needs_setup;
  const form = find("entry");
  say(find("entry-title"), `${session.title} · ${word(isSetup ? "setupTitle" : "loginTitle")}`);
  say(find("entry-help"), isSetup ? word("setupHelp") : "");
  say(find("entry-go"), word(isSetup ? "setupGo" : "loginGo"));
  for (const name of ["code", "again"]) {
    show(find(`${name}-field`), isSetup);
    form.elements[name].required = isSetup;
  }
  form.elements.password.autocomplete = isSetup ? "new-password" : "current-password";
}

export function listenEntry(session, onEntered) {
  const form = find("entry");
  form.noValidate = true;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const { name, password, code, again } = form.elements;
    const isSetup = session().needs_setup;
    const error = isSetup ? problemOf(code.value, name.value, password.value, again.value) : "";
    say(find("entry-error"), error);
    if (error) return;
    const body = { name: name.value, password: password.value };
    find("entry-go").disabled = true;
    try {
      await post(isSetup ? "/api/v1/setup" : "/api/v1/login", isSetup ? { ...body, code: code.value } : body);
      for (const each of [password, again, code]) each.value = "";
      await onEntered();
    } catch (failure) {
      const why = failure.body?.errors?.map((each) => each.why).join(" ") || "";
      say(find("entry-error"), failure instanceof Refused ? `${failure.message} ${why}` : word("noAnswer"));
    } finally {
      find("entry-go").disabled = false;
    }
  });
}

// The gateway looks at the code first and at the password's strength last.
function problemOf(code, name, password, again) {
  if (!code.trim()) return word("needCode");
  if (!name.trim()) return word("needName");
  return password === again ? "" : word("notSame");
}
