// A small chart of the bands of images at one place, and the same numbers as a table for screen readers.

import { drawn, element } from "./dom.js";
import { value } from "./numbers.js";

const WIDTH = 280;
const HEIGHT = 130;
const EDGE = { left: 40, right: 10, top: 10, bottom: 24 };

/** Most band names that fit below the axis. */
const NAMES = 8;

/**
 * Lines of values by band. Dates differ by dash and marker as well as by colour.
 * @param {{title: string, bands: string[], values: number[]}[]} lines
 */
export function bandChart(lines) {
  const bands = lines.reduce(
    (longest, { bands: names }) => (names.length > longest.length ? names : longest),
    [],
  );
  const all = lines.flatMap(({ values }) => [...values]).filter(Number.isFinite);
  const low = Math.min(0, ...all);
  const high = Math.max(...all, low + 1e-9);
  const x = (k) =>
    EDGE.left +
    (bands.length > 1 ? k / (bands.length - 1) : 0.5) * (WIDTH - EDGE.left - EDGE.right);
  const y = (number) =>
    HEIGHT - EDGE.bottom - ((number - low) / (high - low)) * (HEIGHT - EDGE.top - EDGE.bottom);
  const picture = drawn("svg", {
    class: "chart",
    viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
    "aria-hidden": "true",
  });
  for (const number of [low, (low + high) / 2, high]) {
    picture.append(
      drawn("line", {
        x1: EDGE.left,
        x2: WIDTH - EDGE.right,
        y1: y(number),
        y2: y(number),
        class: "grid",
      }),
      drawn(
        "text",
        { x: EDGE.left - 5, y: y(number) + 4, "text-anchor": "end" },
        value(Number(number.toPrecision(3))),
      ),
    );
  }
  const step = Math.ceil(bands.length / NAMES);
  bands.forEach((name, k) => {
    if (k % step) return;
    const anchor = k === 0 ? "start" : k === bands.length - 1 ? "end" : "middle";
    picture.append(
      drawn(
        "text",
        { x: x(k), y: HEIGHT - 7, "text-anchor": bands.length > 1 ? anchor : "middle" },
        name.slice(0, 9),
      ),
    );
  });
  lines.forEach(({ values }, k) => {
    const points = Array.from(values, (number, band) => [x(band), y(number)]).filter(([, height]) =>
      Number.isFinite(height),
    );
    picture.append(
      drawn("polyline", {
        points: points.map((point) => point.join()).join(" "),
        class: `line line${k % 3}`,
      }),
    );
    for (const point of points) picture.append(marker(point, k));
  });
  return element("figure", {}, key(lines), picture, table(bands, lines));
}

function marker([x, y], k) {
  if (k % 3 === 0) return drawn("circle", { cx: x, cy: y, r: 3.5, class: "dot dot0" });
  return drawn("rect", {
    x: x - 3.2,
    y: y - 3.2,
    width: 6.4,
    height: 6.4,
    class: `dot dot${k % 3}`,
  });
}

function key(lines) {
  const entries = lines.map(({ title }, k) =>
    element(
      "span",
      { class: "key" },
      drawn(
        "svg",
        { viewBox: "0 0 26 10", class: "key-line", "aria-hidden": "true" },
        drawn("polyline", { points: "0,5 26,5", class: `line line${k % 3}` }),
        marker([13, 5], k),
      ),
      title,
    ),
  );
  return element("figcaption", {}, "Bands: ", ...entries);
}

function table(bands, lines) {
  const head = element(
    "tr",
    {},
    element("th", { scope: "col" }, "Band"),
    ...lines.map(({ title }) => element("th", { scope: "col" }, title)),
  );
  const rows = bands.map((name, k) =>
    element(
      "tr",
      {},
      element("th", { scope: "row" }, name),
      ...lines.map(({ values }) => element("td", {}, k < values.length ? value(values[k]) : "")),
    ),
  );
  return element(
    "table",
    { class: "only-heard" },
    element("caption", {}, "Values of the bands at this place"),
    head,
    ...rows,
  );
}
