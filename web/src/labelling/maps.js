// The maps of the labelling page: a unit on both dates, side by side, moved and zoomed together.
// The server draws a picture for each view, so that every image works, whatever its format and CRS.

import Feature from "ol/Feature.js";
import OlMap from "ol/Map.js";
import View from "ol/View.js";
import Polygon from "ol/geom/Polygon.js";
import { defaults } from "ol/interaction/defaults.js";
import VectorLayer from "ol/layer/Vector.js";
import Projection from "ol/proj/Projection.js";
import VectorSource from "ol/source/Vector.js";
import Circle from "ol/style/Circle.js";
import Stroke from "ol/style/Stroke.js";
import Style from "ol/style/Style.js";
import { scaleBar } from "../corner.js";
import { element, iconButton } from "../dom.js";
import { PictureLayer } from "./picturelayer.js";
import { Pictures } from "./pictures.js";

/** A picture reaches beyond its view, so that moving it a little shows no empty edge. */
const BEYOND = 1.2;

/** Milliseconds without a movement before a picture is asked for. */
const PAUSE = 120;

/** Pixels of the screen across a unit where the user has zoomed in all the way. */
const LARGEST_UNIT = 2000;

/** Pixels across the wide view where the user has zoomed out all the way. */
const SMALLEST_VIEW = 150;

/** Pixels across a unit below which a ring says where it is. */
const SMALLEST_UNIT = 10;

/** Radius of the ring, in pixels. */
const RING = 16;

/** Sides of a unit across the shorter side of a map; 'between' shows the unit and what surrounds it. */
const LEVELS = {
  close: ([close]) => close,
  between: ([close, wide]) => Math.sqrt(close * wide),
  wide: ([, wide]) => wide,
};

/** Share of the view that a key moves it by. */
const STEP = 0.15;

/** Most pixels of a picture along a pixel of the page: finer ones aren't seen. */
const DENSEST = 2;

/** Room for the address of a view, which is rounded. */
const ROUNDING = 1.001;

const CORNERS = ["M4 9V4h5", "M15 4h5v5", "M20 15v5h-5", "M9 20H4v-5"];

const WORDS = { outside: "Outside the image", nothing: "No data in the image here" };

/** A key, and what it does to the maps, see `LinkedMaps`; none of them chooses a class. */
const KEYS = {
  "+": (maps) => maps.zoom(1),
  "=": (maps) => maps.zoom(1), // + without Shift
  "-": (maps) => maps.zoom(-1),
  Home: (maps) => maps.goTo("close"),
  End: (maps) => maps.goTo("wide"),
  "/": (maps) => maps.nextBands(),
};

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };

export class LinkedMaps {
  #level = "between"; // one of LEVELS, or a resolution that the user chose; it outlasts the unit
  #bands = "first";
  #draws = 0;
  #latest = null; // the promise of the latest of them
  #fitted = 0; // the resolution that the level has given
  #waiting; // waits for the end of a movement

