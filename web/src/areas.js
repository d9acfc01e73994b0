// Hectares of each class in a polygon, counted over the pixels whose centre lies inside.

import { Raster, Stack } from "./raster.js";
import { boxOf, runsInside } from "./scanline.js";

/**
 * Pixels of the box around a polygon that are read at full resolution, at most: 16 MB of codes,
 * read in strips. Larger polygons are counted on an overview.
 */
export const FULL_PIXELS = 16_000_000;

const NO_DATA = "none";

/** Rows read at once. */
const STRIP = 512;

/**
 * Count the classes of a layer of kind `classes` or `pair` in a polygon.
 * @param {object} spec The layer's description.
 * @param {number[][][]} rings Rings of the polygon in the page's CRS.
 * @returns {Promise<{rows: {classes: object[], pixels: number, hectares: number|null}[], level: number, factor: number,
 *   pixels: number, hectares: number|null}>} Rows by class, or by class before and after, largest first;
 *   how many pixels of the full resolution one counted pixel stands for across.
 */
export async function classesInside(spec, rings, fullPixels = FULL_PIXELS) {
  const parts = spec.kind === "pair" ? [spec.before, spec.after] : [spec];
  const rasters = await Promise.all(parts.map((part) => Raster.open(part)));
  const stack = new Stack(rasters);
  const { level, runs } = chosenLevel(spec.grid, stack, rings, fullPixels);
  const area = rowAreas(spec, stack.levels[level], level);
  const counted = new Map();
  const [left, first, right, end] = boxOf(runs);
  for (let top = first; top < end; top += STRIP) {
    const bottom = Math.min(end, top + STRIP);
    const reads = await stack.read(level, [left, top, right, bottom], [[1], [1]]);
    countStrip(reads, runs, { left, top, bottom }, area, counted);
  }
  const factor = spec.grid.width / stack.levels[level].width;
  return { ...table(parts, counted, area !== null), level, factor };
}

/** The finest level at which the polygon's box has no more pixels than `fullPixels`. */
function chosenLevel(grid, { levels }, rings, fullPixels) {
  for (let level = 0; ; level += 1) {
    const { width, height } = levels[level];
    const runs = runsInside(
      rings.map((ring) => ring.map(toPixels(grid, width, height))),
      width,
      height,
    );
    const [left, top, right, bottom] = boxOf(runs);
    const last = level === levels.length - 1;
    if (!runs.size || last || (right - left) * (bottom - top) <= fullPixels) return { level, runs };
  }
}

function toPixels({ width, height, transform: [a, , left, , e, top] }, columns, rows) {
  const [x, y] = [columns / width, rows / height];
  return ([east, north]) => [((east - left) / a) * x, ((north - top) / e) * y];
}

/** Hectares of a pixel in each row of a level, or null where the description has none. */
function rowAreas(spec, { width, height }, level) {
  const stated = spec.areas?.row_hectares;
  if (stated === null || stated === undefined) return null;
  const across = spec.grid.width / width;
  const down = spec.grid.height / height;
  if (typeof stated === "number") return () => stated * across * down;
  if (level === 0) return (row) => stated[row];
  return (row) => across * sumOf(stated, row * down, (row + 1) * down);
}

/** The sum of numbers from one place to another, of which parts of a number count in part. */
function sumOf(numbers, from, to) {
  let sum = 0;
  for (let k = Math.floor(from); k < Math.min(to, numbers.length); k += 1) {
    sum += numbers[k] * (Math.min(to, k + 1) - Math.max(from, k));
  }
  return sum;
}

/** Add the pixels of a strip to what was counted; equal neighbours are added at once. */
function countStrip(reads, runs, { left, top, bottom }, area, counted) {
  const { width } = reads[0];
  const codeAt = ({ bands, valid }, place) => (valid[place] ? bands[0][place] : NO_DATA);
  const [one, other] = [reads[0], reads.at(-1)];
  for (let row = top; row < bottom; row += 1) {
    const columns = runs.get(row) ?? [];
    const hectares = area ? area(row) : 0;
    const offset = (row - top) * width - left;
    for (let k = 0; k < columns.length; k += 2) {
      const end = offset + columns[k + 1];
      for (let place = offset + columns[k]; place < end; ) {
        const first = place;
        const before = codeAt(one, place);
        const after = codeAt(other, place);
        do place += 1;
        while (place < end && codeAt(one, place) === before && codeAt(other, place) === after);
        const key = reads.length > 1 ? `${before} ${after}` : `${before}`;
        const sum = counted.get(key) ?? { pixels: 0, hectares: 0 };
        sum.pixels += place - first;
        sum.hectares += (place - first) * hectares;
        counted.set(key, sum);
      }
    }
  }
}

function table(parts, counted, hasAreas) {
  const known = parts.map(
    ({ classes }) => new Map(classes.map((each) => [String(each.value), each])),
  );
  const rows = [...counted].map(([key, { pixels, hectares }]) => ({
    classes: key.split(" ").map(
      (code, k) =>
        known[k].get(code) ?? {
          name: code === NO_DATA ? "no data" : `code ${code}`,
          colour: "#00000000",
        },
    ),
    pixels,
    hectares: hasAreas ? hectares : null,
  }));
  rows.sort((one, other) => other.pixels - one.pixels);
  const sum = (key) => rows.reduce((total, row) => total + row[key], 0);
  return { rows, pixels: sum("pixels"), hectares: hasAreas ? sum("hectares") : null };
}
