// Pictures that the server draws for views of the maps. Each is asked for once.

/** Pictures kept: what a unit shows in its bands and in the others, the next one and the last three. */
const KEPT = 12;

export class Pictures {
  #coming = new Map(); // address -> what comes of it, the last asked for last
  #wanted = new Map(); // who asks -> the address

  /** @param ask Fetches an address, and throws what the user is told where that fails. */
  constructor(ask) {
    this.ask = ask;
  }

  /**
   * A picture: its bitmap, and how much of the ground it shows; see `Picture` in Python.
   * @param {string} address Where the server draws it.
   * @param {string} who Who shows it: a picture that is still on its way to the same one, and that nobody else wants, is cancelled.
   */
  get(address, who) {
    const earlier = this.#wanted.get(who);
    this.#wanted.set(who, address);
    if (earlier !== undefined && earlier !== address) this.#leave(earlier);
    const found = this.#coming.get(address) ?? this.#fetch(address);
    this.#coming.delete(address);
    this.#coming.set(address, found);
    this.#tidy();
    return found.picture;
  }

  #fetch(address) {
    const controller = new AbortController();
    const found = { controller, isHere: false };
    found.picture = this.ask(address, controller.signal).then(async (reply) => {
      const bitmap = await createImageBitmap(await reply.blob());
      found.isHere = true;
      return { bitmap, seen: reply.headers.get("Landshift-Seen") };
    });
    found.picture.catch(() => {
      if (this.#coming.get(address) === found) this.#coming.delete(address);
    });
    return found;
  }

  #leave(address) {
    const found = this.#coming.get(address);
    if (!found || found.isHere || [...this.#wanted.values()].includes(address)) return;
    this.#coming.delete(address);
    found.controller.abort();
  }

  #tidy() {
    for (const address of [...this.#coming.keys()].slice(0, -KEPT)) {
      if (![...this.#wanted.values()].includes(address)) this.#coming.delete(address);
    }
  }
}
