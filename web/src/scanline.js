// Which pixels have their centre inside a polygon: the rule of GDAL, and so of
// rasterio.features.geometry_mask, row by row.

/**
 * The runs of pixels inside rings, which may be holes: a pixel is inside where an odd number of
 * edges lie left of its centre.
 * @param {number[][][]} rings Closed rings of [column, row], in pixels, not rounded.
 * @param {number} width Columns of the raster.
 * @param {number} height Rows of the raster.
 * @returns {Map<number, number[]>} By row: first column and column after the last, for each run.
 */
export function runsInside(rings, width, height) {
  const crossings = new Map();
  for (const ring of rings) {
    for (let k = 0; k + 1 < ring.length; k += 1)
      addCrossings(ring[k], ring[k + 1], height, crossings);
  }
  const runs = new Map();
  for (const [row, columns] of crossings) {
    columns.sort((one, other) => one - other);
    const inRow = [];
    for (let k = 0; k + 1 < columns.length; k += 2) {
      const first = Math.max(0, Math.floor(columns[k] + 0.5));
      const end = Math.min(width, Math.floor(columns[k + 1] + 0.5));
      if (end > first) inRow.push(first, end);
    }
    if (inRow.length) runs.set(row, inRow);
  }
  return runs;
}

/** Where an edge crosses the middles of rows; its lower end counts, its upper end doesn't. */
function addCrossings(start, end, height, crossings) {
  const [[x1, y1], [x2, y2]] = start[1] < end[1] ? [start, end] : [end, start];
  if (y1 === y2) return;
  const first = Math.max(0, Math.ceil(y1 - 0.5));
  for (let row = first; row < height && row + 0.5 < y2; row += 1) {
    if (!crossings.has(row)) crossings.set(row, []);
    crossings.get(row).push(((row + 0.5 - y1) * (x2 - x1)) / (y2 - y1) + x1);
  }
}

/** Columns and rows that runs cover: first column, first row, and those after the last. */
export function boxOf(runs) {
  const box = [Infinity, Infinity, -Infinity, -Infinity];
  for (const [row, columns] of runs) {
    box[0] = Math.min(box[0], columns[0]);
    box[1] = Math.min(box[1], row);
    box[2] = Math.max(box[2], columns.at(-1));
    box[3] = Math.max(box[3], row + 1);
  }
  return box;
}
