// What the page shows: layers.json beside it, or inside it where it stands in a notebook.

const VERSION = 1;

/** The description of the page's layers, checked for what the rest relies on. */
export async function readDescription() {
  const inside = document.getElementById("layers");
  const description = inside ? JSON.parse(inside.textContent) : await fetched("layers.json");
  description.isInside = Boolean(inside);
  if (description.version !== VERSION) {
    throw new Error(`layers.json must be of version ${VERSION}, got ${description.version}`);
  }
  description.crs ??= NO_CRS;
  return { estimates: null, left_out: [], policy: [], dates: [], ...description };
}

/** What stands for a CRS where the rasters have none: places are pixels. */
const NO_CRS = {
  name: "no CRS",
  proj4: null,
  unit: "px",
  geographic: false,
  metres: null,
  north: null,
};

/** A band's stored value in its own unit: copies for the page hold scaled bytes. */
export function inUnit(spec, band, stored) {
  const [gain, offset] = spec.scale?.[band - 1] ?? [1, 0];
  return stored * gain + offset;
}

/** The bands of an image's own date, of which a file may hold several: number and name. */
export function bandsOf(spec) {
  const numbers = spec.date_bands ?? spec.bands.map((_, k) => k + 1);
  return numbers.map((band) => [band, spec.bands[band - 1] || `band ${band}`]);
}

/** The JSON at an address, or in it where it is a data URL. */
export async function fetched(address) {
  if (address.startsWith("data:")) return JSON.parse(new TextDecoder().decode(bytesOf(address)));
  const answer = await fetch(address);
  if (!answer.ok) throw new Error(`${address} can't be read: the server answers ${answer.status}`);
  return answer.json();
}

/** The bytes of a data URL in base64. */
export function bytesOf(address) {
  const binary = atob(address.slice(address.indexOf(",") + 1));
  return Uint8Array.from(binary, (character) => character.charCodeAt(0)).buffer;
}

/** Order from the bottom of the map to its top. */
const RANKS = {
  image: 0,
  before: 1,
  after: 1,
  classes: 1,
  reference: 2,
  pair: 3,
  change: 4,
  values: 5,
  polygons: 6,
  points: 7,
};

export function rank(spec) {
  return RANKS[spec.role] ?? RANKS[spec.kind];
}

/** Whether two rasters have the same pixels. */
export function sameGrid(one, other) {
  return (
    one.width === other.width &&
    one.height === other.height &&
    one.transform.every(
      (number, k) => Math.abs(number - other.transform[k]) < 1e-9 * Math.max(1, Math.abs(number)),
    )
  );
}

export function gridExtent({ width, height, transform: [a, , left, , e, top] }) {
  return [left, top + e * height, left + a * width, top];
}

/**
 * The layer that two class maps of one grid make together: each pixel's class before and after.
 * @returns {object|null} The description of a layer of kind `pair`, or null where there are none.
 */
export function pairOf(description) {
  const maps = description.layers.filter((layer) => layer.kind === "classes");
  const before = maps.find((layer) => layer.role === "before");
  const after = maps.find(
    (layer) => layer.role === "after" && before && sameGrid(before.grid, layer.grid),
  );
  if (!before || !after) return null;
  const names = [...new Set([...before.classes, ...after.classes].map(({ name }) => name))];
  const classes = names.map((name, k) => ({
    ...[...after.classes, ...before.classes].find((known) => known.name === name),
    value: k + 1,
  }));
  return {
    id: "pair",
    title: `Class before and after`,
    kind: "pair",
    grid: before.grid,
    date: null,
    before,
    after,
    classes,
    areas: before.areas ?? after.areas,
  };
}
