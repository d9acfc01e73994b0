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
  const along = new Map();
  for (const ring of rings.map(clockwise)) {
    for (let k = 0; k + 1 < ring.length; k += 1) {
      addCrossings(ring[k], ring[k + 1], height, crossings);
      addAlong(ring[k], ring[k + 1], height, along);
    }
  }
  const runs = new Map();
  for (const row of new Set([...crossings.keys(), ...along.keys()])) {
    const columns = (crossings.get(row) ?? []).sort((one, other) => one - other);
    const inRow = joined(columnsOf([...columns, ...(along.get(row) ?? [])], width));
    if (inRow.length) runs.set(row, inRow);
  }
  return runs;
}

/** A ring as it runs clockwise on the screen, so that its lower sides run leftwards. */
function clockwise(ring) {
  let twiceArea = 0;
  for (let k = 0; k + 1 < ring.length; k += 1) {
    twiceArea += ring[k][0] * ring[k + 1][1] - ring[k + 1][0] * ring[k][1];
  }
  return twiceArea < 0 ? [...ring].reverse() : ring;
}

/** Where an edge crosses the middles of rows; its upper end counts, its lower end doesn't. */
function addCrossings(start, end, height, crossings) {
  const [[x1, y1], [x2, y2]] = start[1] < end[1] ? [start, end] : [end, start];
  if (y1 === y2) return;
  const first = Math.max(0, Math.ceil(y1 - 0.5));
  for (let row = first; row < height && row + 0.5 < y2; row += 1) {
    listOf(crossings, row).push(((row + 0.5 - y1) * (x2 - x1)) / (y2 - y1) + x1);
  }
}

/** The lower side of a ring, along the middle of a row: GDAL counts the pixels there. */
function addAlong([x1, y1], [x2, y2], height, along) {
  const row = y1 - 0.5;
  if (y1 !== y2 || x1 <= x2 || !Number.isInteger(row) || row < 0 || row >= height) return;
  listOf(along, row).push(x2, x1);
}

function listOf(lists, key) {
  if (!lists.has(key)) lists.set(key, []);
  return lists.get(key);
}

/** Pairs of places as the columns whose centres lie between them: first, and after the last. */
function columnsOf(places, width) {
  const runs = [];
  for (let k = 0; k + 1 < places.length; k += 2) {
    const first = Math.max(0, Math.floor(places[k] + 0.5));
    const end = Math.min(width, Math.floor(places[k + 1] + 0.5));
    if (end > first) runs.push([first, end]);
  }
  return runs;
}

/** Runs in order, none of which overlaps another. */
function joined(runs) {
  const flat = [];
  for (const [first, end] of runs.sort(([one], [other]) => one - other)) {
    if (flat.length && first <= flat.at(-1)) flat[flat.length - 1] = Math.max(flat.at(-1), end);
    else flat.push(first, end);
  }
  return flat;
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
