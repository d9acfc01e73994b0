// A Cloud-Optimised GeoTIFF: its levels, and pixels read from them by byte ranges.

import { fromArrayBuffer, fromUrl, Pool } from "geotiff";
import { bytesOf } from "./description.js";

/** Bytes asked for at once; a header and a few tiles of overviews fit. */
const RANGE_BYTES = 65_536;

/** Ranges that a file keeps in memory: 4 MB. */
const RANGES_KEPT = 64;

/** Bytes of a file that is fetched whole where a server answers no ranges, at most. */
const WHOLE_BYTES = 64 * 2 ** 20;

/** Workers that decode; more than four wait for the network. */
const WORKERS = Math.min(4, navigator.hardwareConcurrency || 2);

const YCBCR = 6;

const FLOAT = 3;

const LERC = 34887;

let decoders = null;

function pool() {
  decoders ??= new Pool(WORKERS);
  return decoders;
}

/** Pixels of bands, and which of them are valid. */
export class Raster {
  /**
   * Open a file; its header is read once, whatever asks for it.
   * @param {object} spec A raster layer of the page's description.
   */
  static open(spec) {
    if (!opened.has(spec.url)) {
      const reading = Raster.#read(spec);
      opened.set(spec.url, reading);
      reading.catch(() => opened.delete(spec.url)); // the next one that asks tries again
    }
    return opened.get(spec.url);
  }

  static async #read(spec) {
    const file = await openFile(spec.url);
    // its decoder gives 0 where the file says that there is no data
    if ((await file.getImage()).fileDirectory.getValue("Compression") === LERC) {
      throw new Error("files compressed with LERC aren't read; compress it with deflate");
    }
    const images = [];
    const masks = [];
    for (let k = 0, count = await file.getImageCount(); k < count; k += 1) {
      const image = await file.getImage(k);
      const kind = image.fileDirectory.getValue("NewSubfileType") ?? 0;
      (kind & 4 ? masks : images).push(image);
    }
    const levels = images
      .filter(
        (image) => image === images[0] || (image.fileDirectory.getValue("NewSubfileType") ?? 0) & 1,
      )
      .map((image) => ({
        image,
        mask: masks.find(
          (m) => m.getWidth() === image.getWidth() && m.getHeight() === image.getHeight(),
        ),
        width: image.getWidth(),
        height: image.getHeight(),
        tile: tileSize(image),
      }))
      .sort((one, other) => other.width - one.width);
    return new Raster(spec, levels);
  }

  constructor(spec, levels) {
    /** From the full resolution to the coarsest overview. */
    this.levels = levels;
    const first = levels[0].image;
    this.nodata = nodataOf(spec.nodata, first);
    this.alpha = alphaBand(first);
    this.colourSpace = first.fileDirectory.getValue("PhotometricInterpretation");
    this.isByte = first.getBitsPerSample() === 8 && first.getSampleFormat() === 1;
  }

  /** The coarsest level that has at most `pixels` pixels in a window of shares of the raster. */
  levelWithin(share, pixels) {
    const k = this.levels.findIndex((level) => level.width * level.height * share <= pixels);
    return k < 0 ? this.levels.length - 1 : k;
  }

  /**
   * Pixels of a window, which may reach beyond the raster: what lies there isn't valid.
   * @param {number} level Index of the level, 0 the full resolution.
   * @param {number[]} window First column, first row, column and row after the last.
   * @param {number[]} bands Bands, the first is 1.
   * @returns {Promise<{bands: ArrayLike<number>[], valid: Uint8Array, width: number, height: number}>}
   */
  async read(level, window, bands, signal) {
    const { image, mask, width, height } = this.levels[level];
    const columns = window[2] - window[0];
    const rows = window[3] - window[1];
    const samples = bands.map((band) => band - 1);
    const asked = this.alpha ? [...samples, this.alpha - 1] : samples;
    const options = { window, pool: pool(), signal, interleave: false };
    const [read, masked] = await Promise.all([
      this.colourSpace === YCBCR
        ? image.readRGB(options).then((rgb) => asked.map((sample) => rgb[sample]))
        : image.readRasters({ ...options, samples: asked }),
      mask?.readRasters({ window, pool: pool(), signal, interleave: false }),
    ]);
    const values = read.slice(0, samples.length);
    const alpha = this.alpha ? read[samples.length] : null;
    const valid = new Uint8Array(columns * rows);
    for (let row = 0, k = 0; row < rows; row += 1) {
      const inRows = row + window[1] >= 0 && row + window[1] < height;
      for (let column = 0; column < columns; column += 1, k += 1) {
        const inside = inRows && column + window[0] >= 0 && column + window[0] < width;
        valid[k] =
          inside && (!masked || masked[0][k]) && (!alpha || alpha[k]) && this.#hasData(values, k)
            ? 1
            : 0;
      }
    }
    return { bands: values, valid, width: columns, height: rows };
  }

  #hasData(values, k) {
    for (const band of values) {
      const number = band[k];
      if (number !== this.nodata && number === number) return true;
    }
    return false;
  }
}

