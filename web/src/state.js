// What the user has chosen, and who wants to know.

import { sameGrid } from "./description.js";

/**
 * The state of the page: what is shown, how, and where.
 * Change it by `change`, so that every part of the page follows.
 */
export class State {
  #listeners = new Set();

  constructor(description) {
    const images = description.layers.filter(({ kind }) => kind === "image");
    const shown = [...latest(images), ...mainMaps(description)];
    const isOn = (spec) =>
      spec.on ?? (shown.length ? shown.includes(spec) : spec === description.layers[0]);
    /** By id: whether it is on, and how it is shown. */
    this.layers = Object.fromEntries(
      description.layers.map((spec) => [spec.id, initial(spec, isOn(spec), images.length > 0)]),
    );
    /** Layers left and right of the divider, and its place from 0 to 1. */
    this.swipe = { on: false, left: null, right: null, at: 0.5 };
    /** Whether classes have colours that colour-blind readers can tell apart. */
    this.safeColours = false;
    this.blinking = false;
  }

  /** Change something and tell everyone. */
  change(action) {
    action(this);
    for (const listener of this.#listeners) listener(this);
  }

  /** Call `listener` now and after every change. */
  follow(listener) {
    this.#listeners.add(listener);
    listener(this);
  }
}

/** The images of the last date. */
function latest(images) {
  const last = [...images].sort((one, other) => (one.date ?? -1) - (other.date ?? -1)).at(-1);
  return oneForEachGrid(
    images.filter((image) => image === last || (image.date !== null && image.date === last.date)),
  );
}

/** The class maps that the page is about. */
function mainMaps({ layers }) {
  const maps = ["change", "after", "classes", "reference"]
    .map((role) => layers.filter((layer) => layer.kind === "classes" && layer.role === role))
    .find((found) => found.length);
  return oneForEachGrid(maps ?? []);
}

/** Layers beside each other; of those that would cover each other, the first. */
function oneForEachGrid(layers) {
  return layers.filter(
    (layer, k) => !layers.slice(0, k).some((other) => sameGrid(other.grid, layer.grid)),
  );
}

/** Over an image, a change map shows the changes alone. */
function unchanged({ classes }) {
  const stays = classes.filter((known) => known.stays);
  return stays.length < classes.length ? stays.map(({ value }) => value) : [];
}

function initial(spec, on, overImages) {
  const common = { on, opacity: 1 };
  if (spec.kind === "image") {
    return { ...common, bands: [...spec.rgb], stretch: spec.stretch.map((pair) => [...pair]) };
  }
  if (spec.kind === "classes")
    return {
      ...common,
      off: new Set(overImages ? unchanged(spec) : []),
      from: "",
      to: "",
      faded: false,
    };
  if (spec.kind === "pair")
    return { ...common, off: new Set(), from: "", to: "", unchanged: false };
  return common;
}

/** Which classes of a layer are shown: those that are on and pass the filter from-to. */
export function shownClasses(spec, { off, from, to }) {
  return spec.classes.map(
    (known) =>
      !off.has(known.value) &&
      (spec.kind === "pair"
        ? !to || known.name === to
        : (!from || known.from === from) && (!to || known.to === to)),
  );
}
