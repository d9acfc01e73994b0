// What the page has to say, seen and heard.

import { element } from "./dom.js";

/** How long a notice stays, in milliseconds. */
const STAYS = 6000;

/** Why something failed, in the words of what failed first. */
export function reason(error) {
  return error.errors?.[0]?.message ?? error.message;
}

/** A place for notices; each is said once, however often it comes. */
export class Notices {
  #said = new Set();

  constructor() {
    this.box = element("div", { class: "notices", role: "status", "aria-live": "polite" });
  }

  say(text) {
    const note = element("p", {}, text);
    this.box.append(note);
    setTimeout(() => note.remove(), STAYS);
  }

  /** Say what went wrong; it stays until it is closed. */
  warn(text) {
    if (this.#said.has(text)) return;
    this.#said.add(text);
    const note = element("p", { class: "warning" }, text);
    note.append(
      element(
        "button",
        {
          type: "button",
          class: "close",
          "aria-label": "Close the notice",
          on: {
            click: () => {
              note.remove();
              this.#said.delete(text);
            },
          },
        },
        "×",
      ),
    );
    this.box.append(note);
  }
}