  /**
   * @param {object} asked What the page asks; see `Labelling.asked` in Python.
   * @param {HTMLElement} target Where the maps go.
   * @param {Function} ask Fetches an address, until a signal ends it; throws what the user is told.
   * @param {Function} note Is told whether pictures have places without data.
   */
  constructor(asked, target, ask, note) {
    this.asked = asked;
    this.note = note;
    this.pictures = new Pictures(ask);
    this.unit = null;
    this.next = null;
    this.scale = { geographic: false, metres: 1 };
    this.view = new View({
      projection: new Projection({ code: "sides", units: "m", global: false }),
      center: [0, 0],
      resolution: 1,
      minResolution: 1 / LARGEST_UNIT,
      maxResolution: asked.sides[1] / SMALLEST_VIEW,
      smoothResolutionConstraint: false,
      enableRotation: false,
      extent: [-asked.farthest, -asked.farthest, asked.farthest, asked.farthest],
      constrainOnlyCenter: true,
      smoothExtentConstraint: false,
    });
    const panes = element("div", { class: "panes" });
    target.classList.add("maps");
    target.append(this.#toolbar(), panes);
    this.panes = asked.dates.map((date) => this.#pane(date, panes));
    for (const pane of this.panes) this.#point(pane);
    this.view.on(["change:center", "change:resolution"], () => this.#later());
    new ResizeObserver(() => this.#resized()).observe(panes);
  }

  /** Show a unit; the promise is kept when its pictures are there. */
  show(unit, about) {
    if (this.unit !== unit) for (const pane of this.panes) clear(pane);
    this.unit = unit;
    this.next = about.next;
    this.scale.metres = about.ground.metres;
    const { outline } = about.ground;
    for (const { source } of this.panes) {
      source.clear();
      source.addFeature(new Feature(new Polygon([[...outline, outline[0]]])));
    }
    this.#name();
    this.#fit();
    this.view.setCenter([0, 0]);
    this.view.changed(); // the scale bar's metres are those of this unit
    return this.#draw();
  }

  showOutline(isShown) {
    for (const { outline } of this.panes) outline.setVisible(isShown);
  }

  zoom(by) {
    this.view.adjustZoom(by);
  }

  /** Back to the unit: 'close', or 'wide' with what surrounds it. */
  goTo(level) {
    this.#level = level;
    this.view.setCenter([0, 0]);
    this.#fit();
  }

  move(right, up) {
    const step = STEP * Math.min(...this.#size()) * this.view.getResolution();
    this.view.adjustCenter([right * step, up * step]);
  }

  nextBands() {
    this.#showBands(this.#bands === "first" ? "second" : "first");
  }

  /** Act on a key; whether it was one of the maps'. Single keys may be off, but on a map. */
  key(event, isKeyed) {
    const onMap = this.panes.some(({ place }) => place === event.target);
    if (ARROWS[event.key] && (onMap || event.shiftKey)) this.move(...ARROWS[event.key]);
    else if (event.key === "/" && !this.#hasSecond()) return false;
    else if (KEYS[event.key] && (onMap || isKeyed || event.key.length > 1)) KEYS[event.key](this);
    else return false;
    return true;
  }

  #hasSecond() {
    return this.asked.dates.some((date) => date.pictures.second);
  }

  #showBands(bands) {
    this.#bands = bands;
    for (const button of this.bandButtons) {
      button.setAttribute("aria-pressed", String(button.value === bands));
    }
    if (this.unit === null) return;
    this.#name();
    this.#draw();
  }

  #bandsOf(date) {
    return date.pictures[this.#bands] ? this.#bands : "first";
  }

  #toolbar() {
    const { dates } = this.asked;
    const bandButton = (which) => {
      const names = new Set(dates.map((date) => date.pictures[which] ?? date.pictures.first));
      return element(
        "button",
        {
          type: "button",
          value: which,
          "aria-pressed": String(which === this.#bands),
          "aria-keyshortcuts": "/",
          title: "Other bands (/)",
          on: { click: () => this.#showBands(which) },
        },
        capital([...names].join(" | ")),
      );
    };
    this.bandButtons = this.#hasSecond() ? ["first", "second"].map(bandButton) : [];
    const action = (icon, label, key, act) =>
      iconButton(icon, `${label} (${key})`, act, { "aria-keyshortcuts": key });
    const tools = element(
      "div",
      { class: "tools", role: "group", "aria-label": "Maps" },
      this.#hasSecond()
        ? element(
            "div",
            { class: "bands", role: "group", "aria-label": "Bands" },
            ...this.bandButtons,
          )
        : null,
      element(
        "div",
        { class: "zoom", role: "group", "aria-label": "Zoom" },
        action(["M12 5v14", "M5 12h14"], "Zoom in", "+", () => this.zoom(1)),
        action(["M5 12h14"], "Zoom out", "-", () => this.zoom(-1)),
        action(["M8 8h8v8H8z"], "To the unit", "Home", () => this.goTo("close")),
        action([...CORNERS, "M11 11h2v2h-2z"], "Around the unit", "End", () => this.goTo("wide")),
      ),
    );
    // a click leaves the focus where it is, so that Enter goes on saving
    tools.addEventListener("mousedown", (event) => event.preventDefault());
    return tools;
  }

  #pane(date, parent) {
    const place = element("div", { class: "map", id: `map-${date.name}`, tabIndex: 0 });
    place.setAttribute("role", "application");
    const words = element("p", { class: "words", hidden: true });
    const cross = element("div", { class: "cross", hidden: true, "aria-hidden": "true" });
    parent.append(
      element(
        "section",
        { class: "pane", "aria-label": date.name },
        element("h3", {}, `${capital(date.name)} `, element("span", {}, date.files.join(", "))),
        place,
      ),
    );
    const layer = new PictureLayer();
    const source = new VectorSource();
    const outline = new VectorLayer({ source, style: outlineStyle, updateWhileInteracting: true });
    const map = new OlMap({
      target: place,
      controls: [],
      layers: [layer, outline],
      interactions: defaults({ altShiftDragRotate: false, pinchRotate: false, keyboard: false }),
      view: this.view,
    });
    place.append(words, cross, scaleBar({ map, description: { crs: this.scale } }));
    map.on("moveend", () => this.#keep());
    return { date, place, words, cross, layer, source, outline, map, seen: null };
  }

  /** A place under the pointer is marked on the other date. */
  #point(pane) {
    const others = this.panes.filter((other) => other !== pane);
    pane.map.on("pointermove", ({ coordinate, dragging, originalEvent }) => {
      for (const { map, cross } of others) {
        const at = map.getPixelFromCoordinate(coordinate);
        cross.hidden = dragging || !at || originalEvent.pointerType === "touch";
        if (at) cross.style.transform = `translate(${at[0]}px, ${at[1]}px)`;
      }
    });
    pane.place.addEventListener("pointerleave", () => {
      for (const { cross } of others) cross.hidden = true;
    });
  }

  #name() {
    for (const { date, place } of this.panes) {
      const bands = date.pictures[this.#bandsOf(date)];
      place.setAttribute("aria-label", `Unit ${this.unit} ${date.name}, ${bands}`);
    }
  }

  #size() {
    const sizes = this.panes.map(({ map }) => map.getSize() ?? [1, 1]);
    return [0, 1].map((k) => Math.max(1, ...sizes.map((size) => size[k])));
  }

  /** Zoom as the level says: a level with a name follows the size of the maps. */
  #fit() {
    for (const { map } of this.panes) map.updateSize();
    const across = LEVELS[this.#level]?.(this.asked.sides);
    this.view.setResolution(across ? across / Math.min(...this.#size()) : this.#level);
    this.#fitted = this.view.getResolution();
  }

  /** Where the user has zoomed, that is the level. */
  #keep() {
    const resolution = this.view.getResolution();
    if (this.unit === null || resolution === this.#fitted) return;
    this.#level = this.#fitted = resolution;
  }

  #resized() {
    if (this.unit === null) return;
    this.#fit();
    this.#later();
  }

  #later() {
    clearTimeout(this.#waiting);
    this.#waiting = setTimeout(() => this.#draw(), PAUSE);
  }

  #draw() {
    clearTimeout(this.#waiting);
    this.#draws += 1;
    this.#latest = this.#drawAll(this.#draws);
    return this.#latest;
  }

  async #drawAll(run) {
    const { unit } = this;
    const box = this.#box(this.view.getCenter());
    for (const { place } of this.panes) place.setAttribute("aria-busy", "true");
    await Promise.all(this.panes.map((pane) => this.#fill(pane, box, run)));
    if (run !== this.#draws) return this.#latest;
    for (const { place } of this.panes) place.setAttribute("aria-busy", "false");
    this.note(this.panes.some(({ seen }) => seen === "part"));
    this.#fetchAhead(unit, box);
    return undefined;
  }

  async #fill(pane, box, run) {
    const address = this.#address(this.unit, pane.date, this.#bandsOf(pane.date), box);
    try {
      const { bitmap, seen } = await this.pictures.get(address, pane.date.name);
      if (run !== this.#draws) return;
      pane.layer.show({ bitmap, ...box });
      pane.seen = seen;
      tell(pane, WORDS[seen]);
    } catch (error) {
      if (run !== this.#draws) return;
      clear(pane);
      tell(pane, error.message);
    }
  }

  /** Ask for what is probably shown next: the next unit, and this one in its other bands. */
  #fetchAhead(unit, box) {
    const other = this.#bands === "first" ? "second" : "first";
    for (const { date } of this.panes) {
      const ahead = (who, address) => this.pictures.get(address, who).catch(() => {});
      if (this.next !== null) {
        const its = this.#address(this.next, date, this.#bandsOf(date), this.#box([0, 0]));
        ahead(`${date.name}, next unit`, its);
      }
      if (date.pictures[other]) {
        ahead(`${date.name}, other bands`, this.#address(unit, date, other, box));
      }
    }
  }

  /** The ground that a picture around a place shows, as far as the server draws it. */
  #box(centre) {
    const { farthest, most } = this.asked;
    const resolution = this.view.getResolution();
    const [width, height] = this.#size().map((side) => (side * resolution * BEYOND) / 2);
    const within = (value) => Math.min(Math.max(value, -farthest), farthest);
    const [left, right] = [within(centre[0] - width), within(centre[0] + width)];
    const [bottom, top] = [within(centre[1] - height), within(centre[1] + height)];
    const fine = resolution / Math.min(devicePixelRatio, DENSEST);
    const coarse = Math.sqrt(((right - left) * (top - bottom)) / most) * ROUNDING;
    const pixel = Math.max(fine, coarse);
    const columns = Math.max(1, Math.floor((right - left) / pixel));
    const rows = Math.max(1, Math.floor((top - bottom) / pixel));
    return { left, top, pixel, columns, rows };
  }

  #address(unit, date, which, { left, top, pixel, columns, rows }) {
    const place = [left.toFixed(6), top.toFixed(6), pixel.toFixed(9)].join(",");
    return `views/${unit}/${date.name}/${which}/${place}/${columns}x${rows}`;
  }
}

function clear(pane) {
  pane.layer.show(null);
  pane.seen = null;
  tell(pane, null);
}

function tell({ words }, text) {
  words.textContent = text ?? "";
  words.hidden = !text;
}

function capital(text) {
  return text[0].toUpperCase() + text.slice(1);
}

/** White on black, which is seen on every ground; a ring where the unit is too small to see. */
function outlineStyle(feature, resolution) {
  return 1 / resolution < SMALLEST_UNIT ? RINGS : LINES;
}

const STROKES = [
  new Stroke({ color: "#000", width: 4.5 }),
  new Stroke({ color: "#fff", width: 1.8 }),
];
const LINES = STROKES.map((stroke) => new Style({ stroke }));
const RINGS = STROKES.map(
  (stroke) =>
    new Style({
      image: new Circle({ radius: RING, stroke }),
      geometry: (feature) => feature.getGeometry().getInteriorPoint(),
    }),
);
