// The layers of the map: each follows its part of the state.

import GeoJSON from "ol/format/GeoJSON.js";
import VectorLayer from "ol/layer/Vector.js";
import WebGLTileLayer from "ol/layer/WebGLTile.js";
import VectorSource from "ol/source/Vector.js";
import { Circle, Fill, Stroke, Style } from "ol/style.js";
import { fetched, inUnit, rank, sameGrid } from "./description.js";
import { reason } from "./notices.js";
import { Raster } from "./raster.js";
import { shownClasses } from "./state.js";
import { classStyle, coloursOf, imageStyle, pairStyle, rgb, valueStyle } from "./styles.js";
import { cacheSize, tileSource } from "./tiles.js";

/** How opaque a pixel without any confidence still is: its class stays legible. */
const FAINTEST = 0.12;

/** Classes whose places in the legend fit into a byte beside 0, which means none. */
const MOST_OF_BYTE = 254;

const PLAIN = "#7a3db8";

/**
 * A layer on the map.
 * Its pixels are opened when it is first shown; `failed` is told of what goes wrong, in words.
 */
export class MapLayer {
  #kind;
  #opening = null;
  #broken = false;
  #waits = 0;
  #tiles = "";
  #style = "";

  constructor(spec, map, { projection, confidence, failed }) {
    this.spec = spec;
    this.map = map;
    this.projection = projection;
    this.confidence = confidence;
    this.failed = failed;
    this.#kind = KINDS[spec.kind];
    /** The layer of OpenLayers, once it is there. */
    this.ol = null;
    this.clip = null;
  }

  /** Show what the state says. */
  follow(state) {
    const shown = isShown(this.spec, state);
    if (!shown && this.#broken) [this.#opening, this.#broken] = [null, false];
    if (shown) this.#opening ??= this.#open();
    if (this.#opening) this.#showWhenOpen(state);
  }

  /** Whether something is yet to be read before the layer can show what was last asked for. */
  get waiting() {
    return this.#waits > 0;
  }

  async #showWhenOpen(state) {
    this.#waits += 1;
    const opened = await this.#opening;
    if (opened) await this.#kind.also?.(this, opened, state.layers[this.spec.id]);
    this.#waits -= 1;
    if (opened) this.#apply(opened, state);
    else this.map.render();
  }

  async #open() {
    try {
      return await this.#kind.open(this);
    } catch (error) {
      this.#broken = true;
      this.failed(`${this.spec.title} can't be shown: ${reason(error)}`);
      return null;
    }
  }

  #apply(opened, state) {
    const own = state.layers[this.spec.id];
    const style = this.#kind.style?.(this.spec, own, state, opened);
    const tiles = this.#kind.tiles?.(own) ?? "";
    if (!this.ol || tiles !== this.#tiles)
      this.#replace(this.#kind.layer(this, opened, own, style));
    else if (JSON.stringify(style) !== this.#style) restyle(this.ol, style);
    this.#tiles = tiles;
    this.#style = JSON.stringify(style);
    this.ol.setVisible(isShown(this.spec, state));
    this.ol.setOpacity(own.opacity);
    this.map.render();
  }

  #replace(ol) {
    if (this.ol) {
      this.map.removeLayer(this.ol);
      this.ol.dispose();
    }
    this.ol = ol;
    ol.setZIndex(rank(this.spec));
    ol.on("prerender", (event) => this.clip?.before(this, event));
    ol.on("postrender", (event) => this.clip?.after(this, event));
    this.map.addLayer(ol);
  }

  /** A tiled layer that the graphics card colours. */
  tiled(raster, bytesOfPixel, style, source) {
    return new WebGLTileLayer({
      cacheSize: cacheSize(raster, bytesOfPixel),
      style,
      source: tileSource({
        grid: this.spec.grid,
        projection: this.projection,
        failed: (error) =>
          this.failed(`Parts of ${this.spec.title} can't be read: ${reason(error)}`),
        ...source,
      }),
    });
  }
}

/** Numbers are handed to the program that is there; anything else makes another one. */
function restyle(ol, style) {
  if (style.variables) ol.updateStyleVariables(style.variables);
  else ol.setStyle(style);
}

/** Whether a layer is on the map: it is on, or on a side of the divider. */
export function isShown(spec, state) {
  const { swipe } = state;
  return (
    state.layers[spec.id].on || (swipe.on && (swipe.left === spec.id || swipe.right === spec.id))
  );
}

const image = {
  open: ({ spec }) => Raster.open(spec),

  /** What makes other tiles necessary. */
  tiles: ({ bands }) => bands.join(),

  style: (_, { stretch }, __, raster) => imageStyle(stretch, raster.isByte),

  layer(layer, raster, own, style) {
    const Values = raster.isByte ? Uint8Array : Float32Array;
    const opaque = raster.isByte ? 255 : 1;
    return layer.tiled(raster, 4 * Values.BYTES_PER_ELEMENT, style, {
      rasters: [raster],
      bands: [own.bands],
      bandCount: 4,
      encode([{ bands, valid }]) {
        const pixels = new Values(4 * valid.length);
        for (let k = 0; k < valid.length; k += 1) {
          if (!valid[k]) continue;
          for (let band = 0; band < 3; band += 1) pixels[4 * k + band] = bands[band][k];
          pixels[4 * k + 3] = opaque;
        }
        return pixels;
      },
    });
  },
};

