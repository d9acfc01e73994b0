// Tiles of rasters for the graphics card: values as they are in the files, coloured there.

import DataTileSource from "ol/source/DataTile.js";
import TileGrid from "ol/tilegrid/TileGrid.js";
import { gridExtent } from "./description.js";
import { Stack } from "./raster.js";

/** Bytes of textures that one layer keeps beyond two screens of them, whatever the user pans over. */
const TEXTURE_BYTES = 32 * 2 ** 20;

/**
 * A source whose tiles hold what `encode` makes of the pixels.
 * @param {object} options
 * @param {object} options.grid Width, height and transform of the rasters, which all lie on it.
 * @param {import("./raster.js").Raster[]} options.rasters
 * @param {number[][]} options.bands Bands to read, for each raster.
 * @param {number} options.bandCount Values for each pixel that `encode` gives.
 * @param {(reads: object[]) => (Uint8Array|Float32Array)} options.encode
 * @param {(error: Error) => void} options.failed Told of tiles that can't be read.
 */
export function tileSource({ grid, projection, rasters, bands, bandCount, encode, failed }) {
  const extent = gridExtent(grid);
  const stack = new Stack(rasters);
  const coarseFirst = [...stack.levels].reverse();
  const pixel = coarseFirst.map(({ width, height }) => [
    (extent[2] - extent[0]) / width,
    (extent[3] - extent[1]) / height,
  ]);
  const source = new DataTileSource({
    projection,
    bandCount,
    interpolate: false,
    transition: 0,
    wrapX: false,
    tileGrid: new TileGrid({
      extent,
      origin: [extent[0], extent[3]],
      resolutions: pixel.map(([width]) => width),
      // pixels needn't be square: tiles are as high as their pixels are
      tileSizes: coarseFirst.map(({ tile }, k) => [tile[0], (tile[1] * pixel[k][1]) / pixel[k][0]]),
    }),
    async loader(z, x, y, { signal }) {
      const level = coarseFirst.length - 1 - z;
      const [width, height] = coarseFirst[z].tile;
      const window = [x * width, y * height, (x + 1) * width, (y + 1) * height];
      try {
        return encode(await stack.read(level, window, bands, signal));
      } catch (error) {
        if (!signal.aborted) failed(error);
        throw error;
      }
    },
  });
  source.setTileSizes(coarseFirst.map(({ tile }) => tile));
  return source;
}

/** Tiles that a layer's cache may hold: what the bytes allow, and two screens of them at least. */
export function cacheSize(raster, bytesOfPixel) {
  const [width, height] = raster.levels[0].tile;
  const ofScreen = (Math.ceil(screen.width / width) + 1) * (Math.ceil(screen.height / height) + 1);
  return Math.max(2 * ofScreen, Math.floor(TEXTURE_BYTES / (width * height * bytesOfPixel)));
}
