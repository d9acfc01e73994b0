// What lies at a place: classes, values, and both dates' bands.

import { bandChart } from "./chart.js";
import { drawn, element, iconButton, swatch } from "./dom.js";
import { bandsOf, inUnit, rank } from "./description.js";
import { lonLatText, placeText } from "./lonlat.js";
import { reason } from "./notices.js";
import { value } from "./numbers.js";
import { Raster } from "./raster.js";

const CROSS = ["M6 6l12 12", "M18 6L6 18"];

/** The share of the map's height that the card may cover. */
const TALLEST = 0.7;

/** Pixels of the screen from a point within which a click means it. */
const REACH = 10;

/** The card that shows the last place that was clicked. */
export class PlaceCard {
  #abort = null;

  constructor(page) {
    this.page = page;
    this.body = element("div", { class: "card-body", "aria-live": "polite" });
    this.box = element(
      "section",
      { class: "card", "aria-label": "Values at a place", hidden: true },
      element(
        "div",
        { class: "card-head" },
        element("h2", {}, "This place"),
        iconButton(CROSS, "Close the values at this place", () => this.close()),
      ),
      this.body,
    );
    this.marker = drawn(
      "svg",
      { class: "marker", viewBox: "0 0 24 24", "aria-hidden": "true" },
      drawn("circle", { cx: 12, cy: 12, r: 7, class: "halo" }),
      drawn("circle", { cx: 12, cy: 12, r: 7 }),
    );
    this.place = null;
    page.map.getTargetElement().append(this.marker);
    page.map.on("postrender", () => this.#putMarker());
    page.map.on("singleclick", ({ coordinate }) => {
      if (!page.drawing.drawing) this.show(coordinate);
    });
  }

  close() {
    this.#abort?.abort();
    this.box.hidden = true;
    this.place = null;
    this.#putMarker();
    this.page.map.getTargetElement().focus();
  }

  /** Read every layer at a place, and show what they say. */
  async show(place) {
    this.#abort?.abort();
    this.#abort = new AbortController();
    const { signal } = this.#abort;
    const { description, map, ways } = this.page;
    this.place = place;
    this.#putMarker();
    this.box.hidden = false;
    this.#uncover();
    this.body.replaceChildren(element("p", { class: "note" }, "Reading…"));
    const rasters = description.layers.filter(
      ({ kind }) => !["polygons", "points", "pair"].includes(kind),
    );
    const reads = await Promise.all(
      rasters.map((spec) => valuesAt(spec, place, signal).catch((error) => ({ error }))),
    );
    if (signal.aborted) return;
    const at = new Map(
      rasters.map((spec, k) => [spec, reads[k]]).filter(([, read]) => read !== undefined),
    );
    this.body.replaceChildren(
      element(
        "p",
        { class: "coordinates" },
        placeText(place, map.getView().getResolution(), description.crs),
      ),
      ...(ways && !description.crs.geographic
        ? [element("p", { class: "coordinates" }, lonLatText(ways.toLonLat(place)))]
        : []),
      ...this.#classRows(at),
      ...this.#charts(at),
      ...this.#vectors(place),
    );
  }

  #classRows(at) {
    const rows = [...at]
      .filter(([{ kind }]) => kind !== "image")
      .sort(([one], [other]) => rank(other) - rank(one))
      .map(([spec, read]) =>
        element(
          "div",
          {},
          element("dt", {}, spec.title),
          element("dd", {}, ...described(spec, read)),
        ),
      );
    return rows.length ? [element("dl", {}, ...rows)] : [];
  }

  #charts(at) {
    const images = [...at].filter(([{ kind }, read]) => kind === "image" && read?.values);
    if (!images.length) return [];
    const lines = images.map(([spec, read]) => ({
      title: this.page.description.dates[spec.date] ?? spec.title,
      bands: bandsOf(spec).map(([, name]) => name),
      values: read.values,
    }));
    return [bandChart(lines)];
  }

  #vectors(place) {
    const reach = REACH * this.page.map.getView().getResolution();
    return this.page.layers
      .filter(({ ol, spec }) => ol?.getVisible() && ["polygons", "points"].includes(spec.kind))
      .flatMap(({ ol, spec }) =>
        featuresAt(ol.getSource(), spec.kind, place, reach).flatMap((feature) => {
          const rows = Object.entries(feature.getProperties()).filter(
            ([, held]) => held !== null && typeof held !== "object",
          );
          return [
            element("h3", {}, spec.title),
            element(
              "dl",
              {},
              ...rows.map(([key, held]) =>
                element("div", {}, element("dt", {}, key), element("dd", {}, String(held))),
              ),
            ),
          ];
        }),
      );
  }

  /** Move the map where the card would lie over the place. */
  #uncover() {
    const { map } = this.page;
    map.renderSync(); // the view may have moved since it was drawn
    const [x, y] = map.getPixelFromCoordinate(this.place);
    const [width, height] = map.getSize();
    const card = this.box.getBoundingClientRect();
    const { left } = map.getTargetElement().getBoundingClientRect();
    if (x < card.left - left || x > card.right - left || y > TALLEST * height) return;
    const isWide = card.width > width / 2;
    const free = isWide ? [x, (height * (1 + TALLEST)) / 2] : [(card.left - left) / 2, y];
    map
      .getView()
      .setCenter(map.getCoordinateFromPixel([width / 2 + x - free[0], height / 2 + y - free[1]]));
  }

  #putMarker() {
    const pixel = this.place && this.page.map.getPixelFromCoordinate(this.place);
    this.marker.classList.toggle("there", Boolean(pixel));
    if (pixel) this.marker.style.transform = `translate(${pixel[0] - 12}px, ${pixel[1] - 12}px)`;
  }
}

/** Polygons around a place, or the point that is nearest to it. */
function featuresAt(source, kind, place, reach) {
  if (kind === "polygons") return source.getFeaturesAtCoordinate(place);
  const nearest = source.getClosestFeatureToCoordinate(place);
  const [x, y] = nearest?.getGeometry().getClosestPoint(place) ?? [Infinity, Infinity];
  return Math.hypot(x - place[0], y - place[1]) <= reach ? [nearest] : [];
}

/** Values of all bands at a place: null where there is no data, undefined outside the raster. */
async function valuesAt(spec, [x, y], signal) {
  const {
    width,
    height,
    transform: [a, , left, , e, top],
  } = spec.grid;
  const raster = await Raster.open(spec);
  // a copy with fewer pixels beside the page covers the same ground
  const level = raster.levels[0];
  const column = Math.floor((((x - left) / a) * level.width) / width);
  const row = Math.floor((((y - top) / e) * level.height) / height);
  if (column < 0 || row < 0 || column >= level.width || row >= level.height) return undefined;
  const bands = spec.kind === "image" ? bandsOf(spec).map(([band]) => band) : [1];
  const read = await raster.read(0, [column, row, column + 1, row + 1], bands, signal);
  return read.valid[0]
    ? { values: read.bands.map((held, k) => inUnit(spec, bands[k], held[0])) }
    : null;
}

function described(spec, read) {
  if (read?.error) return [`can't be read: ${reason(read.error)}`];
  if (!read) return ["no data"];
  const [code] = read.values;
  if (spec.kind === "values") return [value(code)];
  const known = spec.classes.find((each) => each.value === code);
  return known ? [swatch(known.colour), known.name] : [`code ${code}, which no class has`];
}
