// Elements of the page. Every text is set as text: names of classes, files and layers come from
// files, and none of them is ever read as markup.

/**
 * An element.
 * @param {string} name Tag.
 * @param {object} attributes Attributes; `on` holds listeners, `class`, `hidden` and properties as they are.
 * @param {...(Node|string|null)} children What lies in it; strings become text.
 */
export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key === "on") {
      for (const [event, listener] of Object.entries(value)) made.addEventListener(event, listener);
    } else if (key in made && typeof value !== "string") made[key] = value;
    else made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

/** An element of a drawing. */
export function drawn(name, attributes = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, String(value));
  made.append(...children);
  return made;
}

export function button(text, action, attributes = {}) {
  return element("button", { type: "button", ...attributes, on: { click: action } }, text);
}

/** A button that shows an icon and says its name to screen readers and as a tooltip. */
export function iconButton(icon, label, action, attributes = {}) {
  const picture = drawn("svg", { viewBox: "0 0 24 24", "aria-hidden": "true" });
  for (const path of icon) picture.append(drawn("path", { d: path }));
  return element(
    "button",
    {
      type: "button",
      class: "icon",
      "aria-label": label,
      title: label,
      ...attributes,
      on: { click: action },
    },
    picture,
  );
}

export function select(options, chosen, action, attributes = {}) {
  const made = element("select", { ...attributes, on: { change: () => action(made.value) } });
  for (const [value, text] of options) {
    made.append(element("option", { value: String(value) }, text));
  }
  made.value = String(chosen);
  return made;
}

/** A label above a control. */
export function labelled(text, control) {
  control.id ||= freshId();
  return element("div", { class: "field" }, element("label", { for: control.id }, text), control);
}

let numbered = 0;

/** An id that no other element has. */
export function freshId() {
  numbered += 1;
  return `e${numbered}`;
}

/** A small square in the colour of a class. */
export function swatch(colour) {
  const made = element("span", { class: "swatch", "aria-hidden": "true" });
  made.style.backgroundColor = colour;
  return made;
}

/** Give a text to the user as a file. */
export function download(name, content) {
  const address = URL.createObjectURL(content);
  const link = element("a", { href: address, download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}
