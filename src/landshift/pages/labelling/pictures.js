// Pictures of a unit where the maps weren't built with the package: close and with what lies around
// it, in the bands of one or two combinations. It does what `LinkedMaps` of web/ does.
"use strict";

const ZOOMS = { close: "close", context: "around it" };
const UNITS_KEPT = 6; // units whose pictures are kept
const UNKNOWN = { outside: "Outside the image", nothing: "No data in the image here" };

function drawn(name, attributes) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}

class UnitPictures {
  constructor(asked, target, ask, note) {
    Object.assign(this, { asked, target, ask, note });
    this.loaded = new Map(); // unit -> promises of its pictures
    this.shapes = null; // width and height of each frame's picture, the shorter one 100
    this.unit = null;
    this.resizing = undefined; // waits for the end of a change of the window's size
    target.classList.add("pictures");
    for (const date of asked.dates) target.append(this.section(date));
    const alone = asked.dates.length === 1 && one_picture(asked.dates[0]);
    target.classList.toggle("alone", alone); // close and wide side by side
    new ResizeObserver(() => {
      clearTimeout(this.resizing);
      this.resizing = setTimeout(() => this.on_resize(), 250);
    }).observe(target);
  }

  section(date) {
    const places = make("div");
    for (const zoom of this.asked.zooms) {
      for (const [which, bands] of Object.entries(date.pictures)) {
        places.append(make("figure", {},
          make("div", { class: "frame", id: `${date.name}-${zoom}-${which}` }),
          make("figcaption", { "data-zoom": zoom, "data-bands": bands }, `0.00 km across, ${bands}`)));
      }
    }
    const title = make("h3", {}, `${capital(date.name)} `, make("span", {}, date.files.join(", ")));
    const kinds = one_picture(date) ? "date one" : "date";
    return make("section", { class: kinds, "aria-label": date.name }, title, places);
  }

  async show(unit, its) {
    this.unit = unit;
    this.its = its;
    const found = this.load(unit);
    for (const frame of this.frames()) {
      const { zoom, bands } = frame.nextSibling.dataset;
      const [width, height] = this.shapes.get(frame.id);
      const metres = its.frames[zoom].metres * Math.max(width / height, 1);
      frame.nextSibling.textContent = `${distance(metres)}, ${bands}`;
      frame.replaceChildren();
    }
    this.note(false);
    await Promise.all([...found].map(([place, coming]) => this.fill(unit, place, coming)));
    if (unit !== this.unit || this.loaded.get(unit) !== found) return;
    if (its.next !== null) this.load(its.next);
  }

  showOutline(is_shown) {
    this.target.classList.toggle("bare", !is_shown);
  }

  key() { // pictures have no keys
    return false;
  }

  frames() {
    return [...this.target.querySelectorAll(".frame")];
  }

  load(unit) {
    const found = this.loaded.get(unit) ?? this.pictures_of(unit);
    this.loaded.delete(unit); // the last asked for comes last
    this.loaded.set(unit, found);
    for (const old of [...this.loaded.keys()].slice(0, -UNITS_KEPT)) {
      if (old !== this.unit) this.drop(old);
    }
    return found;
  }

  pictures_of(unit) {
    const found = new Map();
    this.shapes ??= this.measured();
    for (const zoom of this.asked.zooms) {
      for (const date of this.asked.dates) {
        for (const which of Object.keys(date.pictures)) {
          const place = `${date.name}-${zoom}-${which}`;
          const coming = this.picture(unit, date, zoom, which, this.shapes.get(place));
          coming.catch(() => {}); // told where it is shown
          found.set(place, coming);
        }
      }
    }
    return found;
  }

  async picture(unit, date, zoom, which, shape) {
    const reply = await this.ask(`pictures/${unit}/${date.name}/${zoom}/${which}/${shape.join("x")}`);
    const address = URL.createObjectURL(await reply.blob());
    const image = new Image();
    image.alt = `Unit ${unit} ${date.name}, ${ZOOMS[zoom]}, ${date.pictures[which]}`;
    image.src = address;
    await image.decode();
    return { image, address, seen: reply.headers.get("Landshift-Seen") };
  }

  drop(unit) {
    for (const coming of this.loaded.get(unit).values()) {
      coming.then(({ address }) => URL.revokeObjectURL(address)).catch(() => {});
    }
    this.loaded.delete(unit);
  }

  measured() {
    return new Map(this.frames().map((frame) => {
      const { width, height } = frame.getBoundingClientRect();
      const { longest } = this.asked;
      const ratio = Math.min(Math.max(width / height || 1, 1 / longest), longest);
      const sides = ratio > 1 ? [100 * ratio, 100] : [100, 100 / ratio];
      return [frame.id, sides.map(Math.round)];
    }));
  }

  on_resize() { // small differences are cropped, larger ones need other pictures
    if (this.shapes === null || !this.target.offsetWidth) return;
    const now = this.measured();
    const ratio = ([width, height]) => width / height;
    const change = Math.max(...[...now].map(([place, sides]) =>
      Math.abs(Math.log(ratio(sides) / ratio(this.shapes.get(place))))));
    if (change < 0.08) return;
    for (const unit of [...this.loaded.keys()]) this.drop(unit);
    this.shapes = now;
    this.show(this.unit, this.its);
  }

  async fill(unit, place, coming) {
    const frame = $(place);
    const zoom = place.split("-")[1];
    try {
      const { image, seen } = await coming;
      if (unit !== this.unit) return;
      frame.replaceChildren(image, this.outline(zoom, this.shapes.get(place)));
      if (UNKNOWN[seen]) frame.append(make("p", {}, UNKNOWN[seen]));
      if (seen === "part") this.note(true);
    } catch (error) {
      if (unit === this.unit) frame.replaceChildren(make("p", {}, error.message));
    }
  }

  outline(zoom, [width, height]) { // in sides of the square in the picture's middle
    const { frames } = this.its;
    const short = Math.min(width, height);
    const [w, h] = [width / short, height / short];
    const svg = drawn("svg", { viewBox: `${(1 - w) / 2} ${(1 - h) / 2} ${w} ${h}`,
      preserveAspectRatio: "xMidYMid slice", "aria-hidden": "true" });
    const points = frames[zoom].outline.map(([x, y]) => `${x},${y}`).join(" ");
    if (zoom === "context") { // where the close picture lies
      const side = frames.close.metres / frames.context.metres;
      const [xs, ys] = [0, 1].map((k) => frames.context.outline.map((p) => p[k]));
      const middle = (v) => (Math.min(...v) + Math.max(...v)) / 2;
      for (const line of ["outer dashed", "inner dashed"]) {
        svg.append(drawn("rect", { x: middle(xs) - side / 2, y: middle(ys) - side / 2,
          width: side, height: side, class: line }));
      }
    }
    for (const line of ["outer", "inner"]) svg.append(drawn("polygon", { points, class: line }));
    return svg;
  }
}

const one_picture = (date) => Object.keys(date.pictures).length === 1;

function distance(metres) {
  const [value, unit] = metres < 1000 ? [metres, "m"] : [metres / 1000, "km"];
  return `${Number(value.toPrecision(3))} ${unit} across`;
}
