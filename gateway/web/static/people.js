// Accounts: a supervisor gives everybody an own name, so that the records say who did it.

import { Refused, post } from "./api.js";
import { find, make, say, show } from "./dom.js";
import { word } from "./words.js";

const ROLES = ["duty", "supervisor", "installer"];

export function drawPeople(role) {
  const form = find("people");
  const { value } = form.elements.role;
  form.elements.role.replaceChildren(...ROLES.map((each) => make("option", { value: each, textContent: word(each) })));
  form.elements.role.value = value || "duty";
  show(form, role === "supervisor");
}

export function listenPeople() {
  const form = find("people");
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const { name, role, password } = form.elements;
    try {
      await post("/api/v1/users", { name: name.value, role: role.value, password: password.value });
      say(find("people-said"), word("personAdded", { name: name.value }));
      name.value = "";
      password.value = "";
    } catch (failure) {
      const why = failure.body?.errors?.map((each) => each.why).join(" ") || "";
      say(find("people-said"), failure instanceof Refused ? `${failure.message} ${why}` : word("noAnswer"));
    }
  });
}