const classes = {
  open: async ({ spec }) => ({ raster: await Raster.open(spec), confidence: null }),

  /** The confidence is opened when the map is first faded by it. */
  async also({ spec, confidence, failed }, opened, { faded }) {
    if (!faded || !confidence || !sameGrid(confidence.grid, spec.grid)) return;
    try {
      opened.confidence ??= await Raster.open(confidence);
    } catch (error) {
      failed(`${confidence.title} can't be read: ${reason(error)}`);
    }
  },

  tiles: ({ faded }) => String(faded),

  style: (spec, own, state) =>
    classStyle(coloursOf(spec.classes, state.safeColours), shownClasses(spec, own), own.faded),

  layer(layer, { raster, confidence }, own, style) {
    const place = placeOf(layer.spec.classes);
    const faded = own.faded && confidence;
    // bytes reach the card as shares of 255, which whole numbers beyond a byte are made here
    const isByte = layer.spec.classes.length <= MOST_OF_BYTE;
    const [Places, unit] = isByte ? [Uint8Array, 1] : [Float32Array, 1 / 255];
    return layer.tiled(raster, 2 * Places.BYTES_PER_ELEMENT, style, {
      rasters: faded ? [raster, confidence] : [raster],
      bands: [[1], [1]],
      bandCount: 2,
      encode([codes, sure]) {
        const pixels = new Places(2 * codes.valid.length);
        for (let k = 0; k < codes.valid.length; k += 1) {
          if (!codes.valid[k]) continue;
          pixels[2 * k] = unit * place(codes.bands[0][k]);
          pixels[2 * k + 1] = unit * 255 * (sure ? opacityOf(layer.confidence, sure, k) : 1);
        }
        return pixels;
      },
    });
  },
};

/** How opaque the confidence of a pixel makes it, from 0 to 1. */
function opacityOf(spec, { bands, valid }, k) {
  if (!valid[k]) return 0;
  const [low, high] = spec.range;
  const share = (inUnit(spec, 1, bands[0][k]) - low) / (high - low);
  return Math.max(FAINTEST, Math.min(1, share));
}

const pair = {
  open: ({ spec }) => Promise.all([Raster.open(spec.before), Raster.open(spec.after)]),

  style(spec, own, state) {
    const from = spec.classes.find(({ name }) => name === own.from)?.value ?? 0;
    const colours = coloursOf(spec.classes, state.safeColours);
    return pairStyle(colours, shownClasses(spec, own), from, own.unchanged);
  },

  layer(layer, rasters, own, style) {
    const { spec } = layer;
    const numbers = new Map(spec.classes.map(({ value, name }) => [name, value]));
    const places = [spec.before, spec.after].map((side) => {
      const names = new Map(side.classes.map(({ value, name }) => [value, name]));
      return (code) => numbers.get(names.get(code)) ?? 0;
    });
    return layer.tiled(rasters[0], 2, style, {
      rasters,
      bands: [[1], [1]],
      bandCount: 2,
      encode(reads) {
        const pixels = new Uint8Array(2 * reads[0].valid.length);
        reads.forEach(({ bands, valid }, side) => {
          for (let k = 0; k < valid.length; k += 1) {
            if (valid[k]) pixels[2 * k + side] = places[side](bands[0][k]);
          }
        });
        return pixels;
      },
    });
  },
};

const values = {
  open: ({ spec }) => Raster.open(spec),

  style: ({ range }) => valueStyle(range),

  layer(layer, raster, own, style) {
    return layer.tiled(raster, 2 * Float32Array.BYTES_PER_ELEMENT, style, {
      rasters: [raster],
      bands: [[1]],
      bandCount: 2,
      encode([{ bands, valid }]) {
        const pixels = new Float32Array(2 * valid.length);
        for (let k = 0; k < valid.length; k += 1) {
          if (!valid[k]) continue;
          pixels[2 * k] = inUnit(layer.spec, 1, bands[0][k]);
          pixels[2 * k + 1] = 1;
        }
        return pixels;
      },
    });
  },
};

const vectors = {
  open: ({ spec }) => fetched(spec.url),

  layer({ spec, projection }, collection) {
    const format = new GeoJSON({ dataProjection: projection, featureProjection: projection });
    const colours = new Map(Object.entries(spec.colours ?? {}));
    const styles = new Map();
    const make = spec.kind === "points" ? pointStyle : polygonStyle;
    const styleOf = (feature) => {
      const colour = colours.get(String(feature.get(spec.colour_by))) ?? PLAIN;
      if (!styles.has(colour)) styles.set(colour, make(colour));
      return styles.get(colour);
    };
    return new VectorLayer({
      className: `vectors-${spec.id}`,
      style: styleOf,
      source: new VectorSource({ features: format.readFeatures(collection), wrapX: false }),
    });
  },
};

function polygonStyle(colour) {
  return [
    new Style({ stroke: new Stroke({ color: "rgba(255, 255, 255, 0.85)", width: 4 }) }),
    new Style({
      stroke: new Stroke({ color: colour, width: 2 }),
      fill: new Fill({ color: [...rgb(colour), 0.12] }),
    }),
  ];
}

function pointStyle(colour) {
  return new Style({
    image: new Circle({
      radius: 5,
      fill: new Fill({ color: colour }),
      stroke: new Stroke({ color: "#fff", width: 2 }),
    }),
    stroke: new Stroke({ color: colour, width: 2 }),
  });
}

const KINDS = { image, classes, pair, values, polygons: vectors, points: vectors };

/** The place of a code in the legend, from 1; 0 for codes that no class has. */
function placeOf(known) {
  const places = new Map(known.map(({ value }, k) => [value, k + 1]));
  return (code) => places.get(code) ?? 0;
}
