// Polygons as GeoJSON: saved so that `landshift burn` reads them, loaded in the page's CRS.

/** What a file may hold at most: more than anyone draws, less than what stops a browser. */
const MOST_BYTES = 20 * 2 ** 20;

/**
 * GeoJSON of polygons in the page's CRS. A CRS with an EPSG code is named in the file, which
 * GDAL and QGIS read; others are brought to longitude and latitude.
 */
export function toGeoJson(polygons, { crs }, ways) {
  const code = /^EPSG:(\d+)$/.exec(crs.name)?.[1];
  const place = code || !ways ? (xy) => xy : ways.toLonLat;
  const collection = {
    type: "FeatureCollection",
    features: polygons.map(({ rings, properties }) => ({
      type: "Feature",
      properties,
      geometry: { type: "Polygon", coordinates: rings.map((ring) => ring.map(place)) },
    })),
  };
  // RFC 7946 has longitude and latitude where nothing is said
  if (code && code !== "4326")
    collection.crs = { type: "name", properties: { name: `urn:ogc:def:crs:EPSG::${code}` } };
  return collection;
}

/**
 * Polygons of a GeoJSON file, each with its rings in the page's CRS and its properties.
 * @param {File} file
 */
export async function fromGeoJson(file, { crs }, ways) {
  if (file.size > MOST_BYTES)
    throw new Error(`${file.name} must have at most ${MOST_BYTES / 2 ** 20} MB`);
  let content;
  try {
    content = JSON.parse(await file.text());
  } catch {
    throw new Error(`${file.name} must be GeoJSON`);
  }
  const place = wayInto(content, crs, ways, file.name);
  const polygons = [];
  for (const feature of content.features ?? [content]) {
    const geometry = feature?.geometry ?? feature;
    const parts =
      { Polygon: [geometry?.coordinates], MultiPolygon: geometry?.coordinates }[geometry?.type] ??
      [];
    for (const rings of parts) {
      const placed = rings.map((ring) => ring.map(place));
      if (!placed.flat(2).every(Number.isFinite))
        throw new Error(`${file.name} holds places that are no numbers`);
      polygons.push({ rings: placed, properties: plainProperties(feature.properties) });
    }
  }
  if (!polygons.length) throw new Error(`${file.name} must hold polygons`);
  return polygons;
}

function wayInto(content, crs, ways, name) {
  const stated = content?.crs?.properties?.name;
  const code = /(\d+)$/.exec(stated ?? "")?.[1];
  const isLonLat = !stated || /CRS84$/.test(stated) || code === "4326";
  if (crs.name === `EPSG:${code}`) return ([x, y]) => [x, y];
  if (!isLonLat)
    throw new Error(`${name} must be in longitude and latitude or in ${crs.name}, got ${stated}`);
  if (!ways)
    throw new Error(
      `${name} is in longitude and latitude, which can't be brought to ${crs.name} here`,
    );
  return ([lon, lat]) => ways.fromLonLat([lon, lat]);
}

function plainProperties(properties) {
  return { class: textOf(properties?.class), date: textOf(properties?.date) };
}

function textOf(held) {
  return typeof held === "string" || typeof held === "number" ? String(held) : "";
}
