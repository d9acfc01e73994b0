// The layers of the map: each follows its part of the state.

import GeoJSON from "ol/format/GeoJSON.js";
import VectorLayer from "ol/layer/Vector.js";
import WebGLTileLayer from "ol/layer/WebGLTile.js";
import VectorSource from "ol/source/Vector.js";
import { Circle, Fill, Stroke, Style } from "ol/style.js";
import { fetched, inUnit, rank, sameGrid } from "./description.js";
import { Raster } from "./raster.js";
import { shownClasses } from "./state.js";
import { classStyle, coloursOf, imageStyle, pairStyle, rgb, stretchVariables, valueStyle } from "./styles.js";
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
  #ready = null;
  #tiles = "";

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
    const own = state.layers[this.spec.id];
    const shown = isShown(this.spec, state);
    if (shown && !this.#ready) this.#ready = this.#open();
    this.#ready?.then((opened) => {
      if (opened) this.#apply(opened, own, state, isShown(this.spec, state));
    });
  }

  async #open() {
    try {
      return await this.#kind.open(this);
    } catch (error) {
      this.failed(`${this.spec.title} can't be shown: ${error.message}`);
      return null;
    }
  }

  #apply(opened, own, state, shown) {
    const tiles = this.#kind.tiles?.(own) ?? "";
    if (!this.ol || tiles !== this.#tiles) {
      if (this.ol) {
        this.map.removeLayer(this.ol);
        this.ol.dispose();
      }
      this.#tiles = tiles;
      this.ol = this.#kind.layer(this, opened, own, state);
      this.ol.setZIndex(rank(this.spec));
      this.ol.getSource().on?.("tileloaderror", () => this.failed(`Parts of ${this.spec.title} can't be read`));
      this.ol.on("prerender", (event) => this.clip?.before(this, event));
      this.ol.on("postrender", (event) => this.clip?.after(this, event));
      this.map.addLayer(this.ol);
    } else {
      this.#kind.restyle(this, opened, own, state);
    }
    this.ol.setVisible(shown);
    this.ol.setOpacity(own.opacity);
    this.map.render();
  }
}

/** Whether a layer is on the map: it is on, or on a side of the divider. */
export function isShown(spec, state) {
  const { swipe } = state;
  return state.layers[spec.id].on || (swipe.on && (swipe.left === spec.id || swipe.right === spec.id));
}

const image = {
  open: ({ spec }) => Raster.open(spec),

  /** What makes other tiles necessary. */
  tiles: ({ bands }) => bands.join(),

  layer({ spec, projection }, raster, own) {
    const Values = raster.isByte ? Uint8Array : Float32Array;
    const opaque = raster.isByte ? 255 : 1;
    return new WebGLTileLayer({
      cacheSize: cacheSize(raster, 4 * Values.BYTES_PER_ELEMENT),
      style: { ...imageStyle(own.stretch), variables: stretchVariables(own.stretch, raster.isByte) },
      source: tileSource({
        grid: spec.grid,
        projection,
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
      }),
    });
  },

  restyle({ ol }, raster, own) {
    ol.updateStyleVariables(stretchVariables(own.stretch, raster.isByte));
  },
};

const classes = {
  async open(layer) {
    const raster = await Raster.open(layer.spec);
    const confidence = layer.confidence && sameGrid(layer.confidence.grid, layer.spec.grid) ? await Raster.open(layer.confidence) : null;
    return { raster, confidence };
  },

  tiles: ({ faded }) => String(faded),

  layer({ spec, projection, confidence: known }, { raster, confidence }, own, state) {
    const place = placeOf(spec.classes);
    // bytes reach the card as shares of 255, which whole numbers beyond a byte are made here
    const [Places, unit] = spec.classes.length > MOST_OF_BYTE ? [Float32Array, 1 / 255] : [Uint8Array, 1];
    const faded = own.faded && confidence;
    const [low, high] = known?.range ?? [0, 1];
    return new WebGLTileLayer({
      cacheSize: cacheSize(raster, 2 * Places.BYTES_PER_ELEMENT),
      style: this.style(spec, own, state),
      source: tileSource({
        grid: spec.grid,
        projection,
        rasters: faded ? [raster, confidence] : [raster],
        bands: [[1], [1]],
        bandCount: 2,
        encode([codes, sure]) {
          const pixels = new Places(2 * codes.valid.length);
          for (let k = 0; k < codes.valid.length; k += 1) {
            if (!codes.valid[k]) continue;
            pixels[2 * k] = unit * place(codes.bands[0][k]);
            const share = sure ? Math.max(FAINTEST, Math.min(1, (inUnit(known, 1, sure.bands[0][k]) - low) / (high - low))) : 1;
            pixels[2 * k + 1] = sure && !sure.valid[k] ? 0 : unit * 255 * share;
          }
          return pixels;
        },
      }),
    });
  },

  style: (spec, own, state) =>
    classStyle(coloursOf(spec.classes, state.safeColours), shownClasses(spec, own), own.faded),

  restyle({ spec, ol }, _, own, state) {
    ol.setStyle(this.style(spec, own, state));
  },
};

