// Longitude and latitude of places in the page's CRS.

import proj4 from "proj4";

/** The way between the page's CRS and longitude and latitude, or null where it isn't known. */
export function lonLatOf({ crs }) {
  if (crs.geographic) return { toLonLat: (place) => place, fromLonLat: (place) => place };
  if (!crs.proj4) return null;
  try {
    const way = proj4(crs.proj4, "+proj=longlat +datum=WGS84 +no_defs");
    return {
      toLonLat: (place) => way.forward([...place]),
      fromLonLat: (place) => way.inverse([...place]),
    };
  } catch {
    return null;
  }
}

export function lonLatText([lon, lat]) {
  const side = (number, [positive, negative]) =>
    `${Math.abs(number).toFixed(5)}° ${number < 0 ? negative : positive}`;
  return `${side(lat, "NS")}, ${side(lon, "EW")}`;
}

/** A place in the page's CRS, to the tenth of a pixel of the screen. */
export function placeText([x, y], resolution, { unit, name }) {
  const digits = Math.max(0, Math.min(7, Math.ceil(-Math.log10(resolution)) + 1));
  return `${x.toFixed(digits)}, ${y.toFixed(digits)}${unit === "degrees" ? "" : ` ${unit}`} (${name})`;
}

/**
 * The place that a text names: two numbers in the page's CRS, or latitude and longitude.
 * A letter N, S, E or W beside a number says which is which.
 * @returns {number[]|null} x and y in the page's CRS.
 */
export function placeFrom(text, order, ways) {
  const parts = [...text.matchAll(/([-−+]?\d+(?:\.\d+)?)\s*°?\s*([NSEW])?/gi)].map(
    ([, number, side]) => ({
      number: Number(number.replace("−", "-")) * (/[SW]/i.test(side ?? "") ? -1 : 1),
      isLongitude: /[EW]/i.test(side ?? ""),
      hasSide: Boolean(side),
    }),
  );
  if (parts.length !== 2) return null;
  const [one, other] = parts;
  if (order === "crs" && !one.hasSide && !other.hasSide) return [one.number, other.number];
  if (!ways) return null;
  const [lon, lat] = one.isLongitude ? [one.number, other.number] : [other.number, one.number];
  if (Math.abs(lat) > 90 || Math.abs(lon) > 360) return null;
  const place = ways.fromLonLat([lon, lat]);
  return place.every(Number.isFinite) ? place : null;
}
