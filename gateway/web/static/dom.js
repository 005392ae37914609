// Elements from data. Text is only ever set as text: nothing that came over a wire is read as markup.

export const find = (id) => document.getElementById(id);

export function make(tag, options = {}, ...children) {
  const { on = {}, attributes = {}, ...properties } = options;
  const element = Object.assign(document.createElement(tag), properties);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  for (const [name, listener] of Object.entries(on)) element.addEventListener(name, listener);
  element.append(...children.filter((each) => each !== null && each !== undefined && each !== ""));
  return element;
}

// Build the children anew only when they say something else: a button does not go away under a finger.
export function fillIn(element, state, children) {
  const said = JSON.stringify(state);
  if (element.dataset.said === said) return;
  element.dataset.said = said;
  element.replaceChildren(...children());
}

export function show(element, isShown) {
  if (element.hidden === isShown) element.hidden = !isShown;
}

export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