const pair = {
  open: ({ spec }) => Promise.all([Raster.open(spec.before), Raster.open(spec.after)]),

  layer({ spec, projection }, rasters, own, state) {
    const places = [spec.before, spec.after].map((side) => {
      const names = new Map(side.classes.map(({ value, name }) => [value, name]));
      const numbers = new Map(spec.classes.map(({ value, name }) => [name, value]));
      return (code) => numbers.get(names.get(code)) ?? 0;
    });
    return new WebGLTileLayer({
      cacheSize: cacheSize(rasters[0], 2),
      style: this.style(spec, own, state),
      source: tileSource({
        grid: spec.grid,
        projection,
        rasters,
        bands: [[1], [1]],
        bandCount: 2,
        encode(reads) {
          const pixels = new Uint8Array(2 * reads[0].valid.length);
          reads.forEach(({ bands, valid }, side) => {
            for (let k = 0; k < valid.length; k += 1) if (valid[k]) pixels[2 * k + side] = places[side](bands[0][k]);
          });
          return pixels;
        },
      }),
    });
  },

  style(spec, own, state) {
    const from = spec.classes.find(({ name }) => name === own.from)?.value ?? 0;
    return pairStyle(coloursOf(spec.classes, state.safeColours), shownClasses(spec, own), from, own.unchanged);
  },

  restyle({ spec, ol }, _, own, state) {
    ol.setStyle(this.style(spec, own, state));
  },
};

const values = {
  open: ({ spec }) => Raster.open(spec),

  layer({ spec, projection }, raster) {
    return new WebGLTileLayer({
      cacheSize: cacheSize(raster, 8),
      style: valueStyle(spec.range),
      source: tileSource({
        grid: spec.grid,
        projection,
        rasters: [raster],
        bands: [[1]],
        bandCount: 2,
        encode([{ bands, valid }]) {
          const pixels = new Float32Array(2 * valid.length);
          for (let k = 0; k < valid.length; k += 1) {
            if (valid[k]) pixels.set([inUnit(spec, 1, bands[0][k]), 1], 2 * k);
          }
          return pixels;
        },
      }),
    });
  },

  restyle() {},
};

const vectors = {
  open: ({ spec }) => fetched(spec.url),

  layer({ spec, projection }, collection) {
    const format = new GeoJSON({ dataProjection: projection, featureProjection: projection });
    const styles = new Map();
    const styleOf = (feature) => {
      const colour = spec.colours?.[feature.get(spec.colour_by)] ?? PLAIN;
      if (!styles.has(colour)) styles.set(colour, spec.kind === "points" ? pointStyle(colour) : polygonStyle(colour));
      return styles.get(colour);
    };
    return new VectorLayer({
      className: `vectors-${spec.id}`,
      style: styleOf,
      source: new VectorSource({ features: format.readFeatures(collection), wrapX: false }),
    });
  },

  restyle() {},
};

function polygonStyle(colour) {
  return [
    new Style({ stroke: new Stroke({ color: "rgba(255, 255, 255, 0.85)", width: 4 }) }),
    new Style({ stroke: new Stroke({ color: colour, width: 2 }), fill: new Fill({ color: [...rgb(colour), 0.12] }) }),
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
