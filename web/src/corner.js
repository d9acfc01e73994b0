// What stands at the edges of the map: zoom buttons, north arrow, scale bar, coordinates.

import { element, drawn, iconButton } from "./dom.js";
import { lonLatText, placeText } from "./lonlat.js";
import { metresOfPixel } from "./map.js";

/** The widest that the scale bar may be, in pixels. */
const WIDEST = 140;

export function zoomButtons(page) {
  const zoom = (by) => () => page.map.getView().adjustZoom(by);
  return element(
    "div",
    { class: "zoom", role: "group", "aria-label": "Zoom" },
    iconButton(["M12 5v14", "M5 12h14"], "Zoom in", zoom(1)),
    iconButton(["M5 12h14"], "Zoom out", zoom(-1)),
    iconButton(["M4 9V4h5", "M15 4h5v5", "M20 15v5h-5", "M9 20H4v-5"], "Show everything", () =>
      page.showAll(),
    ),
  );
}

/** True north at the middle of the rasters, which the grid's own may miss by some degrees; nothing where it isn't known. */
export function northArrow({ description: { crs } }) {
  const degrees = crs.geographic ? 0 : crs.north;
  if (degrees === null || degrees === undefined) return null;
  const needle = drawn("path", { d: "M12 1l6 17-6-4-6 4z", transform: `rotate(${degrees} 12 10)` });
  const label =
    Math.abs(degrees) < 0.05 ? "North is up" : `North is ${degrees.toFixed(1)}° clockwise from up`;
  return element(
    "div",
    { class: "north", role: "img", "aria-label": label, title: label },
    drawn(
      "svg",
      { viewBox: "0 0 24 30", "aria-hidden": "true" },
      needle,
      drawn("text", { x: 12, y: 29, "text-anchor": "middle" }, "N"),
    ),
  );
}

/** A length of 1, 2 or 5 times a power of ten that fits, and its text. */
export function scaleOf(metresAcross) {
  const most = metresAcross * WIDEST;
  const power = 10 ** Math.floor(Math.log10(most));
  const metres = [5, 2, 1].map((times) => times * power).find((length) => length <= most);
  const text =
    metres >= 1000
      ? `${metres / 1000} km`
      : metres >= 1
        ? `${metres} m`
        : `${Math.round(metres * 100)} cm`;
  return { pixels: metres / metresAcross, text };
}

export function scaleBar({ map, description }) {
  if (!hasScale(description.crs)) return null;
  const text = element("span", {});
  const bar = element("div", { class: "scale", role: "img" }, text);
  map.getView().on(["change:resolution", "change:center"], draw);
  draw();
  return bar;

  function draw() {
    const across = metresOfPixel(map.getView(), description.crs);
    if (!Number.isFinite(across) || across <= 0) return;
    const scale = scaleOf(across);
    bar.style.width = `${scale.pixels}px`;
    text.textContent = scale.text;
    bar.setAttribute("aria-label", `The bar is ${scale.text} long`);
  }
}

/** Whether lengths on the ground are known. */
export function hasScale(crs) {
  return crs.geographic || crs.metres > 0;
}

/** The place under the pointer, or at the middle of the map. */
export function coordinates({ map, description, ways }) {
  const inCrs = element("span", {});
  const inDegrees = element("span", {});
  const box = element("div", { class: "coordinates-now" }, inCrs, inDegrees);
  const show = (place) => {
    inCrs.textContent = placeText(place, map.getView().getResolution(), description.crs);
    inDegrees.textContent =
      ways && !description.crs.geographic ? lonLatText(ways.toLonLat(place)) : "";
  };
  map.on("pointermove", ({ coordinate }) => show(coordinate));
  map.on("moveend", () => show(map.getView().getCenter()));
  return box;
}
