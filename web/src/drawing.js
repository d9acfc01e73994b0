// Polygons that the user draws or loads: their shapes on the map, and what lies in them.

import Feature from "ol/Feature.js";
import Polygon from "ol/geom/Polygon.js";
import Draw from "ol/interaction/Draw.js";
import Modify from "ol/interaction/Modify.js";
import VectorLayer from "ol/layer/Vector.js";
import VectorSource from "ol/source/Vector.js";
import { Circle, Fill, Stroke, Style, Text } from "ol/style.js";

const LINE = "#d4007a";

/** The drawn polygons of a map; `changed` is called after every change. */
export class Drawing {
  #draw = null;

  constructor(map, changed) {
    this.map = map;
    this.changed = changed;
    this.selected = null;
    this.source = new VectorSource({ wrapX: false });
    this.layer = new VectorLayer({
      className: "drawing",
      source: this.source,
      zIndex: 20,
      style: (feature) =>
        styleOf(feature, feature === this.selected, this.polygons.indexOf(feature) + 1),
    });
    map.addLayer(this.layer);
    const modify = new Modify({ source: this.source, style: pointStyle() });
    modify.on("modifyend", ({ features }) => this.select(features.item(0)));
    map.addInteraction(modify);
  }

  /** In the order in which they came. */
  get polygons() {
    return this.source.getFeatures().sort((one, other) => one.getId() - other.getId());
  }

  get drawing() {
    return this.#draw !== null;
  }

  start() {
    if (this.#draw) return;
    this.#draw = new Draw({
      source: this.source,
      type: "Polygon",
      style: drawingStyle(),
      stopClick: true,
    });
    this.#draw.on("drawend", ({ feature }) => {
      this.#adopt(feature, { class: "", date: "" });
      // the click that ends the drawing mustn't be one on the map
      setTimeout(() => {
        this.stop();
        this.select(feature);
      });
    });
    this.map.addInteraction(this.#draw);
    this.changed();
  }

  stop() {
    if (!this.#draw) return;
    this.map.removeInteraction(this.#draw);
    this.#draw.dispose();
    this.#draw = null;
    this.changed();
  }

  /** Add a corner at a place: drawing without a pointer. */
  corner(place) {
    this.#draw?.appendCoordinates([place]);
  }

  removeCorner() {
    this.#draw?.removeLastPoint();
  }

  finish() {
    this.#draw?.finishDrawing();
  }

  add(rings, properties) {
    const feature = new Feature(new Polygon(rings));
    this.#adopt(feature, properties);
    this.source.addFeature(feature);
    return feature;
  }

  #adopt(feature, properties) {
    const last = Math.max(0, ...this.polygons.map((known) => known.getId()));
    feature.setId(last + 1);
    feature.setProperties(properties);
  }

  remove(feature) {
    this.source.removeFeature(feature);
    if (this.selected === feature) this.selected = null;
    this.changed();
  }

  select(feature) {
    this.selected = feature;
    this.layer.changed();
    this.changed();
  }
}

/** The rings of a polygon, closed. */
export function ringsOf(feature) {
  return feature.getGeometry().getCoordinates();
}

function styleOf(feature, isSelected, number) {
  return [
    new Style({
      stroke: new Stroke({ color: "rgba(255, 255, 255, 0.9)", width: isSelected ? 6 : 4 }),
    }),
    new Style({
      stroke: new Stroke({ color: LINE, width: isSelected ? 3 : 2 }),
      fill: new Fill({ color: "rgba(212, 0, 122, 0.06)" }),
      text: new Text({
        text: String(number),
        font: "600 14px system-ui, sans-serif",
        fill: new Fill({ color: "#fff" }),
        stroke: new Stroke({ color: LINE, width: 5 }),
        overflow: true,
      }),
    }),
  ];
}

function pointStyle() {
  return new Style({
    image: new Circle({
      radius: 6,
      fill: new Fill({ color: "#fff" }),
      stroke: new Stroke({ color: LINE, width: 3 }),
    }),
  });
}

function drawingStyle() {
  return [
    new Style({ stroke: new Stroke({ color: "rgba(255, 255, 255, 0.9)", width: 5 }) }),
    new Style({
      stroke: new Stroke({ color: LINE, width: 2.5, lineDash: [6, 4] }),
      fill: new Fill({ color: "rgba(212, 0, 122, 0.08)" }),
      image: pointStyle().getImage(),
    }),
  ];
}