/** Rasters on one grid, read together at the levels that all of them have. */
export class Stack {
  #places;

  constructor(rasters) {
    this.rasters = rasters;
    const placesOf = ({ width, height }) =>
      rasters.map(({ levels }) =>
        levels.findIndex((level) => level.width === width && level.height === height),
      );
    this.#places = rasters[0].levels.map(placesOf).filter((places) => !places.includes(-1));
    /** From the full resolution to the coarsest overview. */
    this.levels = this.#places.map(([k]) => rasters[0].levels[k]);
  }

  /** Pixels of a window of each raster, see `Raster.read`; `bands` are those of each. */
  read(level, window, bands, signal) {
    return Promise.all(
      this.rasters.map((raster, k) =>
        raster.read(this.#places[level][k], window, bands[k], signal),
      ),
    );
  }
}

async function openFile(address) {
  if (address.startsWith("data:")) return fromArrayBuffer(bytesOf(address));
  try {
    return await fromUrl(address, { blockSize: RANGE_BYTES, cacheSize: RANGES_KEPT });
  } catch (error) {
    return openWhole(address, error);
  }
}

/** A file of a server that answers no ranges, fetched whole where it is small; else why it can't be read. */
async function openWhole(address, error) {
  const headers = { Range: "bytes=0-0" };
  const answer = await fetch(address, { headers, cache: "no-store" });
  if (answer.status === 206) throw error;
  if (!answer.ok) throw new Error(`the server answers ${answer.status}`);
  if (Number(answer.headers.get("Content-Length")) > WHOLE_BYTES) {
    await answer.body.cancel();
    throw new Error("the server must answer byte ranges for files of more than 64 MB");
  }
  return fromArrayBuffer(await answer.arrayBuffer());
}

/** Rasters by the address of their file. */
const opened = new Map();

function tileSize(image) {
  const striped = image.getTileWidth() >= image.getWidth() && image.getTileHeight() < 64;
  return striped ? [256, 256] : [image.getTileWidth(), image.getTileHeight()];
}

/** The value without data as the file's pixels hold it; NaN, which equals nothing, for none. */
function nodataOf(stated, image) {
  if (typeof stated !== "number") return NaN;
  return image.getSampleFormat() === FLOAT && image.getBitsPerSample() === 32
    ? Math.fround(stated)
    : stated;
}

/** The band that says how opaque a pixel is, or 0: TIFF's ExtraSamples 1 and 2. */
function alphaBand(image) {
  const extra = image.fileDirectory.getValue("ExtraSamples");
  if (!extra) return 0;
  const place = Array.from(extra).findIndex((kind) => kind === 1 || kind === 2);
  return place < 0 ? 0 : image.getSamplesPerPixel() - extra.length + place + 1;
}
